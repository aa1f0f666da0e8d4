package runner

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// traitWait is how long the enabled compute may take to tell Placement.
const traitWait = 3 * time.Second

// unforce lets Nova count the host as up again. Nova answers 400 while done
// rows remain, that is until its nova-compute has restarted and cleaned up.
func (r *Runner) unforce(ctx context.Context, a evacuate.Action, dl Deadline, o *evacuate.Outcome) error {
	s, err := r.service(ctx, a.Host)
	if err != nil {
		return fmt.Errorf("read the service of %s: %w", a.Host, err)
	}
	if !s.ForcedDown {
		o.Detail = "not forced down any more"
		return nil
	}
	if a.Service.ForcedDown {
		o.Detail = "was forced down before us: kept"
		return nil
	}
	if err := r.guard(a, dl)(ctx); err != nil {
		return err
	}
	wctx, cancel := bounded(ctx, dl, writeTimeout)
	defer cancel()
	no := false
	if _, err := r.Services.UpdateService(wctx, s.ID, nova.ServiceUpdate{ForcedDown: &no}); err != nil {
		return fmt.Errorf("un-force-down %s: %w", a.Host, err)
	}
	return nil
}

// enable undoes our disabling, and reads back that the scheduler sees it: the
// unanswered disable of a dead compute waits in its queue and is obeyed when it
// returns (docs/recovery.md).
func (r *Runner) enable(ctx context.Context, a evacuate.Action, dl Deadline, o *evacuate.Outcome) error {
	s, err := r.service(ctx, a.Host)
	if err != nil {
		return fmt.Errorf("read the service of %s: %w", a.Host, err)
	}
	if s.Disabled && !evacuate.IsOurReason(s.DisabledReason) {
		o.Detail = fmt.Sprintf("disabled by somebody else (%q): kept", s.DisabledReason)
		return nil
	}
	if err := r.enableOurs(ctx, a, dl, s); err != nil {
		return err
	}
	if err := r.schedulable(ctx, a.Host); err == nil {
		return nil
	}
	if err := r.tellAgain(ctx, a, dl, s.ID); err != nil {
		return err
	}
	return r.schedulable(ctx, a.Host)
}

// tellAgain disables and enables a living service once more: each sends the
// compute the RPC that sets or removes its trait, the last one last.
func (r *Runner) tellAgain(ctx context.Context, a evacuate.Action, dl Deadline, id string) error {
	yes, no := true, false
	for _, u := range []nova.ServiceUpdate{{Disabled: &yes, DisabledReason: a.Reason}, {Disabled: &no}} {
		if err := r.guard(a, dl)(ctx); err != nil {
			return err
		}
		wctx, cancel := bounded(ctx, dl, writeTimeout)
		_, err := r.Services.UpdateService(wctx, id, u)
		cancel()
		if err != nil {
			return fmt.Errorf("enable %s once more: %w", a.Host, err)
		}
	}
	return nil
}

func (r *Runner) enableOurs(ctx context.Context, a evacuate.Action, dl Deadline, s nova.Service) error {
	if !s.Disabled || !evacuate.IsOurReason(s.DisabledReason) {
		return nil
	}
	if err := r.guard(a, dl)(ctx); err != nil {
		return err
	}
	wctx, cancel := bounded(ctx, dl, writeTimeout)
	defer cancel()
	no := false
	if _, err := r.Services.UpdateService(wctx, s.ID, nova.ServiceUpdate{Disabled: &no}); err != nil {
		now, rerr := r.service(ctx, s.Host)
		if rerr != nil || now.Disabled {
			return fmt.Errorf("enable %s: %w", s.Host, err)
		}
	}
	return nil
}

// reserve enables a host that was disabled with the given reason, after it has joined the
// aggregates that it is to serve; or disables it with that reason again, and has it leave
// them. What somebody else has made of it meanwhile is kept.
func (r *Runner) reserve(ctx context.Context, a evacuate.Action, dl Deadline) error {
	if len(a.Joins) == 0 {
		return r.setReserve(ctx, a, dl)
	}
	if a.Lift {
		if err := r.setReserve(ctx, a, dl); err != nil {
			return err
		}
		return r.memberships(ctx, a, dl)
	}
	s, err := r.service(ctx, a.Shield)
	if err != nil {
		return fmt.Errorf("read the service of %s: %w", a.Shield, err)
	}
	if s.Disabled && s.DisabledReason == a.Reason {
		if err := r.memberships(ctx, a, dl); err != nil {
			return err
		}
	}
	return r.setReserve(ctx, a, dl)
}

// memberships has a reserved host join what it is not in, or leave what it is in, of the
// action's aggregates.
func (r *Runner) memberships(ctx context.Context, a evacuate.Action, dl Deadline) error {
	rctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	all, err := r.Aggregates.Aggregates(rctx)
	if err != nil {
		return err
	}
	for _, g := range all {
		asked := slices.ContainsFunc(a.Joins, func(m evacuate.Join) bool { return m.ID == g.ID && m.Name == g.Name })
		if !asked || slices.Contains(g.Hosts, a.Shield) != a.Lift {
			continue
		}
		if err := r.guard(a, dl)(ctx); err != nil {
			return err
		}
		wctx, cancel := bounded(ctx, dl, writeTimeout)
		if a.Lift {
			err = r.Aggregates.LeaveAggregate(wctx, g.ID, a.Shield)
		} else {
			err = r.Aggregates.JoinAggregate(wctx, g.ID, a.Shield)
		}
		cancel()
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *Runner) setReserve(ctx context.Context, a evacuate.Action, dl Deadline) error {
	s, err := r.service(ctx, a.Shield)
	if err != nil {
		return fmt.Errorf("read the service of %s: %w", a.Shield, err)
	}
	u := nova.ServiceUpdate{Disabled: &a.Lift}
	switch {
	case s.Disabled == a.Lift:
		return nil // so already
	case s.Disabled && s.DisabledReason != a.Reason:
		return fmt.Errorf("%s is not in reserve any more: it is disabled with %q", a.Shield, s.DisabledReason)
	case a.Lift:
		u.DisabledReason = a.Reason
	}
	if err := r.guard(a, dl)(ctx); err != nil {
		return err
	}
	wctx, cancel := bounded(ctx, dl, writeTimeout)
	defer cancel()
	if _, err := r.Services.UpdateService(wctx, s.ID, u); err != nil {
		if now, rerr := r.service(ctx, a.Shield); rerr != nil || now.Disabled != a.Lift {
			return fmt.Errorf("%s the reserved host %s: %w", map[bool]string{true: "put back", false: "enable"}[a.Lift], a.Shield, err)
		}
	}
	return nil
}

func (r *Runner) schedulable(ctx context.Context, host nova.HostName) error {
	for waited := time.Duration(0); ; waited += time.Second {
		rctx, cancel := context.WithTimeout(ctx, readTimeout)
		disabled, err := r.Services.ComputeStatusDisabled(rctx, host)
		cancel()
		switch {
		case err != nil:
			return fmt.Errorf("read Placement's traits of %s: %w", host, err)
		case !disabled:
			return nil
		case waited >= traitWait:
			return fmt.Errorf("enable %s: Placement still carries COMPUTE_STATUS_DISABLED; its nova-compute corrects that within a minute or two", host)
		}
		if err := r.Clock.Sleep(ctx, time.Second); err != nil {
			return err
		}
	}
}

// cancel undoes an unproven recovery of a host that is healthy, or that an
// operator wants left alone. An off that was
// sent and whose effect is unknown stays in doubt until the BMC reads on, or,
// where the BMC does not answer at all, until the command can't be on its way.
func (r *Runner) cancel(ctx context.Context, a evacuate.Action, dl Deadline, o *evacuate.Outcome) error {
	if !a.OffSent.IsZero() {
		rctx, cancel := bounded(ctx, dl, fence.CallTimeout)
		reading := r.Fencer.Read(rctx, string(a.Host))
		cancel()
		switch {
		case reading.Power == fence.Off && a.Asked:
			return fmt.Errorf("its BMC reads off: our power-off arrived. Let it be recovered, or end the recovery by hand")
		case reading.Power == fence.Off:
			return fmt.Errorf("its BMC reads off although it is heard: the BMC lies or belongs to another machine")
		case reading.Power == fence.Unknown && r.Clock.Now().Sub(a.OffSent) < doubt:
			return fmt.Errorf("in doubt: off was sent %s ago and its BMC does not tell the power (%s)", r.Clock.Now().Sub(a.OffSent).Round(time.Second), reading.Cause)
		}
		o.Detail = fmt.Sprintf("BMC reads %s", reading.Power)
	}
	s, err := r.service(ctx, a.Host)
	if err != nil {
		return fmt.Errorf("read the service of %s: %w", a.Host, err)
	}
	if s.ForcedDown && !a.Service.ForcedDown {
		if err := r.unforce(ctx, a, dl, o); err != nil {
			return err
		}
	}
	if !s.Disabled || !evacuate.IsOurReason(s.DisabledReason) {
		return nil
	}
	if err := r.enableOurs(ctx, a, dl, s); err != nil || a.Asked {
		return err // a silent nova-compute tells Placement when it is back
	}
	return r.schedulable(ctx, a.Host)
}

// doubt is how long an off may still be on its way to a BMC that is silent.
const doubt = 60 * time.Second
