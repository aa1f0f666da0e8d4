package sim

import (
	"context"
	"sync"
	"time"
	"unsafe"

	"github.com/lifeboat-ha/lifeboat/detector/clock"
)

// nodeClock is one machine's clock on the bubble's time: its wall clock can be
// stepped, and it stands still for a process that is frozen.
type nodeClock struct {
	origin time.Time

	mu     sync.Mutex
	step   time.Duration // of the wall clock
	frozen time.Duration // what it read when the process was frozen; negative: it runs
}

func newNodeClock(origin time.Time) *nodeClock { return &nodeClock{origin: origin, frozen: -1} }

var _ clock.Clock = (*nodeClock)(nil)

func (c *nodeClock) read() (mono, step time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.frozen >= 0 {
		return c.frozen, c.step
	}
	return time.Since(c.origin), c.step
}

// Read looks at the three clocks.
func (c *nodeClock) Read() clock.Reading {
	mono, step := c.read()
	return clock.Reading{Wall: c.origin.Add(mono + step), Mono: mono, Boot: mono}
}

// Now has a monotonic part that no step moves, as the machine's time has and a
// bubble's has not: ages are right after a step, and what is written down is not.
func (c *nodeClock) Now() time.Time {
	mono, step := c.read()
	return withMono(c.origin.Add(mono+step), mono)
}

// Sleep waits for d of the bubble's time, frozen or not.
func (c *nodeClock) Sleep(ctx context.Context, d time.Duration) error { return clock.Sleep(ctx, d) }

func (c *nodeClock) stepWall(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.step += d
}

func (c *nodeClock) freeze(yes bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case yes && c.frozen < 0:
		c.frozen = time.Since(c.origin)
	case !yes:
		c.frozen = -1
	}
}

// until is how long until a deadline that was made of this clock or of the
// bubble's time.
func (c *nodeClock) until(t time.Time) time.Duration {
	if t != t.Round(0) { //nolint:staticcheck // compares the monotonic part on purpose
		return t.Sub(c.Now())
	}
	return time.Until(t)
}

// goTime is time.Time, whose monotonic part nobody else can set. TestWithMono
// fails if Go ever changes it.
type goTime struct {
	wall uint64
	ext  int64
	loc  *time.Location
}

const (
	hasMono    = 1 << 63
	since1885  = 2682288000 // seconds from 1885 to 1970
	nanoDigits = 30
)

func withMono(wall time.Time, mono time.Duration) time.Time {
	wall = wall.UTC()
	t := goTime{wall: hasMono | uint64(wall.Unix()+since1885)<<nanoDigits | uint64(wall.Nanosecond()), ext: int64(mono) + 1, loc: time.UTC}
	return *(*time.Time)(unsafe.Pointer(&t)) //nolint:gosec // see goTime
}
