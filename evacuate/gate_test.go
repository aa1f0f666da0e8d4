package evacuate

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// question6 is a cloud of six hosts in which cmp1 is dead and every gate of
// every point is open.
func question6(t *testing.T) question {
	t.Helper()
	s := play(t, eInit, eHost, eOpen, eFence, eProof)
	w := &World{Now: t0.Add(10 * time.Second), Leader: Leadership{ID: "ctl1", Is: true, Term: 5, Since: t0.Add(-time.Hour), Writable: true},
		Verdicts: map[nova.HostName]detector.Verdict{}, Servers: map[nova.HostName][]nova.Server{"cmp1": {{ID: "vm1"}}},
		Fencing: map[nova.HostName]Fencing{}, Network: NetworkSight{Voters: 3, Fresh: 3, Known: 6, Heard: 5}}
	w.Nova = NovaSight{At: w.Now, Services: map[nova.HostName]nova.Service{}, Schedulers: 1, Conductors: 1}
	for i := range 6 {
		h := nova.HostName(fmt.Sprintf("cmp%d", i+1))
		s.host(h)
		w.Verdicts[h] = detector.Verdict{Host: h, State: detector.Healthy, At: w.Now}
		w.Nova.Services[h] = nova.Service{Host: h, State: nova.StateUp}
		w.Fencing[h] = Fencing{Methods: []string{"redfish"}, PoweredOn: w.Now.Add(-time.Hour)}
	}
	w.Verdicts["cmp1"] = detector.Verdict{Host: "cmp1", State: detector.Dead, At: w.Now}
	return question{host: "cmp1", recovery: s.Recoveries["r1"], state: s, world: w, policy: DefaultPolicy()}
}

// holds lists, for each gate, what closes it.
var holds = []struct {
	gate  GateName
	name  string
	spoil func(q *question)
	words string
}{
	{GateLeader, "not the leader", func(q *question) { q.world.Leader.Is = false }, "not the leader"},
	{GateLeader, "standing missing", func(q *question) { q.world.Leader = Leadership{Writable: true} }, "not the leader"},
	{GateLedger, "no quorum", func(q *question) { q.world.Leader.Writable = false }, "no quorum"},
	{GateFreeze, "frozen by an operator", func(q *question) { q.state.Frozen, q.state.FrozenBy = true, "ann" }, "frozen by ann"},
	{GateFreeze, "frozen by a file", func(q *question) { q.world.Frozen = "maintenance window" }, "local file"},
	{GateArmed, "observe", func(q *question) { q.state.Mode = ModeObserve }, "mode is observe"},
	{GateArmed, "shadow", func(q *question) { q.state.Mode = ModeShadow }, "only auto acts"},
	{GateArmed, "approve", func(q *question) { q.state.Mode = ModeApprove }, "only auto acts"},
	{GateArmed, "mode missing", func(q *question) { q.state.Mode = "" }, "only auto acts"},
	{GateMaintenance, "in maintenance", func(q *question) { q.state.Hosts["cmp1"].Maintenance = true }, "in maintenance"},
	{GateVerdict, "verdict missing", func(q *question) { delete(q.world.Verdicts, "cmp1") }, "no verdict yet"},
	{GateVerdict, "unmanageable", func(q *question) { q.verdict("cmp1", detector.Unmanageable) }, "Unmanageable"},
	{GateFresh, "evidence old", func(q *question) {
		v := q.world.Verdicts["cmp1"]
		v.At = q.world.Now.Add(-4 * time.Second)
		q.world.Verdicts["cmp1"] = v
	}, "4s old"},
	{GateFresh, "evidence missing", func(q *question) { delete(q.world.Verdicts, "cmp1") }, "no evidence"},
	{GateControlPlane, "Nova never reached", func(q *question) { q.world.Nova.At = time.Time{} }, "not been reached"},
	{GateControlPlane, "Nova silent", func(q *question) { q.world.Nova.At = q.world.Now.Add(-time.Minute) }, "not answered for 1m0s"},
	{GateControlPlane, "controllers silent", func(q *question) { q.world.Network.Fresh = 1 }, "1 of 3 controllers"},
	{GateControlPlane, "most hosts unheard", func(q *question) { q.world.Network.Heard = 2 }, "2 of 6 hosts are heard"},
	{GateControlPlane, "no conductor", func(q *question) { q.world.Nova.Conductors = 0 }, "0 conductors"},
	{GateControlPlane, "no scheduler", func(q *question) { q.world.Nova.Schedulers = 0 }, "0 schedulers"},
	{GateStorm, "another is dead", func(q *question) { q.verdict("cmp2", detector.Dead) }, "2 hosts are dead"},
	{GateStorm, "another is suspect", func(q *question) { q.verdict("cmp2", detector.Suspect) }, "2 hosts are dead"},
	{GateStorm, "another was just fenced", func(q *question) {
		q.state.Recoveries["r0"] = &Recovery{ID: "r0", Host: "cmp2", Status: StatusClosed, Proof: proofOf("cmp2", "b1")}
	}, "2 hosts are dead"},
	{GateProtected, "nothing on it", func(q *question) { q.world.Servers = nil }, "nothing to save"},
	{GateProtected, "unknown to Nova", func(q *question) { delete(q.world.Nova.Services, "cmp1") }, "knows no nova-compute"},
	{GateFenceable, "nothing configured", func(q *question) { delete(q.world.Fencing, "cmp1") }, "no fencing method"},
	{GateFenceable, "refused", func(q *question) {
		q.world.Fencing["cmp1"] = Fencing{Methods: []string{"ipmi"}, Refused: "a controller's BMC"}
	}, "a controller's BMC"},
	{GateFenceable, "never read on", func(q *question) { q.world.Fencing["cmp1"] = Fencing{Methods: []string{"ipmi"}} }, "never read on"},
	{GateFenceable, "read on too long ago", func(q *question) {
		q.world.Fencing["cmp1"] = Fencing{Methods: []string{"ipmi"}, PoweredOn: q.world.Now.Add(-25 * time.Hour)}
	}, "25h0m0s ago"},
	{GateConcurrency, "two under way", func(q *question) {
		q.policy.Concurrency = 1
	}, "1 recoveries are under way"},
	{GateProof, "no recovery", func(q *question) { q.recovery = nil }, "no recovery"},
	{GateProof, "no proof", func(q *question) { q.recovery.Proof = nil }, "no proof"},
	{GateProof, "void", func(q *question) { q.recovery.Void = "heard" }, "void: heard"},
	{GateProof, "of another boot", func(q *question) { q.recovery.Boot = "b2" }, "no proof"},
}

func (q *question) verdict(h nova.HostName, s detector.State) {
	q.world.Verdicts[h] = detector.Verdict{Host: h, State: s, At: q.world.Now}
}

func (q *question) ask(p Point) []Answer {
	return Ask(p, q.host, q.recovery, q.state, q.world, q.policy)
}

// points is the table of docs/safety.md: at which points a gate is asked.
var points = map[GateName][]Point{
	GateLeader: {AtDecide, AtPowerOff, AtEvacuate}, GateLedger: {AtDecide, AtPowerOff, AtEvacuate},
	GateFreeze: {AtDecide, AtPowerOff, AtEvacuate}, GateArmed: {AtDecide, AtPowerOff}, GateMaintenance: {AtDecide, AtPowerOff},
	GateVerdict: {AtDecide, AtPowerOff}, GateFresh: {AtDecide, AtPowerOff}, GateControlPlane: {AtDecide, AtPowerOff, AtEvacuate},
	GateStorm: {AtDecide, AtPowerOff}, GateProtected: {AtDecide}, GateFenceable: {AtDecide, AtPowerOff}, GateConcurrency: {AtDecide},
	GateProof: {AtEvacuate},
}

// TestGates spoils one thing at a time: exactly the gate that is about it
// closes, at exactly its points, and says why.
func TestGates(t *testing.T) {
	spoilt := map[GateName]bool{}
	for _, tt := range holds {
		spoilt[tt.gate] = true
		for _, p := range []Point{AtDecide, AtPowerOff, AtEvacuate} {
			t.Run(fmt.Sprintf("%s/%s/%s", tt.gate, tt.name, p), func(t *testing.T) {
				q := question6(t)
				tt.spoil(&q)
				i := slices.IndexFunc(q.ask(p), func(a Answer) bool { return a.Gate == tt.gate })
				if asked := slices.Contains(points[tt.gate], p); !asked {
					if i >= 0 {
						t.Fatalf("asked at %s", p)
					}
					return
				} else if i < 0 {
					t.Fatalf("not asked at %s", p)
				}
				a := q.ask(p)[i]
				if a.Pass || !strings.Contains(a.Reason, tt.words) {
					t.Errorf("pass %t: %q, want it closed with %q", a.Pass, a.Reason, tt.words)
				}
			})
		}
	}
	for _, g := range gates {
		if !spoilt[g.name] {
			t.Errorf("nothing closes gate %s here", g.name)
		}
		if !slices.Equal(g.at, points[g.name]) {
			t.Errorf("gate %s is asked at %v, the table says %v", g.name, g.at, points[g.name])
		}
	}
}

// TestGatesOpen asks in a world in which nothing is wrong.
func TestGatesOpen(t *testing.T) {
	for _, p := range []Point{AtDecide, AtPowerOff, AtEvacuate} {
		q := question6(t)
		if a, closed := Closed(q.ask(p)); closed {
			t.Errorf("at %s gate %s is closed: %s", p, a.Gate, a.Reason)
		}
	}
	q := question{point: AtDecide, host: "cmp1", state: NewState(), world: &World{Now: t0}, policy: DefaultPolicy()}
	for _, a := range Ask(AtDecide, "cmp1", nil, q.state, q.world, q.policy) {
		missing := a.Gate != GateFreeze && a.Gate != GateMaintenance && a.Gate != GateStorm && a.Gate != GateConcurrency
		if missing && a.Pass {
			t.Errorf("gate %s passes in an empty world: %s", a.Gate, a.Reason)
		}
	}
}

// TestGateDetails holds single answers that the table does not reach.
func TestGateDetails(t *testing.T) {
	q := question6(t)
	q.world.Leader.Since = q.world.Now.Add(-time.Second)
	if a, _ := Closed(q.ask(AtPowerOff)); a.Gate != GateLeader {
		t.Error("a leader of one second may power off")
	}
	if a, closed := Closed(q.ask(AtEvacuate)); closed {
		t.Errorf("a leader of one second may not go on after the proof: %s", a.Reason)
	}
	q = question6(t)
	for h, s := range q.world.Nova.Services {
		s.Disabled = h != "cmp1"
		q.world.Nova.Services[h] = s
	}
	if a, _ := Closed(q.ask(AtEvacuate)); a.Gate != GateControlPlane {
		t.Error("evacuation with nowhere to go")
	}
	q = question6(t)
	q.verdict("cmp2", detector.Dead)
	q.state.Hosts["cmp2"].Maintenance = true
	if a, closed := Closed(q.ask(AtDecide)); closed {
		t.Errorf("a host in maintenance counts for the storm: %s", a.Reason)
	}
	q = question6(t)
	q.world.Verdicts["cmp2"] = detector.Verdict{State: detector.Suspect, Reason: detector.ReasonHeartbeatVeto, At: q.world.Now}
	if a, closed := Closed(q.ask(AtDecide)); closed {
		t.Errorf("a host that a controller hears counts for the storm: %s", a.Reason)
	}
	q = question6(t)
	q.world.Servers = nil
	q.state.Hosts["cmp1"].Instances = []nova.ServerID{"vm1"}
	if a, closed := Closed(q.ask(AtDecide)); closed {
		t.Errorf("the remembered list of instances is not used: %s", a.Reason)
	}
}

func TestStormLimit(t *testing.T) {
	tests := []struct{ hosts, count, percent, want int }{
		{0, 0, 10, 1}, {1, 0, 10, 1}, {3, 0, 10, 1}, {10, 0, 10, 1}, {11, 0, 10, 2}, {20, 0, 10, 2}, {21, 0, 10, 2},
		{30, 0, 10, 3}, {99, 0, 10, 9}, {500, 0, 10, 50}, {30, 0, 1, 1}, {30, 0, 0, 1},
		{30, 2, 10, 2}, {30, 5, 10, 3}, {5, 3, 10, 1}, {5, 3, 0, 3}, {100, 1, 50, 1},
	}
	for _, tt := range tests {
		p := Policy{StormCount: tt.count, StormPercent: tt.percent}
		if got := p.StormLimit(tt.hosts); got != tt.want {
			t.Errorf("%d hosts, count %d, %d %%: limit %d, want %d", tt.hosts, tt.count, tt.percent, got, tt.want)
		}
	}
}
