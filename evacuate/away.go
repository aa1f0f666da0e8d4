package evacuate

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// awayErrors is how many failed live migrations end the emptying of a host: what fails
// three times is no illness of the instances'.
const awayErrors = 3

// tendAway moves what runs on a host whose services have failed for good to other hosts,
// by live migration: one instance at a time, each once. Nova needs the host's own
// nova-compute for that (conductor/tasks/live_migrate.py): where it is down, nothing is
// moved.
func (c *Core) tendAway(x Ailing) {
	if m := x.Away.moving(); m != nil {
		c.lookAway(x, m.Server)
		return
	}
	if c.noAway(x) != "" {
		return
	}
	if s, ok := c.nextAway(x); ok {
		c.lookAway(x, s.ID)
		return
	}
	if x.Away != nil {
		c.endAway(x, *x.Away)
	}
}

// noAway says why nothing is sent away from a host now, "" if it may be.
func (c *Core) noAway(x Ailing) string {
	if why := c.state.noAway(x); why != "" {
		return why
	}
	if why := c.noLiveMove(x.Host); why != "" {
		return why
	}
	svc := c.world.Nova.Services[x.Host]
	_, listed := c.world.Servers[x.Host]
	switch {
	case c.policy.Services != ServicesMigrate:
		return "policy.services is " + string(c.policy.Services)
	case !listed:
		return "Nova has not listed its instances yet"
	case !c.world.Verdicts[x.Host].State.Lives():
		return "it is " + string(c.world.Verdicts[x.Host].State)
	case svc.State != nova.StateUp || svc.ForcedDown || svc.DisabledReason != AilingReason:
		return "its nova-compute is not up and disabled by us"
	}
	return ""
}

// noAway is what the ledger says against the next move off a host, "" if nothing.
func (s *State) noAway(x Ailing) string {
	h := s.Hosts[x.Host]
	switch {
	case s.Frozen:
		return "frozen by " + s.frozenBy()
	case h == nil || h.Maintenance:
		return string(x.Host) + " is in maintenance or not known"
	case !x.Disabled || x.Enabling:
		return string(x.Host) + " is not disabled for its services"
	case x.Away != nil && !x.Away.Ended.IsZero():
		return "it is over: " + x.Away.Reason
	}
	for _, r := range s.Recoveries {
		if r.Status == StatusOpen {
			return fmt.Sprintf("recovery %s of %s is open", r.ID, r.Host)
		}
	}
	return ""
}

// nextAway is the first instance that runs there and was not looked at: by priority,
// then the biggest.
func (c *Core) nextAway(x Ailing) (next nova.Server, ok bool) {
	for _, s := range c.world.Servers[x.Host] {
		if x.Away.of(s.ID) != nil || s.VMState != nova.VMActive {
			continue
		}
		if order := cmp.Or(c.policy.Order.Priority(s)-c.policy.Order.Priority(next), s.RAMMiB-next.RAMMiB, cmp.Compare(next.ID, s.ID)); !ok || order > 0 {
			next, ok = s, true
		}
	}
	return next, ok
}

// lookAway reads one instance and what is moving it.
func (c *Core) lookAway(x Ailing, id nova.ServerID) {
	key := "away " + string(id)
	if last, ok := c.first[key]; ok && c.world.Now.Sub(last) < failbackEvery {
		return
	}
	c.first[key] = c.world.Now
	c.launchOn(Action{Host: x.Host, Step: StepTraceAway, Server: id, From: x.Host, Shield: x.Host})
}

// seenAway sends an instance away, has it stay, or judges how far it has come.
func (c *Core) seenAway(x Ailing, o Outcome) {
	if !o.OK || o.Seen == nil {
		return
	}
	id := o.Action.Server
	if m := x.Away.moving(); m != nil {
		if m.Server == id {
			c.leaves(x, *m, o.Seen)
		}
		return
	}
	s, ok := c.nextAway(x)
	if !ok || s.ID != id || c.noAway(x) != "" {
		return
	}
	m := FailbackMove{Server: id, Name: s.Name, From: x.Host, State: EvacSkipped, Ended: c.world.Now, Reason: c.staysAway(x, s, o.Seen)}
	if m.Reason != "" {
		c.goesAway(x, m, fmt.Sprintf("%s stays on %s: %s", m.Name, x.Host, m.Reason))
		return
	}
	m.State, m.Intent, m.Ended, m.AfterRow = EvacIntent, c.world.Now, time.Time{}, newestRow(o.Seen, id)
	c.goesAway(x, m, fmt.Sprintf("%s is sent away from %s by live migration: %s has failed there", m.Name, x.Host, x.Service))
	c.sawFirst(awayKey(x, m))
	c.launchOn(Action{Host: x.Host, Step: StepMoveAway, Server: id, From: x.Host, Shield: x.Host})
}

// staysAway says why an instance is left where it is, "" if it may be moved.
func (c *Core) staysAway(x Ailing, listed nova.Server, obs *Observation) string {
	if why := immovable(listed.ID, x.Host, obs); why != "" {
		return why
	}
	if yes, why := c.policy.Protected(listed, c.world.Nova.Aggregates); !yes {
		return why
	}
	return ""
}

func awayKey(x Ailing, m FailbackMove) string {
	return "away " + string(x.Host) + " " + string(m.Server)
}

// goesAway commits a move; too many errors end it all.
func (c *Core) goesAway(x Ailing, m FailbackMove, text string) {
	x.Away = x.Away.with(m)
	failed := 0
	for _, o := range x.Away.Moves {
		if o.State == EvacFailed {
			failed++
		}
	}
	if failed >= awayErrors {
		x.Away.Ended, x.Away.Reason = c.world.Now, fmt.Sprintf("stopped after %d errors, the last: %s", failed, m.Reason)
		text += "; nothing more is sent away: " + x.Away.Reason
	}
	c.commit(Entry{Kind: KindAiling, Host: x.Host, Ailing: &x, Text: text})
}

// endAway says how it ended when all were looked at.
func (c *Core) endAway(x Ailing, f Failback) {
	away := 0
	for _, m := range f.Moves {
		if m.State == EvacDone {
			away++
		}
	}
	f.Ended, f.Reason = c.world.Now, fmt.Sprintf("%d of %d instances were moved away", away, len(f.Moves))
	x.Away = &f
	c.commit(Entry{Kind: KindAiling, Host: x.Host, Ailing: &x, Text: fmt.Sprintf("%s: %s", x.Host, f.Reason)})
}

// sentAway takes the answer to the live migration's POST.
func (c *Core) sentAway(x Ailing, o Outcome) {
	m := x.Away.of(o.Action.Server)
	if m == nil || m.State != EvacIntent {
		return
	}
	if n, told := m.answered(o, c.world.Now); told {
		c.goesAway(x, n, fmt.Sprintf("%s: live migration %s", n.Name, n.State)+because(n.Reason))
	}
}

// leaves follows a move.
func (c *Core) leaves(x Ailing, m FailbackMove, obs *Observation) {
	if _, flying := c.flight[flightKey{step: StepMoveAway, server: m.Server, shield: x.Host}]; flying {
		return
	}
	n, over := c.ended(m, obs, c.since(awayKey(x, m)), func(h nova.HostName) bool { return h != "" && h != x.Host })
	switch {
	case over && n.State == EvacDone:
		c.goesAway(x, n, fmt.Sprintf("%s runs on %s now", n.Name, obs.Moved[n.Server].Host))
	case over:
		c.goesAway(x, n, fmt.Sprintf("%s: %s", n.Name, n.Reason))
	}
}

// permitsAway says, last before the write, that it is the move which was promised.
func (s *State) permitsAway(x *Ailing, a Action) error {
	m := x.Away.moving()
	if m == nil || m.Server != a.Server || m.State != EvacIntent {
		return fmt.Errorf("the live migration of %s is not the one that was promised", a.Server)
	}
	if why := s.noAway(*x); why != "" {
		return fmt.Errorf("live migration of %s: %s", a.Server, why)
	}
	return nil
}

// promisesAway takes the stages of the moves in: one at a time, each once.
func (s *State) promisesAway(old *Ailing, n Ailing) error {
	if n.Away == nil {
		return nil
	}
	if under := slices.DeleteFunc(slices.Clone(n.Away.Moves), func(m FailbackMove) bool { return !m.onItsWay() }); len(under) > 1 {
		return fmt.Errorf("%d instances of %s are to be moved at once", len(under), n.Host)
	}
	for _, m := range n.Away.Moves {
		if m.State != EvacIntent {
			continue
		}
		var was *FailbackMove
		if old != nil {
			was = old.Away.of(m.Server)
		}
		if was != nil && was.State == EvacIntent && was.Intent.Equal(m.Intent) {
			continue
		}
		if was != nil {
			return fmt.Errorf("the live migration of %s is %s already", m.Server, was.State)
		}
		if old == nil {
			return fmt.Errorf("%s is not disabled for its services", n.Host)
		}
		if why := s.noAway(*old); why != "" {
			return fmt.Errorf("live migration of %s: %s", m.Server, why)
		}
	}
	return nil
}
