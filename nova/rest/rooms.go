package rest

import (
	"context"
	"slices"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

const (
	// roomsVersion is the Placement microversion that sums up every class of a
	// provider, its traits too, in one answer (placement/rest_api_version_history.rst).
	roomsVersion = "1.27"
	// nodesFresh is how often the list of hypervisors is read again for a provider that
	// is not known.
	nodesFresh = 5 * time.Minute
)

// Rooms tells what is left on each host that has room for anything, in one call
// however many hosts there are: it asks for candidates that would give one MiB. A host
// that is missing is full, or not known to Placement. Processors are not asked for: hosts
// may have shared ones, their instances' own (PCPU), or both. A disk that a provider does
// not have itself (several share it) does not limit it.
func (c *Client) Rooms(ctx context.Context) (map[nova.HostName]nova.Room, error) {
	const doing = "read what is left on the hosts"
	ctx, cancel := c.bound(ctx)
	defer cancel()
	var reply struct {
		Summaries *map[string]struct {
			Resources map[string]struct {
				Capacity int `json:"capacity"`
				Used     int `json:"used"`
			} `json:"resources"`
			Traits []string `json:"traits"`
		} `json:"provider_summaries"`
	}
	_, err := c.get(ctx, request{
		name: "allocation_candidates", doing: doing, service: "placement", version: roomsVersion,
		path: "allocation_candidates?resources=MEMORY_MB:1", into: &reply,
	})
	if err != nil {
		return nil, err
	}
	if reply.Summaries == nil {
		return nil, unknown(doing, "the answer holds no providers")
	}
	ids := make([]string, 0, len(*reply.Summaries))
	for id := range *reply.Summaries {
		ids = append(ids, id)
	}
	hosts, err := c.hostsOfNodes(ctx, doing, ids)
	if err != nil {
		return nil, err
	}
	rooms, shared := map[nova.HostName]nova.Room{}, false
	for id, s := range *reply.Summaries {
		host, ok := hosts[id]
		if !ok {
			continue // shared storage, say
		}
		left := func(class string, without int) int {
			r, has := s.Resources[class]
			if !has {
				return without
			}
			return r.Capacity - r.Used
		}
		_, has := s.Resources["VCPU"]
		shared = shared || has
		room := nova.Room{Left: nova.Size{VCPUs: left("VCPU", 0), PCPUs: left("PCPU", 0), RAMMiB: left("MEMORY_MB", 0), DiskGiB: left("DISK_GB", unlimited)}, Disabled: slices.Contains(s.Traits, "COMPUTE_STATUS_DISABLED")}
		// Of several nodes (bare metal) the roomiest speaks for the host.
		if before, ok := rooms[host]; !ok || before.Left.RAMMiB < room.Left.RAMMiB {
			rooms[host] = room
		}
	}
	if !shared {
		// Nobody has shared ones: who seems to ask for them is pinned by its image, of which
		// a server tells nothing.
		for host, room := range rooms {
			room.Left.VCPUs = unlimited
			rooms[host] = room
		}
	}
	return rooms, nil
}

// unlimited is more than any host has, and small enough to be added to.
const unlimited = 1 << 40

// hostsOfNodes maps resource providers to hosts. One that is unknown makes it read the
// hypervisors again, now and then.
func (c *Client) hostsOfNodes(ctx context.Context, doing string, ids []string) (map[string]nova.HostName, error) {
	byNode := func() map[string]nova.HostName {
		c.mu.Lock()
		defer c.mu.Unlock()
		hosts := map[string]nova.HostName{}
		for host, nodes := range c.nodes {
			for _, id := range nodes {
				hosts[id] = host
			}
		}
		return hosts
	}
	hosts := byNode()
	strange := slices.ContainsFunc(ids, func(id string) bool { _, ok := hosts[id]; return !ok })
	c.mu.Lock()
	due := strange && !c.now().Before(c.nodesDue)
	if due {
		c.nodesDue = c.now().Add(nodesFresh)
	}
	c.mu.Unlock()
	if !due {
		return hosts, nil
	}
	if _, err := c.readNodes(ctx, doing); err != nil {
		c.mu.Lock()
		c.nodesDue = time.Time{}
		c.mu.Unlock()
		return nil, err
	}
	return byNode(), nil
}
