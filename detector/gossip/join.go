package gossip

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/hashicorp/memberlist"
)

const (
	// joinEvery, at most twice as long, is how often absent members are looked
	// for: memberlist never heals a split that outlasted its memory.
	joinEvery = 15 * time.Second
	// A member that is alone tries sooner, and less and less often.
	joinAlone, joinAloneMost = 500 * time.Millisecond, 3 * time.Second
	// One that sees less than half of the known members goes on at this pace.
	joinFew = 3 * time.Second
	// One that is alone asks so many in one go: each that is dead costs it
	// dialTime.
	aloneControllers, aloneHosts = 2, 1
)

func (m *Member) joinNow() {
	select {
	case m.join <- struct{}{}:
	default:
	}
}

func (m *Member) rejoin(ctx context.Context) {
	alone := joinAlone
	for {
		joined, few := m.tryJoin()
		wait := joinEvery + rand.N(joinEvery)
		switch {
		case !joined:
			wait = alone/2 + rand.N(alone)
			alone = min(2*alone, joinAloneMost)
		case few:
			wait = joinFew/2 + rand.N(joinFew)
		default:
			alone = joinAlone
		}
		select {
		case <-time.After(wait):
		case <-m.join:
			alone = joinAlone
		case <-ctx.Done():
			return
		}
	}
}

// tryJoin joins whoever should be joined now. It tells whether this member has
// joined anybody yet, and whether it still sees few.
func (m *Member) tryJoin() (joined, few bool) {
	m.mu.Lock()
	g, list, left := m.now, m.list(), m.left || m.closed
	if list == nil || left {
		m.mu.Unlock()
		return left, false
	}
	targets := m.targets(g)
	g.cure = false
	joined = g.joined
	wasAlone := !joined
	m.mu.Unlock()
	for _, t := range targets {
		n, err := list.Join([]string{t.String()})
		m.mu.Lock()
		if err == nil && n > 0 {
			m.stats.Joins++
			m.hasJoined(g)
			joined = true
		} else {
			m.stats.JoinsFailed++
		}
		m.mu.Unlock()
		if err == nil && wasAlone {
			break // its partner has told everything that it knows
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return joined, 2*m.countAlive() < m.countKnown()
}

// hasJoined must be called with mu held.
func (m *Member) hasJoined(g *generation) {
	if g.joined || m.now != g {
		return
	}
	g.joined = true
	if g.why != "" {
		m.standing.stalledUntil = m.uptime() + quietAfter
	}
	m.o.Log.Info("joined the ring", "members", m.countAlive(), "known", m.countKnown(), "after", string(g.why))
}

// targets must be called with mu held.
func (m *Member) targets(g *generation) []netip.AddrPort {
	controllers, hosts := m.absent()
	var all []netip.AddrPort
	if !g.joined {
		all = append(all, pick(controllers, aloneControllers)...)
		all = append(all, pick(hosts, aloneHosts)...)
		// Others may have found us first.
		return append(all, pick(m.present(), aloneHosts)...)
	}
	if g.cure {
		all = append(all, pick(m.present(), 1)...)
	}
	all = append(all, pick(controllers, 1)...)
	return append(all, pick(hosts, 1)...)
}

func pick(from []netip.AddrPort, n int) []netip.AddrPort {
	rand.Shuffle(len(from), func(i, j int) { from[i], from[j] = from[j], from[i] })
	return from[:min(len(from), n)]
}

// absent are those who should be here and are not. The address that the ring
// told last counts more than the roster's.
func (m *Member) absent() (controllers, hosts []netip.AddrPort) {
	note := func(name string, addr netip.AddrPort) {
		switch {
		case name == m.o.Name || !addr.IsValid() || addr == m.o.advertise():
		case isController(name):
			controllers = append(controllers, addr)
		default:
			hosts = append(hosts, addr)
		}
	}
	for name, p := range m.peers {
		if p.state == Dead || p.state == Unseen {
			note(name, p.Addr)
		}
	}
	for _, k := range m.known {
		if m.peers[k.Name] == nil {
			note(k.Name, k.Addr)
		}
	}
	return controllers, hosts
}

func (m *Member) present() (all []netip.AddrPort) {
	for name, p := range m.peers {
		if p.state == Alive && name != m.o.Name {
			all = append(all, p.Addr)
		}
	}
	return all
}

var _ memberlist.Transport = (*guard)(nil)
