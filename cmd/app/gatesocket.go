package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector/clock"
)

const (
	// gateSocketFile notes the boot in which the gate's socket was last asked.
	gateSocketFile = "gate-socket.json"
	// gateSocketMost is how many questions are answered at a time.
	gateSocketMost = 8
	// gateSocketTime bounds one: the leader is asked meanwhile, one controller after the
	// other.
	gateSocketTime = time.Minute
)

// doorkeeper answers at the gate's socket what this host's start gate says. Whoever starts
// nova-compute without systemd asks there, such as a container that is not root's and has
// not got the host's key. It tells a word, and takes none.
type doorkeeper struct {
	a  *Agent
	ln net.Listener

	mu    sync.Mutex
	g     *gatekeeper
	last  gateWord
	until time.Time // last is as good as new
	noted bool      // that it was asked in this boot
}

// openGate listens at the gate's socket, where one is configured.
func (a *Agent) openGate() error {
	path := a.cfg.GateSocket
	if path == "" {
		return nil
	}
	if old, err := os.Lstat(path); err == nil && old.Mode().Type() == fs.ModeSocket {
		_ = os.Remove(path) // of an agent that was killed
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		return fmt.Errorf("open the gate's socket: %w", err)
	}
	// Everybody may ask: the answer is no secret, and changes nothing.
	if err := os.Chmod(path, 0o666); err != nil { //nolint:gosec // as said
		return errors.Join(fmt.Errorf("open the gate's socket: %w", err), ln.Close())
	}
	k := &doorkeeper{a: a, ln: ln, g: &gatekeeper{agent: a, boot: a.boot, dir: a.cfg.DataDir}}
	a.stop.onStop("the gate's socket", func() error {
		if err := ln.Close(); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	})
	a.stop.wg.Go(func() {
		<-a.stop.ctx.Done()
		_ = ln.Close()
	})
	a.stop.wg.Go(k.serve)
	return nil
}

func (k *doorkeeper) serve() {
	ctx := k.a.stop.ctx
	places := make(chan struct{}, gateSocketMost)
	for {
		conn, err := k.ln.Accept()
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			k.a.log.Warn("the gate's socket", "reason", err)
			if k.a.clock.Sleep(ctx, time.Second) != nil {
				return
			}
			continue
		}
		select {
		case places <- struct{}{}:
		default:
			_ = conn.Close() // it asks again
			continue
		}
		k.a.stop.wg.Go(func() {
			defer func() { _ = conn.Close(); <-places }()
			_ = conn.SetDeadline(k.a.clock.Now().Add(gateSocketTime))
			_ = json.NewEncoder(conn).Encode(k.word(ctx))
		})
	}
}

// word asks the leader, for all that ask within a second.
func (k *doorkeeper) word(ctx context.Context) gateWord {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.a.clock.Now()
	if now.Before(k.until) && k.until.Sub(now) <= time.Second {
		return k.last
	}
	if b, err := json.Marshal(gateWord{Boot: k.a.boot, At: now}); !k.noted && err == nil {
		k.noted = writeFile(filepath.Join(k.a.cfg.DataDir, gateSocketFile), b) == nil
	}
	w := k.g.look(ctx)
	k.g.note(w)
	k.last, k.until = w, k.a.clock.Now().Add(time.Second)
	return w
}

// gateAsked says that the gate's socket was asked in this boot.
func (a *Agent) gateAsked() bool {
	w, ok := readGate(filepath.Join(a.cfg.DataDir, gateSocketFile))
	return ok && w.Boot == a.boot
}

// waitAtSocket waits until the gate behind a socket is open, and then becomes the command,
// if there is one. Where nobody answers the gate is closed: the agent may not run yet.
func waitAtSocket(ctx context.Context, o GateOptions) error {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	said, clk := "", clock.System()
	for {
		w, err := askSocket(ctx, o.Socket)
		if err != nil {
			w = gateWord{State: gateClosed, Reason: err.Error()}
		}
		if now := w.State + ": " + w.Reason; now != said {
			said = now
			log.Info("start gate", "state", w.State, "reason", w.Reason, "socket", o.Socket)
		}
		switch {
		case (w.State == gateOpen || w.State == gateOverridden) && len(o.Command) > 0:
			return become(o.Command)
		case w.State == gateOpen || w.State == gateOverridden:
			return nil
		case o.Once || clk.Sleep(ctx, gateEvery) != nil:
			return fmt.Errorf("%w: %s", errGateShut, w.Reason)
		}
	}
}

func askSocket(ctx context.Context, path string) (w gateWord, err error) {
	ctx, cancel := context.WithTimeout(ctx, gateSocketTime)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		return w, fmt.Errorf("ask the agent: %w", err)
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if err := json.NewDecoder(conn).Decode(&w); err != nil {
		return w, fmt.Errorf("the agent's answer: %w", err)
	}
	return w, nil
}

// become replaces this process by a command: its signals and exit code are those of what
// it waited for.
func become(command []string) error {
	path, err := exec.LookPath(command[0])
	if err != nil {
		return fmt.Errorf("find what waits for the gate: %w", err)
	}
	return fmt.Errorf("run %s: %w", path, syscall.Exec(path, command, os.Environ())) //nolint:gosec // it is what it is told to run
}
