package clock

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Fake is a clock that a test moves by hand.
type Fake struct {
	mu       sync.Mutex
	start    time.Time
	run      time.Duration // Mono
	extra    time.Duration // Boot beyond Mono
	step     time.Duration // Wall beyond Boot
	sleepers []*sleeper
}

type sleeper struct {
	until time.Duration // on Mono, as the kernel's timers
	woken chan struct{}
}

// NewFake gives a clock that stands at start.
func NewFake(start time.Time) *Fake { return &Fake{start: start} }

// Advance lets d pass on all clocks and wakes whoever slept until then, the
// earliest first. A stopped process is the same with one long Advance.
func (f *Fake) Advance(d time.Duration) {
	f.mu.Lock()
	f.run += d
	slices.SortStableFunc(f.sleepers, func(a, b *sleeper) int { return int(a.until - b.until) })
	var due []*sleeper
	for len(f.sleepers) > 0 && f.sleepers[0].until <= f.run {
		due = append(due, f.sleepers[0])
		f.sleepers = f.sleepers[1:]
	}
	f.mu.Unlock()
	for _, s := range due {
		close(s.woken)
	}
}

// Suspend lets d pass as in a suspended machine: Wall and Boot move, Mono and
// all timers stand still.
func (f *Fake) Suspend(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.extra += d
}

// StepWall sets the wall clock forward or, with a negative d, back.
func (f *Fake) StepWall(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.step += d
}

// Sleepers is how many wait in Sleep: a test waits for them before Advance.
func (f *Fake) Sleepers() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.sleepers)
}

// Read looks at the three clocks.
func (f *Fake) Read() Reading {
	f.mu.Lock()
	defer f.mu.Unlock()
	return Reading{Wall: f.start.Round(0).Add(f.run + f.extra + f.step), Mono: f.run, Boot: f.run + f.extra}
}

// Now is start plus what ran on Mono: like the monotonic part of time.Now, it
// sees neither steps nor suspends.
func (f *Fake) Now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.start.Add(f.run)
}

// Sleep waits until Advance has let d pass.
func (f *Fake) Sleep(ctx context.Context, d time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if d <= 0 {
		return nil
	}
	f.mu.Lock()
	s := &sleeper{until: f.run + d, woken: make(chan struct{})}
	f.sleepers = append(f.sleepers, s)
	f.mu.Unlock()
	select {
	case <-s.woken:
		return nil
	case <-ctx.Done():
		f.forget(s)
		return ctx.Err()
	}
}

func (f *Fake) forget(s *sleeper) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sleepers = slices.DeleteFunc(f.sleepers, func(o *sleeper) bool { return o == s })
}
