package evacuate

import (
	"fmt"
	"maps"
	"slices"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// Destinations says who chooses where an instance goes.
type Destinations string

// Ways to choose. Spread names the least busy of the hosts that are like the dead one;
// Nova's filters are asked all the same. Where there is none, and where the name was
// refused, the scheduler chooses.
const (
	DestinationsScheduler Destinations = "scheduler"
	DestinationsSpread    Destinations = "spread"
)

// Affinity says what is done with members of a hard affinity group none of which lives
// elsewhere: Nova's scheduler finds them no host, for all of the group's are dead.
type Affinity string

// AffinityForce sends the first of them past the filters to a host with room; the
// others follow it.
const (
	AffinityAsk   Affinity = "ask"
	AffinityForce Affinity = "force"
)

// course is the answer to where an instance may go now.
type course struct {
	to nova.Target
	// wait says why it goes nowhere for the moment; Brief if that ends by itself.
	wait  string
	brief bool
}

// aim chooses where one goes. It never names a host that is not well, up, enabled, of
// the source's zone and in the same aggregates: only there the filters most likely let
// it in.
func (c *Core) aim(r *Recovery, e *Evacuation, l *load) course {
	if why := c.noRoom(r, e, l); why != "" {
		return course{wait: why}
	}
	if why := c.crowdedBackend(e, l); why != "" {
		return course{wait: why, brief: true}
	}
	kin := c.kin(r, e)
	if kin.inFlight {
		return course{wait: "another member of its group is on its way", brief: true}
	}
	var allowed []nova.HostName
	if c.policy.Destinations == DestinationsSpread || len(e.Together) > 0 {
		allowed = c.alike(r, e, l)
	}
	allowed = slices.DeleteFunc(allowed, func(h nova.HostName) bool { return kin.apart[h] })
	switch {
	case len(e.Together) > 0 && len(kin.homes) > 0:
		if why := c.homesFull(r, e, l, kin.homes); why != "" {
			return course{wait: why}
		}
		allowed = slices.DeleteFunc(allowed, func(h nova.HostName) bool { return !kin.homes[h] })
	case len(e.Together) > 0 && len(kin.shut) > 0:
		return course{wait: fmt.Sprintf("%s: it may only go where its group lives (%s), and Nova's scheduler chooses no host that is down or disabled", waitsAffinity, list(slices.Sorted(maps.Keys(kin.shut))))}
	case len(e.Together) > 0 && kin.many && c.policy.Affinity != AffinityForce:
		return course{wait: waitsAffinity + ": no member of its group lives on another host, so Nova's scheduler would find none and leave it in error. Start one elsewhere, or set policy.affinity: force"}
	case len(e.Together) > 0 && kin.many && len(allowed) == 0:
		return course{wait: waitsAffinity + ": no member of its group lives on another host, and none is known that it could be sent to by force"}
	case len(e.Together) > 0 && kin.many:
		return course{to: nova.Target{Host: c.least(allowed, l), Force: true}}
	}
	if e.Elsewhere && len(e.Together) == 0 {
		if host := c.other(r, e, l, kin.apart); host != "" && (c.policy.PerDestination <= 0 || l.to[host] < c.policy.PerDestination) {
			return course{to: nova.Target{Host: host}}
		}
	}
	if c.policy.Destinations == DestinationsSpread && !e.Free && len(allowed) > 0 {
		if host := c.least(allowed, l); c.policy.PerDestination <= 0 || l.to[host] < c.policy.PerDestination {
			return course{to: nova.Target{Host: host}}
		}
		return course{wait: "every host that it could go to rebuilds as many as it may", brief: true}
	}
	if !c.free(l) {
		return course{wait: "every host that it could go to rebuilds as many as it may", brief: true}
	}
	return course{}
}

// noRoom says that Placement would certainly refuse it: no host that the scheduler
// may choose has so much left. Where one has, and each lacks something else that it asks
// for, that is said too, for a while. What is not known is no reason to wait.
func (c *Core) noRoom(r *Recovery, e *Evacuation, l *load) string {
	if !c.world.Rooms.Known(c.world.Now) {
		return ""
	}
	n, room, least := e.need(r.Host), false, lacksSurely
	for host := range c.world.Rooms.By {
		if host == r.Host || !c.world.usable(host) || !c.world.inZone(host, e.Zone) || !e.Size.Within(c.world.left(host, l.taken)) {
			continue
		}
		room, least = true, min(least, c.lacks(n, host, l))
		if least == lacksNothing {
			return ""
		}
	}
	in := ""
	if e.Zone != "" {
		in = " of zone " + e.Zone + ", which it was asked for in,"
	}
	switch {
	case room && c.insists(r, e, least):
		return ""
	case room:
		return fmt.Sprintf("%s: no host%s with %s left is known to have all else that it asks for: %s", waitsRoom, in, sizeText(e.Size), c.asksText(n))
	}
	return fmt.Sprintf("%s: no host%s has %s left", waitsRoom, in, sizeText(e.Size))
}

// homesFull says of one that may only go where its affinity group lives that none of these
// hosts has room left: Nova's scheduler would find no other.
func (c *Core) homesFull(r *Recovery, e *Evacuation, l *load, homes map[nova.HostName]bool) string {
	if !c.world.Rooms.Known(c.world.Now) {
		return ""
	}
	for host := range homes {
		if host != r.Host && e.Size.Within(c.world.left(host, l.taken)) {
			return ""
		}
	}
	return fmt.Sprintf("%s: it may only go where its group lives (%s), and %s is not left there", waitsAffinity, list(slices.Sorted(maps.Keys(homes))), sizeText(e.Size))
}

func sizeText(s nova.Size) string {
	text := fmt.Sprintf("%d MiB", s.RAMMiB)
	if s.PCPUs > 0 {
		text = fmt.Sprintf("%d processors of its own and ", s.PCPUs) + text
	}
	if s.VCPUs > 0 {
		text = fmt.Sprintf("%d processors and ", s.VCPUs) + text
	}
	if s.DiskGiB > 0 {
		text += fmt.Sprintf(" and %d GiB of disk", s.DiskGiB)
	}
	return text
}

// alike are the hosts like the source that have room for e, by name.
func (c *Core) alike(r *Recovery, e *Evacuation, l *load) []nova.HostName {
	w := &c.world
	source, known := w.Nova.Services[r.Host]
	if !known || !w.Rooms.Known(w.Now) || w.Nova.AggregatesAt.IsZero() || e.Odd {
		return nil
	}
	if l.groups == nil {
		l.groups = w.Nova.Groups()
	}
	groups := l.groups
	var out []nova.HostName
	for _, host := range slices.Sorted(maps.Keys(w.Rooms.By)) {
		switch {
		case host == r.Host || !w.usable(host) || w.Nova.Services[host].Zone != source.Zone || slices.Contains(e.Avoid, host):
		case !c.sound(host):
		case !slices.Equal(groups[host], groups[r.Host]):
		case !c.suits(r, e, host, l):
		default:
			out = append(out, host)
		}
	}
	return out
}

// sound says that nothing ails a host, as far as it is judged, and that nobody is at it.
func (c *Core) sound(host nova.HostName) bool {
	v, judged := c.world.Verdicts[host]
	h := c.state.Hosts[host]
	return (!judged || v.State == detector.Healthy) && c.state.Open(host) == nil && (h == nil || !h.Maintenance)
}

// least is the host with the fewest on their way to it; of several, the roomiest, then
// the first by name.
func (c *Core) least(hosts []nova.HostName, l *load) nova.HostName {
	best := hosts[0]
	for _, h := range hosts[1:] {
		left, most := c.world.left(h, l.taken).RAMMiB, c.world.left(best, l.taken).RAMMiB
		if l.to[h] < l.to[best] || l.to[h] == l.to[best] && left > most {
			best = h
		}
	}
	return best
}

// kin is what is known of the other members of an instance's server groups.
type kin struct {
	// inFlight: one of the same group is on its way. Nova checks the policy again at
	// the destination and fails the siblings of parallel ones.
	inFlight bool
	many     bool // an affinity group has other members on dead hosts
	apart    map[nova.HostName]bool
	homes    map[nova.HostName]bool // of affinity groups, usable
	shut     map[nova.HostName]bool // of affinity groups, down or disabled, and not recovered
}

func (c *Core) kin(r *Recovery, e *Evacuation) kin {
	k := kin{apart: map[nova.HostName]bool{}, homes: map[nova.HostName]bool{}, shut: map[nova.HostName]bool{}}
	if len(e.Apart) == 0 && len(e.Together) == 0 {
		return k
	}
	elsewhere := map[nova.ServerID]nova.HostName{}
	for _, o := range c.state.Recoveries {
		if o.Status == StatusClosed {
			continue
		}
		for _, x := range o.Evacuations {
			apart, together := shares(e.Apart, x.Apart), shares(e.Together, x.Together)
			if x.Server == e.Server || !apart && !together {
				continue
			}
			flying := o.Status == StatusOpen && (x.State == EvacIntent || x.State == EvacFollowing)
			k.inFlight = k.inFlight || flying && c.underWayFor(o, x) < claimed
			k.many = k.many || together && o.Status == StatusOpen && x.State != EvacDone
			if x.State == EvacDone {
				elsewhere[x.Server] = x.Dest
			}
			k.note(c, apart && (flying || x.State == EvacDone), together && x.State == EvacDone, x.heading())
		}
	}
	for host, servers := range c.world.Servers {
		for _, s := range servers {
			if s.ID == e.Server || host == r.Host || elsewhere[s.ID] != "" {
				continue
			}
			k.note(c, shares(e.Apart, s.Apart), shares(e.Together, s.Together), host)
		}
	}
	return k
}

func (k *kin) note(c *Core, apart, together bool, host nova.HostName) {
	if host == "" {
		return
	}
	if apart {
		k.apart[host] = true
	}
	switch {
	case !together || c.state.Open(host) != nil:
	case c.world.usable(host):
		k.homes[host] = true
	default:
		k.shut[host] = true
	}
}

func shares(a, b []string) bool {
	return slices.ContainsFunc(a, func(x string) bool { return slices.Contains(b, x) })
}
