package vip

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
)

// claim is one machine that has the VIP, by the best evidence there is: from and to
// are ages, from before to.
type claim struct {
	node     string // a controller, or a MAC that none has
	mac      detector.MAC
	from, to time.Duration
	address  bool // its own kernel says so
}

func (c claim) text() string {
	if c.address {
		return fmt.Sprintf("%s has had the address for %s", c.node, round(c.from))
	}
	return fmt.Sprintf("%s has answered for %s", named(c.node, c.mac), round(c.from-c.to))
}

func named(node string, mac detector.MAC) string {
	if node == mac.String() {
		return node
	}
	return node + " (" + mac.String() + ")"
}

// scene is one VIP at one look.
type scene struct {
	vip    VIP
	view   View
	macs   map[detector.MAC]detector.Observer
	fresh  []Sight // whose sight is fresh
	claims []claim
	asked  bool // somebody takes a census
}

func newScene(v VIP, view View, macs map[detector.MAC]detector.Observer) *scene {
	s := &scene{vip: v, view: view, macs: macs}
	for _, sight := range view.Sights {
		if sight.Age <= SightFresh {
			s.fresh = append(s.fresh, sight)
		}
	}
	slices.SortFunc(s.fresh, func(a, b Sight) int { return strings.Compare(string(a.Controller), string(b.Controller)) })
	for _, sight := range s.fresh {
		a := sight.of(v.Name)
		s.asked = s.asked || a.Asks
		if a.Holds {
			s.claims = append(s.claims, claim{string(sight.Controller), a.MAC, a.HeldFor + sight.Age, sight.Age, true})
		}
	}
	for _, sight := range s.fresh {
		for _, a := range sight.of(v.Name).Answers {
			if age := a.Age + sight.Age; age <= answerFresh {
				s.hear(a.MAC, age+a.For, age)
			}
		}
	}
	slices.SortFunc(s.claims, func(a, b claim) int { return strings.Compare(a.node, b.node) })
	return s
}

// hear adds a machine that answers, unless its own kernel's word is there already.
func (s *scene) hear(mac detector.MAC, from, to time.Duration) {
	node := mac.String()
	if c, ok := s.macs[mac]; ok {
		node = string(c)
	} else if who := s.virtual(mac); who != "" {
		node = who
	}
	for i := range s.claims {
		c := &s.claims[i]
		switch {
		case c.node != node:
		case c.address:
			return
		default:
			c.from, c.to = max(c.from, from), min(c.to, to)
			return
		}
	}
	s.claims = append(s.claims, claim{node, mac, from, to, false})
}

// virtual names the holder of a VRRP virtual MAC (RFC 5798 7.3): whoever advertises
// that router. Two that advertise cannot be told apart by it.
func (s *scene) virtual(mac detector.MAC) string {
	if mac[0] != 0 || mac[1] != 0 || mac[2] != 0x5e || mac[3] != 0 || mac[4] != 1 && mac[4] != 2 {
		return ""
	}
	for _, sight := range s.fresh {
		for _, ad := range sight.of(s.vip.Name).Adverts {
			if ad.Own && ad.Router == int(mac[5]) && ad.lives(sight.Age) {
				return string(sight.Controller)
			}
		}
	}
	return ""
}

// of is the sight of one VIP; of an unknown one it is empty.
func (s Sight) of(name string) AddressSight {
	for _, a := range s.VIPs {
		if a.Name == name {
			return a
		}
	}
	return AddressSight{}
}

// grace is how long a sender may be silent: two intervals and a moment. Its backups
// wait for three (RFC 5798 6.1).
func (a Advert) grace() time.Duration { return a.Every*22/10 + 200*time.Millisecond }

func (a Advert) lives(sight time.Duration) bool { return a.Priority > 0 && a.Age+sight <= a.grace() }

// Lives says that whoever sent an advertisement still does, as far as one controller
// that heard it can tell.
func (a Advert) Lives() bool { return a.lives(0) }

func round(d time.Duration) time.Duration { return d.Round(100 * time.Millisecond) }

// find gives everything that is wrong at this instant; Tracker knows since when.
func (s *scene) find(heard *vrrp) []Finding {
	var all []Finding
	add := func(f Finding, found bool) {
		if found {
			all = append(all, f)
		}
	}
	add(s.noOwner())
	add(s.duplicate())
	add(s.orphan(heard))
	add(s.rogue())
	add(s.mismatch())
	add(s.hollow())
	add(s.stale())
	add(s.hanging())
	return all
}

// noOwner: where nobody takes a census, the silence of all controllers but one that
// does not report proves nothing.
func (s *scene) noOwner() (Finding, bool) {
	missing := len(s.view.Controllers) - len(s.fresh)
	if len(s.claims) > 0 || len(s.fresh)*2 <= len(s.view.Controllers) || missing > 0 && !s.asked {
		return Finding{}, false
	}
	evidence := []string{fmt.Sprintf("it is on none of the %d controllers that report", len(s.fresh))}
	if s.asked {
		evidence = append(evidence, "nobody answers for it")
	}
	return finding(NoOwner, s.vip.Name, nil, evidence...), true
}

func (s *scene) duplicate() (Finding, bool) {
	var nodes, evidence []string
	for i, a := range s.claims {
		for j, b := range s.claims {
			if i != j && min(a.from, b.from)-max(a.to, b.to) >= overlap {
				nodes, evidence = append(nodes, a.node), append(evidence, a.text())
				break
			}
		}
	}
	return finding(Duplicate, s.vip.Name, nodes, evidence...), len(nodes) > 1
}

// vrrp is what is known of who manages a VIP by VRRP.
type vrrp struct {
	every time.Duration // 0: none was ever heard for it
}

// orphan: a controller that has the address and does not advertise it, where VRRP
// manages it. The address stays for as long as the machine runs.
func (s *scene) orphan(heard *vrrp) (Finding, bool) {
	var nodes, evidence []string
	for _, sight := range s.fresh {
		a := sight.of(s.vip.Name)
		grace := Advert{Every: heard.every}.grace()
		if heard.every == 0 || !a.Holds || a.HeldFor+sight.Age <= grace || s.advertises(sight) || !s.listens() {
			continue
		}
		nodes = append(nodes, string(sight.Controller))
		line := fmt.Sprintf("%s has the address and has not advertised it for more than %s", sight.Controller, round(grace))
		if others := s.advertisers(sight.Controller); len(others) > 0 {
			line += ", while " + strings.Join(others, ", ") + " does"
		}
		evidence = append(evidence, line)
	}
	return finding(Orphan, s.vip.Name, nodes, evidence...), len(nodes) > 0
}

func (s *scene) listens() bool {
	return slices.ContainsFunc(s.fresh, func(x Sight) bool { return x.of(s.vip.Name).Listens })
}

// advertises says that a controller was heard to advertise, by itself or by others.
func (s *scene) advertises(of Sight) bool {
	for _, sight := range s.fresh {
		for _, ad := range sight.of(s.vip.Name).Adverts {
			own := ad.Own && sight.Controller == of.Controller || slices.Contains(of.Addresses, ad.Source)
			if own && ad.lives(sight.Age) {
				return true
			}
		}
	}
	return false
}

func (s *scene) advertisers(but detector.Observer) []string {
	var names []string
	for _, sight := range s.fresh {
		if sight.Controller != but && s.advertises(sight) {
			names = append(names, string(sight.Controller))
		}
	}
	return names
}

// rogue waits until every controller's MACs are known.
func (s *scene) rogue() (Finding, bool) {
	for _, c := range s.view.Controllers {
		known := false
		for _, of := range s.macs {
			known = known || of == c
		}
		if !known {
			return Finding{}, false
		}
	}
	var nodes, evidence []string
	for _, c := range s.claims {
		if c.address || c.node != c.mac.String() || slices.Contains(s.vip.Allowed, c.mac) || c.from-c.to < overlap {
			continue
		}
		nodes, evidence = append(nodes, c.node), append(evidence, c.text()+" and is no controller")
	}
	return finding(RogueMAC, s.vip.Name, nodes, evidence...), len(nodes) > 0
}

// mismatch: one holder by the kernels' word, and others hear somebody else, or
// somebody else advertises who does not have it.
func (s *scene) mismatch() (Finding, bool) {
	var holders, answers []claim
	for _, c := range s.claims {
		if c.address {
			holders = append(holders, c)
		} else {
			answers = append(answers, c)
		}
	}
	if len(holders) != 1 || holders[0].from < SightFresh {
		return Finding{}, false
	}
	h := holders[0]
	others := s.advertisers(detector.Observer(h.node))
	if len(others) > 0 {
		return finding(OwnerMismatch, s.vip.Name, append(others, h.node), h.text(), strings.Join(others, ", ")+" advertises it and does not have it"), true
	}
	if len(answers) == 0 || s.heard(h.mac) {
		return Finding{}, false
	}
	for _, sight := range s.fresh { // only where somebody else asks can the holder be heard
		if string(sight.Controller) != h.node && sight.of(s.vip.Name).Asks {
			nodes, evidence := []string{h.node}, []string{h.text()}
			for _, a := range answers {
				nodes, evidence = append(nodes, a.node), append(evidence, a.text())
			}
			return finding(OwnerMismatch, s.vip.Name, nodes, evidence...), true
		}
	}
	return Finding{}, false
}

// heard says that this MAC answers somebody's census.
func (s *scene) heard(mac detector.MAC) bool {
	for _, sight := range s.fresh {
		for _, a := range sight.of(s.vip.Name).Answers {
			if (a.MAC == mac || s.virtual(a.MAC) != "") && a.Age+sight.Age <= answerFresh {
				return true
			}
		}
	}
	return false
}

// text names all that have the VIP.
func (s *scene) text() string {
	var names []string
	for _, c := range s.claims {
		names = append(names, c.node)
	}
	return strings.Join(names, "+")
}

// owner is the only machine that has the VIP; false where there are none or several.
func (s *scene) owner() (claim, bool) {
	if len(s.claims) != 1 {
		return claim{}, false
	}
	return s.claims[0], true
}
