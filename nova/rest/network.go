package rest

import (
	"context"
	"strings"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// NetworkAgents lists Neutron's agents of hosts (network API v2.0, GET /agents). It needs
// Neutron in Keystone's catalog and an account that may list agents. One that somebody
// has set down (admin_state_up) is left out.
func (c *Client) NetworkAgents(ctx context.Context) (nova.Control, error) {
	var reply struct {
		Agents []struct {
			Binary string `json:"binary"`
			Host   string `json:"host"`
			Alive  bool   `json:"alive"`
			Wanted bool   `json:"admin_state_up"`
		} `json:"agents"`
	}
	path := "v2.0/agents?fields=binary&fields=host&fields=alive&fields=admin_state_up"
	if _, err := c.get(ctx, request{name: "network_agents", doing: "list Neutron's agents", service: "network", path: path, into: &reply}); err != nil {
		return nil, err
	}
	var all nova.Control
	for _, a := range reply.Agents {
		if !a.Wanted {
			continue
		}
		state := nova.StateDown
		if a.Alive {
			state = nova.StateUp
		}
		all = append(all, nova.ControlService{Binary: a.Binary, Host: nova.HostName(a.Host), State: state})
	}
	return all, nil
}

// networkBase makes http://h:9696 and …/v2.0 both mean Neutron.
func networkBase(a string) string {
	return strings.TrimSuffix(strings.TrimRight(a, "/"), "/v2.0") + "/"
}
