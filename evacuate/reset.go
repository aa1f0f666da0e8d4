package evacuate

import (
	"fmt"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// Reset is how far the reset of an instance's state has come that must be in error
// before Nova evacuates it.
type Reset string

// Stages of a reset.
const (
	ResetNeeded Reset = "needed"
	ResetDone   Reset = "done"
)

func resetKey(r *Recovery, e *Evacuation) string {
	return fmt.Sprintf("%s reset %s %d", r.ID, e.Server, e.Resets)
}

// promiseReset journals a reset and sends it. It comes before the first POST of its
// evacuation and never beside one: a reset that hits a rebuild on its way makes Nova
// forget it, and its guest may run on.
func (c *Core) promiseReset(r *Recovery, e *Evacuation, obs *Observation) *Evacuation {
	s, here := obs.Source[e.Server]
	n := *e
	switch {
	case !here || c.first[resetKey(r, e)].After(obs.At):
		return nil
	case s.VMState == nova.VMError:
		n.Reset, n.Reason = ResetDone, "its state was reset to error; it was "+e.VMState
		return &n
	}
	a := act(r, StepReset)
	a.Server, a.Attempt, a.Proof = e.Server, e.Resets+1, r.Proof
	if c.busy(a.key()) {
		return nil
	}
	n.State, n.Resets, n.Intent, n.Ended = EvacReset, e.Resets+1, c.world.Now, time.Time{}
	c.sawFirst(resetKey(r, &n))
	c.start(r, a)
	return &n
}

// resetAnswered takes the answer to a reset: Nova writes the state before it answers.
func (c *Core) resetAnswered(r *Recovery, o Outcome) {
	e := r.Evacuation(o.Action.Server)
	if e == nil || e.State != EvacReset || e.Resets != o.Action.Attempt {
		return
	}
	n := *e
	switch {
	case o.OK:
		n.State, n.Reset, n.Reason = EvacPlanned, ResetDone, "its state was reset to error; it was "+e.VMState
	case o.Definite && o.Cause == string(nova.FaultNotFound):
		n.State, n.Reason, n.Ended = EvacSkipped, deletedMeanwhile, c.world.Now
	case o.Definite:
		n.State, n.Reason, n.NotBefore = EvacPlanned, "its state could not be reset: "+o.Detail, c.world.Now.Add(retryAfter(n.Resets))
	default:
		n.Reason = "whether its state was reset is not known: " + o.Detail
	}
	c.commit(Entry{Kind: KindEvacuations, Recovery: r.ID, Evacuations: []*Evacuation{&n}, Text: n.describe()})
}

// resetRead resolves a reset whose answer was lost, by a look that began after
// every time-out between us and Nova has passed: it can't arrive any more, and what is
// read is what came of it.
func (c *Core) resetRead(r *Recovery, e *Evacuation, obs *Observation) *Evacuation {
	_, flying := c.flight[flightKey{recovery: r.ID, step: StepReset, server: e.Server}]
	if flying || obs.Began.Sub(c.sawFirst(resetKey(r, e))) < c.policy.QuietPeriod {
		return nil
	}
	n := *e
	s, here := obs.Source[e.Server]
	switch {
	case obs.Gone[e.Server]:
		n.State, n.Reason, n.Ended = EvacSkipped, deletedMeanwhile, c.world.Now
	case !here:
		return nil
	case s.VMState == nova.VMError:
		n.State, n.Reset, n.Reason = EvacPlanned, ResetDone, "its state was reset to error; it was "+e.VMState
	default:
		n.State, n.Reason = EvacPlanned, "the reset of its state never reached Nova"
	}
	return &n
}

// resettable says that the state of n may be reset now: with a proof, before its
// first POST, and one reset after another.
func (r *Recovery) resettable(n *Evacuation) error {
	old := r.Evacuation(n.Server)
	if old != nil && old.State == EvacReset && old.Resets == n.Resets {
		return nil // a remark on the same one
	}
	if _, ok := r.Proved(); !ok {
		return fmt.Errorf("reset of %s without a proof that %s is off", n.Server, r.Host)
	}
	if old == nil || old.State != EvacPlanned || old.Attempt > 0 || n.Resets != old.Resets+1 {
		return fmt.Errorf("reset of %s: it is not planned, or was evacuated already", n.Server)
	}
	return nil
}
