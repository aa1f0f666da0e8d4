package evacuate

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// What the words of a wait begin with. A group is waited for without a hold.
const (
	waitsRoom     = "waits for room"
	waitsAffinity = "hard affinity"
	waitsGroup    = "waits for its group"
)

// turn is one that is due to be sent.
type turn struct {
	r *Recovery
	e *Evacuation
}

// promiseAll promises POSTs for all recoveries that may send, in one order over all
// dead hosts, within the limits and on fresh looks only.
func (c *Core) promiseAll() {
	changed := map[RecoveryID][]*Evacuation{}
	var due []turn
	for _, r := range c.senders {
		obs := c.seen[r.ID]
		if obs == nil || c.world.Now.Sub(obs.At) > lookFresh {
			continue
		}
		for _, e := range r.Evacuations {
			n, ready := c.prepare(r, e, obs)
			if n != nil {
				changed[r.ID] = append(changed[r.ID], n)
			}
			if ready {
				due = append(due, turn{r, e})
			}
		}
	}
	slices.SortStableFunc(due, func(a, b turn) int { return before(a.e, b.e) })
	c.reserve(append(c.sendInOrder(due, changed), c.misfits()...))
	for _, r := range c.senders {
		if n := changed[r.ID]; len(n) > 0 {
			c.commit(Entry{Kind: KindEvacuations, Recovery: r.ID, Evacuations: n, Text: describe(n)})
		}
	}
}

// prepare looks whether one is due. What it must be told first, or has been settled by
// somebody else, comes back as a change.
func (c *Core) prepare(r *Recovery, e *Evacuation, obs *Observation) (changed *Evacuation, ready bool) {
	due := (e.State == EvacPlanned || e.State == EvacFailed) && (c.rested(e) || c.relieved(r, e))
	if !due || slices.ContainsFunc(e.Losses, func(l Loss) bool { return c.state.gone(l) != nil }) {
		return nil, false
	}
	if n := c.foreign(r.Host, e, obs); n != nil {
		return n, false
	}
	if _, here := obs.Source[e.Server]; here {
		if n := c.doubt(r, e, obs); n != nil {
			return n, false
		}
	}
	if s, here := obs.Source[e.Server]; here {
		if n := c.optedOut(e, s); n != nil {
			return n, false
		}
	}
	if e.Reset == ResetNeeded && copied(c.state, c.world.Guests, e.Server, r.Host) == "" {
		return c.promiseReset(r, e, obs), false
	}
	a := act(r, StepEvacuate)
	a.Server = e.Server
	if _, here := obs.Source[e.Server]; !here || c.first[promiseKey(r, e)].After(obs.At) || c.busy(a.key()) {
		return nil, false
	}
	return nil, true
}

// sendInOrder promises as many as may be in flight. One that must wait lets those
// behind it pass: what fits is better up than kept waiting too. It gives those that are
// short of room.
func (c *Core) sendInOrder(due []turn, changed map[RecoveryID][]*Evacuation) (short []turn) {
	if len(due) == 0 || c.window.resting(c.world.Now) {
		return nil
	}
	l := c.load()
	l.await = c.awaited()
	c.window.hosts = c.takers()
	limit := c.window.limit(c.policy.InFlight)
	var flying []*Evacuation
	for _, t := range due {
		if l.total >= limit {
			return short
		}
		to := course{wait: copied(c.state, c.world.Guests, t.e.Server, t.r.Host)}
		if to.wait == "" {
			to.wait = c.behind(t.r, t.e, l)
		}
		if to.wait == "" && c.yields(t.r, t.e, l) {
			continue
		}
		switch {
		case to.wait != "":
		case len(t.e.Doubts) > 0:
			to = c.doubted(t.e)
		default:
			to = c.aim(t.r, t.e, l)
		}
		if to.wait == "" && slices.ContainsFunc(flying, func(x *Evacuation) bool { return shares(t.e.Apart, x.Apart) || shares(t.e.Together, x.Together) }) {
			continue // a sibling was promised a moment ago
		}
		if to.wait != "" {
			if strings.HasPrefix(to.wait, waitsRoom) {
				short = append(short, t)
			}
			wait := to.wait
			if to.brief {
				wait = "" // it ends by itself
			}
			if n := *t.e; n.Waits != wait {
				n.Waits = wait
				changed[t.r.ID] = append(changed[t.r.ID], &n)
			}
			continue
		}
		n := c.promise(t.r, t.e, to)
		if l.circle(t.e) {
			n.Remark = fmt.Sprintf("its group %s waits for itself by %s: moved without an order", n.Group, n.After)
		}
		changed[t.r.ID] = append(changed[t.r.ID], n)
		flying = append(flying, n)
		if n.Backend != "" {
			l.backends[n.Backend]++
		}
		if l.total++; to.to.Host == "" {
			l.nowhere++
			l.give("", n)
		} else {
			l.add(to.to.Host, n, true)
		}
	}
	return short
}

// promise journals one POST and sends it.
func (c *Core) promise(r *Recovery, e *Evacuation, to course) *Evacuation {
	a := act(r, StepEvacuate)
	a.Server, a.Attempt, a.Proof, a.To = e.Server, e.Attempt+1, r.Proof, to.to
	n := *e
	n.State, n.Attempt, n.Intent, n.Row, n.Quiet, n.Ended = EvacIntent, e.Attempt+1, c.world.Now, 0, time.Time{}, time.Time{}
	n.AfterRow, n.RequestID, n.Dest, n.Reason = max(e.AfterRow, newest(e.Server, c.seen[r.ID])), "", "", ""
	n.To, n.Waits, n.Unclaimed = to.to, "", ""
	n.Judged = max(n.Judged, n.AfterRow) // what has failed before has been asked about
	c.sawFirst(promiseKey(r, &n))
	a.Looked, a.AfterRow = c.seen[r.ID].Began, n.AfterRow
	c.start(r, a)
	return &n
}

// CauseForeign is that of a POST which was not sent, for somebody else's row was there.
const CauseForeign = "foreign"

// stalled says of one that waits why a person should know; a group is waited for as
// it was asked.
func (e *Evacuation) stalled() string {
	if e.State != EvacPlanned && e.State != EvacFailed || strings.HasPrefix(e.Waits, waitsGroup) {
		return ""
	}
	return e.Waits
}

// Stalled counts the instances that wait to be sent and of which a person should know.
func (r *Recovery) Stalled() int {
	n := 0
	for _, e := range r.Evacuations {
		if e.stalled() != "" {
			n++
		}
	}
	return n
}
