package rest

import (
	"context"
	"net/url"
	"strconv"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

const (
	// groupsFresh is how old the cached membership may be: groups are given
	// at boot and hardly change.
	groupsFresh = 5 * time.Minute
	// groupsPatience keeps this hint from costing a recovery its time.
	groupsPatience = 5 * time.Second
)

// ServerGroups lists the scheduling groups of all projects. Members of one
// anti-affinity group must be evacuated one after another: Nova checks the
// policy again at the destination and fails parallel siblings
// (compute/manager.py, _validate_instance_group_policy).
func (c *Client) ServerGroups(ctx context.Context) ([]nova.ServerGroup, error) {
	const doing = "list server groups"
	ctx, cancel := c.bound(ctx)
	defer cancel()
	v, err := c.negotiated(ctx)
	if err != nil {
		return nil, err
	}
	var all []nova.ServerGroup
	for offset := 0; ; {
		var page struct {
			Groups []struct {
				ID       string          `json:"id"`
				Name     string          `json:"name"`
				Policy   string          `json:"policy"`
				Policies []string        `json:"policies"` // before 2.64
				Members  []nova.ServerID `json:"members"`
			} `json:"server_groups"`
		}
		query := url.Values{"all_projects": {"True"}, "limit": {strconv.Itoa(pageSize)}, "offset": {strconv.Itoa(offset)}}
		_, err := c.get(ctx, request{
			name: "server_groups", doing: doing, service: "compute", version: v.groups,
			path: "os-server-groups?" + query.Encode(), into: &page,
		})
		if err != nil {
			return nil, err
		}
		for _, g := range page.Groups {
			if g.Policy == "" && len(g.Policies) > 0 {
				g.Policy = g.Policies[0]
			}
			all = append(all, nova.ServerGroup{ID: g.ID, Name: g.Name, Policy: g.Policy, Members: g.Members})
		}
		// Nova may cap a page below our limit and gives no link: only an empty
		// page is the end.
		if len(page.Groups) == 0 {
			return all, nil
		}
		if offset > 0 && page.Groups[0].ID == all[0].ID {
			return nil, unknown(doing, "Nova repeats the same page")
		}
		offset += len(page.Groups)
	}
}

// groupsOf maps servers to their groups, at most groupsFresh old. A list of
// servers does not carry groups (only a single server does, from 2.71 on). On
// failure the last known map serves: an order of evacuation is worth a hint,
// not a delay.
func (c *Client) groupsOf(ctx context.Context) map[nova.ServerID][]string {
	c.mu.Lock()
	known, at := c.groups, c.groupsAt
	c.mu.Unlock()
	if known != nil && c.now().Sub(at) < groupsFresh {
		return known
	}
	bounded, cancel := context.WithTimeout(ctx, groupsPatience)
	defer cancel()
	list, err := c.ServerGroups(bounded)
	if err != nil {
		c.log.Warn("server groups not read; using those of before", "age", c.now().Sub(at), "error", err)
		return known
	}
	fresh, policies := map[nova.ServerID][]string{}, map[string]string{}
	for _, g := range list {
		policies[g.ID] = g.Policy
		for _, m := range g.Members {
			fresh[m] = append(fresh[m], g.ID)
		}
	}
	c.mu.Lock()
	c.groups, c.policies, c.groupsAt = fresh, policies, c.now()
	c.mu.Unlock()
	return fresh
}
