package evacuate

import (
	"cmp"
	"fmt"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// rebootEnds plans the start of what ran on a host before it was booted anew. It is
// asked as the new boot is first seen: soon Nova will call these instances stopped.
func (c *Core) rebootEnds(host nova.HostName, boot string) {
	if c.policy.Restarts.Rebooted != RestartDo && c.policy.Restarts.Rebooted != RestartReport {
		return
	}
	for _, s := range c.world.Servers[host] {
		x := GuestRestart{Event: fmt.Sprintf("%s/%s/%s", host, boot, s.ID), Server: s.ID, Name: s.Name, Host: host, Cause: detector.GuestRebooted, At: c.world.Now,
			State: GuestPlannedEnd, Priority: c.policy.Order.Priority(s), RAMMiB: s.RAMMiB}
		if s.VMState != nova.VMActive || s.TaskState != "" || c.state.guestRestart(x.Event) != nil {
			continue
		}
		p := c.policy
		p.Restarts.All = true // those that say no are left
		switch yes, why := p.restartable(s, c.world.Nova.Aggregates); {
		case c.policy.Restarts.Rebooted == RestartReport:
			x.State, x.Reason = GuestLeftEnd, "policy.guests.rebooted is report"
		case !yes:
			x.State, x.Reason = GuestLeftEnd, why
		default:
			if x.Reason = cmp.Or(c.forbidsRestart(x), c.tooOften(x)); x.Reason != "" {
				x.State = GuestLeftEnd
			}
		}
		c.restartTo(x)
	}
}
