package gossip

import (
	"errors"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

var errShut = errors.New("this member's ring is closed")

// guard stands between memberlist and the network. Nothing passes once it is
// shut, nor while the process has not yet noticed that it stood still: all of
// memberlist's timers fire at once then, and would accuse healthy members of
// silence that was our own.
type guard struct {
	memberlist.NodeAwareTransport
	overdue func() bool

	mu    sync.Mutex
	shut  bool
	conns map[net.Conn]struct{}
}

func newGuard(t memberlist.Transport, overdue func() bool) *guard {
	aware, ok := t.(memberlist.NodeAwareTransport)
	if !ok {
		aware = plain{t}
	}
	return &guard{NodeAwareTransport: aware, overdue: overdue, conns: map[net.Conn]struct{}{}}
}

func (g *guard) passes() bool {
	g.mu.Lock()
	shut := g.shut
	g.mu.Unlock()
	return !shut && !g.overdue()
}

// WriteToAddress pretends that it sent what is held back: memberlist would take
// an error for the peer's.
func (g *guard) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	if !g.passes() {
		return time.Time{}, nil
	}
	return g.NodeAwareTransport.WriteToAddress(b, a)
}

func (g *guard) WriteTo(b []byte, addr string) (time.Time, error) {
	return g.WriteToAddress(b, memberlist.Address{Addr: addr})
}

func (g *guard) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return g.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

func (g *guard) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	if !g.passes() {
		return nil, errShut
	}
	conn, err := g.NodeAwareTransport.DialAddressTimeout(a, min(timeout, dialTime))
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut {
		conn.Close()
		return nil, errShut
	}
	g.conns[conn] = struct{}{}
	return &guarded{Conn: conn, g: g}, nil
}

// close lets nothing pass any more, and ends the streams that were dialled.
func (g *guard) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = true
	for c := range g.conns {
		c.Close()
	}
	clear(g.conns)
}

type guarded struct {
	net.Conn
	g *guard
}

func (c *guarded) Close() error {
	c.g.mu.Lock()
	delete(c.g.conns, c.Conn)
	c.g.mu.Unlock()
	return c.Conn.Close()
}

// plain lets a transport do that knows no names.
type plain struct{ memberlist.Transport }

func (p plain) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	return p.WriteTo(b, a.Addr)
}

func (p plain) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	return p.DialTimeout(a.Addr, timeout)
}
