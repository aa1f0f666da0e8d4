package runner

import (
	"context"
	"fmt"
	"time"

	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// restart stops or starts an instance that ended by itself, once: it relies on the
// committed promise and the guard, and what is not answered is read.
func (r *Runner) restart(ctx context.Context, a evacuate.Action, dl Deadline, o *evacuate.Outcome) error {
	send := r.Servers.Start
	if a.Step == evacuate.StepStopGuest {
		send = r.Servers.Stop
	}
	return r.once(ctx, a, dl, o, string(a.Step), fmt.Sprintf("%s %s", a.Step, a.Server), func(ctx context.Context) (string, error) {
		return send(ctx, a.Server)
	}, "host", a.Host, "server", a.Server)
}

// onLiving carries out the steps of hosts that live, which are of no recovery.
func (r *Runner) onLiving(ctx context.Context, a evacuate.Action, dl Deadline, o *evacuate.Outcome) error {
	switch a.Step {
	case evacuate.StepLookGuest:
		o.Seen = &evacuate.Observation{Moved: map[nova.ServerID]nova.Server{}, Gone: map[nova.ServerID]bool{}}
		return r.lookAt(ctx, []nova.ServerID{a.Server}, time.Time{}, o.Seen)
	case evacuate.StepStopGuest, evacuate.StepStartGuest:
		return r.restart(ctx, a, dl, o)
	case evacuate.StepDisableAiling, evacuate.StepEnableAiling:
		return r.ailing(ctx, a, dl)
	case evacuate.StepTraceAway:
		return r.trace(ctx, a, o)
	case evacuate.StepMoveAway:
		return r.failback(ctx, a, dl, o)
	default:
		return fmt.Errorf("no such step %q", a.Step)
	}
}
