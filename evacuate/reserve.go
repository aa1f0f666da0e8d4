package evacuate

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
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
	// Set says that it was seen enabled, Back that it was put back.
	Set  bool `json:"set,omitempty"`
	Back bool `json:"back,omitempty"`
}

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
			if !x.Set && !x.Back {
				return // one is on its way
			}
		}
	}
	for _, host := range c.world.Reserved {
		svc := c.world.Nova.Services[host]
		for _, t := range short {
			if !c.reservable(host, t.r) || !t.e.Size.Within(c.world.Rooms.By[host].Left) {
				continue
			}
			x := Reserve{Host: host, Reason: svc.DisabledReason}
			c.commit(Entry{Kind: KindReserve, Recovery: t.r.ID, Reserve: &x, Text: fmt.Sprintf("room is short: the reserved host %s (%q) is enabled", host, x.Reason)})
			return
		}
	}
}

// reservable says that a host is kept in reserve, by the mark of its service too, and
// well, and in the zone of a dead one.
func (c *Core) reservable(host nova.HostName, r *Recovery) bool {
	svc, known := c.world.Nova.Services[host]
	h := c.state.Hosts[host]
	v, judged := c.world.Verdicts[host]
	return known && c.world.inReserve(host) && svc.Zone == c.world.Nova.Services[r.Host].Zone && (!judged || v.State == detector.Healthy) &&
		c.state.Open(host) == nil && (h == nil || !h.Maintenance) && !c.halted(host)
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
		case !x.Set && r.Status == StatusOpen:
			c.callReserve(r, x, false)
		case r.Status != StatusOpen && c.idle(x.Host):
			c.callReserve(r, x, true)
		}
	}
}

func (c *Core) callReserve(r *Recovery, x Reserve, back bool) {
	a := act(r, StepReserve)
	a.Shield, a.Lift, a.Reason = x.Host, back, x.Reason
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
	if !o.OK {
		return
	}
	x := Reserve{Host: o.Action.Shield, Reason: o.Action.Reason, Set: true, Back: o.Action.Lift}
	text := fmt.Sprintf("%s is enabled", x.Host)
	if x.Back {
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
