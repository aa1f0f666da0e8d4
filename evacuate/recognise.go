package evacuate

import (
	"fmt"
	"slices"
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
}

// Drill is a power-off and on of a host that its agent's silence confirmed: the
// method switches this machine, whatever it says.
type Drill struct {
	Method string    `json:"method"`
	Target string    `json:"target,omitempty"`
	By     string    `json:"by"`
	At     time.Time `json:"at"`
	// BMC and Machine are what both said then: another word voids the drill.
	BMC     fence.Identity `json:"bmc,omitzero"`
	Machine fence.Identity `json:"machine,omitzero"`
	// Boot is the one that ended, Next the one that the host came back with.
	Boot string `json:"boot"`
	Next string `json:"next"`
	// Silent is from the command to the last heartbeat of Boot, Off to the second
	// reading of off, On from power-on to the first heartbeat of Next.
	Silent time.Duration `json:"silent"`
	Off    time.Duration `json:"off"`
	On     time.Duration `json:"on"`
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
	if l.Asked {
		return fmt.Sprintf("%s %s: %s (read %s ago)", l.Target, word, l.Why, round(now.Sub(l.Check.At)))
	}
	return fmt.Sprintf("%s %s: %s", l.Target, word, l.Why)
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
			if c.Method == l.Method && c.Target == l.Target && c.At.After(l.Check.At) {
				l.Check = c
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
	if d := h.drilled(l); x.Match == fence.Unreadable && d != nil {
		x.Why, x.Usable = fmt.Sprintf("drilled by %s on %s; %s", d.By, d.At.UTC().Format(time.DateOnly), x.Why), true
		return x
	}
	x.Usable = x.Match == fence.Same
	return x
}

// drilled is the drill of a link that still speaks for it, nil if there is none.
func (h *Host) drilled(l FenceLink) *Drill {
	if h == nil {
		return nil
	}
	for i := range h.Drills {
		d := &h.Drills[i]
		if d.Method == l.Method && d.Target == l.Target && d.BMC == l.Check.Machine && d.Machine == h.Machine {
			return d
		}
	}
	return nil
}

// askIdentity: a BMC of another machine would switch off a healthy host. One that
// is known to be wrong shuts the gate whatever else the chain has: its inventory is.
func (q question) askIdentity(f Fencing) (Standing, string) {
	reg := q.world.register
	if reg == nil {
		reg = q.state.Register()
	}
	var good, bad []string
	for _, l := range Standings(q.host, q.state.Hosts[q.host], f, reg) {
		line := l.Method + ": " + l.Why
		age := q.world.Now.Sub(l.Check.At)
		switch {
		case l.Match == fence.Different || l.Controller != "" && !l.Usable:
			return Held, line
		case l.Usable && !l.Own && age > q.policy.Fenceable:
			bad = append(bad, fmt.Sprintf("%s: which machine it switches was last read %s ago, %s is the limit", l.Method, round(age), q.policy.Fenceable))
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
	return Met, strings.Join(good, ", then ")
}

// Fenceable answers the gate fenceable for each host at any time: what would be on
// the day it dies. w needs Now, Leader, Network and Fencing.
func Fenceable(s *State, w World, p Policy) map[nova.HostName]Answer {
	w.register = s.Register()
	out := make(map[nova.HostName]Answer, len(s.Hosts))
	for name := range s.Hosts {
		standing, why := askFenceable(question{point: AtDecide, host: name, state: s, world: &w, policy: p})
		out[name] = Answer{GateFenceable, standing != Held, standing, why}
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

// drills takes a drill in, in place of what it was before.
func (s *State) drills(e Entry) error {
	h := s.Hosts[e.Host]
	if h == nil {
		return fmt.Errorf("no host %q", e.Host)
	}
	d := *e.Drill
	h.Drills = slices.DeleteFunc(h.Drills, func(o Drill) bool { return o.Method == d.Method && o.Target == d.Target })
	h.Drills = append(h.Drills, d)
	if n := len(h.Drills); n > keepDrills {
		h.Drills = slices.Delete(h.Drills, 0, n-keepDrills)
	}
	s.journal(e, "fence drill of %s by %s: off after %s, silent after %s, heard again %s after power-on", e.Host, d.Method, round(d.Off), round(d.Silent), round(d.On))
	return nil
}

// keepDrills bounds what is remembered of a host.
const keepDrills = 8
