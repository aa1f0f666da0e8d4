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

// wrong says that this clock differs from most of those that were told lately, and
// for how long that has been so. Its own step is seen at once.
func (s *skews) wrong() (text string, lasts time.Duration) {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	fresh, differ := 0, 0
	var by time.Duration
	for _, t := range s.told {
		age := now.Sub(t.at)
		if age > skewFresh {
			continue
		}
		fresh++
		// Round strips the monotonic part: the wall clocks are compared.
		if d := now.Round(0).Sub(t.wall.Round(0).Add(age)); d.Abs() > skewLimit {
			differ++
			by = d
		}
	}
	if 2*differ <= fresh { // this clock and half of the others' are a majority
		s.since = time.Time{}
		return "", 0
	}
	if s.since.IsZero() {
		s.since = now
	}
	return fmt.Sprintf("the clock of this controller differs from %d of %d others by up to %s: what the ledger dates cannot be judged by it",
		differ, fresh, by.Round(time.Second)), now.Sub(s.since)
}

// mindClock hands leadership over to a controller whose clock agrees with the others'.
func (c *Controller) mindClock(ctx context.Context) {
	text, lasts := c.skews.wrong()
	if text == "" || lasts < skewPatience || !c.leads() {
		return
	}
	c.log.Error("leadership is handed over", "reason", text)
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := c.ledger.Transfer(ctx); err != nil {
		c.log.Warn("leadership was not handed over", "reason", err)
	}
}
