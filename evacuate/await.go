package evacuate

import (
	"slices"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// orderPatience is for how long, in all, those of one recovery let those of a higher
// priority on other hosts come up, which died too and are not listed yet.
const orderPatience = 10 * time.Second

// await is what is known of the instances of hosts that died and are not listed yet: there
// is one order over them too.
type await struct {
	// all would be moved. Their hosts are dead, opened or not.
	all []*Evacuation
	// first is the highest priority on each host that is being fenced or listed and is not held.
	first map[nova.HostName]int
}

// awaited looks at the hosts that died and are not listed yet.
func (c *Core) awaited() *await {
	w := &await{first: map[nova.HostName]int{}}
	for _, host := range c.state.HostNames() {
		r := c.state.Open(host)
		opened := r != nil && r.Status == StatusOpen && !r.Done(StepList) && r.Cancel == nil
		dead := r == nil && c.world.Verdicts[host].State == detector.Dead && !c.state.Hosts[host].Maintenance
		if !opened && !dead || c.halted(host) {
			continue
		}
		for _, e := range Plan(c.world.Servers[host], c.world.Storage[host], nil, c.policy, c.policy.protection(&c.world)) {
			if e.State == EvacSkipped {
				continue
			}
			w.all = append(w.all, e)
			if most, known := w.first[host]; opened && r.Hold == nil && (!known || e.Priority > most) {
				w.first[host] = e.Priority
			}
		}
	}
	return w
}

// yields says that an instance lets those of a higher priority on another dead host come to
// the queue, for a while.
func (c *Core) yields(r *Recovery, e *Evacuation, l *load) bool {
	for host, first := range l.await.first {
		if host != r.Host && first > e.Priority {
			return c.since(string(r.ID)+" in order") < orderPatience
		}
	}
	return false
}

// awaits says that a member of a group is on a dead host that is not listed yet.
func (w *await) awaits(e *Evacuation) bool {
	return slices.ContainsFunc(w.all, func(x *Evacuation) bool {
		return x.Group != "" && x.Server != e.Server && x.groupKey(x.Group) == e.groupKey(e.After)
	})
}
