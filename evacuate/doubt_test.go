package evacuate

import (
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// TestDoubtful: the ledger itself refuses to send one elsewhere that may run at a host.
func TestDoubtful(t *testing.T) {
	doubts := []Doubt{{Host: "cmp2", Row: 7}}
	for name, tt := range map[string]struct {
		doubts []Doubt
		to     nova.Target
		ok     bool
	}{
		"no doubt":                     {nil, nova.Target{}, true},
		"where it may run, Nova looks": {doubts, nova.Target{Host: "cmp2"}, true},
		"there, past the scheduler":    {doubts, nova.Target{Host: "cmp2", Force: true}, false},
		"elsewhere":                    {doubts, nova.Target{Host: "cmp3"}, false},
		"wherever the scheduler says":  {doubts, nova.Target{}, false},
		"it may run at two":            {append(doubts, Doubt{Host: "cmp3", Row: 9}), nova.Target{Host: "cmp2"}, false},
	} {
		s := NewState()
		r := &Recovery{ID: "r1", Host: "cmp1", Boot: "b1", Status: StatusOpen, Proof: proofOf("cmp1", "b1")}
		s.Recoveries["r1"] = r
		r.Evacuations = []*Evacuation{{Server: "vm", State: EvacFailed, Attempt: 1, Doubts: tt.doubts}}
		n := *r.Evacuations[0]
		n.State, n.Attempt, n.To, n.Doubts = EvacIntent, 2, tt.to, nil
		err := s.evacuated(r, 1, Entry{Kind: KindEvacuations, Recovery: "r1", At: t0, Evacuations: []*Evacuation{&n}})
		if (err == nil) != tt.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestReopens: what was left is taken up again while the host is proven off, and no
// later.
func TestReopens(t *testing.T) {
	for name, tt := range map[string]struct {
		status  Status
		void    string
		revisit bool
		want    Status // "": refused
	}{
		"recovered":           {StatusRecovered, "", true, StatusOpen},
		"still open":          {StatusOpen, "", true, StatusOpen},
		"a person asked":      {StatusRecovered, "", false, StatusOpen},
		"its proof is void":   {StatusRecovered, "it was heard", true, ""},
		"its host comes back": {StatusReturning, "", true, ""},
	} {
		s := NewState()
		done := &StepRecord{Phase: PhaseDone, Attempt: 1}
		r := &Recovery{ID: "r1", Host: "cmp1", Boot: "b1", Status: tt.status, Void: tt.void, Proof: proofOf("cmp1", "b1"),
			Steps: map[Step]*StepRecord{StepForceDown: done, StepList: done, StepEvacuate: done, StepVerify: done, StepReport: done}}
		s.Recoveries["r1"] = r
		r.Evacuations = []*Evacuation{{Server: "vm", State: EvacSkipped, Revisit: tt.revisit, Ended: t0.Add(-time.Hour)}}
		n := *r.Evacuations[0]
		n.State, n.Revisit = EvacPlanned, false
		err := s.evacuated(r, 1, Entry{Kind: KindEvacuations, Recovery: "r1", At: t0, Evacuations: []*Evacuation{&n}})
		again := tt.status == StatusRecovered && tt.want == StatusOpen
		if (err == nil) != (tt.want != "") || err == nil && (r.Status != tt.want || r.Done(StepReport) || r.Done(StepForceDown) == again || !r.Done(StepList)) {
			t.Errorf("%s: %s, report done %t: %v", name, r.Status, r.Done(StepReport), err)
		}
	}
}

// TestBothEndsTask: what is held for its task is chosen anew by the one that it has by then.
func TestBothEndsTask(t *testing.T) {
	for task, want := range map[string]EvacState{
		"":                    EvacPlanned,
		nova.TaskMigrating:    EvacPlanned, // and was rolled back
		nova.TaskDeleting:     EvacSkipped,
		nova.TaskSoftDeleting: EvacSkipped,
		"resize_migrating":    EvacSkipped,
	} {
		c := aiming()
		s := nova.Server{ID: "vm1", Host: "cmp1", VMState: nova.VMActive, TaskState: task, VolumeBooted: true, LaunchedAt: t0}
		n := c.bothEnds(&Recovery{ID: "r1", Host: "cmp1", Boot: "b1", Proof: proofOf("cmp1", "b1")}, &Evacuation{Server: "vm1", VMState: nova.VMActive, State: EvacHeld}, &Observation{
			Began: t0, Ends: true, Source: map[nova.ServerID]nova.Server{"vm1": s},
			Moves: []nova.Migration{{ID: 1, Server: "vm1", Type: nova.TypeLiveMigration, Status: nova.MigrationFailed, Source: "cmp1", Dest: "cmp2", CreatedAt: t0}}})
		if n == nil || n.State != want || n.Revisit {
			t.Errorf("task %q: %+v, want %s", task, n, want)
		}
	}
}
