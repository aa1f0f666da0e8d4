package evacuate

import (
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// promising runs a recovery until vm1's POST is promised, with the given fate.
func promising(t *testing.T, fate string) (*cloud, *Recovery, *Evacuation) {
	t.Helper()
	c := newCloud(t, 3)
	c.addServer("vm1", "cmp1", nova.VMActive, c.start)
	c.postFate["vm1"] = []string{fate}
	c.run(time.Second)
	c.host("cmp1").off()
	for range 200 {
		c.step()
		if r := c.recovery("cmp1"); r != nil && c.posts["vm1"] == 1 && len(c.flights) == 0 {
			return c, r, r.Evacuation("vm1")
		}
	}
	t.Fatal("no POST was sent")
	return nil, nil, nil
}

// succeed makes another controller lead, on the same state.
func (c *cloud) succeed() {
	c.flights, c.core = nil, NewCore(c.policy)
	c.term++
	c.leader = "ctl2"
}

// TestWrongDates: what another leader's clock dated years away is neither repeated too
// early nor waited for (clock-huge).
func TestWrongDates(t *testing.T) {
	const years = 10 * 365 * 24 * time.Hour
	for name, by := range map[string]time.Duration{"ahead": years, "behind": -years, "well": 0} {
		t.Run("intent "+name, func(t *testing.T) {
			c, _, e := promising(t, "lost")
			e.Intent = e.Intent.Add(by)
			c.succeed()
			c.run(c.policy.QuietPeriod - time.Second)
			if n := c.posts["vm1"]; n != 1 {
				t.Fatalf("%d POSTs before the quiet period has passed", n)
			}
			c.run(time.Minute)
			if n := c.posts["vm1"]; n != 2 || len(c.broken) > 0 {
				t.Errorf("%d POSTs after it, want 2; broken: %v", n, c.broken)
			}
		})
		t.Run("pause "+name, func(t *testing.T) {
			c, _, e := promising(t, "refused")
			if e.State != EvacFailed {
				t.Fatalf("%s after a refusal", e.State)
			}
			e.NotBefore, e.Intent = e.NotBefore.Add(by), e.Intent.Add(by)
			c.succeed()
			c.run(30 * time.Second)
			if n := c.posts["vm1"]; n != 2 || c.server("vm1").Host == "cmp1" {
				t.Errorf("%d POSTs, the server is on %s", n, c.server("vm1").Host)
			}
		})
		t.Run("step "+name, func(t *testing.T) {
			c, r, _ := promising(t, "")
			c.succeed()
			c.core.Tick(c.state, c.world())
			r.Steps[StepEnable] = &StepRecord{Phase: PhaseIntent, Attempt: 1, Term: 1, Intent: c.now.Add(by), Deadline: StepEnable.deadline()}
			for _, tt := range []struct {
				after time.Duration
				waits bool
			}{{0, true}, {29 * time.Second, true}, {2 * time.Second, false}} {
				c.core.world.Now = c.core.world.Now.Add(tt.after)
				if got := c.core.waitsOut(r, StepEnable); got != tt.waits {
					t.Errorf("%s on, its deadline is waited for: %t", tt.after, got)
				}
			}
		})
		t.Run("return "+name, func(t *testing.T) {
			c, r, _ := promising(t, "")
			c.run(30 * time.Second)
			if r.Status != StatusRecovered {
				t.Fatalf("%s", r.Status)
			}
			for i := range r.Proof.Readings {
				r.Proof.Readings[i].Began = r.Proof.Readings[i].Began.Add(max(by, 0))
				r.Proof.Readings[i].Ended = r.Proof.Readings[i].Ended.Add(max(by, 0))
			}
			c.succeed()
			c.run(time.Second)
			c.host("cmp1").on(c.now)
			c.run(30 * time.Second)
			if r.Status != StatusReturning {
				t.Errorf("it is on again and the recovery is %s", r.Status)
			}
		})
	}
}

// TestLosses: the ledger itself refuses what rule 3 forbids.
func TestLosses(t *testing.T) {
	c, r, e := promising(t, "refused")
	dest := &Recovery{ID: "r9", Host: "cmp2", Boot: "cmp2-b1", Status: StatusOpen}
	proof := *r.Proof
	proof.Host, proof.Boot = "cmp2", "cmp2-b1"
	for _, tt := range []struct {
		name  string
		set   func()
		taken bool
	}{
		{"proven", func() { dest.Proof = &proof }, true},
		{"not proven", func() {}, false},
		{"void", func() { dest.Proof, dest.Void = &proof, "it was heard" }, false},
		{"it returns in order", func() { dest.Proof, dest.Void, dest.Status = &proof, "the host returns", StatusReturning }, true},
		{"it is back", func() { dest.Proof, dest.Status, dest.Outcome = &proof, StatusClosed, OutcomeReturned }, true},
		{"its recovery was cancelled", func() { dest.Status, dest.Outcome = StatusClosed, OutcomeCancelled }, false},
		{"another host's recovery", func() { dest.Proof, dest.Host = &proof, "cmp3" }, false},
		{"long forgotten", func() { delete(c.state.Recoveries, "r9") }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			*dest = Recovery{ID: "r9", Host: "cmp2", Boot: "cmp2-b1", Status: StatusOpen}
			c.state.Recoveries["r9"] = dest
			tt.set()
			loss := Loss{Host: "cmp2", Row: 1, Proof: "r9"}
			again := *e
			again.State, again.Attempt, again.Losses = EvacIntent, e.Attempt+1, []Loss{loss}
			if err := c.state.mourn(r, Entry{Evacuations: []*Evacuation{&again}}); (err == nil) != tt.taken {
				t.Errorf("another attempt: %v", err)
			}
			failed := *e
			failed.State, failed.Losses = EvacFailed, []Loss{loss}
			if err := c.state.mourn(r, Entry{Evacuations: []*Evacuation{&failed}}); (err == nil) != tt.taken {
				t.Errorf("the loss: %v", err)
			}
		})
	}
	e.Losses = []Loss{{Host: "cmp2", Row: 1, Proof: "gone"}}
	forgetful := *e
	forgetful.State, forgetful.Losses = EvacIntent, nil
	if err := c.state.mourn(r, Entry{Evacuations: []*Evacuation{&forgetful}}); err == nil {
		t.Error("an attempt that forgets a loss is taken")
	}
}
