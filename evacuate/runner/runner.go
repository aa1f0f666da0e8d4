package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// Time limits of single calls; each is cut to what is left of the step.
const (
	readTimeout    = 10 * time.Second
	disableTimeout = 3 * time.Second
	writeTimeout   = 10 * time.Second
	verifyTimeout  = 2 * time.Second
)

// Runner executes actions. Its methods are safe for concurrent use.
type Runner struct {
	Fencer   Fencer
	Services Services
	// Aggregates are those that reserved hosts join.
	Aggregates Aggregates
	Servers    Servers
	// Devices tells what instances have after they were moved; nil: nobody does.
	Devices Devices
	// Ports asks instances whether they are ready; nil: none is.
	Ports Ports
	// Migrator moves instances home.
	Migrator  Migrator
	Evacuator Evacuator
	// Hands carries errands out; nil: there are none.
	Hands Hands
	// Storage is nil where no program takes storage away.
	Storage Storage
	Quorum  Quorum
	Clock   Clock
	// Permits asks the ledger as it stands now: a proof may have been voided
	// since the action was decided.
	Permits func(a evacuate.Action) error
	// Lanes bounds how many evacuate POSTs are on the wire at once, if set: a
	// burst makes a small nova-api slower than a queue.
	Lanes chan struct{}
	Log   *slog.Logger
	rows  rowBook
}

// errDeposed says that somebody else may lead.
var errDeposed = errors.New("this controller may not act any more")

// Do carries out one action and tells how it ended. It never panics on a
// cancelled context; the outcome then says what is known.
func (r *Runner) Do(ctx context.Context, a evacuate.Action) evacuate.Outcome {
	dl := r.Clock.Deadline(a.Deadline - spent(a.Decided, r.Clock.Now()))
	o := evacuate.Outcome{Action: a}
	var err error
	switch a.Step {
	case evacuate.StepDisable:
		err = r.disable(ctx, a, dl, &o)
	case evacuate.StepFence:
		err = r.fence(ctx, a, dl, &o)
	case evacuate.StepFenceStorage, evacuate.StepUnfenceStorage:
		err = r.storage(ctx, a, dl)
	case evacuate.StepForceDown:
		err = r.forceDown(ctx, a, dl, &o)
	case evacuate.StepList, evacuate.StepRelist:
		err = r.list(ctx, a, &o)
	case evacuate.StepEvacuate:
		err = r.evacuate(ctx, a, dl, &o)
	case evacuate.StepReset:
		err = r.reset(ctx, a, dl, &o)
	case evacuate.StepStop:
		err = r.stopAgain(ctx, a, dl, &o)
	case evacuate.StepReserve:
		err = r.reserve(ctx, a, dl)
	case evacuate.StepObserve:
		err = r.observe(ctx, a, &o)
	case evacuate.StepResolve:
		err = r.resolve(ctx, a, &o)
	case evacuate.StepTrace:
		err = r.trace(ctx, a, &o)
	case evacuate.StepFailback:
		err = r.failback(ctx, a, dl, &o)
	case evacuate.StepProbe:
		if err = r.probe(ctx, a); err != nil {
			o.Detail = err.Error()
			return o // it was expected, and is asked again
		}
	case evacuate.StepVerify:
		err = r.verify(ctx, a, dl, &o)
	case evacuate.StepPowerOn:
		err = r.powerOn(ctx, a, dl, &o)
	case evacuate.StepUnforce:
		err = r.unforce(ctx, a, dl, &o)
	case evacuate.StepEnable:
		err = r.enable(ctx, a, dl, &o)
	case evacuate.StepCancel:
		err = r.cancel(ctx, a, dl, &o)
	default:
		err = r.onLiving(ctx, a, dl, &o)
	}
	o.OK = err == nil
	if err != nil {
		o.Detail = err.Error()
		if o.Cause == "" {
			o.Cause = cause(err)
		}
		r.Log.Warn("step failed", "host", a.Host, "recovery", a.Recovery, "step", a.Step, "attempt", a.Attempt, "reason", o.Detail, "request_id", o.RequestID)
	}
	return o
}

// spent is what the commit took of a step's time, by the clock that counts more of
// it: MONOTONIC stands still in a suspended machine, REALTIME may be set back.
func spent(decided, now time.Time) time.Duration {
	if decided.IsZero() {
		return 0
	}
	return max(now.Sub(decided), now.Round(0).Sub(decided.Round(0)), 0)
}

func cause(err error) string {
	if f, ok := errors.AsType[*nova.Error](err); ok {
		return "nova-" + string(f.Fault)
	}
	return ""
}

// guard is the last thing before an irreversible call: the deadline on every
// clock, the term, a quorum's word that we lead, and all of it once more, for
// the word itself takes time.
func (r *Runner) guard(a evacuate.Action, dl Deadline) fence.Guard {
	return guardBy(r.Quorum, a.Term, dl, func() error {
		if r.Permits != nil {
			return r.Permits(a)
		}
		return nil
	})
}

func guardBy(q Quorum, decided uint64, dl Deadline, permits func() error) fence.Guard {
	return func(ctx context.Context) error {
		left, ok := dl.Left()
		if !ok {
			return fmt.Errorf("%w: the step's deadline has passed or the clocks jumped", errDeposed)
		}
		if term := q.Term(); term != decided {
			return fmt.Errorf("%w: decided in term %d, now is term %d", errDeposed, decided, term)
		}
		vctx, cancel := context.WithTimeout(ctx, min(verifyTimeout, left))
		defer cancel()
		if err := q.Verify(vctx); err != nil {
			return fmt.Errorf("%w: %w", errDeposed, err)
		}
		if _, ok := dl.Left(); !ok || q.Term() != decided {
			return fmt.Errorf("%w: deadline or term passed while leadership was verified", errDeposed)
		}
		return permits()
	}
}

// bounded cuts a call to limit and to what is left of the step.
func bounded(ctx context.Context, dl Deadline, limit time.Duration) (context.Context, context.CancelFunc) {
	if left, ok := dl.Left(); ok {
		limit = min(limit, left)
	}
	return context.WithTimeout(ctx, limit)
}

func (r *Runner) service(ctx context.Context, host nova.HostName) (nova.Service, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	return r.Services.Service(ctx, host)
}

// disable writes our mark on the service. Its answer may take a minute on a
// freshly dead host though the row is written at once, so it is cut short and
// the row is read (nova/compute/api.py, HostAPI.service_update).
func (r *Runner) disable(ctx context.Context, a evacuate.Action, dl Deadline, o *evacuate.Outcome) error {
	host := a.Host
	if a.Shield != "" {
		host = a.Shield
	}
	s, err := r.service(ctx, host)
	if err != nil {
		return fmt.Errorf("read the service of %s: %w", host, err)
	}
	if a.Lift {
		return r.enableOurs(ctx, a, dl, s)
	}
	if a.Shield == "" {
		o.Service = &evacuate.ServiceBefore{ID: s.ID, Disabled: s.Disabled, Reason: s.DisabledReason, ForcedDown: s.ForcedDown}
	}
	if s.Disabled {
		if s.DisabledReason == a.Reason && o.Service != nil {
			*o.Service = a.Service // a former attempt of ours: keep what was before it
			o.Service.ID = s.ID
		}
		o.Detail = fmt.Sprintf("disabled already (%q), kept", s.DisabledReason)
		return nil
	}
	if err := r.guard(a, dl)(ctx); err != nil {
		return err
	}
	wctx, cancel := bounded(ctx, dl, disableTimeout)
	defer cancel()
	yes := true
	if _, err = r.Services.UpdateService(wctx, s.ID, nova.ServiceUpdate{Disabled: &yes, DisabledReason: a.Reason}); err == nil {
		return nil
	}
	now, rerr := r.service(ctx, host)
	if rerr == nil && now.Disabled && now.DisabledReason == a.Reason {
		o.Detail = "row written; Nova's answer was not waited for"
		return nil
	}
	return fmt.Errorf("disable %s: %w", host, err)
}

func (r *Runner) fence(ctx context.Context, a evacuate.Action, dl Deadline, o *evacuate.Outcome) error {
	ctx, cancel := bounded(ctx, dl, a.Deadline)
	defer cancel()
	guard := r.guard(a, dl)
	proof, attempts, err := r.off(ctx, a, func(ctx context.Context) error {
		if err := guard(ctx); err != nil {
			return err
		}
		o.OffSent = r.Clock.Now()
		return nil
	})
	for _, at := range attempts {
		r.Log.Info("fencing", "host", a.Host, "recovery", a.Recovery, "step", a.Step, "method", at.Method, "commands", at.Commands,
			"power", at.Last.Power, "reason", at.Cause, "took", at.Took)
		o.Cause = string(at.Cause)
	}
	// A method that answered is what an operator must look at, whoever was last.
	if i := slices.IndexFunc(attempts, func(a fence.Attempt) bool { return a.Cause != fence.CauseUnreachable }); i >= 0 {
		o.Cause = string(attempts[i].Cause)
	}
	if err != nil {
		return err
	}
	rec := proof.Record()
	o.Proof, o.Cause = &rec, ""
	o.Detail = fmt.Sprintf("proven off by %s in %s", rec.Method, rec.Took.Round(10*time.Millisecond))
	if rec.By != "" {
		o.Detail += ", by the hand of " + rec.By
	}
	return nil
}

// off has the host powered off, by this controller or by the one that is asked.
func (r *Runner) off(ctx context.Context, a evacuate.Action, guard fence.Guard) (fence.Proof, []fence.Attempt, error) {
	switch {
	case a.Hand == "":
		return r.Fencer.Off(ctx, string(a.Host), a.Boot, guard)
	case r.Hands == nil:
		return fence.Proof{}, nil, fmt.Errorf("%w: this controller sends nobody on errands", fence.ErrNoProof)
	}
	return r.Hands.Off(ctx, a, guard)
}

// proof rebuilds the proof that an action carries, for this host and boot.
func proof(a evacuate.Action) (fence.Proof, error) {
	if a.Proof == nil {
		return fence.Proof{}, fmt.Errorf("%w: step %s of %s", fence.ErrNoProof, a.Step, a.Host)
	}
	p, err := fence.Prove(*a.Proof)
	if err != nil {
		return fence.Proof{}, err
	}
	if !p.Covers(string(a.Host), a.Boot) {
		return fence.Proof{}, fmt.Errorf("%w: it is for %s boot %s", fence.ErrNoProof, a.Proof.Host, a.Proof.Boot)
	}
	return p, nil
}

// forceDown tells Nova that the host is down: from here on anybody may
// evacuate from it, so it needs the proof.
func (r *Runner) forceDown(ctx context.Context, a evacuate.Action, dl Deadline, o *evacuate.Outcome) error {
	if _, err := proof(a); err != nil {
		return err
	}
	if a.Attempt > 1 { // the proof may be of long ago
		if err := r.stillOff(ctx, a); err != nil {
			return err
		}
	}
	s, err := r.service(ctx, a.Host)
	if err != nil {
		return fmt.Errorf("read the service of %s: %w", a.Host, err)
	}
	if !s.ForcedDown {
		yes := true
		u := nova.ServiceUpdate{ForcedDown: &yes}
		if !s.Disabled {
			u.Disabled, u.DisabledReason = &yes, a.Reason
		}
		if err := r.guard(a, dl)(ctx); err != nil {
			return err
		}
		wctx, cancel := bounded(ctx, dl, writeTimeout)
		defer cancel()
		if _, err = r.Services.UpdateService(wctx, s.ID, u); err != nil {
			r.Log.Warn("force-down answered with an error, reading back", "host", a.Host, "recovery", a.Recovery, "reason", err)
		}
	}
	if s, err = r.service(ctx, a.Host); err != nil {
		return fmt.Errorf("read back the service of %s: %w", a.Host, err)
	}
	if !s.ForcedDown || s.State != nova.StateDown {
		return fmt.Errorf("force down %s: it reads %s, forced down %t", a.Host, s.State, s.ForcedDown)
	}
	return nil
}

func (r *Runner) powerOn(ctx context.Context, a evacuate.Action, dl Deadline, _ *evacuate.Outcome) error {
	ctx, cancel := bounded(ctx, dl, a.Deadline)
	defer cancel()
	return r.Fencer.On(ctx, string(a.Host), r.guard(a, dl))
}
