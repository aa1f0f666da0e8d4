package novatest

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// listServices is api/openstack/compute/services.py, index. From 2.69 on a
// service in an unreachable cell is a row without id and state; before, none.
func (c *Cloud) listServices(q query) reply {
	if c.policy.Forbid {
		return forbidden("os_compute_api:os-services:list")
	}
	binary, name := q.URL.Query().Get("binary"), q.URL.Query().Get("host")
	wanted := func(b, h string) bool { return (binary == "" || b == binary) && (name == "" || h == name) }
	rows := []any{}
	for _, b := range []string{nova.Conductor, nova.Scheduler} {
		if s := c.control[b]; wanted(b, s.host) {
			rows = append(rows, map[string]any{
				"id": s.id, "binary": b, "host": s.host, "zone": "internal", "status": "enabled",
				"state": stateWord(c.controlUp(s)), "updated_at": nullTime(c.now()), "disabled_reason": nil, "forced_down": false,
			})
		}
	}
	for _, h := range c.listed() {
		switch {
		case !wanted("nova-compute", h.name):
		case !c.downCells[h.cell]:
			rows = append(rows, c.serviceRow(h))
		case q.version >= 69:
			rows = append(rows, map[string]any{"binary": "nova-compute", "host": h.name, "status": "UNKNOWN"})
		}
	}
	return reply{status: 200, body: map[string]any{"services": rows}}
}

func stateWord(up bool) string {
	if up {
		return "up"
	}
	return "down"
}

func (c *Cloud) serviceRow(h *host) map[string]any {
	up := c.up(h)
	var reason any
	if h.reason != "" {
		reason = h.reason
	}
	updated := h.updatedAt
	if h.lastSeen.After(updated) {
		updated = h.lastSeen // the heartbeat saves the same row
	}
	return map[string]any{
		"id": h.serviceID, "binary": "nova-compute", "host": h.name, "zone": h.zone,
		"status": map[bool]string{true: "disabled", false: "enabled"}[h.disabled], "state": stateWord(up),
		"updated_at": nullTime(updated), "disabled_reason": reason, "forced_down": h.forcedDown,
	}
}

// updateService is services.py, update (2.53), then compute/api.py,
// HostAPI.service_update: the row is saved, and only then the compute is
// called, if the service reads as up.
func (c *Cloud) updateService(q query) reply {
	if c.policy.Forbid {
		return forbidden("os_compute_api:os-services:update")
	}
	if q.version < 53 {
		return fault(404, "Unknown action")
	}
	id := q.PathValue("id")
	h := c.hostByService(id)
	switch {
	case h == nil && c.isControl(id):
		return fault(400, "Updating a nova-conductor service is not supported. Only nova-compute services can be updated.")
	case h == nil:
		return fault(404, fmt.Sprintf("Service %s could not be found.", id))
	}
	change, refusal := readUpdate(q.body)
	if refusal != "" {
		return fault(400, refusal)
	}
	if change.ForcedDown != nil && !*change.ForcedDown && c.doneRemains(h) {
		return fault(400, fmt.Sprintf("Unable to force up host %s as `done` evacuation migration records remain associated with the host. "+
			"Ensure the compute service has been restarted, allowing these records to move to `completed` before retrying this request.", h.name))
	}
	if change.Status != nil {
		h.disabled, h.reason = *change.Status == "disabled", change.Reason
	}
	if change.ForcedDown != nil {
		h.forcedDown = *change.ForcedDown
	}
	h.updatedAt = c.now()
	out := reply{status: 200}
	if change.Status != nil {
		out.wait = c.syncTrait(h)
	}
	out.body = map[string]any{"service": c.serviceRow(h)}
	return out
}

func (c *Cloud) hostByService(id string) *host {
	for _, h := range c.listed() {
		if h.serviceID == id {
			return h
		}
	}
	return nil
}

func (c *Cloud) isControl(id string) bool {
	for _, s := range c.control {
		if s.id == id {
			return true
		}
	}
	return false
}

type serviceChange struct {
	Status     *string `json:"status"`
	Reason     string  `json:"disabled_reason"`
	ForcedDown *bool   `json:"forced_down"`
}

// readUpdate is schemas/services.py, service_update_v2_53.
func readUpdate(body []byte) (serviceChange, string) {
	var raw map[string]json.RawMessage
	var change serviceChange
	if json.Unmarshal(body, &raw) != nil || json.Unmarshal(body, &change) != nil {
		return change, "Invalid input for field/attribute body."
	}
	for key := range raw {
		switch key {
		case "status", "forced_down":
		case "disabled_reason":
			if n := len(change.Reason); n < 1 || n > 255 {
				return change, "Invalid input for field/attribute disabled_reason."
			}
		default:
			return change, "Additional properties are not allowed ('" + key + "' was unexpected)"
		}
	}
	switch {
	case change.Status != nil && *change.Status != "enabled" && *change.Status != "disabled":
		return change, "Invalid input for field/attribute status."
	case change.Status != nil && *change.Status == "enabled" && change.Reason != "":
		return change, "Specifying 'disabled_reason' with status 'enabled' is invalid."
	case change.Status == nil && change.ForcedDown == nil:
		return change, "No updates were requested. Fields 'status' or 'forced_down' should be specified."
	}
	return change, ""
}

func (c *Cloud) doneRemains(h *host) bool {
	for _, m := range c.migrations {
		if m.source == h.name && m.kind == evacuation && m.status == nova.MigrationDone {
			return true
		}
	}
	return false
}

// syncTrait tells the compute to set or remove its mark in Placement. A host
// that is dead but not yet down keeps the API waiting, and finds the message
// when it comes back: it then obeys an order that has long been withdrawn.
// Its own periodic task corrects the mark later.
func (c *Cloud) syncTrait(h *host) time.Duration {
	if !c.up(h) {
		return 0
	}
	disabled := h.disabled
	delivered := c.rpc(h, func() {
		h.disabledTrait = disabled
		c.after(c.opts.TraitSync, func() { c.on(h, func() { h.disabledTrait = h.disabled }) })
	})
	if delivered {
		return 0
	}
	return c.opts.DisableStall
}

func forbidden(rule string) reply {
	return fault(403, "Policy doesn't allow "+rule+" to be performed.")
}

// listHypervisors is os-hypervisors/detail from 2.53 on.
func (c *Cloud) listHypervisors(q query) reply {
	if c.policy.Forbid {
		return forbidden("os_compute_api:os-hypervisors:list-detail")
	}
	cut, next, ok := page(c, q, c.listed(), func(h *host) string { return h.nodeID })
	if !ok {
		return fault(400, "Compute host "+q.URL.Query().Get("marker")+" could not be found.")
	}
	rows := []any{}
	for _, h := range cut {
		if c.downCells[h.cell] {
			continue
		}
		rows = append(rows, map[string]any{
			"id": h.nodeID, "hypervisor_hostname": h.node, "host_ip": h.address, "state": stateWord(c.up(h)),
			"status":  map[bool]string{true: "disabled", false: "enabled"}[h.disabled],
			"service": map[string]any{"id": h.serviceID, "host": h.name, "disabled_reason": nil},
		})
	}
	body := map[string]any{"hypervisors": rows}
	links(body, "hypervisors_links", next)
	return reply{status: 200, body: body}
}

// traits is Placement's.
func (c *Cloud) traits(q query) reply {
	h := c.provider(q.PathValue("id"))
	if h == nil {
		return noProvider(q.PathValue("id"))
	}
	return reply{status: 200, body: map[string]any{"traits": h.ownTraits(), "resource_provider_generation": 1}}
}
