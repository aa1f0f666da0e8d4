package evacuate

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// Stopping is how far the stop has come of an instance that was stopped before anything
// and came up running: an evacuation out of ERROR starts what it moves
// (compute/manager.py, _do_rebuild_instance).
type Stopping string

// Stages of a stop. Each request is promised before it is sent, and what came of it is
// read; one that failed for good says why in StopWhy, and so does one that is another
// recovery's by then.
const (
	StopNeeded  Stopping = "needed"
	StopSent    Stopping = "sent" // promised; what came of it is not known yet
	StopDone    Stopping = "done"
	StopFailed  Stopping = "failed"
	StopPassed  Stopping = "passed on"
	stopsAtOnce          = 4 // requests under way in a recovery
	stopTries            = 4
	// stopLate is how long after its arrival the first request may come: its owner may have
	// found it running by then, and use it.
	stopLate = 30 * time.Minute
)

// arrived notes that an evacuation has brought an instance to rest elsewhere.
func (e *Evacuation) arrived(s nova.Server) {
	if e.VMState == nova.VMStopped && s.VMState == nova.VMActive && e.Stop == "" {
		e.Stop = StopNeeded
	}
}

// stopping says that it is not yet as it was before.
func (e *Evacuation) stopping() bool {
	return e.State == EvacDone && (e.Stop == StopNeeded || e.Stop == StopSent)
}

func (e *Evacuation) stopText() string {
	switch e.Stop {
	case StopNeeded:
		return "; it was stopped before, and is to be stopped again"
	case StopSent:
		return "; it was stopped before, and is being stopped again"
	case StopDone:
		return "; stopped again, as it was before"
	case StopPassed:
		return "; it was stopped before: " + e.StopWhy
	case StopFailed:
		return "; IT WAS STOPPED BEFORE AND MAY RUN: " + e.StopWhy
	}
	return ""
}

func stopKey(r *Recovery, e *Evacuation) string {
	return fmt.Sprintf("%s stop %s %d", r.ID, e.Server, e.Stops)
}

// stops has each instance stopped that was stopped before, as soon as it has arrived. It
// says whether one is not yet.
func (c *Core) stops(r *Recovery) (open bool) {
	obs := c.seen[r.ID]
	var changed []*Evacuation
	var look []nova.ServerID
	sent := 0
	for _, e := range r.Evacuations {
		if e.stopping() && e.Stop == StopSent {
			sent++
		}
	}
	for _, e := range r.Evacuations {
		if !e.stopping() {
			continue
		}
		open = true
		look = append(look, e.Server)
		n := c.passesOn(r, e)
		if n == nil {
			n = c.stopRead(r, e, obs)
		}
		if n == nil && e.Stop == StopNeeded && sent < stopsAtOnce && c.rested(e) {
			if n = c.promiseStop(r, e, obs); n != nil {
				sent++
			}
		}
		if n != nil {
			changed = append(changed, n)
		}
	}
	if len(changed) > 0 {
		c.commit(Entry{Kind: KindEvacuations, Recovery: r.ID, Evacuations: changed, Text: describeStops(changed)})
	}
	c.stopsHold(r)
	if r.Settled() && len(look) > 0 && (obs == nil || c.world.Now.Sub(obs.At) >= lookEvery) {
		a := act(r, StepObserve) // follow looks no more
		a.Servers, a.Deep = look, true
		c.start(r, a)
	}
	return open
}

// stopsHold says what a stop waits for that did not work at once.
func (c *Core) stopsHold(r *Recovery) {
	for _, e := range r.Evacuations {
		if why := c.stopWaits(r, e); why != "" && r.Settled() && e.stopping() {
			c.hold(r, Hold{Step: StepVerify, Reason: fmt.Sprintf("%s was stopped before, runs, and is stopped again: %s", e.Name, why)})
			return
		}
	}
}

func (c *Core) stopWaits(r *Recovery, e *Evacuation) string {
	switch {
	case e.StopWhy != "":
		return e.StopWhy
	case c.fell(e.Dest):
		return fmt.Sprintf("not while %s, where it is, is dead or being recovered", e.Dest)
	case e.Stop == StopSent && c.since(stopKey(r, e)) >= c.policy.QuietPeriod:
		return "nothing has come of the request, and something is still being done with it"
	}
	return ""
}

// fell says that what is asked for on a host may lie in its queue, and is carried out as it
// returns.
func (c *Core) fell(host nova.HostName) bool {
	return c.world.Verdicts[host].Down() || c.state.Open(host) != nil
}

// passesOn leaves one to the recovery of the host to which it was moved, which died: that has
// it as it was before, too.
func (c *Core) passesOn(r *Recovery, e *Evacuation) *Evacuation {
	next := c.state.Open(e.Dest)
	if next == nil || next.ID == r.ID {
		return nil
	}
	if x := next.Evacuation(e.Server); x == nil || x.VMState != nova.VMStopped {
		return nil
	}
	n := *e
	n.Stop, n.StopWhy = StopPassed, fmt.Sprintf("%s, to which it was moved, died, and recovery %s sees to it", e.Dest, next.ID)
	return &n
}

func describeStops(changed []*Evacuation) string {
	if len(changed) == 1 {
		return changed[0].describe()
	}
	in := func(e *Evacuation) Stopping { return e.Stop }
	return "instances that were stopped before: " + strings.Join(tally(changed, in, StopNeeded, StopSent, StopDone, StopPassed, StopFailed), " ")
}

// promiseStop journals a stop and sends it, the first on a fresh look, and not long after the
// instance has arrived.
func (c *Core) promiseStop(r *Recovery, e *Evacuation, obs *Observation) *Evacuation {
	a := act(r, StepStop)
	a.Server, a.Attempt = e.Server, e.Stops+1
	if c.busy(a.key()) || c.fell(e.Dest) {
		return nil
	}
	n := *e
	if e.Stops == 0 {
		if !c.runsYet(e, obs) {
			return nil
		}
		if ran := c.arrivedFor(r, e); ran > stopLate {
			n.Stop, n.StopWhy = StopFailed, fmt.Sprintf("nothing could be sent for it for %s; its owner may use it by now", ran.Round(time.Minute))
			return &n
		}
	}
	n.Stop, n.Stops = StopSent, e.Stops+1
	c.sawFirst(stopKey(r, &n))
	c.start(r, a)
	return &n
}

// runsYet says that one which arrived was seen there a moment ago, at rest.
func (c *Core) runsYet(e *Evacuation, obs *Observation) bool {
	if obs == nil || c.world.Now.Sub(obs.At) > lookFresh {
		return false
	}
	s, seen := obs.Moved[e.Server]
	return seen && s.Host == e.Dest && s.VMState == nova.VMActive && s.TaskState == ""
}

// arrivedFor is for how long one has been where it was moved to: since this leader saw it, or
// since its date where that is possible.
func (c *Core) arrivedFor(r *Recovery, e *Evacuation) time.Duration {
	d := c.since(stopKey(r, e))
	if age := c.world.Now.Sub(e.Ended); !e.Ended.Before(r.Opened) && age > d {
		return age
	}
	return d
}

// stopRead judges a stop by a look that began after it was promised; before the first, by
// any that is fresh. Nil: nothing new.
func (c *Core) stopRead(r *Recovery, e *Evacuation, obs *Observation) *Evacuation {
	_, flying := c.flight[flightKey{recovery: r.ID, step: StepStop, server: e.Server}]
	switch {
	case flying || obs == nil, e.Stops > 0 && !obs.Began.After(c.sawFirst(stopKey(r, e))), e.Stops == 0 && c.world.Now.Sub(obs.At) > lookFresh:
		return nil
	}
	s, seen := obs.Moved[e.Server]
	n := *e
	switch {
	case obs.Gone[e.Server]:
		n.Stop, n.StopWhy = StopDone, deletedMeanwhile
	case !seen || s.TaskState != "" && e.Stops < stopTries:
		return nil
	case s.VMState == nova.VMStopped:
		n.Stop, n.StopWhy = StopDone, ""
	case s.Host != e.Dest:
		n.Stop, n.StopWhy = StopFailed, fmt.Sprintf("it is on %s by now", orWord(string(s.Host), "no host"))
	case s.VMState != nova.VMActive:
		n.Stop, n.StopWhy = StopFailed, "Nova calls it "+s.VMState
	case e.Stop == StopSent && c.since(stopKey(r, e)) < c.policy.QuietPeriod:
		return nil // it may come late
	case e.Stops >= stopTries:
		n.Stop, n.StopWhy = StopFailed, orWord(e.StopWhy, fmt.Sprintf("it runs after %d requests", e.Stops))
	case e.Stop == StopSent:
		n.Stop = StopNeeded
	default:
		return nil
	}
	return &n
}

// instanceAnswered takes the answer to a write on one instance.
func (c *Core) instanceAnswered(r *Recovery, o Outcome) {
	if o.Action.Step == StepReset {
		c.resetAnswered(r, o)
		return
	}
	e := r.Evacuation(o.Action.Server)
	if o.OK || !o.Definite || e == nil || e.Stop != StopSent || e.Stops != o.Action.Attempt {
		return // what came of it is read
	}
	n := *e
	n.Stop, n.StopWhy, n.NotBefore = StopNeeded, o.Detail, c.world.Now.Add(retryAfter(n.Stops))
	if n.Stops >= stopTries && o.Cause != string(nova.FaultConflict) { // a conflict is of Nova's own doing: it is read
		n.Stop = StopFailed
	}
	c.commit(Entry{Kind: KindEvacuations, Recovery: r.ID, Evacuations: []*Evacuation{&n}, Text: n.describe()})
}

// promises refuses a write on one instance that must not be promised now.
func (r *Recovery) promises(n *Evacuation) error {
	old := r.Evacuation(n.Server)
	switch {
	case n.State == EvacReset:
		return r.resettable(n)
	case n.Stop != StopSent || old != nil && old.Stop == StopSent && old.Stops == n.Stops:
		return nil // none, or a remark on the same one
	case old == nil || old.State != EvacDone || old.Stop != StopNeeded || n.Stops != old.Stops+1:
		return fmt.Errorf("stop of %s: it has not arrived, or is being stopped already", n.Server)
	}
	return nil
}

// permitsStop says, last before the write, that it is the stop which was promised.
func (r *Recovery) permitsStop(a Action) error {
	if e := r.Evacuation(a.Server); e == nil || e.Stop != StopSent || e.Stops != a.Attempt {
		return fmt.Errorf("stop %d of %s is not the one that was promised", a.Attempt, a.Server)
	}
	return nil
}

// asBefore gives the servers' states before anything was done to them: as the recovery
// found them, but for those that an earlier recovery left half way. What Nova calls error
// or active by now, it had made so.
func (s *State) asBefore(r *Recovery, servers []nova.Server) []Instance {
	out := slices.Clone(r.Before)
	for _, srv := range servers {
		i := slices.IndexFunc(out, func(b Instance) bool { return b.ID == srv.ID })
		now := srv.VMState
		if i >= 0 {
			now = out[i].VMState
		}
		e, open := s.halfWay(r, srv.ID)
		if e == nil || now != nova.VMError && (now != nova.VMActive || !open) {
			continue
		}
		if i < 0 {
			out, i = append(out, Instance{ID: srv.ID, Name: srv.Name}), len(out)
		}
		out[i].VMState = e.VMState
	}
	return out
}

// halfWay is the newest evacuation of an instance in another recovery, where that has not
// left it as it was before; open says that the recovery goes on.
func (s *State) halfWay(but *Recovery, id nova.ServerID) (last *Evacuation, open bool) {
	var at time.Time
	for _, r := range s.Sorted() {
		e := r.Evacuation(id)
		if r.ID == but.ID || e == nil || e.Attempt == 0 && e.Resets == 0 || e.Intent.Before(at) {
			continue
		}
		last, open, at = e, r.Status == StatusOpen, e.Intent
	}
	if last != nil && last.State == EvacDone && !last.stopping() && last.Stop != StopFailed && last.Stop != StopPassed {
		return nil, false
	}
	return last, open
}
