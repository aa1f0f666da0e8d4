package gossip_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/detector/gossip"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// settle is beyond the longest suspicion of a ring of 30 (6 × 4 × log10(30) s):
// whoever was accused before has died or been cleared by then.
const settle = 75 * time.Second

// A member that was cut off and comes back must not make the others see healthy
// members die (memberlist alone: 2 to 7 of 100, at nearly all observers).
func TestReturningMemberPoisonsNobody(t *testing.T) {
	for _, cut := range []time.Duration{time.Second, 4 * time.Second, 45 * time.Second} {
		t.Run(cut.String(), func(t *testing.T) {
			inRing(t, 30, func(r *ring) {
				lone := r.nodes[20]
				r.net.Isolate(lone.addr())
				time.Sleep(cut)
				r.net.Heal()
				time.Sleep(settle)
				events, victims := falseDeaths(r.others(lone), r.nodes)
				t.Logf("%d false deaths of %v; renewals %v", events, victims, lone.member.Stats().Renewals)
				if events != 0 {
					t.Errorf("%d false deaths of %v", events, victims)
				}
				if !whole(r.nodes) {
					t.Errorf("the ring is not whole again: %s", r.holes())
				}
			})
		})
	}
}

// The lone member itself does not vote, from soon after the cut until it has
// settled again.
func TestIsolatedMemberIsMute(t *testing.T) {
	inRing(t, 30, func(r *ring) {
		lone := r.nodes[20]
		r.net.Isolate(lone.addr())
		cut := time.Now()
		for time.Since(cut) < time.Minute {
			v := lone.member.View()
			if mute := v.Muted && (v.Stalled || 2*v.Alive < v.Known); !mute && time.Since(cut) > 6*time.Second {
				t.Fatalf("%v after the cut it votes: %+v", time.Since(cut), v)
			}
			if len(v.Dead) > 0 {
				t.Fatalf("%v after the cut it holds %v for dead", time.Since(cut), v.Dead)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if n := lone.member.Stats().Renewals; n[gossip.Isolated] != 1 || len(n) != 1 {
			t.Errorf("renewals: %v", n)
		}
		r.net.Heal()
		healed := time.Now()
		if !r.becomesWhole(30 * time.Second) {
			t.Error("it does not come back")
		}
		t.Logf("whole %v after the heal", time.Since(healed))
	})
}

// A member that sends but does not hear, or hears but cannot send, must not
// make others see healthy members die (consul#5928).
func TestHalfDeafMemberPoisonsNobody(t *testing.T) {
	for name, cut := range map[string]func(*ring, netip.Addr, netip.Addr){
		"sends only": func(r *ring, lone, other netip.Addr) { r.net.Cut(other, lone) },
		"hears only": func(r *ring, lone, other netip.Addr) { r.net.Cut(lone, other) },
	} {
		t.Run(name, func(t *testing.T) {
			inRing(t, 30, func(r *ring) {
				lone := r.nodes[20]
				for _, n := range r.others(lone) {
					cut(r, lone.addr(), n.addr())
				}
				time.Sleep(30 * time.Second)
				r.net.Heal()
				time.Sleep(settle)
				events, victims := falseDeaths(r.others(lone), r.nodes)
				t.Logf("%d false deaths of %v; renewals %v", events, victims, lone.member.Stats().Renewals)
				if len(victims) > 0 {
					t.Errorf("%d false deaths of %v", events, victims)
				}
				if !whole(r.nodes) {
					t.Errorf("the ring is not whole again: %s", r.holes())
				}
			})
		})
	}
}

type split struct {
	minority, of int
	split        time.Duration
}

// A split that outlasts memberlist's memory of the dead heals by the re-join,
// without anybody's help.
func TestSplitHeals(t *testing.T) {
	for _, c := range splits {
		t.Run(fmt.Sprintf("%d of %d for %v", c.minority, c.of, c.split), func(t *testing.T) {
			inRing(t, c.of, func(r *ring) {
				small := r.nodes[c.of-c.minority:]
				var island []netip.Addr
				for _, n := range small {
					island = append(island, n.addr())
				}
				r.net.Partition(island)
				time.Sleep(c.split)
				for _, n := range small {
					if v := n.member.View(); 2*c.minority < c.of && 2*v.Alive >= v.Known {
						t.Errorf("%s of the minority votes: %+v", n.name, v)
					}
				}
				r.forgetEvents()
				r.net.Heal()
				healed := time.Now()
				if !r.becomesWhole(3 * time.Minute) {
					t.Fatal("the split does not heal")
				}
				events, victims := falseDeaths(r.nodes, r.nodes)
				t.Logf("whole %v after the heal; meanwhile %d deaths of %d members", time.Since(healed), events, len(victims))
			})
		})
	}
}

// A process that stood still throws its ring away before it sends anything.
func TestStalledMemberBeginsAnew(t *testing.T) {
	for _, stall := range []time.Duration{2 * time.Second, 20 * time.Second} {
		t.Run(stall.String(), func(t *testing.T) {
			inRing(t, 30, func(r *ring) {
				lone := r.nodes[20]
				r.net.Freeze(lone.addr())
				time.Sleep(stall)
				// Its timers ran on in this bubble; its clock says that they had not.
				lone.lag.Add(int64(stall))
				r.net.Thaw(lone.addr())
				if v := lone.member.View(); !v.Stalled {
					t.Errorf("resumed, and it votes: %+v", v)
				}
				time.Sleep(time.Second)
				if n := lone.member.Stats().Renewals[gossip.Stalled]; n != 1 {
					t.Errorf("%d renewals after a stall of %v", n, stall)
				}
				if v := lone.member.View(); !v.Stalled || v.Alive < 29 {
					t.Errorf("a second after it resumed: %+v", v)
				}
				time.Sleep(settle)
				events, victims := falseDeaths(r.others(lone), r.nodes)
				if events != 0 {
					t.Errorf("%d false deaths of %v", events, victims)
				}
				if !whole(r.nodes) || lone.member.View().Stalled {
					t.Errorf("the ring is not whole again: %s", r.holes())
				}
			})
		})
	}
}

// Losing a tenth of all packets kills nobody for two observers, and nobody
// throws its ring away.
func TestLossKillsNobody(t *testing.T) {
	inRing(t, 30, func(r *ring) {
		r.net.SetLoss(0.10)
		time.Sleep(90 * time.Second)
		events, victims := falseDeaths(r.nodes, r.nodes)
		renewals := 0
		for _, n := range r.nodes {
			for _, c := range n.member.Stats().Renewals {
				renewals += c
			}
		}
		t.Logf("%d false deaths of %v, %d renewals in 90 s", events, victims, renewals)
		if events > len(victims) || len(victims) > 1 || renewals > 1 {
			t.Errorf("%d false deaths of %v, %d renewals", events, victims, renewals)
		}
	})
}

// When many die at once the survivors keep their ring and see all of it.
func TestMassDeath(t *testing.T) {
	for _, dead := range []int{6, 18} {
		t.Run(fmt.Sprintf("%d of 30", dead), func(t *testing.T) {
			inRing(t, 30, func(r *ring) {
				killed := r.nodes[30-dead:]
				for _, n := range killed {
					r.net.Kill(n.addr())
					n.member.Close()
				}
				time.Sleep(settle)
				rest := r.others(killed...)
				events, victims := falseDeaths(rest, rest)
				if events != 0 {
					t.Errorf("%d false deaths of survivors %v", events, victims)
				}
				renewals := 0
				for _, n := range rest {
					v := n.member.View()
					if v.Alive != len(rest) || v.Known != 30 {
						t.Errorf("%s sees %+v", n.name, v)
					}
					if dead < 15 && len(v.Dead) != dead {
						t.Errorf("%s holds %d for dead", n.name, len(v.Dead))
					}
					for _, c := range n.member.Stats().Renewals {
						renewals += c
					}
				}
				if dead < 15 && renewals > 0 {
					t.Errorf("%d renewals", renewals)
				}
				t.Logf("%d renewals among %d survivors", renewals, len(rest))
				for _, n := range killed {
					r.net.Revive(n.addr())
					n.boot++
					n.start()
				}
				if !r.becomesWhole(2 * time.Minute) {
					t.Errorf("the ring is not whole again: %s", r.holes())
				}
			})
		})
	}
}

// A heartbeat names few dead. When more die at once, all of them are named
// again and again.
func TestManyDeadAreAllNamed(t *testing.T) {
	inRing(t, 40, func(r *ring) {
		killed := r.nodes[22:]
		for _, n := range killed {
			r.net.Kill(n.addr())
			n.member.Close()
		}
		time.Sleep(time.Minute)
		named := map[nova.HostName]int{}
		for range 50 {
			v := r.nodes[0].member.View()
			dead := v.Dead
			if len(dead) != detector.MaxDead || v.DeadCount != len(killed) {
				t.Fatalf("%d named, %d counted of %d", len(dead), v.DeadCount, len(killed))
			}
			for _, h := range dead {
				named[h]++
			}
		}
		for _, n := range killed {
			if named[nova.HostName(n.name)] == 0 {
				t.Errorf("%s is never named", n.name)
			}
		}
	})
}

// What Members tells is enough to find a member again.
func TestMembers(t *testing.T) {
	inRing(t, 10, func(r *ring) {
		lone := r.nodes[5]
		r.net.Isolate(lone.addr())
		if !eventually(10*time.Second, func() bool { return lone.member.Stats().Renewals[gossip.Isolated] == 1 }) {
			t.Fatal("it never began anew")
		}
		r.net.Heal()
		if !r.becomesWhole(30 * time.Second) {
			t.Error("it does not come back")
		}
		if !slices.ContainsFunc(r.nodes[0].member.Members(), func(s gossip.Sight) bool {
			return s.Name == lone.name && s.Addr == lone.at && s.State == gossip.Alive && s.Meta.Domain == "rack-1"
		}) {
			t.Errorf("members: %+v", r.nodes[0].member.Members())
		}
	})
}
