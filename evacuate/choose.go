package evacuate

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// Do is what becomes of an instance of a fenced host.
type Do string

// What may become of one. The last three say why.
const (
	DoMove  Do = "move"
	DoReset Do = "reset" // to state error first: from its own Nova evacuates nothing
	DoLook  Do = "look"  // it was on its way to another host: both ends are read first
	DoLeave Do = "leave"
)

// Choice is what becomes of one instance, and why.
type Choice struct {
	Do     Do
	Reason string
}

// Restartable are the states that policy.restart may name. Nova evacuates them
// only out of error, to which they must be reset, and starts them anew: what was in
// their memory is lost, and a rescue is undone.
var Restartable = []string{nova.VMPaused, nova.VMSuspended, nova.VMRescued}

// Choose says what becomes of a server on a fenced host. It follows what Nova's API
// accepts (nova/compute/api.py, evacuate) and what is safe for its disk and for
// whatever else Nova was doing with it; docs/evacuation.md has the table. restart
// are the states that the operator wants reset.
func Choose(s nova.Server, storage Storage, restart []string) Choice {
	leave := func(format string, args ...any) Choice { return Choice{DoLeave, fmt.Sprintf(format, args...)} }
	if s.TaskState == nova.TaskDeleting || s.TaskState == nova.TaskSoftDeleting {
		return leave("being deleted")
	}
	choice := Choice{Do: DoMove}
	switch {
	case s.VMState == nova.VMBuilding || s.LaunchedAt.IsZero() && movable[s.VMState]:
		return leave("it never booted: Nova evacuates nothing that was never launched")
	case movable[s.VMState]:
	case slices.Contains(Restartable, s.VMState) && slices.Contains(restart, s.VMState):
		choice = Choice{DoReset, fmt.Sprintf("was %s: it is reset to error, evacuated, and started anew", s.VMState)}
	case slices.Contains(Restartable, s.VMState):
		return leave("state %s: Nova evacuates only active, stopped and error; policy.restart would have it started anew elsewhere", s.VMState)
	case s.VMState == nova.VMResized:
		return leave("state resized: it waits for its resize to be confirmed or reverted, which needs this host; reset it to error by hand and evacuate it, or wait for the host")
	default:
		return leave("state %s: Nova evacuates only active, stopped and error", s.VMState)
	}
	if why := lasting(s, storage); why != "" {
		return leave("%s", why)
	}
	switch {
	case s.TaskState == nova.TaskMigrating:
		return Choice{DoLook, "held: it was being live-migrated and may run on the other host; look at both ends"}
	case s.TaskState == nova.TaskResizePrep:
		return Choice{DoLook, "held: it was being resized; look at both ends"}
	case strings.HasPrefix(s.TaskState, "resize_"):
		return leave("held: it was being resized, its disk may be half moved")
	}
	return choice
}

// movable are the states that Nova evacuates.
var movable = map[string]bool{nova.VMActive: true, nova.VMStopped: true, nova.VMError: true}

// Plan makes the journals of a host's servers, in the order in which they are moved.
// Protected says which are to be recovered, and why.
func Plan(servers []nova.Server, storage Storage, before []Instance, p Policy, protected func(nova.Server) (bool, string)) []*Evacuation {
	servers = slices.Clone(servers)
	slices.SortFunc(servers, func(a, b nova.Server) int {
		if x, y := p.Order.Priority(a), p.Order.Priority(b); x != y {
			return y - x
		}
		if x, y := a.Size().RAMMiB, b.Size().RAMMiB; x != y {
			return y - x
		}
		return strings.Compare(a.Name+string(a.ID), b.Name+string(b.ID))
	})
	plan := make([]*Evacuation, 0, len(servers))
	for _, s := range servers {
		e := &Evacuation{Server: s.ID, Name: s.Name, VMState: s.VMState, State: EvacPlanned}
		e.rank(s, p.Order)
		for _, b := range before {
			if b.ID == s.ID {
				e.VMState = b.VMState // as it was before anything
			}
		}
		if yes, why := protected(s); !yes {
			e.State, e.Reason = EvacSkipped, "not protected: "+why
		} else {
			e.choose(first(s, Choose(s, storage, p.Restart)))
			e.Revisit = e.State == EvacSkipped && mendable(s)
		}
		plan = append(plan, e)
	}
	return plan
}

// first has the rows of one in error read before it is moved: a live migration may have
// left it so, running at the other end.
func first(s nova.Server, c Choice) Choice {
	if c.Do == DoMove && s.VMState == nova.VMError {
		return Choice{DoLook, "in error: its live migrations are read first"}
	}
	return c
}

// choose writes a choice down.
func (e *Evacuation) choose(c Choice) {
	e.State, e.Reason, e.Reset = EvacPlanned, c.Reason, ""
	switch c.Do {
	case DoMove:
	case DoReset:
		e.Reset = ResetNeeded
	case DoLook:
		e.State = EvacHeld
	case DoLeave:
		e.State = EvacSkipped
	}
}
