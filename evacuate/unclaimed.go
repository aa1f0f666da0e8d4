package evacuate

import (
	"fmt"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// An unclaimed request is one whose named destination died before it took it up. It may lie
// in that host's queue, and is taken up as its nova-compute starts; or it died in that
// nova-compute, where requests wait for their claim after they left the queue. Nobody can
// tell which, and a second request would be given the row of the first
// (nova/conductor/manager.py, rebuild_instance): it is not repeated. A person closes it.

// unclaimed notes one in its journal. Nil: it is none, or is noted.
func (c *Core) unclaimed(r *Recovery, e *Evacuation, obs *Observation) *Evacuation {
	m, ok := row(e, obs)
	if !ok || m.Status != nova.MigrationAccepted || m.Dest == "" || e.Unclaimed == m.Dest || c.underWayFor(r, e) < claimed {
		return nil
	}
	if _, off := c.state.provenOff(m.Dest); !off {
		return nil
	}
	n := *e
	n.Row, n.Unclaimed = m.ID, m.Dest
	return &n
}

// queued says how an unclaimed request stands, "" if it is none.
func (c *Core) queued(r *Recovery, e *Evacuation, obs *Observation) string {
	m, ok := row(e, obs)
	switch {
	case !ok || e.Unclaimed == "":
		return ""
	case m.Status.Terminal() && obs.Moved[e.Server].TaskState != "":
		return fmt.Sprintf("its request (row %d) is closed; `openstack server set --state error %s` ends the task that it left, and has it evacuated again", m.ID, e.Server)
	case m.Status != nova.MigrationAccepted:
		return ""
	}
	if by, off := c.state.provenOff(e.Unclaimed); off {
		return fmt.Sprintf("its request (row %d) went to %s, which died (%s) before it had claimed anything, and lies in its queue or is lost: it is not sent again before a person closes it, see `lifeboat recovery %s`", m.ID, e.Unclaimed, by, r.ID)
	}
	return fmt.Sprintf("its request (row %d) went to %s, which died before it had claimed anything and is coming back: it takes it up as its nova-compute starts, or has lost it, see `lifeboat recovery %s`", m.ID, e.Unclaimed, r.ID)
}

// nobodys says that no host has claimed it yet.
func (e *Evacuation) nobodys(obs *Observation) bool {
	m, _ := row(e, obs)
	return e.State == EvacFollowing && e.Dest == "" && m.Claimed() == ""
}

// lies says that it waits for a person to close its unclaimed request.
func (e *Evacuation) lies() bool {
	return e.State == EvacFollowing && e.Dest == "" && e.Unclaimed != ""
}

// closing is what a person does about an unclaimed request, in order.
func (e *Evacuation) closing() []string {
	if !e.lies() {
		return nil
	}
	return []string{
		fmt.Sprintf("%s (%s): UNCLAIMED REQUEST. Where %s is still down, 1, 2 and 3; where its nova-compute has been up again for a minute, 2 and 3", e.Name, e.Server, e.Unclaimed),
		fmt.Sprintf("  1  on a node of RabbitMQ: rabbitmqctl purge_queue compute.%s", e.Unclaimed),
		fmt.Sprintf("  2  in the cell's database: update migrations set status='error' where id=%d and status='accepted'; (no row changed: it was claimed meanwhile, stop here)", e.Row),
		fmt.Sprintf("  3  openstack server set --state error %s; it is evacuated again by itself", e.Server),
	}
}
