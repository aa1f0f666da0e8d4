package evacuate

import (
	"fmt"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// advanceRecovered waits for the host to be asked back, or to come by itself.
func (c *Core) advanceRecovered(r *Recovery) {
	proved := c.provedAt(r)
	heard := c.world.Heard[r.Host]
	came := heard.Boot != "" && heard.Boot != r.Boot && c.later(heard, proved)
	switch {
	case came:
		c.commit(Entry{Kind: KindReturn, Recovery: r.ID, Text: "the host was switched on and is heard with a new boot id",
			Return: &Return{Asked: c.world.Now, By: c.world.Leader.ID, Reason: "it was switched on"}})
	case heard.Boot == r.Boot && c.later(heard, proved.Add(proofSlack)):
		if r.Void == "" { // what died with it as a destination may run there
			c.commit(Entry{Kind: KindVoid, Recovery: r.ID, Word: "a heartbeat of the fenced boot was heard after it"})
		}
		c.hold(r, Hold{Step: StepFence, Reason: "the host that was proven off sends heartbeats of the same boot: its BMC lies or belongs to another machine, and its instances may run twice. Cut its power by hand"})
	case c.policy.PowerOn && c.mode(r.Host).Mode == ModeAuto:
		c.commit(Entry{Kind: KindReturn, Recovery: r.ID, Text: "asked back by policy",
			Return: &Return{Asked: c.world.Now, By: "policy", Reason: "policy power_on"}})
	default:
		c.revisit(r)
	}
}

// advanceReturning brings a host back: on, cleaned by its nova-compute, forced
// up, healthy for a while, and enabled only if the disabling was ours.
func (c *Core) advanceReturning(r *Recovery) {
	heard := c.world.Heard[r.Host]
	back := heard.Boot != "" && heard.Boot != r.Boot && heard.At.After(r.Opened)
	if !c.storageBack(r) {
		return // it would boot without its disks
	}
	switch {
	case !back && !r.Done(StepPowerOn) && !c.pastEnded(r):
	case !back && !r.Done(StepPowerOn):
		c.begin(r, act(r, StepPowerOn), fmt.Sprintf("power on %s", r.Host))
	case !back:
		c.wait(r, StepPowerOn, "it was powered on and is not heard yet")
	case !r.Done(StepUnforce):
		c.unforce(r)
	case c.haunted(r, StepEnable):
	case !c.acknowledged(r):
		c.hold(r, Hold{Step: StepEnable, Reason: "a controller that commanded this host's power has not acknowledged a later term: it might still act"})
	case c.world.Nova.Services[r.Host].State != nova.StateUp:
		c.wait(r, StepEnable, "its nova-compute is not up")
	case c.healthy[r.Host].IsZero() || c.world.Now.Sub(c.healthy[r.Host]) < c.policy.HealthyDelay:
		c.wait(r, StepEnable, "it is not healthy for long enough: "+string(c.world.Verdicts[r.Host].State))
	case !r.Done(StepEnable) && !c.mayEnable(r):
	case !r.Done(StepEnable):
		c.begin(r, act(r, StepEnable), "")
	default:
		c.commit(Entry{Kind: KindHostSeen, Host: r.Host, Seen: []HostSeen{{Host: r.Host, Boot: heard.Boot}}})
		c.commit(Entry{Kind: KindClose, Recovery: r.ID, Word: OutcomeReturned, Text: fmt.Sprintf("%s is back in service", r.Host)})
	}
}

// claimsEvery is the pause between two looks at Placement for allocations that stay.
const claimsEvery = 10 * time.Second

// unforce waits until the restarted nova-compute has cleaned up: Nova refuses
// to force a service up while done rows remain (compute/api.py). A row that is completed
// says that the guest is gone from the host; what it was allocated there need not be,
// for Nova only logs where that failed (compute/manager.py, _destroy_evacuated_instances).
func (c *Core) unforce(r *Recovery) {
	obs := c.seen[r.ID]
	if obs == nil || obs.At.Before(c.sawFirst(string(r.ID)+" return")) {
		c.lookOver(r, obs, lookEvery, func(*Action) {})
		return
	}
	row, again := r.uncleanRow(obs)
	asked := obs.Claims != nil || obs.ClaimsErr != ""
	every := lookEvery
	switch {
	case asked:
		every = claimsEvery
	case row == "":
		every = 0
	}
	c.lookOver(r, obs, every, func(a *Action) { a.Claims = row == "" })
	switch {
	case again: // nothing but a person ends it
		c.hold(r, Hold{Step: StepUnforce, Reason: row})
	case row != "":
		c.wait(r, StepUnforce, row)
	case c.haunted(r, StepUnforce): // what the rows say is not so
	case !asked: // the look that has begun asks Placement
	case obs.Claims == nil:
		c.wait(r, StepUnforce, "Placement does not tell whom it gives room on the host: "+obs.ClaimsErr)
	default:
		if why := r.unclean(obs); why != "" {
			c.hold(r, Hold{Step: StepUnforce, Reason: why}) // Nova does not try again by itself
			return
		}
		c.begin(r, act(r, StepUnforce), fmt.Sprintf("its nova-compute has cleaned up: no row is open, and Placement gives none of %d moved instances room on it", r.Count()[EvacDone]))
	}
}

// lookOver looks at a returning host again once the last look is old enough; with says
// what it reads beside the rows.
func (c *Core) lookOver(r *Recovery, last *Observation, every time.Duration, with func(*Action)) {
	if last == nil || c.world.Now.Sub(last.At) >= every {
		a := act(r, StepObserve)
		with(&a)
		c.start(r, a)
	}
}

// unclean says what of the evacuated instances is still allocated on their former host.
func (r *Recovery) unclean(obs *Observation) string {
	var stay []string
	for _, e := range r.Evacuations {
		if e.State == EvacDone && obs.Claims[e.Server] {
			stay = append(stay, fmt.Sprintf("%s (%s)", e.Name, e.Server))
		}
	}
	if len(stay) == 0 {
		return ""
	}
	return fmt.Sprintf("Placement still gives room on it to instances that live elsewhere: %s. Its nova-compute could not take that away; restart it, or `openstack resource provider allocation unset --provider PROVIDER SERVER`", few(stay))
}

// patience is how long a return waits for the host before it says that it is
// held.
const patience = 10 * time.Minute

// wait notes what a return waits for, and holds it when that takes too long.
func (c *Core) wait(r *Recovery, s Step, why string) {
	c.note("%s: waiting: %s", r.Host, why)
	since := r.Return.Asked
	for _, rec := range r.Steps {
		if rec.Ended.After(since) {
			since = rec.Ended
		}
	}
	if c.world.Now.Sub(since) >= patience {
		c.hold(r, Hold{Step: s, Reason: why})
	}
}

// acknowledged says that no controller of an older term can still have a power
// command on its way (rule 2).
func (c *Core) acknowledged(r *Recovery) bool {
	for id, term := range r.PowerBy {
		if id == c.world.Leader.ID || c.state.Controllers[id] == nil {
			continue
		}
		// Whom this leader sent on an errand is done when the errand has ended here.
		if _, flying := c.flight[act(r, StepFence).key()]; term == c.term && !flying {
			continue
		}
		if c.world.Terms[id] <= term {
			return false
		}
	}
	return true
}
