package evacuate

import (
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// TestContradicted says which signs of life void a proof: reports travel, so a
// heartbeat that seems to come just after it does not.
func TestContradicted(t *testing.T) {
	proved := proofOf("cmp1", "b1").Readings[1].Ended
	tests := []struct {
		name  string
		heard Heard
		power []detector.PowerSight // at proved + 10 s
		void  bool
		again bool // fenced again without a verdict
	}{
		{"not heard", Heard{At: t0.Add(-time.Minute), Boot: "b1"}, nil, false, false},
		{"heard before it", Heard{At: proved.Add(-time.Second), Boot: "b1"}, nil, false, false},
		{"a report that is late", Heard{At: proved.Add(time.Second), Boot: "b1"}, nil, false, false},
		{"heard after it", Heard{At: proved.Add(1100 * time.Millisecond), Boot: "b1"}, nil, true, false},
		{"heard after it with a new boot", Heard{At: proved.Add(5 * time.Second), Boot: "b2"}, nil, true, true},
		{"reads on after it", Heard{}, []detector.PowerSight{{Power: "on", Age: time.Second}}, true, true},
		{"read on before it", Heard{}, []detector.PowerSight{{Power: "on", Age: 15 * time.Second}}, false, false},
		{"reads off after it", Heard{}, []detector.PowerSight{{Power: "off", Age: time.Second}, {Power: "on", Age: 2 * time.Second}}, false, false},
		{"reads unknown after it", Heard{}, []detector.PowerSight{{Power: "unknown", Age: time.Second}}, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			q := question6(t)
			q.world.Now = proved.Add(10 * time.Second)
			v := q.world.Verdicts["cmp1"]
			v.View = detector.View{At: q.world.Now, Power: tt.power}
			q.world.Verdicts["cmp1"] = v
			q.world.Heard = map[nova.HostName]Heard{"cmp1": tt.heard}
			q.world.Nova.At = q.world.Now
			ready := NewCore(q.policy).Tick(q.state, *q.world)
			for _, e := range ready.Commit {
				if err := q.state.Apply(9, 5, e.Clone()); err != nil {
					t.Fatal(err)
				}
			}
			r := q.state.Recoveries["r1"]
			if _, ok := r.Proved(); ok == tt.void {
				t.Errorf("the proof holds: %t, want %t", ok, !tt.void)
			}
			if r.Refence != tt.again {
				t.Errorf("fenced again: %t, want %t", r.Refence, tt.again)
			}
		})
	}
}

// TestContradictedByASteppedClock: the leader's clock is set back after the proof, or
// a new leader's is behind: what it hears is of before the proof, by that clock.
func TestContradictedByASteppedClock(t *testing.T) {
	q := question6(t)
	q.world.Now = proofOf("cmp1", "b1").Readings[1].Ended.Add(-10 * time.Minute)
	q.world.Heard = map[nova.HostName]Heard{}
	core := NewCore(q.policy)
	core.Tick(q.state, *q.world)
	q.world.Now = q.world.Now.Add(3 * time.Second)
	q.world.Heard["cmp1"] = Heard{At: q.world.Now.Add(-time.Second), Boot: "b1"}
	for _, e := range core.Tick(q.state, *q.world).Commit {
		if err := q.state.Apply(9, 5, e.Clone()); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok := q.state.Recoveries["r1"].Proved(); ok {
		t.Error("the proof holds although the host is heard")
	}
}

// TestDropStartsAgain takes back actions whose entries were not committed: the
// next tick begins them anew.
func TestDropStartsAgain(t *testing.T) {
	for _, name := range []string{"dropped", "kept"} {
		core := NewCore(DefaultPolicy())
		s := play(t, eInit, eHost, eOpen, eFence, eProof)
		q := question6(t)
		first := core.Tick(s, *q.world)
		if name == "dropped" {
			core.Drop(first.Actions)
		}
		again := core.Tick(s, *q.world)
		if got, want := len(again.Actions) > 0, name == "dropped"; got != want || len(first.Actions) == 0 {
			t.Errorf("%s: the step is begun again: %t, want %t", name, got, want)
		}
	}
}

// TestNotLeading does nothing at all.
func TestNotLeading(t *testing.T) {
	q := question6(t)
	q.world.Leader.Is = false
	ready := NewCore(q.policy).Tick(q.state, *q.world)
	if len(ready.Commit)+len(ready.Actions) > 0 {
		t.Errorf("a controller that does not lead wants %+v", ready)
	}
}

// TestOutcomeOfAnotherTerm is dropped: its successor reads the world itself.
func TestOutcomeOfAnotherTerm(t *testing.T) {
	q := question6(t)
	core := NewCore(q.policy)
	ready := core.Tick(q.state, *q.world)
	if len(ready.Actions) == 0 {
		t.Fatal("nothing was begun")
	}
	o := Outcome{Action: ready.Actions[0], OK: true}
	o.Action.Term--
	if got := core.Done(q.state, *q.world, o); len(got.Commit) > 0 {
		t.Errorf("an outcome of another term became %+v", got.Commit)
	}
}

func TestBackoff(t *testing.T) {
	for n, want := range map[int]time.Duration{0: 1, 1: 1, 2: 2, 3: 4, 4: 8, 5: 16, 6: 30, 99: 30} {
		if got := backoff(n); got != want*time.Second {
			t.Errorf("after %d failures: %s, want %d s", n, got, want)
		}
	}
	for n, want := range map[int]time.Duration{0: 5, 1: 5, 2: 10, 3: 20, 4: 40, 5: 60, 99: 60} {
		if got := retryAfter(n); got != want*time.Second {
			t.Errorf("evacuation after %d attempts: %s, want %d s", n, got, want)
		}
	}
}
