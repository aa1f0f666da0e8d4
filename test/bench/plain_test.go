package bench

import (
	"fmt"
	"io"
	"log"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/lifeboat-ha/lifeboat/detector/gossip"
	"github.com/lifeboat-ha/lifeboat/test/sim"
)

// plain is memberlist as the library comes: its LAN configuration, no heartbeats,
// no controllers, and its own word for who is dead. One member runs in each
// agent's process, so that it suffers what the agent suffers.
type plain struct {
	cloud   *sim.Cloud
	members map[string]*memberlist.Memberlist

	mu sync.Mutex
	// holds are the members that hold one dead, with the first time of each.
	holds map[string]map[string]time.Duration
	gone  map[string]bool // killed: neither votes nor can be wronged
	slow  map[string]bool // freezes now and then: its own word is not counted
	// anyone and most count how often a living member became dead to one, and to
	// half of the others.
	anyone, most int
}

const plainPort = 7999

// openPlain starts the members and waits until everybody sees everybody.
func openPlain(c *sim.Cloud, hosts []string) (*plain, error) {
	p := &plain{cloud: c, members: map[string]*memberlist.Memberlist{}, holds: map[string]map[string]time.Duration{}, gone: map[string]bool{}, slow: map[string]bool{}}
	var seeds []string
	for i, h := range hosts {
		addr, sockets := c.Beside(h)
		if sockets == nil {
			return p, fmt.Errorf("no agent runs on %s", h)
		}
		at := netip.AddrPortFrom(addr, plainPort)
		transport, err := gossip.Over(sockets, at, at, time.Now)
		if err != nil {
			return p, err
		}
		cfg := memberlist.DefaultLANConfig()
		cfg.Name, cfg.Transport, cfg.Events = h, transport, watcher{p, h}
		cfg.Logger = log.New(io.Discard, "", 0)
		m, err := memberlist.Create(cfg)
		if err != nil {
			return p, err
		}
		p.members[h] = m
		if len(seeds) > 0 {
			if _, err := m.Join(seeds); err != nil {
				return p, err
			}
		}
		if len(seeds) < 3 {
			seeds = append(seeds, at.String())
		}
		if i%20 == 19 {
			time.Sleep(time.Second)
		}
	}
	for end := time.Now().Add(5 * time.Minute); time.Now().Before(end); time.Sleep(time.Second) {
		whole := true
		for _, m := range p.members {
			whole = whole && m.NumMembers() == len(hosts)
		}
		if whole {
			return p, nil
		}
	}
	return p, fmt.Errorf("the plain ring of %d never became whole", len(hosts))
}

func (p *plain) close() {
	for _, m := range p.members {
		_ = m.Shutdown()
	}
}

// kill notes a death: from here on it is no mistake to hold it dead.
func (p *plain) kill(host string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone[host] = true
	for _, held := range p.holds { // its own word counts no more
		delete(held, host)
	}
}

// detected is when half of the living members held a host dead.
func (p *plain) detected(host string) (time.Duration, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var first []time.Duration
	for _, at := range p.holds[host] {
		first = append(first, at)
	}
	half := (p.voters() + 1) / 2
	if len(first) < half {
		return 0, false
	}
	return percentile(first, float64(half)/float64(len(first))), true
}

// voters must be called with mu held.
func (p *plain) voters() (n int) {
	for h := range p.members {
		if !p.gone[h] && !p.slow[h] {
			n++
		}
	}
	return n
}

type watcher struct {
	p    *plain
	self string
}

// NotifyLeave is memberlist's word for dead: nobody leaves here.
func (w watcher) NotifyLeave(n *memberlist.Node) {
	p, now := w.p, w.p.cloud.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone[w.self] || p.slow[w.self] || n.Name == w.self {
		return
	}
	if p.holds[n.Name] == nil {
		p.holds[n.Name] = map[string]time.Duration{}
	}
	p.holds[n.Name][w.self] = now
	if p.gone[n.Name] {
		return
	}
	switch len(p.holds[n.Name]) {
	case 1:
		p.anyone++
	case (p.voters() + 1) / 2:
		p.most++
	}
}

// NotifyJoin takes it back.
func (w watcher) NotifyJoin(n *memberlist.Node) {
	w.p.mu.Lock()
	defer w.p.mu.Unlock()
	delete(w.p.holds[n.Name], w.self)
}

// NotifyUpdate says nothing about death.
func (w watcher) NotifyUpdate(*memberlist.Node) {}
