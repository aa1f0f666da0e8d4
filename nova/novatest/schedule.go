package novatest

import (
	"slices"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// schedule chooses the host with the most free memory among those that the
// filters leave: ComputeFilter (enabled and up), the prefilter on
// COMPUTE_STATUS_DISABLED, cell, zone, room, traits and classes, group, and those about
// aggregates where Options.AggregateFilters has them. It goes by Nova's belief:
// a host that died a moment ago is chosen too. One that is named goes through the
// same filters.
func (c *Cloud) schedule(s *server, named nova.HostName) *host {
	used := c.usage()
	var best *host
	for _, h := range c.hosts {
		if h.name == s.host || h.deleted || named != "" && h.name != string(named) || h.disabled || h.disabledTrait || h.cell != s.cell || !c.up(h) {
			continue
		}
		if (s.pinnedZone && h.zone != s.zone) || used[h.name].left(h).ram < s.ramMiB || used[h.name].left(h).cpu < s.vcpus {
			continue
		}
		if c.groupForbids(h, s) || !c.affinityAllows(h, s) || !c.gives(h, s) || !c.letsIn(h, s) {
			continue
		}
		if best == nil || used[h.name].left(h).ram > used[best.name].left(best).ram {
			best = h
		}
	}
	return best
}

// room is memory and processors, used or free.
type room struct{ ram, cpu int }

// left is what a host has beside what is used, at Nova's default ratio of 16
// virtual processors to one.
func (r room) left(h *host) room { return room{h.ramMiB - r.ram, h.cpus() - r.cpu} }

// cpus are the processors that a host gives out.
func (h *host) cpus() int {
	if h.dedicated {
		return h.vcpus
	}
	return 16 * h.vcpus
}

func (r room) with(s *server) room { return room{r.ram + s.ramMiB, r.cpu + s.vcpus} }

// usage is Placement's allocations: what lives on a host and what is on its way.
func (c *Cloud) usage() map[string]room {
	used := map[string]room{}
	for _, s := range c.servers {
		used[s.host] = used[s.host].with(s)
	}
	for _, h := range c.hosts {
		for id := range h.stale {
			if s := c.server(id); s != nil && s.host != h.name && !h.claims[id] {
				used[h.name] = used[h.name].with(s)
			}
		}
		for id := range h.claims {
			if s := c.server(id); s != nil && s.host != h.name {
				used[h.name] = used[h.name].with(s)
			}
		}
	}
	return used
}

// full says that a host has more than it can hold.
func (c *Cloud) full(h *host) bool { return c.usage()[h.name].left(h).ram < 0 }

// groupForbids is the anti-affinity filter, and again the late check at the
// destination (compute/manager.py, _validate_instance_group_policy).
func (c *Cloud) groupForbids(h *host, s *server) bool {
	for _, g := range c.groupsOf(s.id) {
		if g.policy != nova.PolicyAntiAffinity {
			continue
		}
		for _, id := range g.members {
			other := c.server(id)
			if other != nil && other != s && (other.host == h.name || c.migratingTo(h, other)) {
				return true
			}
		}
	}
	return false
}

// migratingTo says that a row in progress names h as its destination. A claim
// that is only scheduled does not count: two in parallel pass the filter.
func (c *Cloud) migratingTo(h *host, s *server) bool {
	return slices.ContainsFunc(c.migrations, func(m *migration) bool {
		return m.server == s.id && m.dest == h.name && m.status == nova.MigrationPreMigrating
	})
}

// affinityAllows: a hard-affinity member may go only where another member is.
// The dead host counts among the group's hosts, and is excluded as the source:
// no host is left unless a member lives elsewhere.
func (c *Cloud) affinityAllows(h *host, s *server) bool {
	for _, g := range c.groupsOf(s.id) {
		if g.policy != nova.PolicyAffinity || len(g.members) < 2 {
			continue
		}
		if !slices.ContainsFunc(g.members, func(id string) bool {
			other := c.server(id)
			return other != nil && other.host == h.name
		}) {
			return false
		}
	}
	return true
}

func (c *Cloud) groupsOf(id string) []*group {
	var all []*group
	for _, g := range c.groups {
		if slices.Contains(g.members, id) {
			all = append(all, g)
		}
	}
	return all
}
