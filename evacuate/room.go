package evacuate

import (
	"maps"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

const (
	// claimed is how long a POST may be without a destination before it is taken for
	// one that waits for a conductor or a scheduler: it holds nobody back any more.
	claimed = time.Minute
	// roomsFresh is the greatest age of a look at Placement that is planned with.
	roomsFresh = 2 * time.Minute
	// claimSlack is how long Nova may take from a POST to its claim in Placement: what
	// was promised later than that before the look is not in it.
	claimSlack = 10 * time.Second
)

// RoomSight is the last look at Placement.
type RoomSight struct {
	At  time.Time
	By  map[nova.HostName]nova.Room
	Err string
}

// Known says that the look is fresh enough to plan with.
func (s RoomSight) Known(now time.Time) bool {
	return s.By != nil && now.Sub(s.At) < roomsFresh
}

// load is what is in flight at one instant, over all recoveries, without what is stuck.
type load struct {
	total    int
	nowhere  int // of these, without a destination for less than claimed
	to       map[nova.HostName]int
	backends map[string]int // of each storage
	// taken is what Placement, when it was looked at, did not know to be taken.
	taken map[nova.HostName]nova.Size
	// classes is that of the other classes of resources. What has no destination yet is
	// taken from every host (""): it may go to any.
	classes map[nova.HostName]map[string]int
	// groups are the aggregates of each host, moving all that is or was on its way, and
	// circles the groups in it that wait for themselves, once somebody asked.
	groups  map[nova.HostName][]string
	moving  []*Evacuation
	circles map[string]bool
	await   *await
}

func (c *Core) load() *load {
	l := &load{to: map[nova.HostName]int{}, taken: map[nova.HostName]nova.Size{}, backends: map[string]int{}, await: &await{}}
	for _, r := range c.state.Recoveries {
		if r.Status != StatusOpen {
			continue
		}
		for _, e := range r.Evacuations {
			if e.State != EvacIntent && e.State != EvacFollowing {
				continue
			}
			under := c.underWayFor(r, e)
			if under >= c.policy.Stuck || c.state.deadEnd(e) {
				continue // nobody works at it, and it may stand there for days
			}
			l.total++
			if e.Backend != "" {
				l.backends[e.Backend]++
			}
			switch dest := e.heading(); {
			case dest == "" && under < claimed:
				l.nowhere++
				l.give("", e)
			case dest != "":
				l.add(dest, e, under < c.world.Now.Sub(c.world.Rooms.At)+claimSlack)
			}
		}
	}
	return l
}

func (l *load) add(dest nova.HostName, e *Evacuation, unknown bool) {
	l.to[dest]++
	if unknown {
		l.taken[dest] = l.taken[dest].Plus(e.Size)
		l.give(dest, e)
	}
}

// give notes what one takes of the classes of resources that Size does not count.
func (l *load) give(dest nova.HostName, e *Evacuation) {
	for class, n := range e.Asks.Classes {
		if l.classes == nil {
			l.classes = map[nova.HostName]map[string]int{}
		}
		if l.classes[dest] == nil {
			l.classes[dest] = map[string]int{}
		}
		l.classes[dest][class] += n
	}
}

// given is what is on its way to a host, or may be, of those classes.
func (l *load) given(host nova.HostName) map[string]int {
	if len(l.classes[""]) == 0 {
		return l.classes[host]
	}
	out := maps.Clone(l.classes[""])
	for class, n := range l.classes[host] {
		out[class] += n
	}
	return out
}

// heading is where an attempt goes, as far as that is known.
func (e *Evacuation) heading() nova.HostName {
	if e.Dest != "" {
		return e.Dest
	}
	return e.To.Host
}

// free says whether one more may be left to Nova's scheduler. A destination that it
// chooses is known a second or so after the POST, so that a limit by destination is
// kept by waiting: while one has as many as it may, nothing more is sent so, and no
// more are without a destination at a time. A burst that the scheduler sends to one
// host alone may pass the limit, by less than itself again.
func (c *Core) free(l *load) bool {
	limit := c.policy.PerDestination
	if limit <= 0 {
		return true
	}
	for dest, n := range l.to {
		// The scheduler chooses nobody who is down or disabled: what is stuck there
		// is no reason to wait.
		if s := c.world.Nova.Services[dest]; n >= limit && s.State == nova.StateUp && !s.Disabled {
			return false
		}
	}
	return l.nowhere < limit
}

// usable says that the scheduler would consider a host.
func (w *World) usable(host nova.HostName) bool {
	s, known := w.Nova.Services[host]
	return known && s.State == nova.StateUp && !s.Disabled && !w.Rooms.By[host].Disabled
}

// inZone says that a host is of a zone; all are of "".
func (w *World) inZone(host nova.HostName, zone string) bool {
	return zone == "" || w.Nova.Services[host].Zone == zone
}

// left is what a host has beside what is on its way to it.
func (w *World) left(host nova.HostName, taken map[nova.HostName]nova.Size) nova.Size {
	return w.Rooms.By[host].Left.Less(taken[host])
}

// takers counts the hosts that the scheduler would consider and that have room at all; 0:
// not known.
func (c *Core) takers() (n int) {
	if !c.world.Rooms.Known(c.world.Now) {
		return 0
	}
	for host, r := range c.world.Rooms.By {
		if c.world.usable(host) && r.Left.RAMMiB > 0 && (r.Left.VCPUs > 0 || r.Left.PCPUs > 0) && c.state.Open(host) == nil {
			n++
		}
	}
	return n
}
