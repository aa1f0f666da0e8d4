package runner_test

import (
	"context"
	"sync"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector/clock"
	"github.com/lifeboat-ha/lifeboat/evacuate/runner"
)

// bubble is the bubble's own time.
type bubble struct{}

func (bubble) Now() time.Time { return time.Now() }

func (bubble) Sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// clocks are the bubble's, each of the three moved by hand.
type clocks struct {
	bubble
	began time.Time
	// taken is called once a deadline has begun.
	taken func()

	mu               sync.Mutex
	mono, boot, wall time.Duration
}

func (c *clocks) read() clock.Reading {
	c.mu.Lock()
	defer c.mu.Unlock()
	run := time.Since(c.began)
	return clock.Reading{Wall: time.Now().Round(0).Add(c.wall), Mono: run + c.mono, Boot: run + c.boot}
}

// move carries MONOTONIC, BOOTTIME and REALTIME on by themselves.
func (c *clocks) move(mono, boot, wall time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mono += mono
	c.boot += boot
	c.wall += wall
}

func (c *clocks) Deadline(d time.Duration) runner.Deadline {
	dl := deadline{c, clock.NewDeadline(c.read(), d)}
	if c.taken != nil {
		c.taken()
	}
	return dl
}

type deadline struct {
	c *clocks
	d clock.Deadline
}

func (d deadline) Left() (time.Duration, bool) { return d.d.Left(d.c.read()) }

// quorum answers as it is told.
type quorum struct {
	s    *stage
	mu   sync.Mutex
	term uint64
	err  error
	// during is called while leadership is being verified.
	during func(ctx context.Context) error
}

func (q *quorum) Verify(ctx context.Context) error {
	q.s.note("verify")
	q.mu.Lock()
	err, during := q.err, q.during
	q.mu.Unlock()
	if during != nil {
		return during(ctx)
	}
	return err
}

func (q *quorum) Term() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.term
}

func (q *quorum) set(f func(*quorum)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	f(q)
}
