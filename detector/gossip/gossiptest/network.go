// Package gossiptest is a network in memory for rings and heartbeats under
// test, inside a testing/synctest bubble or outside: it loses, delays, cuts one
// way, partitions, freezes and kills. Faults go by host address, so that all
// ports of a host share its fate.
package gossiptest

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"
)

// Network connects the ends that are made of it.
type Network struct {
	mu    sync.Mutex
	rand  *rand.Rand
	loss  float64
	delay time.Duration
	hosts map[netip.Addr]*host
	cuts  map[[2]netip.Addr]bool
	ends  map[netip.AddrPort]*end
}

// host is one address. Guarded by Network.mu.
type host struct {
	dead    bool
	frozen  bool
	island  int
	held    []func() // what waits for Thaw
	traffic Traffic
}

// Traffic is what a host has sent.
type Traffic struct {
	Packets, PacketBytes int
	Streams, StreamBytes int
}

// Add sums two.
func (t Traffic) Add(o Traffic) Traffic {
	return Traffic{t.Packets + o.Packets, t.PacketBytes + o.PacketBytes, t.Streams + o.Streams, t.StreamBytes + o.StreamBytes}
}

// New gives a network without faults or delay. The seed decides which packets
// are lost; goroutines decide in which order they ask, so a seed does not
// replay a run.
func New(seed uint64) *Network {
	return &Network{
		rand:  rand.New(rand.NewPCG(seed, seed)),
		hosts: map[netip.Addr]*host{}, cuts: map[[2]netip.Addr]bool{}, ends: map[netip.AddrPort]*end{},
	}
}

// SetLoss loses each packet with this probability; streams retry as TCP does.
func (n *Network) SetLoss(p float64) { n.with(func() { n.loss = p }) }

// SetDelay delays each packet, one way.
func (n *Network) SetDelay(d time.Duration) { n.with(func() { n.delay = d }) }

// Cut drops what goes from one host to another, in this direction only.
func (n *Network) Cut(from, to netip.Addr) { n.with(func() { n.cuts[[2]netip.Addr{from, to}] = true }) }

// Mend undoes Cut.
func (n *Network) Mend(from, to netip.Addr) {
	n.with(func() { delete(n.cuts, [2]netip.Addr{from, to}) })
}

// Isolate cuts a host off from all others, both ways.
func (n *Network) Isolate(a netip.Addr) { n.Partition([]netip.Addr{a}) }

// Partition makes an island of each group; the hosts in none share the sea.
func (n *Network) Partition(groups ...[]netip.Addr) {
	n.with(func() {
		last := 0
		for _, h := range n.hosts {
			last = max(last, h.island)
		}
		for i, g := range groups {
			for _, a := range g {
				n.host(a).island = last + 1 + i
			}
		}
	})
}

// Heal undoes all islands and cuts. The dead stay dead, the frozen frozen.
func (n *Network) Heal() {
	n.with(func() {
		clear(n.cuts)
		for _, h := range n.hosts {
			h.island = 0
		}
	})
}

// Kill makes a host a black hole, as a power loss does: nothing is refused.
func (n *Network) Kill(a netip.Addr) { n.with(func() { n.host(a).dead = true }) }

// Revive undoes Kill.
func (n *Network) Revive(a netip.Addr) { n.with(func() { n.host(a).dead = false }) }

// Freeze holds all that a host sends and all that reaches it, until Thaw. Its
// timers run on: a test that freezes a process moves its clock too.
func (n *Network) Freeze(a netip.Addr) { n.with(func() { n.host(a).frozen = true }) }

// Thaw lets everything that was held go on, in order.
func (n *Network) Thaw(a netip.Addr) {
	var held []func()
	n.with(func() {
		h := n.host(a)
		held, h.held, h.frozen = h.held, nil, false
	})
	for _, f := range held {
		f()
	}
}

// Traffic is what a host has sent so far.
func (n *Network) Traffic(a netip.Addr) (t Traffic) {
	n.with(func() { t = n.host(a).traffic })
	return t
}

// Reaches says whether a packet would get from one host to another and an answer
// back, if none of them is lost.
func (n *Network) Reaches(from, to netip.Addr) (ok bool) {
	n.with(func() { ok = n.reaches(from, to) && n.reaches(to, from) && !n.host(to).frozen })
	return ok
}

func (n *Network) with(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
}

// host must be called with mu held, as all functions below must.
func (n *Network) host(a netip.Addr) *host {
	h := n.hosts[a]
	if h == nil {
		h = &host{}
		n.hosts[a] = h
	}
	return h
}

func (n *Network) reaches(from, to netip.Addr) bool {
	f, t := n.host(from), n.host(to)
	return !f.dead && !t.dead && f.island == t.island && !n.cuts[[2]netip.Addr{from, to}]
}

func (n *Network) lost() bool { return n.loss > 0 && n.rand.Float64() < n.loss }
