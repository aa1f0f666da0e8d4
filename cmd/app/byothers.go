package app

import (
	"slices"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// What the leader knows of who else reaches a host's fencing methods.

// tried notes which links of a power-off answered.
func (p *powers) tried(host string, links []placed, attempts []fence.Attempt) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, a := range attempts {
		if a.Commands > 0 {
			p.causes[linkOf{host, links[i].i}] = a.Cause
		}
	}
}

// unreached says that no link of a host answered when it was last asked, and each was.
// Under the lock.
func (p *powers) unreached(host string) bool {
	for i := range p.chains[host].Links {
		if c, asked := p.causes[linkOf{host, i}]; !asked || c != fence.CauseUnreachable {
			return false
		}
	}
	return len(p.chains[host].Links) > 0
}

// sawBy notes what another controller found of a link while the host lived. What this one
// reads itself is worth more: a finding of another's mends no reading of its own.
func (p *powers) sawBy(host, by string, i int, said fence.Identity, reached bool, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	of := lookOf{nova.HostName(host), by}
	if !reached {
		delete(p.hands[of], i)
		return
	}
	if p.hands[of] == nil {
		p.hands[of] = map[int]time.Time{}
	}
	p.hands[of][i] = at
	if p.causes[linkOf{host, i}] == fence.CauseUnreachable {
		link := p.links[host][i]
		p.byOthers[linkOf{host, i}] = evacuate.FenceCheck{Method: link.Method, Target: link.Target, At: at, Machine: said, PoweredOn: at}
	}
	if p.unreached(host) {
		p.on[host] = at
	}
}

// others lists who reaches a host, by id. Under the lock.
func (p *powers) others(host string) (out []evacuate.Hand) {
	for of, links := range p.hands {
		if string(of.host) != host || len(links) == 0 {
			continue
		}
		h := evacuate.Hand{ID: of.by}
		for i, l := range p.links[host] {
			if on, ok := links[i]; ok {
				h.Methods = append(h.Methods, l.Method)
				if on.After(h.On) {
					h.On = on
				}
			}
		}
		out = append(out, h)
	}
	slices.SortFunc(out, func(a, b evacuate.Hand) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// reachedBy says that a controller read on through a link lately, of the living host.
func (p *powers) reachedBy(host, by string, i int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	on, ok := p.hands[lookOf{nova.HostName(host), by}][i]
	age := p.now().Sub(on)
	return ok && age >= 0 && age <= evacuate.HandFresh
}

// ownCheck is what this controller itself found of a link.
func (p *powers) ownCheck(host string, i int) evacuate.FenceCheck {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.checks[host][i]
}
