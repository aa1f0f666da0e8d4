package evacuate

import (
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// TestYields: the urgent of another host that is being recovered come first, but only they,
// and not for long.
func TestYields(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(c *Core, other *Recovery)
		after  time.Duration
		want   bool
	}{
		"something urgent is not listed yet": {func(*Core, *Recovery) {}, 0, true},
		"for a while":                        {func(*Core, *Recovery) {}, orderPatience - time.Second, true},
		"and no longer":                      {func(*Core, *Recovery) {}, orderPatience, false},
		"as urgent as itself":                {func(c *Core, _ *Recovery) { c.world.Servers["cmp2"][0].Metadata = nil }, 0, false},
		"it would be left":                   {func(c *Core, _ *Recovery) { c.world.Servers["cmp2"][0].VMState = nova.VMPaused }, 0, false},
		"its host is listed": {func(_ *Core, r *Recovery) {
			r.Steps = map[Step]*StepRecord{StepList: {Phase: PhaseDone}}
		}, 0, false},
		"its host is held":       {func(_ *Core, r *Recovery) { r.Hold = &Hold{Step: StepFence} }, 0, false},
		"its host is given up":   {func(_ *Core, r *Recovery) { r.Cancel = &Mark{By: "ann"} }, 0, false},
		"its host is not opened": {func(c *Core, r *Recovery) { delete(c.state.Recoveries, r.ID) }, 0, false},
		"its host is only watched": {func(c *Core, _ *Recovery) {
			c.state.Hosts["cmp2"].Mode = &Setting{Mode: ModeObserve}
		}, 0, false},
	} {
		c := aiming()
		c.state.Mode = ModeAuto
		r, other := &Recovery{ID: "r1", Host: "cmp1", Status: StatusOpen}, &Recovery{ID: "r2", Host: "cmp2", Status: StatusOpen}
		c.state.Recoveries["r1"], c.state.Recoveries["r2"] = r, other
		c.state.host("cmp1")
		c.state.host("cmp2")
		c.world.Servers["cmp2"] = []nova.Server{{ID: "vm2", VMState: nova.VMActive, LaunchedAt: t0, VolumeBooted: true, Metadata: map[string]string{keyPriority: "high"}}}
		c.world.Verdicts["cmp2"] = detector.Verdict{State: detector.Dead}
		tt.change(c, other)
		e := &Evacuation{Server: "vm1"}
		for _, at := range []time.Duration{0, tt.after} {
			c.world.Now = t0.Add(at)
			l := &load{await: c.awaited()}
			if got := c.yields(r, e, l); at == tt.after && got != tt.want {
				t.Errorf("%s: %t", name, got)
			}
		}
	}
}

// TestAwaits: a group is not ready while a member is on a dead host that is not listed yet.
func TestAwaits(t *testing.T) {
	for name, tt := range map[string]struct {
		verdict detector.State
		project string
		want    bool
	}{
		"dead":                  {detector.Dead, "p1", true},
		"alive":                 {detector.Healthy, "p1", false},
		"of another tenant":     {detector.Dead, "p2", false},
		"suspect, and may live": {detector.Suspect, "p1", false},
	} {
		c := aiming()
		c.state.Mode = ModeAuto
		c.state.host("cmp2")
		c.world.Servers["cmp2"] = []nova.Server{{ID: "db1", Project: "p1", VMState: nova.VMActive, LaunchedAt: t0, VolumeBooted: true, Metadata: map[string]string{keyGroup: "db"}}}
		c.world.Verdicts["cmp2"] = detector.Verdict{State: tt.verdict}
		if got := c.awaited().awaits(&Evacuation{Server: "vm1", Project: tt.project, After: "db"}); got != tt.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
