package evacuate

import (
	"bytes"
	"testing"
	"time"
)

// TestUpsets says what counts, and that it survives a snapshot.
func TestUpsets(t *testing.T) {
	kinds := func(s *State) (out string) {
		for _, u := range s.Hosts["cmp1"].Upsets {
			out += string(u.Kind) + " "
		}
		return out
	}
	seen := func(boot string) Entry {
		return Entry{Kind: KindHostSeen, Seen: []HostSeen{{Host: "cmp1", Boot: boot}}}
	}
	tests := []struct {
		name    string
		entries []Entry
		want    string
	}{
		{"first boot", []Entry{eInit, eHost}, ""},
		{"seen again", []Entry{eInit, eHost, eHost}, ""},
		{"a reboot", []Entry{eInit, eHost, seen("b2")}, "reboot "},
		{"a reboot in maintenance", []Entry{eInit, eHost, {Kind: KindHostMaintenance, Host: "cmp1", Flag: true}, seen("b2")}, ""},
		{"a recovery", []Entry{eInit, eHost, eOpen, eFence, eProof}, "recovery fence "},
		{"the new boot of a return", []Entry{eInit, eHost, eOpen, eFence, eProof, seen("b2")}, "recovery fence "},
		{"released", []Entry{eInit, eHost, seen("b2"), {Kind: KindHostRelease, Host: "cmp1"}}, ""},
	}
	for _, tt := range tests {
		s := play(t, tt.entries...)
		if got := kinds(s); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
		b, err := s.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		again, err := UnmarshalState(b)
		if err != nil {
			t.Fatal(err)
		}
		if c, _ := again.Marshal(); !bytes.Equal(b, c) || kinds(again) != tt.want {
			t.Errorf("%s: lost in a snapshot", tt.name)
		}
	}
	s := play(t, eInit, eHost)
	for i := range 100 {
		s.upset("cmp1", t0.Add(time.Duration(i)*time.Minute), UpsetReboot)
	}
	if n := len(s.Hosts["cmp1"].Upsets); n != maxUpsets {
		t.Errorf("%d upsets are remembered, %d at most", n, maxUpsets)
	}
	s.upset("cmp1", t0.Add(keepUpsets+2*time.Hour), UpsetReboot)
	if n := len(s.Hosts["cmp1"].Upsets); n != 1 {
		t.Errorf("%d upsets are remembered, of which one is younger than a month", n)
	}
	s.upset("cmp9", t0, UpsetReboot)
	if s.Hosts["cmp9"] != nil {
		t.Error("an upset makes a host")
	}
	if err := s.Apply(99, 1, Entry{Kind: KindHostRelease, Host: "cmp9"}); err == nil {
		t.Error("a host that is not there is released")
	}
	if err := s.Apply(99, 1, Entry{Kind: KindHostQuarantine, Host: "cmp1"}); err == nil {
		t.Error("a quarantine without an end is taken")
	}
}
