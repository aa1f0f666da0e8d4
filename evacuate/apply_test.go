package evacuate

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
)

var t0 = time.Date(2026, 11, 21, 6, 0, 0, 0, time.UTC)

func intent() *StepRecord {
	return &StepRecord{Phase: PhaseIntent, Attempt: 1, Intent: t0, Deadline: time.Minute}
}

func done() *StepRecord { return &StepRecord{Phase: PhaseDone, Attempt: 1, Ended: t0} }

func proofOf(host, boot string) *fence.Record {
	r := func(s int) fence.Reading {
		at := t0.Add(time.Duration(s) * time.Second)
		return fence.Reading{Method: "redfish", Power: fence.Off, Began: at, Ended: at.Add(100 * time.Millisecond)}
	}
	return &fence.Record{Host: host, Boot: boot, Method: "redfish", Commanded: t0, Readings: []fence.Reading{r(1), r(3)}}
}

func evac(s EvacState, attempt int) []*Evacuation {
	return []*Evacuation{{Server: "vm1", Name: "vm1", State: s, Attempt: attempt, Intent: t0.Add(time.Duration(attempt) * time.Minute)}}
}

var (
	eInit     = Entry{Kind: KindClusterInit, Cluster: &ClusterInit{ID: "c1", Mode: ModeAuto}}
	eHost     = Entry{Kind: KindHostSeen, Seen: []HostSeen{{Host: "cmp1", Boot: "b1"}}}
	eOpen     = Entry{Kind: KindOpen, Host: "cmp1", Open: &Recovery{Boot: "b1"}, Text: "dead"}
	eFence    = Entry{Kind: KindStep, Recovery: "r1", Step: StepFence, Record: intent(), By: "ctl1"}
	eProof    = Entry{Kind: KindStep, Recovery: "r1", Step: StepFence, Record: done(), Proof: proofOf("cmp1", "b1")}
	ePlan     = Entry{Kind: KindEvacuations, Recovery: "r1", Evacuations: evac(EvacPlanned, 0)}
	eIntent   = Entry{Kind: KindEvacuations, Recovery: "r1", Evacuations: evac(EvacIntent, 1)}
	eFollow   = Entry{Kind: KindEvacuations, Recovery: "r1", Evacuations: evac(EvacFollowing, 1)}
	eFailed   = Entry{Kind: KindEvacuations, Recovery: "r1", Evacuations: evac(EvacFailed, 1)}
	eAgain    = Entry{Kind: KindEvacuations, Recovery: "r1", Evacuations: evac(EvacIntent, 2)}
	eDone     = Entry{Kind: KindEvacuations, Recovery: "r1", Evacuations: evac(EvacDone, 1)}
	eVoid     = Entry{Kind: KindVoid, Recovery: "r1", Word: "heard"}
	eRefence  = Entry{Kind: KindVoid, Recovery: "r1", Word: "powered itself on", Boot: "b2", Flag: true}
	eReport   = Entry{Kind: KindStep, Recovery: "r1", Step: StepReport, Record: done()}
	eReturn   = Entry{Kind: KindReturn, Recovery: "r1", Return: &Return{By: "ann"}}
	ePowerOn  = Entry{Kind: KindStep, Recovery: "r1", Step: StepPowerOn, Record: intent(), By: "ctl1"}
	eCancel   = Entry{Kind: KindClose, Recovery: "r1", Word: OutcomeCancelled}
	eForget   = Entry{Kind: KindClose, Recovery: "r1", Word: OutcomeForgotten}
	eRestored = Entry{Kind: KindClusterRestored}
	eDown     = Entry{Kind: KindStep, Recovery: "r1", Step: StepForceDown, Record: intent()}
	eList     = Entry{Kind: KindStep, Recovery: "r1", Step: StepList, Record: intent()}
)

// TestApplyRefuses plays a history that is taken and a last entry that is
// refused with these words, or taken where there are none.
func TestApplyRefuses(t *testing.T) {
	opened := []Entry{eInit, eHost, eOpen}
	proven := append(opened[:3:3], eFence, eProof, ePlan)
	tests := []struct {
		name    string
		history []Entry
		last    Entry
		refused string
	}{
		{"second founding", opened[:1], eInit, "cluster c1 already"},
		{"second open", opened, eOpen, "recovery r1 open already"},
		{"open in mode observe", []Entry{eInit, eHost, {Kind: KindMode, Word: "observe"}}, eOpen, "mode is observe"},
		{"open while frozen", []Entry{eInit, eHost, {Kind: KindFreeze, Flag: true}}, eOpen, "frozen true"},
		{"force-down without proof", opened, eDown, "without a proof"},
		{"list without proof", opened, eList, "without a proof"},
		{"intent without proof", opened, eIntent, "without a proof"},
		{"proof of another host", opened, Entry{Kind: KindStep, Recovery: "r1", Step: StepFence, Record: done(), Proof: proofOf("cmp2", "b1")}, "the proof is for cmp2"},
		{"proof of another boot", opened, Entry{Kind: KindStep, Recovery: "r1", Step: StepFence, Record: done(), Proof: proofOf("cmp1", "b0")}, "boot b0"},
		{"proof of one reading", opened, Entry{Kind: KindStep, Recovery: "r1", Step: StepFence, Record: done(),
			Proof: &fence.Record{Host: "cmp1", Boot: "b1", Method: "redfish", Commanded: t0, Readings: proofOf("cmp1", "b1").Readings[:1]}}, "1 readings, 2 needed"},
		{"force-down with proof", proven, eDown, ""},
		{"intent with proof", proven, eIntent, ""},
		{"intent on a void proof", append(proven[:6:6], eVoid), eIntent, "without a proof"},
		{"force-down on a void proof", append(proven[:6:6], eVoid), eDown, "without a proof"},
		{"old proof for the new boot", append(proven[:6:6], eRefence), eProof, "boot b1"},
		{"second intent beside a promise", append(proven[:6:6], eIntent), eAgain, "is intent already"},
		{"the same attempt promised anew", append(proven[:6:6], eIntent), Entry{Kind: KindEvacuations, Recovery: "r1",
			Evacuations: []*Evacuation{{Server: "vm1", State: EvacIntent, Attempt: 1, Intent: t0}}}, "is intent already"},
		{"a remark on a promise", append(proven[:6:6], eIntent), eIntent, ""},
		{"a remark on a promise whose proof is void", append(proven[:6:6], eIntent, eVoid), eIntent, ""},
		{"second intent beside a row", append(proven[:6:6], eIntent, eFollow), eAgain, "is following already"},
		{"second intent after a failure", append(proven[:6:6], eIntent, eFollow, eFailed), eAgain, ""},
		{"skipped attempt number", append(proven[:6:6], eIntent, eFollow, eFailed), Entry{Kind: KindEvacuations, Recovery: "r1", Evacuations: evac(EvacIntent, 3)}, "is failed already"},
		{"intent for a moved server", append(proven[:6:6], eIntent, eDone), eAgain, "is done already"},
		{"return while open", proven, eReturn, "still being recovered"},
		{"return of a recovered host", append(proven[:6:6], eIntent, eDone, eReport), eReturn, ""},
		{"power-on while a row moves", append(proven[:6:6], eIntent, eFollow), ePowerOn, "still on their way"},
		{"power-on while a promise is open", append(proven[:6:6], eIntent), ePowerOn, "still on their way"},
		{"power-on with everything moved", append(proven[:6:6], eIntent, eDone, eReport, eReturn), ePowerOn, ""},
		{"POST after power-on", append(proven[:6:6], eIntent, eFailed, ePowerOn), eAgain, "without a proof"},
		{"cancel with a proof", proven, eCancel, "can't be cancelled"},
		{"cancel without one", opened, eCancel, ""},
		{"forget with a proof", proven, eForget, ""},
		{"an entry for a closed recovery", append(opened[:3:3], eCancel), eFence, "is closed"},
		{"lifting a shield of a closed recovery", append(opened[:3:3], eCancel), Entry{Kind: KindShield, Recovery: "r1", Shield: &Shield{Host: "cmp2", Lifted: true}}, ""},
		{"removing a host under recovery", opened, Entry{Kind: KindHostRemove, Host: "cmp1"}, "recovery r1 open"},
		{"no such recovery", opened, Entry{Kind: KindHold, Recovery: "r9"}, `no recovery "r9"`},
		{"no such mode", opened, Entry{Kind: KindMode, Word: "loud"}, "unknown mode"},
		{"another term", opened, Entry{Kind: KindStep, Recovery: "r1", Step: StepFence, Record: intent(), Term: 4}, "decided in term 4, committed in term 5"},
		{"enrolment without a token", opened, Entry{Kind: KindHostEnrol, Host: "cmp1", Word: "t1", Key: &HostKey{ID: "k"}}, "token is unknown"},
		{"renewal of an unknown host", opened, Entry{Kind: KindHostRenew, Host: "cmp9", Key: &HostKey{ID: "k"}}, "not enrolled"},
		{"return without its content", opened, Entry{Kind: KindReturn, Recovery: "r1"}, "no return"},
		{"step without a record", opened, Entry{Kind: KindStep, Recovery: "r1", Step: StepFence}, "no record"},
		{"controller without its content", opened, Entry{Kind: KindControllerJoin}, "no controller"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			takes(t, play(t, tt.history...), 5, tt.last, tt.refused)
		})
	}
}

func play(t *testing.T, entries ...Entry) *State {
	t.Helper()
	s := NewState()
	for i, e := range entries {
		if err := s.Apply(uint64(i+1), 5, e.Clone()); err != nil {
			t.Fatalf("entry %d (%s): %v", i+1, e.Kind, err)
		}
	}
	return s
}

// takes applies one more entry, which must be refused with these words, "": taken. What
// is refused changes nothing.
func takes(t *testing.T, s *State, term uint64, last Entry, refused string) {
	t.Helper()
	before, _ := s.Marshal()
	err := s.Apply(100, term, last.Clone())
	after, _ := s.Marshal()
	switch {
	case refused == "" && err != nil:
		t.Errorf("refused: %v", err)
	case refused != "" && err == nil:
		t.Errorf("taken, want it refused with %q", refused)
	case refused != "" && !strings.Contains(err.Error(), refused):
		t.Errorf("refused with %q, want %q", err, refused)
	case refused != "" && !bytes.Equal(before, after):
		t.Errorf("a refused entry changed the state:\n%s\n%s", before, after)
	}
}

func TestUnknownKindIsCorrupt(t *testing.T) {
	err := play(t, eInit, eHost, eOpen).Apply(9, 5, Entry{Kind: "recovery.dance", Recovery: "r1"})
	if !errors.Is(err, ErrCorrupt) {
		t.Errorf("an unknown kind gave %v: it must stop the replica", err)
	}
	if err := play(t, eInit).Apply(9, 5, Entry{Kind: "dance"}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("an unknown kind without a recovery gave %v: it must stop the replica", err)
	}
}

func TestRestoredVoidsProofs(t *testing.T) {
	s := play(t, eInit, eHost, eOpen, eFence, eProof, eRestored)
	if _, ok := s.Recoveries["r1"].Proved(); ok {
		t.Error("a proof survived the restore")
	}
	if s.Mode != ModeObserve {
		t.Errorf("mode is %s after the restore, not observe", s.Mode)
	}
	if s.Generation != 1 {
		t.Errorf("generation is %d, not 1", s.Generation)
	}
}

func TestTokenIsForOneHostOnce(t *testing.T) {
	token := Entry{Kind: KindTokenCreate, At: t0, Token: &Token{ID: "t1", Host: "cmp1", Expires: t0.Add(time.Hour)}}
	enrol := func(h nova.HostName, at time.Time) Entry {
		return Entry{Kind: KindHostEnrol, Host: h, Word: "t1", At: at, Key: &HostKey{ID: "k1"}}
	}
	if err := play(t, eInit, token).Apply(3, 5, enrol("cmp2", t0)); err == nil {
		t.Error("a token of cmp1 enrolled cmp2")
	}
	if err := play(t, eInit, token).Apply(3, 5, enrol("cmp1", t0.Add(2*time.Hour))); err == nil {
		t.Error("an expired token was taken")
	}
	if err := play(t, eInit, token, enrol("cmp1", t0)).Apply(4, 5, enrol("cmp1", t0)); err == nil {
		t.Error("a token was taken twice")
	}
	s := play(t, eInit, token, enrol("cmp1", t0), Entry{Kind: KindHostRenew, Host: "cmp1", At: t0, Key: &HostKey{ID: "k2"}})
	keys := s.Hosts["cmp1"].Keys
	if len(keys) != 2 || keys[0].Expires != t0.Add(keyOverlap) || !keys[1].Expires.IsZero() {
		t.Errorf("after the renewal the keys are %+v: the old one ends in an hour, the new one does not", keys)
	}
}

// TestSnapshotRoundTrip writes and reads the state that a whole recovery left.
func TestSnapshotRoundTrip(t *testing.T) {
	c := newCloud(t, 3)
	c.addServer("vm1", "cmp1", nova.VMActive, c.start)
	c.run(time.Second)
	c.host("cmp1").off()
	c.run(30 * time.Second)
	b, err := c.state.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	s, err := UnmarshalState(b)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(s, c.state) {
		t.Error("the state is not what was written")
	}
	if again, _ := s.Marshal(); !bytes.Equal(b, again) {
		t.Error("a snapshot of a snapshot differs")
	}
	if replayed, _ := c.replay().Marshal(); !bytes.Equal(b, replayed) {
		t.Error("the same entries gave other bytes")
	}
	if _, err := UnmarshalState([]byte(`{"version":99}`)); err == nil {
		t.Error("a newer format was read")
	}
	if _, err := DecodeEntry([]byte(`{"v":99}`)); err == nil {
		t.Error("an entry of a newer format was read")
	}
}

func TestPermits(t *testing.T) {
	post := Action{Recovery: "r1", Step: StepEvacuate, Boot: "b1", Server: "vm1", Attempt: 1}
	base := []Entry{eInit, eHost, eOpen, eFence, eProof, ePlan}
	tests := []struct {
		name   string
		more   []Entry
		permit bool
	}{
		{"promised on a proof", []Entry{eIntent}, true},
		{"not promised", nil, false},
		{"the proof was voided since", []Entry{eIntent, eVoid}, false},
		{"the host has another boot since", []Entry{eIntent, eRefence}, false},
		{"the promise was resolved since", []Entry{eIntent, eFollow}, false},
		{"a later attempt was promised since", []Entry{eIntent, eFailed, eAgain}, false},
		{"the recovery was closed since", []Entry{eIntent, eFailed, eForget}, false},
		{"frozen since", []Entry{eIntent, {Kind: KindFreeze, Flag: true}}, false},
		{"the cloud only watches since", []Entry{eIntent, {Kind: KindMode, Word: "observe"}}, false},
		{"its host only watches since", []Entry{eIntent, {Kind: KindMode, Host: "cmp1", Word: "shadow"}}, false},
		{"another host only watches", []Entry{eIntent, {Kind: KindMode, Host: "cmp2", Word: "off"}}, true},
		{"drained since", []Entry{eIntent, {Kind: KindDrain, Flag: true}}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := play(t, append(base[:6:6], tt.more...)...).Permits(post)
			if (err == nil) != tt.permit {
				t.Errorf("permitted: %v, want %t", err, tt.permit)
			}
		})
	}
}

// TestPruneKeepsOpen bounds what is remembered without losing what is open.
func TestPruneKeepsOpen(t *testing.T) {
	s := play(t, eInit, eHost)
	for i := range keepClosed + 10 {
		open, end := eOpen, eCancel
		open.At = t0.Add(time.Duration(i) * time.Minute)
		if err := s.Apply(1, 5, open.Clone()); err != nil {
			t.Fatal(err)
		}
		end.Recovery = s.Open("cmp1").ID
		if err := s.Apply(1, 5, end); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(s.Recoveries); n != keepClosed {
		t.Errorf("%d recoveries are kept, not %d", n, keepClosed)
	}
	if s.Recoveries["r1"] != nil {
		t.Error("the oldest was not forgotten first")
	}
}
