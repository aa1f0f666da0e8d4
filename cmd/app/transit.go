package app

import (
	"sync"
	"time"
)

// reportMost is how long a report may have been under way. In a cut that lasts, TCP keeps
// what was sent before it and delivers it afterwards: its ages are of then.
const reportMost = 2 * time.Second

// stamp is an instant of the receiver's clock, which the sender gives back with its
// next message: what carries it was sent later than that, however long it took.
type stamp struct {
	// Run is the receiver's process, At its CLOCK_BOOTTIME.
	Run string        `json:"run"`
	At  time.Duration `json:"at"`
	// Held is how long the sender has had it, on its own clock.
	Held time.Duration `json:"held,omitempty"`
}

// transits bounds how long reports are under way, by the receiver's clock alone.
type transits struct {
	run  string
	boot func() time.Duration

	mu  sync.Mutex
	had map[string]keptStamp // by controller
}

type keptStamp struct {
	stamp
	since time.Duration
}

func newTransits(run string, boot func() time.Duration) *transits {
	return &transits{run: run, boot: boot, had: map[string]keptStamp{}}
}

// give is for an answer.
func (t *transits) give() *stamp { return &stamp{Run: t.run, At: t.boot()} }

// keep notes the stamp of another controller's answer.
func (t *transits) keep(controller string, s *stamp) {
	if s == nil {
		return // of a version that gives none
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.had[controller] = keptStamp{*s, t.boot()}
}

// back is what goes with the next message to that controller; nil before its first
// answer.
func (t *transits) back(controller string) *stamp {
	t.mu.Lock()
	defer t.mu.Unlock()
	k, ok := t.had[controller]
	if !ok {
		return nil
	}
	k.Held = t.boot() - k.since
	return &k.stamp
}

// took is the longest that a message with this stamp can have been under way, its
// answer before it included. Without a stamp of this run nobody knows.
func (t *transits) took(s *stamp) (time.Duration, bool) {
	if s == nil || s.Run != t.run {
		return 0, false
	}
	return max(t.boot()-s.At-s.Held, 0), true
}
