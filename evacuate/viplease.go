package evacuate

import (
	"fmt"
	"time"
)

// VIPLease says which controller may have an address of the control plane on its
// kernel (docs/vip.md#own). No time in it decides anything: its holder counts from
// before it asked, whoever wants it next from when its own replica showed it
// unchanged, and each takes the record on the condition that it is the one it knows.
type VIPLease struct {
	Holder string `json:"holder,omitempty"`
	// Epoch grows with each holder, Seq with each renewal.
	Epoch uint64 `json:"epoch"`
	Seq   uint64 `json:"seq"`
	// Nonce names the request from which the holder counts its time.
	Nonce string `json:"nonce,omitempty"`
	// Free says that the last holder's kernel no longer had the address when it
	// gave the lease back: nobody needs to wait.
	Free bool `json:"free,omitempty"`
	// Placed is the holder's word that its kernel has the address.
	Placed bool `json:"placed,omitempty"`
	// Adopting lets the holder take the lease while its own keepalived has the address.
	Adopting bool `json:"adopting,omitempty"`
	// Wish is who shall have it next, Ready the nonce of its word that it can.
	Wish  string `json:"wish,omitempty"`
	Ready string `json:"ready,omitempty"`

	// Since is when the holder got it, FreedAt when it was given back or over, Gap from
	// then until it was on a kernel again, as the leader's clock says; for people.
	Since   time.Time     `json:"since,omitzero"`
	FreedAt time.Time     `json:"freed_at,omitzero"`
	Gap     time.Duration `json:"gap,omitempty"`
	// Why is the reason of the last change.
	Why string `json:"why,omitempty"`
}

// LeaseAct is what is asked for a lease.
type LeaseAct string

// What may be asked.
const (
	LeaseClaim   LeaseAct = "claim"   // take it; on the condition of Epoch and Seq
	LeaseRenew   LeaseAct = "renew"   // keep it
	LeaseRelease LeaseAct = "release" // give it back, or over
	LeaseWish    LeaseAct = "wish"    // say who shall have it next
	LeaseReady   LeaseAct = "ready"   // the wished says that it can
	LeaseAdopt   LeaseAct = "adopt"   // give it to whose keepalived has the address
)

// VIPLeaseStep asks for one or more leases; if one is refused, all are.
type VIPLeaseStep struct {
	Act LeaseAct `json:"act"`
	// Node is who asks for itself, or whom it is about.
	Node string `json:"node"`
	// Generation is the ledger's, as Node knows it.
	Generation int           `json:"generation"`
	Nonce      string        `json:"nonce,omitempty"`
	Of         []VIPLeaseAsk `json:"of"`
}

// VIPLeaseAsk is the part of a step about one address.
type VIPLeaseAsk struct {
	VIP    string `json:"vip"`
	Epoch  uint64 `json:"epoch"`
	Seq    uint64 `json:"seq,omitempty"`
	Placed bool   `json:"placed,omitempty"`
	// Adopted ends an adoption.
	Adopted bool          `json:"adopted,omitempty"`
	Gap     time.Duration `json:"gap,omitempty"` // of an adoption, as its holder saw it
	To      string        `json:"to,omitempty"`
	Why     string        `json:"why,omitempty"`
}

func (s *State) applyVIP(e Entry) error {
	switch e.Kind {
	case KindVIPLease:
		return s.lease(e)
	case KindVIPRestart:
		return s.restart(e)
	default:
		s.noteVIP(e)
		return nil
	}
}

// Routine says that an entry renews leases and shows nobody anything new: it comes
// twice a second, and copies of the state need not be made anew for it.
func (s *State) Routine(e Entry) bool {
	if e.Kind != KindVIPLease || e.Lease == nil || e.Lease.Act != LeaseRenew {
		return false
	}
	for _, a := range e.Lease.Of {
		if l := s.Leases[a.VIP]; l == nil || l.Placed != a.Placed || l.Adopting {
			return false
		}
	}
	return true
}

// lease carries out one step, all of it or nothing.
func (s *State) lease(e Entry) error {
	q := e.Lease
	if q.Generation != s.Generation {
		return fmt.Errorf("refused: the ledger was restored since (generation %d, not %d)", s.Generation, q.Generation)
	}
	for _, a := range q.Of {
		if err := s.mayLease(q, a); err != nil {
			return fmt.Errorf("refused: %s of %s by %s: %w", q.Act, a.VIP, q.Node, err)
		}
	}
	if s.Leases == nil {
		s.Leases = map[string]*VIPLease{}
	}
	for _, a := range q.Of {
		l := s.Leases[a.VIP]
		if l == nil {
			l = &VIPLease{}
			s.Leases[a.VIP] = l
		}
		s.takeLease(e, l, a)
	}
	return nil
}

// mayLease says why a step may not be.
func (s *State) mayLease(q *VIPLeaseStep, a VIPLeaseAsk) error {
	l := s.Leases[a.VIP]
	if l == nil {
		l = &VIPLease{}
	}
	switch q.Act {
	case LeaseClaim, LeaseAdopt:
		if a.Epoch != l.Epoch || a.Seq != l.Seq {
			return fmt.Errorf("it is at %d.%d, not at %d.%d", l.Epoch, l.Seq, a.Epoch, a.Seq)
		}
		if q.Act == LeaseAdopt && l.Holder != "" {
			return fmt.Errorf("%s has it", l.Holder)
		}
		return nil
	case LeaseRenew, LeaseRelease:
		if l.Holder != q.Node {
			return fmt.Errorf("%s has it", orWord(l.Holder, "nobody"))
		}
	case LeaseWish:
		if l.Holder == "" || l.Holder == a.To {
			return fmt.Errorf("%s has it", orWord(l.Holder, "nobody"))
		}
	case LeaseReady:
		if l.Wish != q.Node {
			return fmt.Errorf("%s is wished", orWord(l.Wish, "nobody"))
		}
	default:
		return fmt.Errorf("%w: nothing known of that", ErrCorrupt)
	}
	if a.Epoch != l.Epoch {
		return fmt.Errorf("it is at %d, not at %d", l.Epoch, a.Epoch)
	}
	return nil
}

func (s *State) takeLease(e Entry, l *VIPLease, a VIPLeaseAsk) {
	q := e.Lease
	switch q.Act {
	case LeaseClaim, LeaseAdopt:
		from := l.Holder
		if l.FreedAt.IsZero() || from != "" {
			l.FreedAt = e.At
		}
		l.hand(e, q.Node, q.Nonce)
		l.Adopting, l.Why = q.Act == LeaseAdopt, a.Why
		s.journal(e, "%s has the lease of the address %s, epoch %d, after %s%s", q.Node, a.VIP, l.Epoch, orWord(from, "nobody"), because(a.Why))
	case LeaseRenew:
		l.Seq++
		l.Nonce = q.Nonce
		if a.Placed && !l.Placed {
			l.Gap = max(0, e.At.Sub(l.FreedAt))
			s.journal(e, "the address %s is on %s, epoch %d", a.VIP, q.Node, l.Epoch)
		}
		if l.Adopting && a.Adopted {
			l.Gap = a.Gap
			s.journal(e, "the address %s was taken over from keepalived on %s", a.VIP, q.Node)
		}
		l.Placed, l.Adopting = a.Placed, l.Adopting && !a.Adopted
	case LeaseRelease:
		l.Seq++
		l.FreedAt, l.Why = e.At, a.Why
		if to := a.To; to != "" && to == l.Wish && l.Ready != "" {
			l.hand(e, to, l.Ready)
			s.journal(e, "%s gives the address %s to %s, epoch %d%s", q.Node, a.VIP, to, l.Epoch, because(a.Why))
			return
		}
		l.Holder, l.Nonce, l.Free, l.Placed, l.Adopting, l.Wish, l.Ready = "", "", true, false, false, "", ""
		s.journal(e, "%s gives the lease of the address %s back%s", q.Node, a.VIP, because(a.Why))
	case LeaseWish:
		if l.Wish != a.To && a.To != "" {
			s.journal(e, "the address %s shall go from %s to %s%s", a.VIP, l.Holder, a.To, because(a.Why))
		}
		l.Wish, l.Ready = a.To, ""
	case LeaseReady:
		l.Ready = q.Nonce
	}
}

// hand gives the lease to its next holder.
func (l *VIPLease) hand(e Entry, to, nonce string) {
	l.Holder, l.Nonce, l.Since = to, nonce, e.At
	l.Epoch++
	l.Seq, l.Free, l.Placed, l.Adopting, l.Wish, l.Ready = 0, false, false, false, "", ""
}

// unhold is for a ledger of the past: it does not know whose watchdog is armed, nor
// who had which address last, so everybody waits.
func (s *State) unhold() {
	s.unwatch()
	for _, l := range s.Leases {
		*l = VIPLease{Epoch: l.Epoch, Seq: l.Seq, Why: "the ledger was restored"}
	}
}
