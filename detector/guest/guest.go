// Package guest asks a host's libvirt which instances it runs, and hears what becomes
// of them: through the daemon's read-only socket. It changes nothing there, and what it
// could not ask it does not guess: while libvirt does not answer there is no list.
package guest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/digitalocean/go-libvirt"

	"github.com/lifeboat-ha/lifeboat/detector"
)

// Sockets are where a read-only libvirt listens: the one daemon, and the daemon of QEMU
// alone where libvirt is split into several.
var Sockets = []string{"/run/libvirt/libvirt-sock-ro", "/run/libvirt/virtqemud-sock-ro"}

const (
	// listEvery is the pause between two lists where nothing is heard of a change, and
	// settle how long after a change it is listed: several come together.
	listEvery = 5 * time.Second
	settle    = 200 * time.Millisecond
	// callTimeout bounds one call: a libvirt whose locks are stuck takes the connection
	// and never answers.
	callTimeout = 5 * time.Second
	retryFirst  = time.Second
	retryMost   = 30 * time.Second
)

// Options make a Watch.
type Options struct {
	// Sockets are tried in order; URI is what is asked for there.
	Sockets []string
	URI     string
	// Dial opens one of them; nil: as it is.
	Dial  func(ctx context.Context, path string) (net.Conn, error)
	Sleep func(ctx context.Context, d time.Duration) error
	Now   func() time.Time
	Log   *slog.Logger
	// Changed is called after each list that is another than the one before, and when
	// there is none any more; Heard of each event that tells of an instance's end.
	Changed func()
	Heard   func(Event)
}

// Watch watches one libvirt.
type Watch struct {
	o    Options
	mu   sync.Mutex
	list detector.Guests
	word string
	told bool
	// autostart was listed at autostartAt; zero: not in this session.
	autostart   []string
	autostartAt time.Time
	// agents are the guest agents of what runs; of the session's goroutine alone.
	agents map[libvirt.UUID]agentSeen
}

// New makes a watch; Run runs it.
func New(o Options) *Watch {
	if o.Changed == nil {
		o.Changed = func() {}
	}
	if o.Heard == nil {
		o.Heard = func(Event) {}
	}
	if o.Dial == nil {
		o.Dial = func(ctx context.Context, path string) (net.Conn, error) {
			return (&net.Dialer{Timeout: callTimeout}).DialContext(ctx, "unix", path)
		}
	}
	return &Watch{o: o, word: detector.GuestsUnknown + ": not asked yet"}
}

// Word is what a heartbeat says of it.
func (w *Watch) Word() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.word
}

// List gives the last list; false while libvirt does not answer.
func (w *Watch) List() (detector.Guests, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.list, w.told
}

// Run watches until ctx ends.
func (w *Watch) Run(ctx context.Context) {
	pause := retryFirst
	for ctx.Err() == nil {
		began := w.o.Now()
		err := w.session(ctx)
		if ctx.Err() != nil {
			return
		}
		w.lost(err)
		if w.o.Now().Sub(began) > retryMost {
			pause = retryFirst
		}
		if w.o.Sleep(ctx, pause) != nil {
			return
		}
		pause = min(2*pause, retryMost)
	}
}

// mostWord keeps a heartbeat's datagram small.
const mostWord = 100

func (w *Watch) lost(err error) {
	word := detector.GuestsUnknown + ": " + err.Error()
	word = strings.ToValidUTF8(word[:min(len(word), mostWord)], "")
	w.mu.Lock()
	fresh := w.word != word
	w.list, w.told, w.word, w.autostartAt = detector.Guests{}, false, word, time.Time{}
	w.mu.Unlock()
	if fresh {
		w.o.Log.Warn("libvirt does not tell which instances run here", "reason", err)
		w.o.Changed()
	}
}

func (w *Watch) found(g detector.Guests) {
	g = g.Clean()
	w.mu.Lock()
	word := g.Word()
	was, fresh := w.told, !w.told || w.word != word
	w.list, w.told, w.word = g, true, word
	w.mu.Unlock()
	if !was {
		w.o.Log.Info("libvirt tells which instances run here", "running", len(g.Running), "paused", len(g.Paused))
	}
	if fresh {
		w.o.Changed()
	}
}

// dial connects to the first socket that there is.
func (w *Watch) dial(ctx context.Context) (net.Conn, error) {
	var first error
	for _, path := range w.o.Sockets {
		conn, err := w.o.Dial(ctx, path)
		if err == nil {
			return conn, nil
		}
		if first == nil || errors.Is(first, fs.ErrNotExist) {
			first = err
		}
	}
	return nil, first
}

// dialled is a connection that there is already: whoever holds it can close it.
type dialled struct{ net.Conn }

// Dial gives it.
func (d dialled) Dial() (net.Conn, error) { return d.Conn, nil }

// session is one connection, from its beginning to its end.
func (w *Watch) session(ctx context.Context) error {
	conn, err := w.dial(ctx)
	if err != nil {
		return err
	}
	ctx, end := context.WithCancel(ctx)
	defer end()
	w.agents = map[libvirt.UUID]agentSeen{}
	// The library has no deadlines, and its way to end a subscription can hang: closing
	// the connection ends everything.
	l := libvirt.NewWithDialer(dialled{conn})
	var heard <-chan any
	defer func() {
		_ = conn.Close()
		if heard == nil {
			return
		}
		for range heard { // or whoever sends there would wait for ever
		}
	}()
	if err := within(ctx, conn, "connect", func() error { return l.ConnectToURI(libvirt.ConnectURI(w.o.URI)) }); err != nil {
		return err
	}
	err = within(ctx, conn, "register for events", func() (err error) {
		heard, err = subscribe(l)
		return err
	})
	if err != nil {
		return err
	}
	for {
		if err := w.look(ctx, conn, l); err != nil {
			return err
		}
		if err := w.wait(ctx, heard); err != nil {
			return err
		}
	}
}

// within calls f, and closes the connection where that takes too long.
func within(ctx context.Context, conn net.Conn, doing string, f func() error) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	err := f()
	stop()
	switch {
	case err != nil && ctx.Err() != nil:
		return fmt.Errorf("%s: no answer within %s", doing, callTimeout)
	case err != nil:
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}

// Filters of the list (libvirt/libvirt-domain.h): a domain is listed that is of one of
// the groups' flags each. What is neither paused nor off may write: running, blocked,
// being shut down.
const (
	runs   = libvirt.ConnectListDomainsActive | libvirt.ConnectListDomainsRunning | libvirt.ConnectListDomainsOther
	stands = libvirt.ConnectListDomainsActive | libvirt.ConnectListDomainsPaused
)

func (w *Watch) look(ctx context.Context, conn net.Conn, l *libvirt.Libvirt) error {
	var g detector.Guests
	err := within(ctx, conn, "list the domains", func() (err error) {
		g, err = w.listed(l)
		return err
	})
	if err != nil {
		return err
	}
	w.found(g)
	return w.lookAutostart(ctx, conn, l)
}

// errClosed is a libvirt that went away.
var errClosed = errors.New("libvirt closed the connection")

// wait waits until it is time for the next list.
func (w *Watch) wait(ctx context.Context, heard <-chan any) error {
	ctx, cancel := context.WithTimeout(ctx, listEvery)
	defer cancel()
	var soon <-chan struct{} // once something has changed
	for {
		select {
		case e, ok := <-heard:
			if !ok {
				return errClosed
			}
			if a, is := e.(*libvirt.DomainEventCallbackAgentLifecycleMsg); is {
				w.agentChanged(a)
			} else if ev, tells := w.read(e); tells {
				w.o.Heard(ev)
			}
			if soon == nil {
				settling, stop := context.WithTimeout(ctx, settle)
				defer stop()
				soon = settling.Done()
			}
		case <-soon:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// subscribe registers for what is of interest; the channel is closed with the connection.
func subscribe(l *libvirt.Libvirt) (<-chan any, error) {
	out := make(chan any)
	var open sync.WaitGroup
	for _, id := range slices.Concat(needed, wanted) {
		events, err := l.SubscribeEvents(context.Background(), id, nil)
		if err != nil && slices.Contains(needed, id) {
			go closeAfter(&open, out)
			return out, err
		}
		if err != nil {
			continue // this driver has no such events
		}
		open.Go(func() {
			for e := range events {
				out <- e
			}
		})
	}
	go closeAfter(&open, out)
	return out, nil
}

func closeAfter(open *sync.WaitGroup, out chan any) {
	open.Wait()
	close(out)
}
