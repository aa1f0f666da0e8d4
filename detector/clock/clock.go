// Package clock reads the machine's clocks and tells how much time passed
// between two readings, and whether that can be believed. It is the only place
// that asks the operating system for the time; it decides nothing.
package clock

import (
	"context"
	"time"
)

// Reading is one look at three clocks. They differ on purpose: Wall is what
// people and logs use and can be stepped, Mono stands still while the machine
// is suspended, Boot does not.
type Reading struct {
	Wall time.Time     // CLOCK_REALTIME
	Mono time.Duration // CLOCK_MONOTONIC
	Boot time.Duration // CLOCK_BOOTTIME
}

// Clock is the time as a daemon sees it.
type Clock interface {
	// Read looks at all three clocks at one instant.
	Read() Reading
	// Now is the present with Go's monotonic part, for ages and log lines.
	Now() time.Time
	// Sleep waits for d or for the end of ctx, and then gives ctx's error.
	Sleep(ctx context.Context, d time.Duration) error
}

// Tolerance is by how much three honest clocks may disagree on one interval.
// All three are slewed alike by NTP, so what is left is the time between the
// three reads; a step, a suspend or a resumed snapshot is far beyond it.
const Tolerance = 500 * time.Millisecond

// Elapsed is the time between two readings of one machine, the longest that
// any clock claims. jumped says that the clocks disagree by more than
// Tolerance or that one ran backwards: then nobody knows how long it was, and
// whatever had a deadline has missed it (docs/safety.md rule 2).
func Elapsed(from, to Reading) (d time.Duration, jumped bool) {
	return ElapsedWithin(from, to, Tolerance)
}

// ElapsedWithin is Elapsed with a tolerance of the caller's.
func ElapsedWithin(from, to Reading, tolerance time.Duration) (d time.Duration, jumped bool) {
	// Round(0) strips Go's monotonic part: Sub must compare the wall clocks.
	wall := to.Wall.Round(0).Sub(from.Wall.Round(0))
	mono, boot := to.Mono-from.Mono, to.Boot-from.Boot
	longest, shortest := max(wall, mono, boot), min(wall, mono, boot)
	jumped = longest-shortest > tolerance || mono < 0 || boot < 0 || wall < -tolerance
	return max(longest, 0), jumped
}

// Span is Elapsed for those who must believe the clock that claims the least, too:
// whoever waits for another's deadline.
func Span(from, to Reading) (most, least time.Duration, jumped bool) {
	most, jumped = Elapsed(from, to)
	wall := to.Wall.Round(0).Sub(from.Wall.Round(0))
	return most, max(0, min(wall, to.Mono-from.Mono, to.Boot-from.Boot)), jumped
}

// Deadline is a span of time that began at a reading. Its zero value has
// passed. It is bound to this machine and boot: it is never written down.
type Deadline struct {
	start Reading
	d     time.Duration
}

// NewDeadline starts a span of d at now.
func NewDeadline(now Reading, d time.Duration) Deadline { return Deadline{start: now, d: d} }

// Left is what remains at now. ok is false once nothing remains, and for good
// reason also when the clocks have jumped since the start.
func (d Deadline) Left(now Reading) (left time.Duration, ok bool) {
	if d.d <= 0 {
		return 0, false
	}
	passed, jumped := Elapsed(d.start, now)
	if jumped || passed >= d.d {
		return 0, false
	}
	return d.d - passed, true
}

// Sleep waits for d or for the end of ctx, and then gives ctx's error.
func Sleep(ctx context.Context, d time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
