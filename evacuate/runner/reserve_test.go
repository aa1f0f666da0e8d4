package runner_test

import (
	"net/http"
	"testing"

	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/nova"
	"github.com/lifeboat-ha/lifeboat/nova/novatest"
)

// A reserved host is enabled by the mark that was journalled, and put back with it; what
// somebody made of it meanwhile is kept.
func TestReserve(t *testing.T) {
	for name, c := range map[string]struct {
		before   string // its disabled_reason; "": enabled
		back     bool
		fault    *novatest.Fault
		ok       bool
		disabled string
		writes   int
	}{
		"enabled":                    {before: "reserved 1", ok: true, writes: 1},
		"so already":                 {ok: true},
		"no longer in reserve":       {before: "broken", disabled: "broken"},
		"put back":                   {back: true, ok: true, disabled: "reserved 1", writes: 1},
		"disabled by somebody since": {before: "broken", back: true, ok: true, disabled: "broken"},
		"the answer was lost":        {before: "reserved 1", fault: &novatest.Fault{After: true, Reset: true}, ok: true, writes: 1},
		"refused":                    {before: "reserved 1", fault: &novatest.Fault{Status: http.StatusForbidden}, disabled: "reserved 1", writes: 1},
	} {
		onStage(t, func(s *stage) {
			if c.before != "" {
				s.set("cmp3", nova.ServiceUpdate{Disabled: yes(), DisabledReason: c.before})
			}
			if c.fault != nil {
				c.fault.Match = "PUT"
				s.cloud.Inject(*c.fault)
			}
			o := s.do(s.action(evacuate.StepReserve, func(a *evacuate.Action) { a.Shield, a.Reason, a.Lift = "cmp3", "reserved 1", c.back }))
			if o.OK != c.ok {
				t.Errorf("%s: %+v", name, o)
			}
			if got := s.service("cmp3"); got.DisabledReason != c.disabled || got.Disabled != (c.disabled != "") {
				t.Errorf("%s: %+v", name, got)
			}
			if n := len(s.writes()); n != c.writes {
				t.Errorf("%s: %d writes", name, n)
			}
		})
	}
}
