package ledger_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/evacuate/ledger"
)

// verified is one successful Verify.
type verified struct {
	start, end time.Time
	term       uint64
	id         string
}

// history is what the world has seen.
type history struct {
	mu       sync.Mutex
	acked    []string
	doubtful map[string]bool
	verified []verified
}

// work writes and verifies on one replica until stop.
func (h *history) work(l *ledger.Ledger, stop <-chan struct{}, run int) {
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		case <-time.After(20 * time.Millisecond):
		}
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		start, term := time.Now(), l.Term()
		var err error
		if i%2 == 0 { // the others come upon a leader that has been cut off
			if err = l.Verify(ctx); err == nil && l.Term() == term {
				h.mu.Lock()
				h.verified = append(h.verified, verified{start, time.Now(), term, l.ID()})
				h.mu.Unlock()
			}
		}
		if err == nil {
			entry := fmt.Sprintf("%s.%d.%d", l.ID(), run, i)
			_, err := l.Apply(ctx, []byte(entry))
			h.mu.Lock()
			switch {
			case err == nil:
				h.acked = append(h.acked, entry)
			case !ledger.IsNotLeader(err): // may come later; NotLeader must not
				h.doubtful[entry] = true
			}
			h.mu.Unlock()
		}
		cancel()
	}
}

// TestRandomFaults: whatever is cut, crashed and handed over, in whatever order,
// no acknowledged entry is lost, no refused one appears, all machines agree, and
// of two verifications the later never has the lower term.
func TestRandomFaults(t *testing.T) {
	seeds := 6
	if testing.Short() {
		seeds = 3
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			n := 3 + 2*(seed%2)
			bubble(t, n, func(t *testing.T, c *cluster) { randomFaults(t, c, rand.New(rand.NewPCG(uint64(seed), 2))) })
		})
	}
}

func randomFaults(t *testing.T, c *cluster, r *rand.Rand) {
	c.every = 50
	c.start()
	h := &history{doubtful: map[string]bool{}}
	stops := map[string]func(){}
	run := 0
	begin := func(l *ledger.Ledger) {
		run++
		this := run
		stop := make(chan struct{})
		var working sync.WaitGroup
		working.Go(func() { h.work(l, stop, this) })
		stops[l.ID()] = func() { close(stop); working.Wait() }
	}
	for _, l := range c.ledgers {
		begin(l)
	}
	one := func() ledger.Peer { return c.peers[r.IntN(len(c.peers))] }
	for range 40 {
		p := one()
		switch r.IntN(7) {
		case 0:
			c.network.Isolate(p.ID)
		case 1:
			c.network.Cut(p.ID, one().ID)
		case 2, 3:
			for _, q := range c.peers {
				c.network.Return(q.ID)
			}
		case 4:
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			if err := c.ledgers[p.ID].Transfer(ctx); err != nil {
				t.Logf("transfer from %s: %v", p.ID, err)
			}
			cancel()
		default: // crash and come back
			end := stops[p.ID]
			c.ledgers[p.ID].Abandon()
			end()
			time.Sleep(time.Duration(r.IntN(3000)) * time.Millisecond)
			begin(c.open(p))
		}
		time.Sleep(time.Duration(r.IntN(2500)) * time.Millisecond)
	}
	for _, q := range c.peers {
		c.network.Return(q.ID)
	}
	time.Sleep(10 * time.Second)
	for _, end := range stops {
		end()
	}
	time.Sleep(5 * time.Second)
	h.judge(t, c)
}

func (h *history) judge(t *testing.T, c *cluster) {
	all := c.lists[c.leader().ID()].all()
	c.agree(all...)
	there := map[string]bool{}
	for _, e := range all {
		if there[e] {
			t.Errorf("%s is there twice", e)
		}
		there[e] = true
	}
	for _, a := range h.acked {
		if !there[a] {
			t.Errorf("%s was acknowledged and is lost", a)
		}
		delete(there, a)
	}
	came := len(there)
	for e := range there {
		if !h.doubtful[e] {
			t.Errorf("%s was refused and is there", e)
		}
	}
	slices.SortFunc(h.verified, func(a, b verified) int { return a.end.Compare(b.end) })
	highest := verified{}
	for _, v := range h.verified {
		// The highest term among those that ended before this one began.
		for _, w := range h.verified {
			if !w.end.Before(v.start) {
				break
			}
			if w.term > v.term {
				t.Fatalf("%s led term %d from %s, but %s had led term %d until %s", v.id, v.term, v.start, w.id, w.term, w.end)
			}
		}
		if v.term > highest.term {
			highest = v
		}
	}
	t.Logf("%d acknowledged, %d in doubt of which %d came, %d verified, term %d", len(h.acked), len(h.doubtful), came, len(h.verified), highest.term)
}
