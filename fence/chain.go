package fence

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"
)

// Clock is the time a Chain lives by; tests hand in their own.
type Clock interface {
	Now() time.Time
	Sleep(ctx context.Context, d time.Duration) error
}

// Link is one method of a chain with the time it may take, all included.
type Link struct {
	Method Method
	// Budget bounds the link: off, and reading until proof. 0 is DefaultBudget.
	Budget time.Duration
	// Call bounds a single call. 0 is CallTimeout for a reading and CommandTimeout
	// for a command.
	Call time.Duration
	// Accept refuses a machine that the BMC says it switches and that is not the
	// host; nil accepts all. Only a Checker is asked.
	Accept func(Identity) error
}

// off commands off. Until one command was accepted, the machine is looked at too.
func (l Link) off(checked bool) func(context.Context) error {
	if c, ok := l.Method.(Checker); ok && l.Accept != nil && !checked {
		return func(ctx context.Context) error { return c.OffIf(ctx, l.Accept) }
	}
	return l.Method.Off
}

// Limits of a link.
const (
	DefaultBudget = 20 * time.Second
	// CallTimeout bounds a single reading of a BMC.
	CallTimeout = 8 * time.Second
	// CommandTimeout bounds a command: a look and the command itself are two answers
	// of the BMC, and slow ones need 4 s for each.
	CommandTimeout = 12 * time.Second
	// Poll is the pause between readings; old BMCs freeze under bursts.
	Poll = 500 * time.Millisecond
	// Resend is how long a reading of on is suffered before off is commanded
	// again: a BMC may accept the command and lose it.
	Resend = 5 * time.Second
	// Retry is the pause before off is commanded again after a command that
	// failed: a busy BMC needs time, a broken one must not be pressed.
	Retry = 2 * time.Second
	// MaxAuth is how many refusals of our credentials end a link: a BMC that has
	// just restarted refuses once without reason, more may lock the account.
	MaxAuth = 2
)

// Chain fences one host by its methods in order, one at a time.
type Chain struct {
	Links []Link
	Clock Clock
	// By is the controller whose hands the methods are; "": this one.
	By string
}

// Within is the longest that Off takes: after it there is a proof, or none by this
// chain.
func (c Chain) Within() time.Duration {
	var sum time.Duration
	for _, l := range c.Links {
		if l.Budget > 0 {
			sum += l.Budget
		} else {
			sum += DefaultBudget
		}
	}
	return sum
}

// Needs is how long a link takes to a proof where one reading takes read: a look and
// off, two readings after it, and the time between them.
func Needs(read time.Duration) time.Duration { return 4*read + MinSpacing }

// Attempt is what one link did, for the ledger and for explain.
type Attempt struct {
	Method   string        `json:"method"`
	Commands int           `json:"commands"`
	Last     Reading       `json:"last"`
	Cause    Cause         `json:"cause,omitempty"`
	Err      string        `json:"error,omitempty"`
	Took     time.Duration `json:"took"`
}

// Guard is asked immediately before each command; an error stops the chain.
// It is where leadership, term and deadline are verified once more.
type Guard func(ctx context.Context) error

// Off commands the host off through each link until one gives a proof. Without
// a proof the error wraps ErrNoProof and names each link's cause.
func (c Chain) Off(ctx context.Context, host, boot string, guard Guard) (Proof, []Attempt, error) {
	start := c.Clock.Now()
	var attempts []Attempt
	for _, l := range c.Links {
		proof, a, err := c.link(ctx, l, host, boot, start, guard)
		attempts = append(attempts, a)
		if err == nil {
			return proof, attempts, nil
		}
		if ctx.Err() != nil || errors.Is(err, ErrGuard) {
			return Proof{}, attempts, err
		}
	}
	if len(attempts) == 0 {
		return Proof{}, nil, fmt.Errorf("%w: host %s has no fencing method", ErrNoProof, host)
	}
	err := ErrNoProof
	for _, a := range attempts {
		err = fmt.Errorf("%w; %s: %s", err, a.Method, a.why())
	}
	return Proof{}, attempts, err
}

// ErrGuard is wrapped by the error of a refused command.
var ErrGuard = errors.New("command withheld")

func (a Attempt) why() string {
	s := string(a.Cause)
	if s == "" {
		s = "power reads " + string(a.Last.Power)
	}
	if a.Err != "" {
		s += " (" + a.Err + ")"
	}
	return s
}

func (c Chain) link(ctx context.Context, l Link, host, boot string, start time.Time, guard Guard) (Proof, Attempt, error) {
	budget := l.Budget
	if budget <= 0 {
		budget = DefaultBudget
	}
	began := c.Clock.Now()
	a := Attempt{Method: l.Method.Name()}
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	rec := Record{Host: host, Boot: boot, Method: a.Method, By: c.By}
	if g, ok := l.Method.(Grouped); ok {
		rec.Feeds = g.Feeds()
	}
	var commanded time.Time // the last command, accepted or not
	var accepted bool
	var refusals int
	for {
		if c.due(commanded, accepted, a.Last) {
			if err := guard(ctx); err != nil {
				return Proof{}, a.end(c, began, err), fmt.Errorf("%w: %w", ErrGuard, err)
			}
			commanded = c.Clock.Now()
			a.Commands++
			accepted = a.note(ctx, l.call(ctx, l.off(accepted)))
			if a.Cause == CauseIdentity { // whatever it reads is another machine's
				return Proof{}, a.end(c, began, nil), fmt.Errorf("%w: %s", ErrNoProof, a.Cause)
			}
			refusals += a.refused()
			// Readings before a new command say nothing about it.
			rec.Commanded, rec.Readings = commanded, nil
		}
		r := l.Read(ctx)
		if ctx.Err() != nil && r.Power == Unknown && a.Cause != CauseNone {
			// Cut short by the budget, it says nothing of the BMC, and must not
			// hide what the BMC said before.
			return Proof{}, a.end(c, began, nil), spent(a.Method, budget, ctx.Err())
		}
		a.Last = r
		refusals += a.take(r)
		rec.Readings = keep(rec.Readings, r, commanded, accepted)
		if len(rec.Readings) > 0 {
			rec.Took = a.Last.Ended.Sub(start)
			if proof, err := Prove(rec); err == nil {
				a.Cause, a.Err = CauseNone, ""
				return proof, a.end(c, began, nil), nil
			}
		}
		if refusals >= MaxAuth || a.Cause == CauseIdentity {
			err := fmt.Errorf("%w: %s", ErrNoProof, a.Cause)
			return Proof{}, a.end(c, began, nil), err
		}
		if err := c.Clock.Sleep(ctx, Poll); err != nil {
			return Proof{}, a.end(c, began, nil), spent(a.Method, budget, err)
		}
	}
}

func spent(method string, budget time.Duration, err error) error {
	return fmt.Errorf("%w: %s: budget of %v spent: %w", ErrNoProof, method, budget, err)
}

// due says that off must be commanded (again). An off that failed is repeated,
// for a machine that reads off without our command is no proof.
func (c Chain) due(commanded time.Time, accepted bool, last Reading) bool {
	since := c.Clock.Now().Sub(commanded)
	switch {
	case commanded.IsZero():
		return true
	case !accepted:
		return since >= Retry
	default:
		return last.Power == On && since >= Resend
	}
}

// keep adds r to the unbroken run of off readings that a proof may rest on, or
// ends the run. A reading that does not speak about our command is left out.
func keep(run []Reading, r Reading, commanded time.Time, accepted bool) []Reading {
	switch {
	case r.Power != Off:
		return nil
	case !accepted || !r.Began.After(commanded):
		return run
	default:
		return append(run, r)
	}
}

// note takes what a command gave, and says whether it was accepted. The end of
// the link's own time is no cause where there was one before.
func (a *Attempt) note(ctx context.Context, err error) bool {
	before := a.Cause
	if err == nil {
		a.Err = ""
		if before != CauseNotHonoured { // that is for a reading to clear
			a.Cause = CauseNone
		}
		return true
	}
	a.Cause, a.Err = CauseProtocol, err.Error()
	if e, ok := errors.AsType[*Error](err); ok {
		a.Cause = e.Cause
	}
	if ctx.Err() != nil && before != CauseNone {
		a.Cause = before
	}
	return false
}

// take sets the cause that a reading gives, and counts a refusal.
func (a *Attempt) take(r Reading) int {
	switch {
	case r.Power == On && a.Err == "":
		a.Cause = CauseNotHonoured
	case r.Power == Off && a.Err == "":
		a.Cause = CauseNone
	case r.Power == Unknown && r.Cause != CauseNone:
		a.Cause = r.Cause
		return a.refused()
	}
	return 0
}

func (a *Attempt) refused() int {
	if a.Cause == CauseAuth {
		return 1
	}
	return 0
}

func (a Attempt) end(c Chain, began time.Time, err error) Attempt {
	a.Took = c.Clock.Now().Sub(began)
	if err != nil {
		a.Err = err.Error()
	}
	return a
}

func (l Link) call(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(l.Call, CommandTimeout))
	defer cancel()
	return f(ctx)
}

// Read reads the power once.
func (l Link) Read(ctx context.Context) Reading {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(l.Call, CallTimeout))
	defer cancel()
	return l.Method.Power(ctx)
}

// Read asks the links in order and gives the first reading that is not
// Unknown, else the last one.
func (c Chain) Read(ctx context.Context) Reading {
	r := Reading{Power: Unknown, Cause: CauseUnreachable, Began: c.Clock.Now(), Raw: "no fencing method"}
	for _, l := range c.Links {
		if r = l.Read(ctx); r.Power != Unknown {
			return r
		}
	}
	r.Ended = c.Clock.Now()
	return r
}

// On commands power-on by the first link that accepts it and waits until it
// reads on. It is no undoing of a fence: rule 8 decides when it may be called.
// Each link but the last waits for its budget, the last for ctx.
func (c Chain) On(ctx context.Context, guard Guard) error {
	if len(c.Links) == 0 {
		return errors.New("power on: no fencing method")
	}
	var errs []error
	for i, l := range c.Links {
		if err := guard(ctx); err != nil {
			return fmt.Errorf("%w: %w", ErrGuard, err)
		}
		err := c.linkOn(ctx, l, i == len(c.Links)-1)
		if err == nil {
			return nil
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

func (c Chain) linkOn(ctx context.Context, l Link, last bool) error {
	if !last {
		budget := l.Budget
		if budget <= 0 {
			budget = DefaultBudget
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, budget)
		defer cancel()
	}
	if err := l.call(ctx, l.Method.On); err != nil {
		return err
	}
	for {
		if r := l.Read(ctx); r.Power == On {
			return nil
		}
		if err := c.Clock.Sleep(ctx, Poll); err != nil {
			return fmt.Errorf("power on via %s: does not read on: %w", l.Method.Name(), err)
		}
	}
}
