package detector

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

func ids(words ...string) []nova.ServerID {
	var out []nova.ServerID
	for _, w := range words {
		out = append(out, nova.ServerID(w))
	}
	return out
}

// tells lets a host's agent tell its list and say its word in a heartbeat.
func tells(t *Table, host, boot string, g Guests, s float64) {
	t.Guests(nova.HostName(host), boot, g, at(s))
	says(t, host, boot, g.Clean().Word(), s)
}

func says(t *Table, host, boot, word string, s float64) {
	t.Heartbeat("ctl1", Heartbeat{Host: nova.HostName(host), Boot: boot, Sensors: map[string]string{SensorGuests: word}}, at(s))
}

// TestGuestWord: the word is of the lists alone, whatever their order, and tells what
// runs from what stands still.
func TestGuestWord(t *testing.T) {
	a := Guests{Running: ids("b", "a", "a"), Paused: ids("c", "a")}.Clean()
	if want := (Guests{Running: ids("a", "b"), Paused: ids("c")}); !slices.Equal(a.Running, want.Running) || !slices.Equal(a.Paused, want.Paused) || a.Word() != want.Word() {
		t.Errorf("cleaned to %+v %s", a, a.Word())
	}
	seen := map[string]bool{}
	for _, g := range []Guests{{}, {Running: ids("a")}, {Paused: ids("a")}, {Running: ids("ab")}, {Running: ids("a", "b")}, {Running: ids("b"), Paused: ids("a")}} {
		if seen[g.Word()] {
			t.Errorf("%+v has the word of another", g)
		}
		seen[g.Word()] = true
	}
}

// TestGuestSight: what a host has told counts while its heartbeats, of the same boot,
// say that it is still so; nothing is guessed of others.
func TestGuestSight(t *testing.T) {
	list := Guests{Running: ids("vm1", "vm2"), Paused: ids("vm3")}
	for name, c := range map[string]struct {
		then  func(t *Table)
		at    float64
		tells bool
	}{
		"as it was told":                {func(*Table) {}, 1, true},
		"its heartbeats are missing":    {func(*Table) {}, 60, false},
		"its heartbeats go on":          {func(t *Table) { says(t, "cmp1", "b1", list.Word(), 60) }, 60.5, true},
		"it says that there is another": {func(t *Table) { says(t, "cmp1", "b1", Guests{}.Word(), 2) }, 2, false},
		"its libvirt does not answer":   {func(t *Table) { says(t, "cmp1", "b1", GuestsUnknown+": no socket", 2) }, 2, false},
		"it was booted again":           {func(t *Table) { says(t, "cmp1", "b2", list.Word(), 2) }, 2, false},
		"it told again since its boot":  {func(t *Table) { tells(t, "cmp1", "b2", list, 2) }, 2, true},
		"it was told before it was heard": {func(t *Table) {
			t.Forget("cmp1")
			t.Guests("cmp1", "b1", list, at(2))
			_ = t.GuestSight(at(2))
			says(t, "cmp1", "b1", list.Word(), 3)
		}, 3, true},
		"it was removed":                   {func(t *Table) { t.Forget("cmp1") }, 1, false},
		"a list was overtaken by this one": {func(t *Table) { t.Guests("cmp1", "b1", Guests{}, at(-1)) }, 1, true},
	} {
		tab := NewTable(DefaultPolicy())
		tells(tab, "cmp1", "b1", list, 0)
		tells(tab, "cmp2", "b1", Guests{}, 0)
		c.then(tab)
		g := tab.GuestSight(at(c.at))
		if g.Tells("cmp1") != c.tells || (len(g.Running["vm1"]) == 1) != c.tells || (len(g.Paused["vm3"]) == 1) != c.tells {
			t.Errorf("%s: %+v, want told %t", name, g, c.tells)
		}
	}
	if g := NewTable(DefaultPolicy()).GuestSight(t0); g != nil || g.Tells("cmp1") || g.Elsewhere("vm1", "") != nil {
		t.Error("nobody has told, and there is a sight")
	}
}

// TestTwins: an instance that runs on two hosts is a finding once it has for TwinSettle;
// the paused end of a live migration is none.
func TestTwins(t *testing.T) {
	tab := NewTable(DefaultPolicy())
	both := func(s float64, a, b Guests) *GuestSight {
		tells(tab, "cmp1", "b1", a, s)
		tells(tab, "cmp2", "b1", b, s)
		return tab.GuestSight(at(s))
	}
	run, stand := Guests{Running: ids("vm1")}, Guests{Paused: ids("vm1")}
	for i := range 30 {
		if g := both(float64(i), run, stand); len(g.Twins) > 0 {
			t.Fatalf("a live migration is a finding: %+v", g.Twins)
		}
	}
	settle := TwinSettle.Seconds()
	if g := both(30, run, run); len(g.Twins) > 0 {
		t.Error("found at once: lists overtake each other")
	}
	if g := both(30+settle-0.1, run, run); len(g.Twins) > 0 {
		t.Error("found too early")
	}
	g := both(30+settle, run, run)
	if len(g.Twins) != 1 || g.Twins[0].Server != "vm1" || fmt.Sprint(g.Twins[0].Hosts) != "[cmp1 cmp2]" || !g.Twins[0].Since.Equal(at(30)) {
		t.Fatalf("not found: %+v", g.Twins)
	}
	if got := g.Elsewhere("vm1", "cmp1"); len(got) != 1 || got[0] != "cmp2" || len(g.Running["vm1"]) != 2 {
		t.Errorf("elsewhere than cmp1: %v of %v", got, g.Running["vm1"])
	}
	if g := both(31+settle, Guests{}, run); len(g.Twins) > 0 {
		t.Error("one copy has ended, and it still runs twice")
	}
	if g := both(32+settle, run, run); len(g.Twins) > 0 {
		t.Error("the time is counted from a former finding")
	}
	if tab.GuestSight(at(32+settle)) != tab.GuestSight(at(32+settle).Add(time.Millisecond)) {
		t.Error("the sight is made anew though nothing has changed")
	}
}

// TestServiceFence: a host that lives is to be fenced for a service only by policy, when
// it has failed for good for a while, and Nova says a moment ago that nova-compute is down.
func TestServiceFence(t *testing.T) {
	for name, c := range map[string]struct {
		change func(v *View, p *Policy)
		want   bool
	}{
		"so it is":                     {func(*View, *Policy) {}, true},
		"policy does not say so":       {func(_ *View, p *Policy) { p.FenceAiling = false }, false},
		"a moment ago":                 {func(v *View, _ *Policy) { v.GivenUpFor = 59 * time.Second }, false},
		"Nova calls it so a moment":    {func(v *View, _ *Policy) { v.Nova.DownFor = 59 * time.Second }, false},
		"its agent is still at it":     {func(v *View, _ *Policy) { v.Sensors["service:a"] = "failed: restarted 2 of 3 times" }, false},
		"nova-compute is up":           {func(v *View, _ *Policy) { v.Nova.State = nova.StateUp }, false},
		"Nova was asked a minute ago":  {func(v *View, _ *Policy) { v.Nova.Age = time.Minute }, false},
		"Nova was never asked":         {func(v *View, _ *Policy) { v.Nova = nil }, false},
		"it is in maintenance":         {func(v *View, _ *Policy) { v.Maintenance = true }, false},
		"it was booted anew":           {func(v *View, _ *Policy) { v.KnownBoot = "other" }, false},
		"nobody hears it any more":     {func(v *View, _ *Policy) { v.Controllers = hearing(4*time.Second, 4*time.Second, 4*time.Second) }, false},
		"one controller only hears it": {func(v *View, _ *Policy) { v.Controllers = hearing(500*ms, 8*time.Second, 8*time.Second) }, false},
	} {
		v, p := hung(), DefaultPolicy()
		v.Controllers = hearing(500*ms, 500*ms, 500*ms)
		v.Nova.State, v.GivenUpFor, v.Nova.DownFor, p.FenceAiling = nova.StateDown, time.Minute, time.Minute, true
		v.Sensors = map[string]string{"service:a": FailedForGood + ": 3 restarts did not help"}
		c.change(&v, &p)
		if got := Judge(v, p); got.CondemnedAlive() != c.want || got.Down() != c.want && got.State != Suspect {
			t.Errorf("%s: %s %s means %q", name, got.State, got.Reason, got.Means)
		}
	}
}

// TestGivenUpFor: the age of a service's end is that of the word, not of a heartbeat.
func TestGivenUpFor(t *testing.T) {
	tab := NewTable(DefaultPolicy())
	say := func(s float64, word string) time.Duration {
		tab.Heartbeat("ctl1", Heartbeat{Host: "cmp1", Boot: "b", Sensors: map[string]string{"service:a": word}}, at(s))
		return tab.View("cmp1", Facts{Voters: 1}, at(s)).GivenUpFor
	}
	for i, c := range []struct {
		word string
		want time.Duration
	}{{"active", 0}, {FailedForGood, 0}, {FailedForGood + ": x", time.Second}, {FailedForGood, 2 * time.Second}, {"failed", 0}, {FailedForGood, 0}, {FailedForGood, time.Second}} {
		if got := say(float64(i), c.word); got != c.want {
			t.Errorf("%d: %s: %s, want %s", i, c.word, got, c.want)
		}
	}
}

// TestDownFor: for how long Nova calls a nova-compute down is counted over its looks, and anew
// where nobody has asked for a while.
func TestDownFor(t *testing.T) {
	tab := NewTable(DefaultPolicy())
	for _, c := range []struct {
		at    float64
		state nova.ServiceState
		want  time.Duration
	}{{0, nova.StateUp, 0}, {3, nova.StateDown, 0}, {6, nova.StateDown, 3 * time.Second}, {36, nova.StateDown, 33 * time.Second}, {39, nova.StateUnknown, 0},
		{42, nova.StateDown, 0}, {45, nova.StateDown, 3 * time.Second}, {76, nova.StateDown, 0}, {79, nova.StateDown, 3 * time.Second}, {82, nova.StateUp, 0}} {
		tab.Service("cmp1", c.state, time.Time{}, at(c.at))
		if got := tab.View("cmp1", Facts{Voters: 1}, at(c.at)).Nova.DownFor; got != c.want {
			t.Errorf("after %g s, %s: down for %s, want %s", c.at, c.state, got, c.want)
		}
	}
}
