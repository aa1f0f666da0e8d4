package evacuate

import (
	"fmt"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// shieldSuspects disables the other hosts that may be the next to die, so that
// no evacuee lands on them (rule 6). It says whether all of that is done: a
// POST waits for it.
func (c *Core) shieldSuspects(r *Recovery) bool {
	ready := true
	for _, host := range c.state.HostNames() {
		v := c.world.Verdicts[host]
		suspect := v.Down() || v.State == detector.Isolated
		svc, known := c.world.Nova.Services[host]
		if host == r.Host || !suspect || !known || c.state.Open(host) != nil || c.halted(host) {
			continue
		}
		by, sh := c.shieldOf(host)
		if by != nil && by != r || (sh == nil && svc.Disabled) || (sh != nil && sh.Set) {
			continue
		}
		a := act(r, StepDisable)
		a.Shield = host
		a.Service = ServiceBefore{ID: svc.ID}
		if sh == nil {
			c.commit(Entry{Kind: KindShield, Recovery: r.ID, Shield: &Shield{Host: host},
				Text: fmt.Sprintf("%s is %s: disabled, so that nothing is evacuated to it", host, v.State)})
		}
		// A failed attempt is repeated, but no instance waits for it longer.
		ready = ready && !c.again[a.key()].IsZero()
		c.start(r, a)
	}
	return ready
}

// shieldOf finds the shield on a host that was not lifted, and its recovery.
func (c *Core) shieldOf(host nova.HostName) (*Recovery, *Shield) {
	for _, r := range c.state.Sorted() {
		for i := range r.Shielded {
			if r.Shielded[i].Host == host && !r.Shielded[i].Lifted {
				return r, &r.Shielded[i]
			}
		}
	}
	return nil, nil
}

// liftShields enables again what was only suspect and is healthy, even where
// the recovery that it was disabled for has been closed. A shielded host that
// died has a recovery of its own, which enables it.
func (c *Core) liftShields(r *Recovery) {
	for _, sh := range r.Shielded {
		since := c.healthy[sh.Host]
		if sh.Lifted || since.IsZero() || c.world.Now.Sub(since) < healSettle || c.state.Open(sh.Host) != nil || c.halted(sh.Host) {
			continue
		}
		a := act(r, StepDisable)
		a.Shield, a.Lift = sh.Host, true
		a.Service = ServiceBefore{ID: c.world.Nova.Services[sh.Host].ID}
		c.start(r, a)
	}
}

func (c *Core) shieldDone(r *Recovery, o Outcome) {
	if !o.OK {
		return
	}
	sh := Shield{Host: o.Action.Shield, Set: true, Lifted: o.Action.Lift}
	text := ""
	if sh.Lifted {
		text = fmt.Sprintf("%s is well: enabled again", sh.Host)
	}
	c.commit(Entry{Kind: KindShield, Recovery: r.ID, Shield: &sh, Text: text})
}

// novaForgets is how long Nova may take a silent host for up: its default
// service_down_time is 60 s, counted from a report of the 10 s before.
const novaForgets = 75 * time.Second

// mayStrand names the hosts that fell silent, that Nova still takes for up, and that we
// may not disable: in maintenance, or where the mode only watches. What is sent now
// may land there; it waits until Nova knows.
func (c *Core) mayStrand(r *Recovery) string {
	var names []string
	for _, host := range c.state.HostNames() {
		h, v := c.state.Hosts[host], c.world.Verdicts[host]
		silent := h.Maintenance && v.Silent > silentFor || v.Down() && c.halted(host)
		svc := c.world.Nova.Services[host]
		if host != r.Host && silent && v.Silent < novaForgets && svc.State == nova.StateUp && !svc.Disabled {
			names = append(names, string(host))
		}
	}
	return strings.Join(names, ", ")
}

// silentFor is when a host in maintenance, of which no verdict speaks, is silent.
const silentFor = 5 * time.Second
