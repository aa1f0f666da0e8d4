package heartbeat

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

const agentAt = "192.0.2.11:7000"

func controllerAt(n int) string { return fmt.Sprintf("192.0.2.%d:7000", n) }

// ears is what a controller's callbacks gathered.
type ears struct {
	mu       sync.Mutex
	beats    []detector.Heartbeat
	probes   []detector.Probe
	unproven int
}

func (e *ears) heard() []detector.Heartbeat {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]detector.Heartbeat(nil), e.beats...)
}

func (e *ears) results() []detector.Probe {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]detector.Probe(nil), e.probes...)
}

func startReceiver(t *testing.T, w *wire, n int) (*Receiver, *ears) {
	t.Helper()
	e := &ears{}
	r, err := Listen(t.Context(), ReceiverOptions{
		ID: fmt.Sprintf("c%d", n), Key: testKey(byte(n)), ClusterID: "cloud-a", Conn: w.end(controllerAt(n)),
		Hosts: func(h nova.HostName) ([]ed25519.PublicKey, bool) {
			return oneKey(public(testKey(100))), h == "compute-1"
		},
		OnHeartbeat: func(hb detector.Heartbeat, _ netip.AddrPort, _ time.Time) {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.beats = append(e.beats, hb)
		},
		OnProbes: func(p []detector.Probe) {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.probes = append(e.probes, p...)
		},
		OnUnproven: func(nova.HostName, time.Time) {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.unproven++
		},
		Status: func() Status { return Status{Leader: "c1", Term: 3, Roster: 12} },
		Now:    time.Now, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r, e
}

func peers(n int) (all []Peer) {
	for i := 1; i <= n; i++ {
		all = append(all, Peer{ID: fmt.Sprintf("c%d", i), Address: netip.MustParseAddrPort(controllerAt(i)), PublicKey: public(testKey(byte(i)))})
	}
	return all
}

func senderOptions(w *wire, run string, controllers int) SenderOptions {
	return SenderOptions{
		Host: "compute-1", Key: testKey(100), ClusterID: "cloud-a", Controllers: peers(controllers), Conn: w.end(agentAt),
		Boot: "boot-1", Start: run, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Ring:   func() detector.RingView { return detector.RingView{Alive: 3, Known: 3} },
		Listed: func(h nova.HostName) bool { return strings.HasPrefix(string(h), "compute-") },
	}
}

func startSender(t *testing.T, o SenderOptions) *Sender {
	t.Helper()
	s, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestEveryControllerHearsOneASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		_, a := startReceiver(t, w, 1)
		_, b := startReceiver(t, w, 2)
		s := startSender(t, senderOptions(w, "run-1", 3)) // the third is down
		time.Sleep(10 * time.Second)
		for _, e := range []*ears{a, b} {
			if n := len(e.heard()); n < 9 || n > 11 {
				t.Errorf("%d heartbeats in 10 s", n)
			}
			if hb := e.heard()[0]; hb.Host != "compute-1" || hb.Boot != "boot-1" || hb.Start != "run-1" || hb.Ring.Alive != 3 {
				t.Errorf("heard %+v", hb)
			}
		}
		for _, c := range s.Contacts() {
			alive := c.ID != "c3"
			if alive != (time.Since(c.Heard) < 2*time.Second) || alive != (c.Roster == 12 && c.Leader == "c1" && c.Term == 3) {
				t.Errorf("contact %+v", c)
			}
		}
	})
}

func TestRestartsAreHeardAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		r, e := startReceiver(t, w, 1)
		s := startSender(t, senderOptions(w, "run-1", 1))
		time.Sleep(5 * time.Second)

		s.Close()
		s = startSender(t, senderOptions(w, "run-2", 1))
		time.Sleep(1100 * time.Millisecond) // the first beat comes within one interval
		if hb := e.heard()[len(e.heard())-1]; hb.Start != "run-2" {
			t.Errorf("the restarted agent is not heard: %+v", hb)
		}

		r.Close()
		_, e = startReceiver(t, w, 1)
		time.Sleep(1100 * time.Millisecond)
		if len(e.heard()) == 0 {
			t.Error("the restarted controller hears nothing")
		}
		if c := s.Contacts()[0]; time.Since(c.Heard) > 1200*time.Millisecond {
			t.Errorf("the restarted controller does not acknowledge: %v", time.Since(c.Heard))
		}
	})
}

func TestRecordingsRaiseNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		r, e := startReceiver(t, w, 1)
		s := startSender(t, senderOptions(w, "run-1", 1))
		time.Sleep(5 * time.Second)
		s.Close()
		s = startSender(t, senderOptions(w, "run-2", 1))
		time.Sleep(5 * time.Second)
		s.Close() // the host dies
		synctest.Wait()
		n := len(e.heard())
		tape := w.recordings()

		for _, rec := range tape {
			w.play(rec)
		}
		synctest.Wait()
		if got := len(e.heard()); got != n {
			t.Errorf("%d recordings counted", got-n)
		}
		// A restarted controller has forgotten all numbers.
		r.Close()
		_, e = startReceiver(t, w, 1)
		for range 3 {
			for _, rec := range tape {
				w.play(rec)
			}
			synctest.Wait()
		}
		if got := len(e.heard()); got != 0 {
			t.Errorf("after its restart %d recordings counted", got)
		}
		if e.unproven == 0 {
			t.Error("nobody was told of unproven heartbeats")
		}
	})
}

// What one controller heard cannot be told to another, which did not.
func TestRecordingsDoNotCross(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		_, a := startReceiver(t, w, 1)
		rb, b := startReceiver(t, w, 2)
		s := startSender(t, senderOptions(w, "run-1", 2))
		time.Sleep(3 * time.Second)
		two := netip.MustParseAddrPort(controllerAt(2))
		w.setDrop(func(_, to netip.AddrPort) bool { return to == two })
		time.Sleep(5 * time.Second)
		s.Close()
		synctest.Wait()
		n := len(b.heard())
		for _, rec := range w.recordings() {
			if rec.to.Port() == 7000 && rec.to != two {
				rec.to = two
				w.play(rec)
			}
		}
		synctest.Wait()
		if len(b.heard()) != n || len(a.heard()) <= n || rb.Stats().NotForUs == 0 {
			t.Errorf("c2 heard %d, then %d; c1 %d; %+v", n, len(b.heard()), len(a.heard()), rb.Stats())
		}
	})
}

func TestForgeries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		r, e := startReceiver(t, w, 1)
		o := senderOptions(w, "run-1", 1)
		o.Key = testKey(66) // another host's
		startSender(t, o).Close()
		send := func(change func(*SenderOptions)) {
			o := senderOptions(w, "run-1", 1)
			change(&o)
			s := startSender(t, o)
			time.Sleep(3 * time.Second)
			s.Close()
		}
		send(func(o *SenderOptions) { o.Key = testKey(66) })
		send(func(o *SenderOptions) { o.ClusterID = "cloud-b" })
		send(func(o *SenderOptions) { o.Host = "stranger" })
		w.play(recording{to: netip.MustParseAddrPort(controllerAt(1)), b: []byte("LB?")})
		synctest.Wait()
		st := r.Stats()
		if len(e.heard()) != 0 || st.BadSignature == 0 || st.OtherCluster == 0 || st.UnknownPeer == 0 || st.Malformed != 1 || st.Accepted != 0 || st.Sent != 0 {
			t.Errorf("%d heard; %+v", len(e.heard()), st)
		}
	})
}

func TestAnnounce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		_, e := startReceiver(t, w, 1)
		s := startSender(t, senderOptions(w, "run-1", 3)) // one of three answers
		time.Sleep(3 * time.Second)
		w.setDrop(func(_, _ netip.AddrPort) bool { return rand.IntN(2) == 0 })
		if err := s.Announce(t.Context()); err != nil {
			t.Error(err)
		}
		if hb := e.heard()[len(e.heard())-1]; !hb.Leaving {
			t.Error("acknowledged, but not heard")
		}
	})
}

func TestAnnounceToNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		s := startSender(t, senderOptions(w, "run-1", 3))
		began := time.Now()
		if err := s.Announce(t.Context()); err == nil {
			t.Error("acknowledged by nobody")
		}
		if d := time.Since(began); d != announceFor {
			t.Errorf("gave up after %v", d)
		}
	})
}

func TestOptions(t *testing.T) {
	w := newWire()
	for name, change := range map[string]func(*SenderOptions){
		"no key":        func(o *SenderOptions) { o.Key = nil },
		"no host":       func(o *SenderOptions) { o.Host = "" },
		"no boot":       func(o *SenderOptions) { o.Boot = "" },
		"long start":    func(o *SenderOptions) { o.Start = strings.Repeat("x", 65) },
		"no cluster":    func(o *SenderOptions) { o.ClusterID = "" },
		"no clock":      func(o *SenderOptions) { o.Now = nil },
		"twice":         func(o *SenderOptions) { o.Controllers = append(o.Controllers, o.Controllers[0]) },
		"no public key": func(o *SenderOptions) { o.Controllers[0].PublicKey = nil },
		"probe any host": func(o *SenderOptions) {
			o.Probe, o.Listed = func(context.Context, Order) []detector.Probe { return nil }, nil
		},
	} {
		o := senderOptions(w, "run-1", 1)
		change(&o)
		if err := o.Validate(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := (&ReceiverOptions{}).Validate(); err == nil {
		t.Error("empty receiver options accepted")
	}
}
