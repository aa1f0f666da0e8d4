package evacuate

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// What a dead host leaves behind in Nova's database, and on itself, outlives its recovery:
// nova-compute cleans up as it starts, by the rows, and one row of each instance at a time
// (compute/manager.py, _destroy_evacuated_instances keeps them in a dict by instance). A
// row that it leaves destroys the instance at a later start, wherever that lives by then.

// uncleaned says of a row that the source's nova-compute acts by it as it starts.
func uncleaned(s nova.MigrationStatus) bool {
	switch s {
	case nova.MigrationDone, nova.MigrationAccepted, nova.MigrationPreMigrating:
		return true
	default: // nothing that would be cleaned up
		return false
	}
}

// uncleanRow says which evacuation the restarted nova-compute has not cleaned up yet.
// again: it has started since, and a person must start it once more.
func (r *Recovery) uncleanRow(obs *Observation) (why string, again bool) {
	var first nova.Migration
	var names []string
	for _, m := range obs.Rows {
		if !uncleaned(m.Status) {
			continue
		}
		if first.ID == 0 {
			first = m
		}
		if r.passedOver(m, obs.Rows) {
			names = append(names, fmt.Sprintf("%s (migration %d, %s)", r.called(m.Server), m.ID, m.Status))
		}
	}
	switch {
	case len(names) > 0:
		return fmt.Sprintf("its nova-compute cleans one migration of an instance each time it starts, and has left %s: it would destroy that instance here at a later start, even one that has come home by then. Start nova-compute on %s once more (see the runbook for rows left behind)",
			few(names), r.Host), true
	case first.ID != 0:
		return fmt.Sprintf("its nova-compute has not cleaned up migration %d (%s) yet: does it run?", first.ID, first.Status), false
	}
	return "", false
}

// passedOver says of a row that nova-compute has started since the host was asked back,
// and has cleaned another row of the same instance.
func (r *Recovery) passedOver(m nova.Migration, rows []nova.Migration) bool {
	return slices.ContainsFunc(rows, func(x nova.Migration) bool {
		return x.Server == m.Server && x.ID != m.ID && x.Status == nova.MigrationCompleted && r.Return != nil && x.UpdatedAt.After(r.Return.Asked.Add(-ClockSlack))
	})
}

// called is an instance's name, or its id where it is none of the recovery's.
func (r *Recovery) called(id nova.ServerID) string {
	if e := r.Evacuation(id); e != nil && e.Name != "" {
		return e.Name
	}
	return string(id)
}

// few joins at most three names.
func few(names []string) string {
	const most = 3
	if n := len(names); n > most {
		names = append(slices.Clone(names[:most]), fmt.Sprintf("and %d more", n-most))
	}
	return strings.Join(names, ", ")
}

// rowsLeft counts the rows of an instance that its former host's nova-compute has to
// clean up: each takes a start of it.
func (e *Evacuation) rowsLeft() int {
	n := len(e.Losses)
	if e.State == EvacDone && e.Row != 0 && !e.lost(e.Row) {
		n++
	}
	return n
}

// starts is how often nova-compute must be started on the host as it returns.
func (r *Recovery) starts() (n int) {
	for _, e := range r.Evacuations {
		n = max(n, e.rowsLeft())
	}
	return n
}

// behind says what a person will have to do as the host returns, "" if nothing.
func (r *Recovery) behind() string {
	if n := r.starts(); n > 1 {
		return fmt.Sprintf("; when it returns its nova-compute must be started %d times, for Nova cleans one migration of an instance at a start", n)
	}
	return ""
}

// leaves says of an instance what it leaves behind in Nova, "" if nothing unusual.
func (e *Evacuation) leaves() string {
	if len(e.Losses) == 0 || e.State != EvacDone {
		return ""
	}
	rows := make([]string, 0, len(e.Losses))
	for _, l := range e.Losses {
		rows = append(rows, fmt.Sprintf("%d (%s died)", l.Row, l.Host))
	}
	return fmt.Sprintf("; open in Nova until its former host has returned: migration %s", strings.Join(rows, ", "))
}

// ghosts names the evacuated instances that the host's own libvirt runs or has paused
// while Nova has them elsewhere: started by hand, by autostart, or by a request that lay
// in its queue while it was dead (compute/manager.py, start_instance does not look where
// the instance is by now).
func (c *Core) ghosts(r *Recovery) (names []string) {
	g := c.world.Guests
	if !g.Tells(r.Host) {
		return nil
	}
	for _, e := range r.Evacuations {
		if e.State != EvacDone || e.Dest == r.Host {
			continue
		}
		if g.Has(r.Host, e.Server) {
			names = append(names, fmt.Sprintf("%s (%s, moved to %s)", e.Name, e.Server, e.Dest))
		}
	}
	return names
}

const ghostWords = "its libvirt has instances that live elsewhere: "

// haunted holds a returning host that has such instances: it is not to serve beside them.
func (c *Core) haunted(r *Recovery, s Step) bool {
	names := c.ghosts(r)
	key := string(r.ID) + " ghosts"
	switch {
	case len(names) == 0:
		delete(c.first, key)
		if r.Hold != nil && strings.HasPrefix(r.Hold.Reason, ghostWords) {
			c.release(r)
		}
		return false
	case c.since(key) < guestSettle:
		c.wait(r, s, ghostWords+few(names)) // the list may be of a moment ago
	default:
		c.hold(r, Hold{Step: s, Reason: fmt.Sprintf("%s%s. See that they run there alone, and stop the copies on %s: virsh destroy, then virsh undefine", ghostWords, few(names), r.Host)})
	}
	return true
}
