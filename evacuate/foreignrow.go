package evacuate

import (
	"fmt"
	"slices"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// onItsWay says which evacuation may still be on its way from a host whose own recovery has
// none: its row is open, and Nova still places the instance there. As nova-compute starts
// it destroys that instance's disk there, wherever the rebuild has come to. "" if none is.
func onItsWay(obs *Observation) string {
	var names []string
	for _, m := range obs.Rows {
		if _, here := obs.Source[m.Server]; here && !m.Status.Terminal() {
			names = append(names, fmt.Sprintf("%s (migration %d, %s to %s)", orWord(obs.Source[m.Server].Name, string(m.Server)), m.ID, m.Status, orWord(string(m.Dest), "nobody yet")))
		}
	}
	if len(names) == 0 {
		return ""
	}
	return fmt.Sprintf("somebody else's evacuation from it is not over in Nova: %s. Its nova-compute would destroy the disk here as it starts. One that never ends: see the runbook for rows left behind", few(names))
}

// anyOpen says that some row may still move its server.
func anyOpen(obs *Observation) bool {
	return slices.ContainsFunc(obs.Rows, func(m nova.Migration) bool { return !m.Status.Terminal() })
}

// pastEnded says that a host may be powered on: that nobody, by hand or by another
// program, is evacuating from it (rule 8). Ours have ended before it is asked back.
func (c *Core) pastEnded(r *Recovery) bool {
	obs, asked := c.seen[r.ID], c.sawFirst(string(r.ID)+" return")
	switch {
	case c.busy(act(r, StepPowerOn).key()):
		return false // what was looked at by then is too old for the next attempt
	case obs == nil || !obs.Listed || obs.Began.Before(asked) || c.world.Now.Sub(obs.At) > lookFresh:
		c.lookPast(r)
		c.wait(r, StepPowerOn, Untold)
		return false
	}
	why := onItsWay(obs)
	if why == "" {
		return true
	}
	c.lookPast(r)
	c.hold(r, Hold{Step: StepPowerOn, Reason: why})
	return false
}

// pastSight is what was read for a host that returns: when that began, and what stands
// against a start of its nova-compute.
type pastSight struct {
	began time.Time
	why   string
}

const (
	// pastFresh is how old that may be for the start gate, pastEvery when it is read anew.
	pastFresh = 25 * time.Second
	pastEvery = 11 * time.Second // a return that waits for Placement looks oftener
)

// notePast takes a look for the start gate of a host that returns. Where a row is open,
// only one that has listed the host's servers tells.
func (c *Core) notePast(r *Recovery, obs *Observation) {
	switch {
	case r.Status != StatusReturning:
	case !anyOpen(obs):
		c.gates.past[r.Host] = pastSight{began: obs.Began}
	case obs.Listed:
		c.gates.past[r.Host] = pastSight{began: obs.Began, why: onItsWay(obs)}
	}
}

// AsksNova says that the start gate of a host needs Nova's word too: it is asked back, and
// somebody may evacuate from it by hand for as long as it is forced down.
func (s *State) AsksNova(host nova.HostName) bool {
	r := s.Open(host)
	return r != nil && r.Status == StatusReturning && !r.Done(StepUnforce)
}

// Untold is the reason of a start gate that Nova has not been asked for.
const Untold = "Nova has not told yet whether somebody evacuates from it"

// lookPast reads a host's rows and servers, not more often than once in lookEvery
// whatever comes of it.
func (c *Core) lookPast(r *Recovery) {
	if c.world.Now.Sub(c.gates.looked[r.Host]) >= lookEvery {
		c.gates.looked[r.Host] = c.world.Now
		c.lookOver(r, nil, 0, func(a *Action) { a.Source = true })
	}
}

// startGates is what the leader knows of the gates of hosts that return.
type startGates struct {
	past   map[nova.HostName]pastSight
	looked map[nova.HostName]time.Time
	// shut says why each is, "" where Nova has nothing against it; nil: this controller
	// does not lead.
	shut map[nova.HostName]string
}

// tendGates looks on behalf of the start gates of all hosts that return.
func (c *Core) tendGates() {
	c.gates.shut = map[nova.HostName]string{}
	for _, r := range c.state.Sorted() {
		if r.Status != StatusReturning || !c.state.AsksNova(r.Host) {
			continue
		}
		asked := c.sawFirst(string(r.ID) + " return")
		last, known := c.gates.past[r.Host]
		known = known && !last.began.Before(asked)
		age := c.world.Now.Sub(last.began)
		if !known || age >= pastEvery {
			c.lookPast(r)
		}
		if c.gates.shut[r.Host] = last.why; !known || age > pastFresh {
			c.gates.shut[r.Host] = Untold
		}
	}
}

// Gates gives what Nova has against the start gate of each host that returns, "" for
// nothing.
func (c *Core) Gates() map[nova.HostName]string { return c.gates.shut }
