package app

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	// skewLimit is by how much controllers' clocks may differ. Storm windows, quiet
	// periods and deadlines in the ledger are wall clocks of whoever led then.
	skewLimit = 5 * time.Second
	// skewFresh is how long a controller's word on the time counts, skewPatience how
	// long a leader whose clock is wrong goes on before it hands over.
	skewFresh    = 5 * time.Second
	skewPatience = 3 * time.Second
)

// skews compares this controller's wall clock with the others'.
type skews struct {
	now func() time.Time

	mu    sync.Mutex
	told  map[string]toldTime
	since time.Time // it is wrong
}

// toldTime is another controller's wall clock, and when it was told.
type toldTime struct{ wall, at time.Time }

func newSkews(now func() time.Time) *skews { return &skews{now: now, told: map[string]toldTime{}} }

func (s *skews) tell(controller string, wall time.Time) {
	if wall.IsZero() {
		return // of a version that does not tell
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told[controller] = toldTime{wall, s.now()}
}

// wrong says that this clock differs from most of those that were told lately, how
// many of these agree with each other, and for how long that has been so. Its own
// step is seen at once.
func (s *skews) wrong() (text string, agree int, lasts time.Duration) {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	fresh := 0
	var by []time.Duration
	for _, t := range s.told {
		age := now.Sub(t.at)
		if age > skewFresh {
			continue
		}
		fresh++
		// Round strips the monotonic part: the wall clocks are compared.
		if d := now.Round(0).Sub(t.wall.Round(0).Add(age)); d.Abs() > skewLimit {
			by = append(by, d)
		}
	}
	if 2*len(by) <= fresh { // this clock and half of the others' are a majority
		s.since = time.Time{}
		return "", 0, 0
	}
	if s.since.IsZero() {
		s.since = now
	}
	return fmt.Sprintf("the clock of this controller differs from %d of %d others by up to %s: what the ledger dates cannot be judged by it",
		len(by), fresh, by[len(by)-1].Round(time.Second)), together(by), now.Sub(s.since)
}

// together is how many differences agree within the limit.
func together(by []time.Duration) (most int) {
	for _, a := range by {
		n := 0
		for _, b := range by {
			if (a - b).Abs() <= skewLimit {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

// mindClock hands leadership over where a majority's clocks agree with each other and
// not with this one. Where nobody can tell whose is right, the next leader would only
// hand it back: this one stays, and holds.
func (c *Controller) mindClock(ctx context.Context) {
	text, agree, lasts := c.skews.wrong()
	if text == "" || lasts < skewPatience || agree <= c.ledger.Health().Voters/2 || !c.leads() {
		return
	}
	c.log.Error("leadership is handed over", "reason", text)
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := c.ledger.Transfer(ctx); err != nil {
		c.log.Warn("leadership was not handed over", "reason", err)
	}
}
