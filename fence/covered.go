package fence

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Covered is what a host has reported of its watchdog, as the ledger holds it.
type Covered struct {
	Boot   string `json:"boot"`
	Start  string `json:"start"` // of the agent's run that reported it
	Serial uint64 `json:"serial"`
	Armed  bool   `json:"armed"`
	Terms
}

// Hearing is what one controller says of a host's heartbeats, on the leader's clock.
type Hearing struct {
	Controller string
	// Boot and Start are of the last heartbeat; empty: it has heard none.
	Boot, Start string
	// Heard is the latest at which that can have been, and not before the controller
	// began to listen; Until is the earliest at which it can have said so.
	Heard, Until time.Time
}

// Claim is a host's word, as the leader heard it, that it held its own lease from
// From to To without a break.
type Claim struct {
	Host     string
	From, To time.Time
}

// ErrNotCovered says that no watchdog answers for a host.
var ErrNotCovered = errors.New("no watchdog lease")

// hearingFresh is how old a controller's word may be to be counted among those
// that must have been silent. More than half of them suffice.
const hearingFresh = 10 * time.Second

// Expiry gathers the evidence that a host's watchdog has run out, as far as it
// goes at now; Check says what it lacks. An error says why there can be none.
func (c Covered) Expiry(host, boot string, hearings []Hearing, claims []Claim, now time.Time) (Expiry, error) {
	if err := c.Covers(boot); err != nil {
		return Expiry{}, err
	}
	e := Expiry{Start: c.Start, Serial: c.Serial, Lease: c.Lease, Timeout: c.Timeout, Margin: c.Margin(), Voters: c.Voters, Ring: len(c.Ring), At: now}
	for _, h := range hearings {
		switch {
		case !slices.Contains(c.Voters, h.Controller) || now.Sub(h.Until) > hearingFresh:
			continue
		case h.Start != "" && (h.Boot != c.Boot || h.Start != c.Start):
			return Expiry{}, fmt.Errorf("%w: its agent has started anew and was not heard for long enough to report its watchdog", ErrNotCovered)
		}
		e.Silences = append(e.Silences, Silence{h.Controller, h.Heard, h.Until})
	}
	slices.SortFunc(e.Silences, func(a, b Silence) int { return cmp.Compare(a.Controller, b.Controller) })
	last := e.Last()
	var held []Claim
	for _, cl := range claims {
		if cl.Host != host && slices.Contains(c.Ring, cl.Host) && !cl.From.After(last) {
			held = append(held, cl)
		}
	}
	// Of more than half, those that were heard last.
	slices.SortFunc(held, func(a, b Claim) int { return b.To.Compare(a.To) })
	held = held[:min(len(held), len(c.Ring)/2+1)]
	e.Holders, e.HeldTo = len(held), now
	for _, cl := range held {
		if cl.From.After(e.HeldFrom) {
			e.HeldFrom = cl.From
		}
		if cl.To.Before(e.HeldTo) {
			e.HeldTo = cl.To
		}
	}
	return e, nil
}

// Covers says why its watchdog could prove nothing of this boot, should the host fall
// silent now; nil: it could.
func (c Covered) Covers(boot string) error {
	switch {
	case c.Serial == 0:
		return fmt.Errorf("%w: its agent has reported no watchdog", ErrNotCovered)
	case c.Boot != boot:
		return fmt.Errorf("%w: its agent reported a watchdog in another boot", ErrNotCovered)
	case !c.Armed:
		return fmt.Errorf("%w: its agent has disarmed its watchdog", ErrNotCovered)
	case len(c.Ring) == 0:
		return fmt.Errorf("%w: the hosts that its agent counts on are not those of the ledger", ErrNotCovered)
	}
	return nil
}
