package app

import (
	"context"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/detector/gossip"
	"github.com/lifeboat-ha/lifeboat/detector/heartbeat"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// roster is whom an agent may talk to and probe.
type roster struct {
	Controllers []evacuate.Controller `json:"controllers"`
	Hosts       []nova.HostName       `json:"hosts"`
	// Rings is where the hosts' gossip was last seen to listen: an agent that can
	// find no controller joins them.
	Rings map[nova.HostName]string `json:"rings,omitempty"`
	// Keys are the enrolled hosts' public keys, where some host has a watchdog: they
	// answer each other when the controllers are gone.
	Keys map[nova.HostName][][]byte `json:"keys,omitempty"`
	// Networks are those on which the asking host has an address, Peers whom it
	// asks there whether they work.
	Networks []string     `json:"networks,omitempty"`
	Peers    []rosterPeer `json:"peers,omitempty"`
	// VIP is what hosts ask of the control plane; nil: nothing is watched.
	VIP *vipOrders `json:"vip,omitempty"`
	// Watches says that the mode of the asking host only watches: its start gate is open
	// even where no controller answers later.
	Watches bool `json:"watches,omitempty"`
	// Leave says why the services of the asking host are not to be restarted, "" if they
	// may be.
	Leave string `json:"leave,omitempty"`
	// Boot is the agent's own note of the boot in which it was told.
	Boot string `json:"boot,omitempty"`
	// Ring renews the ring's keys with the roster, so that a rotation reaches
	// everybody. Nil: this controller does not know.
	Ring *ringGrant `json:"ring,omitempty"`
}

// roster is for one host; "" is for nobody in particular. The same ledger gives the
// same roster.
func (c *Controller) roster(host nova.HostName) roster {
	r := roster{Rings: map[nova.HostName]string{}}
	if host != "" {
		r.Peers = c.peersOf(host)
	}
	for _, a := range c.addresses[host] {
		r.Networks = append(r.Networks, a.Network)
	}
	slices.Sort(r.Networks)
	if x := c.vips; len(x.vips) > 0 {
		r.VIP = &vipOrders{VIPs: x.vips, Targets: x.targets}
	}
	c.machine.Locked(func(s *evacuate.State) {
		r.Controllers = controllers(s)
		r.Hosts = s.HostNames()
		for name, h := range s.Hosts {
			if h.Ring != "" && name != host {
				r.Rings[name] = h.Ring
			}
		}
		if s.Watched() {
			r.Keys = map[nova.HostName][][]byte{}
			for _, name := range s.Enrolled() {
				for _, k := range s.Hosts[name].Keys {
					r.Keys[name] = append(r.Keys[name], k.Public)
				}
			}
		}
	})
	if g, ok := c.ringGrant(); ok {
		r.Ring = &g
	}
	return r
}

func controllers(s *evacuate.State) (cs []evacuate.Controller) {
	for _, id := range slices.Sorted(maps.Keys(s.Controllers)) {
		cs = append(cs, *s.Controllers[id])
	}
	return cs
}

// ringPeers are the members that the ring should have; an address that nobody
// knows yet is left open.
func (r roster) ringPeers() []gossip.Peer {
	var peers []gossip.Peer
	for _, c := range r.Controllers {
		if addr, err := netip.ParseAddrPort(c.Ring); err == nil {
			peers = append(peers, gossip.Peer{Name: gossip.ControllerName(c.ID), Addr: addr})
		}
	}
	for _, h := range r.Hosts {
		addr, _ := netip.ParseAddrPort(r.Rings[h])
		peers = append(peers, gossip.Peer{Name: string(h), Addr: addr})
	}
	return peers
}

func (a *Agent) ringPeers() []gossip.Peer {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.roster.ringPeers()
}

func (c *Controller) ringPeers() []gossip.Peer {
	var r roster
	c.machine.Locked(func(s *evacuate.State) {
		r.Controllers, r.Rings = controllers(s), map[nova.HostName]string{}
		for name, h := range s.Hosts {
			if !h.Enrolled.IsZero() {
				r.Hosts, r.Rings[name] = append(r.Hosts, name), h.Ring
			}
		}
	})
	return r.ringPeers()
}

// RingView is how this agent sees the ring.
func (a *Agent) RingView() detector.RingView {
	a.mu.Lock()
	ring := a.ring
	a.mu.Unlock()
	if ring == nil {
		return detector.RingView{}
	}
	return ring.View()
}

// ringAddresses is where the ring's living hosts listen.
func (c *Controller) ringAddresses() map[nova.HostName]string {
	c.mu.Lock()
	ring := c.ring
	c.mu.Unlock()
	if ring == nil {
		return nil
	}
	out := map[nova.HostName]string{}
	for _, m := range ring.Members() {
		if m.State == gossip.Alive && m.Meta.Role == gossip.RoleAgent && m.Addr.IsValid() {
			out[nova.HostName(m.Name)] = m.Addr.String()
		}
	}
	return out
}

func (c *Controller) status() heartbeat.Status {
	id, _, _ := c.ledger.Leader()
	return heartbeat.Status{Leader: id, Term: c.ledger.Term(), Roster: c.machine.RosterVersion()}
}

// rosterSpread spreads the agents that hear of a new roster in the same second.
const rosterSpread = 4 * time.Second

// heedRoster fetches the roster when a controller says that its own has changed.
func (a *Agent) heedRoster(ctx context.Context) {
	a.mu.Lock()
	sender := a.sender
	a.mu.Unlock()
	changed := false
	for _, c := range sender.Contacts() {
		if c.Heard.IsZero() {
			continue
		}
		if before, ok := a.versions[c.ID]; ok && before != c.Status.Roster {
			changed = true
		}
		a.versions[c.ID] = c.Status.Roster
	}
	if changed && a.clock.Sleep(ctx, rand.N(rosterSpread)) == nil {
		a.fetchRoster(ctx)
	}
}
