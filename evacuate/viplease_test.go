package evacuate

import (
	"strings"
	"testing"
	"time"
)

// TestVIPLease: who may take, keep, give and get the lease of an address.
func TestVIPLease(t *testing.T) {
	s := NewState()
	at := time.Date(2026, 11, 21, 6, 0, 0, 0, time.UTC)
	index := uint64(0)
	ask := func(act LeaseAct, node string, epoch, seq uint64, more ...func(*VIPLeaseAsk)) error {
		index++
		at = at.Add(time.Second)
		a := VIPLeaseAsk{VIP: "internal", Epoch: epoch, Seq: seq}
		for _, f := range more {
			f(&a)
		}
		return s.Apply(index, 1, Entry{Kind: KindVIPLease, At: at, By: node, Lease: &VIPLeaseStep{Act: act, Node: node, Generation: s.Generation, Nonce: node + "-n", Of: []VIPLeaseAsk{a}}})
	}
	to := func(name string) func(*VIPLeaseAsk) { return func(a *VIPLeaseAsk) { a.To = name } }
	placed := func(a *VIPLeaseAsk) { a.Placed = true }
	steps := []struct {
		what    string
		err     error
		refused bool
	}{
		{"c1 takes it", ask(LeaseClaim, "c1", 0, 0), false},
		{"c2 takes it from a record of the past", ask(LeaseClaim, "c2", 0, 0), true},
		{"c2 renews what is c1's", ask(LeaseRenew, "c2", 1, 0), true},
		{"c1 renews", ask(LeaseRenew, "c1", 1, 0, placed), false},
		{"c2 takes it on a condition that has passed", ask(LeaseClaim, "c2", 1, 0), true},
		{"c1 renews what it had before", ask(LeaseRenew, "c1", 0, 0), true},
		{"c2 gives back what is c1's", ask(LeaseRelease, "c2", 1, 0), true},
		{"c2 says that it can, and nobody asked", ask(LeaseReady, "c2", 1, 0), true},
		{"c2 is wished", ask(LeaseWish, "", 1, 0, to("c2")), false},
		{"c3 says that it can", ask(LeaseReady, "c3", 1, 0), true},
		{"c2 says that it can", ask(LeaseReady, "c2", 1, 0), false},
		{"c1 gives it to c2", ask(LeaseRelease, "c1", 1, 0, to("c2")), false},
		{"c1 renews what it gave away", ask(LeaseRenew, "c1", 1, 0), true},
		{"c2 has it on its kernel", ask(LeaseRenew, "c2", 2, 0, placed), false},
		{"c2 is adopted from", ask(LeaseAdopt, "c1", 2, 1), true},
		{"c2 gives it to whom nobody wished: back", ask(LeaseRelease, "c2", 2, 1, to("c3")), false},
		{"c3 takes it", ask(LeaseClaim, "c3", 2, 2), false},
	}
	for _, c := range steps {
		if (c.err != nil) != c.refused {
			t.Errorf("%s: %v", c.what, c.err)
		}
	}
	if l := s.Leases["internal"]; l.Holder != "c3" || l.Epoch != 3 || l.Free || l.Placed {
		t.Errorf("%+v", l)
	}
	var journal strings.Builder
	for _, e := range s.Journal {
		journal.WriteString(e.Text + "\n")
	}
	for _, want := range []string{"c1 has the lease of the address internal, epoch 1, after nobody", "shall go from c1 to c2", "c1 gives the address internal to c2, epoch 2", "the address internal is on c2", "c2 gives the lease of the address internal back"} {
		if !strings.Contains(journal.String(), want) {
			t.Errorf("the journal does not say %q:\n%s", want, journal.String())
		}
	}
	if strings.Count(journal.String(), "\n") > 8 {
		t.Errorf("renewals are journalled:\n%s", journal.String())
	}

	// A ledger of the past knows nobody's kernel: nobody has it, and nothing is free.
	old := Entry{Kind: KindVIPLease, At: at, Lease: &VIPLeaseStep{Act: LeaseClaim, Node: "c2", Generation: s.Generation, Of: []VIPLeaseAsk{{VIP: "internal", Epoch: 3}}}}
	if err := s.Apply(index+1, 1, Entry{Kind: KindClusterRestored, At: at}); err != nil {
		t.Fatal(err)
	}
	if l := s.Leases["internal"]; l.Holder != "" || l.Free || l.Epoch != 3 {
		t.Errorf("%+v", l)
	}
	if err := s.Apply(index+2, 1, old); err == nil {
		t.Error("a request from before the restore is taken")
	}
}

// TestRoutine: a renewal that changes who has what where is no routine.
func TestRoutine(t *testing.T) {
	renew := func(placed bool) Entry {
		return Entry{Kind: KindVIPLease, Lease: &VIPLeaseStep{Act: LeaseRenew, Node: "c1", Of: []VIPLeaseAsk{{VIP: "a", Epoch: 1, Placed: placed}}}}
	}
	for name, c := range map[string]struct {
		lease *VIPLease
		entry Entry
		want  bool
	}{
		"a renewal":                {&VIPLease{Holder: "c1", Epoch: 1, Placed: true}, renew(true), true},
		"it is on the kernel now":  {&VIPLease{Holder: "c1", Epoch: 1}, renew(true), false},
		"it is adopted":            {&VIPLease{Holder: "c1", Epoch: 1, Placed: true, Adopting: true}, renew(true), false},
		"of what nobody has":       {nil, renew(true), false},
		"a wish":                   {&VIPLease{Holder: "c1", Epoch: 1, Placed: true}, Entry{Kind: KindVIPLease, Lease: &VIPLeaseStep{Act: LeaseWish}}, false},
		"something else":           {&VIPLease{}, Entry{Kind: KindMode}, false},
		"a lease without its step": {&VIPLease{}, Entry{Kind: KindVIPLease}, false},
	} {
		s := NewState()
		if c.lease != nil {
			s.Leases = map[string]*VIPLease{"a": c.lease}
		}
		if got := s.Routine(c.entry); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// TestVIPLeaseAllOrNone: a renewal of several is refused whole.
func TestVIPLeaseAllOrNone(t *testing.T) {
	s := NewState()
	s.Leases = map[string]*VIPLease{"a": {Holder: "c1", Epoch: 1}, "b": {Holder: "c2", Epoch: 1}}
	err := s.Apply(1, 1, Entry{Kind: KindVIPLease, Lease: &VIPLeaseStep{Act: LeaseRenew, Node: "c1", Of: []VIPLeaseAsk{{VIP: "a", Epoch: 1}, {VIP: "b", Epoch: 1}}}})
	if err == nil || s.Leases["a"].Seq != 0 {
		t.Errorf("%v %+v", err, s.Leases["a"])
	}
}
