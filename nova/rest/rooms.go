package rest

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

const (
	// roomsVersion is the Placement microversion that sums up every class of a provider, its
	// traits too (1.27), and says which provider stands below which (1.29), in one answer
	// (handlers/allocation_candidate.py, _transform_provider_summaries).
	roomsVersion = "1.29"
	// nodesFresh is how often the list of hypervisors is read again for a provider that
	// is not known.
	nodesFresh = 5 * time.Minute
)

// sums are what Placement tells of one provider beside its candidates.
type sums struct {
	Resources map[string]struct {
		Capacity int `json:"capacity"`
		Used     int `json:"used"`
	} `json:"resources"`
	Traits []string `json:"traits"`
	// Root is the one that all others of its tree stand below, itself if none does.
	Root string `json:"root_provider_uuid"`
}

// Rooms tells what is left on each host that has room for anything, in one call
// however many hosts there are: it asks for candidates that would give one MiB. A host
// that is missing is full, or not known to Placement. Processors are not asked for: hosts
// may have shared ones, their instances' own (PCPU), or both. A disk that a provider does
// not have itself (several share it) does not limit it. Everything below a host (nested
// providers) comes with it.
func (c *Client) Rooms(ctx context.Context) (map[nova.HostName]nova.Room, error) {
	const doing = "read what is left on the hosts"
	ctx, cancel := c.bound(ctx)
	defer cancel()
	var reply struct {
		Summaries *map[string]sums `json:"provider_summaries"`
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
	trees := map[string][]string{}
	for id, p := range *reply.Summaries {
		root := cmp.Or(p.Root, id)
		trees[root] = append(trees[root], id)
	}
	hosts, err := c.hostsOfNodes(ctx, doing, slices.Collect(maps.Keys(trees)))
	if err != nil {
		return nil, err
	}
	rooms, shared := map[nova.HostName]nova.Room{}, false
	for root, ids := range trees {
		host, ok := hosts[root]
		if !ok {
			continue // shared storage, say
		}
		room, has := roomOf(root, ids, *reply.Summaries)
		shared = shared || has
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

// roomOf adds up one tree of providers. shared says that it has shared processors.
func roomOf(root string, ids []string, all map[string]sums) (room nova.Room, shared bool) {
	left := map[string]int{}
	for _, id := range ids {
		for class, r := range all[id].Resources {
			left[class] += r.Capacity - r.Used
		}
		room.Traits = append(room.Traits, all[id].Traits...)
	}
	take := func(class string, without int) int {
		n, has := left[class]
		delete(left, class)
		if !has {
			return without
		}
		return n
	}
	_, shared = left["VCPU"]
	room.Left = nova.Size{VCPUs: take("VCPU", 0), PCPUs: take("PCPU", 0), RAMMiB: take("MEMORY_MB", 0), DiskGiB: take("DISK_GB", unlimited)}
	if len(left) > 0 {
		room.Classes = left
	}
	room.Own = slices.Sorted(slices.Values(all[root].Traits))
	slices.Sort(room.Traits)
	room.Traits = slices.Compact(room.Traits)
	room.Disabled = slices.Contains(room.Own, "COMPUTE_STATUS_DISABLED")
	return room, shared
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
