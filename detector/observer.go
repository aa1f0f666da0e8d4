package detector

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// votesOn lists the ring's opinions on host. An ill observer is listed and
// does not vote: its health score is above the ring's median + 2, its own view
// has collapsed, or it has just resumed from a stall.
func (t *Table) votesOn(host nova.HostName, known int, now time.Time) []Vote {
	median := t.sums(now).median
	var votes []Vote
	for o, v := range t.voters {
		if o == Observer(host) {
			continue
		}
		dead := slices.Contains(v.ring.Dead, host)
		votes = append(votes, Vote{
			Observer: o, Domain: v.domain, Dead: dead, Unsaid: !dead && v.ring.unsaid(),
			Age: now.Sub(v.at), Ill: illness(v.ring, median, known),
		})
	}
	slices.SortFunc(votes, func(a, b Vote) int { return cmp.Compare(a.Observer, b.Observer) })
	return votes
}

func illness(r RingView, median, known int) string {
	switch {
	case r.Muted:
		return "has muted itself: its view had collapsed"
	case r.Stalled:
		return "just resumed from a stall"
	case r.Score > median+2:
		return fmt.Sprintf("health score %d, the ring's median is %d", r.Score, median)
	case 2*r.Alive < max(r.Known, known):
		return fmt.Sprintf("sees only %d of %d members", r.Alive, max(r.Known, known))
	}
	return ""
}

// unfit says why an observer's silence on a network counts for nothing: it is
// not heard itself, ill, or reaches nobody there.
func (t *Table) unfit(o Observer, network string, known int, now time.Time) (why string, d Domain) {
	if _, ok := t.controllers[o]; ok {
		return "", ControllerDomain
	}
	v, ok := t.voters[o]
	switch {
	case !ok || now.Sub(v.at) > t.fresh():
		return "is not heard itself", v.domain
	case illness(v.ring, t.sums(now).median, known) != "":
		return illness(v.ring, t.sums(now).median, known), v.domain
	}
	if h := t.hosts[nova.HostName(o)]; h != nil {
		if n, ok := h.networks[network]; ok && n.Asked > 0 && n.Reached == 0 && now.Sub(n.at) <= t.policy.NetworkFresh {
			return "reaches nobody on the " + network + " network itself", v.domain
		}
	}
	return "", v.domain
}

// fresh is how old a report, a heartbeat or a vote may be.
func (t *Table) fresh() time.Duration { return time.Duration(t.policy.Rounds) * t.policy.Interval }

// sums are what all views of one instant share.
type sums struct {
	at      time.Time
	median  int // of the ring's health scores
	leaving int // hosts that announced their stop
	heard   map[nova.HostName]bool
	byCtl   map[Observer]int
	nets    map[string]netSum
}

type netSum struct{ others, up int }

// sums gives them; they hold until something new is noted.
func (t *Table) sums(now time.Time) *sums {
	if t.sum != nil && t.sum.at.Equal(now) {
		return t.sum
	}
	s := &sums{at: now, heard: map[nova.HostName]bool{}, byCtl: map[Observer]int{}, nets: map[string]netSum{}}
	var scores []int
	for _, v := range t.voters {
		if now.Sub(v.at) <= t.fresh() {
			scores = append(scores, v.ring.Score)
		}
	}
	if len(scores) > 0 {
		slices.Sort(scores)
		s.median = scores[(len(scores)-1)/2]
	}
	missed := t.policy.Silence()
	for c, seen := range t.controllers {
		for h, of := range seen.hosts {
			if now.Sub(of.at) <= missed {
				s.heard[h] = true
				s.byCtl[c]++
			}
		}
	}
	for _, h := range t.hosts {
		if !h.leaving.IsZero() {
			s.leaving++
		}
		for name, n := range h.networks {
			if n.Asked >= leastAsked && now.Sub(n.at) <= t.policy.NetworkFresh {
				sum := s.nets[name]
				sum.others++
				if n.Reached > 0 {
					sum.up++
				}
				s.nets[name] = sum
			}
		}
	}
	t.sum = s
	return s
}

// deaf says that controller c hears less than half of the other hosts that
// anybody hears.
func (s *sums) deaf(c Observer, host nova.HostName) bool {
	others := len(s.heard)
	if s.heard[host] {
		others--
	}
	return others >= leastOthers && 2*s.byCtl[c] < others
}

// networks are the host's own sights, beside those of the others.
func (t *Table) networks(h *hostSeen, now time.Time) []NetworkSight {
	var all []NetworkSight
	for _, name := range Networks {
		n, ok := h.networks[name]
		if !ok {
			continue
		}
		sum := t.sums(now).nets[name]
		if n.Asked >= leastAsked && now.Sub(n.at) <= t.policy.NetworkFresh {
			sum.others--
			if n.Reached > 0 {
				sum.up--
			}
		}
		r := n.Reach
		r.Age = now.Sub(n.at)
		s := NetworkSight{Reach: r, Others: sum.others, OthersUp: sum.up}
		if !n.alone.IsZero() {
			s.AloneFor = now.Sub(n.alone)
		}
		all = append(all, s)
	}
	return all
}

// FreshControllers lists the controllers whose report is evidence at now, in order.
func (t *Table) FreshControllers(now time.Time) []Observer {
	var ids []Observer
	for id, c := range t.controllers {
		if now.Sub(c.reported) <= t.fresh() {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}
