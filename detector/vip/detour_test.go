package vip

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
)

// walk plays a host that asks each 2 s and looks each 500 ms. answer says what the way
// in use and the usual way come to at each time; what a Detour says is done at once.
func walk(d *Detour, v RouteView, length time.Duration, answer func(at time.Duration, via netip.Addr) (word, usual detector.PathWord)) (all []string) {
	for at := time.Duration(0); at < length; at += 500 * ms {
		v.Now = begin.Add(at)
		if at%(2*time.Second) == 0 {
			v.Word, v.Usual = answer(at, v.InUse)
			v.Asked, v.UsualAt = v.Now, time.Time{}
			if v.InUse.IsValid() {
				v.UsualAt = v.Now
			}
		}
		step, due := d.Step(v)
		if !due {
			continue
		}
		v.InUse = step.Via
		text := "back"
		if step.Via.IsValid() {
			text = step.Via.String()
		}
		all = append(all, text+" at "+at.String())
	}
	return all
}

func TestDetour(t *testing.T) {
	one, two := netip.MustParseAddr("10.0.0.11"), netip.MustParseAddr("10.0.0.12")
	cut := func(time.Duration, netip.Addr) (detector.PathWord, detector.PathWord) {
		return detector.PathSilent, detector.PathSilent
	}
	by := func(good netip.Addr, until time.Duration) func(time.Duration, netip.Addr) (detector.PathWord, detector.PathWord) {
		return func(at time.Duration, via netip.Addr) (detector.PathWord, detector.PathWord) {
			usual := detector.PathSilent
			if at >= until {
				usual = detector.PathOK
			}
			if via == good {
				return detector.PathOK, usual
			}
			if via.IsValid() {
				return detector.PathSilent, usual
			}
			return usual, usual
		}
	}
	says := func(w detector.PathWord) func(time.Duration, netip.Addr) (detector.PathWord, detector.PathWord) {
		return func(time.Duration, netip.Addr) (detector.PathWord, detector.PathWord) { return w, w }
	}
	settled := RouteView{Vias: []netip.Addr{one, two}, Settled: true, Peers: 3, PeersAsked: 3}
	with := func(f func(*RouteView)) RouteView {
		v := settled
		f(&v)
		return v
	}
	for name, c := range map[string]struct {
		view   RouteView
		length time.Duration
		answer func(time.Duration, netip.Addr) (detector.PathWord, detector.PathWord)
		want   []string
	}{
		"all is well":                                                 {settled, time.Minute, says(detector.PathOK), nil},
		"a service that refuses is there":                             {settled, time.Minute, says(detector.PathRefused), nil},
		"and so is one that says nonsense":                            {settled, time.Minute, says(detector.PathBad), nil},
		"nobody else reaches it":                                      {with(func(v *RouteView) { v.Peers = 1 }), time.Minute, cut, nil},
		"nobody else could be asked":                                  {with(func(v *RouteView) { v.Peers, v.PeersAsked = 0, 0 }), time.Minute, cut, nil},
		"two have it, or the neighbour is old":                        {with(func(v *RouteView) { v.Settled = false }), time.Minute, cut, nil},
		"no controller accepts it":                                    {with(func(v *RouteView) { v.Vias = nil }), time.Minute, cut, nil},
		"another way, until the usual one has been well for a minute": {settled, 5 * time.Minute, by(one, 30*time.Second), []string{"10.0.0.11 at 4s", "back at 1m30s"}},
		"a minute begins anew with each failure": {settled, 3 * time.Minute, func(at time.Duration, via netip.Addr) (detector.PathWord, detector.PathWord) {
			usual := detector.PathOK
			if at < 20*time.Second || at == 60*time.Second {
				usual = detector.PathSilent
			}
			if via == one {
				return detector.PathOK, usual
			}
			return usual, usual
		}, []string{"10.0.0.11 at 4s", "back at 2m2s"}},
		"the next, where the first leads nowhere":       {settled, time.Minute, by(two, time.Hour), []string{"10.0.0.11 at 4s", "back at 10s", "10.0.0.12 at 14s"}},
		"none leads there: each is tried once in 5 min": {settled, 5 * time.Minute, by(netip.MustParseAddr("10.0.0.99"), time.Hour), []string{"10.0.0.11 at 4s", "back at 10s", "10.0.0.12 at 14s", "back at 20s"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := NewDetour("x")
			d.turn = 0
			if got := walk(d, c.view, c.length, c.answer); !slices.Equal(got, c.want) {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
	d := NewDetour("x")
	v := settled
	v.Now, v.Asked, v.Word, v.InUse, v.Vias = begin, begin, detector.PathOK, one, []netip.Addr{two}
	if step, due := d.Step(v); !due || step.Via.IsValid() {
		t.Errorf("a way that no controller names stays: %+v", step)
	}
}
