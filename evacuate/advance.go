package evacuate

import (
	"fmt"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// advance says what an unclosed recovery needs next.
func (c *Core) advance(r *Recovery) {
	if c.state.Frozen || c.world.Frozen != "" {
		c.pass(AtEvacuate, r) // holds at gate freeze, whatever the step
		c.follow(r)           // what was sent is still followed
		return
	}
	switch r.Status {
	case StatusOpen:
		c.advanceOpen(r)
	case StatusRecovered:
		c.advanceRecovered(r)
	case StatusReturning:
		c.advanceReturning(r)
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
	switch {
	case !r.Done(StepForceDown):
		a := act(r, StepForceDown)
		a.Proof = r.Proof
		c.begin(r, a, "")
	case !r.Done(StepList):
		a := act(r, StepList)
		a.Proof = r.Proof
		c.begin(r, a, "")
	case !r.Settled():
		c.shieldSuspects(r)
		c.advanceEvacuations(r)
	case !r.Done(StepEvacuate):
		c.finish(r, StepEvacuate, c.summary(r))
	case !r.Done(StepVerify):
		a := act(r, StepVerify)
		for _, e := range r.Evacuations {
			if e.State == EvacDone {
				a.Servers = append(a.Servers, e.Server)
				if e.VMState == nova.VMStopped {
					a.Stopped = append(a.Stopped, e.Server)
				}
			}
		}
		c.begin(r, a, "")
	default:
		c.liftShields(r)
		c.finish(r, StepReport, fmt.Sprintf("recovered: %s, %s after it was last heard", c.summary(r), round(c.world.Now.Sub(r.LastHeard))))
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

// contradicted voids the proof of a host that is heard after it: it was not
// off, or it is on again (rule 5).
func (c *Core) contradicted(r *Recovery) bool {
	proof, ok := r.Proved()
	heard := c.world.Heard[r.Host]
	if !ok || !heard.At.After(proof.At().Add(time.Second)) {
		return false
	}
	if heard.Boot == r.Boot {
		c.commit(Entry{Kind: KindVoid, Recovery: r.ID, Word: "a heartbeat of the fenced boot was heard after it",
			Text: "PROOF VOID: the host that its BMC calls off sends heartbeats. The BMC lies or belongs to another machine"})
		return true
	}
	c.commit(Entry{Kind: KindVoid, Recovery: r.ID, Word: "the host powered itself on", Boot: heard.Boot,
		Text: "the host powered itself on during its recovery: it is fenced again"})
	return true
}

// advanceUnproved disables and fences, cancels when the host has healed, and
// holds when a gate closed.
func (c *Core) advanceUnproved(r *Recovery) {
	if !r.Done(StepDisable) {
		c.begin(r, act(r, StepDisable), "")
	}
	// A host that was proven off and came on by itself while its instances are
	// being rebuilt is fenced at once: no verdict is needed.
	again := r.Refence && r.Void != ""
	if !again && c.healed(r) {
		c.cancel(r)
		return
	}
	if c.busy(act(r, StepFence).key()) {
		return
	}
	if again {
		if !c.world.Leader.Writable {
			return
		}
	} else if !c.pass(AtPowerOff, r) {
		return
	}
	c.begin(r, act(r, StepFence), fmt.Sprintf("power off %s", r.Host))
}

// healed says that the host has been heard steadily since it was suspected.
func (c *Core) healed(r *Recovery) bool {
	since := c.healthy[r.Host]
	return !since.IsZero() && c.world.Now.Sub(since) >= healSettle
}

// healSettle is how long a host must be heard before its recovery is cancelled.
const healSettle = 5 * time.Second

// cancel undoes what an unproven recovery did. Once a POST was sent it is too
// late: an operator must look.
func (c *Core) cancel(r *Recovery) {
	for _, e := range r.Evacuations {
		if e.Attempt > 0 {
			c.hold(r, Hold{Step: StepCancel, Reason: "the host is heard, but evacuations were sent on a proof that proved false: look for instances that run twice"})
			return
		}
	}
	if _, fencing := c.flight[act(r, StepFence).key()]; fencing {
		return
	}
	if r.Done(StepCancel) {
		c.liftShields(r)
		c.commit(Entry{Kind: KindClose, Recovery: r.ID, Word: OutcomeCancelled, Text: "cancelled: the host is healthy"})
		return
	}
	a := act(r, StepCancel)
	a.OffSent = r.OffSent
	c.begin(r, a, "the host is heard again: undo")
}

// shieldSuspects disables the other hosts that may be the next to die, so that
// no evacuee lands on them (rule 6).
func (c *Core) shieldSuspects(r *Recovery) {
	for _, host := range c.state.HostNames() {
		v := c.world.Verdicts[host]
		suspect := v.State == detector.Dead || v.State == detector.Suspect
		svc, known := c.world.Nova.Services[host]
		if host == r.Host || !suspect || !known || svc.Disabled || c.state.Open(host) != nil || c.shielded(host) {
			continue
		}
		a := act(r, StepDisable)
		a.Shield = host
		a.Service = ServiceBefore{ID: svc.ID}
		if !c.busy(a.key()) {
			c.commit(Entry{Kind: KindShield, Recovery: r.ID, Shield: &Shield{Host: host},
				Text: fmt.Sprintf("%s is %s: disabled, so that nothing is evacuated to it", host, v.State)})
			c.start(r, a)
		}
	}
	c.liftShields(r)
}

func (c *Core) shielded(host nova.HostName) bool {
	for _, r := range c.state.Recoveries {
		for _, sh := range r.Shielded {
			if sh.Host == host && !sh.Lifted {
				return true
			}
		}
	}
	return false
}

// liftShields enables again what was only suspect and is healthy.
func (c *Core) liftShields(r *Recovery) {
	for _, sh := range r.Shielded {
		since := c.healthy[sh.Host]
		if sh.Lifted || since.IsZero() || c.world.Now.Sub(since) < healSettle {
			continue
		}
		a := act(r, StepDisable)
		a.Shield, a.Lift = sh.Host, true
		a.Service = ServiceBefore{ID: c.world.Nova.Services[sh.Host].ID}
		c.start(r, a)
	}
}

func (c *Core) shieldDone(r *Recovery, o Outcome) {
	if o.OK && o.Action.Lift {
		c.commit(Entry{Kind: KindShield, Recovery: r.ID, Shield: &Shield{Host: o.Action.Shield, Lifted: true},
			Text: fmt.Sprintf("%s is well: enabled again", o.Action.Shield)})
	}
}
