package app

import (
	"slices"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// TestPace: the reports of the controllers differ by a moment, so that a host which
// dies may be heard by a minority for one look. Its BMC was read 4 s later for that.
func TestPace(t *testing.T) {
	const minority, silent = false, true // whether the BMC is to be read
	begin := time.Date(2026, 11, 21, 6, 0, 0, 0, time.UTC)
	type look struct {
		at    time.Duration
		power bool
		want  bool
	}
	for _, c := range []struct {
		name  string
		looks []look
	}{
		{"silent to all at once", []look{{0, silent, true}, {time.Second, silent, false}, {1500 * time.Millisecond, silent, true}}},
		{"heard by a minority first", []look{{0, minority, true}, {250 * time.Millisecond, silent, true}, {time.Second, silent, false}}},
		{"heard by a minority for long", []look{{0, minority, true}, {2 * time.Second, minority, false}, {4 * time.Second, minority, true}}},
		{"comes and goes", []look{{0, silent, true}, {time.Second, minority, true}, {1250 * time.Millisecond, silent, false}, {1500 * time.Millisecond, silent, true}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := newInvestigator(nil)
			for _, l := range c.looks {
				if got := v.paced("cmp1", l.power, begin.Add(l.at)); got != l.want {
					t.Errorf("after %s: a round is due: %t, want %t", l.at, got, l.want)
				}
			}
		})
	}
}

// TestTurn: of more BMCs than are read at once none waits while another is read again.
func TestTurn(t *testing.T) {
	v := newInvestigator(nil)
	begin := time.Date(2026, 11, 21, 6, 0, 0, 0, time.UTC)
	hosts := func() []nova.HostName { return []nova.HostName{"cmp4", "cmp1", "cmp3", "cmp2", "cmp5"} }
	v.read["cmp1"], v.read["cmp2"], v.read["cmp3"] = begin.Add(-3*time.Second), begin.Add(-4*time.Second), begin.Add(-time.Second)
	v.power["cmp5"] = true
	if got, want := v.turn(hosts(), begin), []nova.HostName{"cmp4", "cmp2", "cmp1"}; !slices.Equal(got, want) {
		t.Errorf("in turn %v, want %v: never read, longest ago; cmp3 is not due, cmp5 is being read", got, want)
	}
}
