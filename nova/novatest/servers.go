package novatest

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// listServers is api/openstack/compute/servers.py, detail: newest first. An
// account that may not filter by host gets everything, without a word. Rows of
// an unreachable cell are skipped, or are minimal if nothing is filtered or
// paged (2.69).
func (c *Cloud) listServers(q query) reply {
	if c.policy.Forbid && q.URL.Query().Get("all_tenants") != "" {
		return forbidden("os_compute_api:servers:detail:get_all_tenants")
	}
	values := q.URL.Query()
	host := values.Get("host")
	if c.policy.DropHostFilter {
		host = ""
	}
	since, err := time.Parse(time.RFC3339, values.Get("changes-since"))
	if values.Has("changes-since") && err != nil {
		return fault(400, "Invalid changes-since value")
	}
	bare := q.version >= 69 && host == "" && !values.Has("limit") && !values.Has("marker")
	var list []*server
	for i := len(c.servers) - 1; i >= 0; i-- {
		s := c.servers[i]
		if (host == "" || s.host == host) && (bare || !c.downCells[s.cell]) && (since.IsZero() || !c.touched(s).Before(since)) {
			list = append(list, s)
		}
	}
	cut, next, ok := page(c, q, list, func(s *server) string { return s.id })
	if !ok {
		return fault(400, "marker ["+values.Get("marker")+"] not found")
	}
	rows := []any{}
	for _, s := range cut {
		row := c.serverRow(s, 0)
		if q.version >= 96 && len(row) > 4 {
			row["pinned_availability_zone"] = nil
			if s.pinnedZone {
				row["pinned_availability_zone"] = s.zone
			}
		}
		rows = append(rows, row)
	}
	body := map[string]any{"servers": rows}
	links(body, "servers_links", next)
	return reply{status: 200, body: body}
}

// touched is updated_at, as far as it is of use: a boot, an action or an evacuation wrote
// the server's row.
func (c *Cloud) touched(s *server) time.Time {
	at := s.created
	later := func(t time.Time) {
		if t.After(at) {
			at = t
		}
	}
	later(s.launched)
	for _, a := range s.actions {
		later(a.started)
	}
	for _, m := range c.migrations {
		if m.server == s.id {
			later(m.created)
			later(m.updated)
		}
	}
	return at
}

func (c *Cloud) showServer(q query) reply {
	s := c.server(q.PathValue("id"))
	if s == nil {
		return fault(404, "Instance "+q.PathValue("id")+" could not be found.")
	}
	if c.downCells[s.cell] && q.version < 69 {
		return fault(500, "Unexpected API Error.")
	}
	return reply{status: 200, body: map[string]any{"server": c.serverRow(s, q.version)}}
}

// serverRow is views/servers.py. version matters only where one is shown.
func (c *Cloud) serverRow(s *server, version int) map[string]any {
	if c.downCells[s.cell] {
		return map[string]any{"id": s.id, "status": "UNKNOWN", "tenant_id": s.project, "created": s.created.UTC().Format("2006-01-02T15:04:05Z")}
	}
	var image any = ""
	if s.image != "" {
		image = map[string]any{"id": s.image}
	}
	volumes := []any{}
	for n := range s.volumes {
		volumes = append(volumes, map[string]any{"id": volumeID(s, n), "delete_on_termination": false})
	}
	row := map[string]any{
		"id": s.id, "name": s.name, "tenant_id": s.project, "status": status(s), "metadata": orEmpty(s.metadata),
		"locked": s.locked, "image": image, "created": s.created.UTC().Format("2006-01-02T15:04:05Z"),
		"flavor":                               map[string]any{"original_name": "m1", "ram": s.ramMiB, "vcpus": s.vcpus, "disk": 10, "extra_specs": orEmpty(s.extra)},
		"OS-EXT-STS:vm_state":                  s.vmState,
		"OS-EXT-STS:task_state":                orNull(s.task),
		"OS-EXT-STS:power_state":               s.power,
		"OS-SRV-USG:launched_at":               nullTime(s.launched),
		"OS-EXT-AZ:availability_zone":          s.zone,
		"os-extended-volumes:volumes_attached": volumes,
	}
	addresses := []any{map[string]any{"addr": s.fixed, "version": 4, "OS-EXT-IPS:type": "fixed", "OS-EXT-IPS-MAC:mac_addr": s.mac()}}
	if s.floating != "" {
		addresses = append(addresses, map[string]any{"addr": s.floating, "version": 4, "OS-EXT-IPS:type": "floating", "OS-EXT-IPS-MAC:mac_addr": s.mac()})
	}
	row["addresses"] = map[string]any{"net": addresses}
	if !c.policy.HideHosts {
		row["OS-EXT-SRV-ATTR:host"] = orNull(s.host)
		row["OS-EXT-SRV-ATTR:hypervisor_hostname"] = orNull(s.node)
	}
	if s.fault != "" && s.vmState == nova.VMError {
		row["fault"] = map[string]any{"code": 500, "message": s.fault, "created": s.faultAt.UTC().Format("2006-01-02T15:04:05Z"), "details": s.faultTrace}
	}
	if version >= 71 {
		ids := []string{}
		for _, g := range c.groupsOf(s.id) {
			ids = append(ids, g.id)
		}
		row["server_groups"] = ids
	}
	return row
}

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// status is api/openstack/common.py, _STATE_MAP, in what matters.
func status(s *server) string {
	switch {
	case s.rebuilding():
		return "REBUILD"
	case s.task == nova.TaskMigrating:
		return "MIGRATING"
	case strings.HasPrefix(s.task, "resize_") && s.vmState != "resized":
		return "RESIZE"
	}
	switch s.vmState {
	case nova.VMStopped:
		return "SHUTOFF"
	case nova.VMBuilding:
		return "BUILD"
	case "resized":
		return "VERIFY_RESIZE"
	case "rescued":
		return "RESCUE"
	case "soft-delete":
		return "SOFT_DELETED"
	}
	return strings.ToUpper(s.vmState)
}

// serverAction dispatches on the one key of the body.
func (c *Cloud) serverAction(q query) reply {
	s := c.server(q.PathValue("id"))
	if s == nil {
		return fault(404, "Instance "+q.PathValue("id")+" could not be found.")
	}
	if c.policy.Forbid {
		return forbidden("os_compute_api:os-evacuate")
	}
	var body map[string]json.RawMessage
	if json.Unmarshal(q.body, &body) != nil || len(body) != 1 {
		return fault(400, "Malformed request body")
	}
	if raw, ok := body["evacuate"]; ok {
		if refusal := evacuateSchema(raw, q.version); refusal != "" {
			return fault(400, refusal)
		}
		var to nova.Target
		_ = json.Unmarshal(raw, &to)
		return c.evacuate(s, q.id, to)
	}
	if _, ok := body["os-start"]; ok {
		return c.power(s, true, q.id)
	}
	if _, ok := body["os-stop"]; ok {
		return c.power(s, false, q.id)
	}
	if raw, ok := body["os-migrateLive"]; ok && q.version >= 30 {
		return c.liveMigrate(s, raw, q.id)
	}
	if raw, ok := body["os-resetState"]; ok {
		return c.resetState(s, raw, q.id)
	}
	return fault(400, "There is no such action")
}

// evacuateSchema is schemas/evacuate.py. A host that is named bypassed the scheduler
// before 2.29, which is not imitated.
func evacuateSchema(raw json.RawMessage, version int) string {
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil || fields == nil {
		return "Invalid input for field/attribute evacuate. Value: None. None is not of type 'object'"
	}
	for key := range fields {
		known := key == "adminPass" || key == "host" && version >= 29 || (key == "force" && version >= 29 && version < 68) || (key == "onSharedStorage" && version < 14)
		if !known {
			return "Additional properties are not allowed ('" + key + "' was unexpected)"
		}
	}
	if _, ok := fields["onSharedStorage"]; !ok && version < 14 {
		return "'onSharedStorage' is a required property"
	}
	return ""
}

// listActions is instance_actions.py: newest first.
func (c *Cloud) listActions(q query) reply {
	s := c.server(q.PathValue("id"))
	if s == nil {
		return fault(404, "Instance "+q.PathValue("id")+" could not be found.")
	}
	rows := []any{}
	for i := len(s.actions) - 1; i >= 0; i-- {
		a := s.actions[i]
		rows = append(rows, map[string]any{
			"action": a.name, "request_id": a.requestID, "start_time": nullTime(a.started), "message": orNull(a.message), "instance_uuid": s.id,
		})
	}
	return reply{status: 200, body: map[string]any{"instanceActions": rows}}
}
