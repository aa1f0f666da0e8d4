package runner_test

import (
	"net/http"
	"strings"
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

// A reserved host is in the aggregates before it is enabled, and leaves those that were
// journalled after it was disabled; one that somebody deleted is nobody's.
func TestReserveJoins(t *testing.T) {
	gpu, ssd := evacuate.Join{ID: 1, Name: "gpu"}, evacuate.Join{ID: 2, Name: "ssd"}
	for name, c := range map[string]struct {
		before string // its disabled_reason; "": enabled
		in     bool   // in gpu
		joins  []evacuate.Join
		back   bool
		fault  *novatest.Fault
		ok     bool
		writes []string
	}{
		"joins, then is enabled":     {before: "reserved", joins: []evacuate.Join{gpu}, ok: true, writes: []string{"add_host", `"enabled"`}},
		"it has joined already":      {before: "reserved", in: true, joins: []evacuate.Join{gpu}, ok: true, writes: []string{`"enabled"`}},
		"may not join":               {before: "reserved", joins: []evacuate.Join{gpu}, fault: &novatest.Fault{Match: "os-aggregates/1/action", Status: http.StatusConflict}, writes: []string{"add_host"}},
		"one is gone":                {before: "reserved", joins: []evacuate.Join{{ID: 9, Name: "gone"}}, ok: true, writes: []string{`"enabled"`}},
		"one has another name now":   {before: "reserved", joins: []evacuate.Join{{ID: 1, Name: "other"}}, ok: true, writes: []string{`"enabled"`}},
		"not in reserve any more":    {before: "broken", joins: []evacuate.Join{gpu}},
		"disabled, then leaves":      {in: true, joins: []evacuate.Join{gpu}, back: true, ok: true, writes: []string{`"disabled"`, "remove_host"}},
		"leaves only what it joined": {in: true, joins: []evacuate.Join{ssd}, back: true, ok: true, writes: []string{`"disabled"`}},
		"disabled by somebody since": {before: "broken", in: true, joins: []evacuate.Join{gpu}, back: true, ok: true, writes: []string{"remove_host"}},
	} {
		onStage(t, func(s *stage) {
			hosts := []nova.HostName{"cmp1"}
			if c.in {
				hosts = append(hosts, "cmp3")
			}
			s.cloud.SetAggregates(nova.Aggregate{Name: "gpu", Hosts: hosts}, nova.Aggregate{Name: "ssd"})
			if c.before != "" {
				s.set("cmp3", nova.ServiceUpdate{Disabled: yes(), DisabledReason: c.before})
			}
			if c.fault != nil {
				s.cloud.Inject(*c.fault)
			}
			o := s.do(s.action(evacuate.StepReserve, func(a *evacuate.Action) { a.Shield, a.Reason, a.Lift, a.Joins = "cmp3", "reserved", c.back, c.joins }))
			if o.OK != c.ok {
				t.Errorf("%s: %+v", name, o)
			}
			got := s.writes()
			if len(got) != len(c.writes) {
				t.Fatalf("%s: wrote %q, want %q", name, got, c.writes)
			}
			for i, want := range c.writes {
				if !strings.Contains(got[i], want) {
					t.Errorf("%s: wrote %q, want %q", name, got, c.writes)
				}
			}
		})
	}
}
