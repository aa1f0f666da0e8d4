package evacuate

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// ReservePrefix starts the disabled_reason of a host that is kept for failures: an
// operator's mark, without which a host that the configuration reserves is left alone.
const ReservePrefix = "reserved"

// Reserve is a host that was enabled because room was short.
type Reserve struct {
	Host nova.HostName `json:"host"`
	// Reason is its disabled_reason before, and after.
	Reason string `json:"reason"`
	// Joins are the aggregates that it joins for the time, by policy.
	Joins []Join `json:"joins,omitempty"`
	// Set says that it was seen enabled, Back that it was put back; Failed why it could
	// not be enabled: then it is put back at once.
	Set    bool   `json:"set,omitempty"`
	Back   bool   `json:"back,omitempty"`
	Failed string `json:"failed,omitempty"`
}

// Join is a host aggregate of Nova that a host joins for a time.
type Join struct {
	ID   int    `json:"id"`
	Name string `json:"name"`
}

// reserveTries is how long the enabling of a reserved host may fail before another one is
// taken.
const reserveTries = 30 * time.Second

// reserveAfter is how long room must be short: what is on its way elsewhere, or a look
// at Placement that is a few seconds old, is no reason.
const reserveAfter = 5 * time.Second

// reserve enables the next reserved host if one would take what waits for room. One at
// a time: what it brings is seen before another one is taken.
func (c *Core) reserve(short []turn) {
	if len(short) == 0 {
		delete(c.first, "room is short")
		return
	}
	if c.since("room is short") < reserveAfter {
		return
	}
	for _, r := range c.state.Recoveries {
		for _, x := range r.Reserves {
			if !x.Set && !x.Back && x.Failed == "" {
				return // one is on its way
			}
		}
	}
	f := c.world.filters()
	for _, host := range c.world.Reserved {
		svc := c.world.Nova.Services[host]
		for _, t := range short {
			joins, ok := c.joins(host, t.r)
			if !ok || !waiting(t.e) || t.e.NoHost && !c.serves(host, t.r, joins) || !c.reservable(host, t.r) || !f.serve(t, host, c.world.Rooms.By[host].Left) {
				continue
			}
			x := Reserve{Host: host, Reason: svc.DisabledReason, Joins: joins}
			text := fmt.Sprintf("room is short: the reserved host %s (%q) is enabled", host, x.Reason)
			if len(joins) > 0 {
				text += ", and joins " + nameJoins(joins)
			}
			c.commit(Entry{Kind: KindReserve, Recovery: t.r.ID, Reserve: &x, Text: text})
			return
		}
	}
}

// serve says that a reserved host has room for one and what else it asks for, without what
// aggregates say: the host may join them.
func (f *filters) serve(t turn, host nova.HostName, left nova.Size) bool {
	here, there := f.cell(host), f.cell(t.r.Host)
	return t.e.Size.Within(left) && (here == "" || there == "" || here == there) && f.provides(t.e.need(t.r.Host), host, nil) != lacksSurely
}

// waiting says that an attempt at it is not under way.
func waiting(e *Evacuation) bool { return e.State == EvacPlanned || e.State == EvacFailed }

// reservable says that a host is kept in reserve, by the mark of its service too, and
// well.
func (c *Core) reservable(host nova.HostName, r *Recovery) bool {
	_, known := c.world.Nova.Services[host]
	return known && c.world.inReserve(host) && !r.failed(host) && c.sound(host) && !c.halted(host)
}

// joins are the aggregates that a reserved host would join to serve a dead one's
// instances, none unless the policy has it join. ok is false where it could not serve
// them: it is of another zone, and would not come into that one.
func (c *Core) joins(host nova.HostName, r *Recovery) (joins []Join, ok bool) {
	svc, dead := c.world.Nova.Services[host], c.world.Nova.Services[r.Host]
	if !c.policy.JoinReserves {
		return nil, svc.Zone == dead.Zone
	}
	if c.world.Nova.AggregatesAt.IsZero() {
		return nil, false
	}
	zone, zoned := svc.Zone, false
	for _, a := range c.world.Nova.Aggregates {
		in := slices.Contains(a.Hosts, host)
		zoned = zoned || in && a.Zone != ""
		if !in && slices.Contains(a.Hosts, r.Host) {
			joins = append(joins, Join{a.ID, a.Name})
			if a.Zone != "" {
				zone = a.Zone
			}
		}
	}
	// Nova moves no host from one zone to another, and none with instances.
	moves := zone != svc.Zone
	return joins, zone == dead.Zone && (!moves || !zoned && len(c.world.Servers[host]) == 0)
}

func nameJoins(joins []Join) string {
	names := make([]string, 0, len(joins))
	for _, m := range joins {
		names = append(names, m.Name)
	}
	return strings.Join(names, ", ")
}

// failed says that a reserved host could not be enabled in this recovery.
func (r *Recovery) failed(host nova.HostName) bool {
	return slices.ContainsFunc(r.Reserves, func(x Reserve) bool { return x.Host == host && x.Failed != "" })
}

// inReserve says that the configuration and its service's mark agree on that.
func (w *World) inReserve(host nova.HostName) bool {
	s := w.Nova.Services[host]
	return slices.Contains(w.Reserved, host) && s.State == nova.StateUp && s.Disabled && strings.HasPrefix(s.DisabledReason, ReservePrefix)
}

// tendReserves enables what was journalled, and puts back what nobody uses once the
// recovery is done with it.
func (c *Core) tendReserves(r *Recovery) {
	for _, x := range r.Reserves {
		switch {
		case x.Back || c.state.Open(x.Host) != nil || c.halted(x.Host):
		case x.Failed != "":
			c.callReserve(r, x, true)
		case !x.Set && r.Status == StatusOpen:
			c.callReserve(r, x, false)
		case r.Status != StatusOpen && c.idle(x.Host):
			c.callReserve(r, x, true)
		}
	}
}

func (c *Core) callReserve(r *Recovery, x Reserve, back bool) {
	a := act(r, StepReserve)
	a.Shield, a.Lift, a.Reason, a.Joins = x.Host, back, x.Reason, x.Joins
	c.sawFirst(string(r.ID) + " reserve " + string(x.Host))
	a.Service = ServiceBefore{ID: c.world.Nova.Services[x.Host].ID}
	c.start(r, a)
}

// idle says that nothing lives on a host or is on its way to it, and that no recovery
// may send something there.
func (c *Core) idle(host nova.HostName) bool {
	servers, listed := c.world.Servers[host]
	if !listed || len(servers) > 0 {
		return false
	}
	for _, r := range c.state.Recoveries {
		if r.Status == StatusOpen {
			return false
		}
		if slices.ContainsFunc(r.Evacuations, func(e *Evacuation) bool {
			return e.State == EvacDone && e.Dest == host && c.world.Now.Sub(e.Ended) < time.Minute
		}) {
			return false // the list may be older
		}
	}
	return true
}

func (c *Core) reserveDone(r *Recovery, o Outcome) {
	x := Reserve{Host: o.Action.Shield, Reason: o.Action.Reason, Joins: o.Action.Joins, Set: true, Back: o.Action.Lift}
	for _, was := range r.Reserves {
		if was.Host == x.Host && !was.Back {
			x.Failed, x.Set = was.Failed, x.Set && was.Failed == ""
		}
	}
	text := fmt.Sprintf("%s is enabled", x.Host)
	switch {
	case !o.OK && (o.Action.Lift || c.since(string(r.ID)+" reserve "+string(x.Host)) < reserveTries):
		return
	case !o.OK:
		x.Set, x.Failed = false, o.Detail
		text = fmt.Sprintf("the reserved host %s can't be enabled, and another one is taken: %s", x.Host, x.Failed)
	case x.Failed != "":
		text = fmt.Sprintf("%s is in reserve again (%q)", x.Host, x.Reason)
	case x.Back:
		text = fmt.Sprintf("%s is not used: in reserve again (%q)", x.Host, x.Reason)
	}
	c.commit(Entry{Kind: KindReserve, Recovery: r.ID, Reserve: &x, Text: text})
}

func (r *Recovery) reserve(x Reserve) {
	for i := range r.Reserves {
		if r.Reserves[i].Host == x.Host && !r.Reserves[i].Back {
			r.Reserves[i] = x
			return
		}
	}
	r.Reserves = append(r.Reserves, x)
}
