package evacuate

import (
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// TestUncleanRow: what of Nova's rows forbids to force a returned host up, and which of it
// takes another start of its nova-compute.
func TestUncleanRow(t *testing.T) {
	asked := time.Date(2026, 11, 22, 6, 0, 0, 0, time.UTC)
	row := func(id int, server nova.ServerID, status nova.MigrationStatus, updated time.Duration) nova.Migration {
		return nova.Migration{ID: id, Server: server, Status: status, UpdatedAt: asked.Add(updated)}
	}
	for name, c := range map[string]struct {
		rows  []nova.Migration
		want  string
		again bool
	}{
		"none":                            {nil, "", false},
		"all terminal":                    {[]nova.Migration{row(1, "a", nova.MigrationCompleted, 0), row(2, "b", nova.MigrationFailed, 0), row(3, "c", nova.MigrationError, 0)}, "", false},
		"not started yet":                 {[]nova.Migration{row(1, "a", nova.MigrationDone, 0)}, "has not cleaned up migration 1 (done) yet", false},
		"a lost attempt, not started yet": {[]nova.Migration{row(1, "a", nova.MigrationPreMigrating, 0), row(2, "a", nova.MigrationDone, 0)}, "migration 1 (pre-migrating) yet", false},
		"a lost attempt, started once":    {[]nova.Migration{row(1, "a", nova.MigrationPreMigrating, 0), row(2, "a", nova.MigrationCompleted, time.Hour)}, "has left alpha (migration 1, pre-migrating)", true},
		"done twice, started once":        {[]nova.Migration{row(1, "a", nova.MigrationDone, 0), row(2, "a", nova.MigrationCompleted, time.Hour)}, "Start nova-compute on cmp1 once more", true},
		"somebody else's":                 {[]nova.Migration{row(1, "x", nova.MigrationAccepted, 0), row(2, "x", nova.MigrationCompleted, time.Hour)}, "has left x (migration 1, accepted)", true},
		"another instance's was cleaned":  {[]nova.Migration{row(1, "a", nova.MigrationDone, 0), row(2, "b", nova.MigrationCompleted, time.Hour)}, "migration 1 (done) yet", false},
		"cleaned long before":             {[]nova.Migration{row(1, "a", nova.MigrationDone, 0), row(2, "a", nova.MigrationCompleted, -time.Hour)}, "migration 1 (done) yet", false},
	} {
		r := &Recovery{ID: "r1", Host: "cmp1", Return: &Return{Asked: asked}, Evacuations: []*Evacuation{
			{Server: "a", Name: "alpha", State: EvacDone, Row: 2, Losses: []Loss{{Host: "cmp2", Row: 1, Proof: "r2"}}}, {Server: "b", State: EvacDone}}}
		why, again := r.uncleanRow(&Observation{Rows: c.rows})
		if !strings.Contains(why, c.want) || (why == "") != (c.want == "") || again != c.again {
			t.Errorf("%s: %q, once more %t; want %q, %t", name, why, again, c.want, c.again)
		}
	}
}

// TestGhosts: a returned host whose libvirt has an instance that lives elsewhere, running or
// paused, is not forced up, and not enabled, before that has ended.
func TestGhosts(t *testing.T) {
	for name, stage := range map[string]Step{"before un-force": StepUnforce, "before enable": StepEnable} {
		c := libvirtCloud(t)
		c.policy.HealthyDelay = 2 * time.Minute
		c.core = NewCore(c.policy)
		c.host("cmp1").off()
		c.run(time.Minute)
		c.host("cmp1").stays = stage == StepUnforce
		if err := c.operator(Entry{Kind: KindReturn, Recovery: "r1", Return: &Return{Asked: c.now, By: "ann", Reason: "repaired"}}); err != nil {
			t.Fatal(err)
		}
		c.run(time.Minute)
		c.lied = true // the truth is broken by the test itself
		c.host("cmp1").stays = false
		for range 4 * 120 {
			c.step()
			if c.host("cmp1").cleaned > 0 {
				c.host("cmp1").guests["vm1"] = true
			}
		}
		r := c.recovery("cmp1")
		if r.Status != StatusReturning || r.Hold == nil || r.Hold.Step != stage || !strings.Contains(r.Hold.Reason, ghostWords+"vm1 (vm1, moved to ") || r.Done(stage) {
			t.Errorf("%s: %s, held %+v", name, r.Status, r.Hold)
		}
		delete(c.host("cmp1").guests, "vm1")
		c.run(3 * time.Minute)
		if r = c.recovery("cmp1"); r.Outcome != OutcomeReturned || c.host("cmp1").service.Disabled {
			t.Errorf("%s: the copy has ended: %s, held %+v", name, r.Status, r.Hold)
		}
	}
}

// TestAsksNova: the start gate of a host that is asked back is shut while somebody else's
// evacuation from it is open, and until Nova has told.
func TestAsksNova(t *testing.T) {
	c := newCloud(t, 3)
	c.addServer("vm1", "cmp1", nova.VMActive, c.start.Add(-time.Hour))
	c.addServer("vm2", "cmp1", nova.VMPaused, c.start.Add(-time.Hour))
	c.run(20 * time.Second)
	c.host("cmp1").off()
	c.run(time.Minute)
	if c.state.AsksNova("cmp1") {
		t.Error("asked though the host is not asked back")
	}
	c.rowFate["vm2"] = []string{"stuck"}
	c.accept(c.server("vm2"), "cmp1", c.now, nova.Target{})
	c.host("cmp1").on(c.now)
	gate := func() string {
		why, known := c.core.Gates()["cmp1"]
		if !known {
			return "not known"
		}
		return why
	}
	c.run(bootTime + pulse)
	if why := gate(); !c.state.AsksNova("cmp1") || why != Untold && why != "not known" {
		t.Errorf("before Nova has told: %s", why)
	}
	c.run(2 * time.Second)
	if why := gate(); !strings.Contains(why, "vm2 (migration 2, accepted to nobody yet)") {
		t.Errorf("an evacuation by hand is open: %q", why)
	}
	c.novaDown = true
	c.run(time.Minute)
	if why := gate(); why != Untold {
		t.Errorf("Nova does not answer: %q", why)
	}
	c.novaDown = false
	for _, m := range c.rows {
		if m.Server == "vm2" {
			m.Status = nova.MigrationError
		}
	}
	c.run(20 * time.Second)
	if why, known := c.core.Gates()["cmp1"]; why != "" || !known && c.state.AsksNova("cmp1") {
		t.Errorf("it has ended: %q", why)
	}
}
