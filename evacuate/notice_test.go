package evacuate

import (
	"slices"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// The report tells of every instance, in the order of the plan: where it is, or why
// it is not.
func TestReportOfInstances(t *testing.T) {
	r := &Recovery{ID: "r1", Host: "cmp1", LastHeard: t0, Opened: t0.Add(5 * time.Second), Evacuations: []*Evacuation{
		{Server: "a", Name: "a", VMState: nova.VMStopped, State: EvacDone, Dest: "cmp2", Attempt: 2, RequestID: "req-7", Ended: t0.Add(20 * time.Second)},
		{Server: "b", Name: "b", VMState: nova.VMPaused, State: EvacSkipped, Reason: "state paused", Ended: t0.Add(9 * time.Second)},
		{Server: "c", Name: "c", VMState: nova.VMActive, State: EvacPlanned, Waits: waitsRoom},
	}}
	got := r.Report()
	want := []InstanceReport{
		{ID: "a", Name: "a", Was: "stopped", Outcome: EvacDone, Host: "cmp2", Attempts: 2, Ended: 20, RequestID: "req-7"},
		{ID: "b", Name: "b", Was: "paused", Outcome: EvacSkipped, Ended: 9, Reason: "state paused"},
		{ID: "c", Name: "c", Was: "active", Outcome: EvacPlanned, Reason: waitsRoom},
	}
	if !slices.Equal(got.Instances, want) {
		t.Errorf("%+v", got.Instances)
	}
	if got.Moved != 1 || got.Left["c"] != waitsRoom || got.Left["b"] != "state paused" || got.LastInstance != 20 {
		t.Errorf("%+v", got)
	}
}

// The end of a failback is told, once, and whether it was an error.
func TestNoticeOfFailback(t *testing.T) {
	s := NewState()
	r := &Recovery{ID: "r1", Host: "cmp1", Status: StatusClosed, Outcome: OutcomeReturned, Opened: t0, Closed: t0,
		Failback: &Failback{Moves: []FailbackMove{{Server: "a", State: EvacDone}}}}
	s.Recoveries["r1"] = r
	told := func() (n int, text string) {
		for _, x := range Notices(s) {
			if x.Event == "failback" {
				n, text = n+1, x.Text
			}
		}
		return n, text
	}
	if n, _ := told(); n != 0 || r.Failback.Stopped() {
		t.Error("told of before its end")
	}
	r.Failback.Ended, r.Failback.Reason = t0, "1 of 1 are home"
	if n, text := told(); n != 1 || text != "failback to cmp1 is over: 1 of 1 are home" || r.Failback.Stopped() {
		t.Errorf("%d, %q", n, text)
	}
	r.Failback.Moves[0].State = EvacFailed
	if !r.Failback.Stopped() {
		t.Error("an error is no stop")
	}
}
