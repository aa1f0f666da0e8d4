package novatest

import "github.com/lifeboat-ha/lifeboat/nova"

// SetNetworkAgents says which of Neutron's agents there are. One whose state is empty
// was set down by somebody.
func (c *Cloud) SetNetworkAgents(all ...nova.ControlService) { c.set(func() { c.agents = all }) }

// listNetworkAgents is neutron/extensions/agent.py, index.
func (c *Cloud) listNetworkAgents(query) reply {
	if c.policy.Forbid {
		return forbidden("get_agent")
	}
	rows := []any{}
	for _, s := range c.agents {
		rows = append(rows, map[string]any{"binary": s.Binary, "host": string(s.Host), "alive": s.State == nova.StateUp, "admin_state_up": s.State != ""})
	}
	return reply{status: 200, body: map[string]any{"agents": rows}}
}
