package app

import (
	"time"

	"github.com/lifeboat-ha/lifeboat/detector/clock"
	"github.com/lifeboat-ha/lifeboat/evacuate/runner"
)

// runnerClock gives the runner its deadlines on all three clocks.
type runnerClock struct{ clock.Clock }

type runnerDeadline struct {
	clock clock.Clock
	d     clock.Deadline
}

func (d runnerDeadline) Left() (time.Duration, bool) { return d.d.Left(d.clock.Read()) }

// Deadline starts one now.
func (c runnerClock) Deadline(d time.Duration) runner.Deadline {
	return runnerDeadline{c.Clock, clock.NewDeadline(c.Clock.Read(), d)}
}
