package rest

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"

	"github.com/lifeboat-ha/lifeboat/nova"
)

const (
	// claimsVersion is the Placement microversion from which a consumer has a
	// generation, which guards its allocations (placement/rest_api_version_history.rst).
	claimsVersion = "1.28"
	// releaseTries is how often an allocation is read and written anew that somebody
	// changed in between.
	releaseTries = 3
)

// Claims lists the servers, and whatever else, to which Placement gives room on a host.
// An evacuated server is among them until the nova-compute of the host has started and
// cleaned up. A host without a provider gives room to nobody.
func (c *Client) Claims(ctx context.Context, host nova.HostName) ([]nova.ServerID, error) {
	doing := "read what Placement allocates on " + string(host)
	ctx, cancel := c.bound(ctx)
	defer cancel()
	providers, err := c.Providers(ctx, host)
	if err != nil {
		return nil, err
	}
	found := map[nova.ServerID]bool{}
	for _, id := range providers {
		var reply struct {
			Allocations *map[nova.ServerID]struct{} `json:"allocations"`
		}
		_, err := c.get(ctx, request{
			name: "allocations", doing: doing, service: "placement", version: claimsVersion,
			path: "resource_providers/" + url.PathEscape(id) + "/allocations", into: &reply,
		})
		switch {
		case nova.FaultOf(err) == nova.FaultNotFound:
			continue
		case err != nil:
			return nil, err
		case reply.Allocations == nil:
			return nil, unknown(doing, "the answer holds no allocations")
		}
		for consumer := range *reply.Allocations {
			found[consumer] = true
		}
	}
	return slices.Sorted(maps.Keys(found)), nil
}

// Providers lists a host's resource providers, nested ones before those that hold them. The nodes are read
// afresh: a nova-compute whose service was deleted comes back with another one.
func (c *Client) Providers(ctx context.Context, host nova.HostName) ([]string, error) {
	doing := "list the resource providers of " + string(host)
	if host == "" {
		return nil, refuse(doing, "no host named")
	}
	ctx, cancel := c.bound(ctx)
	defer cancel()
	nodes, err := c.readNodes(ctx, doing)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, root := range nodes[host] {
		var reply struct {
			Providers *[]provider `json:"resource_providers"`
		}
		_, err := c.get(ctx, request{
			name: "resource_providers", doing: doing, service: "placement", version: claimsVersion,
			path: "resource_providers?in_tree=" + url.QueryEscape(root), into: &reply,
		})
		if err != nil {
			return nil, err
		}
		if reply.Providers == nil {
			return nil, unknown(doing, "the answer holds no list of providers")
		}
		all = append(all, leavesFirst(*reply.Providers)...)
	}
	return all, nil
}

type provider struct {
	ID     string `json:"uuid"`
	Parent string `json:"parent_provider_uuid"`
}

// leavesFirst orders a tree so that each may be deleted when its turn comes.
func leavesFirst(tree []provider) (ids []string) {
	parent := map[string]string{}
	for _, p := range tree {
		parent[p.ID] = p.Parent
	}
	depth := func(id string) (n int) {
		for ; id != "" && n <= len(tree); id = parent[id] {
			n++
		}
		return n
	}
	slices.SortStableFunc(tree, func(a, b provider) int { return depth(b.ID) - depth(a.ID) })
	for _, p := range tree {
		ids = append(ids, p.ID)
	}
	return ids
}

// consumer is an allocation as Placement reads and writes it.
type consumer struct {
	Allocations map[string]claim `json:"allocations"`
	Generation  *int             `json:"consumer_generation"`
	Project     string           `json:"project_id"`
	User        string           `json:"user_id"`
}

type claim struct {
	Resources map[string]int `json:"resources"`
}

// Release takes from a server's allocations what it has at the given providers, as
// `openstack resource provider allocation unset` does. It refuses to take all: then the
// server lives there by what Placement knows. The generation guards it against a
// change by somebody else; then it is read and written again.
func (c *Client) Release(ctx context.Context, id nova.ServerID, providers []string) error {
	doing := "take the allocation of " + string(id) + " off its former host"
	if id == "" || len(providers) == 0 {
		return refuse(doing, "no server or no provider named")
	}
	ctx, cancel := c.bound(ctx)
	defer cancel()
	path := "allocations/" + url.PathEscape(string(id))
	var last error
	for range releaseTries {
		var now consumer
		_, err := c.get(ctx, request{name: "allocation", doing: doing, service: "placement", version: claimsVersion, path: path, into: &now})
		if err != nil {
			return unsentWrite(doing, err)
		}
		before := len(now.Allocations)
		maps.DeleteFunc(now.Allocations, func(p string, _ claim) bool { return slices.Contains(providers, p) })
		switch {
		case len(now.Allocations) == before:
			return nil // so already
		case len(now.Allocations) == 0:
			return refuse(doing, "it is allocated nowhere else")
		}
		_, last = c.call(ctx, request{
			name: "set_allocation", doing: doing, service: "placement", version: claimsVersion, method: http.MethodPut, path: path, body: now,
		})
		if last == nil || nova.FaultOf(last) != nova.FaultConflict {
			return last
		}
	}
	return last
}

// DeleteService forgets a nova-compute service. Nova refuses while instances are on its
// host or a migration of it is under way, and deletes the host's resource providers,
// aggregates' memberships and mapping with it (api/openstack/compute/services.py, delete).
func (c *Client) DeleteService(ctx context.Context, id string) error {
	doing := "delete compute service " + id
	if id == "" {
		return refuse(doing, "no service named")
	}
	v, err := c.negotiated(ctx)
	if err != nil {
		return unsentWrite(doing, err)
	}
	a, err := c.call(ctx, request{
		name: "delete_service", doing: doing, service: "compute", version: v.update, method: http.MethodDelete, path: "os-services/" + url.PathEscape(id),
	})
	if err != nil {
		return err
	}
	c.log.Info("compute service deleted", "service", id, "request_id", a.requestID)
	return nil
}

// DeleteProvider deletes a resource provider; one that is gone is no fault.
func (c *Client) DeleteProvider(ctx context.Context, id string) error {
	doing := "delete resource provider " + id
	if id == "" {
		return refuse(doing, "no provider named")
	}
	_, err := c.call(ctx, request{
		name: "delete_provider", doing: doing, service: "placement", version: claimsVersion, method: http.MethodDelete, path: "resource_providers/" + url.PathEscape(id),
	})
	if nova.FaultOf(err) == nova.FaultNotFound {
		return nil
	}
	return err
}
