package evacuate

import (
	"fmt"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

const (
	// endsPatience is how long an instance that was on its way to another host is
	// looked at. Its source drives it and is off: what the other end does not finish
	// within seconds it never does.
	endsPatience = 30 * time.Second
	// endsEvery is the pause between two looks at the rows of such instances.
	endsEvery = 5 * time.Second
)

// Ends judges an instance that was being live-migrated or resized when its host was
// cut off, by the newest row of that. off says of the other host that it is proven
// off, and was read after that. What may run there is never moved.
func Ends(s nova.Server, rows []nova.Migration, off func(nova.HostName) bool) Choice {
	var m nova.Migration
	for _, x := range rows {
		if x.Server == s.ID && !x.CreatedAt.Before(m.CreatedAt) && (x.ID > m.ID || x.CreatedAt.After(m.CreatedAt)) {
			m = x
		}
	}
	switch {
	case m.ID == 0:
		return Choice{DoLook, fmt.Sprintf("its task is %s and Nova shows no row of it", s.TaskState)}
	case m.Status.Fruitless():
		return Choice{DoMove, fmt.Sprintf("its %s %d to %s ended as %s: it had stayed", m.Type, m.ID, m.Dest, m.Status)}
	case m.Type == nova.TypeLiveMigration && m.Dest != "" && off(m.Dest):
		return Choice{DoMove, fmt.Sprintf("its %s %d was to go to %s, which is proven off too", m.Type, m.ID, m.Dest)}
	}
	return Choice{DoLook, fmt.Sprintf("its %s %d to %s is %s: it may run there. Look on %s; where it does not, reset its state and evacuate it by hand",
		m.Type, m.ID, orWord(string(m.Dest), "a host that is not named"), m.Status, orWord(string(m.Dest), "all hosts"))}
}

// bothEnds resolves one that is held for that. Nil: nothing is known yet.
func (c *Core) bothEnds(r *Recovery, e *Evacuation, obs *Observation) *Evacuation {
	n := *e
	n.Ended = c.world.Now
	if obs.Gone[e.Server] {
		n.State, n.Reason = EvacSkipped, "deleted meanwhile"
		return &n
	}
	if s, ok := obs.Moved[e.Server]; ok && s.Host != "" && s.Host != r.Host {
		if !well(s) {
			return nil
		}
		n.State, n.Dest, n.Reason = EvacDone, s.Host, "what was under way had brought it there"
		return &n
	}
	s, here := obs.Source[e.Server]
	if !here || !obs.Ends {
		return nil
	}
	choice := Choice{DoMove, "nothing is being done with it any more"}
	if s.TaskState == nova.TaskMigrating || s.TaskState == nova.TaskResizePrep {
		choice = Ends(s, obs.Moves, func(h nova.HostName) bool {
			by, off := c.state.provenOff(h)
			return off && obs.Began.After(c.sawFirst("off "+string(by)))
		})
	}
	switch {
	case choice.Do == DoMove:
		s.TaskState = ""
		after := Choose(s, c.world.Storage[r.Host], c.policy.Restart)
		if after.Reason == "" {
			after.Reason = choice.Reason
		}
		n.Ended = time.Time{}
		n.choose(after)
		return &n
	case c.since(string(r.ID)+" ends "+string(e.Server)) < endsPatience:
		return nil
	}
	n.State, n.Reason = EvacSkipped, "held: "+choice.Reason
	return &n
}

// lookEnds says that it is time to read the rows of what is held for them.
func (c *Core) lookEnds(r *Recovery) bool {
	for _, e := range r.Evacuations {
		if e.State == EvacHeld && c.world.Now.Sub(c.ends[r.ID]) >= endsEvery {
			c.ends[r.ID] = c.world.Now
			return true
		}
	}
	return false
}
