package evacuate

import (
	"cmp"
	"fmt"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// afterBoot says that what ran on a host before it was booted anew is looked at.
func (r Restarts) afterBoot() bool {
	return r.Rebooted == RestartDo || r.Rebooted == RestartReport
}

// rebootEnds plans the start of what ran on a host before it was booted anew. It is
// asked as the new boot is first seen: soon Nova will call these instances stopped.
func (c *Core) rebootEnds(host nova.HostName, boot string) {
	if !c.policy.Restarts.afterBoot() {
		return
	}
	var left []GuestRestart
	for _, s := range c.world.Servers[host] {
		x := c.bootEnd(s, fmt.Sprintf("%s/%s/%s", host, boot, s.ID))
		if s.VMState != nova.VMActive || s.TaskState != "" || c.state.decided(x.Event) {
			continue
		}
		if x.State == GuestPlannedEnd {
			if x.Reason = cmp.Or(c.forbidsRestart(x), c.tooOften(x)); x.Reason != "" {
				x.State = GuestLeftEnd
			}
		}
		if x.State == GuestLeftEnd {
			left = append(left, x)
		} else {
			c.restartTo(x)
		}
	}
	c.leave(left, leftSingly)
}

// bootEnd is the end of an instance whose host went down, and what policy has done about
// it.
func (c *Core) bootEnd(s nova.Server, event string) GuestRestart {
	x := GuestRestart{Event: event, Server: s.ID, Name: s.Name, Host: s.Host, Cause: detector.GuestRebooted, At: c.world.Now,
		State: GuestPlannedEnd, Priority: c.policy.Order.Priority(s), RAMMiB: s.RAMMiB}
	p := c.policy
	p.Restarts.All = true // those that say no are left
	switch yes, why := p.restartable(s, c.world.Nova.Aggregates); {
	case c.policy.Restarts.Rebooted == RestartReport:
		x.State, x.Reason = GuestLeftEnd, "policy.guests.rebooted is report"
	case !yes:
		x.State, x.Reason = GuestLeftEnd, why
	}
	return x
}

// neverLeft says that an instance was left where it was, and can run nowhere else.
func (e *Evacuation) neverLeft() bool {
	return e.State == EvacSkipped && e.Attempt == 0 && !e.Revisit && len(e.Doubts) == 0
}

// leftFor is for how long after a host's return it is looked for what was left on it: a
// leader may die just then, and the next one has no list of that host's instances yet. What
// was decided is known for longer (endRemembered).
const leftFor = 5 * time.Minute

// tendLeft looks at a host that has just returned.
func (c *Core) tendLeft(r *Recovery) {
	if ago := c.world.Now.Sub(r.Closed); r.Status == StatusClosed && r.Outcome == OutcomeReturned && ago >= 0 && ago < leftFor && c.state.Open(r.Host) == nil {
		c.leftEnds(r)
	}
}

// leftEnds plans the start of what ran on a host that is back in service and was not
// moved off it: by the policy of a reboot, for that is what it was to them.
func (c *Core) leftEnds(r *Recovery) {
	if !c.policy.Restarts.afterBoot() {
		return
	}
	var left []GuestRestart
	for _, b := range r.Before {
		s, there := c.listedAt(r.Host, b.ID)
		e := r.Evacuation(b.ID)
		if b.VMState != nova.VMActive || b.Task != "" || !there || s.TaskState != "" || e == nil || !e.neverLeft() {
			continue
		}
		x := c.bootEnd(s, fmt.Sprintf("%s/left/%s", r.ID, b.ID))
		switch x.Detail = "not moved: " + e.Reason; {
		case c.state.decided(x.Event):
		case x.State == GuestLeftEnd:
			left = append(left, x)
		default:
			c.restartTo(x)
		}
	}
	c.leave(left, leftSingly)
}
