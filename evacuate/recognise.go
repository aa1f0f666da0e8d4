package evacuate

import (
	"fmt"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// FenceLink is one method of a host's chain, as this controller is configured.
type FenceLink struct {
	Method string `json:"method"`
	// Target is what the method commands, such as a BMC's address: what was found
	// of another target says nothing of this one.
	Target string `json:"target,omitempty"`
	// Own says that it acts through the host itself: it can hit no other machine.
	Own bool `json:"own,omitempty"`
	// Budget is how long it may take to a proof.
	Budget time.Duration `json:"budget,omitempty"`
	// Check is what this controller found last; the zero value is nothing.
	Check FenceCheck `json:"check,omitzero"`
}

// FenceCheck is what preflight found of one method, as the ledger keeps it.
type FenceCheck struct {
	Method string `json:"method"`
	Target string `json:"target,omitempty"`
	// At is when the BMC was asked which machine it switches, Machine what it said.
	At      time.Time      `json:"at,omitzero"`
	Machine fence.Identity `json:"machine,omitzero"`
	// Read is when its power was last read, in the time Took; Power and Cause are
	// what came of it. Zero: it was not, or by a former version.
	Read  time.Time     `json:"read,omitzero"`
	Power fence.Power   `json:"power,omitempty"`
	Cause fence.Cause   `json:"cause,omitempty"`
	Took  time.Duration `json:"took,omitempty"`
	// PoweredOn and ReadOff are when it last read on, and off, while the host's agent
	// lived.
	PoweredOn time.Time `json:"powered_on,omitzero"`
	ReadOff   time.Time `json:"read_off,omitzero"`
	// Expires is when the trust in its certificate ends; zero: it has none.
	Expires time.Time `json:"expires,omitzero"`
}

// With is what is known of a method by c and by o together.
func (c FenceCheck) With(o FenceCheck) FenceCheck {
	if o.At.After(c.At) {
		c.At, c.Machine = o.At, o.Machine
	}
	if o.Read.After(c.Read) {
		c.Read, c.Power, c.Cause, c.Took, c.Expires = o.Read, o.Power, o.Cause, o.Took, o.Expires
	}
	if o.PoweredOn.After(c.PoweredOn) {
		c.PoweredOn = o.PoweredOn
	}
	if o.ReadOff.After(c.ReadOff) {
		c.ReadOff = o.ReadOff
	}
	return c
}

// Lies says that it read off while the host's agent was heard, and not on since.
func (c FenceCheck) Lies() bool { return c.ReadOff.After(c.PoweredOn) }

// Past is c without what a clock that ran ahead has dated.
func (c FenceCheck) Past(now time.Time) FenceCheck {
	for _, at := range []*time.Time{&c.At, &c.Read, &c.PoweredOn, &c.ReadOff} {
		if at.After(now.Add(ClockSlack)) {
			*at = time.Time{}
		}
	}
	return c
}

// News says that c is worth an entry beside what the ledger knows: another finding,
// or the same after every.
func (c FenceCheck) News(known FenceCheck, every time.Duration) bool {
	old := func(a, b time.Time) bool { return a.Sub(b) > every }
	paced := c.Took-known.Took > known.Took/2+time.Second || known.Took-c.Took > c.Took/2+time.Second
	return c.Machine != known.Machine || old(c.At, known.At) || c.Power != known.Power || c.Cause != known.Cause || paced || old(c.Read, known.Read) ||
		!c.Expires.Equal(known.Expires) || c.Lies() != known.Lies() || old(c.PoweredOn, known.PoweredOn) || old(c.ReadOff, known.ReadOff)
}

// certificateEnds is how long before a certificate's end people are told: a rotation of
// many BMCs takes its time.
const certificateEnds = 30 * 24 * time.Hour

// faults are what ails a method that may still work on the day it is needed.
func (l LinkStanding) faults(now time.Time) []string {
	var out []string
	c := l.Check
	if c.Read.IsZero() {
		return nil
	}
	if c.Power != fence.On && !c.Lies() {
		out = append(out, fmt.Sprintf("it reads %s %s (%s ago)", c.Power, c.Cause, round(now.Sub(c.Read))))
	}
	if needs := fence.Needs(c.Took); c.Power == fence.On && l.Budget > 0 && needs > l.Budget {
		out = append(out, fmt.Sprintf("it takes %s for an answer: a proof takes some %s, and its budget is %s: raise `budget`", round(c.Took), round(needs), l.Budget))
	}
	if left := c.Expires.Sub(now); !c.Expires.IsZero() && left < certificateEnds {
		out = append(out, fmt.Sprintf("its certificate ends on %s, in %d days: it is not believed after that", c.Expires.UTC().Format(time.DateOnly), int(left/(24*time.Hour))))
	}
	return out
}

// Faults lists what ails the methods of a host's chain, by method; what shuts the gate
// fenceable is not repeated.
func Faults(standings []LinkStanding, now time.Time) []string {
	var out []string
	for _, l := range standings {
		for _, f := range l.faults(now) {
			out = append(out, l.Method+": "+f)
		}
	}
	return out
}

// Register knows which machine each host and each controller says to run on.
func (s *State) Register() *fence.Register {
	hosts, controllers := make(map[string]fence.Identity, len(s.Hosts)), map[string]fence.Identity{}
	for name, h := range s.Hosts {
		hosts[string(name)] = h.Machine
	}
	for id, c := range s.Controllers {
		controllers[id] = c.Machine
	}
	return fence.NewRegister(hosts, controllers)
}

// LinkStanding says whether a method may be used on its host without a person.
type LinkStanding struct {
	FenceLink
	fence.Recognition
	// Asked says that its BMC has ever been asked.
	Asked  bool `json:"asked"`
	Usable bool `json:"usable"`
}

// line is the standing for a person.
func (l LinkStanding) line(now time.Time) string {
	word := string(l.Match)
	if !l.Usable {
		word += ", not used"
	}
	text := fmt.Sprintf("%s %s: %s", l.Target, word, l.Why)
	if l.Asked {
		text += fmt.Sprintf(" (read %s ago)", round(now.Sub(l.Check.At)))
	}
	c := l.Check
	if !c.Read.IsZero() {
		text += fmt.Sprintf("; power %s%s in %s, %s ago", c.Power, spaced(string(c.Cause)), c.Took.Round(10*time.Millisecond), round(now.Sub(c.Read)))
	}
	if !c.Expires.IsZero() {
		text += fmt.Sprintf("; certificate until %s", c.Expires.UTC().Format(time.DateOnly))
	}
	return text
}

func spaced(s string) string {
	if s == "" {
		return ""
	}
	return " " + s
}

// Standings judges each link of a host's chain by the newest check of its target.
func Standings(host nova.HostName, h *Host, f Fencing, reg *fence.Register) []LinkStanding {
	out := make([]LinkStanding, 0, len(f.Links))
	for _, l := range f.Links {
		out = append(out, standing(host, h, f, l, reg))
	}
	return out
}

func standing(host nova.HostName, h *Host, f Fencing, l FenceLink, reg *fence.Register) LinkStanding {
	if h != nil {
		for _, c := range h.Checks {
			if c.Method == l.Method && c.Target == l.Target {
				l.Check = l.Check.With(c)
			}
		}
	}
	x := LinkStanding{FenceLink: l, Asked: !l.Check.At.IsZero()}
	switch {
	case l.Own:
		x.Match, x.Why, x.Usable = fence.Same, "it acts through the host itself", true
		return x
	case !x.Asked:
		x.Match, x.Why = fence.Unreadable, "it was not asked yet which machine it switches"
	default:
		x.Recognition = reg.Recognise(string(host), l.Check.Machine)
	}
	if x.Controller != "" && x.Controller != f.Controller {
		x.Why = fmt.Sprintf("it switches the machine that controller %s runs on, and `hosts[].controller` does not say so", x.Controller)
		return x
	}
	if l.Check.Lies() {
		x.Why = "it read off while its host's agent was heard: it lies, or switches another machine; " + x.Why
		return x
	}
	if d := h.drilled(l); x.Match == fence.Unreadable && d != nil {
		x.Why, x.Usable = fmt.Sprintf("drilled by %s on %s; %s", d.By, d.At.UTC().Format(time.DateOnly), x.Why), true
		return x
	}
	x.Usable = x.Match == fence.Same
	return x
}

// askIdentity: a BMC of another machine would switch off a healthy host. One that
// is known to be wrong shuts the gate whatever else the chain has: its inventory is.
func (q question) askIdentity(f Fencing) (Standing, string) {
	reg := q.world.register
	if reg == nil {
		reg = q.state.Register()
	}
	var good, bad []string
	standings := Standings(q.host, q.state.Hosts[q.host], f, reg)
	for _, l := range standings {
		line := l.Method + ": " + l.Why
		age, on := q.world.Now.Sub(l.Check.At), q.world.Now.Sub(l.Check.PoweredOn)
		switch {
		case l.Match == fence.Different || l.Controller != "" && !l.Usable || l.Check.Lies():
			return Held, line
		case l.Usable && !l.Own && age > q.policy.Fenceable:
			bad = append(bad, fmt.Sprintf("%s: which machine it switches was last read %s ago, %s is the limit", l.Method, round(age), q.policy.Fenceable))
		case l.Usable && !l.Check.Read.IsZero() && on > q.policy.Fenceable:
			bad = append(bad, fmt.Sprintf("%s: it has not read on with a living agent within %s", l.Method, q.policy.Fenceable))
		case l.Usable:
			good = append(good, line)
		default:
			bad = append(bad, line)
		}
	}
	if standing, why := q.askQuorum(f); standing == Held {
		return Held, why
	}
	switch {
	case len(good) == 0:
		return Held, strings.Join(bad, "; ")
	case len(bad) > 0:
		return Warns, strings.Join(good, ", then ") + "; left out: " + strings.Join(bad, "; ")
	}
	if ill := Faults(standings, q.world.Now); len(ill) > 0 {
		return Warns, strings.Join(good, ", then ") + "; " + strings.Join(ill, "; ")
	}
	return Met, strings.Join(good, ", then ")
}

// FenceAnswer is the gate's answer for a host, and what each of its methods is worth.
type FenceAnswer struct {
	Answer
	Methods []LinkStanding
	Storage *StorageTest
}

// Fenceable answers the gate fenceable at any time, for the hosts named, else for each:
// what would be on the day it dies. w needs Now, Leader, Network and Fencing.
func Fenceable(s *State, w World, p Policy, hosts ...nova.HostName) map[nova.HostName]FenceAnswer {
	w.register = s.Register()
	if len(hosts) == 0 {
		hosts = s.HostNames()
	}
	out := make(map[nova.HostName]FenceAnswer, len(hosts))
	for _, name := range hosts {
		standing, why := askFenceable(question{point: AtDecide, host: name, state: s, world: &w, policy: p})
		out[name] = FenceAnswer{Answer{GateFenceable, standing != Held, standing, why}, Standings(name, s.Hosts[name], w.Fencing[name], w.register), w.Fencing[name].StorageCheck}
	}
	return out
}

// askQuorum: a host that a controller runs on takes a vote with it. Another one
// must act, and a majority must remain.
func (q question) askQuorum(f Fencing) (Standing, string) {
	n := q.world.Network
	left := 0
	for _, id := range n.Reporting {
		if id != f.Controller {
			left++
		}
	}
	switch {
	case f.Controller == "":
		return Met, ""
	case q.world.Leader.ID == f.Controller:
		return Held, fmt.Sprintf("controller %s, which leads, runs on it: another must act", f.Controller)
	case left <= n.Voters/2:
		return Held, fmt.Sprintf("controller %s runs on it, and without that one %d of %d controllers report: no quorum", f.Controller, left, n.Voters)
	}
	return Met, ""
}
