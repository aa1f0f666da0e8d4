package novatest

import (
	"fmt"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// volumeID and portID name a server's n-th; so does its MAC.
func volumeID(s *server, n int) string { return uuid("70", 100*s.number+n) }

func (s *server) mac() string {
	return fmt.Sprintf("fa:16:3e:00:%02x:%02x", s.number>>8&0xff, s.number&0xff)
}

// listVolumes is volumes.py, VolumeAttachmentController.index: of Nova's own database.
func (c *Cloud) listVolumes(q query) reply {
	s := c.server(q.PathValue("id"))
	if s == nil {
		return fault(404, "Instance "+q.PathValue("id")+" could not be found.")
	}
	rows := []any{}
	for n := range s.volumes {
		row := map[string]any{"volumeId": volumeID(s, n), "serverId": s.id, "device": fmt.Sprintf("/dev/vd%c", 'a'+n)}
		if q.version < 89 {
			row["id"] = volumeID(s, n)
		} else {
			row["attachment_id"], row["bdm_uuid"] = uuid("71", 100*s.number+n), uuid("72", 100*s.number+n)
		}
		if s.detached > n {
			row["attachment_id"] = nil
		}
		rows = append(rows, row)
	}
	return reply{status: 200, body: map[string]any{"volumeAttachments": rows}}
}

// listPorts is attach_interfaces.py, index. A port of a guest that does not run is down.
func (c *Cloud) listPorts(q query) reply {
	s := c.server(q.PathValue("id"))
	switch {
	case s == nil:
		return fault(404, "Instance "+q.PathValue("id")+" could not be found.")
	case c.neutronDown:
		return fault(500, "Unexpected API Error. NeutronClientException")
	}
	state := nova.PortActive
	if h := c.host(s.host); h == nil || !h.guests[s.id] || s.unwired {
		state = "DOWN"
	}
	row := map[string]any{"port_id": uuid("7b", s.number), "net_id": uuid("7c", 1), "mac_addr": s.mac(), "port_state": state,
		"fixed_ips": []any{map[string]any{"ip_address": s.fixed, "subnet_id": uuid("7d", 1)}}}
	return reply{status: 200, body: map[string]any{"interfaceAttachments": []any{row}}}
}

// NeutronDown has every question for ports fail.
func (c *Cloud) NeutronDown(down bool) { c.set(func() { c.neutronDown = down }) }

// Unwire keeps a server's port down, and Detach leaves its first n volumes without an
// attachment at Cinder, wherever the server goes.
func (c *Cloud) Unwire(id nova.ServerID) { c.set(func() { c.server(string(id)).unwired = true }) }

// Detach is said at Unwire.
func (c *Cloud) Detach(id nova.ServerID, n int) {
	c.set(func() { c.server(string(id)).detached = n })
}
