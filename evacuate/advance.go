package evacuate

import (
	"fmt"
	"time"

	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// advance says what an unclosed recovery needs next.
func (c *Core) advance(r *Recovery) {
	switch {
	case r.Status == StatusClosed:
		return
	case r.Status == StatusRecovered && (c.state.Frozen || c.world.Frozen != ""):
		return // there is nothing to hold
	case r.Status == StatusRecovered:
	case c.halted(r.Host):
		c.pass(AtEvacuate, r) // holds at gate freeze or armed, whatever the step
		c.follow(r)           // what was sent is still followed
		return
	case r.Status != StatusOpen && r.Hold != nil && r.Hold.Gate != "" && r.Hold.Gate != GateFlap:
		c.release(r) // only an open recovery asks gates, but for enable
	}
	switch r.Status {
	case StatusOpen:
		c.advanceOpen(r)
	case StatusRecovered:
		c.advanceRecovered(r)
	case StatusReturning:
		c.advanceReturning(r)
	case StatusClosed:
	}
}

func (c *Core) advanceOpen(r *Recovery) {
	if c.contradicted(r) {
		return
	}
	if _, ok := r.Proved(); !ok {
		c.advanceUnproved(r)
		return
	}
	if !c.pass(AtEvacuate, r) {
		c.follow(r)
		return
	}
	if !c.storageReady(r) {
		c.follow(r)
		return
	}
	if r.Done(StepEvacuate) {
		c.relist(r, false) // a person may have asked
	}
	switch {
	case !r.Done(StepForceDown):
		a := act(r, StepForceDown)
		a.Proof = r.Proof
		c.begin(r, a, "")
	case !r.Done(StepList):
		a := act(r, StepList)
		a.Proof = r.Proof
		for _, s := range c.world.Servers[r.Host] {
			a.Servers = append(a.Servers, s.ID)
		}
		c.begin(r, a, "")
	case !r.Settled():
		c.relist(r, false)
		c.follow(r)
		c.stops(r)
		if c.shieldSuspects(r) && c.mayStrand(r) == "" {
			c.senders = append(c.senders, r)
		}
	case !r.Done(StepEvacuate):
		c.relist(r, true)
	case c.stops(r): // not yet as they were before
	case !r.Done(StepVerify):
		c.verify(r)
	default:
		c.finish(r, StepReport, fmt.Sprintf("recovered: %s, %s after it was last heard", c.summary(r)+r.checkedText(), round(max(c.world.Now.Sub(r.LastHeard), 0)))+r.behind())
	}
}

// finish records a step that is a conclusion and calls nobody.
func (c *Core) finish(r *Recovery, s Step, text string) {
	c.commit(Entry{Kind: KindStep, Recovery: r.ID, Step: s, Text: text,
		Record: &StepRecord{Phase: PhaseDone, Attempt: 1, Term: c.term, By: c.world.Leader.ID, Intent: c.world.Now, Ended: c.world.Now}})
}

func (c *Core) summary(r *Recovery) string {
	n := r.Count()
	s := fmt.Sprintf("%d of %d instances moved", n[EvacDone], len(r.Evacuations))
	if n[EvacSkipped] > 0 {
		s += fmt.Sprintf(", %d left with a reason", n[EvacSkipped])
	}
	return s
}

// contradicted voids the proof of a host that is heard or reads on after it: it
// was not off, or it is on again (rule 5).
func (c *Core) contradicted(r *Recovery) bool {
	if _, ok := r.Proved(); !ok {
		return false
	}
	after := c.provedAt(r).Add(proofSlack)
	if r.Proof.Word != nil {
		e, void := c.disproved(r, after)
		if void {
			c.commit(e)
		}
		return void
	}
	heard := c.world.Heard[r.Host]
	e := Entry{Kind: KindVoid, Recovery: r.ID}
	switch {
	case c.later(heard, after) && heard.Boot == r.Boot:
		e.Word = "a heartbeat of the fenced boot was heard after it"
		e.Text = "PROOF VOID: the host that its BMC calls off sends heartbeats. The BMC lies or belongs to another machine"
		if skew := c.world.Network.Skew; skew != "" {
			e.Text = "PROOF VOID: a heartbeat seems to be younger than it. It may be the clock: " + skew
		}
	case c.later(heard, after):
		e.Word, e.Boot, e.Flag = "the host powered itself on", heard.Boot, true
		e.Text = "the host powered itself on during its recovery: it is fenced again"
	case c.readsOn(r.Host, after):
		e.Word, e.Flag = "the BMC read on after it", true
		e.Text = "its BMC reads on after our off: the proof is expired and the host is fenced again"
	default:
		return false
	}
	c.commit(e)
	return true
}

// proofSlack is how much later than a proof a heartbeat must be heard to speak
// against it: reports travel.
const proofSlack = time.Second

// readsOn says that the newest reading of the host's power is on and began
// after the given time.
func (c *Core) readsOn(host nova.HostName, after time.Time) bool {
	v := c.world.Verdicts[host].View
	if len(v.Power) == 0 {
		return false
	}
	newest := v.Power[0]
	return newest.Power == string(fence.On) && v.At.Add(-newest.Age).After(after)
}

// advanceUnproved disables and fences, cancels when the host has healed, and
// holds when a gate closed.
func (c *Core) advanceUnproved(r *Recovery) {
	if r.Done(StepCancel) {
		text := "cancelled: the host was heard again, and what we did is undone"
		if r.Cancel != nil {
			text = fmt.Sprintf("cancelled by %s, and what we did is undone", r.Cancel)
		}
		c.commit(Entry{Kind: KindClose, Recovery: r.ID, Word: OutcomeCancelled, Text: text})
		return
	}
	if c.underWay(r, StepCancel) {
		return // a power-off beside it would be undone half-way
	}
	// A host that was proven off and came on by itself while its instances are
	// being rebuilt is fenced at once: no verdict is needed.
	again := r.Refence && r.Void != ""
	if !again && c.cameOn(r) {
		return
	}
	if !again && (c.healed(r) || r.Cancel != nil) {
		c.cancel(r)
		return
	}
	if !r.Done(StepDisable) {
		c.begin(r, act(r, StepDisable), "")
	}
	if c.byWord(r) || !again && c.byWatchdog(r) || c.busy(act(r, StepFence).key()) {
		return
	}
	if again && !c.mayRefence(r) || !again && !c.pass(AtPowerOff, r) {
		return
	}
	a, text := act(r, StepFence), fmt.Sprintf("power off %s", r.Host)
	if a.Hand = c.hand(r); a.Hand != "" {
		text += fmt.Sprintf(" by %s, which reaches it", a.Hand)
	}
	c.begin(r, a, text)
	c.fenceStorage(r)
}

// cameOn marks a host for fencing that came on with a new boot id after its
// proof had been voided for another reason and while evacuations may still be
// on their way.
func (c *Core) cameOn(r *Recovery) bool {
	heard := c.world.Heard[r.Host]
	if r.Void == "" || !r.sent() || heard.Boot == r.Boot || !c.later(heard, c.provedAt(r).Add(proofSlack)) {
		return false
	}
	c.commit(Entry{Kind: KindVoid, Recovery: r.ID, Word: r.Void, Boot: heard.Boot, Flag: true,
		Text: "the host powered itself on during its recovery: it is fenced again"})
	return true
}

// mayRefence asks what even a host that came on by itself must not be fenced
// without; verdict, storm and concurrency are not asked (rule 5).
func (c *Core) mayRefence(r *Recovery) bool {
	for _, a := range Ask(AtPowerOff, r.Host, r, c.state, &c.world, c.policy) {
		asked := a.Gate == GateLedger || a.Gate == GateArmed || a.Gate == GateMaintenance
		if asked && !a.Pass {
			c.hold(r, Hold{Gate: a.Gate, Reason: a.Reason})
			return false
		}
	}
	return true
}

// underWay says that an attempt at a step may still be running, here or at a
// deposed leader's.
func (c *Core) underWay(r *Recovery, s Step) bool {
	if _, flying := c.flight[act(r, s).key()]; flying {
		return true
	}
	return c.waitsOut(r, s)
}

// healed says that the host has been heard steadily since it was suspected.
func (c *Core) healed(r *Recovery) bool {
	since := c.healthy[r.Host]
	return !since.IsZero() && c.world.Now.Sub(since) >= healSettle
}

// healSettle is how long a host must be heard before its recovery is cancelled.
const healSettle = 5 * time.Second

// cancel undoes what an unproven recovery did, once no power-off can be on its
// way any more. Once a POST was sent it is too late: an operator must look.
func (c *Core) cancel(r *Recovery) {
	if r.sent() {
		c.hold(r, Hold{Step: StepCancel, Reason: "the host is heard, but evacuations were sent on a proof that proved false: look for instances that run twice"})
		return
	}
	_ = c.underWay(r, StepFenceStorage) // its wait begins beside the others', not after them
	if c.underWay(r, StepFence) || c.underWay(r, StepDisable) {
		return
	}
	if !c.storageBack(r) {
		return
	}
	a := act(r, StepCancel)
	a.OffSent, a.Asked = r.OffSent, r.Cancel != nil
	if old := r.Steps[StepFence]; old != nil && old.Phase == PhaseIntent && old.Intent.After(a.OffSent) {
		a.OffSent = old.Intent // its leader did not live to tell
	}
	text := "the host is heard again: undo"
	if r.Cancel != nil {
		text = fmt.Sprintf("cancelled by %s: undo", r.Cancel)
	}
	c.begin(r, a, text)
}
