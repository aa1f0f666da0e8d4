package novatest

import (
	"maps"
	"slices"
	"strings"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// nested is a provider below a host's: a device, a network card.
type nested struct {
	id        string
	traits    []string
	resources map[string]int
}

// AddProvider puts a provider below a host's in Placement.
func (c *Cloud) AddProvider(below nova.HostName, traits []string, resources map[string]int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.mustHost(below)
	h.below = append(h.below, nested{uuid("4b", c.nextID("nested")), traits, resources})
}

// SetFlavor gives a server other extra specs.
func (c *Cloud) SetFlavor(id nova.ServerID, extra map[string]string) {
	c.set(func() { c.byID[string(id)].extra = extra })
}

// ownTraits are those of its own provider.
func (h *host) ownTraits() []string {
	traits := append([]string{"HW_CPU_X86_VMX", "COMPUTE_NODE"}, h.traits...)
	if h.disabledTrait {
		traits = append(traits, "COMPUTE_STATUS_DISABLED")
	}
	return traits
}

// candidates is Placement's handlers/allocation_candidate.py, as far as the sums of
// providers go: whoever has room for what is asked is there with all its classes, and
// with him every provider of his tree (objects/allocation_candidate.py, _merge_candidates).
func (c *Cloud) candidates(q query) reply {
	if q.Header.Get("OpenStack-API-Version") != "placement 1.29" || q.URL.Query().Get("resources") != "MEMORY_MB:1" {
		return fault(400, "only the question that Lifeboat asks is imitated")
	}
	used, summaries := c.usage(), map[string]any{}
	for _, h := range c.listed() {
		if used[h.name].left(h).ram < 1 {
			continue
		}
		class := "VCPU"
		if h.dedicated {
			class = "PCPU"
		}
		sums, given := map[string]any{
			class:       map[string]int{"capacity": h.cpus(), "used": used[h.name].cpu},
			"MEMORY_MB": map[string]int{"capacity": h.ramMiB, "used": used[h.name].ram},
		}, c.given(h)
		share(sums, h.resources, given)
		summaries[h.nodeID] = map[string]any{"traits": h.ownTraits(), "resources": sums, "parent_provider_uuid": nil, "root_provider_uuid": h.nodeID}
		for _, n := range h.below {
			sums := map[string]any{}
			share(sums, n.resources, given)
			summaries[n.id] = map[string]any{"traits": append([]string{}, n.traits...), "resources": sums, "parent_provider_uuid": h.nodeID, "root_provider_uuid": h.nodeID}
		}
	}
	return reply{status: 200, body: map[string]any{"allocation_requests": []any{}, "provider_summaries": summaries}}
}

// share writes down what a provider has, and takes what of it is given out from given.
func share(sums map[string]any, resources, given map[string]int) {
	for class, n := range resources {
		used := min(n, given[class])
		given[class] -= used
		sums[class] = map[string]int{"capacity": n, "used": used}
	}
}

// given is what servers have of a host's own classes, and what is on its way.
func (c *Cloud) given(h *host) map[string]int {
	out := map[string]int{}
	for _, s := range c.servers {
		if s.host == h.name || h.claims[s.id] || h.stale[s.id] {
			for class, n := range s.asks().Classes {
				out[class] += n
			}
		}
	}
	return out
}

func (s *server) asks() nova.Asks { return nova.Server{FlavorExtra: s.extra}.Asks() }

// gives is what Placement would say of a server's traits and classes.
func (c *Cloud) gives(h *host, s *server) bool {
	asks := s.asks()
	if len(asks.Required) == 0 && len(asks.Forbidden) == 0 && len(asks.Classes) == 0 {
		return true
	}
	has, traits, given := maps.Clone(h.resources), h.ownTraits(), c.given(h)
	if has == nil {
		has = map[string]int{}
	}
	if slices.ContainsFunc(asks.Forbidden, func(t string) bool { return slices.Contains(traits, t) }) {
		return false
	}
	for _, n := range h.below {
		traits = append(traits, n.traits...)
		for class, amount := range n.resources {
			has[class] += amount
		}
	}
	for class, n := range asks.Classes {
		if has[class]-given[class] < n {
			return false
		}
	}
	return !slices.ContainsFunc(asks.Required, func(t string) bool { return !slices.Contains(traits, t) })
}

// letsIn is scheduler/filters/aggregate_instance_extra_specs.py, as far as plain words go,
// and aggregate_multitenancy_isolation.py.
func (c *Cloud) letsIn(h *host, s *server) bool {
	if !c.opts.AggregateFilters {
		return true
	}
	says := map[string][]string{}
	for _, a := range c.aggregates {
		if slices.Contains(a.Hosts, nova.HostName(h.name)) {
			for key, words := range a.Metadata {
				says[key] = append(says[key], strings.Split(words, ",")...)
			}
		}
	}
	for key, want := range s.asks().Aggregates {
		if !slices.Contains(says[key], want) {
			return false
		}
	}
	tenants := says["filter_tenant_id"]
	return len(tenants) == 0 || slices.Contains(tenants, s.project)
}
