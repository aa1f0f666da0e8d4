package evacuate

import (
	"fmt"
	"slices"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// Failback is the way home, by live migration, of instances that were evacuated from a
// host that has returned: opt-in, one at a time in the whole cloud, over at the first
// error.
type Failback struct {
	Moves  []FailbackMove `json:"moves,omitempty"` // in the order of their looking
	Ended  time.Time      `json:"ended,omitzero"`
	Reason string         `json:"reason,omitempty"`
}

// FailbackMove is one instance's. A state of EvacSkipped says that it stays where it is,
// and Reason why.
type FailbackMove struct {
	Server    nova.ServerID `json:"server"`
	Name      string        `json:"name"`
	From      nova.HostName `json:"from"`
	State     EvacState     `json:"state"` // intent, following, done, failed, skipped
	Intent    time.Time     `json:"intent,omitzero"`
	Ended     time.Time     `json:"ended,omitzero"`
	AfterRow  int           `json:"after_row,omitempty"` // the newest migration row before the intent
	RequestID string        `json:"request_id,omitempty"`
	Reason    string        `json:"reason,omitempty"`
}

// onItsWay says that Nova may be moving it.
func (m FailbackMove) onItsWay() bool { return m.State == EvacIntent || m.State == EvacFollowing }

// moving is the move that is under way, nil if none is.
func (f *Failback) moving() *FailbackMove {
	if f == nil {
		return nil
	}
	for i := range f.Moves {
		if f.Moves[i].onItsWay() {
			return &f.Moves[i]
		}
	}
	return nil
}

// Stopped says that it ended at an error.
func (f *Failback) Stopped() bool {
	return f != nil && slices.ContainsFunc(f.Moves, func(m FailbackMove) bool { return m.State == EvacFailed })
}

// of is a server's move, nil if it was not looked at yet.
func (f *Failback) of(id nova.ServerID) *FailbackMove {
	if f == nil {
		return nil
	}
	for i := range f.Moves {
		if f.Moves[i].Server == id {
			return &f.Moves[i]
		}
	}
	return nil
}

// with is f with a move written into it.
func (f *Failback) with(m FailbackMove) *Failback {
	n := &Failback{}
	if f != nil {
		*n = Failback{Moves: slices.Clone(f.Moves), Ended: f.Ended, Reason: f.Reason}
	}
	if old := n.of(m.Server); old != nil {
		*old = m
	} else {
		n.Moves = append(n.Moves, m)
	}
	return n
}

// failsBack takes a stage of a failback in. A promise needs that nothing is being
// recovered, that no other instance is on its way home, and that the host may have it.
func (s *State) failsBack(r *Recovery, e Entry) error {
	n, old := e.Failback, r.Failback
	if r.Status != StatusClosed || r.Outcome != OutcomeReturned {
		return fmt.Errorf("failback to %s: it has not returned", r.Host)
	}
	if old != nil && !old.Ended.IsZero() {
		return fmt.Errorf("failback to %s has ended", r.Host)
	}
	for _, m := range n.Moves {
		was := old.of(m.Server)
		if m.State != EvacIntent || was != nil && was.State == EvacIntent && was.Intent.Equal(m.Intent) {
			continue
		}
		if was != nil {
			return fmt.Errorf("failback of %s is %s already", m.Server, was.State)
		}
		if ev := r.Evacuation(m.Server); ev == nil || ev.State != EvacDone || ev.Attempt == 0 {
			return fmt.Errorf("failback of %s: it was not evacuated from %s", m.Server, r.Host)
		}
		if why := s.noFailback(r, e.At); why != "" {
			return fmt.Errorf("failback of %s: %s", m.Server, why)
		}
	}
	r.Failback = n
	return nil
}

// noFailback is what the ledger says against the next move to a host, "" if nothing.
func (s *State) noFailback(r *Recovery, now time.Time) string {
	h := s.Hosts[r.Host]
	switch {
	case s.Frozen:
		return "frozen by " + s.frozenBy()
	case h == nil:
		return "the ledger does not know " + string(r.Host)
	case h.Maintenance:
		return string(r.Host) + " is in maintenance"
	case h.Quarantine.Active(now):
		return string(r.Host) + " is in quarantine"
	}
	for _, o := range s.Sorted() {
		if m := o.Failback.moving(); m != nil {
			return fmt.Sprintf("%s is on its way to %s", m.Name, o.Host)
		}
		if o.Status == StatusOpen || o.Status == StatusReturning || o.Status == StatusRecovered && o.Host == r.Host {
			return fmt.Sprintf("recovery %s of %s is %s", o.ID, o.Host, o.Status)
		}
		if o.Host == r.Host && o.Opened.After(r.Closed) {
			return fmt.Sprintf("%s has fallen again since (%s)", r.Host, o.ID)
		}
	}
	return ""
}

// permitsFailback says, last before the write, that it is the move which was promised.
func (s *State) permitsFailback(r *Recovery, a Action) error {
	m := r.Failback.moving()
	if m == nil || m.Server != a.Server || m.State != EvacIntent {
		return fmt.Errorf("the failback of %s is not the one that was promised", a.Server)
	}
	for _, o := range s.Recoveries {
		if o.Status == StatusOpen {
			return fmt.Errorf("recovery %s of %s was opened", o.ID, o.Host)
		}
	}
	return nil
}

// StaysThere says why an instance that was evacuated is not moved home, "" if it may be.
// obs has it, the evacuations of its former host, and what else moved it from where it
// is.
func StaysThere(r *Recovery, e *Evacuation, obs *Observation) string {
	if why := immovable(e.Server, e.Dest, obs); why != "" {
		return why
	}
	for _, m := range obs.Moves {
		if m.Server == e.Server && !m.Stayed() && m.CreatedAt.After(e.Intent) {
			return fmt.Sprintf("somebody has moved it since: %s %d", m.Type, m.ID)
		}
	}
	for _, m := range obs.Rows {
		// Seen on Nova 26.2.2: what lives on the host by a row that is not completed is
		// destroyed when nova-compute starts the next time (nova/DESIGN.md).
		if m.Server == e.Server && m.Status != nova.MigrationCompleted && !m.Status.Fruitless() {
			return fmt.Sprintf("its evacuation %d is still %s: the nova-compute of %s would destroy it at its next start", m.ID, m.Status, r.Host)
		}
	}
	return ""
}
