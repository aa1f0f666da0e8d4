package app

import (
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/config"
	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/detector/clock"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/fence"
)

// TestNoOffWhileHeard: the lab's "BMC lies, host heals": the chain sent its second
// off to a host that had been heard again for seconds.
func TestNoOffWhileHeard(t *testing.T) {
	now := time.Date(2026, 11, 21, 7, 34, 8, 0, time.UTC)
	clk := clock.NewFake(now)
	off := func(ms int) fence.Reading {
		at := now.Add(time.Duration(ms-5000) * time.Millisecond)
		return fence.Reading{Method: "m", Power: fence.Off, Began: at, Ended: at.Add(time.Millisecond)}
	}
	proof := fence.Record{Host: "cmp04", Boot: "b", Method: "m", Commanded: now.Add(-5 * time.Second), Readings: []fence.Reading{off(100), off(1200)}}
	for _, c := range []struct {
		name    string
		heard   time.Duration
		refence bool
		step    evacuate.Step
		refused bool
	}{
		{"silent for long", 20 * time.Second, false, evacuate.StepFence, false},
		{"heard a second ago", time.Second, false, evacuate.StepFence, true},
		{"its storage stays where it is heard", time.Second, false, evacuate.StepFenceStorage, true},
		{"its storage goes where it is silent", 20 * time.Second, false, evacuate.StepFenceStorage, false},
		{"its storage is given back while it is heard", time.Second, false, evacuate.StepUnfenceStorage, false},
		{"switched itself on inside its recovery", time.Second, true, evacuate.StepFence, false},
		{"nothing is moved off a host that is heard", time.Second, false, evacuate.StepEvacuate, true},
		{"nor is it forced down", time.Second, true, evacuate.StepForceDown, true},
		{"other steps are not power-offs", time.Second, false, evacuate.StepDisable, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctl := &Controller{cfg: &config.Controller{Controller: config.ControllerSelf{DataDir: t.TempDir()}}, cloud: &cloud{now: clk.Now}, machine: newMachine(), clock: clk, observer: newObserver("ctl1", detector.DefaultPolicy(), clk.Now)}
			ctl.machine.state.Mode = evacuate.ModeAuto
			ctl.machine.state.Recoveries["r1"] = &evacuate.Recovery{ID: "r1", Host: "cmp04", Boot: "b", Status: evacuate.StatusOpen, Refence: c.refence,
				Proof:       &proof,
				Evacuations: []*evacuate.Evacuation{{Server: "vm", State: evacuate.EvacIntent, Attempt: 1}}}
			ctl.observer.with(func(tb *detector.Table) {
				tb.Heartbeat("ctl1", detector.Heartbeat{Host: "cmp04", Boot: "b", Start: "s"}, clk.Now().Add(-c.heard))
			})
			err := ctl.permits(evacuate.Action{Recovery: "r1", Host: "cmp04", Boot: "b", Step: c.step, Server: "vm", Attempt: 1})
			if got := err != nil && strings.Contains(err.Error(), "was heard"); got != c.refused {
				t.Errorf("permits: %v, want refused %t", err, c.refused)
			}
		})
	}
}
