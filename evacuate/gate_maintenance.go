package evacuate

import "strings"

// foreignMarks start the disabled_reason that other evacuators write: Masakari's
// [host_failure]service_disable_reason by default, and Red Hat's Instance HA.
var foreignMarks = []string{"Masakari detected host failed", "instanceha evacuation"}

// askMaintenance: a person's word, and the marks of somebody else who is at this
// host (rule 13: two evacuators are two copies).
func askMaintenance(q question) (Standing, string) {
	h := q.state.Hosts[q.host]
	switch {
	case h == nil:
		return Held, "the ledger does not know this host"
	case h.Maintenance:
		return Held, "in maintenance, set by " + h.MaintenanceBy
	}
	s := q.world.Nova.Services[q.host]
	for _, mark := range foreignMarks {
		if s.Disabled && strings.HasPrefix(s.DisabledReason, mark) {
			return Held, "another evacuator has it: its nova-compute is disabled with \"" + s.DisabledReason + "\""
		}
	}
	// Pacemaker's fence_compute leaves this mark only. Later it is our own.
	if q.point == AtDecide && s.ForcedDown && !IsOurReason(s.DisabledReason) {
		return Held, "somebody else has forced its nova-compute down, as Pacemaker's fence_compute does"
	}
	return Met, "not in maintenance"
}
