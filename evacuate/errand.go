package evacuate

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// An errand has another controller, its hand, carry the power-off of a host out whose
// fencing methods the leader does not reach itself (fence/DESIGN.md).

// HandFresh is how long a controller that read on of a living host counts as one that
// reaches its fencing methods.
const HandFresh = time.Hour

// Hand is another controller that reaches a host's fencing methods.
type Hand struct {
	ID string `json:"id"`
	// On is when it last read on, and the host's own identity, while its agent was heard.
	On time.Time `json:"on"`
	// Methods are those through which it did.
	Methods []string `json:"methods"`
}

// InReach lists those that may be sent on an errand now, by id: they report, and do not
// run on the host.
func (f Fencing) InReach(w *World) []Hand {
	out := slices.DeleteFunc(slices.Clone(f.Hands), func(h Hand) bool {
		age := w.Now.Sub(h.On)
		return age < 0 || age > HandFresh || h.ID == w.Leader.ID || h.ID == f.Controller || !slices.Contains(w.Network.Reporting, h.ID)
	})
	slices.SortFunc(out, func(a, b Hand) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// sayHands is who reaches the host, where this controller does not.
func (f Fencing) sayHands(w *World, p Policy) string {
	if !f.Unreached || !p.Errands {
		return ""
	}
	hands := f.InReach(w)
	if len(hands) == 0 {
		return "; this controller does not reach it, and none is known that does"
	}
	who := make([]string, 0, len(hands))
	for _, h := range hands {
		who = append(who, fmt.Sprintf("%s does (it read on %s ago)", h.ID, round(w.Now.Sub(h.On))))
	}
	return "; this controller does not reach it, " + strings.Join(who, ", ")
}

// hand is who is to carry the next power-off out; "": the leader itself. It is another
// only where no own method answers, and each in turn, the leader among them: it may
// reach the host again.
func (c *Core) hand(r *Recovery) string {
	f := c.world.Fencing[r.Host]
	v := c.world.Verdicts[r.Host]
	if !c.policy.Errands || !f.Unreached || v.State == detector.Isolated || v.CondemnedAlive() {
		return ""
	}
	hands, tried := f.InReach(&c.world), 0
	if old := r.Steps[StepFence]; old != nil {
		tried = old.Attempt
	}
	if i := tried % (len(hands) + 1); i < len(hands) {
		return hands[i].ID
	}
	return ""
}

// mayOverlap says that two controllers might be at one host's fencing methods: another
// leader's attempt may still run, and it or the next one is an errand.
func (c *Core) mayOverlap(r *Recovery, a Action) bool {
	old := r.Steps[a.Step]
	if old == nil || a.Hand == "" && old.Hand == "" || !c.waitsOut(r, a.Step) {
		return false
	}
	by := old.Hand
	if by == "" {
		by = old.By
	}
	c.hold(r, Hold{Step: a.Step, Reason: fmt.Sprintf("attempt %d by %s was begun under another leader and may still be under way", old.Attempt, by)})
	return true
}

// PermitsErrand is what the hand asks of its own ledger as the last thing before it
// writes: all that the leader asks, and that just this attempt is the one in force and
// its own.
func (s *State) PermitsErrand(w *World, p Policy, a Action) error {
	r := s.Recoveries[a.Recovery]
	if r == nil {
		return fmt.Errorf("no recovery %q", a.Recovery)
	}
	here := *w
	if here.Aggregates == nil { // Nova tells the leader, which has asked it
		here.Aggregates = map[nova.HostName][]string{r.Host: r.Aggregates}
	}
	if err := PermitsNow(s, &here, p, a); err != nil {
		return err
	}
	rec, h := r.Steps[StepFence], s.Hosts[r.Host]
	_, proved := r.Proved()
	switch {
	case !p.Errands:
		return fmt.Errorf("fencing.errands is off")
	case a.Step != StepFence || a.Hand == "":
		return fmt.Errorf("step %s by %q is no errand", a.Step, a.Hand)
	case r.Status != StatusOpen || r.Host != a.Host || r.Boot != a.Boot:
		return fmt.Errorf("recovery %s is %s, of %s boot %s", r.ID, r.Status, r.Host, r.Boot)
	case rec == nil || rec.Phase != PhaseIntent || rec.Attempt != a.Attempt || rec.Term != a.Term || rec.Hand != a.Hand:
		return fmt.Errorf("attempt %d of term %d by %s is not the one that was promised", a.Attempt, a.Term, a.Hand)
	case proved:
		return fmt.Errorf("%s is proven off already", r.Host)
	case r.Cancel != nil || r.Steps[StepCancel] != nil:
		return fmt.Errorf("recovery %s is being cancelled", r.ID)
	case h != nil && h.Maintenance:
		return fmt.Errorf("%s is in maintenance", r.Host)
	}
	return nil
}

// commandedBy notes who may have commanded the host's power or storage from now on:
// the leader, and its hand.
func (r *Recovery) commandedBy(term uint64, ids ...string) {
	if r.PowerBy == nil {
		r.PowerBy = map[string]uint64{}
	}
	for _, id := range ids {
		if id != "" {
			r.PowerBy[id] = term
		}
	}
}

// ofErrand refuses a proof by a hand that was not the one promised.
func (r *Recovery) ofErrand(e Entry) error {
	if e.Proof.By == "" {
		return nil
	}
	old := r.Steps[StepFence]
	if e.Step != StepFence || old == nil || old.Phase != PhaseIntent || old.Hand != e.Proof.By || old.Attempt != e.Record.Attempt {
		return fmt.Errorf("the proof is by %s, which was not asked", e.Proof.By)
	}
	return nil
}
