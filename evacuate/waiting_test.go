package evacuate

import (
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// provenOff is the recovery of a host that was proven off just now, and listed.
func provenOff(id RecoveryID, host nova.HostName, all ...*Evacuation) *Recovery {
	return &Recovery{ID: id, Host: host, Boot: "b1", Status: StatusOpen, Opened: t0, Proof: proofOf(string(host), "b1"),
		Steps: map[Step]*StepRecord{StepList: {Phase: PhaseDone}}, Evacuations: all}
}

// TestBlocked: what can do nothing but wait stands in nobody's way; whatever fences, lists,
// sends or follows does.
func TestBlocked(t *testing.T) {
	p := DefaultPolicy()
	at := func(d time.Duration) *Evacuation {
		return &Evacuation{Server: "vm1", State: EvacFollowing, Attempt: 1, Intent: t0.Add(d)}
	}
	now := t0.Add(20 * time.Minute)
	for name, tt := range map[string]struct {
		r       *Recovery
		waits   bool
		blocked bool
	}{
		"nothing proven":               {&Recovery{Host: "cmp1", Boot: "b1", Status: StatusOpen, Opened: now}, false, false},
		"not proven, held for long":    {&Recovery{Host: "cmp1", Boot: "b1", Status: StatusOpen, Opened: t0, Hold: &Hold{Step: StepFence}}, false, true},
		"not proven, held just now":    {&Recovery{Host: "cmp1", Boot: "b1", Status: StatusOpen, Opened: now, Hold: &Hold{Step: StepFence}}, false, false},
		"recovered":                    {&Recovery{Host: "cmp1", Status: StatusRecovered}, false, false},
		"one can be sent":              {provenOff("r1", "cmp1", &Evacuation{State: EvacPlanned, Waits: waitsRoom}, &Evacuation{State: EvacPlanned}), false, false},
		"one is sent again in a while": {provenOff("r1", "cmp1", &Evacuation{State: EvacFailed, Attempt: 1, Last: "error"}), false, false},
		"one is on its way":            {provenOff("r1", "cmp1", at(19*time.Minute)), false, false},
		"its state is being reset":     {provenOff("r1", "cmp1", &Evacuation{State: EvacReset}), false, false},
		"all are moved":                {provenOff("r1", "cmp1", &Evacuation{State: EvacDone}, &Evacuation{State: EvacSkipped}), false, false},
		"waits for room":               {provenOff("r1", "cmp1", &Evacuation{State: EvacDone}, &Evacuation{State: EvacPlanned, Waits: waitsRoom}), true, true},
		"waits for a group":            {provenOff("r1", "cmp1", &Evacuation{State: EvacFailed, Waits: waitsGroup + " db"}), true, true},
		"stuck":                        {provenOff("r1", "cmp1", at(20*time.Minute-p.Stuck)), true, true},
		"both ends are looked at":      {provenOff("r1", "cmp1", &Evacuation{State: EvacHeld}), true, true},
		"fails each minute":            {provenOff("r1", "cmp1", &Evacuation{State: EvacFailed, Attempt: 3, Last: "error"}), true, true},
		"is on its way once more":      {provenOff("r1", "cmp1", &Evacuation{State: EvacFollowing, Attempt: 4, Last: "error", Intent: now}), true, true},
		"unclaimed by a dead host":     {provenOff("r1", "cmp1", &Evacuation{State: EvacFollowing, Intent: now, To: nova.Target{Host: "cmp7"}}), true, true},
	} {
		s := NewState()
		s.Recoveries["r1"], s.Recoveries["r7"] = tt.r, provenOff("r7", "cmp7")
		if got := s.waits(tt.r, now, p); got != tt.waits {
			t.Errorf("%s: waits %t", name, got)
		}
		if got := s.blocked(tt.r, now, p); got != tt.blocked {
			t.Errorf("%s: blocked %t", name, got)
		}
	}
	verify := provenOff("r1", "cmp1", &Evacuation{State: EvacDone})
	verify.Hold = &Hold{Step: StepVerify}
	watched := provenOff("r1", "cmp1", &Evacuation{State: EvacPlanned})
	watched.Hold = &Hold{Gate: GateArmed}
	for name, r := range map[string]*Recovery{"cannot be verified": verify, "its mode only watches": watched} {
		s := NewState()
		s.Recoveries["r1"] = r
		if !s.waits(r, now, p) {
			t.Errorf("%s: it does not wait", name)
		}
	}
}

// TestWaitingRecoveriesCount: within the window of the storm they do, as fenced just now.
func TestWaitingRecoveriesCount(t *testing.T) {
	for name, tt := range map[string]struct {
		now         time.Duration
		e           *Evacuation
		storm       string
		concurrency string
	}{
		"within the window": {9 * time.Minute, &Evacuation{State: EvacPlanned, Waits: waitsRoom}, "2 hosts are dead, suspect or just fenced (cmp1, cmp2)", ""},
		"after the window":  {11 * time.Minute, &Evacuation{State: EvacPlanned, Waits: waitsRoom}, "", ""},
		"under way":         {11 * time.Minute, &Evacuation{State: EvacPlanned}, "2 hosts are dead, suspect or just fenced (cmp1, cmp2)", "1 recoveries are under way"},
	} {
		q := question6(t)
		q.point, q.host, q.recovery, q.policy.Concurrency = AtDecide, "cmp2", nil, 1
		q.world.Now = t0.Add(tt.now)
		q.state.Recoveries = map[RecoveryID]*Recovery{"r1": provenOff("r1", "cmp1", tt.e)}
		for _, h := range []nova.HostName{"cmp1", "cmp2"} {
			q.world.Verdicts[h] = detector.Verdict{Host: h, State: detector.Dead, Reason: detector.ReasonSilent, At: q.world.Now, Silent: tt.now}
		}
		for gate, want := range map[GateName]string{GateStorm: tt.storm, GateConcurrency: tt.concurrency} {
			ask := map[GateName]func(question) (Standing, string){GateStorm: askStorm, GateConcurrency: askConcurrency}[gate]
			standing, reason := ask(q)
			if (standing == Held) != (want != "") || !strings.Contains(reason, want) {
				t.Errorf("%s: %s %s: %s, want %q", name, gate, standing, reason, want)
			}
		}
		if got, want := Settled(q.state, q.policy, q.world.Now)["cmp1"], tt.storm == ""; got != want {
			t.Errorf("%s: settled %t", name, got)
		}
	}
}
