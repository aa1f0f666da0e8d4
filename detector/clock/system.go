package clock

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// System is the machine's clock. Inside a testing/synctest bubble it goes on
// reading the real kernel: use Virtual there.
func System() Clock { return system{} }

type system struct{}

// unhurried is how long the reads of one Reading may take together. A thread
// that loses its CPU in between would see a jump that was none.
const unhurried = 5 * time.Millisecond

func (system) Read() Reading {
	var r Reading
	// A machine too busy to do it in three tries keeps the last: a false jump
	// only makes a deadline pass early.
	for range 3 {
		r.Mono = read(unix.CLOCK_MONOTONIC)
		r.Boot = read(unix.CLOCK_BOOTTIME)
		r.Wall = time.Unix(0, int64(read(unix.CLOCK_REALTIME)))
		if read(unix.CLOCK_MONOTONIC)-r.Mono < unhurried {
			break
		}
	}
	return r
}

func (system) Now() time.Time { return time.Now() }

func (system) Sleep(ctx context.Context, d time.Duration) error { return Sleep(ctx, d) }

func read(id int32) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(id, &ts); err != nil {
		// Every Linux since 2.6.39 has all three, so this is a wrong kernel.
		panic(fmt.Sprintf("clock %d cannot be read: %v", id, err))
	}
	return time.Duration(ts.Nano())
}

// Virtual is a clock on Go's own time, which testing/synctest virtualises. Its
// three clocks always agree.
func Virtual() Clock { return virtual{origin: time.Now()} }

type virtual struct{ origin time.Time }

func (v virtual) Read() Reading {
	now := time.Now()
	d := now.Sub(v.origin)
	return Reading{Wall: v.origin.Round(0).Add(d), Mono: d, Boot: d}
}

func (virtual) Now() time.Time { return time.Now() }

func (virtual) Sleep(ctx context.Context, d time.Duration) error { return Sleep(ctx, d) }
