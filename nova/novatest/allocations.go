package novatest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// What Placement holds of hosts and servers. An evacuated server is allocated at its
// source too, until the nova-compute there starts and cleans up
// (compute/manager.py, _destroy_evacuated_instances).

// KeepAllocations lets the next n cleanings of a starting nova-compute fail at Placement:
// Nova logs that and calls the row completed all the same.
func (c *Cloud) KeepAllocations(n int) { c.set(func() { c.keepClaims = n }) }

// ClaimByOther allocates on a host for a consumer that no server is: what a migration
// that was never finished leaves behind.
func (c *Cloud) ClaimByOther(name nova.HostName, consumer string) {
	c.set(func() { c.mustHost(name).stale[consumer] = true })
}

// Unclaim is `openstack resource provider allocation unset`.
func (c *Cloud) Unclaim(name nova.HostName, id nova.ServerID) {
	c.set(func() { delete(c.mustHost(name).stale, string(id)) })
}

// consumers are those to whom a host's provider is allocated.
func (c *Cloud) consumers(h *host) map[string]bool {
	all := maps.Clone(h.stale)
	for id := range h.claims {
		all[id] = true
	}
	for _, s := range c.servers {
		if s.host == h.name {
			all[s.id] = true
		}
	}
	return all
}

func (c *Cloud) provider(id string) *host {
	for _, h := range c.hosts {
		if h.nodeID == id && !h.noProvider {
			return h
		}
	}
	return nil
}

func noProvider(id string) reply {
	return reply{status: 404, body: map[string]any{"errors": []any{map[string]any{
		"status": 404, "title": "Not Found", "detail": "No resource provider with uuid " + id + " found",
	}}}}
}

func placementConflict(detail string) reply {
	return reply{status: 409, body: map[string]any{"errors": []any{map[string]any{"status": 409, "title": "Conflict", "detail": detail}}}}
}

// providers is handlers/resource_provider.py, list_resource_providers, for one tree: no
// host has nested ones here.
func (c *Cloud) providers(q query) reply {
	rows := []any{}
	if h := c.provider(q.URL.Query().Get("in_tree")); h != nil {
		rows = append(rows, map[string]any{"uuid": h.nodeID, "name": h.node, "generation": 1, "parent_provider_uuid": nil, "root_provider_uuid": h.nodeID})
	}
	return reply{status: 200, body: map[string]any{"resource_providers": rows}}
}

// providerAllocations is handlers/allocation.py, list_for_resource_provider.
func (c *Cloud) providerAllocations(q query) reply {
	h := c.provider(q.PathValue("id"))
	if h == nil {
		return noProvider(q.PathValue("id"))
	}
	rows := map[string]any{}
	for id := range c.consumers(h) {
		rows[id] = map[string]any{"resources": c.resources(id), "consumer_generation": c.counters["consumer "+id]}
	}
	return reply{status: 200, body: map[string]any{"allocations": rows, "resource_provider_generation": 1}}
}

func (c *Cloud) resources(id string) map[string]int {
	if s := c.server(id); s != nil {
		return map[string]int{"VCPU": s.vcpus, "MEMORY_MB": s.ramMiB}
	}
	return map[string]int{"VCPU": 1}
}

// showAllocations is handlers/allocation.py, list_for_consumer, from 1.28 on.
func (c *Cloud) showAllocations(q query) reply {
	id := q.PathValue("id")
	rows := map[string]any{}
	for _, h := range c.hosts {
		if !h.noProvider && c.consumers(h)[id] {
			rows[h.nodeID] = map[string]any{"generation": 1, "resources": c.resources(id)}
		}
	}
	body := map[string]any{"allocations": rows}
	if len(rows) > 0 {
		body["project_id"], body["user_id"], body["consumer_generation"] = uuid("ad", 2), uuid("ad", 1), c.counters["consumer "+id]
	}
	return reply{status: 200, body: body}
}

// setAllocations is set_allocations_for_consumer: the whole set at once, guarded by the
// consumer's generation. Only taking away is imitated.
func (c *Cloud) setAllocations(q query) reply {
	id := q.PathValue("id")
	var body struct {
		Allocations map[string]struct {
			Resources map[string]int `json:"resources"`
		} `json:"allocations"`
		Generation *int   `json:"consumer_generation"`
		Project    string `json:"project_id"`
		User       string `json:"user_id"`
	}
	if json.Unmarshal(q.body, &body) != nil || body.Generation == nil || body.Project == "" || body.User == "" {
		return fault(400, "JSON does not validate")
	}
	if *body.Generation != c.counters["consumer "+id] {
		return placementConflict("consumer generation conflict - expected " + fmt.Sprint(c.counters["consumer "+id]))
	}
	for _, h := range c.hosts {
		_, stays := body.Allocations[h.nodeID]
		switch {
		case stays == c.consumers(h)[id]:
		case stays:
			return fault(400, "only taking away is imitated")
		default:
			delete(h.stale, id)
			delete(h.claims, id)
		}
	}
	c.counters["consumer "+id]++
	return reply{status: 204}
}

// deleteProvider is delete_resource_provider.
func (c *Cloud) deleteProvider(q query) reply {
	h := c.provider(q.PathValue("id"))
	switch {
	case h == nil:
		return noProvider(q.PathValue("id"))
	case len(c.consumers(h)) > 0:
		return placementConflict("Unable to delete resource provider " + h.nodeID + ": Resource provider has allocations.")
	}
	h.noProvider = true
	return reply{status: 204}
}

// deleteService is services.py, delete: the provider goes with it unless something is
// allocated there, which is logged alone.
func (c *Cloud) deleteService(q query) reply {
	if c.policy.Forbid {
		return forbidden("os_compute_api:os-services:delete")
	}
	h := c.hostByService(q.PathValue("id"))
	if h == nil {
		return fault(404, fmt.Sprintf("Service %s not found.", q.PathValue("id")))
	}
	if slices.ContainsFunc(c.servers, func(s *server) bool { return s.host == h.name }) {
		return fault(409, "Unable to delete compute service that is hosting instances. Migrate or delete the instances first.")
	}
	for _, m := range c.migrations {
		if (m.source == h.name || m.dest == h.name) && (!m.status.Terminal() && !m.status.Fruitless()) {
			return fault(409, "Unable to delete compute service that has in-progress migrations. Complete the migrations or delete the instances first.")
		}
	}
	for i := range c.aggregates {
		a := &c.aggregates[i]
		a.Hosts = slices.DeleteFunc(slices.Clone(a.Hosts), func(n nova.HostName) bool { return string(n) == h.name })
	}
	h.deleted, h.noProvider = true, h.noProvider || len(c.consumers(h)) == 0
	return reply{status: 204}
}

// register is what a nova-compute does whose service was deleted: it makes new rows.
func (c *Cloud) register(h *host) {
	if !h.deleted {
		return
	}
	n := c.nextID("host")
	h.deleted, h.noProvider, h.disabled, h.forcedDown, h.reason = false, false, false, false, ""
	h.serviceID, h.nodeID, h.updatedAt = uuid("5e", n), uuid("40", n), c.now()
}

// listed are the hosts that Nova has rows of.
func (c *Cloud) listed() []*host {
	return slices.DeleteFunc(slices.Clone(c.hosts), func(h *host) bool { return h.deleted })
}
