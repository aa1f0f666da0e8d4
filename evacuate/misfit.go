package evacuate

import (
	"maps"
	"slices"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// misfits are the instances for which Nova found no host, and none that is like the dead one
// has room left: what they ask for beside room (a zone, an aggregate, a trait) only such a
// host gives them. Room elsewhere is nothing to them.
func (c *Core) misfits() (out []turn) {
	var l *load
	for _, r := range c.senders {
		for _, e := range r.Evacuations {
			if !e.NoHost || e.State != EvacFailed && e.State != EvacIntent && e.State != EvacFollowing {
				continue
			}
			if l == nil {
				l = c.load()
				l.groups = c.world.Nova.Groups()
			}
			if !c.roomAlike(r, e, l) {
				out = append(out, turn{r, e})
			}
		}
	}
	return out
}

// roomAlike says that a host like the dead one, or one that was taken out of reserve for it,
// has room for an instance, or that it is not known.
func (c *Core) roomAlike(r *Recovery, e *Evacuation, l *load) bool {
	w := &c.world
	if !w.Rooms.Known(w.Now) || w.Nova.AggregatesAt.IsZero() {
		return true
	}
	for host := range w.Rooms.By {
		like := w.Nova.Services[host].Zone == w.Nova.Services[r.Host].Zone && slices.Equal(l.groups[host], l.groups[r.Host])
		if host != r.Host && (like || r.took(host)) && w.usable(host) && c.suits(r, e, host, l) {
			return true
		}
	}
	return false
}

// serves says that a reserved host is, or would be once it has joined, in all aggregates of a
// dead one: only such a host helps where Nova found none.
func (c *Core) serves(host nova.HostName, r *Recovery, joins []Join) bool {
	for _, a := range c.world.Nova.Aggregates {
		joined := slices.ContainsFunc(joins, func(m Join) bool { return m.ID == a.ID })
		if slices.Contains(a.Hosts, r.Host) && !slices.Contains(a.Hosts, host) && !joined {
			return false
		}
	}
	return true
}

// took says that a host was taken out of reserve for this recovery.
func (r *Recovery) took(host nova.HostName) bool {
	return slices.ContainsFunc(r.Reserves, func(x Reserve) bool { return x.Host == host && x.Set && !x.Back })
}

// relieved says of one for which Nova found no host that a reserved host may be chosen since:
// it is tried again at once, and once.
func (c *Core) relieved(r *Recovery, e *Evacuation) bool {
	return e.NoHost && e.State == EvacFailed && slices.ContainsFunc(r.Reserves, func(x Reserve) bool {
		return r.took(x.Host) && c.world.usable(x.Host) && c.sawFirst(string(r.ID)+" may choose "+string(x.Host)).After(e.Ended)
	})
}

// other names a host for one that the scheduler has sent twice to a host at which it failed:
// one that it has not failed at, like the dead one if there is one, else of its zone, else
// any. Nova's filters are asked all the same, and each is named once. "" where none is left.
func (c *Core) other(r *Recovery, e *Evacuation, l *load, apart map[nova.HostName]bool) nova.HostName {
	w := &c.world
	if !w.Rooms.Known(w.Now) {
		return ""
	}
	if l.groups == nil {
		l.groups = w.Nova.Groups()
	}
	var classes [3][]nova.HostName
	for _, host := range slices.Sorted(maps.Keys(w.Rooms.By)) {
		if host == r.Host || apart[host] || !w.usable(host) || slices.Contains(e.Avoid, host) || !c.suits(r, e, host, l) || !c.sound(host) {
			continue
		}
		class := 2
		if w.Nova.Services[host].Zone == w.Nova.Services[r.Host].Zone {
			class = 1
			if slices.Equal(l.groups[host], l.groups[r.Host]) {
				class = 0
			}
		}
		classes[class] = append(classes[class], host)
	}
	for _, hosts := range classes {
		if len(hosts) > 0 {
			return c.least(hosts, l)
		}
	}
	return ""
}

// learn draws from a failed attempt where the next one goes: not again to a host that
// failed it, and where the name of a host was refused, wherever the scheduler says; where
// the scheduler says the same bad host again, to those that it does not say.
func (c *Core) learn(n *Evacuation, refused bool) {
	dest := n.heading()
	known := dest != "" && slices.Contains(n.Avoid, dest)
	switch {
	case n.To.Host != "" && !n.To.Force && refused && !n.Elsewhere && len(n.Doubts) == 0:
		n.Free, n.NotBefore = true, c.world.Now
	case known && n.To.Host == "":
		n.Elsewhere, n.Avoid = true, []nova.HostName{dest} // the others are named anew
	case dest != "" && !known:
		n.Avoid = append(slices.Clone(n.Avoid), dest)
	}
}
