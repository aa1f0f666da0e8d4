package fencetest

import (
	"context"
	"time"
)

// Clock is the machine's own clock, and within a bubble of testing/synctest the
// virtual one.
type Clock struct{}

// Now is the time.
func (Clock) Now() time.Time { return time.Now() }

// Sleep waits for d, or for the end of ctx.
func (Clock) Sleep(ctx context.Context, d time.Duration) error {
	if !sleep(ctx, d) {
		return ctx.Err()
	}
	return nil
}
