package evacuate

import (
	"fmt"
	"slices"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

const (
	// lateEvery is the pause between two looks for what turned up on a host after its list:
	// a conductor that was stuck writes late what had ended there. Once that has brought
	// nothing for lateLong, the pause is lateSeldom.
	lateEvery  = time.Minute
	lateLong   = time.Hour
	lateSeldom = 10 * time.Minute
	// relistAgain is the pause after a list that failed.
	relistAgain = 5 * time.Second
)

// lateLooks is what the leader knows of such looks. It can be lost: the next one looks anew.
type lateLooks struct {
	looked map[RecoveryID]time.Time
	// found says that the last look showed an instance that has no journal.
	found map[RecoveryID]bool
}

// lateDue says that it is time to look for what turned up, and that it is done now.
func (c *Core) lateDue(r *Recovery) bool {
	every := time.Duration(lateEvery)
	if c.since(fmt.Sprintf("%s late %d", r.ID, len(r.Evacuations))) > lateLong {
		every = lateSeldom
	}
	last, looked := c.late.looked[r.ID]
	if looked && c.world.Now.Sub(last) < every {
		return false
	}
	c.late.looked[r.ID] = c.world.Now
	return looked || r.Status == StatusRecovered // Nova is busy at first
}

// noteLate sees whether a look shows an instance that has no journal.
func (c *Core) noteLate(r *Recovery, obs *Observation) {
	if !obs.Listed || !r.Done(StepList) {
		return
	}
	known := r.journals()
	c.late.found[r.ID] = false
	for id := range obs.Source {
		if known[id] == nil {
			c.late.found[r.ID] = true
			return
		}
	}
}

func (r *Recovery) journals() map[nova.ServerID]*Evacuation {
	known := make(map[nova.ServerID]*Evacuation, len(r.Evacuations))
	for _, e := range r.Evacuations {
		known[e.Server] = e
	}
	return known
}

// relist lists a host once more that is off and was listed: because something was seen to
// turn up, a person asks, or all is settled: then nothing is called evacuated before one
// list has shown nothing new.
func (c *Core) relist(r *Recovery, settled bool) {
	a := act(r, StepRelist)
	if asked := r.Relist; asked != nil && c.readSince(r, asked) {
		a.Asked, a.Since = true, asked.At
	}
	if settled || a.Asked || c.late.found[r.ID] {
		a.Proof, a.Settled, a.Again = r.Proof, settled, r.Status == StatusRecovered
		c.start(r, a)
	}
}

// readSince says that Nova's aggregates, which may hold what a person has mended, were
// read after he asked.
func (c *Core) readSince(r *Recovery, asked *Mark) bool {
	since := c.sawFirst(fmt.Sprintf("%s relist %d", r.ID, asked.At.UnixNano()))
	n := c.world.Nova
	unused := !c.policy.Chooses() && !c.policy.Aggregates && n.AggregatesAt.IsZero()
	return unused || n.AggregatesOld(c.world.Now) == "" && !n.AggregatesAt.Before(since)
}

// lookLate looks for what turned up on a host that was recovered.
func (c *Core) lookLate(r *Recovery) {
	if k := act(r, StepObserve); !c.busy(k.key()) && c.lateDue(r) {
		k.Source = true
		c.start(r, k)
	}
	c.relist(r, false)
}

// relisted takes the list. What was read of a host that was heard meanwhile, or is asked
// back, is worth nothing.
func (c *Core) relisted(r *Recovery, o Outcome) {
	if _, proved := r.Proved(); !proved || r.Status != StatusOpen && r.Status != StatusRecovered {
		return
	}
	answers := o.Action.Asked && r.Relist != nil && r.Relist.At.Equal(o.Action.Since)
	look := r.unlisted(o.Servers, answers)
	if why := c.unread(); o.OK && why != "" && len(look) > 0 {
		o.OK, o.Detail = false, why
	}
	if !o.OK {
		pause := relistAgain
		if r.Status == StatusRecovered && !answers {
			pause = lateEvery
		}
		c.again[o.Action.key()] = c.world.Now.Add(pause)
		if r.Settled() && r.Status == StatusOpen {
			c.hold(r, Hold{Step: StepList, Reason: "it is listed once more: " + holdReason(o)})
		}
		return
	}
	delete(c.late.found, r.ID)
	if r.Hold != nil && r.Hold.Gate == "" && r.Hold.Step == StepList {
		c.release(r)
	}
	changed, text := c.chooseLate(r, look)
	answer := Entry{Kind: KindRelist, Recovery: r.ID, Flag: true}
	if answers {
		answer.Text, text = fmt.Sprintf("%s, as %s asked", text, r.Relist.who()), ""
	}
	if len(changed) > 0 {
		c.commit(Entry{Kind: KindEvacuations, Recovery: r.ID, Evacuations: changed, Before: instances(look), Text: text})
	}
	if answers {
		c.commit(answer)
	}
	if len(changed) == 0 && o.Action.Settled && r.Status == StatusOpen && r.Settled() && !r.Done(StepEvacuate) {
		c.finish(r, StepEvacuate, c.summary(r))
	}
}

// unlisted are the servers that have no journal and, where a person asks, those that were
// left for another reason than their state, which is looked at again anyway.
func (r *Recovery) unlisted(servers []nova.Server, asked bool) (look []nova.Server) {
	known := r.journals()
	for _, s := range servers {
		if e := known[s.ID]; e == nil || asked && e.State == EvacSkipped && !e.Revisit {
			look = append(look, s)
		}
	}
	return look
}

// chooseLate chooses by the rules of the first list, and says what came of it.
func (c *Core) chooseLate(r *Recovery, look []nova.Server) (changed []*Evacuation, text string) {
	known := r.journals()
	turned, move, stay := 0, 0, 0
	for _, e := range c.plan(r, look) {
		old := known[e.Server]
		if old == nil {
			turned++
		} else if e = old.anew(e); e == nil {
			stay++
			continue
		}
		if changed = append(changed, e); e.State == EvacSkipped {
			stay++
		} else {
			move++
		}
	}
	text = fmt.Sprintf("list: %d more instances to move, %d left with a reason", move, stay)
	if turned > 0 {
		text += fmt.Sprintf("; %d turned up after the first list", turned)
	}
	return changed, text
}

// anew is what becomes of one that was left, by a new choice. What has been done with it
// stays in its journal. Nil: it stays as it is.
func (e *Evacuation) anew(fresh *Evacuation) *Evacuation {
	n := *e
	n.State, n.Reason, n.Reset, n.Revisit = fresh.State, fresh.Reason, fresh.Reset, fresh.Revisit
	n.Ended, n.NotBefore, n.Waits, n.Refusals = time.Time{}, time.Time{}, "", 0
	switch {
	case n.State == EvacSkipped && e.Reason == n.Reason:
		return nil
	case n.Reset == ResetNeeded && e.Attempt > 0:
		return nil // a state is reset before the first attempt only
	}
	return &n
}

// takesUp says that an entry has instances moved that its recovery had no journal of, or
// had left: by then it has been listed, and only a host that is off and not asked back gives any.
func (r *Recovery) takesUp(e Entry) (bool, error) {
	known := r.journals()
	up := slices.ContainsFunc(e.Evacuations, func(n *Evacuation) bool {
		old := known[n.Server]
		return (n.State == EvacPlanned || n.State == EvacHeld) && (old == nil || old.State == EvacSkipped)
	})
	if !up || !r.Done(StepList) {
		return false, nil
	}
	if _, ok := r.Proved(); !ok || r.Status != StatusOpen && r.Status != StatusRecovered {
		return false, fmt.Errorf("recovery %s is %s: nothing more is moved off %s", r.ID, r.Status, r.Host)
	}
	return true, nil
}

// foundLate notes what turned up late as it was found.
func (r *Recovery) foundLate(e Entry) {
	for _, b := range e.Before {
		if r.before(b.ID) == nil {
			r.Before = append(r.Before, b)
		}
	}
}

// takeUp has a recovery go on with what an entry brought. One that was over reads its
// host's power once more before anything is sent.
func (r *Recovery) takeUp() {
	if down := r.Steps[StepForceDown]; r.Status == StatusRecovered && down != nil {
		again := *down
		again.Phase, again.Detail = PhaseFailed, "to be done again: the recovery was taken up once more"
		r.Steps[StepForceDown] = &again
	}
	r.Status = StatusOpen
	for _, s := range []Step{StepEvacuate, StepVerify, StepReport} {
		delete(r.Steps, s)
	}
}

// relistable says that something was left which only a list that somebody asks for chooses anew.
func (r *Recovery) relistable() bool {
	return (r.Status == StatusOpen || r.Status == StatusRecovered) && slices.ContainsFunc(r.Evacuations, func(e *Evacuation) bool {
		return e.State == EvacSkipped && !e.Revisit && e.Dest == "" && e.Reason != deletedMeanwhile
	})
}

// asksList takes a person's wish to have a host listed once more, or what came of it.
func (r *Recovery) asksList(e Entry) error {
	if e.Flag {
		r.Relist = nil
		return nil
	}
	_, proved := r.Proved()
	switch {
	case r.Status != StatusOpen && r.Status != StatusRecovered:
		return fmt.Errorf("recovery %s is %s: nothing more is moved off %s", r.ID, r.Status, r.Host)
	case !proved || !r.Done(StepList):
		return fmt.Errorf("recovery %s has not listed %s yet: what you have mended is seen when it does", r.ID, r.Host)
	}
	m := e.mark()
	r.Relist = &m
	return nil
}
