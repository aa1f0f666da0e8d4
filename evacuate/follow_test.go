package evacuate

import (
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
