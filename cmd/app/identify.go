package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/fence"
)

// chain is a host's chain without the links that would touch another machine. For
// an off only links are left that are known to be the host's own, by what they say
// or by a drill, and what a BMC says as it is commanded is compared once more.
func (p *powers) chain(host string, off bool) (fence.Chain, error) {
	c := p.chains[host]
	if p.vet == nil || len(c.Links) == 0 {
		return c, nil
	}
	standings, reg := p.vet(host)
	var links []fence.Link
	var out error
	for i, l := range c.Links {
		s := standings[i]
		if wrong := s.Match == fence.Different || s.Controller != "" && !s.Usable; wrong || off && !s.Usable {
			out = errors.Join(out, fmt.Errorf("%s is not used: %s", s.Method, s.Why))
			continue
		}
		l.Accept = p.accept(host, reg)
		links = append(links, l)
	}
	if len(links) == 0 {
		return fence.Chain{}, fmt.Errorf("%w: host %s: %w", fence.ErrNoProof, host, out)
	}
	c.Links = links
	return c, nil
}

// accept refuses what says that it is another machine. Silence is accepted: the
// gate has judged by what was said before.
func (p *powers) accept(host string, reg *fence.Register) func(fence.Identity) error {
	return func(id fence.Identity) error {
		switch r := reg.Recognise(host, id); {
		case r.Match == fence.Different:
			return errors.New(r.Why)
		case r.Controller != "" && r.Controller != p.runs[host]:
			return fmt.Errorf("it switches the machine of controller %s", r.Controller)
		}
		return nil
	}
}

// identify asks each link of a host which machine it switches, and says that all
// answered. It does not wait for a busy BMC and spares one that refuses us.
func (p *powers) identify(ctx context.Context, host string) bool {
	l := p.locks[host]
	if !p.takeIdle(host, l) {
		return false
	}
	defer l.give()
	all := true
	for i, link := range p.chains[host].Links {
		m, ok := link.Method.(fence.Identifier)
		if !ok {
			p.note(host, i, fence.Identity{}) // it can not say: that is an answer
			continue
		}
		ictx, cancel := context.WithTimeout(ctx, fence.CallTimeout)
		id, err := m.Identity(ictx)
		cancel()
		if e, refused := errors.AsType[*fence.Error](err); refused && e.Cause == fence.CauseAuth {
			p.mu.Lock()
			p.count(host, e.Cause)
			p.mu.Unlock()
		}
		if err != nil {
			all = false
			continue
		}
		p.note(host, i, id.Clean())
	}
	return all
}

func (p *powers) note(host string, i int, id fence.Identity) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.links[host][i]
	p.checks[host][i] = evacuate.FenceCheck{Method: l.Method, Target: l.Target, At: p.now(), Machine: id}
}
