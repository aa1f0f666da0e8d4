package vip

import (
	"fmt"
	"slices"
	"testing"

	"github.com/lifeboat-ha/lifeboat/detector"
)

// TestServices: what services behind the addresses say warns, and holds where none of
// them is left, or where a broker is in parts. Who cannot be asked is not ill.
func TestServices(t *testing.T) {
	check := func(k Kind, states ...CheckState) (all []Check) {
		for i, s := range states {
			all = append(all, Check{Kind: k, Node: fmt.Sprintf("ctl%d", i+1), State: s, Says: "so"})
		}
		return all
	}
	for name, c := range map[string]struct {
		checks []Check
		want   []string // the kind, and ! where it holds
	}{
		"all well":                         {slices.Concat(check(ConductorDown, CheckWell, CheckWell), check(GaleraNotPrimary, CheckWell)), nil},
		"nobody can be asked":              {slices.Concat(check(BrokerSplit, CheckUnknown), check(GaleraNotPrimary, CheckUnknown, CheckUnknown)), nil},
		"one conductor of two":             {check(ConductorDown, CheckIll, CheckWell), []string{"conductor-down"}},
		"no conductor":                     {check(ConductorDown, CheckIll, CheckIll), []string{"conductor-down!"}},
		"no scheduler that is known of":    {check(SchedulerDown, CheckIll, CheckUnknown), []string{"scheduler-down!"}},
		"one Galera node":                  {check(GaleraNotPrimary, CheckIll, CheckWell, CheckWell), []string{"galera-not-primary"}},
		"no Galera node":                   {check(GaleraNotPrimary, CheckIll, CheckIll, CheckUnknown), []string{"galera-not-primary!"}},
		"a broker in parts by one's word":  {check(BrokerSplit, CheckWell, CheckIll, CheckWell), []string{"rabbitmq-partitioned!"}},
		"every cinder-volume, warned only": {check(VolumeDown, CheckIll, CheckIll), []string{"cinder-volume-down"}},
	} {
		v := well()
		v.Checks = c.checks
		tracker, now := NewTracker(), begin
		var r Report
		looks := 0
		for ; looks < 60; looks++ {
			v.Now = now
			if r = tracker.Look(v); looks < 36 && len(r.Findings) > 0 {
				t.Errorf("%s: said after %d looks of 250 ms", name, looks)
			}
			now = now.Add(250 * ms)
		}
		var got []string
		for _, f := range r.Findings {
			text := string(f.Kind)
			if f.Holds {
				text += "!"
			}
			if f.Do == "" || f.VIP != ControlPlane || len(f.Evidence) == 0 {
				t.Errorf("%s: %+v", name, f)
			}
			got = append(got, text)
			if held := Settle(detector.Control{}, r.Findings).Condition == detector.ControlPlaneFault; held != f.Holds {
				t.Errorf("%s: held %t", name, held)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
