// Package ledgertest connects replicas of a ledger in memory, for tests and
// simulations within a testing/synctest bubble: no socket, no file. Links can
// be cut the way a network is cut, without anybody being told. It decides
// nothing and has no place in a running controller.
package ledgertest

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/lifeboat-ha/lifeboat/evacuate/ledger"
)

// Network is the wire between all replicas.
type Network struct {
	mu    sync.Mutex
	nodes map[string]*node // by id
	cut   map[[2]string]bool
}

type node struct {
	peer    ledger.Peer
	network *Network
	accept  chan net.Conn
	closed  chan struct{}
	once    sync.Once
	greet   func(context.Context) ledger.Greeting
	conns   map[*conn]bool
}

// New makes a network without anybody.
func New() *Network {
	return &Network{nodes: map[string]*node{}, cut: map[[2]string]bool{}}
}

// Streams is the wire's end at one replica; a former one of the same id ends.
func (n *Network) Streams(p ledger.Peer) ledger.Streams {
	n.mu.Lock()
	defer n.mu.Unlock()
	x := &node{peer: p, network: n, accept: make(chan net.Conn), closed: make(chan struct{}), conns: map[*conn]bool{}}
	n.nodes[p.ID] = x
	return x
}

// Greets says how a replica answers hello: Ledger.Greeting, usually.
func (n *Network) Greets(id string, greet func(context.Context) ledger.Greeting) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.nodes[id].greet = greet
}

// Hello is asked by the replica of this id.
func (n *Network) Hello(from string) ledger.Hello { return hello{n, from} }

type hello struct {
	network *Network
	from    string
}

var errSilence = errors.New("no answer")

// Hello asks another replica.
func (h hello) Hello(ctx context.Context, to ledger.Peer) (ledger.Greeting, error) {
	n := h.network
	n.mu.Lock()
	x, cut := n.nodes[to.ID], n.cut[pair(h.from, to.ID)]
	var greet func(context.Context) ledger.Greeting
	if x != nil {
		greet = x.greet
	}
	n.mu.Unlock()
	if cut {
		<-ctx.Done()
		return ledger.Greeting{}, context.Cause(ctx)
	}
	if greet == nil || x.peer.Address != to.Address || isClosed(x.closed) {
		return ledger.Greeting{}, errSilence
	}
	return greet(ctx), nil
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func pair(a, b string) [2]string {
	if a > b {
		a, b = b, a
	}
	return [2]string{a, b}
}

// Cut parts two replicas: what is sent goes nowhere, and nobody is told.
func (n *Network) Cut(a, b string) { n.set(a, b, true) }

// Mend joins two replicas again. Connections of before stay dead.
func (n *Network) Mend(a, b string) { n.set(a, b, false) }

// Isolate parts one replica from all others.
func (n *Network) Isolate(id string) { n.setAll(id, true) }

// Return joins one replica with all others again.
func (n *Network) Return(id string) { n.setAll(id, false) }

func (n *Network) setAll(id string, cut bool) {
	n.mu.Lock()
	others := make([]string, 0, len(n.nodes))
	for o := range n.nodes {
		others = append(others, o)
	}
	n.mu.Unlock()
	for _, o := range others {
		if o != id {
			n.set(id, o, cut)
		}
	}
}

func (n *Network) set(a, b string, cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut[pair(a, b)] = cut
	if !cut {
		return
	}
	for _, x := range n.nodes {
		for c := range x.conns {
			if pair(c.a, c.b) == pair(a, b) {
				c.dead.Do(func() { close(c.cut) })
			}
		}
	}
}

// Accept gives the next connection.
func (x *node) Accept() (net.Conn, error) {
	select {
	case c := <-x.accept:
		return c, nil
	case <-x.closed:
		return nil, net.ErrClosed
	}
}

// Close ends this end, and its connections.
func (x *node) Close() error {
	x.once.Do(func() { close(x.closed) })
	x.network.mu.Lock()
	conns := make([]*conn, 0, len(x.conns))
	for c := range x.conns {
		conns = append(conns, c)
	}
	x.network.mu.Unlock()
	for _, c := range conns {
		c.Close()
	}
	return nil
}

// Addr is this replica's address.
func (x *node) Addr() net.Addr { return addr(x.peer.Address) }

type addr string

// Network says that there is no real one.
func (addr) Network() string { return "memory" }

// String gives the address.
func (a addr) String() string { return string(a) }

// Dial connects to another replica.
func (x *node) Dial(id, address string, timeout time.Duration) (net.Conn, error) {
	n := x.network
	n.mu.Lock()
	to, cut := n.nodes[id], n.cut[pair(x.peer.ID, id)]
	n.mu.Unlock()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	if cut {
		<-timer.C
		return nil, context.DeadlineExceeded
	}
	if to == nil || to.peer.Address != address || isClosed(to.closed) || isClosed(x.closed) {
		return nil, errors.New("connection refused")
	}
	near, far := n.connect(x, to)
	select {
	case to.accept <- far:
		return near, nil
	case <-to.closed:
	case <-timer.C:
	}
	near.Close()
	far.Close()
	return nil, context.DeadlineExceeded
}

func (n *Network) connect(a, b *node) (near, far *conn) {
	p, q := net.Pipe()
	gone := make(chan struct{})
	dead := &sync.Once{}
	near = &conn{Conn: p, owner: a, a: a.peer.ID, b: b.peer.ID, cut: gone, dead: dead, ended: make(chan struct{})}
	far = &conn{Conn: q, owner: b, a: a.peer.ID, b: b.peer.ID, cut: gone, dead: dead, ended: make(chan struct{})}
	n.mu.Lock()
	defer n.mu.Unlock()
	a.conns[near], b.conns[far] = true, true
	if n.cut[pair(a.peer.ID, b.peer.ID)] { // since Dial looked
		dead.Do(func() { close(gone) })
	}
	return near, far
}
