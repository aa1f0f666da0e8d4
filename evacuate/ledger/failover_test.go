package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/evacuate/ledger"
)

// watch collects what a ledger says of its leadership.
type watch struct {
	mu      sync.Mutex
	changes []bool
	tenures []ledger.Tenure
	done    sync.WaitGroup
}

func follow(l *ledger.Ledger) *watch {
	w := &watch{}
	w.done.Go(func() {
		for leads := range l.Leadership() {
			w.mu.Lock()
			w.changes = append(w.changes, leads)
			w.mu.Unlock()
			time.Sleep(300 * time.Millisecond) // a slow reader loses nothing
		}
	})
	w.done.Go(func() {
		for t := range l.Established() {
			w.mu.Lock()
			w.tenures = append(w.tenures, t)
			w.mu.Unlock()
		}
	})
	return w
}

func (w *watch) seen() ([]bool, []ledger.Tenure) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]bool(nil), w.changes...), append([]ledger.Tenure(nil), w.tenures...)
}

// TestLeaderCutOff: the majority goes on, the one that was cut off can do
// nothing, learns it in time, and returns as a follower without disturbing.
func TestLeaderCutOff(t *testing.T) {
	for _, n := range []int{3, 5} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			bubble(t, n, func(t *testing.T, c *cluster) {
				c.start()
				watches := map[string]*watch{}
				for id, l := range c.ledgers {
					watches[id] = follow(l)
				}
				old := c.leader()
				c.apply(old, "before")
				term := old.Term()
				c.network.Isolate(old.ID())
				cut := time.Now()

				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				if err := old.Verify(ctx); err == nil {
					t.Error("a leader that was cut off verified its leadership")
				}
				if lost := time.Since(cut); lost > 1200*time.Millisecond {
					t.Errorf("it took %s to learn the loss", lost)
				}
				if h := old.Health(); h.Writable {
					t.Errorf("cut off, and writable: %+v", h)
				}
				fresh := c.leader(c.others(old.ID())...)
				t.Logf("new leader after %s", time.Since(cut))
				if time.Since(cut) > 8*time.Second {
					t.Errorf("no new leader for %s", time.Since(cut))
				}
				if fresh.Term() <= term {
					t.Errorf("term %d after %d", fresh.Term(), term)
				}
				c.apply(fresh, "meanwhile")
				if _, err := old.Apply(ctx, []byte("lost")); !ledger.IsNotLeader(err) {
					t.Errorf("apply on the deposed: %v", err)
				}
				c.network.Return(old.ID())
				back := fresh.Term()
				c.agree("before", "meanwhile")
				time.Sleep(5 * time.Second)
				if l := c.leader(); l != fresh || l.Term() != back {
					t.Errorf("the one that returned unseated %s", fresh.ID())
				}
				changes, tenures := watches[old.ID()].seen()
				if want := "[true false]"; fmt.Sprint(changes) != want {
					t.Errorf("the deposed was told %v, want %s", changes, want)
				}
				if len(tenures) != 1 || tenures[0].Term != term {
					t.Errorf("tenures %+v, want one in term %d", tenures, term)
				} else {
					select {
					case <-tenures[0].Lost:
					default:
						t.Error("the tenure's loss was not told")
					}
				}
				c.close()
				for _, w := range watches {
					w.done.Wait()
				}
			})
		})
	}
}

// TestOutcomeUnknown: an entry that a leader took up without a quorum may or
// may not be committed later. Both happen here.
func TestOutcomeUnknown(t *testing.T) {
	for name, heal := range map[string]bool{"it is lost": false, "it is committed after all": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 3, func(t *testing.T, c *cluster) {
				c.start()
				old := c.leader()
				c.apply(old, "before")
				c.network.Isolate(old.ID())
				if heal { // nobody else can lead
					for _, id := range c.others(old.ID()) {
						c.ledgers[id].Abandon()
						delete(c.ledgers, id)
					}
				}
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				_, err := old.Apply(ctx, []byte("doubtful"))
				if !errors.Is(err, ledger.ErrOutcomeUnknown) {
					t.Errorf("got %v, want an unknown outcome", err)
				}
				if heal {
					c.network.Return(old.ID())
					for _, p := range c.peers { // with one other only the longer log can win
						if c.ledgers[p.ID] == nil {
							c.open(p)
							c.leader()
						}
					}
					c.agree("before", "doubtful")
					return
				}
				c.apply(c.leader(c.others(old.ID())...), "after")
				c.network.Return(old.ID())
				c.agree("before", "after")
			})
		})
	}
}

// TestContextEnds: a caller that gives up does not know the outcome; one that
// gave up before asked for nothing.
func TestContextEnds(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		c.start()
		l := c.leader()
		for _, id := range c.others(l.ID()) {
			c.network.Isolate(id)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		start := time.Now()
		_, err := l.Apply(ctx, []byte("x"))
		if !errors.Is(err, ledger.ErrOutcomeUnknown) || !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 110*time.Millisecond {
			t.Errorf("after %s: %v", time.Since(start), err)
		}
		if _, err := l.Apply(ctx, []byte("y")); !errors.Is(err, ledger.ErrTimeout) {
			t.Errorf("after its end: %v", err)
		}
	})
}

func TestFollowerNamesTheLeader(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		c.start()
		l := c.leader()
		time.Sleep(time.Second)
		for _, id := range c.others(l.ID()) {
			_, err := c.ledgers[id].Apply(t.Context(), []byte("x"))
			e, ok := errors.AsType[*ledger.NotLeaderError](err)
			if !ok || e.Leader.ID != l.ID() || e.Leader.Address == "" {
				t.Errorf("%s: got %v, want the leader %s", id, err, l.ID())
			}
			if err := c.ledgers[id].Verify(t.Context()); !ledger.IsNotLeader(err) {
				t.Errorf("%s verified: %v", id, err)
			}
			if gotID, address, self := c.ledgers[id].Leader(); gotID != l.ID() || address == "" || self {
				t.Errorf("%s: leader %s %s %v", id, gotID, address, self)
			}
		}
	})
}

// TestTransitionsAreNeverLost: leadership goes around many times, and each
// replica's story alternates and agrees with the terms.
func TestTransitionsAreNeverLost(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		c.start()
		watches := map[string]*watch{}
		for id, l := range c.ledgers {
			watches[id] = follow(l)
		}
		elections := 1
		for range 20 {
			l := c.leader()
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			if err := l.Transfer(ctx); err == nil {
				elections++
			}
			cancel()
		}
		c.leader()
		time.Sleep(20 * time.Second) // slow readers
		told, established := 0, map[uint64]string{}
		for id, w := range watches {
			changes, tenures := w.seen()
			for i, leads := range changes {
				if leads != (i%2 == 0) {
					t.Fatalf("%s was told %v", id, changes)
				}
				if leads {
					told++
				}
			}
			for i, tenure := range tenures {
				if other := established[tenure.Term]; other != "" {
					t.Errorf("term %d was led by %s and %s", tenure.Term, id, other)
				}
				if i > 0 && tenure.Term <= tenures[i-1].Term {
					t.Errorf("%s: terms go back: %+v", id, tenures)
				}
				established[tenure.Term] = id
			}
		}
		if told < elections {
			t.Errorf("%d elections, %d told", elections, told)
		}
		t.Logf("%d elections, %d told, %d established", elections, told, len(established))
		c.close()
		for _, w := range watches {
			w.done.Wait()
		}
	})
}

// TestEstablishedSeesThePast: a tenure is told when the machine has all that
// former leaders committed.
func TestEstablishedSeesThePast(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		c.start()
		l := c.leader()
		for i := range 200 {
			c.apply(l, fmt.Sprint(i))
		}
		var told sync.WaitGroup
		for _, id := range c.others(l.ID()) {
			o := c.ledgers[id]
			told.Go(func() {
				for range o.Established() {
					if n := len(c.lists[id].all()); n != 200 {
						t.Errorf("%s was established with %d entries of 200", id, n)
					}
				}
			})
		}
		l.Abandon()
		delete(c.ledgers, l.ID())
		c.leader()
		time.Sleep(time.Second)
		c.close()
		told.Wait()
	})
}

// TestGracefulEndHandsOver: a planned stop costs no election's time.
func TestGracefulEndHandsOver(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		c.start()
		l := c.leader()
		c.apply(l, "one")
		time.Sleep(time.Second)
		start := time.Now()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		delete(c.ledgers, l.ID())
		c.apply(c.leader(), "two")
		if took := time.Since(start); took > 700*time.Millisecond {
			t.Errorf("the next leader took over after %s", took)
		}
		if _, err := l.Apply(t.Context(), []byte("x")); !errors.Is(err, ledger.ErrClosed) {
			t.Errorf("closed: %v", err)
		}
		if err := l.Close(); err != nil {
			t.Errorf("closed again: %v", err)
		}
	})
}
