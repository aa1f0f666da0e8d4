package evacuate

import (
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// Settled lists the hosts that are off by our own hand, recovered (or with a recovery that
// can do nothing but wait), and no longer counted as just fenced: their silence is no news
// to anybody.
func Settled(s *State, p Policy, now time.Time) map[nova.HostName]bool {
	settled := map[nova.HostName]bool{}
	for host := range s.Hosts {
		r := s.Open(host)
		if r != nil && (r.Status != StatusOpen || s.waits(r, now, p)) && r.Proof != nil && now.Sub(r.Proof.Began()) >= p.StormWindow {
			settled[host] = true
		}
	}
	return settled
}

// settle times for how long a host has been healthy, and lets a new boot id
// become the known one.
func (c *Core) settle(host nova.HostName) {
	v := c.world.Verdicts[host]
	switch lives := v.State.Lives() || v.State == detector.Rebooted; {
	case !lives || v.Condemned():
		delete(c.healthy, host)
	case c.healthy[host].IsZero():
		c.healthy[host] = c.world.Now
	}
	h := c.state.Hosts[host]
	fresh := h.Boot == "" && v.View.Boot != "" && v.State == detector.Healthy
	if (v.State == detector.Rebooted || fresh) && c.state.Open(host) == nil {
		if c.rebooted[host].IsZero() {
			c.rebooted[host] = c.world.Now
		}
		if !fresh {
			c.rebootEnds(host, v.View.Boot)
		}
		if fresh || c.world.Now.Sub(c.rebooted[host]) >= rebootSettle {
			c.commit(Entry{Kind: KindHostSeen, Host: host, Seen: []HostSeen{{Host: host, Boot: v.View.Boot}}})
			delete(c.rebooted, host)
		}
		return
	}
	delete(c.rebooted, host)
}

// rebootSettle is how long the verdict Rebooted is shown before the new boot
// id becomes the known one.
const rebootSettle = 10 * time.Second
