package evacuate

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// TestGateVerdictAsksTheMatrix lets a host be fenced that is heard, only where
// the operator's matrix says so, and spares a silent one where it says that.
func TestGateVerdictAsksTheMatrix(t *testing.T) {
	tests := []struct {
		state detector.State
		means detector.Meaning
		pass  bool
	}{
		{detector.Dead, "", true},
		{detector.Dead, detector.MeansFence, true},
		{detector.Dead, detector.MeansReport, false},
		{detector.Isolated, "", false},
		{detector.Isolated, detector.MeansReport, false},
		{detector.Isolated, detector.MeansRepair, false},
		{detector.Isolated, detector.MeansFence, true},
		{detector.PathFault, detector.MeansFence, false},
		{detector.Unmanageable, detector.MeansFence, false},
		{detector.Healthy, detector.MeansFence, false},
	}
	for _, tt := range tests {
		t.Run(string(tt.state)+"/"+string(tt.means), func(t *testing.T) {
			q := question6(t)
			q.world.Verdicts["cmp1"] = detector.Verdict{Host: "cmp1", State: tt.state, Means: tt.means, At: q.world.Now}
			for _, p := range []Point{AtDecide, AtPowerOff} {
				answers := q.ask(p)
				i := slices.IndexFunc(answers, func(a Answer) bool { return a.Gate == GateVerdict })
				if answers[i].Pass != tt.pass {
					t.Errorf("at %s: passes %t, want %t", p, answers[i].Pass, tt.pass)
				}
			}
		})
	}
}

// TestIsolatedOpensByPolicyOnly drives the core with a host that is heard and has
// lost its storage.
func TestIsolatedOpensByPolicyOnly(t *testing.T) {
	for means, opens := range map[detector.Meaning]bool{detector.MeansReport: false, detector.MeansFence: true} {
		q := question6(t)
		q.state.Recoveries = map[RecoveryID]*Recovery{}
		q.world.Verdicts["cmp1"] = detector.Verdict{Host: "cmp1", State: detector.Isolated, Means: means, At: q.world.Now}
		ready := NewCore(DefaultPolicy()).Tick(q.state, *q.world)
		opened := slices.ContainsFunc(ready.Commit, func(e Entry) bool { return e.Kind == KindOpen && e.Host == "cmp1" })
		if opened != opens {
			t.Errorf("matrix says %s: a recovery is opened: %t, want %t", means, opened, opens)
		}
	}
}

// TestConditionsHold shuts the gate control-plane for whom a condition is about.
func TestConditionsHold(t *testing.T) {
	tests := []struct {
		name   string
		cloud  detector.Cloud
		reason detector.Reason
		held   map[Point]bool
	}{
		{"normal", detector.Cloud{Condition: detector.Normal}, detector.ReasonSilent, map[Point]bool{}},
		{"its rack fell silent", detector.Cloud{Condition: detector.SegmentFault, Domains: []detector.Domain{"rack1"}}, detector.ReasonSilent,
			map[Point]bool{AtDecide: true, AtPowerOff: true}},
		{"its rack fell silent, its BMC reads off", detector.Cloud{Condition: detector.SegmentFault, Domains: []detector.Domain{"rack1"}}, detector.ReasonPowerOff, map[Point]bool{}},
		{"another rack fell silent", detector.Cloud{Condition: detector.SegmentFault, Domains: []detector.Domain{"rack2"}}, detector.ReasonSilent, map[Point]bool{}},
		{"two owners of the VIP", detector.Cloud{Condition: detector.VIPSplit}, detector.ReasonPowerOff, map[Point]bool{AtDecide: true, AtPowerOff: true, AtEvacuate: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			q := question6(t)
			q.world.Cloud = tt.cloud
			q.world.Verdicts["cmp1"] = detector.Verdict{Host: "cmp1", State: detector.Dead, Reason: tt.reason, At: q.world.Now, View: detector.View{Domain: "rack1"}}
			for _, p := range []Point{AtDecide, AtPowerOff, AtEvacuate} {
				answers := q.ask(p)
				i := slices.IndexFunc(answers, func(a Answer) bool { return a.Gate == GateControlPlane })
				if held := !answers[i].Pass; held != tt.held[p] {
					t.Errorf("at %s: held %t, want %t (%s)", p, held, tt.held[p], answers[i].Reason)
				} else if held && !strings.HasPrefix(answers[i].Reason, string(tt.cloud.Condition)) {
					t.Errorf("at %s the reason does not name the condition: %s", p, answers[i].Reason)
				}
			}
		})
	}
}

// TestSettled leaves a recovered host out of the count once it is no longer just
// fenced.
func TestSettled(t *testing.T) {
	q := question6(t)
	r := q.state.Recoveries["r1"]
	late := r.Proof.Commanded.Add(DefaultPolicy().StormWindow)
	for _, tt := range []struct {
		status Status
		now    time.Time
		want   bool
	}{{StatusOpen, late, false}, {StatusRecovered, late.Add(-time.Second), false}, {StatusRecovered, late, true}} {
		r.Status = tt.status
		if got := Settled(q.state, DefaultPolicy(), tt.now)[nova.HostName("cmp1")]; got != tt.want {
			t.Errorf("%s at %s: settled %t, want %t", tt.status, tt.now, got, tt.want)
		}
	}
}
