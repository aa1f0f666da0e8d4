package app

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/config"
	"github.com/lifeboat-ha/lifeboat/detector/clock"
	"github.com/lifeboat-ha/lifeboat/detector/heartbeat"
	"github.com/lifeboat-ha/lifeboat/evacuate"
)

// TestRestartOnHost: what a host makes of the leader's leave to restart an agent.
func TestRestartOnHost(t *testing.T) {
	done := filepath.Join(t.TempDir(), "done")
	runs := filepath.Base(os.Args[0]) // a process that surely runs here: this test
	order := restartOrder{ID: 1, Binary: "nova-compute", Left: 2 * time.Minute}
	for name, c := range map[string]struct {
		change func(*config.AgentVIP, *restartOrder)
		ill    bool
		want   evacuate.RestartOutcome
		acted  bool
	}{
		"it is done":                     {nil, false, evacuate.RestartDone, true},
		"off there":                      {func(c *config.AgentVIP, _ *restartOrder) { c.Restart = config.RepairOff }, false, evacuate.RestartRefused, false},
		"all repairs are off there":      {func(c *config.AgentVIP, _ *restartOrder) { c.Repair = config.RepairOff }, false, evacuate.RestartRefused, false},
		"a dry run there":                {func(c *config.AgentVIP, _ *restartOrder) { c.Restart = config.RepairDryRun }, false, evacuate.RestartDryRun, false},
		"all repairs are dry runs there": {func(c *config.AgentVIP, _ *restartOrder) { c.Repair = config.RepairDryRun }, false, evacuate.RestartDryRun, false},
		"a dry run, says the leader":     {func(_ *config.AgentVIP, o *restartOrder) { o.Dry = true }, false, evacuate.RestartDryRun, false},
		"no command for it":              {func(_ *config.AgentVIP, o *restartOrder) { o.Binary = "neutron-l3-agent" }, false, evacuate.RestartRefused, false},
		"its process was stopped":        {func(c *config.AgentVIP, _ *restartOrder) { c.Agents[0].Process = "no-such-process" }, false, evacuate.RestartRefused, false},
		"the host does not reach all":    {nil, true, evacuate.RestartRefused, false},
		"the leave came too late":        {func(_ *config.AgentVIP, o *restartOrder) { o.Left = time.Minute }, false, evacuate.RestartRefused, false},
		"the command fails":              {func(c *config.AgentVIP, _ *restartOrder) { c.Agents[0].Command = []string{"/bin/sh", "-c", "exit 3"} }, false, evacuate.RestartFailed, false},
		"the command is not there":       {func(c *config.AgentVIP, _ *restartOrder) { c.Agents[0].Command = []string{"/no/such/program"} }, false, evacuate.RestartFailed, false},
	} {
		t.Run(name, func(t *testing.T) {
			_ = os.Remove(done)
			cfg := config.AgentVIP{Repair: config.RepairOn, Restart: config.RepairOn, Agents: []config.AgentOf{{Binary: "nova-compute", Process: runs, Command: []string{"/bin/sh", "-c", "echo >" + done}}}}
			o := order
			if c.change != nil {
				c.change(&cfg, &o)
			}
			a := &Agent{cfg: &config.Agent{VIP: cfg}, clock: clock.System(), log: slog.New(slog.DiscardHandler)}
			r := &restarter{a: a}
			got, says := r.do(t.Context(), o, a.clock.Now(), !c.ill)
			if _, err := os.Stat(done); got != c.want || (err == nil) != c.acted {
				t.Errorf("%s (%s), acted: %t", got, says, err == nil)
			}
		})
	}
}

// TestMayDetour: whose word permits another way.
func TestMayDetour(t *testing.T) {
	now := time.Now()
	contact := func(id string, ago time.Duration, mend bool) heartbeat.Contact {
		c := heartbeat.Contact{ID: id, Heard: now.Add(-ago)}
		c.Leader, c.Mend = "c1", mend
		return c
	}
	for name, c := range map[string]struct {
		contacts []heartbeat.Contact
		want     bool
	}{
		"nobody is heard":                         {nil, false},
		"all permit":                              {[]heartbeat.Contact{contact("c1", 0, true), contact("c2", 0, true)}, true},
		"one does not":                            {[]heartbeat.Contact{contact("c1", 0, true), contact("c2", 0, false)}, false},
		"the leader was heard half a minute ago":  {[]heartbeat.Contact{contact("c1", 30*time.Second, true), contact("c2", 0, true)}, true},
		"what it said then is no longer its word": {[]heartbeat.Contact{contact("c1", 30*time.Second, true), contact("c2", 0, false)}, false},
		"the leader was heard long ago":           {[]heartbeat.Contact{contact("c1", 2*time.Minute, true), contact("c2", 0, true)}, false},
		"all were heard a while ago":              {[]heartbeat.Contact{contact("c1", 20*time.Second, true), contact("c2", 20*time.Second, true)}, false},
		"the leader was never heard":              {[]heartbeat.Contact{{ID: "c1"}, contact("c2", 0, true)}, false},
	} {
		if got := mayDetour(c.contacts, now); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
