package novatest

import (
	"slices"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// schedule chooses the host with the most free memory among those that the
// filters leave: ComputeFilter (enabled and up), the prefilter on
// COMPUTE_STATUS_DISABLED, cell, zone, room, group. It goes by Nova's belief:
// a host that died a moment ago is chosen too.
func (c *Cloud) schedule(s *server) *host {
	var best *host
	for _, h := range c.hosts {
		if h.name == s.host || h.disabled || h.disabledTrait || !c.up(h) || h.cell != s.cell {
			continue
		}
		if (s.pinnedZone && h.zone != s.zone) || c.freeRAM(h) < s.ramMiB || c.freeCPU(h) < s.vcpus {
			continue
		}
		if c.groupForbids(h, s) || !c.affinityAllows(h, s) {
			continue
		}
		if best == nil || c.freeRAM(h) > c.freeRAM(best) {
			best = h
		}
	}
	return best
}

// tenants is what counts against a host: what lives there and what is on its
// way, by Placement's allocations.
func (c *Cloud) tenants(h *host) []*server {
	var all []*server
	for _, s := range c.servers {
		if s.host == h.name || h.claims[s.id] {
			all = append(all, s)
		}
	}
	return all
}

func (c *Cloud) freeRAM(h *host) int {
	free := h.ramMiB
	for _, s := range c.tenants(h) {
		free -= s.ramMiB
	}
	return free
}

func (c *Cloud) freeCPU(h *host) int {
	free := h.vcpus * 16 // cpu_allocation_ratio
	for _, s := range c.tenants(h) {
		free -= s.vcpus
	}
	return free
}

// groupForbids is the anti-affinity filter, and again the late check at the
// destination (compute/manager.py, _validate_instance_group_policy).
func (c *Cloud) groupForbids(h *host, s *server) bool {
	for _, g := range c.groupsOf(s.id) {
		if g.policy != nova.PolicyAntiAffinity {
			continue
		}
		for _, other := range c.tenants(h) {
			if other != s && slices.Contains(g.members, other.id) && (other.host == h.name || c.migratingTo(h, other)) {
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
