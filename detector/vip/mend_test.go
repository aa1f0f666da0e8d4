package vip

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// course plays views one after another, each for some looks of 250 ms, and gives what
// was ordered, by kind and node.
func course(parts ...View) (all []string) {
	tracker, mender, now := NewTracker(), NewMender(), begin
	for _, v := range parts {
		for range 20 {
			v.Now = now
			for _, m := range mender.Plan(v, tracker.Look(v)) {
				all = append(all, string(m.Kind)+" "+string(m.Node))
			}
			now = now.Add(250 * ms)
		}
	}
	return all
}

func TestMend(t *testing.T) {
	calm := well()
	twins := well()
	own2 := adverts(2, 300*ms, true)
	twins.Sights[1] = node(2, both(holds(mac2, time.Hour), heard(own2)))
	orphan := well() // ctl1's keepalived is dead, ctl2 has taken the address
	orphan.Sights[0] = node(1, both(holds(mac1, time.Hour), heard(adverts(2, 300*ms, false))))
	orphan.Sights[1] = twins.Sights[1]
	orphan.Sights[2] = node(3, heard(adverts(2, 300*ms, false)))
	alone := well() // and where nobody has taken it
	alone.Sights[0] = node(1, holds(mac1, time.Hour))
	alone.Sights[1], alone.Sights[2] = node(2, nil), node(3, nil)
	unheard := orphan // the other advertises it and does not have it
	unheard.Sights = slices.Clone(orphan.Sights)
	unheard.Sights[1] = node(2, heard(own2))

	announce := slices.Repeat([]string{"announce ctl1"}, 5) // at 0, 0.2, 1, 2 and 5 s; the sixth is due at 10 s
	for name, c := range map[string]struct {
		parts []View
		want  []string
	}{
		"all is well":             {[]View{calm, calm}, nil},
		"while two have it":       {[]View{calm, twins}, nil},
		"after two had it":        {[]View{calm, twins, calm}, announce[:4]},
		"and for long after":      {[]View{calm, twins, calm, calm, calm, calm, calm}, append(slices.Clone(announce), "announce ctl1")},
		"an orphan beside it":     {[]View{calm, orphan}, []string{"orphan ctl1"}},
		"an orphan for long":      {[]View{calm, orphan, orphan, orphan, orphan, orphan, orphan, orphan, orphan}, []string{"orphan ctl1", "orphan ctl1"}},
		"an orphan and no other":  {[]View{calm, alone}, nil},
		"an orphan and a pretext": {[]View{calm, unheard}, nil},
	} {
		if got := course(c.parts...); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// TestMayTakeOff: a controller believes its own eyes, too.
func TestMayTakeOff(t *testing.T) {
	other, own := adverts(2, 300*ms, false), adverts(1, 300*ms, true)
	for name, c := range map[string]struct {
		sight func(*AddressSight)
		want  bool
	}{
		"it has it, another advertises":      {both(holds(mac1, time.Hour), heard(other)), true},
		"it advertises itself":               {both(holds(mac1, time.Hour), heard(other, own)), false},
		"nobody advertises":                  {holds(mac1, time.Hour), false},
		"the other was heard long ago":       {both(holds(mac1, time.Hour), heard(adverts(2, time.Minute, false))), false},
		"it does not have it":                {heard(other), false},
		"it does not listen":                 {both(holds(mac1, time.Hour), heard(other), func(a *AddressSight) { a.Listens = false }), false},
		"its own last word was long ago too": {both(holds(mac1, time.Hour), heard(other, adverts(1, time.Minute, true))), true},
	} {
		if got := MayTakeOff(node(1, c.sight).VIPs[0]); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestMendWord(t *testing.T) {
	before := MendWord{Announced: 6, Why: "a"}
	for w, want := range map[MendWord]string{
		before:                             "",
		{Announced: 7, Why: "a"}:           "c1 has announced the address v again: a",
		{Announced: 6, TakenOff: 1}:        "c1 has taken the address v off",
		{Announced: 6, Would: 1, Why: "b"}: "c1 would have mended the address v: b",
	} {
		if got := w.Since(before, "c1", "v"); want == "" && got != "" || !strings.HasPrefix(got, want) {
			t.Errorf("%+v: %q, want %q", w, got, want)
		}
	}
}
