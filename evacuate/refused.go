package evacuate

import (
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// Answered is how Nova's API refused a request: the HTTP status, 0 without an answer, and
// how long it asked to be left alone.
type Answered struct {
	Status int
	Wait   time.Duration
}

const (
	badRequest = 400
	// refusalsMost is how often Nova refuses one instance with the same words, and no host
	// named, before that is taken for its last.
	refusalsMost = 3
	// stillUp is what Nova answers while it takes the source for up: that passes
	// (nova/exception.py, ComputeServiceInUse).
	stillUp = "still in use"
)

// refused takes an answer by which nothing was begun.
func (c *Core) refused(n *Evacuation, o Outcome) {
	same := n.Last == o.Detail
	n.State, n.Reason, n.Last = EvacFailed, o.Detail, o.Detail
	n.NotBefore = c.world.Now.Add(retryAfter(n.Attempt))
	if o.Cause == string(nova.FaultBusy) {
		wait := min(o.Answer.Wait, 2*retryMost)
		n.NotBefore = c.world.Now.Add(max(retryAfter(n.Attempt), wait))
		c.window.busy(c.world.Now, wait, c.policy.InFlight)
		return
	}
	invalid := o.Answer.Status == badRequest
	switch {
	case o.Answer.Status == 0: // it was never sent: nobody has refused the host
		n.Refusals = 0
	case n.To.Host != "":
		n.Refusals = 0
		// Only these two say that the name may be what is wrong.
		c.learn(n, invalid || o.Cause == string(nova.FaultNotFound))
	case !invalid || strings.Contains(o.Detail, stillUp):
		n.Refusals = 0
	case same:
		n.Refusals++
	default:
		n.Refusals = 1
	}
	if n.Refusals >= refusalsMost {
		n.State, n.Reason, n.Ended, n.NotBefore = EvacSkipped, "Nova refuses it: "+o.Detail, c.world.Now, time.Time{}
	}
}
