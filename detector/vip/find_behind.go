package vip

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lifeboat-ha/lifeboat/detector"
)

// hollow: the holder's HAProxy has backends without a server, or what answers for
// the address has no service for most who ask.
func (s *scene) hollow() (Finding, bool) {
	var nodes, evidence []string
	for _, sight := range s.fresh {
		if p := sight.Proxy; s.holds(sight.Controller) && p != nil && len(p.Down) > 0 {
			nodes = append(nodes, string(sight.Controller))
			line := fmt.Sprintf("HAProxy of %s has no server up for %s", sight.Controller, strings.Join(p.Down, ", "))
			if well := s.wellElsewhere(sight.Controller, p.Down); well != "" {
				line += "; that of " + well + " has"
			}
			evidence = append(evidence, line)
		}
	}
	asked, failed, words := 0, 0, []string{}
	for _, sight := range s.fresh {
		if w := sight.of(s.vip.Name).Outside; w != nil {
			asked++
			if *w == detector.PathRefused || *w == detector.PathBad {
				failed++
				words = append(words, fmt.Sprintf("%s asked the service there: %s", sight.Controller, *w))
			}
		}
	}
	if len(s.claims) > 0 && 2*failed > asked {
		evidence = append(evidence, words...)
		for _, c := range s.claims {
			nodes = append(nodes, c.node)
		}
	}
	return finding(Hollow, s.vip.Name, nodes, evidence...), len(evidence) > 0
}

func (s *scene) holds(c detector.Observer) bool {
	return slices.ContainsFunc(s.claims, func(x claim) bool { return x.node == string(c) })
}

// wellElsewhere names a controller whose HAProxy has servers for all of these.
func (s *scene) wellElsewhere(but detector.Observer, down []string) string {
	for _, sight := range s.fresh {
		if p := sight.Proxy; sight.Controller != but && p != nil && p.Up > 0 &&
			!slices.ContainsFunc(down, func(b string) bool { return slices.Contains(p.Down, b) }) {
			return string(sight.Controller)
		}
	}
	return ""
}

// stale: hosts whose kernel sends to a machine that is not the owner. The owner must
// have been the only one for longer than their row is old.
func (s *scene) stale() (Finding, bool) {
	at := slices.IndexFunc(s.view.VIPs, func(v VIP) bool { return v.Name == s.vip.Name })
	owner, ok := s.owner()
	if !ok {
		return Finding{}, false
	}
	var nodes, evidence []string
	for _, h := range s.view.Hosts {
		if at >= len(h.Row.Owners) || h.Told > rowFresh || h.Told+overlap > owner.from {
			continue
		}
		mac := h.Row.Owners[at]
		if mac == (detector.MAC{}) || mac == owner.mac || s.virtual(mac) == owner.node || s.macs[mac] == detector.Observer(owner.node) {
			continue
		}
		nodes = append(nodes, string(h.Host))
		evidence = append(evidence, fmt.Sprintf("%s sends to %s, the owner is %s", h.Host, s.name(mac), named(owner.node, owner.mac)))
	}
	return finding(StaleNeighbour, s.vip.Name, nodes, few(evidence)...), len(nodes) > 0
}

func (s *scene) name(mac detector.MAC) string {
	if c, ok := s.macs[mac]; ok {
		return named(string(c), mac)
	}
	return mac.String()
}

// hanging is told once, with the first VIP: a row does not say to which one.
func (s *scene) hanging() (Finding, bool) {
	if len(s.view.VIPs) == 0 || s.view.VIPs[0].Name != s.vip.Name {
		return Finding{}, false
	}
	var nodes, evidence []string
	for _, h := range s.view.Hosts {
		if h.Row.Hanging > 0 && h.Told <= rowFresh {
			nodes = append(nodes, string(h.Host))
			evidence = append(evidence, fmt.Sprintf("%d connections of %s hang", h.Row.Hanging, h.Host))
		}
	}
	return finding(HalfOpen, s.vip.Name, nodes, few(evidence)...), len(nodes) > 0
}

// few keeps the evidence of a large cloud readable.
func few(lines []string) []string {
	const most = 5
	if n := len(lines); n > most {
		return append(slices.Clone(lines[:most]), fmt.Sprintf("and %d more", n-most))
	}
	return lines
}
