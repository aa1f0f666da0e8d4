package evacuate

import (
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// claimed is how long a POST may be without a destination before it is taken for
// one that waits for a conductor or a scheduler: it holds nobody back any more.
const claimed = time.Minute

// room is how many POSTs may be promised now. Nova's scheduler chooses the
// destination and its row has none until it is claimed, so that a limit by
// destination is kept by waiting: while one has as many as it may, nothing more is
// sent, and no more are without a destination at a time. A burst that the
// scheduler sends to one host alone may pass the limit, by less than itself again.
func (c *Core) room() int {
	total, nowhere := 0, 0
	by := map[nova.HostName]int{}
	for _, r := range c.state.Recoveries {
		if r.Status != StatusOpen {
			continue
		}
		for _, e := range r.Evacuations {
			switch {
			case e.State != EvacIntent && e.State != EvacFollowing:
				continue
			case e.Dest != "":
				by[e.Dest]++
			case c.underWayFor(r, e) < claimed:
				nowhere++
			}
			total++
		}
	}
	for _, entry := range c.ready.Commit { // promised in this very tick
		for _, e := range entry.Evacuations {
			if e.State == EvacIntent && e.Intent.Equal(c.world.Now) {
				total++
				nowhere++
			}
		}
	}
	room, limit := c.policy.InFlight-total, c.policy.PerDestination
	if limit <= 0 {
		return room
	}
	for dest, n := range by {
		// The scheduler chooses nobody who is down or disabled: what is stuck there
		// is no reason to wait.
		if s := c.world.Nova.Services[dest]; n >= limit && s.State == nova.StateUp && !s.Disabled {
			return 0
		}
	}
	return min(room, limit-nowhere)
}
