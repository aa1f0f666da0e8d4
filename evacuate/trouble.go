package evacuate

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// manyFailures is how often an evacuation may fail before a person is told.
const manyFailures = 3

// troubles holds a recovery whose instances wait too long, all named in one
// reason, and lets it go on when none does any more. Nothing that Nova may
// still run is ever repeated by itself.
func (c *Core) troubles(r *Recovery, obs *Observation) {
	var why []string
	for _, e := range r.Evacuations {
		if s := c.trouble(r, e, obs); s != "" {
			why = append(why, e.Name+": "+s)
		}
	}
	if host := c.mayStrand(r); host != "" && r.planned() {
		why = append(why, fmt.Sprintf("%s fell silent, may not be disabled, and Nova takes it for up: nothing is sent before Nova knows", host))
	}
	if len(why) == 0 {
		if r.Hold != nil && r.Hold.Gate == "" && r.Hold.Step == StepEvacuate {
			c.release(r)
		}
		return
	}
	const most = 5
	if n := len(why); n > most {
		why = append(why[:most], fmt.Sprintf("and %d more", n-most))
	}
	gate := func(e Entry) bool {
		return e.Kind == KindHold && e.Recovery == r.ID && e.Hold != nil && e.Hold.Gate != ""
	}
	if (r.Hold == nil || r.Hold.Gate == "") && !slices.ContainsFunc(c.ready.Commit, gate) {
		c.hold(r, Hold{Step: StepEvacuate, Reason: strings.Join(why, "; ")})
	}
}

// trouble says what is wrong with one evacuation. Its words must not change
// from tick to tick: each change is an entry.
func (c *Core) trouble(r *Recovery, e *Evacuation, obs *Observation) string {
	for _, l := range e.Losses {
		if err := c.state.gone(l); err != nil && e.State == EvacFailed {
			return err.Error()
		}
	}
	if e.State == EvacFollowing {
		if why := cmp.Or(c.astray(e, obs), c.queued(r, e, obs)); why != "" {
			return why
		}
	}
	if why := e.stalled(); why != "" {
		return why
	}
	if e.State != EvacIntent && e.State != EvacFollowing && e.State != EvacFailed {
		return ""
	}
	lasts := c.underWayFor(r, e)
	long := lasts > c.policy.Stuck
	switch {
	case e.State == EvacIntent && long:
		return "whether Nova took its request is not known, and something is still being done with it"
	case e.State == EvacFollowing && long:
		m, ok := row(e, obs)
		switch {
		case !ok:
			return "Nova took its request and shows no migration row for it"
		case m.Status.Terminal():
			return fmt.Sprintf("its migration row %d has ended as %s, and Nova does not show it at rest elsewhere: it may run at %s, so it is not repeated", m.ID, m.Status, cmp.Or(m.Dest, "its destination"))
		}
		return fmt.Sprintf("its migration row %d is %s for too long; Nova may still run it, so it is not repeated", m.ID, m.Status)
	case e.nobodys(obs) && lasts > claimed && e.To.Host != "":
		return fmt.Sprintf("%s, which was named to Nova, has not claimed it for a minute: is it busy, or its nova-compute stuck? It may still take it, so it is not repeated", e.To.Host)
	case e.nobodys(obs) && lasts > claimed:
		return "Nova has given it no destination for a minute: do its conductor and scheduler work? It may still run it, so it is not repeated"
	case e.Attempt >= manyFailures && e.Last != "" && len(e.Doubts) > 0:
		return fmt.Sprintf("it may run on %s and is sent there alone, where Nova looks first; the last time: %s. Where it does not run, `openstack server set --state active` has it moved", e.Doubts[0].Host, e.Last)
	case e.Attempt >= manyFailures && e.Last != "":
		return "it has failed several times and is tried again each minute; the last time: " + e.Last
	}
	return ""
}
