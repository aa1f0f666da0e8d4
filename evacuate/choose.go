package evacuate

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// Choose says whether a server on a fenced host is evacuated; if not, the
// reason stands in the report. It follows what Nova's API accepts
// (nova/compute/api.py, evacuate) and what is safe for its disk.
func Choose(s nova.Server, storage Storage) (move bool, reason string) {
	switch s.TaskState {
	case "deleting", "soft-deleting":
		return false, "being deleted"
	case nova.TaskMigrating:
		return false, "held: it was being live-migrated and may run on the other host; look at both ends"
	}
	if strings.HasPrefix(s.TaskState, "resize_") {
		return false, "held: it was being resized, its disk may be half moved"
	}
	switch s.VMState {
	case nova.VMActive, nova.VMStopped:
	case nova.VMError:
		if s.LaunchedAt.IsZero() {
			return false, "it never booted"
		}
	case nova.VMBuilding:
		return false, "it never booted"
	default:
		return false, fmt.Sprintf("state %s: Nova evacuates only active, stopped and error", s.VMState)
	}
	if s.VolumeBooted || storage == StorageShared {
		return true, ""
	}
	return false, fmt.Sprintf("its disk is an image copy and the host's storage is declared %q: evacuating would lose its data (declare storage: shared if it is)", storage)
}

// Plan orders the journals of a host's servers: the biggest first, so that
// they find room, then by name. Protected says which are to be recovered, and why.
func Plan(servers []nova.Server, storage Storage, before []Instance, protected func(nova.Server) (bool, string)) []*Evacuation {
	servers = slices.Clone(servers)
	slices.SortFunc(servers, func(a, b nova.Server) int {
		if a.RAMMiB != b.RAMMiB {
			return b.RAMMiB - a.RAMMiB
		}
		return strings.Compare(a.Name+string(a.ID), b.Name+string(b.ID))
	})
	plan := make([]*Evacuation, 0, len(servers))
	for _, s := range servers {
		e := &Evacuation{Server: s.ID, Name: s.Name, VMState: s.VMState, State: EvacPlanned}
		for _, b := range before {
			if b.ID == s.ID {
				e.VMState = b.VMState // as it was before anything
			}
		}
		if yes, why := protected(s); !yes {
			e.State, e.Reason = EvacSkipped, "not protected: "+why
		} else if move, reason := Choose(s, storage); !move {
			e.State, e.Reason = EvacSkipped, reason
		}
		plan = append(plan, e)
	}
	return plan
}
