package evacuate

import (
	"fmt"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// calm is how long the gates storm and control-plane must stand open before a
// host is fenced. When a fault of the network ends its hosts are heard one after
// the other: without it the last ones, no longer too many, would be fenced in the
// second before they are heard.
const calm = 5 * time.Second

type gateKey struct {
	host nova.HostName
	gate GateName
}

// calmly asks the gates of a point. Those that tell our own illness from a host's
// must have stood open for calm, unless a person has looked and approved or confirmed.
func (c *Core) calmly(point Point, host nova.HostName, r *Recovery) []Answer {
	answers := Ask(point, host, r, c.state, &c.world, c.policy)
	q := question{point: point, host: host, recovery: r, state: c.state, world: &c.world, policy: c.policy}
	approved := q.approval() != nil || q.word() != nil
	for i := range answers {
		a := &answers[i]
		if point == AtEvacuate || a.Gate != GateStorm && a.Gate != GateControlPlane {
			continue
		}
		k := gateKey{host, a.Gate}
		since, was := c.shut[k]
		switch open := c.world.Now.Sub(since); {
		case !a.Pass || was && open < 0: // or the clock was set back
			c.shut[k] = c.world.Now
		case !was:
		case open >= calm || approved && a.Gate == GateStorm:
			delete(c.shut, k)
		default:
			a.Pass, a.Standing = false, Held
			a.Reason = fmt.Sprintf("open again for %s of the %s that are waited, for hosts that are about to be heard: %s", round(open), calm, a.Reason)
		}
	}
	return answers
}
