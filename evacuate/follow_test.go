package evacuate

import (
	"fmt"
	"testing"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// TestSourceIsListedWhileItMatters: while all that is left has been sent, or is on
// the wire, the list of the source can change nothing.
func TestSourceIsListedWhileItMatters(t *testing.T) {
	type flight struct {
		state  EvacState
		flying bool
	}
	for _, c := range []struct {
		name string
		all  []flight
		want bool
	}{
		{"something is still to be sent", []flight{{EvacFollowing, false}, {EvacPlanned, false}}, true},
		{"something failed and is tried again", []flight{{EvacFollowing, false}, {EvacFailed, false}}, true},
		{"a former leader's promise", []flight{{EvacFollowing, false}, {EvacIntent, false}}, true},
		{"the answer to a POST is awaited", []flight{{EvacFollowing, false}, {EvacIntent, true}}, false},
		{"one POST is awaited, another is to be sent", []flight{{EvacIntent, true}, {EvacPlanned, false}}, true},
		{"it failed although an answer is still on its way", []flight{{EvacFailed, true}}, true},
		{"all are followed", []flight{{EvacFollowing, false}, {EvacDone, false}, {EvacSkipped, false}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			core, r := NewCore(DefaultPolicy()), &Recovery{ID: "r1", Host: "cmp1", Status: StatusOpen}
			core.state, core.world = NewState(), World{Now: t0}
			r.Steps = map[Step]*StepRecord{StepList: {Phase: PhaseDone}}
			for i, f := range c.all {
				e := &Evacuation{Server: nova.ServerID(rune('a' + i)), State: f.state, Intent: t0}
				r.Evacuations = append(r.Evacuations, e)
				if f.flying {
					core.flight[flightKey{recovery: r.ID, step: StepEvacuate, server: e.Server}] = t0
				}
			}
			core.follow(r)
			if n := len(core.ready.Actions); n != 1 || core.ready.Actions[0].Step != StepObserve {
				t.Fatalf("%d actions: %+v", n, core.ready.Actions)
			}
			if got := core.ready.Actions[0].Source; got != c.want {
				t.Errorf("the source is listed: %t, want %t", got, c.want)
			}
		})
	}
}

// TestEndOfARow: an evacuation is done when its server rests elsewhere, and fails when its
// row did and the server is where it was. All else is waited for, and never sent again.
func TestEndOfARow(t *testing.T) {
	const waits = EvacFollowing
	for _, c := range []struct {
		row    nova.MigrationStatus
		server nova.Server
		want   EvacState
	}{
		{nova.MigrationDone, nova.Server{Host: "cmp2", VMState: nova.VMActive}, EvacDone},
		{nova.MigrationCompleted, nova.Server{Host: "cmp2", VMState: nova.VMStopped}, EvacDone},
		{nova.MigrationError, nova.Server{Host: "cmp3", VMState: nova.VMActive}, EvacDone},
		{nova.MigrationDone, nova.Server{Host: "cmp2", VMState: nova.VMActive, TaskState: nova.TaskRebuilding}, waits},
		{nova.MigrationDone, nova.Server{Host: "cmp2", VMState: nova.VMError}, EvacSkipped},
		{nova.MigrationDone, nova.Server{Host: "cmp1", VMState: nova.VMActive}, waits},
		{nova.MigrationCompleted, nova.Server{Host: "cmp1", VMState: nova.VMError}, waits},
		{nova.MigrationDone, nova.Server{VMState: nova.VMActive}, waits},
		{nova.MigrationError, nova.Server{Host: "cmp1", VMState: nova.VMActive, TaskState: nova.TaskRebuilding}, waits},
		{nova.MigrationError, nova.Server{Host: "cmp1", VMState: nova.VMError}, EvacFailed},
		{nova.MigrationFailed, nova.Server{Host: "cmp1", VMState: nova.VMActive}, EvacFailed},
	} {
		t.Run(fmt.Sprintf("%s, %s%s on %q", c.row, c.server.VMState, c.server.TaskState, c.server.Host), func(t *testing.T) {
			core, r := NewCore(DefaultPolicy()), &Recovery{ID: "r1", Host: "cmp1", Status: StatusOpen}
			core.state, core.world = NewState(), World{Now: t0}
			e := &Evacuation{Server: "a", State: EvacFollowing, Attempt: 1, Intent: t0, Row: 7, Dest: "cmp2"}
			got := core.track(r, e, &Observation{
				Rows: []nova.Migration{{ID: 7, Server: "a", Source: "cmp1", Dest: "cmp2", Status: c.row}}, Moved: map[nova.ServerID]nova.Server{"a": c.server},
			})
			switch {
			case got == nil && c.want != waits:
				t.Errorf("it is waited for, want %s", c.want)
			case got != nil && got.State != c.want:
				t.Errorf("it is %s (%s), want %s", got.State, got.Reason, c.want)
			}
		})
	}
}
