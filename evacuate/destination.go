package evacuate

import (
	"fmt"
	"slices"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// Loss is an attempt whose destination died amid it. Its row stays open for ever:
// nothing in Nova times it out.
type Loss struct {
	Host nova.HostName `json:"host"`
	Row  int           `json:"row"`
	// Proof is the recovery whose proof says that the destination was off after.
	Proof RecoveryID `json:"proof"`
}

// lost says that a row is one of the attempts that died with their destination.
func (e *Evacuation) lost(row int) bool {
	return slices.ContainsFunc(e.Losses, func(l Loss) bool { return l.Row == row })
}

// gone says that the destination of a lost attempt is proven off, or was until it
// came back in order: a machine that was off does not go on with a rebuild.
func (s *State) gone(l Loss) error {
	r := s.Recoveries[l.Proof]
	if r == nil {
		return nil // closed so long ago that it was forgotten
	}
	_, proved := r.Proved()
	if r.Host == l.Host && (proved || r.Status == StatusReturning || r.Status == StatusClosed && r.Outcome == OutcomeReturned) {
		return nil
	}
	return fmt.Errorf("%s, which died as it was being rebuilt there, is not proven off any more: %s", l.Host, orWord(r.Void, string(r.Status)))
}

// mourn refuses what rule 3 forbids: to repeat an attempt whose named destination is
// not proven to be off.
func (s *State) mourn(r *Recovery, e Entry) error {
	for _, n := range e.Evacuations {
		if n.State != EvacIntent && n.State != EvacFailed {
			continue
		}
		for _, l := range n.Losses {
			if err := s.gone(l); err != nil && (n.State == EvacIntent || !slices.Contains(r.losses(n.Server), l)) {
				return fmt.Errorf("evacuation of %s: %w", n.Server, err)
			}
		}
		if old := r.losses(n.Server); n.State == EvacIntent && slices.ContainsFunc(old, func(l Loss) bool { return !slices.Contains(n.Losses, l) }) {
			return fmt.Errorf("evacuation of %s: its lost attempts are forgotten", n.Server)
		}
	}
	return nil
}

func (r *Recovery) losses(id nova.ServerID) []Loss {
	if e := r.Evacuation(id); e != nil {
		return e.Losses
	}
	return nil
}

// provenOff gives the recovery that proves a host off at present.
func (s *State) provenOff(host nova.HostName) (RecoveryID, bool) {
	r := s.Open(host)
	if r == nil {
		return "", false
	}
	_, ok := r.Proved()
	return r.ID, ok
}

// readOff says that a host is proven off, and that a look began after that was known.
func (c *Core) readOff(host nova.HostName, obs *Observation) bool {
	by, off := c.state.provenOff(host)
	return off && obs.Began.After(c.sawFirst("off "+string(by)))
}

// bereft looks at an attempt whose row is open and whose destination is proven off.
// Whoever is still at the source is evacuated again; whoever had come to the
// destination is moved by that host's own recovery.
func (c *Core) bereft(r *Recovery, n Evacuation, m nova.Migration, obs *Observation) *Evacuation {
	by, _ := c.state.provenOff(n.Dest)
	s, seen := obs.Moved[n.Server]
	if n.Dest == "" || !seen || !c.readOff(n.Dest, obs) {
		return nil // what was read before the proof may have moved on since
	}
	n.Losses = append(slices.Clone(n.Losses), Loss{Host: n.Dest, Row: m.ID, Proof: by})
	switch {
	case s.Host == r.Host:
		n.Reason = fmt.Sprintf("%s died as it was being rebuilt there and is proven off (%s): evacuated again. Row %d stays %s in Nova: close it there before %s takes it back", n.Dest, by, m.ID, m.Status, r.Host)
		n.State, n.Row, n.AfterRow, n.Dest, n.NotBefore, n.Ended = EvacFailed, 0, max(n.AfterRow, m.ID), "", c.world.Now, c.world.Now
	case s.Host == n.Dest || s.TaskState != "":
		return nil
	case s.VMState == nova.VMError:
		n.State, n.Ended = EvacSkipped, c.world.Now
		n.Reason = fmt.Sprintf("is on %s in state error%s: it needs an operator", s.Host, because(s.Fault))
	default:
		n.Reason = fmt.Sprintf("it had come to %s, which died: the recovery of that moved it on", n.Dest)
		n.State, n.Dest, n.Ended = EvacDone, s.Host, c.world.Now
		n.arrived(s)
	}
	return &n
}

// astray says why an attempt that is followed will not end by itself, as far as its
// destination tells.
func (c *Core) astray(e *Evacuation, obs *Observation) string {
	switch by, off := c.state.provenOff(e.Dest); {
	case e.Dest == "":
		return ""
	case off && obs.Moved[e.Server].Host == e.Dest:
		return fmt.Sprintf("it had come to %s before that died: recovery %s moves it on", e.Dest, by)
	case off:
		return ""
	case c.state.Open(e.Dest) != nil || c.world.Verdicts[e.Dest].State == detector.Dead:
		return fmt.Sprintf("its destination %s died amid it: it is not repeated before that host is proven off", e.Dest)
	}
	if s, known := c.world.Nova.Services[e.Dest]; known && s.State == nova.StateDown {
		return fmt.Sprintf("the nova-compute of its destination %s is down: it may run there, so it is not repeated", e.Dest)
	}
	return ""
}

// inbound names the instances that are on their way to a host.
func (s *State) inbound(host nova.HostName) []string {
	var names []string
	for _, r := range s.Sorted() {
		if r.Status != StatusOpen || r.Host == host {
			continue
		}
		for _, e := range r.Evacuations {
			if e.State == EvacFollowing && e.heading() == host {
				names = append(names, e.Name)
			}
		}
	}
	return names
}
