package rest

import (
	"context"
	"net/url"
	"slices"
	"strconv"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// traitsVersion is the Placement microversion that introduced traits.
const traitsVersion = "1.6"

// ComputeStatusDisabled says whether Placement marks the host as disabled. The
// mark is set and removed by the compute itself, on an RPC from Nova's API
// (compute/manager.py, set_host_enabled): a host that was disabled while dead
// finds the unanswered RPC when it returns and sets the mark although its
// service is enabled again, and the scheduler then passes it by.
func (c *Client) ComputeStatusDisabled(ctx context.Context, host nova.HostName) (bool, error) {
	doing := "read Placement's traits of " + string(host)
	ctx, cancel := c.bound(ctx)
	defer cancel()
	nodes, err := c.nodesOf(ctx, doing, host)
	if err != nil {
		return false, err
	}
	for _, id := range nodes {
		var reply struct {
			Traits *[]string `json:"traits"`
		}
		_, err := c.get(ctx, request{
			name: "traits", doing: doing, service: "placement", version: traitsVersion,
			path: "resource_providers/" + url.PathEscape(id) + "/traits", into: &reply,
		})
		if err != nil {
			if nova.FaultOf(err) == nova.FaultNotFound {
				c.forgetNodes(host)
			}
			return false, err
		}
		if reply.Traits == nil {
			return false, unknown(doing, "the answer holds no traits")
		}
		if slices.Contains(*reply.Traits, "COMPUTE_STATUS_DISABLED") {
			return true, nil
		}
	}
	return false, nil
}

// nodesOf finds a host's resource providers. Their name is the hypervisor's
// hostname, which need not be the service's; their id is the compute node's.
func (c *Client) nodesOf(ctx context.Context, doing string, host nova.HostName) ([]string, error) {
	c.mu.Lock()
	known := c.nodes[host]
	c.mu.Unlock()
	if len(known) > 0 {
		return known, nil
	}
	byHost, err := c.readNodes(ctx, doing)
	if err != nil {
		return nil, err
	}
	if len(byHost[host]) == 0 {
		return nil, &nova.Error{Doing: doing, Fault: nova.FaultNotFound}
	}
	return byHost[host], nil
}

// readNodes reads the nodes of all hosts, and keeps them.
func (c *Client) readNodes(ctx context.Context, doing string) (map[nova.HostName][]string, error) {
	all, err := c.hypervisors(ctx, doing)
	if err != nil {
		return nil, err
	}
	byHost := map[nova.HostName][]string{}
	for _, h := range all {
		byHost[h.Host] = append(byHost[h.Host], h.ID)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodes = byHost
	return byHost, nil
}

// Hypervisors lists every compute node that Nova knows.
func (c *Client) Hypervisors(ctx context.Context) ([]nova.Hypervisor, error) {
	ctx, cancel := c.bound(ctx)
	defer cancel()
	return c.hypervisors(ctx, "list the hypervisors")
}

func (c *Client) hypervisors(ctx context.Context, doing string) ([]nova.Hypervisor, error) {
	v, err := c.negotiated(ctx)
	if err != nil {
		return nil, err
	}
	var all []nova.Hypervisor
	query := url.Values{"limit": {strconv.Itoa(pageSize)}}
	for more := true; more; {
		var page struct {
			Hypervisors []struct {
				ID      string `json:"id"`
				Name    string `json:"hypervisor_hostname"`
				Address string `json:"host_ip"`
				Service struct {
					Host nova.HostName `json:"host"`
				} `json:"service"`
			} `json:"hypervisors"`
			Links []link `json:"hypervisors_links"`
		}
		_, err := c.get(ctx, request{
			name: "hypervisors", doing: doing, service: "compute", version: v.hypervisors,
			path: "os-hypervisors/detail?" + query.Encode(), into: &page,
		})
		if err != nil {
			return nil, err
		}
		for _, h := range page.Hypervisors {
			all = append(all, nova.Hypervisor{ID: h.ID, Host: h.Service.Host, Name: h.Name, Address: h.Address})
		}
		if more = hasNext(page.Links) && len(page.Hypervisors) > 0; more {
			last := page.Hypervisors[len(page.Hypervisors)-1].ID
			if query.Get("marker") == last {
				return nil, unknown(doing, "Nova repeats the same page")
			}
			query.Set("marker", last)
		}
	}
	return all, nil
}

func (c *Client) forgetNodes(host nova.HostName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.nodes, host)
}
