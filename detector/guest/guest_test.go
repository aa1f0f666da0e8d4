package guest

import (
	"context"
	"io/fs"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/digitalocean/go-libvirt"

	"github.com/lifeboat-ha/lifeboat/detector"
)

func sleep(ctx context.Context, d time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	<-ctx.Done()
	if ctx.Err() == context.DeadlineExceeded {
		return nil
	}
	return ctx.Err()
}

func watchOf(o Options) *Watch {
	o.Sleep, o.Now, o.Log = sleep, time.Now, slog.New(slog.DiscardHandler)
	if o.URI == "" {
		o.URI = "qemu:///system"
	}
	return New(o)
}

// TestLifecycle: an end that somebody has asked for, or that leads elsewhere, is none.
func TestLifecycle(t *testing.T) {
	for _, c := range []struct {
		event  libvirt.DomainEventType
		detail int32
		want   detector.GuestEnd
	}{
		{libvirt.DomainEventStopped, int32(libvirt.DomainEventStoppedFailed), detector.GuestFailed},
		{libvirt.DomainEventStopped, int32(libvirt.DomainEventStoppedCrashed), detector.GuestCrashed},
		{libvirt.DomainEventCrashed, int32(libvirt.DomainEventCrashedPanicked), detector.GuestPanicked},
		{libvirt.DomainEventStopped, int32(libvirt.DomainEventStoppedShutdown), ""},
		{libvirt.DomainEventStopped, int32(libvirt.DomainEventStoppedDestroyed), ""},
		{libvirt.DomainEventStopped, int32(libvirt.DomainEventStoppedMigrated), ""},
		{libvirt.DomainEventStopped, int32(libvirt.DomainEventStoppedSaved), ""},
		{libvirt.DomainEventStarted, 0, ""},
		{libvirt.DomainEventSuspended, int32(libvirt.DomainEventSuspendedIoerror), ""}, // has an event of its own
		{libvirt.DomainEventShutdown, 0, ""},
	} {
		if got := lifecycle(c.event, c.detail); got != c.want {
			t.Errorf("event %d, detail %d: %q, want %q", c.event, c.detail, got, c.want)
		}
	}
	u := libvirt.UUID{0x11, 0x11, 0x11, 0x11, 0x22, 0x22, 0x33, 0x33, 0x44, 0x44, 0x55, 0x55, 0x55, 0x55, 0x55, 0xab}
	if id := serverID(u); id != "11111111-2222-3333-4444-5555555555ab" {
		t.Errorf("a UUID is written as %s", id)
	}
}

// TestNoAnswer: where libvirt is missing, takes the connection and says nothing, or
// hangs up, there is no list, it is said why, and it is asked again.
func TestNoAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		dial func(context.Context, string) (net.Conn, error)
		word string
	}{
		"missing": {func(context.Context, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Err: fs.ErrNotExist}
		}, "does not exist"},
		"stuck": {func(context.Context, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go func() {
				b := make([]byte, 4096)
				for {
					if _, err := theirs.Read(b); err != nil {
						return
					}
				}
			}()
			return ours, nil
		}, "no answer within 5s"},
		"hangs up": {func(context.Context, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go func() { _, _ = theirs.Read(make([]byte, 16)); _ = theirs.Close() }()
			return ours, nil
		}, "connect"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dials, changes := 0, 0
				w := watchOf(Options{Sockets: []string{"/one"}, Changed: func() { changes++ },
					Dial: func(ctx context.Context, path string) (net.Conn, error) { dials++; return c.dial(ctx, path) }})
				if word := w.Word(); !strings.HasPrefix(word, detector.GuestsUnknown) {
					t.Errorf("before it was asked: %q", word)
				}
				ctx, cancel := context.WithCancel(t.Context())
				var run sync.WaitGroup
				run.Go(func() { w.Run(ctx) })
				time.Sleep(5 * time.Minute)
				cancel()
				run.Wait()
				if _, known := w.List(); known || !strings.HasPrefix(w.Word(), detector.GuestsUnknown) || !strings.Contains(w.Word(), c.word) {
					t.Errorf("a list: %t, %q, want %q", known, w.Word(), c.word)
				}
				if dials < 9 || dials > 16 || changes != 1 {
					t.Errorf("asked %d times in 5 min, told %d times", dials, changes)
				}
			})
		})
	}
}

// TestAgentChanged: libvirt's events say when a guest agent comes and goes; a domain that was
// started anew is described anew.
func TestAgentChanged(t *testing.T) {
	w := watchOf(Options{})
	w.agents = map[libvirt.UUID]agentSeen{}
	u := libvirt.UUID{1}
	tell := func(run int32, state libvirt.ConnectDomainEventAgentLifecycleState) {
		w.agentChanged(&libvirt.DomainEventCallbackAgentLifecycleMsg{Dom: libvirt.Domain{UUID: u, ID: run}, State: int32(state)})
	}
	seen := func(run int32) int { return len(w.agentsOf(nil, []libvirt.Domain{{UUID: u, ID: run}})) }
	tell(3, libvirt.ConnectDomainEventAgentLifecycleStateConnected)
	if n := seen(3); n != 1 {
		t.Errorf("it is there: %d", n)
	}
	tell(3, libvirt.ConnectDomainEventAgentLifecycleStateDisconnected)
	if n := seen(3); n != 0 {
		t.Errorf("it has gone: %d", n)
	}
	if g := w.agentsOf(nil, nil); len(g) > 0 || len(w.agents) > 0 {
		t.Errorf("a domain that ended is remembered: %v", w.agents)
	}
}

// TestEnds: which action of a watchdog or of a failed disk is an end.
func TestEnds(t *testing.T) {
	for action, want := range map[libvirt.DomainEventWatchdogAction]detector.GuestEnd{
		libvirt.DomainEventWatchdogNone: "", libvirt.DomainEventWatchdogReset: "", libvirt.DomainEventWatchdogInjectnmi: "",
		libvirt.DomainEventWatchdogPause: detector.GuestWatchdog, libvirt.DomainEventWatchdogPoweroff: detector.GuestWatchdog, libvirt.DomainEventWatchdogShutdown: detector.GuestWatchdog,
	} {
		if kind, word := ranOut(action); kind != want || (word == "") != (want == "") {
			t.Errorf("watchdog action %d: %q %q", action, kind, word)
		}
	}
	for action, want := range map[libvirt.DomainEventIOErrorAction]string{
		libvirt.DomainEventIoErrorNone: "", libvirt.DomainEventIoErrorPause: "vda enospc, paused", libvirt.DomainEventIoErrorReport: "vda enospc, told to the guest",
	} {
		if kind, word := storageFailed(action, "vda", "enospc"); word != want || (kind == "") != (want == "") {
			t.Errorf("error action %d: %q %q", action, kind, word)
		}
	}
}
