package evacuate

import (
	"fmt"
	"time"
)

// ClockSlack is how far controllers' clocks may differ where a time that one of
// them wrote is read by another.
const ClockSlack = 5 * time.Minute

// askFenceable: a fencing that was never seen to work is found out on the day
// it matters. Without a method nothing is fenced: not configured is closed.
func askFenceable(q question) (Standing, string) {
	f, ok := q.world.Fencing[q.host]
	switch {
	case !ok || len(f.Methods) == 0:
		return Held, "no fencing method is configured"
	case f.Refused != "":
		return Held, f.Refused
	}
	identity, machine := q.askIdentity(f)
	if identity == Held {
		return identity, machine
	}
	on, off := Powered(f, q.state.Hosts[q.host])
	if on.IsZero() {
		return Held, "its BMC has never read on while its agent was heard" + because(f.Last)
	}
	if off.After(on) {
		return Held, "its BMC read off while its agent was heard: it lies, or belongs to another machine" + because(f.Last)
	}
	age := q.world.Now.Sub(on)
	if age < -ClockSlack {
		return Held, fmt.Sprintf("its BMC's last on stands %s in the future: a controller's clock is or was wrong", round(-age))
	}
	if age > q.policy.Fenceable {
		return Held, fmt.Sprintf("its BMC last read on with a living agent %s ago, %s is the limit%s", round(age), q.policy.Fenceable, because(f.Last))
	}
	if f.Within > 0 {
		machine += fmt.Sprintf("; proven within %s, or held", f.Within)
	}
	machine += f.sayHands(q.world, q.policy)
	if ill := f.sayStorage(q.policy, q.world.Now); ill != "" {
		return Warns, machine + ill
	}
	return identity, machine
}

// Powered is when a BMC last read on, and off, while its host's agent lived, as
// this controller and those before it saw.
func Powered(f Fencing, h *Host) (on, off time.Time) {
	on, off = f.PoweredOn, f.ReadOff
	if h != nil && h.PoweredOn.After(on) {
		on = h.PoweredOn
	}
	if h != nil && h.ReadOff.After(off) {
		off = h.ReadOff
	}
	return on, off
}

func askConcurrency(q question) (Standing, string) {
	n, beside := 0, ""
	waiting := 0
	for _, r := range q.state.Recoveries {
		switch {
		case r.Status != StatusOpen:
		case q.state.blocked(r, q.world.Now, q.policy):
			waiting++
		default:
			n++
		}
	}
	if waiting > 0 {
		beside = fmt.Sprintf("; %d more can do nothing but wait", waiting)
	}
	if n >= q.policy.Concurrency {
		return Held, fmt.Sprintf("%d recoveries are under way, %d allowed%s", n, q.policy.Concurrency, beside)
	}
	return Met, fmt.Sprintf("%d recoveries under way, %d allowed%s", n, q.policy.Concurrency, beside)
}
