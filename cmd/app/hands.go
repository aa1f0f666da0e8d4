package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector/clock"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/fence"
)

// errandSlack is for the way of what was asked and the answer's, beyond what the hand
// may take.
const errandSlack = 500 * time.Millisecond

// hands has another controller power a host off: this one leads, orders each single
// command, and makes the proof.
type hands struct {
	powers  *powers
	clock   clock.Clock
	ask     func(ctx context.Context, id string, q errand) (errandAnswer, error)
	applied func() uint64
	// life ends with the process.
	life context.Context //nolint:containedctx // what was sent is waited out after its step
}

// Off is runner.Hands. The host's devices are nobody else's until nothing that was asked
// can be under way.
func (h *hands) Off(ctx context.Context, a evacuate.Action, guard fence.Guard) (fence.Proof, []fence.Attempt, error) {
	host := string(a.Host)
	turn, ok := h.powers.locks[host]
	if !ok {
		return fence.Proof{}, nil, fmt.Errorf("%w: host %s is not in the inventory", fence.ErrNoProof, host)
	}
	if err := turn.take(ctx); err != nil {
		return fence.Proof{}, nil, fmt.Errorf("%w: its BMC is busy: %w", fence.ErrNoProof, err)
	}
	defer turn.give()
	usable, err := h.powers.usable(host, true)
	if err != nil {
		return fence.Proof{}, nil, err
	}
	chain := fence.Chain{Clock: h.clock, By: a.Hand}
	s := &session{hands: h, a: a}
	for _, l := range usable {
		if !h.powers.reachedBy(host, a.Hand, l.i) {
			continue
		}
		link := h.powers.links[host][l.i]
		m := &abroad{s: s, i: l.i, link: link, budget: cmp.Or(l.Budget, fence.DefaultBudget)}
		chain.Links = append(chain.Links, fence.Link{Method: m, Budget: l.Budget, Call: l.Call})
	}
	if len(chain.Links) == 0 {
		return fence.Proof{}, nil, fmt.Errorf("%w: %s does not reach %s any more", fence.ErrNoProof, a.Hand, host)
	}
	defer s.waitOut()
	first := chain.Links[0].Method.(*abroad)
	if err := s.begin(ctx, first); err != nil {
		at := fence.Attempt{Method: first.Name(), Cause: s.cause(err), Err: err.Error()}
		return fence.Proof{}, []fence.Attempt{at}, fmt.Errorf("%w: by the hand of %s: %w", fence.ErrNoProof, a.Hand, err)
	}
	return chain.Off(ctx, host, a.Boot, guard)
}

// session is one errand: all evidence is of one process of the hand's, on one clock.
type session struct {
	*hands
	a evacuate.Action

	run    string        // the hand's process
	origin time.Time     // by this clock, no later than boot was there
	boot   time.Duration // the hand's, when it first answered
	ticket string
	// late is until when something unanswered may be under way.
	late time.Time
}

// begin asks whether the errand may be, and for a ticket. The first answer sets the
// hand's clock against this one: as early as it can be, so that a sign of life is never
// taken for one of before the proof.
func (s *session) begin(ctx context.Context, m *abroad) error {
	ctx, cancel := context.WithTimeout(ctx, reachMost)
	defer cancel()
	sent := s.clock.Now()
	ans, err := s.send(ctx, m, actBegin, reachMost)
	if err != nil {
		return err
	}
	if s.run == "" {
		s.run, s.origin, s.boot = ans.Run, sent, ans.At
	}
	return nil
}

// call is an act with the ticket at hand.
func (s *session) call(ctx context.Context, m *abroad, act errandAct, most time.Duration) (errandAnswer, error) {
	left := m.left(most)
	if left <= 0 { // what the link has left ends now: that must not hide what was found
		_ = s.clock.Sleep(ctx, 2*errandSlack)
		return errandAnswer{}, fmt.Errorf("no answer in time: %w", context.DeadlineExceeded)
	}
	if s.ticket == "" {
		return errandAnswer{}, errors.New("no ticket")
	}
	before := s.late
	s.late = s.clock.Now().Add(ticketLife + left + errandSlack)
	ans, err := s.send(ctx, m, act, left)
	switch _, refused := errors.AsType[*refusedErrand](err); {
	case err == nil: // it had the turn after all that was asked before, whose tickets are void
		s.late = time.Time{}
	case refused:
		s.late = before
	}
	return ans, err
}

func (s *session) send(ctx context.Context, m *abroad, act errandAct, left time.Duration) (errandAnswer, error) {
	q := errand{Act: act, Host: s.a.Host, Term: s.a.Term, Recovery: s.a.Recovery, Boot: s.a.Boot, Attempt: s.a.Attempt, Index: s.applied(),
		Link: m.i, Method: m.link.Method, Target: m.link.Target, Ticket: s.ticket, Left: left}
	s.ticket = ""
	ans, err := s.ask(ctx, s.a.Hand, q)
	switch {
	case err != nil:
		return ans, err
	case ans.Refused != "":
		return ans, &refusedErrand{s.a.Hand, ans.Refused}
	case s.run != "" && ans.Run != s.run:
		return ans, fmt.Errorf("%s was restarted meanwhile", s.a.Hand)
	}
	s.ticket = ans.Ticket
	return ans, nil
}

// refusedErrand: nothing was done.
type refusedErrand struct{ by, why string }

func (e *refusedErrand) Error() string { return fmt.Sprintf("%s refuses: %s", e.by, e.why) }

// cause is that of an errand without an answer, or with a refusal.
func (s *session) cause(err error) fence.Cause {
	if _, refused := errors.AsType[*refusedErrand](err); refused {
		return fence.CauseBusy
	}
	return fence.CauseUnreachable
}

// waitOut returns when nothing that was asked can be under way any more.
func (s *session) waitOut() {
	if !s.late.IsZero() {
		_ = s.clock.Sleep(s.life, s.late.Sub(s.clock.Now()))
	}
}

// abroad is one fencing method in another controller's hand.
type abroad struct {
	s      *session
	i      int
	link   evacuate.FenceLink
	budget time.Duration
	began  time.Time // its first call
}

// left is how long a call may take: the hand shall end it, and say so, before the link's
// time is over, or it would have to be waited out.
func (m *abroad) left(most time.Duration) time.Duration {
	now := m.s.clock.Now()
	if m.began.IsZero() {
		m.began = now
	}
	return min(most, m.budget-now.Sub(m.began)) - errandSlack
}

// Name is the method's.
func (m *abroad) Name() string { return m.link.Method }

// Power has it read.
func (m *abroad) Power(ctx context.Context) fence.Reading {
	r := fence.Reading{Method: m.Name(), Power: fence.Unknown, Began: m.s.clock.Now()}
	fail := func(c fence.Cause, why string) fence.Reading {
		r.Cause, r.Raw, r.Ended = c, why, m.s.clock.Now()
		return r
	}
	if m.s.ticket == "" {
		if err := m.s.begin(ctx, m); err != nil {
			return fail(m.s.cause(err), err.Error())
		}
	}
	sent := m.s.clock.Now()
	ans, err := m.s.call(ctx, m, actRead, fence.CallTimeout)
	a := ans.Reading
	switch {
	case err != nil:
		return fail(m.s.cause(err), err.Error())
	case a == nil || a.Ended < 0 || a.Began < a.Ended:
		return fail(fence.CauseProtocol, m.s.a.Hand+" answers without a reading")
	case m.s.clock.Now().Sub(sent)-(a.Began-a.Ended) > reachMost:
		return fail(fence.CauseBusy, "the answer of "+m.s.a.Hand+" was too long under way")
	}
	at := m.s.origin.Add(ans.At - m.s.boot)
	return fence.Reading{Method: m.Name(), Power: a.Power, Cause: a.Cause, Raw: a.Raw, Began: at.Add(-a.Began), Ended: at.Add(-a.Ended)}
}

// Off has it commanded. Without a ticket that is older than the guard's yes nothing is
// sent: the next reading brings one.
func (m *abroad) Off(ctx context.Context) error {
	ans, err := m.s.call(ctx, m, actOff, fence.CommandTimeout)
	e := &fence.Error{Method: m.Name(), Doing: "power off", Cause: m.s.cause(err), Err: err}
	e.Refused = e.Cause == fence.CauseBusy
	switch {
	case err != nil:
		return e
	case ans.Failed != nil:
		e.Cause, e.Refused, e.Err = ans.Failed.Cause, ans.Failed.Refused, errors.New(ans.Failed.Text)
		return e
	}
	return nil
}

// On is no errand.
func (m *abroad) On(context.Context) error {
	return &fence.Error{Method: m.Name(), Doing: "power on", Cause: fence.CauseProtocol, Refused: true, Err: errors.New("a host is powered on by the leader's own hands only")}
}
