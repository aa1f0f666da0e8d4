package runner

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// errUnchanged is a write that was answered well and is not to be seen.
var errUnchanged = errors.New("the row has not changed")

// ailing disables the nova-compute of a host whose services fail, or enables what we
// disabled for that, and reads it back. What somebody else has made of it is kept.
func (r *Runner) ailing(ctx context.Context, a evacuate.Action, dl Deadline) error {
	s, err := r.service(ctx, a.Host)
	if err != nil {
		return fmt.Errorf("read the service of %s: %w", a.Host, err)
	}
	disable := a.Step == evacuate.StepDisableAiling
	if s.Disabled == disable || !disable && s.DisabledReason != a.Reason {
		return nil
	}
	if err := r.guard(a, dl)(ctx); err != nil {
		return err
	}
	wctx, cancel := bounded(ctx, dl, writeTimeout)
	defer cancel()
	u := nova.ServiceUpdate{Disabled: &disable}
	if disable {
		u.DisabledReason = a.Reason
	}
	_, err = r.Services.UpdateService(wctx, s.ID, u)
	r.Log.Info("nova-compute of an ailing host", "host", a.Host, "step", a.Step, "ok", err == nil)
	now, rerr := r.service(ctx, a.Host)
	if rerr != nil || now.Disabled != disable {
		return fmt.Errorf("%s of %s: %w", a.Step, a.Host, cmp.Or(err, rerr, errUnchanged))
	}
	return nil
}
