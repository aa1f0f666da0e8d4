package evacuate

import (
	"fmt"
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
		if s := c.trouble(e, obs); s != "" {
			why = append(why, e.Name+": "+s)
		}
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
	if r.Hold == nil || r.Hold.Gate == "" {
		c.hold(r, Hold{Step: StepEvacuate, Reason: strings.Join(why, "; ")})
	}
}

// trouble says what is wrong with one evacuation. Its words must not change
// from tick to tick: each change is an entry.
func (c *Core) trouble(e *Evacuation, obs *Observation) string {
	long := c.world.Now.Sub(e.Intent) > c.policy.Stuck
	switch {
	case e.State == EvacIntent && long:
		return "whether Nova took its request is not known, and something is still being done with it"
	case e.State == EvacFollowing && long:
		if m, ok := row(e, obs); ok {
			return fmt.Sprintf("its migration row %d is %s for too long; Nova may still run it, so it is not repeated", m.ID, m.Status)
		}
		return "Nova took its request and shows no migration row for it"
	case (e.State == EvacFailed || e.State == EvacIntent || e.State == EvacFollowing) && e.Attempt >= manyFailures:
		return "it has failed several times and is tried again each minute" // the journal has the reasons
	}
	return ""
}
