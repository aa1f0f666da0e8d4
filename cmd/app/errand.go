package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector/clock"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
)

const (
	// ticketLife is how long a ticket is good. The leader asks its guard after it has the
	// ticket, so that guard is no older when the hand writes, however slow the way.
	ticketLife = 2 * time.Second
	// errandContact is how young the leader's last word in the ledger must be: its lease
	// (ledger.Timing) ends no sooner.
	errandContact = 500 * time.Millisecond
	// errandPoll is the pause between two looks at whether the ledger has caught up.
	errandPoll = 20 * time.Millisecond
)

// errandAct is what the leader asks of a hand.
type errandAct string

// Acts. Only off writes, and only off and read need a ticket.
const (
	actLook  errandAct = "look"  // preflight: the power and the machine of one method
	actBegin errandAct = "begin" // may it be: gives a ticket
	actRead  errandAct = "read"
	actOff   errandAct = "off"
)

// errand is one request of the leader's. Its step is evacuate.StepFence.
type errand struct {
	Act      errandAct           `json:"act"`
	Host     nova.HostName       `json:"host"`
	Term     uint64              `json:"term"`
	Recovery evacuate.RecoveryID `json:"recovery,omitempty"`
	Boot     string              `json:"boot,omitempty"`
	Attempt  int                 `json:"attempt,omitempty"`
	// Index is the last entry that the leader had applied when its guard said yes.
	Index uint64 `json:"index,omitempty"`
	// Link is the method by its place in the host's chain, and what it is there.
	Link   int    `json:"link"`
	Method string `json:"method"`
	Target string `json:"target"`
	// Ticket is the newest that the hand gave; each is good once.
	Ticket string `json:"ticket,omitempty"`
	// Left is how long the act may take, counted from when its ticket was given.
	Left time.Duration `json:"left"`
}

// errandAnswer is the hand's. No time of its wall clock stands in it.
type errandAnswer struct {
	// Refused says why nothing was done.
	Refused string `json:"refused,omitempty"`
	Ticket  string `json:"ticket,omitempty"`
	// Run is the hand's process, At its CLOCK_BOOTTIME as it answers.
	Run string        `json:"run"`
	At  time.Duration `json:"at"`

	Reading *agedReading   `json:"reading,omitempty"`
	Said    fence.Identity `json:"said,omitzero"`
	// Reached: the method read on, of the host itself, while the hand heard its agent.
	Reached bool         `json:"reached,omitempty"`
	Failed  *errandFault `json:"failed,omitempty"`
}

// agedReading is a reading by its ages as the hand answers.
type agedReading struct {
	Power fence.Power   `json:"power"`
	Cause fence.Cause   `json:"cause,omitempty"`
	Raw   string        `json:"raw,omitempty"`
	Began time.Duration `json:"began"`
	Ended time.Duration `json:"ended"`
}

// errandFault is a command that failed.
type errandFault struct {
	Cause   fence.Cause `json:"cause"`
	Refused bool        `json:"refused,omitempty"`
	Text    string      `json:"text"`
}

// following is whom a replica follows: Contact is the age of the leader's last word,
// negative where there was none.
type following struct {
	Leader  string
	Term    uint64
	Contact time.Duration
	Leads   bool
}

// hand does for the leader what that cannot do itself. It decides nothing: each write
// is one that its own ledger promises to it.
type hand struct {
	id, run string
	on      bool // fencing.errands
	clock   clock.Clock
	powers  *powers
	log     *slog.Logger
	follows func() following
	applied func() uint64
	// permits asks the ledger and the ears of this controller, at this instant.
	permits   func(evacuate.Action) error
	heard     func(nova.HostName) bool
	untouched func(nova.HostName) bool
	register  func() *fence.Register

	mu      sync.Mutex
	tickets map[nova.HostName]ticket
	reached map[linkOf]time.Time // read on of a living host, by its own looks
}

// ticket is a permission to ask once.
type ticket struct {
	word  string
	of    errand // what it was given for
	given clock.Reading
}

// serve answers a controller; from is who it is by its certificate.
func (h *hand) serve(ctx context.Context, from string, q errand) errandAnswer {
	var a errandAnswer
	var err error
	switch q.Act {
	case actLook:
		a, err = h.look(ctx, from, q)
	case actBegin:
		h.catchUp(ctx, q.Index, h.clock.Read())
		if err = h.check(from, q); err == nil {
			a.Ticket = h.give(q)
		}
	case actRead, actOff:
		a, err = h.act(ctx, from, q)
	default:
		err = fmt.Errorf("no such act %q", q.Act)
	}
	if err != nil {
		h.log.Info("errand refused", "leader", from, "host", q.Host, "recovery", q.Recovery, "act", q.Act, "reason", err)
		a = errandAnswer{Refused: err.Error()}
	}
	a.Run, a.At = h.run, h.clock.Read().Boot
	return a
}

// follow says whether from is the leader that this controller follows in just this term.
func (h *hand) follow(from string, q errand) error {
	f := h.follows()
	switch {
	case !h.on:
		return errors.New("fencing.errands is off")
	case f.Leads:
		return fmt.Errorf("%s leads itself", h.id)
	case f.Leader != from || f.Term != q.Term:
		return fmt.Errorf("%s follows %q in term %d", h.id, f.Leader, f.Term)
	case f.Contact < 0 || f.Contact > errandContact:
		return fmt.Errorf("the leader's last word is %s old", f.Contact)
	}
	return nil
}

// link is the method that is meant, if it is the same here and can look at the machine as
// the last thing before it commands.
func (h *hand) link(q errand) (fence.Link, error) {
	links := h.powers.links[string(q.Host)]
	if q.Link < 0 || q.Link >= len(links) {
		return fence.Link{}, fmt.Errorf("%s has no method %d in this controller's file", q.Host, q.Link+1)
	}
	if l := links[q.Link]; l.Method != q.Method || l.Target != q.Target {
		return fence.Link{}, fmt.Errorf("method %d of %s is %s %s in this controller's file", q.Link+1, q.Host, l.Method, l.Target)
	}
	l := h.powers.chains[string(q.Host)].Links[q.Link]
	if _, ok := l.Method.(fence.Checker); !ok {
		return fence.Link{}, fmt.Errorf("%s does not say which machine it switches", q.Method)
	}
	return l, nil
}

// own says whether a method switches the host itself, by what this controller has read
// of it: at the same address another network may hold another machine.
func (h *hand) own(q errand, said fence.Identity) error {
	host := string(q.Host)
	switch r := h.register().Recognise(host, said); {
	case r.Match != fence.Same:
		return errors.New(r.Why)
	case r.Controller == h.id || r.Controller != "" && r.Controller != h.powers.runs[host]:
		return fmt.Errorf("it switches the machine of controller %s", r.Controller)
	}
	return nil
}

// check is all that must hold before something is done, and again right before a write.
func (h *hand) check(from string, q errand) error {
	if err := h.follow(from, q); err != nil {
		return err
	}
	if n := h.applied(); n < q.Index {
		return fmt.Errorf("the ledger is at %d here, the leader's at %d", n, q.Index)
	}
	if _, err := h.link(q); err != nil {
		return err
	}
	h.mu.Lock()
	on, ok := h.reached[linkOf{string(q.Host), q.Link}]
	h.mu.Unlock()
	if age := h.clock.Now().Sub(on); !ok || age < 0 || age > evacuate.HandFresh {
		return fmt.Errorf("%s has not read on through %s lately while the host was heard", h.id, q.Method)
	}
	if err := h.own(q, h.powers.ownCheck(string(q.Host), q.Link).Machine); err != nil {
		return err
	}
	return h.permits(evacuate.Action{Step: evacuate.StepFence, Recovery: q.Recovery, Host: q.Host, Boot: q.Boot, Attempt: q.Attempt, Term: q.Term, Hand: h.id})
}

// give makes a ticket; one given before is worth nothing any more.
func (h *hand) give(q errand) string {
	t := ticket{word: rand.Text(), of: q, given: h.clock.Read()}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tickets[q.Host] = t
	return t.word
}

// take takes a ticket back: it was good for one act of the attempt that it was given for.
func (h *hand) take(q errand) (ticket, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t, ok := h.tickets[q.Host]
	if !ok || t.word != q.Ticket {
		return t, errors.New("this ticket was not given, or was used")
	}
	delete(h.tickets, q.Host)
	if o := t.of; o.Recovery != q.Recovery || o.Boot != q.Boot || o.Attempt != q.Attempt || o.Term != q.Term {
		return t, errors.New("this ticket was given for another attempt")
	}
	return t, h.fresh(t.given)
}

func (h *hand) fresh(since clock.Reading) error {
	if _, ok := clock.NewDeadline(since, ticketLife).Left(h.clock.Read()); !ok {
		return fmt.Errorf("the ticket is older than %s, or the clocks jumped", ticketLife)
	}
	return nil
}

// catchUp waits, no longer than a ticket lives, until the ledger is here as far as the
// leader's was.
func (h *hand) catchUp(ctx context.Context, index uint64, since clock.Reading) {
	for h.applied() < index && h.fresh(since) == nil {
		if h.clock.Sleep(ctx, errandPoll) != nil {
			return
		}
	}
}

// act reads the power or commands off.
func (h *hand) act(ctx context.Context, from string, q errand) (a errandAnswer, err error) {
	t, err := h.take(q)
	if err != nil {
		return a, err
	}
	most := fence.CallTimeout
	if q.Act == actOff {
		most = fence.CommandTimeout
	}
	left, ok := clock.NewDeadline(t.given, min(q.Left, ticketLife+most)).Left(h.clock.Read())
	if !ok {
		return a, errors.New("its time has passed")
	}
	ctx, cancel := context.WithTimeout(ctx, min(left, most))
	defer cancel()
	h.catchUp(ctx, q.Index, t.given)
	turn, ok := h.powers.locks[string(q.Host)]
	if !ok {
		return a, fmt.Errorf("no host %q in this controller's file", q.Host)
	}
	if err := turn.take(ctx); err != nil {
		return a, fmt.Errorf("its BMC is busy: %w", err)
	}
	defer turn.give()
	// The last thing before the write.
	if err := errors.Join(h.fresh(t.given), h.check(from, q)); err != nil {
		return a, err
	}
	l, err := h.link(q)
	if err != nil {
		return a, err
	}
	if q.Act == actOff {
		h.log.Warn("powering off for the leader", "leader", from, "host", q.Host, "recovery", q.Recovery, "method", q.Method, "attempt", q.Attempt, "epoch", q.Term)
		a.Failed = h.off(ctx, l, q)
	} else {
		r := l.Method.Power(ctx)
		h.powers.count(linkOf{string(q.Host), q.Link}, r.Cause)
		a.Reading = h.aged(r)
	}
	a.Ticket = h.give(q)
	return a, nil
}

// off commands it, if the machine says of itself that it is the host.
func (h *hand) off(ctx context.Context, l fence.Link, q errand) *errandFault {
	err := l.Method.(fence.Checker).OffIf(ctx, func(said fence.Identity) error { return h.own(q, said) })
	if err == nil {
		return nil
	}
	f := &errandFault{Cause: fence.CauseProtocol, Text: err.Error()}
	if e, ok := errors.AsType[*fence.Error](err); ok {
		f.Cause, f.Refused = e.Cause, e.Refused
		if e.Err != nil {
			f.Text = e.Err.Error()
		}
	}
	return f
}

func (h *hand) aged(r fence.Reading) *agedReading {
	now := h.clock.Now()
	return &agedReading{Power: r.Power, Cause: r.Cause, Raw: r.Raw, Began: now.Sub(r.Began), Ended: now.Sub(r.Ended)}
}

// look is the preflight of one method, by the turn that the leader gives.
func (h *hand) look(ctx context.Context, from string, q errand) (a errandAnswer, err error) {
	if err := h.follow(from, q); err != nil {
		return a, err
	}
	if _, err := h.link(q); err != nil {
		return a, err
	}
	host, of := string(q.Host), linkOf{string(q.Host), q.Link}
	turn := h.powers.locks[host]
	switch {
	case h.untouched(q.Host):
		return a, errors.New("its mode is off, in which not even its BMC is read")
	case h.powers.spared(of):
		return a, errors.New("its BMC has refused the credentials of this controller twice")
	case !h.powers.takeIdle(host, turn):
		return a, errors.New("its BMC is busy")
	}
	defer turn.give()
	ctx, cancel := context.WithTimeout(ctx, min(q.Left, fence.CallTimeout))
	defer cancel()
	x := h.powers.examine(ctx, host, q.Link)
	a.Reading, a.Said = h.aged(x.reading), x.said
	if !h.heard(q.Host) {
		return a, nil // a reading of a dead host shows nothing of who reaches it
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.reached, of)
	if x.reading.Power == fence.On && x.err == nil && h.own(q, x.said) == nil {
		h.reached[of], a.Reached = h.clock.Now(), true
	}
	return a, nil
}
