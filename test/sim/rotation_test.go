package sim

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lifeboat-ha/lifeboat/config"
	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/evacuate/api"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// rotating is a small site whose ring is given a new key.
type rotating struct {
	*testing.T
	*Cloud
	gone []nova.HostName // may be held dead
}

// TestRotation: the production controllers and agents rotate the ring's key while
// leaders die and a host is away; nobody else is ever held dead.
func TestRotation(t *testing.T) {
	for name, play := range map[string]func(*rotating){
		"undisturbed":   func(r *rotating) { r.rotate(1) },
		"twice":         func(r *rotating) { r.rotate(1); r.rotate(2) },
		"leaders die":   leadersDie,
		"one host away": oneAway,
		"a controller down": func(r *rotating) {
			down := r.follower()
			down.kill()
			r.look(2 * time.Second)
			if _, err := r.command(api.VerbRingRotate); err == nil {
				r.Error("begun although a controller has not got the key")
			}
			if r.leader().ctl.State().Rotation != nil {
				r.Error("refused and begun")
			}
			r.start(down)
			r.rotate(1)
		},
		"abandoned": func(r *rotating) {
			r.must(api.VerbRingRotate)
			r.look(10 * time.Second)
			r.must(api.VerbRingAbandon)
			r.look(time.Minute)
			if s := r.leader().ctl.State(); s.RingEpoch != 0 || s.Rotation != nil {
				r.Errorf("epoch %d, %+v", s.RingEpoch, s.Rotation)
			}
			r.rotate(1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				r := openRotating(t, dir)
				defer r.Close()
				play(r)
				r.whole()
			})
		})
	}
}

func openRotating(t *testing.T, dir string) *rotating {
	t.Helper()
	p := DefaultPolicy()
	p.Mode = "observe"
	c, err := Open(t.Context(), Setup{Controllers: 3, Hosts: 6, Domains: 3, Profile: config.ProfileDefault, Heartbeat: Management}, p, 1, dir, slog.DiscardHandler)
	if err != nil {
		t.Fatal(err)
	}
	return &rotating{T: t, Cloud: c}
}

// TestJoinWithoutControllers: agents that all start anew while no controller runs
// find each other by the addresses of their last roster.
func TestJoinWithoutControllers(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := openRotating(t, dir)
		defer r.Close()
		time.Sleep(40 * time.Second) // every agent has fetched the addresses
		for _, v := range r.voters {
			v.kill()
		}
		for _, h := range r.hosts {
			h.endAgent()
		}
		time.Sleep(10 * time.Second)
		for _, h := range r.hosts {
			h.startAgent()
		}
		time.Sleep(2 * time.Minute)
		for _, h := range r.hosts {
			if v := r.view(h); v.Alive != len(r.hosts) {
				t.Errorf("%s sees %+v", h.name, v)
			}
		}
	})
}

func leadersDie(r *rotating) {
	r.must(api.VerbRingRotate)
	for _, phase := range []evacuate.RingPhase{evacuate.RingDistribute, evacuate.RingUse} {
		r.until(2*time.Minute, func(s *evacuate.State) bool { return s.Rotation != nil && s.Rotation.Phase == phase })
		r.look(5 * time.Second)
		first := r.voterOf(r.leader())
		first.kill()
		r.look(40 * time.Second)
		if phase == evacuate.RingDistribute {
			// Its disk has lost the key: it asks the others for it.
			if err := os.Remove(first.path("ring-keys.json")); err != nil {
				r.Error(err)
			}
		}
		r.start(first)
	}
	r.until(5*time.Minute, func(s *evacuate.State) bool { return s.Rotation == nil && s.RingEpoch == 1 })
}

func oneAway(r *rotating) {
	away := r.hosts[4]
	r.gone = []nova.HostName{away.name}
	away.endAgent()
	r.look(30 * time.Second)
	r.rotate(1)
	away.startAgent()
	r.look(45 * time.Second) // whom gossip has missed hears of it as members join again, each 30 s at most
	r.gone = nil
}

// rotate begins a rotation and sees it through.
func (r *rotating) rotate(epoch int) {
	r.Helper()
	r.must(api.VerbRingRotate)
	began := time.Now()
	r.until(5*time.Minute, func(s *evacuate.State) bool { return s.Rotation == nil && s.RingEpoch == epoch })
	if took := time.Since(began); took < 90*time.Second {
		r.Errorf("three phases in %s", took)
	}
}

func (r *rotating) command(verb string) (string, error) {
	return r.leader().ctl.Command(context.Background(), api.Command{Verb: verb, By: "ann"})
}

func (r *rotating) must(verb string) {
	r.Helper()
	if _, err := r.command(verb); err != nil {
		r.Fatalf("%s: %v", verb, err)
	}
}

// look passes time, and looks at every member of the ring for one that holds
// another dead.
func (r *rotating) look(d time.Duration) {
	r.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(250 * time.Millisecond) {
		for _, h := range r.hosts {
			for _, dead := range r.view(h).Dead {
				if !slices.Contains(r.gone, dead) && !slices.Contains(r.gone, h.name) {
					r.Fatalf("%s holds %s dead: %+v", h.name, dead, r.leader().ctl.RingStatus())
				}
			}
		}
	}
}

func (r *rotating) until(within time.Duration, done func(*evacuate.State) bool) {
	r.Helper()
	for end := time.Now().Add(within); time.Now().Before(end); {
		if l := r.leader(); l != nil && done(l.ctl.State()) {
			return
		}
		r.look(500 * time.Millisecond)
	}
	r.Fatalf("not within %s: %+v", within, r.leader().ctl.RingStatus())
}

func (r *rotating) voterOf(run *voterRun) *voter {
	for _, v := range r.voters {
		if v.current() == run {
			return v
		}
	}
	r.Fatal("no leader")
	return nil
}

func (r *rotating) follower() *voter {
	for _, v := range r.voters {
		if v.current() != r.leader() {
			return v
		}
	}
	return nil
}

func (r *rotating) start(v *voter) {
	r.Helper()
	if err := v.start(); err != nil {
		r.Fatal(err)
	}
	r.look(20 * time.Second)
}

// whole checks that in the end everybody sees everybody.
func (r *rotating) whole() {
	r.Helper()
	all := len(r.hosts) + len(r.voters)
	for range 240 {
		if r.seenByAll() == all {
			return
		}
		r.look(250 * time.Millisecond)
	}
	for _, h := range r.hosts {
		r.Errorf("%s sees %+v", h.name, r.view(h))
	}
}

func (r *rotating) seenByAll() int {
	least := len(r.hosts) + len(r.voters)
	for _, h := range r.hosts {
		least = min(least, r.view(h).Alive)
	}
	for _, v := range r.voters {
		least = min(least, v.current().ctl.RingSize())
	}
	return least
}

func (r *rotating) view(h *machine) detector.RingView {
	h.mu.Lock()
	run := h.run
	h.mu.Unlock()
	if run == nil {
		return detector.RingView{}
	}
	select {
	case <-run.ready:
		if run.agent != nil {
			return run.agent.RingView()
		}
	default:
	}
	return detector.RingView{}
}
