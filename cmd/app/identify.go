package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/fence"
)

// bare are links without their places.
func bare(links []placed) (out []fence.Link) {
	for _, l := range links {
		out = append(out, l.Link)
	}
	return out
}

// placed is a link and its place in the chain.
type placed struct {
	fence.Link
	i int
}

// usable is a host's chain without the links that would touch another machine. For
// an off only links are left that are known to be the host's own, by what they say
// or by a drill, and what a BMC says as it is commanded is compared once more.
func (p *powers) usable(host string, off bool) ([]placed, error) {
	var links []placed
	for i, l := range p.chains[host].Links {
		links = append(links, placed{l, i})
	}
	if p.vet == nil || len(links) == 0 {
		return links, nil
	}
	standings, reg := p.vet(host)
	var good []placed
	var out error
	for _, l := range links {
		s := standings[l.i]
		if wrong(s) || off && !s.Usable {
			out = errors.Join(out, fmt.Errorf("%s is not used: %s", s.Method, s.Why))
			continue
		}
		l.Accept = p.accept(host, reg)
		good = append(good, l)
	}
	if len(good) == 0 {
		return nil, fmt.Errorf("%w: host %s: %w", fence.ErrNoProof, host, out)
	}
	return good, nil
}

// wrong says that a link switches another machine than the host.
func wrong(s evacuate.LinkStanding) bool {
	return s.Match == fence.Different || s.Controller != "" && !s.Usable
}

// through is one link of a host's chain, for a drill: it may not say whose machine it
// switches, but not that it is another's.
func (p *powers) through(host string, i int) fence.Chain {
	c := p.chains[host]
	l := c.Links[i]
	if p.vet != nil {
		_, reg := p.vet(host)
		l.Accept = p.accept(host, reg)
	}
	c.Links = []fence.Link{l}
	return c
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

// examined is what one link answered.
type examined struct {
	i       int
	reading fence.Reading
	said    fence.Identity
	asking  time.Duration
	// err is why it does not say which machine it switches.
	err error
}

// survey asks each link of a host for its power and which machine it switches, and
// says that all answered. It does not wait for busy devices, gives the turn back
// between two links, and spares those that refuse us.
func (p *powers) survey(ctx context.Context, host string) (out []examined, whole bool) {
	whole = true
	for i := range p.chains[host].Links {
		l := p.locks[host]
		if p.spared(linkOf{host, i}) || !p.takeIdle(host, l) {
			whole = false
			continue
		}
		x := p.examine(ctx, host, i)
		l.give()
		out = append(out, x)
		whole = whole && x.err == nil && x.reading.Power != fence.Unknown
	}
	return out, whole
}

// examine asks one link, for who has the turn. One that does not tell its power is not
// asked more.
func (p *powers) examine(ctx context.Context, host string, i int) examined {
	link := p.chains[host].Links[i]
	rctx, cancel := context.WithTimeout(ctx, fence.CallTimeout)
	x := examined{i: i, reading: link.Read(rctx)}
	cancel()
	p.count(linkOf{host, i}, x.reading.Cause)
	p.noteReading(host, i, x.reading)
	if c := x.reading.Cause; c == fence.CauseUnreachable || c == fence.CauseAuth {
		return x
	}
	m, ok := link.Method.(fence.Identifier)
	if !ok {
		p.note(host, i, fence.Identity{}) // it can not say: that is an answer
		return x
	}
	ictx, cancel := context.WithTimeout(ctx, fence.CallTimeout)
	defer cancel()
	began := p.now()
	x.said, x.err = m.Identity(ictx)
	x.asking = p.now().Sub(began)
	if e, refused := errors.AsType[*fence.Error](x.err); refused && e.Cause == fence.CauseAuth {
		p.count(linkOf{host, i}, e.Cause)
	}
	if x.err == nil {
		x.said = x.said.Clean()
		p.note(host, i, x.said)
	}
	return x
}

func (p *powers) note(host string, i int, id fence.Identity) {
	p.checking(host, i, func(c *evacuate.FenceCheck) { c.At, c.Machine = p.now(), id })
}

func (p *powers) noteReading(host string, i int, r fence.Reading) {
	var expires time.Time
	if m, ok := p.chains[host].Links[i].Method.(fence.Certified); ok {
		expires = m.Expires()
	}
	p.checking(host, i, func(c *evacuate.FenceCheck) {
		c.Read, c.Power, c.Cause, c.Took, c.Expires = r.Ended, r.Power, r.Cause, r.Ended.Sub(r.Began), expires
	})
	if i > 0 && r.Power == fence.Unknown {
		return // what the methods before it said is worth more
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last[host] = r
}

// checking changes what is known of a link.
func (p *powers) checking(host string, i int, f func(*evacuate.FenceCheck)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c, l := &p.checks[host][i], p.links[host][i]
	c.Method, c.Target = l.Method, l.Target
	f(c)
}
