package runner

import (
	"log/slog"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// TestAiling: what somebody else has disabled, enabled or marked is not touched.
func TestAiling(t *testing.T) {
	disabled := func(reason string) nova.Service {
		return nova.Service{ID: "s1", Host: "cmp1", Disabled: true, DisabledReason: reason, State: nova.StateUp}
	}
	enabled := nova.Service{ID: "s1", Host: "cmp1", State: nova.StateUp}
	for name, c := range map[string]struct {
		step   evacuate.Step
		before nova.Service
		writes int
		reason string // afterwards; "" enabled
	}{
		"disable":                     {evacuate.StepDisableAiling, enabled, 1, evacuate.AilingReason},
		"disable what is by us":       {evacuate.StepDisableAiling, disabled(evacuate.AilingReason), 0, evacuate.AilingReason},
		"disable what is by a person": {evacuate.StepDisableAiling, disabled("ann"), 0, "ann"},
		"enable":                      {evacuate.StepEnableAiling, disabled(evacuate.AilingReason), 1, ""},
		"enable what is by a person":  {evacuate.StepEnableAiling, disabled("ann"), 0, "ann"},
		"enable a recovery's":         {evacuate.StepEnableAiling, disabled("lifeboat:r1"), 0, "lifeboat:r1"},
		"enable what is enabled":      {evacuate.StepEnableAiling, enabled, 0, ""},
	} {
		w := &world{service: c.before}
		r := &Runner{Services: w, Quorum: quorum{}, Clock: stopped{}, Log: slog.New(slog.DiscardHandler)}
		o := r.Do(t.Context(), evacuate.Action{Host: "cmp1", Shield: "cmp1", Step: c.step, Term: 7, Attempt: 1, Deadline: 15 * time.Second, Reason: evacuate.AilingReason})
		if !o.OK || len(w.writes) != c.writes || w.service.DisabledReason != c.reason || w.service.Disabled != (c.reason != "") {
			t.Errorf("%s: %+v, %v, %+v", name, o, w.writes, w.service)
		}
	}
}
