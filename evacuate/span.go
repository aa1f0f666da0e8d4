package evacuate

import (
	"fmt"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
)

// What the ledger dates may have been dated by a clock that was years away. So the
// core waits by its own clock, from when it first saw the thing: never too short,
// and after a change of leader anew.

// since is for how long this leader has known of something.
func (c *Core) since(key string) time.Duration {
	return c.world.Now.Sub(c.sawFirst(key))
}

func (c *Core) sawFirst(key string) time.Time {
	t, ok := c.first[key]
	if !ok {
		t = c.world.Now
		c.first[key] = t
	}
	return t
}

func promiseKey(r *Recovery, e *Evacuation) string {
	return fmt.Sprintf("%s evacuate %s %d", r.ID, e.Server, e.Attempt)
}

// promised is for how long this leader has known of the attempt in force.
func (c *Core) promised(r *Recovery, e *Evacuation) time.Duration { return c.since(promiseKey(r, e)) }

// underWayFor is that of an attempt for words: what a former leader saw of it
// counts where its date is possible.
func (c *Core) underWayFor(r *Recovery, e *Evacuation) time.Duration {
	d := c.promised(r, e)
	if age := c.world.Now.Sub(e.Intent); !e.Intent.Before(r.Opened) && age > d {
		return age
	}
	return d
}

// waitsOut says that the deadline of another leader's attempt at a step may not
// have passed yet.
func (c *Core) waitsOut(r *Recovery, s Step) bool {
	old := r.Steps[s]
	return old != nil && old.Phase == PhaseIntent && old.Term != c.term &&
		c.since(fmt.Sprintf("%s %s %d", r.ID, s, old.Attempt)) < old.Deadline
}

// rested says that a failed attempt may be followed by the next. A pause that is
// longer than any was dated by a wrong clock.
func (c *Core) rested(e *Evacuation) bool {
	left := e.NotBefore.Sub(c.world.Now)
	return left <= 0 || left > 2*retryMost
}

// provedAt is when the host was proven off, on this leader's clock whatever steps that
// takes; zero if it never was. A proof that it inherits is as old as its date says,
// where that is neither ahead nor before its recovery was opened; any other was made
// just before it was first seen.
func (c *Core) provedAt(r *Recovery) time.Time {
	at := r.ProvedAt()
	if at.IsZero() {
		return at
	}
	key := fmt.Sprintf("%s proof %d", r.ID, at.UnixNano())
	if _, known := c.first[key]; !known && (c.began.IsZero() || c.world.Now.Equal(c.began)) && !at.Before(r.Opened) {
		c.first[key] = c.world.Now.Add(-max(c.world.Now.Sub(at), 0))
	}
	return c.sawFirst(key)
}

// later says that a heartbeat was heard after an instant of this leader's clock, whatever
// steps that has taken since.
func (c *Core) later(h Heard, t time.Time) bool {
	return !h.At.IsZero() && c.world.Now.Sub(h.At) < c.world.Now.Sub(t)
}

// heardAgo is for how long nobody has heard a host, as far as the ledger knows.
func heardAgo(v detector.Verdict) time.Duration {
	if v.View.Past != nil {
		return v.View.Past.Age
	}
	return v.Silent
}

// backoff is the pause after the n-th failed attempt: 1, 2, 4 ... 30 s.
func backoff(n int) time.Duration {
	const most = 30 * time.Second
	d := time.Second
	for range max(n-1, 0) {
		if d *= 2; d >= most {
			return most
		}
	}
	return d
}
