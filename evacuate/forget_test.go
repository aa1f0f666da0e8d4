package evacuate

import (
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// forgettable is a host that was proven off and recovered, and what it left behind.
func forgettable() (*State, World, Forgetting) {
	s := NewState()
	s.Hosts["cmp1"] = &Host{Name: "cmp1", Boot: "b1"}
	at := func(ago time.Duration) fence.Reading {
		return fence.Reading{Method: "ipmi", Power: fence.Off, Began: t0.Add(-ago), Ended: t0.Add(-ago)}
	}
	s.Recoveries["r1"] = &Recovery{ID: "r1", Host: "cmp1", Boot: "b1", Status: StatusRecovered, Opened: t0.Add(-2 * time.Hour),
		Proof:       &fence.Record{Host: "cmp1", Boot: "b1", Method: "ipmi", Commanded: t0.Add(-time.Hour), Readings: []fence.Reading{at(time.Hour - time.Second), at(time.Hour - 3*time.Second)}},
		Evacuations: []*Evacuation{{Server: "vm1", Name: "vm1", State: EvacDone, Dest: "cmp2"}}}
	w := World{Now: t0, Heard: map[nova.HostName]Heard{"cmp1": {At: t0.Add(-2 * time.Hour), Boot: "b1"}}}
	f := Forgetting{Host: "cmp1", Recovery: "r1", Service: nova.Service{ID: "s1", Host: "cmp1", State: nova.StateDown, ForcedDown: true},
		Rows: []nova.Migration{{ID: 1, Server: "vm1", Status: nova.MigrationDone, Source: "cmp1", Dest: "cmp2"}}, Providers: []string{"p1"},
		Elsewhere: []nova.Server{{ID: "vm1", Name: "vm1", Host: "cmp2"}}, Power: fence.Off}
	return s, w, f
}

// TestCheckForget: while anything could run there, nothing is cleaned.
func TestCheckForget(t *testing.T) {
	for name, c := range map[string]struct {
		change func(s *State, w *World, f *Forgetting)
		why    string // "": it may be forgotten
	}{
		"recovered":                   {func(*State, *World, *Forgetting) {}, ""},
		"its recovery was ended":      {func(s *State, _ *World, _ *Forgetting) { s.Recoveries["r1"].Status = StatusClosed }, ""},
		"its BMC is gone with it":     {func(_ *State, _ *World, f *Forgetting) { f.Power = fence.Unknown }, ""},
		"Nova has no service of it":   {func(_ *State, _ *World, f *Forgetting) { f.Service = nova.Service{} }, ""},
		"Lifeboat has removed it":     {func(s *State, _ *World, _ *Forgetting) { delete(s.Hosts, "cmp1") }, ""},
		"no recovery":                 {func(s *State, _ *World, _ *Forgetting) { delete(s.Recoveries, "r1") }, "nothing proves"},
		"being recovered":             {func(s *State, _ *World, _ *Forgetting) { s.Recoveries["r1"].Status = StatusOpen }, "is open"},
		"asked back":                  {func(s *State, _ *World, _ *Forgetting) { s.Recoveries["r1"].Status = StatusReturning }, "is returning"},
		"no proof":                    {func(s *State, _ *World, _ *Forgetting) { s.Recoveries["r1"].Proof = nil }, "does not hold"},
		"the proof is void":           {func(s *State, _ *World, _ *Forgetting) { s.Recoveries["r1"].Void = "powered on again" }, "powered on again"},
		"an evacuation is on its way": {func(s *State, _ *World, _ *Forgetting) { s.Recoveries["r1"].Evacuations[0].State = EvacFollowing }, "on their way"},
		"a newer recovery has none": {func(s *State, _ *World, _ *Forgetting) {
			s.Recoveries["r2"] = &Recovery{ID: "r2", Host: "cmp1", Opened: t0, Status: StatusClosed}
		}, "does not hold"},
		"something is on its way to it": {func(s *State, _ *World, _ *Forgetting) {
			s.Recoveries["r2"] = &Recovery{ID: "r2", Host: "cmp3", Status: StatusOpen, Evacuations: []*Evacuation{{Name: "vm9", State: EvacFollowing, Dest: "cmp1"}}}
		}, "vm9 is on its way"},
		"an attempt died with it": {func(s *State, _ *World, _ *Forgetting) {
			s.Recoveries["r2"] = &Recovery{ID: "r2", Host: "cmp3", Status: StatusOpen, Evacuations: []*Evacuation{{Name: "vm9", State: EvacFailed, Losses: []Loss{{Host: "cmp1", Proof: "r1"}}}}}
		}, "vm9 is evacuated again"},
		"being drilled": {func(s *State, _ *World, _ *Forgetting) { s.Hosts["cmp1"].Drilling = &Drilling{Stage: DrillOff} }, "drilled"},
		"frozen":        {func(s *State, _ *World, _ *Forgetting) { s.Frozen = true }, "frozen"},
		"heard since":   {func(_ *State, w *World, _ *Forgetting) { w.Heard["cmp1"] = Heard{At: t0, Boot: "b2"} }, "its heartbeat was heard"},
		"reads on":      {func(_ *State, _ *World, f *Forgetting) { f.Power = fence.On }, "reads on"},
		"up":            {func(_ *State, _ *World, f *Forgetting) { f.Service.State = nova.StateUp }, "is up"},
		"not empty":     {func(_ *State, _ *World, f *Forgetting) { f.Servers = []nova.Server{{Name: "left"}} }, "1 instances are on it by Nova (left)"},
		"a stranger":    {func(_ *State, _ *World, f *Forgetting) { f.Strangers = []nova.ServerID{"m1"} }, "which no server is"},
		"somebody else's row": {func(_ *State, _ *World, f *Forgetting) {
			f.Rows = append(f.Rows, nova.Migration{ID: 2, Server: "vm2", Status: nova.MigrationAccepted})
		}, "evacuation 2 of vm2"},
		"a row that died with its destination": {func(s *State, _ *World, f *Forgetting) {
			f.Rows = append(f.Rows, nova.Migration{ID: 2, Server: "vm1", Status: nova.MigrationPreMigrating})
			s.Recoveries["r1"].Evacuations[0].Losses = []Loss{{Host: "cmp3", Row: 2, Proof: "r9"}}
		}, ""},
	} {
		s, w, f := forgettable()
		c.change(s, &w, &f)
		err := CheckForget(f, s, w)
		if (err == nil) != (c.why == "") || err != nil && !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: %v, want %q", name, err, c.why)
		}
	}
}

// TestForgets: its stages end its recovery, keep hands off it, and take its name and its
// proof away; each is refused where the first would be.
func TestForgets(t *testing.T) {
	s, _, f := forgettable()
	stage := func(word string) error {
		return s.apply(1, Entry{Kind: KindHostForget, Host: "cmp1", Word: word, At: t0, By: "ann", Text: f.Sum()})
	}
	if err := s.PermitsForget("cmp1"); err == nil {
		t.Error("permitted before it was begun")
	}
	for _, word := range []string{ForgetBegins, ForgetFailed, ForgetBegins} {
		if err := stage(word); err != nil {
			t.Fatal(err)
		}
		r := s.Recoveries["r1"]
		if _, ok := r.Proved(); !ok || r.Status != StatusClosed || r.Outcome != OutcomeForgotten || !s.Hosts["cmp1"].Maintenance {
			t.Errorf("%s: %+v", word, r)
		}
		if err := s.PermitsForget("cmp1"); err != nil {
			t.Error(err)
		}
	}
	s.Frozen = true
	if err := s.PermitsForget("cmp1"); err == nil {
		t.Error("permitted while frozen")
	}
	s.Frozen = false
	if err := stage(ForgetDone); err != nil {
		t.Fatal(err)
	}
	if _, proved := s.Recoveries["r1"].Proved(); s.Hosts["cmp1"] != nil || proved || len(s.Journal) != 4 {
		t.Errorf("%+v, journal %v", s.Hosts["cmp1"], s.Journal)
	}
	for _, word := range []string{ForgetBegins, ForgetDone, "?"} {
		if stage(word) == nil {
			t.Errorf("%q of what is forgotten", word)
		}
	}
}

// The text names all that would be done, and what is left to do by hand.
func TestForgetText(t *testing.T) {
	_, _, f := forgettable()
	f.Rows = append(f.Rows, nova.Migration{ID: 7, Server: "vm1", Status: nova.MigrationAccepted})
	for _, want := range []string{"r1 proved off", "vm1 (vm1), which is on cmp2", "provider p1", "service s1", "evacuation 7", "openstack network agent list --host cmp1"} {
		if !strings.Contains(f.Text(), want) {
			t.Errorf("%q is missing in\n%s", want, f.Text())
		}
	}
}
