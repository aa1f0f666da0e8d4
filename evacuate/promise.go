package evacuate

import (
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
	if len(due) > 0 {
		c.sendInOrder(due, changed)
	}
	for _, r := range c.senders {
		if n := changed[r.ID]; len(n) > 0 {
			c.commit(Entry{Kind: KindEvacuations, Recovery: r.ID, Evacuations: n, Text: describe(n)})
		}
	}
}

// prepare looks whether one is due. What it must be told first, or has been settled by
// somebody else, comes back as a change.
func (c *Core) prepare(r *Recovery, e *Evacuation, obs *Observation) (changed *Evacuation, ready bool) {
	due := (e.State == EvacPlanned || e.State == EvacFailed) && c.rested(e)
	if !due || slices.ContainsFunc(e.Losses, func(l Loss) bool { return c.state.gone(l) != nil }) {
		return nil, false
	}
	if n := c.foreign(r.Host, e, obs); n != nil {
		return n, false
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
// behind it pass: what fits is better up than kept waiting too.
func (c *Core) sendInOrder(due []turn, changed map[RecoveryID][]*Evacuation) {
	l := c.load()
	c.window.hosts = c.takers()
	limit := c.window.limit(c.policy.InFlight)
	var flying []*Evacuation
	var short []turn
	defer func() { c.reserve(short) }()
	for _, t := range due {
		if l.total >= limit {
			return
		}
		to := course{wait: copied(c.state, c.world.Guests, t.e.Server, t.r.Host)}
		if to.wait == "" {
			to.wait = c.behind(t.r, t.e, l)
		}
		if to.wait == "" {
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
		changed[t.r.ID] = append(changed[t.r.ID], n)
		flying = append(flying, n)
		if n.Backend != "" {
			l.backends[n.Backend]++
		}
		if l.total++; to.to.Host == "" {
			l.nowhere++
		} else {
			l.add(to.to.Host, n, true)
		}
	}
}

// promise journals one POST and sends it.
func (c *Core) promise(r *Recovery, e *Evacuation, to course) *Evacuation {
	a := act(r, StepEvacuate)
	a.Server, a.Attempt, a.Proof, a.To = e.Server, e.Attempt+1, r.Proof, to.to
	n := *e
	n.State, n.Attempt, n.Intent, n.Row, n.Quiet, n.Ended = EvacIntent, e.Attempt+1, c.world.Now, 0, time.Time{}, time.Time{}
	n.AfterRow, n.RequestID, n.Dest, n.Reason = max(e.AfterRow, newest(e.Server, c.seen[r.ID])), "", "", ""
	n.To, n.Waits = to.to, ""
	c.sawFirst(promiseKey(r, &n))
	c.start(r, a)
	return &n
}

// learn draws from a failed attempt where the next one goes: not again to a host that
// failed it, and where the name of a host was refused, wherever the scheduler says.
func (c *Core) learn(n *Evacuation, refused bool) {
	switch dest := n.heading(); {
	case n.To.Host != "" && !n.To.Force && refused:
		n.Free, n.NotBefore = true, c.world.Now
	case dest != "" && !slices.Contains(n.Avoid, dest):
		n.Avoid = append(slices.Clone(n.Avoid), dest)
	}
}

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
