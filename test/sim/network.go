package sim

import (
	"bytes"
	"context"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/detector/gossip/gossiptest"
)

// Networks of a cloud.
const (
	Management = detector.NetworkManagement
	Storage    = detector.NetworkStorage
	Tenant     = detector.NetworkTenant
)

// tick is the grain of the network's time: what arrives within one arrives
// together, which saves most of the timers.
const tick = time.Millisecond

// network connects all machines. Packets and streams cross it, and it does to
// them what its rules say.
type network struct {
	origin time.Time

	mu      sync.Mutex
	rand    *rand.Rand
	nodes   map[string]*node
	places  map[netip.Addr]place
	rules   []*rule
	packets map[netip.AddrPort]*packetConn
	streams map[netip.AddrPort]*listener
	slots   map[time.Duration][]func() // by arrival
	// arrived is told of each packet that reaches a process.
	arrived func(from *node, to netip.AddrPort)
}

// node is a machine on the network. Guarded by network.mu.
type node struct {
	name  string
	addrs map[string]netip.Addr
	up    bool // its kernel answers
	proc  *process
	clock *nodeClock
}

type place struct {
	node    *node
	network string
}

// rule is one fault between two sets of machines.
type rule struct {
	from, to map[string]bool
	network  string // "" is every one
	cut      bool
	loss     float64
	delay    time.Duration
}

func newNetwork(seed uint64) *network {
	return &network{origin: time.Now(), rand: rand.New(rand.NewPCG(seed, seed)), nodes: map[string]*node{}, places: map[netip.Addr]place{},
		packets: map[netip.AddrPort]*packetConn{}, streams: map[netip.AddrPort]*listener{}, slots: map[time.Duration][]func(){}}
}

func (n *network) add(name string, addrs map[string]netip.Addr) *node {
	x := &node{name: name, addrs: addrs, up: true, clock: newNodeClock(n.origin)}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.nodes[name] = x
	for network, a := range addrs {
		n.places[a] = place{x, network}
	}
	return x
}

func (n *network) locked(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
}

// link is what happens to a packet from one machine to another.
func (n *network) link(from, to *node, network string) (cut bool, loss float64, delay time.Duration) {
	if !from.up || !to.up {
		return true, 0, 0
	}
	keep := 1.0
	for _, r := range n.rules {
		if r.from[from.name] && r.to[to.name] && (r.network == "" || r.network == network) {
			cut = cut || r.cut
			keep *= 1 - r.loss
			delay += r.delay
		}
	}
	return cut, 1 - keep, delay
}

// passes decides about one packet.
func (n *network) passes(from, to *node, network string) (ok bool, delay time.Duration) {
	cut, loss, delay := n.link(from, to, network)
	return !cut && (loss == 0 || n.rand.Float64() >= loss), delay
}

// reaches says whether packets go both ways, if none is lost.
func (n *network) reaches(a, b *node, network string) bool {
	there, _, _ := n.link(a, b, network)
	back, _, _ := n.link(b, a, network)
	return !there && !back
}

// between is the network of a path: that of the end which is not on the
// management network, if there is one.
func between(a, b place) string {
	if a.network != Management && b.network == Management {
		return a.network
	}
	return b.network
}

// after runs f in the first tick after d, under the lock.
func (n *network) after(d time.Duration, f func()) {
	at := (time.Since(n.origin)+d)/tick*tick + tick
	first := n.slots[at] == nil
	n.slots[at] = append(n.slots[at], f)
	if !first {
		return
	}
	time.AfterFunc(at-time.Since(n.origin), func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		due := n.slots[at]
		delete(n.slots, at)
		for _, f := range due {
			f()
		}
	})
}

// send puts a packet on the way.
func (n *network) send(p *process, from, to netip.AddrPort, b []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !p.runs() {
		return // a frozen process sends nothing
	}
	target, ok := n.places[to.Addr()]
	if !ok {
		return
	}
	ok, delay := n.passes(p.node, target.node, between(n.places[from.Addr()], target))
	if !ok {
		return
	}
	b = bytes.Clone(b)
	n.after(delay, func() {
		if e := n.packets[to]; target.node.up && e != nil {
			e.proc.whenAwake(func() { e.put(from, to, b) })
		}
	})
}

// packetConn is one UDP socket of a process.
type packetConn struct {
	*gossiptest.Socket
	proc *process
}

// put is the arrival of a packet. Under the lock.
func (e *packetConn) put(from, at netip.AddrPort, b []byte) {
	n := e.proc.net
	if !e.Put(from, b) || n.arrived == nil {
		return
	}
	if p, ok := n.places[from.Addr()]; ok {
		n.arrived(p.node, at)
	}
}

// process is one run of a program on a machine: it is what owns sockets, and what
// is frozen or killed.
type process struct {
	net  *network
	node *node

	// Guarded by network.mu.
	dead   bool
	frozen bool
	thawed chan struct{} // closed by thaw and death
	held   []func()
	ports  uint16
	conns  map[*stream]bool
}

func (n *network) spawn(x *node) *process {
	p := &process{net: n, node: x, thawed: make(chan struct{}), conns: map[*stream]bool{}, ports: 40000}
	close(p.thawed)
	n.locked(func() { x.proc = p })
	return p
}

// runsOn is the newest process of a machine, one that is being stopped too; nil
// before the first.
func (n *network) runsOn(x *node) (p *process) {
	n.locked(func() { p = x.proc })
	return p
}

func (p *process) runs() bool { return !p.dead && !p.frozen }

// whenAwake runs f now, or when the process is thawed. Under the lock.
func (p *process) whenAwake(f func()) {
	switch {
	case p.dead:
	case p.frozen:
		p.held = append(p.held, f)
	default:
		f()
	}
}

// awake waits until the process runs; false if it never will.
func (p *process) awake(ctx context.Context) bool {
	for {
		p.net.mu.Lock()
		dead, frozen, thawed := p.dead, p.frozen, p.thawed
		p.net.mu.Unlock()
		if dead || !frozen {
			return !dead
		}
		select {
		case <-thawed:
		case <-ctx.Done():
			return false
		}
	}
}

func (p *process) freeze() {
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	if p.runs() {
		p.frozen, p.thawed = true, make(chan struct{})
		p.node.clock.freeze(true)
	}
}

func (p *process) thaw() {
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	if p.dead || !p.frozen {
		return
	}
	p.frozen = false
	p.node.clock.freeze(false)
	close(p.thawed)
	held := p.held
	p.held = nil
	for _, f := range held {
		f()
	}
	for s := range p.conns {
		s.pump()
		s.stir()
	}
}

// kill takes the process off the network at once: nothing it still does reaches
// anybody. Where its kernel lives, the other ends are told.
func (p *process) kill() {
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	if p.dead {
		return
	}
	if p.frozen {
		p.node.clock.freeze(false)
		close(p.thawed)
	}
	p.dead, p.frozen, p.held = true, false, nil
	for at, e := range p.net.packets {
		if e.proc == p {
			delete(p.net.packets, at)
		}
	}
	for at, l := range p.net.streams {
		if l.proc == p {
			delete(p.net.streams, at)
		}
	}
	for s := range p.conns {
		s.fail(syscall.ECONNRESET)
		if p.node.up {
			s.tellReset()
		}
	}
	clear(p.conns)
}

// ListenPacket binds a UDP port; port 0 takes any.
func (p *process) ListenPacket(at netip.AddrPort) (net.PacketConn, error) {
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	if p.dead {
		return nil, opError("listen", at, syscall.ENETDOWN)
	}
	for at.Port() == 0 || (p.net.packets[at] != nil && at.Port() >= 40000) {
		p.ports++
		at = netip.AddrPortFrom(at.Addr(), p.ports)
	}
	if p.net.packets[at] != nil {
		return nil, opError("listen", at, os.NewSyscallError("bind", syscall.EADDRINUSE))
	}
	e := &packetConn{proc: p}
	e.Socket = gossiptest.NewSocket(at, func(to netip.AddrPort, b []byte) { p.net.send(p, at, to, b) }, func() {
		p.net.locked(func() {
			if p.net.packets[at] == e {
				delete(p.net.packets, at)
			}
		})
	})
	p.net.packets[at] = e
	return e, nil
}

func opError(op string, at netip.AddrPort, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Addr: net.TCPAddrFromAddrPort(at), Err: err}
}
