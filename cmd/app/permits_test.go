package app

import (
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/config"
	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/detector/clock"
	"github.com/lifeboat-ha/lifeboat/evacuate"
)

// TestNoOffWhileHeard: the lab's "BMC lies, host heals": the chain sent its second
// off to a host that had been heard again for seconds.
func TestNoOffWhileHeard(t *testing.T) {
	now := time.Date(2026, 11, 21, 7, 34, 8, 0, time.UTC)
	clk := clock.NewFake(now)
	for _, c := range []struct {
		name    string
		heard   time.Duration
		refence bool
		step    evacuate.Step
		refused bool
	}{
		{"silent for long", 20 * time.Second, false, evacuate.StepFence, false},
		{"heard a second ago", time.Second, false, evacuate.StepFence, true},
		{"switched itself on inside its recovery", time.Second, true, evacuate.StepFence, false},
		{"other steps are not power-offs", time.Second, false, evacuate.StepDisable, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctl := &Controller{cfg: &config.Controller{Controller: config.ControllerSelf{DataDir: t.TempDir()}}, cloud: &cloud{now: clk.Now}, machine: newMachine(), clock: clk, observer: newObserver("ctl1", detector.DefaultPolicy(), clk.Now)}
			ctl.machine.state.Mode = evacuate.ModeAuto
			ctl.machine.state.Recoveries["r1"] = &evacuate.Recovery{ID: "r1", Host: "cmp04", Boot: "b", Status: evacuate.StatusOpen, Refence: c.refence}
			ctl.observer.with(func(tb *detector.Table) {
				tb.Heartbeat("ctl1", detector.Heartbeat{Host: "cmp04", Boot: "b", Start: "s"}, clk.Now().Add(-c.heard))
			})
			err := ctl.permits(evacuate.Action{Recovery: "r1", Host: "cmp04", Boot: "b", Step: c.step})
			if got := err != nil && strings.Contains(err.Error(), "was heard"); got != c.refused {
				t.Errorf("permits: %v, want refused %t", err, c.refused)
			}
		})
	}
}
