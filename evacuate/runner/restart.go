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
	if err := r.guard(a, dl)(ctx); err != nil {
		o.Definite = true // nothing was sent
		return err
	}
	wctx, cancel := bounded(ctx, dl, writeTimeout)
	defer cancel()
	send := r.Servers.Start
	if a.Step == evacuate.StepStopGuest {
		send = r.Servers.Stop
	}
	id, err := send(wctx, a.Server)
	o.RequestID = id
	r.Log.Info("restart of an instance", "host", a.Host, "step", a.Step, "server", a.Server, "request_id", id, "ok", err == nil)
	if err != nil {
		f := nova.FaultOf(err)
		o.Definite, o.Cause = f.Definite(), string(f)
		return fmt.Errorf("%s %s: %w", a.Step, a.Server, err)
	}
	return nil
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
	default:
		return fmt.Errorf("no such step %q", a.Step)
	}
}
