package vip

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
)

// MendKind is what a controller may do about an address that somebody else moves.
type MendKind string

// Mends.
const (
	// MendAnnounce lets the only holder announce itself again: after two had an address
	// the loser goes silently, and hosts go on sending to it.
	MendAnnounce MendKind = "announce"
	// MendOrphan takes an address off a controller whose keepalived is dead or hung, while
	// another one advertises it and has it.
	MendOrphan MendKind = "orphan"
)

// Mend is one thing that one controller is to do.
type Mend struct {
	Kind MendKind          `json:"kind"`
	VIP  string            `json:"vip"`
	Node detector.Observer `json:"node"`
	Why  string            `json:"why"`
}

// Text is the mend on one line.
func (m Mend) Text() string {
	what := "to announce the address " + m.VIP + " again"
	if m.Kind == MendOrphan {
		what = "to take the address " + m.VIP + " off"
	}
	return fmt.Sprintf("%s is asked %s: %s", m.Node, what, m.Why)
}

const (
	// announceAfter is how long after a trouble it still is the reason.
	announceAfter = 10 * time.Second
	// burstEvery is how often at most one holder announces itself anew.
	burstEvery = time.Minute
	// orphanFor is how long an orphan must be seen beside a living holder, orphanEvery
	// how often at most one is taken off.
	orphanFor   = time.Second
	orphanEvery = 30 * time.Second
)

// Mender says what controllers are to mend. It is not safe for concurrent use.
type Mender struct {
	tangled map[string]tangle
	bursts  map[string]*burst
	orphans map[Mend]orphaned // by kind, address and node
}

type tangle struct {
	at  time.Time
	why Kind
}

// burst is one row of announcements, spread as announceAt says.
type burst struct {
	node  detector.Observer
	began time.Time
	told  int
}

type orphaned struct{ since, seen, told time.Time }

// NewMender gives an empty mender.
func NewMender() *Mender {
	return &Mender{tangled: map[string]tangle{}, bursts: map[string]*burst{}, orphans: map[Mend]orphaned{}}
}

// Plan says what is due after a look.
func (m *Mender) Plan(view View, r Report) (all []Mend) {
	for _, v := range view.VIPs {
		unsure := false
		for _, f := range r.Findings {
			if f.VIP != v.Name {
				continue
			}
			switch f.Kind {
			case Duplicate, OwnerMismatch, StaleNeighbour:
				m.tangled[v.Name] = tangle{view.Now, f.Kind}
				unsure = unsure || f.Kind == Duplicate
			case Orphan:
				unsure = true
				all = append(all, m.orphan(v.Name, f, view)...)
			case NoOwner, RogueMAC, Hollow, Flapping, HalfOpen, ConductorDown, SchedulerDown, GaleraNotPrimary, BrokerSplit, VolumeDown:
			}
		}
		if owner, alone := holder(v.Name, r, view); alone && !unsure {
			all = append(all, m.announce(v.Name, owner, view.Now)...)
		}
	}
	return all
}

// holder is the one controller whose own kernel has an address, where nobody else does.
func holder(name string, r Report, view View) (detector.Observer, bool) {
	for _, s := range view.Sights {
		if string(s.Controller) == r.Owners[name] && s.Age <= SightFresh && s.of(name).Holds {
			return s.Controller, true
		}
	}
	return "", false
}

func (m *Mender) announce(name string, owner detector.Observer, now time.Time) []Mend {
	t, ok := m.tangled[name]
	b := m.bursts[name]
	fresh := ok && now.Sub(t.at) <= announceAfter
	switch {
	case b != nil && b.node == owner && b.told < len(announceAt):
	case !fresh:
		return nil
	case b == nil || b.node != owner || now.Sub(b.began) > burstEvery:
		b = &burst{node: owner, began: now}
		m.bursts[name] = b
	default:
		return nil
	}
	if now.Sub(b.began) < announceAt[b.told] {
		return nil
	}
	b.told++
	return []Mend{{MendAnnounce, name, owner, string(t.why) + ", and there is one holder now"}}
}

// orphan: only where another controller has the address and advertises it; else
// nobody would have it.
func (m *Mender) orphan(name string, f Finding, view View) (all []Mend) {
	master := ""
	for _, s := range view.Sights {
		lives := slices.ContainsFunc(s.of(name).Adverts, func(a Advert) bool { return a.Own && a.lives(s.Age) })
		if lives && s.of(name).Holds && s.Age <= SightFresh && !slices.Contains(f.Nodes, string(s.Controller)) {
			master = string(s.Controller)
		}
	}
	for _, node := range f.Nodes {
		q := Mend{MendOrphan, name, detector.Observer(node), ""}
		o := m.orphans[q]
		if master == "" || view.Now.Sub(o.seen) > orphanFor {
			o.since = view.Now // and so never due while nobody else has it
		}
		o.seen = view.Now
		if view.Now.Sub(o.since) >= orphanFor && view.Now.Sub(o.told) >= orphanEvery {
			o.told = view.Now
			why := q
			why.Why = strings.Join(f.Evidence, "; ") + "; " + master + " has it and advertises it"
			all = append(all, why)
		}
		m.orphans[q] = o
	}
	return all
}

// MayTakeOff says whether a controller may remove an address as an orphan by what it
// sees itself: it has the address, does not advertise it, and hears another who does.
func MayTakeOff(a AddressSight) bool {
	own, other := false, false
	for _, ad := range a.Adverts {
		switch {
		case !ad.lives(0):
		case ad.Own:
			own = true
		default:
			other = true
		}
	}
	return a.Holds && a.Listens && !own && other
}

// MendWord is what a controller has done for one address since it started.
type MendWord struct {
	Announced int `json:"announced,omitempty"`
	TakenOff  int `json:"taken_off,omitempty"`
	// Would counts what it was not permitted to do.
	Would int    `json:"would,omitempty"`
	Why   string `json:"why,omitempty"` // of the last
}

// Since says what is new in it, "" where nothing is. Of a row of announcements the
// first alone is told.
func (w MendWord) Since(before MendWord, node, vip string) string {
	switch {
	case w.TakenOff > before.TakenOff:
		return fmt.Sprintf("%s has taken the address %s off: %s", node, vip, w.Why)
	case w.Announced > before.Announced && (w.Why != before.Why || (before.Announced)%len(announceAt) == 0):
		return fmt.Sprintf("%s has announced the address %s again: %s", node, vip, w.Why)
	case w.Would > before.Would && w.Why != before.Why:
		return fmt.Sprintf("%s would have mended the address %s: %s", node, vip, w.Why)
	}
	return ""
}
