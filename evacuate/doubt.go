package evacuate

import (
	"fmt"
	"slices"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// Doubt is where an attempt that failed may have left its guest running. Nova goes on for
// a while after the guest runs; what fails then makes the row failed and leaves the
// instance in error at its source (compute/manager.py, _do_rebuild_instance).
type Doubt struct {
	Host nova.HostName `json:"host"`
	Row  int           `json:"row"`
}

func doubtKey(r *Recovery, id nova.ServerID, row int) string {
	return fmt.Sprintf("%s doubt %s %d", r.ID, id, row)
}

// doubt asks of the newest failed row of an instance, once for each, whether its guest may
// run at that destination, and whether older doubts are over. Nil: nothing has changed.
func (c *Core) doubt(r *Recovery, e *Evacuation, obs *Observation) *Evacuation {
	s := obs.Source[e.Server]
	n := *e
	// Whatever its task: its owner may have it rebooted the hard way from there, and Nova asks
	// for no host that is up (compute/api.py, _hard_reboot).
	if m := failedRow(e, obs); m.ID > 0 && s.VMState == nova.VMError {
		ended := m.UpdatedAt
		if ended.IsZero() {
			ended = m.CreatedAt
		}
		left := s.Remains(ended)
		if m.ID != newest(e.Server, obs) {
			left = nova.RemainsUnknown // the fault is of a later one
		}
		elsewhere := slices.DeleteFunc(slices.Clone(e.Doubts), func(d Doubt) bool { return d.Host == m.Dest })
		switch {
		case left == nova.RemainsUnknown, left == nova.RemainsGuest:
			n.Judged, n.Doubts = m.ID, append(elsewhere, Doubt{Host: m.Dest, Row: m.ID})
			n.Reason = fmt.Sprintf("its evacuation %d failed on %s%s: it may run there", m.ID, m.Dest, because(s.Fault))
			return &n
		case left == nova.RemainsNothing && len(elsewhere) < len(e.Doubts): // Nova looks first whether one is there
			n.Judged, n.Doubts = m.ID, elsewhere
			n.Reason = fmt.Sprintf("evacuation %d found nothing of it on %s, and left nothing", m.ID, m.Dest)
			return &n
		}
	}
	for _, d := range e.Doubts {
		if why := c.dispels(r, e, d, s, obs); why != "" {
			n.Doubts = slices.DeleteFunc(slices.Clone(e.Doubts), func(x Doubt) bool { return x == d })
			n.Reason, n.Waits = why, ""
			return &n
		}
	}
	return nil
}

// failedRow is the newest row of an instance that failed at a destination and was not
// judged yet; none where it was moved since.
func failedRow(e *Evacuation, obs *Observation) (last nova.Migration) {
	for _, m := range obs.Rows {
		if m.Server != e.Server || m.ID <= last.ID || e.lost(m.ID) {
			continue
		}
		switch {
		case m.Status == nova.MigrationFailed && m.Claimed() != "" && m.ID > e.Judged:
			last = m
		case m.Status == nova.MigrationDone, m.Status == nova.MigrationCompleted:
			last = nova.Migration{}
		}
	}
	return last
}

// dispels says what ends a doubt, "" if nothing does.
func (c *Core) dispels(r *Recovery, e *Evacuation, d Doubt, s nova.Server, obs *Observation) string {
	known := c.since(doubtKey(r, e.Server, d.Row))
	switch g := c.world.Guests; {
	case c.readOff(d.Host, obs):
		return fmt.Sprintf("%s, where it may have run, is proven off", d.Host)
	case movable[s.VMState] && s.VMState != nova.VMError && s.TaskState == "":
		return "somebody has set its state: it runs nowhere"
	case g.Tells(d.Host) && !g.Has(d.Host, e.Server) && known >= detector.TwinSettle:
		return fmt.Sprintf("libvirt on %s does not have it", d.Host)
	}
	return ""
}

// doubted says where one may go that may run at a host: there only, where Nova looks
// first whether it does (compute/manager.py, _check_instance_exists), or nowhere.
func (c *Core) doubted(e *Evacuation) course {
	d := e.Doubts[0]
	switch g := c.world.Guests; {
	case g.Has(d.Host, e.Server):
		return course{wait: fmt.Sprintf("libvirt on %s has it, where its evacuation %d failed: an evacuation would start it a second time", d.Host, d.Row)}
	case g.Tells(d.Host):
		return course{wait: "what libvirt there lists is not young enough", brief: true}
	case len(e.Doubts) > 1 || !c.world.usable(d.Host) || !c.sound(d.Host):
		return course{wait: fmt.Sprintf("it may run on %s, where its evacuation %d failed. Look there; where it does not, `openstack server set --state active` has it moved", d.Host, d.Row)}
	}
	return course{to: nova.Target{Host: d.Host}}
}

// evacuated takes what has become of instances in, where no rule speaks against it.
func (s *State) evacuated(r *Recovery, term uint64, e Entry) error {
	err := s.mourn(r, e)
	if err == nil {
		err = r.doubtful(e)
	}
	again := false
	if err == nil {
		again, err = r.takesUp(e)
	}
	if err == nil {
		err = r.evacuations(term, e)
	}
	if err != nil {
		return err
	}
	if r.foundLate(e); again {
		r.takeUp()
	}
	return nil
}

// doubtful refuses to send one that may run at a host to any other.
func (r *Recovery) doubtful(e Entry) error {
	for _, n := range e.Evacuations {
		old := r.Evacuation(n.Server)
		if n.State != EvacIntent || old == nil || old.State == EvacIntent {
			continue
		}
		for _, d := range old.Doubts {
			if n.To.Host != d.Host || n.To.Force {
				return fmt.Errorf("evacuation of %s to %s: it may run on %s", n.Server, orWord(string(n.To.Host), "any host"), d.Host)
			}
		}
	}
	return nil
}
