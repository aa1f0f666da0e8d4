package evacuate

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

const (
	// endFresh is the greatest age of an end that is still acted on: later its owner or
	// Nova may have seen to it.
	endFresh = 5 * time.Minute
	// endTogether is how far apart several words for one end may be: a panic is told
	// twice.
	endTogether = 10 * time.Second
	// restartMost is how long Nova may take to stop or start an instance.
	restartMost = 3 * time.Minute
	// bootMost is how long a rebooted host may take until its nova-compute is up, and
	// Nova knows that its instances are down.
	bootMost = 20 * time.Minute
	// restartsAtOnce bounds the restarts under way on one host.
	restartsAtOnce = 4
	// restartsPerHost is how many instances of one host are restarted in an hour for ends
	// of their own: more are an illness of the host's, which restarts do not heal.
	restartsPerHost = 10
)

// tendRestarts decides on each end that was told, and carries on what was decided.
func (c *Core) tendRestarts() {
	c.decideEnds()
	open := slices.DeleteFunc(slices.Clone(c.state.GuestRestarts), func(x GuestRestart) bool { return !x.Open() })
	slices.SortStableFunc(open, func(a, b GuestRestart) int {
		return cmp.Or(b.Priority-a.Priority, b.RAMMiB-a.RAMMiB, a.At.Compare(b.At))
	})
	busy := map[nova.HostName]int{}
	for _, x := range open {
		if x.acted() {
			busy[x.Host]++
			c.restartOn(x)
		}
	}
	for _, x := range open {
		if busy[x.Host] < restartsAtOnce && !x.acted() {
			busy[x.Host]++
			c.restartOn(x)
		}
	}
}

// undecided says why an end can't be judged yet, "" if it can or it is too old.
func (c *Core) undecided(end detector.GuestEvent) string {
	_, listed := c.world.Servers[end.Host]
	v := c.world.Verdicts[end.Host].State
	switch {
	case c.policy.Restarts.Crashed != RestartDo || c.world.Now.Sub(end.At) > endFresh || c.state.Open(end.Host) != nil:
	case !listed:
		return "Nova has not listed its host's instances yet"
	case !v.Lives() && v != detector.Maintenance:
		return fmt.Sprintf("its host is %s", v)
	}
	return ""
}

// toldBefore says that an end is another word for one that is known by an instance's journals.
func (c *Core) toldBefore(end detector.GuestEvent, journals []GuestRestart) bool {
	return slices.ContainsFunc(journals, func(x GuestRestart) bool {
		return x.Host == end.Host && (x.Open() || x.acted() && end.At.Before(x.Ended) ||
			end.At.Sub(x.At).Abs() < endTogether && (x.Cause == end.Kind || slices.Contains(c.policy.Restarts.Kinds, x.Cause)))
	})
}

// leftAlone says why nothing is done about an end, "" if the instance is restarted.
func (c *Core) leftAlone(x GuestRestart) string {
	p := c.policy.Restarts
	s, listed := c.listedAt(x.Host, x.Server)
	v := c.world.Verdicts[x.Host].State
	switch {
	case p.Crashed != RestartDo:
		return "policy.guests.crashed is " + string(p.Crashed)
	case !slices.Contains(p.Kinds, x.Cause):
		return fmt.Sprintf("policy.guests.kinds does not name %s", x.Cause)
	case !v.Lives():
		return fmt.Sprintf("%s is %s", x.Host, v)
	case c.manyErrors(x):
		return fmt.Sprintf("the storage of more than %d instances fails at once: restarts would not heal that", errorsMost)
	case c.world.Now.Sub(x.At) > endFresh:
		return fmt.Sprintf("it was told %s late", round(c.world.Now.Sub(x.At)))
	case !listed:
		return "Nova did not list it on " + string(x.Host)
	}
	if why := c.forbidsRestart(x); why != "" {
		return why
	}
	if yes, why := c.policy.restartable(s, c.world.Nova.Aggregates); !yes {
		return why
	}
	return c.tooOften(x)
}

// forbidsRestart is what a person, or what is done with its host, has against it.
func (c *Core) forbidsRestart(x GuestRestart) string {
	if why := c.state.noRestart(x, c.world.Now); why != "" {
		return why
	}
	m := c.mode(x.Host)
	switch {
	case c.world.Frozen != "":
		return "frozen by a local file: " + c.world.Frozen
	case m.Mode != ModeAuto:
		return "mode is " + m.String()
	}
	return ""
}

// holdsRestart is what stands against a request at this instant, and may pass.
func (c *Core) holdsRestart(x GuestRestart) string {
	if why := c.forbidsRestart(x); why != "" {
		return why
	}
	switch v := c.world.Verdicts[x.Host].State; {
	case !v.Lives() && v != detector.Rebooted:
		// What waits in a dead host's queue would start a second copy as it returns.
		return fmt.Sprintf("%s is %s", x.Host, v)
	case c.world.Cloud.Condition != "" && c.world.Cloud.Condition != detector.Normal:
		return fmt.Sprintf("the cloud's condition is %s", c.world.Cloud.Condition)
	}
	return ""
}

// tooOften says that an instance, or its host, has been at this too often.
func (c *Core) tooOften(x GuestRestart) string {
	its, host := 0, 0
	for _, o := range c.state.GuestRestarts {
		if !o.acted() || o.Event == x.Event {
			continue
		}
		age := x.At.Sub(o.At)
		if o.Server == x.Server && age < c.policy.Restarts.Within {
			its++
		}
		if o.Host == x.Host && o.Cause != detector.GuestRebooted && age < time.Hour {
			host++
		}
	}
	switch {
	case its >= c.policy.Restarts.Limit:
		return fmt.Sprintf("it was restarted %d times within %s already", its, c.policy.Restarts.Within)
	case x.Cause != detector.GuestRebooted && host >= restartsPerHost:
		return fmt.Sprintf("%d instances of %s were restarted within an hour: look at the host", host, x.Host)
	}
	return ""
}

func (c *Core) restartTo(x GuestRestart) {
	if !x.Open() && x.Ended.IsZero() {
		x.Ended = c.world.Now
	}
	c.commit(Entry{Kind: KindRestart, Host: x.Host, GuestRestart: &x})
}

// waitedFor says that one which waits to be begun has waited long enough.
func (c *Core) waitedFor(x GuestRestart) bool {
	if x.Cause == detector.GuestRebooted {
		return c.world.Now.Sub(x.At) > bootMost
	}
	return c.world.Now.Sub(x.At) > endFresh
}

// restartOn carries one on.
func (c *Core) restartOn(x GuestRestart) {
	if why := c.holdsRestart(x); why != "" && x.State == GuestPlannedEnd {
		if c.waitedFor(x) {
			x.State, x.Reason = GuestLeftEnd, why
			c.restartTo(x)
		}
		return
	}
	look, seen := c.guests[x.Server]
	if !seen || c.world.Now.Sub(look.at) >= lookEvery {
		c.startGuest(x, StepLookGuest)
	}
	if !seen || c.busy(flightKey{step: StepStopGuest, server: x.Server}) || c.busy(flightKey{step: StepStartGuest, server: x.Server}) || c.world.Now.Sub(look.at) > lookFresh {
		return
	}
	switch x.State {
	case GuestPlannedEnd:
		c.beginRestart(x, look)
	case GuestStoppingEnd:
		c.stopped(x, look)
	case GuestStartingEnd:
		c.started(x, look)
	case GuestDoneEnd, GuestFailedEnd, GuestLeftEnd:
	}
}

// guestLook is one read of an instance.
type guestLook struct {
	at     time.Time // not later than the read
	server nova.Server
	gone   bool
}

// guestDown says that nothing of the instance runs on its host, by whoever can know.
func (c *Core) guestDown(x GuestRestart, s nova.Server) bool {
	if g := c.world.Guests; g.Tells(x.Host) {
		return !slices.Contains(g.Running[x.Server], x.Host) && !slices.Contains(g.Paused[x.Server], x.Host)
	}
	return s.VMState == nova.VMStopped || s.PowerState == nova.PowerShutdown || s.PowerState == nova.PowerCrashed
}

// beginRestart sends the stop, or the start where Nova has seen the end itself.
func (c *Core) beginRestart(x GuestRestart, look guestLook) {
	if why := c.endsOtherwise(x, look); why != "" {
		x.State, x.Reason = GuestLeftEnd, why
		c.restartTo(x)
		return
	}
	s, up := look.server, c.world.Nova.Services[x.Host].State == nova.StateUp
	if !up || s.TaskState != "" || !c.guestDown(x, s) && !x.Cause.Lasts() {
		if c.waitedFor(x) {
			x.State = GuestLeftEnd
			x.Reason = fmt.Sprintf("nova-compute on %s is up: %t; its task is %s; it is known to be down: %t", x.Host, up, orWord(s.TaskState, "none"), c.guestDown(x, s))
			c.restartTo(x)
		}
		return
	}
	if s.VMState == nova.VMStopped {
		c.sendStart(x)
		return
	}
	x.State, x.Stop = GuestStoppingEnd, c.world.Now
	c.restartTo(x)
	c.startGuest(x, StepStopGuest)
}

// endsOtherwise says why nothing is to be done about an instance any more, "" if
// something is.
func (c *Core) endsOtherwise(x GuestRestart, look guestLook) string {
	s, g := look.server, c.world.Guests
	switch {
	case look.gone:
		return deletedMeanwhile
	case s.Host != x.Host:
		return "it is on " + orWord(string(s.Host), "no host")
	case len(g.Elsewhere(x.Server, x.Host)) > 0:
		return "it runs on " + named(g.Elsewhere(x.Server, x.Host))
	case s.VMState != nova.VMActive && s.VMState != nova.VMStopped:
		return "Nova calls it " + s.VMState
	case x.Cause == detector.GuestIOError && s.VMState == nova.VMStopped:
		return "somebody has stopped it"
	case x.Cause.Lasts():
		// It may run all the while, and is stopped first.
	case g.Tells(x.Host) && slices.Contains(g.Running[x.Server], x.Host) && c.world.Now.Sub(x.At) > endTogether:
		return "it runs again already"
	}
	return ""
}

func (c *Core) sendStart(x GuestRestart) {
	x.State, x.Start = GuestStartingEnd, c.world.Now
	c.restartTo(x)
	c.startGuest(x, StepStartGuest)
}

// stopped waits for Nova to call it stopped, and sends the start.
func (c *Core) stopped(x GuestRestart, look guestLook) {
	s := look.server
	if !look.at.After(x.Stop) {
		return // read before the stop was promised
	}
	down := s.VMState == nova.VMStopped && s.TaskState == ""
	switch why := c.holdsRestart(x); {
	case look.gone || s.Host != x.Host:
		c.restartFails(x, "deleted or moved meanwhile")
	case down && why == "" && c.guestDown(x, s):
		c.sendStart(x)
	case down && c.world.Now.Sub(x.Stop) > endFresh:
		c.restartFails(x, "stopped, and not started: "+cmp.Or(why, "libvirt has it still"))
	case down:
		// What holds it may pass.
	case s.VMState != nova.VMActive && s.VMState != nova.VMStopped:
		c.restartFails(x, "Nova calls it "+s.VMState)
	case c.world.Now.Sub(x.Stop) > restartMost:
		c.restartFails(x, fmt.Sprintf("Nova did not stop it within %s; the request is not repeated", restartMost))
	}
}

// started waits until it runs.
func (c *Core) started(x GuestRestart, look guestLook) {
	s := look.server
	if !look.at.After(x.Start) {
		return
	}
	g := c.world.Guests
	runs := !g.Tells(x.Host) || slices.Contains(g.Running[x.Server], x.Host)
	switch {
	case look.gone || s.Host != x.Host:
		c.restartFails(x, "deleted or moved meanwhile")
	case s.VMState == nova.VMActive && s.TaskState == "" && runs:
		x.State = GuestDoneEnd
		c.restartTo(x)
	case s.VMState == nova.VMError:
		c.restartFails(x, "Nova calls it error"+because(s.Fault))
	case c.world.Now.Sub(x.Start) > restartMost:
		c.restartFails(x, fmt.Sprintf("it does not run %s after its start was asked for; the request is not repeated", restartMost))
	}
}

func (c *Core) restartFails(x GuestRestart, why string) {
	x.State, x.Reason = GuestFailedEnd, why
	c.restartTo(x)
}

// startGuest sends an action of a restart off; its Reason is the event.
func (c *Core) startGuest(x GuestRestart, step Step) {
	c.launchOn(Action{Host: x.Host, Server: x.Server, Step: step, Reason: x.Event})
}

// guestDone takes an outcome of a restart's action.
func (c *Core) guestDone(o Outcome, began time.Time) {
	x := c.state.guestRestart(o.Action.Reason)
	if x == nil || !x.Open() {
		return
	}
	n := *x
	switch {
	case o.Action.Step == StepLookGuest:
		if o.Seen != nil {
			s := o.Seen.Moved[n.Server]
			c.guests[n.Server] = guestLook{at: began, server: s, gone: o.Seen.Gone[n.Server]}
		}
	case o.OK:
		n.RequestID = o.RequestID
		c.restartTo(n)
	case o.Definite && o.Cause == string(nova.FaultConflict):
		// Nova is at it itself: what it comes to is read.
	case o.Definite:
		c.restartFails(n, fmt.Sprintf("%s: %s", o.Action.Step, o.Detail))
	}
}
