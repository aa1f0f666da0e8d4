package evacuate

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
)

const (
	// wordHolds is how long a person's word waits to be used: a gate may be shut,
	// or a queue long.
	wordHolds = 15 * time.Minute
	// wordListens is how long a leader must have listened before it takes one: what
	// it has not heard yet is no silence.
	wordListens = fence.MinSilence
)

// Confirmation is a person's word that a host is dead, for one boot. It opens a
// recovery or lets one go on, and is that recovery's proof.
type Confirmation struct {
	Word fence.Word `json:"word"`
	// Boot is "" where nobody knows it: void at any sign of life all the same.
	Boot string `json:"boot"`
	// Expires is when it is worth nothing any more if it has not been used.
	Expires time.Time `json:"expires"`
	// Recovery is whose proof it became; Void why it is worth nothing any more.
	Recovery RecoveryID `json:"recovery,omitempty"`
	Void     string     `json:"void,omitempty"`
}

// Pending says that it waits to be used.
func (c *Confirmation) Pending() bool { return c != nil && c.Void == "" && c.Recovery == "" }

// Watched says that signs of life still speak against it: it waits, or r, its
// host's recovery, goes by it.
func (c *Confirmation) Watched(r *Recovery) bool {
	return c.Pending() || c != nil && c.Void == "" && r != nil && r.ID == c.Recovery && r.Status == StatusOpen
}

func (c *Confirmation) mark() Mark {
	return Mark{By: c.Word.By, Says: c.Word.Says, At: c.Word.At, Reason: c.Word.Reason}
}

// word is the one that waits for this host and boot, nil if none does.
func (s *State) word(host nova.HostName, boot string, now time.Time) *Confirmation {
	h := s.Hosts[host]
	if h == nil || !h.Confirmed.Pending() || h.Confirmed.Boot != boot || now.After(h.Confirmed.Expires) {
		return nil
	}
	return h.Confirmed
}

// bootOf is the boot that a person's word is for: the recovery's, or the last one
// heard, or the last one in the ledger.
func bootOf(s *State, w *World, host nova.HostName) string {
	if r := s.Open(host); r != nil && r.Status == StatusOpen {
		return r.Boot
	}
	if b := w.Verdicts[host].View.Boot; b != "" {
		return b
	}
	if h := s.Hosts[host]; h != nil {
		return h.Boot
	}
	return ""
}

// word is the one in force for what is asked.
func (q question) word() *Confirmation {
	if q.given != nil {
		return q.given
	}
	return q.state.word(q.host, bootOf(q.state, q.world, q.host), q.world.Now)
}

// answered lists the gates whose question a person's word answers. What is about
// us, about somebody else's wish, or about room elsewhere, is asked all the same.
var answered = []GateName{GateVerdict, GateFresh, GateStorm, GateFenceable, GateKdump}

// liftWord opens what a person's word answers, for this one host.
func liftWord(q question, answers []Answer, c *Confirmation) []Answer {
	if c == nil || q.point != AtDecide && q.point != AtPowerOff {
		return answers
	}
	for i := range answers {
		a := &answers[i]
		armed := a.Gate == GateArmed && q.mode().Mode == ModeApprove
		if !a.Pass && (armed || slices.Contains(answered, a.Gate)) {
			a.Pass, a.Standing, a.Reason = true, Met, fmt.Sprintf("confirmed dead by %s", c.mark())
		}
	}
	return answers
}

// vital is the newest sign that a host lives, and its BMC's newest reading of on.
type vital struct {
	at   time.Time
	what string
	on   time.Time
}

// vitals looks for whatever speaks against a host's death. Gossip does not count:
// any holder of the ring's key can forge it, and a member that has forgotten the
// host holds it dead no more.
func vitals(host nova.HostName, w *World) vital {
	var out vital
	sign := func(at time.Time, format string, args ...any) {
		if at.After(out.at) {
			out.at, out.what = at, fmt.Sprintf(format, args...)
		}
	}
	v := w.Verdicts[host].View
	sign(w.Heard[host].At, "its heartbeat was heard")
	for _, h := range v.Controllers {
		if h.HeardAge >= 0 {
			sign(v.At.Add(-h.HeardAge), "%s heard its heartbeat", h.Controller)
		}
	}
	for _, p := range v.Probes {
		if p.Answer == detector.Answered && p.Observer != detector.Observer(host) {
			sign(v.At.Add(-p.Age), "its %s network answered %s", p.Network, p.Observer)
		}
		if p.Answered > 0 {
			sign(v.At.Add(-p.Answered), "its %s network answered", p.Network)
		}
	}
	if n := v.Nova; n != nil && (n.State == nova.StateUp || n.Reported) {
		sign(v.At.Add(-n.Age), "its nova-compute reports to Nova")
	}
	if v.LastOn > 0 {
		out.on = v.At.Add(-v.LastOn)
	}
	for _, p := range v.Power {
		if at := v.At.Add(-p.Age); p.Power == string(fence.On) && at.After(out.on) {
			out.on = at
		}
	}
	return out
}

// ErrConfirm says why a host can't be confirmed dead now.
var ErrConfirm = errors.New("not confirmed")

// Confirm asks all that a person's word does not answer, and makes of the word what
// the ledger is asked to take. The world must have been looked at just now.
func Confirm(host nova.HostName, word fence.Word, s *State, w World, p Policy) (*Confirmation, error) {
	refused := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrConfirm, fmt.Sprintf(format, args...))
	}
	if s.Hosts[host] == nil {
		return nil, refused("the ledger does not know %s", host)
	}
	if p.Proofs.Word == Never {
		return nil, refused("policy.proofs.word is never: nobody's word is a proof here; a PDU as second method, or the watchdog, is")
	}
	life := vitals(host, &w)
	word.At, word.LastSign, word.LastOn = w.Now, life.at, life.on
	c := &Confirmation{Word: word, Boot: bootOf(s, &w, host), Expires: w.Now.Add(wordHolds)}
	if err := s.takes(host, c); err != nil {
		return nil, refused("%v", err)
	}
	if listened := w.Now.Sub(w.Leader.Since); w.Leader.Since.IsZero() || listened < wordListens {
		return nil, refused("this controller leads for %s only: it listens for %s before it takes anybody's word", round(listened), wordListens)
	}
	if _, err := fence.Confirm(string(host), c.Boot, word); err != nil {
		if life.what != "" && w.Now.Sub(life.at) < fence.MinSilence {
			err = fmt.Errorf("%w: %s %s ago", err, life.what, round(w.Now.Sub(life.at)))
		}
		return nil, fmt.Errorf("%w: %w", ErrConfirm, err)
	}
	for _, a := range c.answers(host, s, w, p) {
		if !a.Pass && a.Gate != GateConcurrency {
			return nil, refused("%s would be held at gate %s: %s", host, a.Gate, a.Reason)
		}
	}
	return c, nil
}

// answers asks the gates as if c were in force.
func (c *Confirmation) answers(host nova.HostName, s *State, w World, p Policy) []Answer {
	point, r := AtDecide, s.Open(host)
	if r != nil {
		point = AtPowerOff
	}
	return ask(question{point: point, host: host, recovery: r, state: s, world: &w, policy: p, given: c})
}

// takes says whether the ledger may take a person's word for a host.
func (s *State) takes(host nova.HostName, c *Confirmation) error {
	h, r := s.Hosts[host], s.Open(host)
	switch {
	case h == nil:
		return fmt.Errorf("host %s is not known", host)
	case h.Maintenance:
		return fmt.Errorf("host %s is in maintenance, set by %s", host, h.MaintenanceBy)
	case r == nil:
		return nil
	case r.Status != StatusOpen:
		return fmt.Errorf("recovery %s of %s is %s: nothing waits for a proof", r.ID, host, r.Status)
	case r.Cancel != nil:
		return fmt.Errorf("recovery %s of %s is being cancelled", r.ID, host)
	case r.Boot != c.Boot:
		return fmt.Errorf("recovery %s of %s is for boot %q, the word is for %q", r.ID, host, r.Boot, c.Boot)
	}
	if _, ok := r.Proved(); ok {
		return fmt.Errorf("%s is proven off already, by %s", host, r.Proof.Method)
	}
	return nil
}

// applyWord takes a person's word in, or voids it.
func (s *State) applyWord(e Entry) error {
	h := s.Hosts[e.Host]
	if e.Kind == KindConfirmVoid {
		if h == nil || !h.Confirmed.Pending() {
			return fmt.Errorf("no operator's word waits for %s", e.Host)
		}
		h.Confirmed.Void = e.Word
		s.journal(e, "the word of %s that %s is dead is void: %s", h.Confirmed.mark(), e.Host, e.Word)
		return nil
	}
	c := e.Confirm
	if c.Word.By != e.By || !c.Word.At.Equal(e.At) {
		return fmt.Errorf("a word of %s at %s in an entry of %s", c.Word.By, c.Word.At, e.By)
	}
	if err := s.takes(e.Host, c); err != nil {
		return err
	}
	if _, err := fence.Confirm(string(e.Host), c.Boot, c.Word); err != nil {
		return err
	}
	c.Recovery, c.Void = "", ""
	h.Confirmed = c
	s.journal(e, "%s confirmed dead, boot %s: %s", e.Host, orWord(c.Boot, "not known"), c.Word.Reason)
	if r := s.Open(e.Host); r != nil {
		r.note(e, fmt.Sprintf("confirmed dead by %s", c.mark()))
	}
	return nil
}

// stepOf takes a step's entry. A proof by a person's word needs one that waits for
// this host and boot, and is used up by it.
func (s *State) stepOf(r *Recovery, term uint64, e Entry) error {
	if err := s.reported(r, e.Proof); err != nil {
		return err
	}
	if e.Proof == nil || e.Proof.Word == nil {
		return r.step(term, e)
	}
	c := s.word(r.Host, r.Boot, e.At)
	if c == nil || !sameWord(c.Word, *e.Proof.Word) {
		return fmt.Errorf("%w: nobody's word waits for boot %q of %s", fence.ErrNoProof, r.Boot, r.Host)
	}
	if err := r.step(term, e); err != nil {
		return err
	}
	c.Recovery = r.ID
	return nil
}

func sameWord(a, b fence.Word) bool {
	return a.By == b.By && a.Typed == b.Typed && a.Reason == b.Reason && a.At.Equal(b.At) && a.LastSign.Equal(b.LastSign) && a.LastOn.Equal(b.LastOn)
}

// unsay voids a word that waits.
func (s *State) unsay(host nova.HostName, why string) {
	if h := s.Hosts[host]; h != nil && h.Confirmed.Pending() {
		h.Confirmed.Void = why
	}
}

// disown notes that the proof which a word became is void.
func (s *State) disown(r *Recovery, why string) {
	if h := s.Hosts[r.Host]; h != nil && h.Confirmed != nil && h.Confirmed.Recovery == r.ID && h.Confirmed.Void == "" {
		h.Confirmed.Void = why
	}
}

// tendWords voids a word that was overtaken: by a sign of life, by time, or by
// another person's wish.
func (c *Core) tendWords() {
	for _, host := range c.state.HostNames() {
		h := c.state.Hosts[host]
		if !h.Confirmed.Pending() {
			continue
		}
		life, after := vitals(host, &c.world), c.spokenAt(host)
		why := ""
		switch {
		case h.Maintenance:
			why = "the host is in maintenance"
		case c.world.Now.After(h.Confirmed.Expires):
			why = "it was not used in time"
		case life.at.After(after):
			why = life.what
		case life.on.After(after):
			why = "its BMC read on"
		}
		if why != "" {
			c.commit(Entry{Kind: KindConfirmVoid, Host: host, Word: why, Text: "the operator's word is void: " + why})
		}
	}
}

// spokenAt is from when on a sign of life speaks against a person's word: the
// earlier of the word's time and of when this leader first saw it, for the first
// may be another controller's clock.
func (c *Core) spokenAt(host nova.HostName) time.Time {
	at := c.state.Hosts[host].Confirmed.Word.At
	if seen := c.sawFirst(fmt.Sprintf("word %s %d", host, at.UnixNano())); seen.Before(at) {
		at = seen
	}
	return at.Add(proofSlack)
}

// byWord proves a held host off by a person's word, once no power-off can be on
// its way any more.
func (c *Core) byWord(r *Recovery) bool {
	w := c.state.word(r.Host, r.Boot, c.world.Now)
	if w == nil || c.policy.Proofs.Word == Never {
		return false
	}
	if _, expired := c.expired(r); c.policy.Proofs.Word == Together && !expired && !r.StorageGone() {
		return false // it waits, and the methods are tried on
	}
	life, after := vitals(r.Host, &c.world), c.spokenAt(r.Host)
	if life.at.After(after) || life.on.After(after) || c.underWay(r, StepFence) || !c.pass(AtPowerOff, r) {
		return true
	}
	proof, err := fence.Confirm(string(r.Host), r.Boot, w.Word)
	if err != nil {
		c.note("%s: %v", r.Host, err)
		return true
	}
	rec, attempt := proof.Record(), 1
	if old := r.Steps[StepFence]; old != nil {
		attempt = old.Attempt + 1
	}
	c.commit(Entry{Kind: KindStep, Recovery: r.ID, Step: StepFence, Proof: &rec, Text: fmt.Sprintf("fence: taken for off by the word of %s", w.mark()),
		Record: &StepRecord{Phase: PhaseDone, Attempt: attempt, Term: c.term, By: c.world.Leader.ID, Intent: c.world.Now, Ended: c.world.Now}})
	return true
}

// disproved gives the entry that voids a proof by a person's word: whatever lives
// speaks against it. A host that powered itself on while its instances are on
// their way is fenced again; before that its recovery is cancelled.
func (c *Core) disproved(r *Recovery, after time.Time) (Entry, bool) {
	life := vitals(r.Host, &c.world)
	e, what := Entry{Kind: KindVoid, Recovery: r.ID, Word: "a sign of life after the operator's word"}, life.what
	heard := c.world.Heard[r.Host]
	switch {
	case heard.At.After(after) && heard.Boot != r.Boot && r.Boot != "":
		e.Boot, e.Flag, what = heard.Boot, r.sent(), "the host powered itself on"
	case life.at.After(after):
	case life.on.After(after):
		e.Word, e.Flag, what = "its BMC read on after the operator's word", r.sent(), "its BMC read on"
	default:
		return Entry{}, false
	}
	e.Text = "PROOF VOID: the operator's word does not hold: " + what
	return e, true
}
