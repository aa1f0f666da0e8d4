package ledger_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/evacuate/ledger"
)

// bootstrapping runs Bootstrap and tells how it ended.
func bootstrapping(t *testing.T, l *ledger.Ledger) <-chan error {
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		_, err := l.Bootstrap(ctx)
		done <- err
	}()
	return done
}

func still(t *testing.T, done <-chan error, what string) {
	t.Helper()
	select {
	case err := <-done:
		t.Errorf("%s: it ended with %v", what, err)
	default:
	}
}

// TestNobodyFoundsWithoutAll: two of three never found a cluster, however long
// they wait; the third makes it whole.
func TestNobodyFoundsWithoutAll(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		a, b := bootstrapping(t, c.open(c.peers[0])), bootstrapping(t, c.open(c.peers[1]))
		time.Sleep(time.Minute)
		still(t, a, "c1")
		still(t, b, "c2")
		for id, l := range c.ledgers {
			if h := l.Health(); h.Writable || h.Voters != 0 {
				t.Errorf("%s: %+v", id, h)
			}
		}
		third := bootstrapping(t, c.open(c.peers[2]))
		for _, done := range []<-chan error{a, b, third} {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		c.apply(c.leader(), "one")
		c.agree("one")
	})
}

// TestSlowPeerIsAdmitted: a peer that learns last that all were there finds the
// cluster founded already, and must not think that it has lost its disk.
func TestSlowPeerIsAdmitted(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		for _, p := range c.peers {
			c.open(p)
		}
		a, b := bootstrapping(t, c.ledgers["c1"]), bootstrapping(t, c.ledgers["c2"])
		c.apply(c.leader("c1", "c2"), "one") // c3 answers hello, but does not ask yet
		third := bootstrapping(t, c.ledgers["c3"])
		for _, done := range []<-chan error{a, b, third} {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		c.agree("one")
	})
}

// TestRestartRemembers: a replica that has state takes part at once, and
// Bootstrap asks nobody.
func TestRestartRemembers(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		c.start()
		c.apply(c.leader(), "one")
		c.agree("one")
		id := c.leader().ClusterID()
		for _, p := range c.peers {
			c.ledgers[p.ID].Abandon()
		}
		for _, p := range c.peers {
			l := c.open(p)
			if fresh, err := l.Bootstrap(t.Context()); fresh || err != nil {
				t.Errorf("%s: fresh %v, %v", p.ID, fresh, err)
			}
		}
		c.apply(c.leader(), "two")
		c.agree("one", "two")
		if got := c.leader().ClusterID(); got != id {
			t.Errorf("the cluster is called %s, was %s", got, id)
		}
	})
}

// TestLostDisk: a voter that comes back blank may not vote, which would let an
// entry be lost that it had acknowledged. It is removed, added, and whole again.
func TestLostDisk(t *testing.T) {
	for name, lost := range map[string]string{"the founder's": "c1", "another's": "c3"} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 3, func(t *testing.T, c *cluster) {
				c.start()
				c.apply(c.leader(), "one")
				c.agree("one")
				p := c.ledgers[lost]
				p.Abandon()
				delete(c.ledgers, lost)
				delete(c.stores, lost)
				l := c.leader()
				peer := ledger.Peer{ID: lost}
				for _, v := range l.Voters() {
					if v.ID == lost {
						peer = v
					}
				}
				done := bootstrapping(t, c.open(peer))
				time.Sleep(30 * time.Second)
				still(t, done, "the blank voter")
				if n := len(c.lists[lost].all()); n != 0 || c.ledgers[lost].Term() != 0 {
					t.Errorf("the blank voter was reached: %d entries, term %d", n, c.ledgers[lost].Term())
				}
				// With it away, one more loss takes the quorum: it must not count.
				var other string
				for _, id := range c.others(l.ID()) {
					if id != lost {
						other = id
					}
				}
				c.network.Isolate(other)
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				if _, err := l.Apply(ctx, []byte("never")); err == nil {
					t.Error("a blank voter made up the quorum")
				}
				cancel()
				c.network.Return(other)

				replace(t, c, lost, peer)
				if err := <-done; err != nil {
					t.Error(err)
				}
				last := c.lists[lost].all()
				if len(last) == 0 || last[0] != "one" {
					t.Errorf("the new voter has %v", last)
				}
				c.apply(c.leader(), "two")
				c.network.Isolate(other) // now it counts
				c.apply(c.leader(c.others(other)...), "three")
				c.network.Return(other)
			})
		})
	}
}

func replace(t *testing.T, c *cluster, old string, fresh ledger.Peer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var ids []string
	for id := range c.ledgers {
		if id != old && id != fresh.ID {
			ids = append(ids, id)
		}
	}
	if err := c.leader(ids...).RemoveVoter(ctx, old); err != nil {
		t.Fatal(err)
	}
	if err := c.leader(ids...).AddVoter(ctx, fresh); err != nil {
		t.Fatal(err)
	}
	if n := len(c.leader().Voters()); n != 3 {
		t.Errorf("%d voters", n)
	}
}

// TestReplaceVoter: another machine takes the place of one that is gone.
func TestReplaceVoter(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		c.start()
		for range 50 {
			c.apply(c.leader(), "x")
		}
		gone := c.peers[2]
		c.ledgers[gone.ID].Abandon()
		delete(c.ledgers, gone.ID)
		fresh := ledger.Peer{ID: "c4", Address: "10.0.0.4:7000"}
		done := bootstrapping(t, c.open(fresh))
		time.Sleep(5 * time.Second)
		still(t, done, "the newcomer")
		replace(t, c, gone.ID, fresh)
		if err := <-done; err != nil {
			t.Error(err)
		}
		c.apply(c.leader(), "y")
		c.agree(append(strings.Split(strings.Repeat("x", 50), ""), "y")...)
	})
}

func TestMembersAreRefused(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		c.start()
		l := c.leader()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if err := l.AddVoter(ctx, c.peers[0]); err != nil {
			t.Errorf("add a voter again: %v", err)
		}
		for name, test := range map[string]struct {
			err  error
			want string
		}{
			"remove a stranger": {l.RemoveVoter(ctx, "c9"), "no member"},
			"add without id":    {l.AddVoter(ctx, ledger.Peer{Address: "x:1"}), "missing"},
			"address is taken":  {l.AddVoter(ctx, ledger.Peer{ID: "c9", Address: c.peers[0].Address}), "that of c1"},
			"nobody there":      {l.AddVoter(ctx, ledger.Peer{ID: "c9", Address: "10.0.0.9:7000"}), "without a vote"},
		} {
			if test.err == nil || !strings.Contains(test.err.Error(), test.want) {
				t.Errorf("%s: got %v, want %q", name, test.err, test.want)
			}
		}
		if n := len(l.Voters()); n != 3 {
			t.Errorf("a newcomer that nobody reached has a vote: %v", l.Voters())
		}
		for _, id := range c.others(l.ID()) {
			if err := c.ledgers[id].RemoveVoter(t.Context(), "c9"); err == nil {
				t.Error("a follower removed a voter")
			}
			if err := c.ledgers[id].AddVoter(t.Context(), ledger.Peer{ID: "c8", Address: "y:1"}); !ledger.IsNotLeader(err) {
				t.Errorf("a follower added a voter: %v", err)
			}
		}
	})
	bubble(t, 1, func(t *testing.T, c *cluster) {
		c.start()
		if err := c.leader().RemoveVoter(t.Context(), "c1"); err == nil || !strings.Contains(err.Error(), "last voter") {
			t.Errorf("the last voter: %v", err)
		}
	})
}

// TestAddressOfVoterChanges: a voter that moved, with its disk, is removed and
// added.
func TestAddressOfVoterChanges(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		c.start()
		c.apply(c.leader(), "one")
		c.agree("one")
		old := c.peers[2]
		c.ledgers[old.ID].Abandon()
		delete(c.ledgers, old.ID)
		moved := ledger.Peer{ID: old.ID, Address: "10.0.1.1:7000"}
		c.peers[2] = moved
		c.open(moved)
		if err := c.leader("c1", "c2").AddVoter(t.Context(), moved); err == nil || !strings.Contains(err.Error(), "remove it first") {
			t.Errorf("added without removing: %v", err)
		}
		replace(t, c, old.ID, moved)
		c.apply(c.leader(), "two")
		c.agree("one", "two")
	})
}

func TestBootstrapEndsWithItsContext(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		l := c.open(c.peers[0])
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if _, err := l.Bootstrap(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "waiting for c2") {
			t.Errorf("got %v", err)
		}
		done := bootstrapping(t, l)
		time.Sleep(time.Second)
		l.Close()
		if err := <-done; !errors.Is(err, ledger.ErrClosed) {
			t.Errorf("closed: %v", err)
		}
	})
}

// TestFounderDiesEarly: a peer that was slow to join is admitted by the word of
// any other.
func TestFounderDiesEarly(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		for _, p := range c.peers {
			c.open(p)
		}
		a, b := bootstrapping(t, c.ledgers["c1"]), bootstrapping(t, c.ledgers["c2"])
		c.apply(c.leader("c1", "c2"), "one")
		if err := errors.Join(<-a, <-b); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		c.ledgers["c1"].Abandon()
		delete(c.ledgers, "c1")
		if err := <-bootstrapping(t, c.ledgers["c3"]); err != nil {
			t.Error(err)
		}
		c.apply(c.leader(), "two")
		c.agree("one", "two")
	})
}
