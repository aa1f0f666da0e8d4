package vip

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
)

// Report is what one look came to.
type Report struct {
	// Owners is who has each VIP, by name: a controller, several joined by +, or
	// nobody.
	Owners map[string]string `json:"owners"`
	// Holders are the MACs of those that have a VIP alone; none where that is not sure.
	Holders map[string]detector.MAC `json:"holders"`
	// Routers say by what a VIP is managed, as far as it is heard.
	Routers  map[string]string `json:"routers,omitempty"`
	Findings []Finding         `json:"findings"`
	// Moves are changes of an owner since the look before.
	Moves []Move `json:"moves,omitempty"`
}

// Move is a change of a VIP's owner.
type Move struct {
	VIP  string    `json:"vip"`
	From string    `json:"from"`
	To   string    `json:"to"`
	At   time.Time `json:"at"`
}

// patience is how long a thing must be seen before it is said: an address that
// moves has no owner for a moment.
var patience = map[Kind]time.Duration{
	NoOwner: time.Second, OwnerMismatch: 3 * time.Second, Hollow: 500 * time.Millisecond,
	StaleNeighbour: time.Second, HalfOpen: time.Second,
	ConductorDown: 10 * time.Second, SchedulerDown: 10 * time.Second, GaleraNotPrimary: 10 * time.Second, BrokerSplit: 10 * time.Second, VolumeDown: 10 * time.Second,
}

// lingers is how long a finding stays after it was last seen.
const lingers = 2 * time.Second

type findingKey struct {
	vip  string
	kind Kind
}

type held struct {
	Finding
	first, last time.Time
}

// Tracker remembers between looks: since when, how often the owner changed, whose
// MAC is whose. It is not safe for concurrent use.
type Tracker struct {
	found  map[findingKey]*held
	owner  map[string]string
	moved  map[string][]time.Time
	macs   map[detector.MAC]detector.Observer
	router map[string]*vrrp
}

// NewTracker gives an empty tracker.
func NewTracker() *Tracker {
	return &Tracker{found: map[findingKey]*held{}, owner: map[string]string{}, moved: map[string][]time.Time{},
		macs: map[detector.MAC]detector.Observer{}, router: map[string]*vrrp{}}
}

// Look judges one instant. The same views in the same order give the same reports.
func (t *Tracker) Look(view View) Report {
	t.learn(view)
	r := Report{Owners: map[string]string{}, Holders: map[string]detector.MAC{}, Routers: map[string]string{}, Findings: []Finding{}}
	for _, v := range view.VIPs {
		s := newScene(v, view, t.macs)
		for _, f := range s.find(t.router[v.Name]) {
			t.note(f, view.Now)
		}
		if m, moved := t.move(s, view.Now); moved {
			r.Moves = append(r.Moves, m)
		}
		if f, flaps := t.flaps(v.Name, view.Now); flaps {
			t.note(f, view.Now)
		}
		r.Owners[v.Name] = s.text()
		if c, alone := s.owner(); alone {
			r.Holders[v.Name] = c.mac
		} else {
			r.Holders[v.Name] = detector.MAC{}
		}
		if every := t.router[v.Name].every; every > 0 {
			r.Routers[v.Name] = "VRRP each " + every.String()
		}
	}
	for _, f := range behind(view.Checks) {
		t.note(f, view.Now)
	}
	for key, h := range t.found {
		if view.Now.Sub(h.last) > lingers {
			delete(t.found, key)
			continue
		}
		if h.last.Sub(h.first) >= patience[key.kind] {
			r.Findings = append(r.Findings, h.Finding)
		}
	}
	slices.SortFunc(r.Findings, func(a, b Finding) int {
		return cmp.Or(strings.Compare(a.VIP, b.VIP), cmp.Compare(slices.Index(Kinds[:], a.Kind), slices.Index(Kinds[:], b.Kind)), strings.Compare(string(a.Kind), string(b.Kind)))
	})
	return r
}

// learn notes whose MACs are whose, and which VIPs VRRP manages.
func (t *Tracker) learn(view View) {
	for _, sight := range view.Sights {
		for _, mac := range sight.MACs {
			t.macs[mac] = sight.Controller
		}
	}
	for _, v := range view.VIPs {
		if t.router[v.Name] == nil {
			t.router[v.Name] = &vrrp{}
		}
		for _, sight := range view.Sights {
			for _, ad := range sight.of(v.Name).Adverts {
				if ad.lives(sight.Age) {
					t.router[v.Name].every = ad.Every
				}
			}
		}
	}
}

func (t *Tracker) note(f Finding, now time.Time) {
	key := findingKey{f.VIP, f.Kind}
	h := t.found[key]
	if h == nil {
		h = &held{first: now}
		t.found[key] = h
	}
	f.Since = h.first
	h.Finding, h.last = f, now
}

// move notes a change of owner. Nobody is no owner to move to: what comes after
// counts.
func (t *Tracker) move(s *scene, now time.Time) (Move, bool) {
	owner := s.text()
	if owner == "" {
		return Move{}, false
	}
	before, known := t.owner[s.vip.Name]
	t.owner[s.vip.Name] = owner
	if !known || before == owner {
		return Move{}, false
	}
	if len(s.claims) == 1 && !strings.Contains(before, "+") {
		t.moved[s.vip.Name] = append(t.moved[s.vip.Name], now)
	}
	return Move{VIP: s.vip.Name, From: before, To: owner, At: now}, true
}

func (t *Tracker) flaps(name string, now time.Time) (Finding, bool) {
	t.moved[name] = slices.DeleteFunc(t.moved[name], func(at time.Time) bool { return now.Sub(at) > movesWithin })
	n := len(t.moved[name])
	return finding(Flapping, name, nil, "it has moved "+count(n, "time")+" in "+movesWithin.String()), n >= moves
}
