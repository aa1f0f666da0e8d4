package ledger

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// gate stands between Raft and the Streams. While it is shut no replica can
// speak to this one: one that remembers nothing must not vote or acknowledge
// before it is sure that it has nothing to remember (bootstrap.go). It also
// turns the addresses that Raft dials into peers, whose identity is checked.
type gate struct {
	streams Streams
	self    net.Addr
	// lookup finds the peer that Raft calls by an address.
	lookup func(address string) (Peer, bool)
	open   atomic.Bool

	mu     sync.Mutex
	conns  map[net.Conn]bool // accepted: Raft does not close them at its end
	closed bool
}

type address string

// Network of an address, which is TCP's.
func (a address) Network() string { return "tcp" }

// String gives host:port.
func (a address) String() string { return string(a) }

func newGate(s Streams, self Peer, lookup func(string) (Peer, bool)) *gate {
	return &gate{streams: s, self: address(self.Address), lookup: lookup, conns: map[net.Conn]bool{}}
}

// Accept gives the next connection that another replica made.
func (g *gate) Accept() (net.Conn, error) {
	for {
		c, err := g.streams.Accept()
		if err != nil {
			return nil, err
		}
		if g.open.Load() && g.keep(c) {
			return &tracked{Conn: c, gate: g}, nil
		}
		c.Close()
	}
}

func (g *gate) keep(c net.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.conns[c] = true
	return true
}

// tracked tells the gate when it is closed.
type tracked struct {
	net.Conn
	gate *gate
}

// Close ends the connection.
func (t *tracked) Close() error {
	t.gate.mu.Lock()
	delete(t.gate.conns, t.Conn)
	t.gate.mu.Unlock()
	return t.Conn.Close()
}

// Close ends the streams and every connection accepted.
func (g *gate) Close() error {
	g.mu.Lock()
	g.closed = true
	conns := make([]net.Conn, 0, len(g.conns))
	for c := range g.conns {
		conns = append(conns, c)
	}
	clear(g.conns)
	g.mu.Unlock()
	for _, c := range conns {
		c.Close()
	}
	return g.streams.Close()
}

// Addr is what other replicas dial, not what the listener is bound to.
func (g *gate) Addr() net.Addr { return g.self }

// Dial connects Raft to a replica.
func (g *gate) Dial(to raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	p, ok := g.lookup(string(to))
	if !ok {
		return nil, fmt.Errorf("no replica is known at %s", to)
	}
	c, err := g.streams.Dial(p.ID, p.Address, timeout)
	if err != nil {
		return nil, fmt.Errorf("connect to replica %s at %s: %w", p.ID, p.Address, err)
	}
	return c, nil
}
