package evacuate

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
)

var (
	eCut      = Entry{Kind: KindStep, Recovery: "r1", Step: StepFenceStorage, Record: intent(), By: "ctl1"}
	eCutDone  = Entry{Kind: KindStep, At: t0, Recovery: "r1", Step: StepFenceStorage, Record: done()}
	eGive     = Entry{Kind: KindStep, Recovery: "r1", Step: StepUnfenceStorage, Record: intent(), By: "ctl1"}
	eGiveDone = Entry{Kind: KindStep, Recovery: "r1", Step: StepUnfenceStorage, Record: done()}
)

// TestApplyStorage: storage is taken away of a host that is being recovered only, given
// back only where nothing of it runs elsewhere or is asked back, and what was asked is
// remembered until then.
func TestApplyStorage(t *testing.T) {
	opened := []Entry{eInit, eHost, eOpen, eFence}
	proven := append(opened[:4:4], eCut, eCutDone, eProof, ePlan)
	moved := append(proven[:8:8], eIntent, eDone)
	returning := append(moved[:10:10], eReport, eReturn)
	for _, tt := range []struct {
		name    string
		history []Entry
		last    Entry
		refused string
		asked   bool // what is remembered after it
		gone    bool
	}{
		{"begun before the proof", opened, eCut, "", true, false},
		{"done", append(opened[:4:4], eCut), eCutDone, "", true, true},
		{"failed", append(opened[:4:4], eCut), Entry{Kind: KindStep, Recovery: "r1", Step: StepFenceStorage, Record: &StepRecord{Phase: PhaseFailed, Attempt: 1}}, "", true, false},
		{"begun after the proof", append(opened[:4:4], eProof), eCut, "", true, false},
		{"of a recovered host", append(moved[:10:10], eReport), eCut, "its recovery is recovered", true, true},
		{"of a returning host", returning, eCut, "its recovery is returning", true, true},
		{"it is no proof", append(opened[:4:4], eCut, eCutDone), eDown, "without a proof", true, true},
		{"a void proof", proven, eVoid, "", true, false},
		{"a host that came on", proven, eRefence, "", true, false},
		{"back of a proven host", proven, eGive, "not given back", true, true},
		{"back while an instance is on its way", append(proven[:8:8], eIntent, eVoid), eGive, "not given back", true, false},
		{"back once instances were moved", append(moved[:10:10], eVoid), eGive, "not given back", true, false},
		{"back of a recovered host", append(moved[:10:10], eReport), eGive, "not given back", true, true},
		{"back of a recovered host whose proof is void", append(moved[:10:10], eReport, eVoid), eGive, "not given back", true, false},
		{"back of an unproven host", append(opened[:4:4], eCut, eCutDone), eGive, "", true, false},
		{"back of a returning host", returning, eGive, "", true, false},
		{"given back", append(returning[:12:12], eGive), eGiveDone, "", false, false},
		{"not given back", append(returning[:12:12], eGive), Entry{Kind: KindStep, Recovery: "r1", Step: StepUnfenceStorage, Record: &StepRecord{Phase: PhaseFailed, Attempt: 1}}, "", true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := play(t, tt.history...)
			takes(t, s, 5, tt.last, tt.refused)
			r := s.Recoveries["r1"]
			if asked := r.StorageFence != nil; asked != tt.asked || r.StorageGone() != tt.gone {
				t.Errorf("asked %t, gone %t", asked, r.StorageGone())
			}
			if r.StorageFence != nil && r.PowerBy["ctl1"] == 0 {
				t.Error("a return would not wait for the controller that asked for it")
			}
		})
	}
}

// TestStorageTogether: storage that is gone is no proof, and lets a word or an expiry
// count that counts only together.
func TestStorageTogether(t *testing.T) {
	for _, tt := range []struct {
		policy        Proofs
		word, expired bool
		method        string
	}{
		{Proofs{}, false, false, ""},
		{Proofs{Word: Together, Watchdog: Together}, false, false, ""},
		{Proofs{Word: Together, Watchdog: Together}, true, false, fence.MethodOperator},
		{Proofs{Word: Together, Watchdog: Together}, false, true, fence.MethodWatchdog},
		{Proofs{Word: Never, Watchdog: Together}, true, false, ""},
		{Proofs{Word: Together, Watchdog: Never}, false, true, ""},
		{Proofs{Word: Together, Watchdog: Never}, true, true, fence.MethodOperator},
	} {
		for _, gone := range []bool{true, false} {
			if !gone && tt.word && tt.expired {
				continue // they are together without it
			}
			t.Run(fmt.Sprintf("%+v word %t, expired %t, gone %t", tt.policy, tt.word, tt.expired, gone), func(t *testing.T) {
				q := leased(t)
				r := q.state.Recoveries["r1"]
				r.StorageFence = &StorageFence{Asked: t0}
				if gone {
					r.StorageFence.Done = t0
				}
				want := tt.method
				if !gone {
					want = ""
				}
				if got := provenBy(t, q, tt.policy, tt.word, tt.expired); got != want {
					t.Errorf("%q, want %q", got, want)
				}
			})
		}
	}
}

// TestStorageSnapshot: a ledger of before knows nothing of storage, and one of now comes
// back as it was.
func TestStorageSnapshot(t *testing.T) {
	old := play(t, eInit, eHost, eOpen)
	b, err := old.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if s, err := UnmarshalState(b); err != nil || s.Recoveries["r1"].StorageFence != nil {
		t.Errorf("%v, %+v", err, s)
	}
	now := play(t, eInit, eHost, eOpen, eCut, eCutDone)
	if b, err = now.Marshal(); err != nil {
		t.Fatal(err)
	}
	s, err := UnmarshalState(b)
	if err != nil || !s.Recoveries["r1"].StorageGone() || !s.Recoveries["r1"].Done(StepFenceStorage) {
		t.Errorf("%v, %s", err, b)
	}
}

// TestStorageGate: a host that is asked back starts nothing before it has its disks.
func TestStorageGate(t *testing.T) {
	s := NewState()
	s.Recoveries["r1"] = &Recovery{ID: "r1", Host: "cmp1", Status: StatusReturning, StorageFence: &StorageFence{Asked: t0.Add(-time.Minute)}}
	if open, why := s.StartGate("cmp1", true); open {
		t.Error(why)
	}
	s.Recoveries["r1"].StorageFence = nil
	if open, why := s.StartGate("cmp1", true); !open {
		t.Error(why)
	}
}

// TestStorageIll: a program that does not tell is a warning of the gate fenceable, which
// says what it would mean, and no reason to leave a host with its power.
func TestStorageIll(t *testing.T) {
	for _, tt := range []struct {
		check  *StorageTest
		demand StorageDemand
		says   string // "": the gate is met
	}{
		{nil, "", ""},
		{&StorageTest{Program: "cut", At: t0}, "", ""},
		{&StorageTest{Program: "cut", At: t0, Failed: "code 1"}, "", "storage by cut: it does not tell: code 1 (asked 1m0s ago): if the host died now, nothing would be moved before it tells"},
		{&StorageTest{Program: "cut", At: t0, Failed: "code 1"}, StorageOptional, "storage by cut: it does not tell: code 1 (asked 1m0s ago)"},
		{&StorageTest{Program: "cut", At: t0, Gone: true}, "", "storage is taken away, and no recovery waits for that"},
	} {
		s := play(t, eInit, eHost)
		m := machineOf("cmp1")
		s.Hosts["cmp1"].Machine = m
		f := wired("cmp1", t0)
		f.Storage, f.StorageCheck = "cut", tt.check
		w := World{Now: t0.Add(time.Minute), Fencing: map[nova.HostName]Fencing{"cmp1": f}}
		p := DefaultPolicy()
		p.Proofs.Storage = tt.demand
		a := Fenceable(s, w, p, "cmp1")["cmp1"]
		want := Met
		if tt.says != "" {
			want = Warns
		}
		if !a.Pass || a.Standing != want || !strings.Contains(a.Reason, tt.says) {
			t.Errorf("%+v, %s: pass %t, %s: %s", tt.check, tt.demand, a.Pass, a.Standing, a.Reason)
		}
		if a.Storage != tt.check {
			t.Error("the metric does not know of it")
		}
	}
}
