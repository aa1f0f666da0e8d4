package evacuate

import (
	"strings"

	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// verbOfModes plays what operators say about modes, plans and recoveries.
func (c *cloud) verbOfModes(f []string, host nova.HostName, arg func(int) string) error {
	switch f[0] {
	case "mode":
		e := Entry{Kind: KindMode, Word: arg(1)}
		switch arg(2) {
		case "host":
			e.Host = nova.HostName(arg(3))
		case "aggregate":
			e.Aggregate = arg(3)
		}
		return c.operator(e)
	case "aggregate":
		if c.aggregates == nil {
			c.aggregates = map[nova.HostName][]string{}
		}
		for _, h := range f[2:] {
			c.aggregates[nova.HostName(h)] = append(c.aggregates[nova.HostName(h)], arg(1))
		}
	case "drain":
		return c.operator(Entry{Kind: KindDrain, Flag: true, Text: strings.Join(f[1:], " ")})
	case "undrain":
		return c.operator(Entry{Kind: KindDrain})
	case "maintenance":
		return c.operator(Entry{Kind: KindHostMaintenance, Host: host, Flag: arg(2) != "off"})
	case "approve":
		ids := make([]PlanID, 0, len(f)-1)
		for _, id := range f[1:] {
			ids = append(ids, PlanID(id))
		}
		if err := CheckApproval(ids, c.state, c.world(), c.policy); err != nil {
			c.say("REFUSED %v", err)
			return nil
		}
		return c.operator(Entry{Kind: KindPlanApprove, PlanIDs: ids})
	case "approve-any":
		for _, p := range c.state.Plans {
			if p.Status == PlanWaiting {
				return c.verb([]string{"approve", string(p.ID)})
			}
		}
	case "confirm":
		return c.confirm(host, orWord(arg(2), arg(1)))
	case "reject":
		return c.operator(Entry{Kind: KindPlanEnd, PlanIDs: []PlanID{PlanID(arg(1))}, Word: string(PlanRejected), Text: strings.Join(f[2:], " ")})
	case "again":
		return c.operator(Entry{Kind: KindPlanEnd, PlanIDs: []PlanID{PlanID(arg(1))}, Word: string(PlanWithdrawn), Text: "asked again"})
	case "score":
		return c.operator(Entry{Kind: KindShadowScore, Shadow: &ShadowDecision{ID: arg(1), Score: Score(arg(2)), Why: strings.Join(f[3:], " ")}})
	case "end":
		r := c.recovery(host)
		if err := c.operator(Entry{Kind: KindClose, Recovery: r.ID, Word: OutcomeForgotten, Host: nova.HostName(arg(2)), Flag: arg(2) != ""}); err != nil {
			return nil // the refusal stands in the log
		}
		for _, l := range r.Left {
			c.say("left    %s", l)
		}
	case "relist":
		_ = c.operator(Entry{Kind: KindRelist, Recovery: c.recovery(host).ID, Text: "to be listed again: it was mended"})
	case "turns-up": // server, host, state: it is written there by now
		on := c.host(nova.HostName(arg(2)))
		c.addServer(nova.ServerID(arg(1)), on.name, orWord(arg(3), nova.VMActive), c.start)
		if !on.up {
			clear(on.guests)
		}
	case "lists":
		c.restless = arg(1) != "agree"
	case "storage":
		c.hook, c.hookFate = true, f[1:]
	case "cancel":
		_ = c.operator(Entry{Kind: KindCancel, Recovery: c.recovery(host).ID, Text: "a mistake"})
	default:
		return c.verbOfStates(f, arg)
	}
	return nil
}

// confirm gives a person's word, as the API's command does.
func (c *cloud) confirm(host nova.HostName, typed string) error {
	word := fence.Word{By: "ann", Reason: "its plugs are pulled", Typed: typed}
	confirmed, err := Confirm(host, word, c.state, c.world(), c.policy)
	if err != nil {
		c.say("REFUSED %v", err)
		return nil
	}
	return c.operator(Entry{Kind: KindConfirmDead, Host: host, Confirm: confirmed, Term: c.term, Text: word.Reason})
}

// describeAsked tells how a host's newest plan, or a shadow decision, stands.
func (c *cloud) describeAsked(what, name string) string {
	got := "none"
	for _, p := range c.state.Plans {
		if what == "plan" && string(p.Host) == name {
			got = string(p.ID) + " " + string(p.Status)
		}
	}
	for _, d := range c.state.Shadow {
		if what == "shadow" && string(d.Host) == name {
			got = d.ID + " " + orWord(string(d.Score), "pending")
		}
	}
	return got
}
