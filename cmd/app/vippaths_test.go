package app

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/detector/vip"
	"github.com/lifeboat-ha/lifeboat/evacuate"
)

// TestPathsOf: hosts that fail are kept, those that tell nothing now as they were, those
// that reach all are not.
func TestPathsOf(t *testing.T) {
	m := vip.Matrix{Targets: []vip.TargetSum{{Target: vip.Target{Service: "nova", Address: netip.MustParseAddrPort("10.0.0.100:8774")}}, {Target: vip.Target{Service: "ctl1", Address: netip.MustParseAddrPort("10.0.0.11:22"), Informs: true}}},
		Hosts: []vip.HostPath{
			{Host: "fails", Fresh: true, Fails: []string{"nova"}, Words: []detector.PathWord{detector.PathSilent, detector.PathSilent}},
			{Host: "well", Fresh: true, Words: []detector.PathWord{detector.PathOK, detector.PathSilent}},
			{Host: "old", Fails: []string{"nova"}, Words: []detector.PathWord{detector.PathRefused, detector.PathOK}},
		}}
	was := []string{"nova at 10.0.0.100:8774 (bad)"}
	got, all := pathsOf(m, []evacuate.VIPPath{{Host: "well", Fails: was}, {Host: "old", Fails: was}, {Host: "unheard", Fails: was}})
	want := map[string][]string{"fails": {"nova at 10.0.0.100:8774 (silent)"}, "old": was, "unheard": was}
	if len(got) != len(want) || all != len(want) {
		t.Errorf("%d: %+v", all, got)
	}
	for _, p := range got {
		if !slices.Equal(p.Fails, want[string(p.Host)]) {
			t.Errorf("%s: %v", p.Host, p.Fails)
		}
	}
}
