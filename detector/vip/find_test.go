package vip

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

const ms = time.Millisecond

var (
	begin    = time.Date(2026, 11, 21, 6, 0, 0, 0, time.UTC)
	internal = VIP{Name: "internal", Address: netip.MustParseAddr("10.9.0.100")}
	mac1     = detector.MAC{2, 0, 0, 0, 0, 11}
	mac2     = detector.MAC{2, 0, 0, 0, 0, 12}
	mac3     = detector.MAC{2, 0, 0, 0, 0, 13}
	stranger = detector.MAC{2, 0, 0, 0, 0, 99}
)

// node is a controller's sight with nothing special about it; change makes the case.
func node(n int, change func(*AddressSight)) Sight {
	a := AddressSight{Name: "internal", Asks: true, Listens: true}
	if change != nil {
		change(&a)
	}
	return Sight{Controller: detector.Observer(fmt.Sprintf("ctl%d", n)), Age: 300 * ms, MACs: []detector.MAC{{2, 0, 0, 0, 0, byte(10 + n)}},
		Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 9, 0, byte(10 + n)})}, VIPs: []AddressSight{a}}
}

func holds(mac detector.MAC, since time.Duration) func(*AddressSight) {
	return func(a *AddressSight) { a.Holds, a.MAC, a.HeldFor = true, mac, since }
}

func adverts(from int, age time.Duration, own bool) Advert {
	return Advert{Source: netip.AddrFrom4([4]byte{10, 9, 0, byte(10 + from)}), Router: 51, Priority: 100, Every: time.Second, Age: age, Own: own}
}

func answers(mac detector.MAC, long time.Duration) Answer {
	return Answer{MAC: mac, Age: 200 * ms, For: long}
}

func both(fs ...func(*AddressSight)) func(*AddressSight) {
	return func(a *AddressSight) {
		for _, f := range fs {
			f(a)
		}
	}
}

func heard(ads ...Advert) func(*AddressSight) {
	return func(a *AddressSight) { a.Adverts = append(a.Adverts, ads...) }
}

func census(as ...Answer) func(*AddressSight) {
	return func(a *AddressSight) { a.Answers = append(a.Answers, as...) }
}

func outside(w detector.PathWord) func(*AddressSight) {
	return func(a *AddressSight) { a.Outside = &w }
}

func row(host string, owner detector.MAC, hanging int) HostRow {
	return HostRow{Host: nova.HostName(host), Told: time.Second, Row: detector.PathRow{Age: time.Second, Owners: []detector.MAC{owner}, Hanging: hanging}}
}

// well is the owner ctl1 as everybody sees it, with keepalived.
func well() View {
	ad := adverts(1, 400*ms, false)
	own := ad
	own.Own = true
	return View{VIPs: []VIP{internal}, Controllers: []detector.Observer{"ctl1", "ctl2", "ctl3"}, Sights: []Sight{
		node(1, both(holds(mac1, time.Hour), heard(own))),
		node(2, both(census(answers(mac1, time.Hour)), heard(ad))),
		node(3, both(census(answers(mac1, time.Hour)), heard(ad))),
	}}
}

// at sees one view for long enough, and gives what is found in the end. before is
// seen for a second first: who sends VRRP, whose MACs are whose.
func at(before *View, v View) Report {
	t := NewTracker()
	now := begin
	if before != nil {
		for range 4 {
			b := *before
			b.Now = now
			t.Look(b)
			now = now.Add(250 * ms)
		}
	}
	var r Report
	for range 16 {
		v.Now = now
		r = t.Look(v)
		now = now.Add(250 * ms)
	}
	return r
}

func TestFindings(t *testing.T) {
	calm := well()
	replace := func(sights ...Sight) View {
		v := well()
		for _, s := range sights {
			i := slices.IndexFunc(v.Sights, func(x Sight) bool { return x.Controller == s.Controller })
			v.Sights[i] = s
		}
		return v
	}
	own := func(n int, age time.Duration) Advert { return adverts(n, age, true) }
	down := func(s Sight, backends ...string) Sight {
		s.Proxy = &Proxy{Up: 1, Down: backends}
		return s
	}
	for name, test := range map[string]struct {
		before *View
		view   View
		want   string // kinds
		says   string
		owner  string
	}{
		"well": {nil, well(), "", "", "ctl1"},
		"A: a graceful stop leaves nobody for a moment": {&calm, func() View {
			v := replace(node(1, nil), node(2, both(holds(mac2, 100*ms), heard(own(2, 50*ms)))), node(3, both(census(Answer{MAC: mac1, Age: 900 * ms, For: time.Hour}, Answer{MAC: mac2, Age: 100 * ms}))))
			return v
		}(), "", "", "ctl1+ctl2"},
		"B2: keepalived killed, nobody else has it yet": {&calm, replace(
			node(1, both(holds(mac1, time.Hour), heard(own(1, 3*time.Second)))), node(2, census(answers(mac1, time.Hour))), node(3, census(answers(mac1, time.Hour)))),
			"orphan", "ctl1 has the address and has not advertised it", "ctl1"},
		"B2, F: killed or hung, and the backup has taken over": {&calm, replace(
			node(1, both(holds(mac1, time.Hour), heard(adverts(2, 400*ms, false)))), node(2, both(holds(mac2, 2*time.Second), heard(own(2, 400*ms)))), node(3, census(answers(mac1, time.Hour), answers(mac2, 2*time.Second)))),
			"duplicate orphan", "while ctl2 does", "ctl1+ctl2"},
		"D: both advertise, each to its own side": {&calm, replace(
			node(1, both(holds(mac1, time.Hour), heard(own(1, 400*ms)))), node(2, both(holds(mac2, time.Second), heard(own(2, 400*ms)))), node(3, census(answers(mac1, time.Hour), answers(mac2, time.Second)))),
			"duplicate", "ctl2 has had the address", "ctl1+ctl2"},
		"D, seen by the census alone": {&calm, func() View {
			v := replace(node(3, census(answers(mac1, time.Hour), answers(mac2, time.Second))))
			v.Sights = v.Sights[2:]
			return v
		}(), "duplicate", "ctl2 (02:00:00:00:00:0c) has answered", "ctl1+ctl2"},
		"C: nobody has it": {&calm, replace(node(1, nil), node(2, nil), node(3, nil)), "no-owner", "nobody answers", ""},
		"nobody reports and nobody asks": {&calm, func() View {
			v := replace(node(1, nil), node(2, nil), node(3, nil))
			v.Sights = v.Sights[:1]
			return v
		}(), "", "", ""},
		"a stranger answers": {&calm, replace(node(3, census(answers(mac1, time.Hour), answers(stranger, 5*time.Second)))),
			"duplicate rogue-mac", "02:00:00:00:00:63 has answered", "02:00:00:00:00:63+ctl1"},
		"whether it is a stranger is not known": {nil, func() View {
			v := replace(node(3, census(answers(stranger, 5*time.Second))))
			v.Sights = v.Sights[2:]
			return v
		}(), "", "", "02:00:00:00:00:63"},
		"the wrong one answers": {&calm, replace(node(2, census(answers(mac3, 0))), node(3, nil), node(1, both(holds(mac1, time.Hour), heard(own(1, 400*ms))))),
			"owner-mismatch", "ctl3 (02:00:00:00:00:0d) has answered", "ctl1+ctl3"},
		"one advertises and has nothing": {&calm, replace(node(2, both(census(answers(mac1, time.Hour)), heard(own(2, 400*ms))))),
			"owner-mismatch", "ctl2 advertises it and does not have it", "ctl1"},
		"DB: no backend": {&calm, func() View {
			v := well()
			v.Sights[0], v.Sights[1] = down(v.Sights[0], "api"), down(v.Sights[1])
			return v
		}(), "hollow", "no server up for api; that of ctl2 has", "ctl1"},
		"a proxy without the address may be dead": {&calm, func() View {
			v := well()
			v.Sights[1] = down(v.Sights[1], "api")
			return v
		}(), "", "", "ctl1"},
		"the service says no to those who ask": {&calm, replace(
			node(2, both(census(answers(mac1, time.Hour)), outside(detector.PathRefused))), node(3, both(census(answers(mac1, time.Hour)), outside(detector.PathBad)))),
			"hollow", "ctl2 asked the service there: refused", "ctl1"},
		"G: hosts hang": {&calm, func() View {
			v := well()
			v.Hosts = []HostRow{row("cmp1", mac1, 4), row("cmp2", mac1, 0)}
			return v
		}(), "half-open", "4 connections of cmp1 hang", "ctl1"},
		"H: a host sends to the former owner": {&calm, func() View {
			v := well()
			v.Hosts = []HostRow{row("cmp1", mac2, 0), row("cmp2", mac1, 0), row("cmp3", detector.MAC{}, 0)}
			return v
		}(), "stale-neighbour", "cmp1 sends to ctl2 (02:00:00:00:00:0c), the owner is ctl1", "ctl1"},
		"where two have it, no host is wrong": {&calm, func() View {
			v := replace(node(2, both(holds(mac2, time.Minute), heard(own(2, 400*ms)))))
			v.Hosts = []HostRow{row("cmp1", mac2, 0)}
			return v
		}(), "duplicate", "", "ctl1+ctl2"},
		"a controller's word that is old is none": {&calm, func() View {
			v := replace(node(2, both(holds(mac2, time.Minute))))
			v.Sights[1].Age = 4 * time.Second
			return v
		}(), "", "", "ctl1"},
		"an owner that no VRRP manages is no orphan": {nil, func() View {
			v := View{VIPs: []VIP{internal}, Controllers: []detector.Observer{"ctl1", "ctl2", "ctl3"}, Sights: []Sight{
				node(1, holds(mac1, time.Hour)), node(2, census(answers(mac1, time.Hour))), node(3, nil)}}
			return v
		}(), "", "", "ctl1"},
	} {
		r := at(test.before, test.view)
		var kinds, said []string
		for _, f := range r.Findings {
			kinds, said = append(kinds, string(f.Kind)), append(said, f.Evidence...)
			if f.Do == "" || !strings.HasPrefix(f.Runbook, "docs/vip.md#") || f.Since.IsZero() || len(f.Evidence) == 0 {
				t.Errorf("%s: %s does not say since when, why, or what to do: %+v", name, f.Kind, f)
			}
		}
		if got := strings.Join(kinds, " "); got != test.want {
			t.Errorf("%s: found %q, want %q: %s", name, got, test.want, strings.Join(said, "; "))
		}
		if !strings.Contains(strings.Join(said, "; "), test.says) {
			t.Errorf("%s: says %q, want %q", name, strings.Join(said, "; "), test.says)
		}
		if test.owner != "" && r.Owners["internal"] != test.owner {
			t.Errorf("%s: the owner is %q, want %q", name, r.Owners["internal"], test.owner)
		}
	}
}

// TestSince: a finding keeps its time while it lasts, and goes when it is over.
func TestSince(t *testing.T) {
	tr := NewTracker()
	gone := well()
	gone.Sights = []Sight{node(1, nil), node(2, nil), node(3, nil)}
	look := func(v View, at time.Duration) Report {
		v.Now = begin.Add(at)
		return tr.Look(v)
	}
	look(well(), 0)
	if r := look(gone, 500*ms); len(r.Findings) != 0 {
		t.Errorf("an address that moves has no owner for a moment: %v", r.Findings)
	}
	look(gone, time.Second)
	if r := look(gone, 1600*ms); len(r.Findings) != 1 || !r.Findings[0].Since.Equal(begin.Add(500*ms)) {
		t.Errorf("found %+v, want no-owner since 500 ms", r.Findings)
	}
	look(well(), 2*time.Second)
	if r := look(well(), 4*time.Second); len(r.Findings) != 0 {
		t.Errorf("found %+v after it was over", r.Findings)
	}
}

func TestFlapping(t *testing.T) {
	tr := NewTracker()
	second := well()
	second.Sights[0], second.Sights[1] = node(1, census(answers(mac2, time.Minute))), node(2, holds(mac2, time.Minute))
	second.Sights[2] = node(3, census(answers(mac2, time.Minute)))
	moves := 0
	for i := range 7 {
		v := well()
		if i%2 == 1 {
			v = second
		}
		v.Now = begin.Add(time.Duration(i) * time.Minute)
		r := tr.Look(v)
		moves += len(r.Moves)
		flaps := slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Kind == Flapping })
		if flaps != (i >= 3) {
			t.Errorf("after %d moves: flapping %t", moves, flaps)
		}
	}
	if moves != 6 {
		t.Errorf("%d moves seen, want 6", moves)
	}
	v := well()
	v.Now = begin.Add(time.Hour)
	if r := tr.Look(v); len(r.Findings) != 0 {
		t.Errorf("an hour later: %v", r.Findings)
	}
}

// TestNoFalseDuplicate: whatever the ages and the way of reports, an address that is
// taken only after it was given up is never a duplicate; and one that two have had for
// seconds always is.
func TestNoFalseDuplicate(t *testing.T) {
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 7))
		up := func(most int) time.Duration { return time.Duration(r.IntN(most)) * ms }
		// Ages are counted back from now: ctl1 had it until `left`, ctl2 from `came`.
		left := up(4000)
		came := left - 100*ms - up(3000) // after a gap
		twins := seed%2 == 1
		if twins {
			came = left + time.Second + up(3000)
		}
		v := well()
		age1, age2 := up(1200), up(1200)
		v.Sights[0] = node(1, nil)
		if age1 >= left { // its last sight is of when it still had it
			v.Sights[0] = node(1, holds(mac1, time.Hour))
		} else if twins {
			left = 0
			v.Sights[0] = node(1, holds(mac1, time.Hour))
		}
		v.Sights[0].Age = age1
		v.Sights[1] = node(2, nil)
		if came > age2 {
			v.Sights[1] = node(2, holds(mac2, came-age2))
		}
		v.Sights[1].Age = age2
		v.Sights[2] = node(3, nil)
		s := newScene(internal, v, map[detector.MAC]detector.Observer{mac1: "ctl1", mac2: "ctl2"})
		_, found := s.duplicate()
		if found && !twins {
			t.Fatalf("seed %d: a duplicate is found though ctl1 gave it up %s before ctl2 took it (%+v)", seed, left-came, s.claims)
		}
		if !found && twins && came-max(age1, age2) > overlap {
			t.Fatalf("seed %d: both have had it for %s and nothing is found (%+v)", seed, came, s.claims)
		}
	}
}
