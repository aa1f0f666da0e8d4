package evacuate

import (
	"strings"
	"testing"
	"time"
)

func ringStep(p RingPhase, epoch int, print string) Entry {
	return Entry{Kind: KindRing, At: t0, By: "ann", Ring: &RingStep{Phase: p, Key: RingKeyName{Epoch: epoch, Fingerprint: print}}}
}

// In every phase whoever has come to the one before or to the one after
// understands everybody: each encrypts with a key that the others hold.
func TestRotation(t *testing.T) {
	s := NewState()
	old, next := RingKeyName{}, RingKeyName{Epoch: 1, Fingerprint: "f1"}
	plans := []RingKeys{s.RingKeys()}
	for i, c := range []struct {
		phase RingPhase
		hold  []RingKeyName
		use   RingKeyName
	}{
		{RingDistribute, []RingKeyName{old, next}, old},
		{RingUse, []RingKeyName{old, next}, next},
		{RingRetire, []RingKeyName{next}, next},
		{RingDone, []RingKeyName{next}, next},
	} {
		if err := s.Apply(uint64(i+1), 1, ringStep(c.phase, 1, "f1")); err != nil {
			t.Fatal(err)
		}
		p := s.RingKeys()
		if p.Use != c.use || len(p.Hold) != len(c.hold) || p.Hold[0] != c.hold[0] {
			t.Errorf("%s: %+v", c.phase, p)
		}
		plans = append(plans, p)
	}
	holds := func(p RingKeys, k RingKeyName) bool {
		for _, h := range p.Hold {
			if h == k {
				return true
			}
		}
		return false
	}
	for i := 1; i < len(plans); i++ {
		if !holds(plans[i], plans[i-1].Use) || !holds(plans[i-1], plans[i].Use) {
			t.Errorf("from %+v to %+v the ring is split", plans[i-1], plans[i])
		}
	}
	if s.Rotation != nil || s.RingEpoch != 1 || s.RingPrint != "f1" || s.RingSerial != 4 {
		t.Errorf("at the end %+v", s)
	}
}

func TestRotationRefuses(t *testing.T) {
	for _, c := range []struct {
		name  string
		given []Entry
		then  Entry
		says  string
	}{
		{"use without a rotation", nil, ringStep(RingUse, 1, "f1"), "no rotation"},
		{"a second rotation", []Entry{ringStep(RingDistribute, 1, "f1")}, ringStep(RingDistribute, 1, "f2"), "phase distribute"},
		{"an epoch that does not follow", nil, ringStep(RingDistribute, 2, "f1"), "does not follow"},
		{"a key without a name", nil, ringStep(RingDistribute, 1, ""), "does not follow"},
		{"a phase skipped", []Entry{ringStep(RingDistribute, 1, "f1")}, ringStep(RingRetire, 1, "f1"), "does not follow"},
		{"another key", []Entry{ringStep(RingDistribute, 1, "f1")}, ringStep(RingUse, 1, "f2"), "not the one"},
		{"abandoned while in use", []Entry{ringStep(RingDistribute, 1, "f1"), ringStep(RingUse, 1, "f1")}, ringStep(RingAbandoned, 1, "f1"), "does not follow"},
		{"no step", nil, Entry{Kind: KindRing}, "has no ring"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := NewState()
			for _, e := range c.given {
				if err := s.Apply(1, 1, e); err != nil {
					t.Fatal(err)
				}
			}
			before := s.RosterVersion()
			if err := s.Apply(2, 1, c.then); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v does not say %q", err, c.says)
			}
			if s.RosterVersion() != before {
				t.Error("refused, and the roster changed")
			}
		})
	}
}

func TestAbandonedRotation(t *testing.T) {
	s := NewState()
	for _, e := range []Entry{ringStep(RingDistribute, 1, "f1"), ringStep(RingAbandoned, 1, "f1"), ringStep(RingDistribute, 1, "f2")} {
		if err := s.Apply(1, 1, e); err != nil {
			t.Fatal(err)
		}
	}
	if p := s.RingKeys(); p.Use != (RingKeyName{}) || p.Hold[1].Fingerprint != "f2" {
		t.Errorf("%+v", p)
	}
}

// A host that takes the place of another, a moved address, a step of a rotation:
// each is another version, and the same ledger gives the same one.
func TestRosterVersion(t *testing.T) {
	made := func(f func(*State)) uint64 {
		s := NewState()
		s.Controllers["ctl1"] = &Controller{ID: "ctl1", Address: "10.0.0.1:7947", PublicKey: []byte{1}}
		s.Controllers["ctl2"] = &Controller{ID: "ctl2", Address: "10.0.0.2:7947", PublicKey: []byte{2}}
		s.Hosts["cmp1"], s.Hosts["cmp2"] = &Host{Name: "cmp1", Enrolled: t0}, &Host{Name: "cmp2"}
		f(s)
		return s.RosterVersion()
	}
	seen := map[uint64]string{}
	for name, f := range map[string]func(*State){
		"as it is":             func(*State) {},
		"a host swapped":       func(s *State) { delete(s.Hosts, "cmp2"); s.Hosts["cmp3"] = &Host{Name: "cmp3"} },
		"a controller swapped": func(s *State) { delete(s.Controllers, "ctl2"); s.Controllers["ctl3"] = &Controller{ID: "ctl3"} },
		"a controller's key":   func(s *State) { s.Controllers["ctl2"].PublicKey = []byte{3} },
		"a controller's place": func(s *State) { s.Controllers["ctl2"].Address = "10.0.0.9:7947" },
		"a host enrolled":      func(s *State) { s.Hosts["cmp2"].Enrolled = t0 },
		"a ring address":       func(s *State) { s.Hosts["cmp2"].Ring = "10.0.0.7:7946" },
		"a rotation":           func(s *State) { s.RingSerial++ },
		"a restored ledger":    func(s *State) { s.Generation++ },
	} {
		v := made(f)
		if other, ok := seen[v]; ok {
			t.Errorf("%s and %s have one version", name, other)
		}
		seen[v] = name
	}
	quiet := made(func(s *State) { s.Hosts["cmp1"].PoweredOn, s.Hosts["cmp1"].Boot = t0.Add(time.Hour), "b2" })
	if seen[quiet] != "as it is" {
		t.Error("what no roster holds changes its version")
	}
}
