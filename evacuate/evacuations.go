package evacuate

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

const (
	// lookEvery is the pause between two looks at migrations and servers.
	lookEvery = time.Second
	// lookFresh is the greatest age of a look on which a POST may be promised.
	lookFresh = 4 * time.Second
	// quietGap separates the two quiet reads of rule 3.
	quietGap = 5 * time.Second
	// retryFirst and retryMost bound the pause before another attempt.
	retryFirst = 5 * time.Second
	retryMost  = 60 * time.Second
)

// listed takes the agreed list of the host's servers and plans.
func (c *Core) listed(r *Recovery, o Outcome) {
	if !o.OK {
		c.stepDone(r, o, "")
		return
	}
	if why := c.unread(); why != "" {
		o.OK, o.Detail = false, why
		c.stepDone(r, o, "")
		return
	}
	plan := c.plan(r, o.Servers)
	skipped := 0
	for _, e := range plan {
		if e.State == EvacSkipped {
			skipped++
		}
	}
	if len(plan) > 0 {
		c.commit(Entry{Kind: KindEvacuations, Recovery: r.ID, Evacuations: plan})
	}
	c.stepDone(r, o, fmt.Sprintf("list: %d instances to move, %d left with a reason", len(plan)-skipped, skipped))
}

// unread says what nothing can be chosen without: what is skipped once stays so.
func (c *Core) unread() string {
	n := c.world.Nova
	if why := n.AggregatesOld(c.world.Now); why != "" && c.policy.Chooses() && n.AggregatesAt.IsZero() {
		return why // a new leader
	}
	if c.policy.Aggregates && n.AggregatesAt.IsZero() && n.AggregatesErr == "" {
		return "Nova's aggregates have not been read yet, and they may declare the host's storage"
	}
	return ""
}

// plan makes the journals of servers of a host.
func (c *Core) plan(r *Recovery, servers []nova.Server) []*Evacuation {
	plan := Plan(servers, c.world.Storage[r.Host], c.state.asBefore(r, servers), c.policy, c.policy.protection(&c.world))
	for _, s := range servers {
		if i := slices.IndexFunc(plan, func(e *Evacuation) bool { return e.Server == s.ID }); i >= 0 {
			plan[i].Backend = Backend(s, r.Host, c.world.Nova.Aggregates)
		}
	}
	return plan
}

// follow looks at what is on its way and journals what has come of it.
func (c *Core) follow(r *Recovery) {
	obs := c.seen[r.ID]
	if r.Settled() {
		return
	}
	if obs == nil || c.world.Now.Sub(obs.At) >= lookEvery {
		a := act(r, StepObserve)
		for _, e := range r.Evacuations {
			if e.State != EvacDone && e.State != EvacSkipped || e.stopping() {
				a.Servers = append(a.Servers, e.Server)
			}
			// The list of the source is dear to a busy Nova: it is read only
			// while something may still have to be sent.
			if e.State != EvacDone && e.State != EvacSkipped && e.State != EvacFollowing && !c.flying(r, e) {
				a.Source = true
			}
		}
		a.Deep, a.Ends = c.lookDeep(r), c.lookEnds(r)
		a.Source = a.Source || !c.busy(a.key()) && c.lateDue(r)
		c.start(r, a)
	}
	if obs == nil {
		return
	}
	var changed []*Evacuation
	for _, e := range r.Evacuations {
		var n *Evacuation
		switch e.State {
		case EvacIntent:
			n = c.adopt(r, e, obs)
		case EvacFollowing:
			if n = c.track(r, e, obs); n == nil {
				n = c.unclaimed(r, e, obs)
			}
		case EvacHeld, EvacSkipped:
			n = c.bothEnds(r, e, obs)
		case EvacReset:
			n = c.resetRead(r, e, obs)
		default: // nothing of it is on its way
		}
		if n != nil {
			changed = append(changed, n)
		}
	}
	if len(changed) > 0 {
		c.commit(Entry{Kind: KindEvacuations, Recovery: r.ID, Evacuations: changed, Text: describe(changed)})
	}
	c.troubles(r, obs)
}

// lookDeep says that it is time to look at every server that is followed for
// long: one that was deleted meanwhile may leave its row open for ever.
func (c *Core) lookDeep(r *Recovery) bool {
	const every = 30 * time.Second
	for _, e := range r.Evacuations {
		pause := time.Duration(every)
		if _, off := c.state.provenOff(e.Dest); off {
			pause = lookEvery // where it is decides what becomes of it
		}
		if e.State == EvacFollowing && c.promised(r, e) > pause && c.world.Now.Sub(c.deep[r.ID]) > pause {
			c.deep[r.ID] = c.world.Now
			return true
		}
	}
	return false
}

func describe(changed []*Evacuation) string {
	if len(changed) == 1 {
		return changed[0].describe()
	}
	in := func(e *Evacuation) EvacState { return e.State }
	return strings.Join(tally(changed, in, EvacIntent, EvacFollowing, EvacDone, EvacFailed, EvacSkipped, EvacPlanned, EvacHeld, EvacReset), ", ")
}

// tally counts journals by a stage of theirs, in the order of these, without those that none is in.
func tally[S ~string](all []*Evacuation, in func(*Evacuation) S, order ...S) (out []string) {
	n := map[S]int{}
	for _, e := range all {
		n[in(e)]++
	}
	for _, st := range order {
		if n[st] > 0 {
			out = append(out, fmt.Sprintf("%d %s", n[st], st))
		}
	}
	return out
}

func (e *Evacuation) describe() string {
	s := fmt.Sprintf("%s (%s): %s", e.Name, e.Server, e.State)
	if e.Attempt > 1 {
		s += fmt.Sprintf(", attempt %d", e.Attempt)
	}
	if e.Dest != "" {
		s += ", on " + string(e.Dest)
	}
	if e.Reason != "" {
		s += ": " + e.Reason
	}
	if e.Waits != "" {
		s += ": " + e.Waits
	}
	if e.Remark != "" && e.State == EvacIntent {
		s += ": " + e.Remark
	}
	if e.lies() {
		s += fmt.Sprintf(": unclaimed by %s", e.Unclaimed)
	}
	if e.Check != nil {
		s += "; " + e.Check.Text()
	}
	return s + e.stopText() + e.leaves()
}

// flying says that e's POST waits for its turn or its answer: nobody asks after it.
func (c *Core) flying(r *Recovery, e *Evacuation) bool {
	_, yes := c.flight[flightKey{recovery: r.ID, step: StepEvacuate, server: e.Server}]
	return yes && e.State == EvacIntent
}

// adopt resolves a promised POST whose outcome is not known by what Nova shows:
// a row is the proof that it arrived.
func (c *Core) adopt(r *Recovery, e *Evacuation, obs *Observation) *Evacuation {
	if c.flying(r, e) {
		return nil
	}
	if m, ok := row(e, obs); ok {
		n := *e
		n.State, n.Row, n.Dest = EvacFollowing, m.ID, m.Claimed()
		return &n
	}
	if obs.Gone[e.Server] {
		n := *e
		n.State, n.Reason, n.Ended = EvacSkipped, deletedMeanwhile, c.world.Now
		return &n
	}
	// No row: quiet reads decide, but not before every time-out between us
	// and the conductor has passed.
	quiet := e.Quiet.IsZero() || c.since(promiseKey(r, e)+" quiet") >= quietGap
	if c.promised(r, e) >= c.policy.QuietPeriod && quiet {
		a := act(r, StepResolve)
		a.Server, a.Since = e.Server, e.Intent
		c.start(r, a)
	}
	return nil
}

// resolved takes one of the two quiet reads of rule 3.
func (c *Core) resolved(r *Recovery, o Outcome) {
	e := r.Evacuation(o.Action.Server)
	if e == nil || e.State != EvacIntent || !o.OK || o.Seen == nil {
		return
	}
	if _, ok := row(e, o.Seen); ok || o.Actions > 0 {
		n := *e
		n.State, n.Quiet = EvacFollowing, time.Time{}
		if m, ok := row(e, o.Seen); ok {
			n.Row, n.Dest = m.ID, m.Claimed()
		}
		c.commit(Entry{Kind: KindEvacuations, Recovery: r.ID, Evacuations: []*Evacuation{&n}, Text: n.describe()})
		return
	}
	// The task that a lost attempt left behind stays for ever and says nothing.
	if len(o.Servers) == 1 && o.Servers[0].TaskState != "" && len(e.Losses) == 0 {
		c.again[o.Action.key()] = c.world.Now.Add(quietGap)
		return // something is being done with it: look again
	}
	n := *e
	switch {
	case e.Quiet.IsZero():
		n.Quiet = c.world.Now
	default:
		n.State, n.Quiet = EvacFailed, time.Time{}
		n.NotBefore, n.Reason = c.world.Now, "the request never reached Nova: no row, no action and no task in two reads"
	}
	c.commit(Entry{Kind: KindEvacuations, Recovery: r.ID, Evacuations: []*Evacuation{&n}, Text: n.describe()})
}

// track follows a row to its end: done counts when the server is elsewhere and
// well, nothing less (facts: ACTIVE shows before the host changes).
func (c *Core) track(r *Recovery, e *Evacuation, obs *Observation) *Evacuation {
	m, ok := row(e, obs)
	if !ok && !obs.Gone[e.Server] {
		return nil // the row is not listed yet
	}
	n := *e
	n.Row = m.ID
	if dest := m.Claimed(); dest != "" {
		n.Dest = dest
	}
	if obs.Gone[e.Server] { // whatever its row says: it may stay open for ever
		n.State, n.Reason, n.Ended = EvacSkipped, deletedMeanwhile, c.world.Now
		return &n
	}
	if ok && !m.Status.Terminal() {
		if n.Row != e.Row || n.Dest != e.Dest {
			return &n
		}
		return c.bereft(r, n, m, obs)
	}
	s, ok := obs.Moved[e.Server]
	if !ok {
		return nil // the server itself is looked at next
	}
	return c.judgeEnd(r, n, m, s)
}

// well says that a server rests in a state in which its user can have it.
func well(s nova.Server) bool { return s.VMState != nova.VMError && s.TaskState == "" }

func (c *Core) judgeEnd(r *Recovery, n Evacuation, m nova.Migration, s nova.Server) *Evacuation {
	moved := s.Host != "" && s.Host != r.Host
	n.Ended = c.world.Now
	switch {
	case moved && well(s) && (m.Status == nova.MigrationDone || m.Status == nova.MigrationCompleted):
		n.State, n.Dest, n.Reason = EvacDone, s.Host, ""
		n.arrived(s)
		c.window.done(c.promised(r, &n), c.policy.InFlight)
	case moved && well(s):
		n.State, n.Dest, n.Reason = EvacDone, s.Host, fmt.Sprintf("its row ended as %s, but it is well there: somebody else moved it", m.Status)
		n.arrived(s)
	case moved && s.VMState == nova.VMError:
		n.State, n.Reason = EvacSkipped, fmt.Sprintf("is on %s in state error%s: it needs an operator", s.Host, because(s.Fault))
	case moved || s.TaskState != "" || m.Status == nova.MigrationDone || m.Status == nova.MigrationCompleted:
		return nil // still settling; a guest whose row is done runs, wherever Nova has it: it is not repeated
	default:
		n.State, n.Row = EvacFailed, 0
		n.AfterRow = m.ID
		n.NotBefore = c.world.Now.Add(retryAfter(n.Attempt))
		n.Reason = fmt.Sprintf("evacuation ended as %s%s", m.Status, because(s.Fault))
		n.Last = n.Reason
		n.NoHost = m.Status == nova.MigrationError && n.To.Host == ""
		c.learn(&n, m.Status == nova.MigrationError)
		c.sawFirst(doubtKey(r, n.Server, m.ID))
	}
	return &n
}

func retryAfter(attempt int) time.Duration {
	d := retryFirst
	for range max(attempt-1, 0) {
		if d *= 2; d >= retryMost {
			return retryMost
		}
	}
	return d
}

// foreign follows a row that somebody else's evacuation left open.
func (c *Core) foreign(source nova.HostName, e *Evacuation, obs *Observation) *Evacuation {
	for _, m := range obs.Rows {
		if m.Server == e.Server && !m.Status.Terminal() && !e.lost(m.ID) {
			n := *e
			n.State, n.Row, n.Dest, n.Intent = EvacFollowing, m.ID, m.Claimed(), c.world.Now
			n.Reason = "somebody else is evacuating it already: followed"
			return &n
		}
	}
	if obs.Gone[e.Server] {
		n := *e
		n.State, n.Reason, n.Ended = EvacSkipped, deletedMeanwhile, c.world.Now
		return &n
	}
	if s, ok := obs.Moved[e.Server]; ok && s.Host != "" && s.Host != source {
		n := *e
		n.State, n.Dest, n.Reason, n.Ended = EvacDone, s.Host, "moved by somebody else", c.world.Now
		return &n
	}
	return nil
}

// posted takes the answer to an evacuate POST.
func (c *Core) posted(r *Recovery, o Outcome) {
	e := r.Evacuation(o.Action.Server)
	if e == nil || e.State != EvacIntent || e.Attempt != o.Action.Attempt {
		return
	}
	n := *e
	n.RequestID = o.RequestID
	switch {
	case o.OK:
		n.State = EvacFollowing
	case o.Definite && o.Cause == string(nova.FaultNotFound) && n.To.Host == "": // or the host that was named is
		n.State, n.Reason, n.Ended = EvacSkipped, deletedMeanwhile, c.world.Now
	case o.Definite && o.Cause == CauseForeign: // the next look follows it
		n.State, n.Reason, n.NotBefore = EvacFailed, o.Detail, c.world.Now
	case o.Definite:
		c.refused(&n, o)
	default:
		c.window.trouble(c.world.Now, c.policy.InFlight)
		n.Reason = "outcome not known: " + o.Detail
	}
	c.commit(Entry{Kind: KindEvacuations, Recovery: r.ID, Evacuations: []*Evacuation{&n}, Text: n.describe()})
}
