package novatest

import (
	"encoding/json"
	"fmt"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// FailMigrations makes the next n live migrations end as error: the guest stays.
func (c *Cloud) FailMigrations(n int) { c.set(func() { c.failMigrations = n }) }

// liveMigrate is compute/api.py, live_migrate, with a host that the scheduler is asked
// about (2.30 and later): the guest stops at one end as it runs at the other. That a
// server is there already is found by the conductor (conductor/tasks/live_migrate.py).
func (c *Cloud) liveMigrate(s *server, raw json.RawMessage, requestID string) reply {
	var body struct {
		Host  *string `json:"host"`
		Block any     `json:"block_migration"`
	}
	if json.Unmarshal(raw, &body) != nil || body.Block != "auto" {
		return fault(400, "Invalid input for field/attribute os-migrateLive.")
	}
	source := c.host(s.host)
	dest := source // no valid host
	if body.Host == nil {
		if found := c.schedule(s, ""); found != nil {
			dest = found
		}
	} else {
		dest = c.host(*body.Host)
	}
	switch {
	case dest == nil || dest.deleted:
		return fault(400, fmt.Sprintf("Compute host %s could not be found.", *body.Host))
	case s.vmState != nova.VMActive && s.vmState != nova.VMPaused || s.task != "":
		return fault(409, fmt.Sprintf("Cannot 'os-migrateLive' instance %s while it is in vm_state %s, task_state %s", s.id, s.vmState, s.task))
	case s.locked && c.policy.Forbid:
		return fault(409, "Instance "+s.id+" is locked")
	case source == nil || !c.up(source):
		return fault(400, "Compute service of "+s.host+" is unavailable at this time.")
	}
	n := c.nextID("migration")
	row := &migration{id: n, uuid: uuid("3a", n), server: s.id, source: s.host, kind: nova.TypeLiveMigration, status: "accepted", created: c.now()}
	c.migrations = append(c.migrations, row)
	s.task = nova.TaskMigrating
	s.act("live-migration", requestID, c.now())
	c.after(c.opts.Schedule, func() {
		left := c.usage()[dest.name].left(dest)
		if c.failMigrations > 0 || dest == source || dest.disabled || dest.disabledTrait || !c.up(dest) || left.ram < s.ramMiB || c.server(s.id) == nil {
			c.failMigrations = max(0, c.failMigrations-1)
			c.setStatus(row, nova.MigrationError)
			s.task = ""
			return
		}
		row.dest = dest.name
		c.setStatus(row, "running")
		c.after(c.opts.Spawn, func() {
			if c.server(s.id) == nil || !source.alive() || !dest.alive() {
				return // nobody drives it any more
			}
			delete(source.guests, s.id)
			dest.guests[s.id] = true
			s.host, s.node, s.zone, s.task = dest.name, dest.node, dest.zone, ""
			c.setStatus(row, nova.MigrationCompleted)
			c.inspect("live migration to " + dest.name)
		})
	})
	return reply{status: 202}
}
