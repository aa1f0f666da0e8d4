package evacuate

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// Upset is one thing that a healthy host does not do. Each counts one point.
type Upset struct {
	At   time.Time `json:"at"`
	Kind UpsetKind `json:"kind"`
}

// UpsetKind is what happened to a host.
type UpsetKind string

// Kinds of upsets. A recovery that fenced counts two points: its opening and the
// fence. A reboot inside a recovery or in maintenance counts none.
const (
	UpsetRecovery UpsetKind = "recovery"
	UpsetFence    UpsetKind = "fence"
	UpsetReboot   UpsetKind = "reboot"
)

// maxUpsets and keepUpsets bound what the ledger remembers of one host.
const (
	maxUpsets  = 32
	keepUpsets = 31 * 24 * time.Hour
)

// Quarantine keeps a host that has returned from being enabled. What was counted
// before Since counts no more once it is over.
type Quarantine struct {
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until"`
	Reason string    `json:"reason"`
}

// Active says that the quarantine is not over.
func (q *Quarantine) Active(now time.Time) bool { return q != nil && now.Before(q.Until) }

func (s *State) upset(host nova.HostName, at time.Time, kind UpsetKind) {
	h := s.Hosts[host]
	if h == nil {
		return
	}
	h.Upsets = slices.DeleteFunc(h.Upsets, func(u Upset) bool { return at.Sub(u.At) > keepUpsets })
	h.Upsets = append(h.Upsets, Upset{at, kind})
	if n := len(h.Upsets) - maxUpsets; n > 0 {
		h.Upsets = slices.Delete(h.Upsets, 0, n)
	}
}

// upsets lists what counts against a host now.
func (h *Host) upsets(now time.Time, window time.Duration) []Upset {
	from := now.Add(-window)
	if h.Quarantine != nil && h.Quarantine.Since.After(from) {
		from = h.Quarantine.Since
	}
	return slices.DeleteFunc(slices.Clone(h.Upsets), func(u Upset) bool { return !u.At.After(from) })
}

func count(upsets []Upset) string {
	var parts []string
	for _, kind := range []UpsetKind{UpsetRecovery, UpsetFence, UpsetReboot} {
		n := 0
		for _, u := range upsets {
			if u.Kind == kind {
				n++
			}
		}
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", kind, n))
		}
	}
	return strings.Join(parts, ", ")
}

// askFlap stops a host that keeps falling from getting instances again. It never
// stops a recovery.
func askFlap(q question) (Standing, string) {
	h := q.state.Hosts[q.host]
	switch {
	case q.policy.FlapLimit <= 0:
		return NotConfigured, "no host is put into quarantine"
	case h == nil:
		return Held, "the ledger does not know this host"
	case h.Quarantine.Active(q.world.Now):
		return Held, fmt.Sprintf("in quarantine until %s: %s; `lifeboat release %s` ends it", h.Quarantine.Until.UTC().Format("2006-01-02 15:04 MST"), h.Quarantine.Reason, q.host)
	}
	upsets := h.upsets(q.world.Now, q.policy.FlapWindow)
	if len(upsets) >= q.policy.FlapLimit {
		return Held, fmt.Sprintf("%d points within %s (%s), %d put it into quarantine", len(upsets), q.policy.FlapWindow, count(upsets), q.policy.FlapLimit)
	}
	return Met, fmt.Sprintf("%d points within %s, %d would put it into quarantine", len(upsets), q.policy.FlapWindow, q.policy.FlapLimit)
}

// mayEnable asks the gates of enable, and puts a host that flaps into
// quarantine: the entry carries the end, so that every replica agrees.
func (c *Core) mayEnable(r *Recovery) bool {
	h := c.state.Hosts[r.Host]
	if h != nil && c.policy.FlapLimit > 0 && !h.Quarantine.Active(c.world.Now) {
		if upsets := h.upsets(c.world.Now, c.policy.FlapWindow); len(upsets) >= c.policy.FlapLimit {
			reason := fmt.Sprintf("%d points within %s (%s)", len(upsets), c.policy.FlapWindow, count(upsets))
			c.commit(Entry{Kind: KindHostQuarantine, Host: r.Host, Text: "put into quarantine: " + reason,
				Quarantine: &Quarantine{Since: c.world.Now, Until: c.world.Now.Add(c.policy.Quarantine), Reason: reason}})
		}
	}
	return c.pass(AtEnable, r)
}

// applyQuarantine puts a host into quarantine or releases it.
func (s *State) applyQuarantine(e Entry) error {
	h := s.Hosts[e.Host]
	if h == nil {
		return fmt.Errorf("no host %s", e.Host)
	}
	text := e.Text
	if e.Kind == KindHostQuarantine {
		h.Quarantine = e.Quarantine
	} else {
		h.Quarantine, h.Upsets = nil, nil
		text = "released from quarantine by " + e.By + because(e.Text)
	}
	if r := s.Open(e.Host); r != nil {
		r.note(e, text)
	}
	return nil
}
