package evacuate

import (
	"fmt"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

const (
	// endsPatience is how long an instance that was on its way to another host is
	// waited for. Its source drives it and is off: what the other end does not finish
	// within seconds it never does.
	endsPatience = 30 * time.Second
	// endsEvery is the pause between two looks at the rows of such instances, revisitEvery
	// that of those that were left.
	endsEvery    = 5 * time.Second
	revisitEvery = 30 * time.Second
)

// OtherEnd is what is known of the host to which an instance was on its way.
type OtherEnd string

// What may be known of it. All but the first are certain.
const (
	EndUnknown OtherEnd = ""
	EndOff     OtherEnd = "off"       // proven off, and Nova was read after that
	EndThere   OtherEnd = "there"     // its libvirt lists the instance, running or paused
	EndAbsent  OtherEnd = "not there" // its libvirt does not
)

// Ends judges an instance that was being live-migrated or resized when its host was
// cut off, or that a live migration has left in error, by the newest row of that and by
// what is known of the other end. What may run there is never moved.
func Ends(s nova.Server, rows []nova.Migration, at func(nova.HostName) OtherEnd) Choice {
	var m nova.Migration
	for _, x := range rows {
		if x.Server == s.ID && !x.CreatedAt.Before(m.CreatedAt) && (x.ID > m.ID || x.CreatedAt.After(m.CreatedAt)) {
			m = x
		}
	}
	live := m.Type == nova.TypeLiveMigration
	lost := live && m.Status == nova.MigrationError && m.Dest != ""
	switch end := at(m.Dest); {
	case s.TaskState == "" && !lost:
		return Choice{Do: DoMove}
	case m.ID == 0:
		return Choice{DoLook, fmt.Sprintf("its task is %s and Nova shows no row of it: where it runs nowhere, `openstack server set --state active` has it moved", s.TaskState)}
	case m.Stayed():
		return Choice{DoMove, fmt.Sprintf("its %s %d to %s ended as %s: it had stayed", m.Type, m.ID, orWord(string(m.Dest), "no host"), m.Status)}
	case end == EndThere:
		return Choice{DoLook, fmt.Sprintf("its %s %d is %s, and libvirt on %s has it: it is moved only once that copy is gone", m.Type, m.ID, m.Status, m.Dest)}
	case end == EndAbsent:
		return Choice{DoMove, fmt.Sprintf("its %s %d was to go to %s, and libvirt there does not have it", m.Type, m.ID, m.Dest)}
	case end == EndOff && live:
		return Choice{DoMove, fmt.Sprintf("its %s %d was to go to %s, which is proven off too", m.Type, m.ID, m.Dest)}
	}
	return Choice{DoLook, fmt.Sprintf("its %s %d to %s is %s: it may run there. Look on %s; where it does not, `openstack server set --state active` has it moved",
		m.Type, m.ID, orWord(string(m.Dest), "a host that is not named"), m.Status, orWord(string(m.Dest), "all hosts"))}
}

// otherEnd is what is known of the host to which an instance was on its way.
func (c *Core) otherEnd(r *Recovery, id nova.ServerID, host nova.HostName, obs *Observation) OtherEnd {
	switch g := c.world.Guests; {
	case host == "" || host == r.Host:
		return EndUnknown
	case c.readOff(host, obs):
		return EndOff
	case !g.Tells(host):
		return EndUnknown
	case g.Has(host, id):
		return EndThere
	case c.since(endsKey(r, id)) < detector.TwinSettle:
		return EndUnknown // a guest is listed seconds after it began to run
	}
	return EndAbsent
}

func endsKey(r *Recovery, id nova.ServerID) string { return string(r.ID) + " ends " + string(id) }

// bothEnds resolves one that is held for that, or was left for it. Nil: nothing is known
// yet, or nothing new.
func (c *Core) bothEnds(r *Recovery, e *Evacuation, obs *Observation) *Evacuation {
	if e.State == EvacSkipped && !e.Revisit {
		return nil
	}
	n := *e
	n.Ended, n.Revisit = c.world.Now, false
	if obs.Gone[e.Server] {
		n.State, n.Reason = EvacSkipped, deletedMeanwhile
		return &n
	}
	if s, ok := obs.Moved[e.Server]; ok && s.Host != "" && s.Host != r.Host {
		if !well(s) {
			return nil
		}
		n.State, n.Dest, n.Reason = EvacDone, s.Host, "what was under way had brought it there"
		if !movable[e.VMState] {
			n.Reason = "moved by somebody else"
		}
		return &n
	}
	s, here := obs.Source[e.Server]
	if !here || !obs.Ends {
		return nil
	}
	choice := Choice{DoMove, "nothing is being done with it any more"}
	if s.TaskState == nova.TaskMigrating || s.TaskState == nova.TaskResizePrep || s.VMState == nova.VMError {
		choice = Ends(s, obs.Moves, func(h nova.HostName) OtherEnd { return c.otherEnd(r, e.Server, h, obs) })
	}
	_, proved := r.Proved()
	switch {
	case choice.Do == DoMove && !proved:
		return nil
	case choice.Do == DoMove:
		if s.TaskState == nova.TaskMigrating || s.TaskState == nova.TaskResizePrep {
			s.TaskState = ""
		}
		after := Choose(s, c.world.Storage[r.Host], c.policy.Restart)
		if after.Reason == "" {
			after.Reason = choice.Reason
		}
		n.Ended = time.Time{}
		n.choose(after)
		n.Revisit = n.State == EvacSkipped && mendable(s)
		if n.State == e.State && n.Reason == e.Reason {
			return nil // as it was
		}
		return &n
	case c.since(endsKey(r, e.Server)) < endsPatience:
		return nil
	}
	n.State, n.Reason, n.Revisit = EvacSkipped, "held: "+choice.Reason, true
	if e.State == n.State && e.Reason == n.Reason {
		return nil
	}
	return &n
}

// lookEnds says that it is time to read the rows of what is held for them.
func (c *Core) lookEnds(r *Recovery) bool {
	for _, e := range r.Evacuations {
		pause := endsEvery
		if e.State == EvacSkipped {
			pause = revisitEvery
		}
		if (e.State == EvacHeld || e.Revisit) && c.world.Now.Sub(c.ends[r.ID]) >= pause {
			c.ends[r.ID] = c.world.Now
			return true
		}
	}
	return false
}

// revisit looks again at what was left of a recovered host because it may run at the
// other end of what was moving it, and for what turned up there since. What is found to
// run nowhere opens the recovery again.
func (c *Core) revisit(r *Recovery) {
	var left []*Evacuation
	for _, e := range r.Evacuations {
		if e.Revisit {
			left = append(left, e)
		}
	}
	if _, proved := r.Proved(); !proved || c.halted(r.Host) {
		return
	}
	if c.lookLate(r); len(left) == 0 {
		return
	}
	if c.lookEnds(r) {
		a := act(r, StepObserve)
		a.Ends, a.Source, a.Again, a.Proof = true, true, true, r.Proof
		for _, e := range left {
			a.Servers = append(a.Servers, e.Server)
		}
		c.start(r, a)
	}
	var changed []*Evacuation
	if obs := c.seen[r.ID]; obs != nil && obs.Ends {
		for _, e := range left {
			if n := doubtfulPower(e, c.bothEnds(r, e, obs), obs); n != nil {
				changed = append(changed, n)
			}
		}
	}
	if len(changed) > 0 {
		c.commit(Entry{Kind: KindEvacuations, Recovery: r.ID, Evacuations: changed, Text: describe(changed)})
	}
}

// doubtfulPower leaves what was to be taken up again where the host's power is in doubt:
// its proof may be of days ago.
func doubtfulPower(e, n *Evacuation, obs *Observation) *Evacuation {
	if n == nil || obs.Power == "" || n.State != EvacPlanned && n.State != EvacHeld {
		return n
	}
	left := *e
	left.Reason = "it is to be moved by now, but: " + obs.Power
	if left.Reason == e.Reason {
		return nil
	}
	return &left
}
