package evacuate

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// TestVIPPaths: the ledger keeps the hosts that do not reach all, since when, and a bounded
// number of them; its journal has a line for each change, and none for what stays.
func TestVIPPaths(t *testing.T) {
	s, at := NewState(), time.Date(2026, 11, 21, 6, 0, 0, 0, time.UTC)
	note := func(all int, paths ...VIPPath) (line string) {
		t.Helper()
		at = at.Add(5 * time.Second)
		before := len(s.Journal)
		if err := s.Apply(s.Index+1, 1, Entry{Kind: KindVIP, At: at, By: "ctl1", VIP: &VIPRecord{Paths: paths, Unreached: all}}); err != nil {
			t.Fatal(err)
		}
		for _, e := range s.Journal[before:] {
			line += e.Text
		}
		return line
	}
	one := VIPPath{Host: "host1", Fails: []string{"nova at 10.0.0.100:8774 (silent)"}}
	if got := note(1, one); got != "host1 does not reach nova at 10.0.0.100:8774 (silent)" {
		t.Error(got)
	}
	since := s.VIP.Paths[0].Since
	if got := note(1, one); got != "" || !s.VIP.Paths[0].Since.Equal(since) || !s.VIP.Same(nil, nil, []VIPPath{one}, 1) {
		t.Errorf("%q, %+v", got, s.VIP.Paths)
	}
	if got := note(0); got != "host1 reaches all of the control plane again, after 10s" || len(s.VIP.Paths) != 0 {
		t.Errorf("%q, %+v", got, s.VIP.Paths)
	}
	var many []VIPPath
	for i := range 3 * MostPaths {
		many = append(many, VIPPath{Host: nova.HostName(fmt.Sprintf("host%03d", i)), Fails: one.Fails})
	}
	if got := note(len(many), many...); len(s.VIP.Paths) != MostPaths || s.VIP.Unreached != len(many) || !strings.HasSuffix(got, "; and 95 more") {
		t.Errorf("%d of %d, %q", len(s.VIP.Paths), s.VIP.Unreached, got)
	}
	b, err := s.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	back, err := UnmarshalState(b)
	if err != nil || len(back.VIP.Paths) != MostPaths {
		t.Errorf("%v: %+v", err, back.VIP)
	}
}
