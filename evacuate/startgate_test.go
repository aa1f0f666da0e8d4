package evacuate

import (
	"strings"
	"testing"
)

// TestStartGate: nothing starts while an evacuation may be on its way, whatever the
// mode; and else only a host without a recovery, or one that is asked back.
func TestStartGate(t *testing.T) {
	for _, status := range []Status{"", StatusOpen, StatusRecovered, StatusReturning, StatusClosed} {
		for _, evac := range []EvacState{"", EvacPlanned, EvacIntent, EvacFollowing, EvacReset, EvacDone, EvacFailed, EvacSkipped, EvacHeld} {
			for _, acts := range []bool{true, false} {
				s := NewState()
				if status != "" {
					s.Recoveries["r1"] = &Recovery{ID: "r1", Host: "cmp1", Status: status}
				}
				if status != "" && evac != "" {
					s.Recoveries["r1"].Evacuations = []*Evacuation{{Server: "vm", State: evac}}
				}
				none := status == "" || status == StatusClosed
				onItsWay := evac == EvacIntent || evac == EvacFollowing || evac == EvacReset
				want := none || !onItsWay && (!acts || status == StatusReturning)
				open, why := s.StartGate("cmp1", acts)
				if open != want || why == "" {
					t.Errorf("recovery %q, evacuation %q, acts %t: open %t (%s)", status, evac, acts, open, why)
				}
				if !open && !strings.Contains(why, "r1") {
					t.Errorf("shut without naming its recovery: %s", why)
				}
			}
		}
	}
}
