package gossip_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector/gossip"
	"github.com/lifeboat-ha/lifeboat/detector/gossip/gossiptest"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// ring is a ring under test: the first three members are controllers.
type ring struct {
	t       *testing.T
	net     *gossiptest.Network
	profile gossip.Profile
	known   []gossip.Peer
	nodes   []*node
}

type node struct {
	r    *ring
	i    int
	name string
	at   netip.AddrPort
	boot int
	runs int
	lag  atomic.Int64 // how far its clock was carried beyond the others'

	member *gossip.Member

	mu     sync.Mutex
	events []gossip.Event
}

const controllers = 3

var key = bytes.Repeat([]byte{7}, 32)

// inRing runs f with a whole ring of n members in a bubble.
func inRing(t *testing.T, n int, f func(*ring)) { inRingOf(t, n, gossip.ProfileDefault, f) }

func inRingOf(t *testing.T, n int, p gossip.Profile, f func(*ring)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &ring{t: t, net: gossiptest.New(1), profile: p}
		r.net.SetDelay(200 * time.Microsecond)
		for i := range n {
			nd := &node{r: r, i: i, name: fmt.Sprintf("compute-%d", i), at: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i / 250), byte(i%250 + 1)}), 7946)}
			if i < controllers {
				nd.name = gossip.ControllerName(fmt.Sprintf("c%d", i))
			}
			r.nodes = append(r.nodes, nd)
			r.known = append(r.known, gossip.Peer{Name: nd.name, Addr: nd.at})
		}
		for _, nd := range r.nodes {
			nd.start()
			time.Sleep(20 * time.Millisecond)
		}
		if !r.becomesWhole(2 * time.Minute) {
			t.Fatal("the ring never became whole")
		}
		time.Sleep(15 * time.Second)
		r.forgetEvents()
		f(r)
		for _, nd := range r.nodes {
			nd.member.Close()
		}
		// memberlist's own goroutines end with their timers.
		time.Sleep(2 * time.Minute)
	})
}

func (n *node) options() gossip.Options {
	role := gossip.RoleAgent
	if n.i < controllers {
		role = gossip.RoleController
	}
	return gossip.Options{
		Name: n.name, Bind: n.at, Keys: [][]byte{key}, Label: "cloud-a", Profile: n.r.profile,
		Meta:      gossip.Meta{Role: role, Boot: fmt.Sprintf("boot-%d", n.boot), Start: fmt.Sprintf("run-%d", n.runs), Domain: fmt.Sprintf("rack-%d", n.i%4), Version: "1"},
		Known:     func() []gossip.Peer { return n.r.known },
		Transport: n.r.net.Transport(n.at),
		OnEvent: func(e gossip.Event) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.events = append(n.events, e)
		},
		Now: func() time.Time { return time.Now().Add(time.Duration(n.lag.Load())) },
		Log: slog.New(slog.DiscardHandler),
	}
}

func (n *node) start() {
	n.r.t.Helper()
	n.runs++
	m, err := gossip.Open(n.r.t.Context(), n.options())
	if err != nil {
		n.r.t.Fatal(err)
	}
	n.member = m
}

func (n *node) addr() netip.Addr { return n.at.Addr() }

func (n *node) of(kinds ...gossip.EventKind) (got []gossip.Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range n.events {
		if slices.Contains(kinds, e.Kind) {
			got = append(got, e)
		}
	}
	return got
}

func (n *node) holdsDead(other *node) bool {
	return slices.Contains(n.member.View().Dead, nova.HostName(other.name))
}

func (r *ring) forgetEvents() {
	for _, n := range r.nodes {
		n.mu.Lock()
		n.events = nil
		n.mu.Unlock()
	}
}

func (r *ring) others(of ...*node) (rest []*node) {
	for _, n := range r.nodes {
		if !slices.Contains(of, n) {
			rest = append(rest, n)
		}
	}
	return rest
}

// whole says that all of these see each other.
func whole(nodes []*node) bool {
	for _, n := range nodes {
		if v := n.member.View(); v.Alive < len(nodes) || len(v.Dead) > 0 || v.Stalled {
			return false
		}
	}
	return true
}

// holes tells who does not see whom.
func (r *ring) holes() (all []string) {
	for _, n := range r.nodes {
		v := n.member.View()
		if v.Alive == len(r.nodes) && len(v.Dead) == 0 && !v.Stalled {
			continue
		}
		hole := fmt.Sprintf("%s %+v %v", n.name, v, n.member.Stats())
		for _, s := range n.member.Members() {
			if s.State != gossip.Alive {
				hole += fmt.Sprintf(" %s %s since %v", s.Name, s.State, time.Since(s.Since))
			}
		}
		all = append(all, hole)
	}
	return all
}

func (r *ring) becomesWhole(within time.Duration) bool {
	return eventually(within, func() bool { return whole(r.nodes) })
}

func eventually(within time.Duration, f func() bool) bool {
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(250 * time.Millisecond) {
		if f() {
			return true
		}
	}
	return f()
}

// falseDeaths are the deaths of these that were told to those, and how many of
// these died at all.
func falseDeaths(of, seenBy []*node) (events int, victims []string) {
	names := map[string]bool{}
	for _, n := range of {
		names[n.name] = false
	}
	for _, n := range seenBy {
		for _, e := range n.of(gossip.EventDied) {
			if _, ok := names[e.Name]; ok {
				events++
				names[e.Name] = true
			}
		}
	}
	for name, died := range names {
		if died {
			victims = append(victims, name)
		}
	}
	return events, victims
}

func TestDeathIsSeenByAll(t *testing.T) {
	for _, p := range []gossip.Profile{gossip.ProfileDefault, gossip.ProfileFast} {
		t.Run(string(p), func(t *testing.T) {
			inRingOf(t, 30, p, func(r *ring) {
				victim := r.nodes[10]
				r.net.Kill(victim.addr())
				victim.member.Close()
				began := time.Now()
				rest := r.others(victim)
				all := func() bool {
					return !slices.ContainsFunc(rest, func(n *node) bool { return !n.holdsDead(victim) })
				}
				if !eventually(20*time.Second, all) {
					t.Fatal("not all saw it die")
				}
				t.Logf("dead for all after %v", time.Since(began))
				for _, n := range rest {
					if v := n.member.View(); v.Alive != 29 || v.Known != 30 || len(v.Dead) != 1 {
						t.Fatalf("%s sees %+v", n.name, v)
					}
				}
				r.net.Revive(victim.addr())
				victim.start()
				if !r.becomesWhole(time.Minute) {
					t.Error("it did not come back for all")
				}
			})
		})
	}
}

func TestLeaveIsNoDeath(t *testing.T) {
	inRing(t, 20, func(r *ring) {
		leaver := r.nodes[10]
		if err := leaver.member.SetLeaving(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		if err := leaver.member.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		leaver.member.Close()
		r.net.Kill(leaver.addr())
		time.Sleep(time.Minute)
		for _, n := range r.others(leaver) {
			if v := n.member.View(); v.Alive != 19 || v.Known != 19 || len(v.Dead) != 0 {
				t.Fatalf("%s sees %+v", n.name, v)
			}
			if len(n.of(gossip.EventLeft)) != 1 || len(n.of(gossip.EventDied)) != 0 {
				t.Fatalf("%s was told %+v", n.name, n.of(gossip.EventLeft, gossip.EventDied))
			}
		}
		r.net.Revive(leaver.addr())
		leaver.start()
		if !r.becomesWhole(time.Minute) {
			t.Error("it did not come back")
		}
	})
}

// One that announced its stop and then falls silent without Leave has left too.
func TestAnnouncedSilenceIsNoDeath(t *testing.T) {
	inRing(t, 20, func(r *ring) {
		leaver := r.nodes[10]
		if err := leaver.member.SetLeaving(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		r.net.Kill(leaver.addr())
		leaver.member.Close()
		time.Sleep(time.Minute)
		for _, n := range r.others(leaver) {
			if v := n.member.View(); len(v.Dead) != 0 || len(n.of(gossip.EventLeft)) != 1 {
				t.Fatalf("%s sees %+v", n.name, v)
			}
		}
	})
}

// A reboot that is over before anybody noticed shows by its boot id alone.
func TestQuickRebootIsSeen(t *testing.T) {
	for _, down := range []time.Duration{time.Second, 3 * time.Second} {
		t.Run(down.String(), func(t *testing.T) {
			inRing(t, 30, func(r *ring) {
				victim := r.nodes[10]
				r.net.Kill(victim.addr())
				victim.member.Close()
				time.Sleep(down)
				r.net.Revive(victim.addr())
				victim.boot++
				victim.start()
				time.Sleep(15 * time.Second)
				for _, n := range r.others(victim) {
					got := n.of(gossip.EventRebooted)
					if len(got) != 1 || got[0].Name != victim.name || got[0].FormerBoot != "boot-0" || got[0].Meta.Boot != "boot-1" {
						t.Fatalf("%s was told %+v", n.name, got)
					}
					if d := n.of(gossip.EventDied); len(d) != 0 {
						t.Fatalf("%s was told of deaths: %+v", n.name, d)
					}
				}
			})
		})
	}
}

// The ring takes only those who hold the key, the label and a name that fits.
func TestStrangers(t *testing.T) {
	inRing(t, 5, func(r *ring) {
		for name, change := range map[string]func(*gossip.Options){
			"key":   func(o *gossip.Options) { o.Keys = [][]byte{bytes.Repeat([]byte{8}, 32)} },
			"label": func(o *gossip.Options) { o.Label = "cloud-b" },
		} {
			stranger := &node{r: r, i: 100, name: "stranger", at: netip.MustParseAddrPort("10.9.9.9:7946")}
			o := stranger.options()
			change(&o)
			m, err := gossip.Open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(30 * time.Second)
			if v := m.View(); v.Alive != 1 {
				t.Errorf("with another %s it sees %+v", name, v)
			}
			m.Close()
		}
		if !whole(r.nodes) || r.nodes[0].member.View().Alive != 5 {
			t.Errorf("a stranger is in the ring: %+v", r.nodes[0].member.View())
		}
	})
}

func TestKeyRotation(t *testing.T) {
	inRing(t, 10, func(r *ring) {
		next, third := bytes.Repeat([]byte{8}, 16), bytes.Repeat([]byte{9}, 24)
		each := func(what string, f func(*gossip.Keys) error) {
			for _, n := range r.nodes {
				if err := f(n.member.Keys()); err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				time.Sleep(time.Second)
			}
		}
		each("add", func(k *gossip.Keys) error { return k.Add(next) })
		each("add", func(k *gossip.Keys) error { return k.Add(third) })
		each("use", func(k *gossip.Keys) error { return k.Use(next) })
		each("remove", func(k *gossip.Keys) error { return k.Remove(key) })
		each("count", func(k *gossip.Keys) error {
			if n := k.Count(); n != 2 {
				return fmt.Errorf("%d keys", n)
			}
			return nil
		})
		if k := r.nodes[0].member.Keys(); k.Remove(next) == nil || k.Remove(key) == nil || k.Use(key) == nil {
			t.Error("the key in use was removed, or one that is gone")
		}
		time.Sleep(2 * time.Minute)
		if events, _ := falseDeaths(r.nodes, r.nodes); events != 0 || !whole(r.nodes) {
			t.Errorf("%d deaths in a rotation", events)
		}
	})
}
