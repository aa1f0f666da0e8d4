package gossiptest

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/hashicorp/memberlist"
)

// backlog is how many streams wait to be accepted.
const backlog = 256

// Transport gives what gossip.Options.Transport wants: each call binds the
// address anew.
func (n *Network) Transport(at netip.AddrPort) func() (memberlist.Transport, error) {
	return func() (memberlist.Transport, error) {
		e, err := n.bind(at, make(chan net.Conn, backlog))
		if err != nil {
			return nil, err
		}
		t := &transport{end: e, n: n, out: make(chan *memberlist.Packet)}
		go t.forward()
		return t, nil
	}
}

type transport struct {
	*end
	n   *Network
	out chan *memberlist.Packet
}

func (t *transport) forward() {
	for {
		p, err := t.Next()
		if err != nil {
			return
		}
		select {
		case t.out <- &memberlist.Packet{Buf: p.B, From: net.UDPAddrFromAddrPort(p.From), Timestamp: p.At}:
		case <-t.gone:
			return
		}
	}
}

func (t *transport) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return t.at.Addr().AsSlice(), int(t.at.Port()), nil
}

func (t *transport) PacketCh() <-chan *memberlist.Packet { return t.out }
func (t *transport) StreamCh() <-chan net.Conn           { return t.streams }

func (t *transport) Shutdown() error {
	return t.Close()
}

func (t *transport) WriteTo(b []byte, addr string) (time.Time, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return time.Time{}, fmt.Errorf("write to %s: %w", addr, err)
	}
	now := time.Now()
	t.n.send(t.at, to, b)
	return now, nil
}

// DialTimeout opens a stream as TCP does: a lost SYN is repeated after one
// second, then two, then four.
func (t *transport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", addr, err)
	}
	fail := func(err error) error {
		return &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(to), Err: err}
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	for wait := time.Second; ; wait *= 2 {
		conn, err := t.n.connect(t.at, to)
		if err != nil {
			return nil, fail(err)
		}
		if conn != nil {
			return conn, nil
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, fail(ctx.Err())
		case <-t.gone:
			return nil, fail(net.ErrClosed)
		}
	}
}

// connect tries one SYN: a nil connection says that no answer came.
func (n *Network) connect(from, to netip.AddrPort) (net.Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f, h := n.host(from.Addr()), n.host(to.Addr())
	if f.frozen || !n.reaches(from.Addr(), to.Addr()) || !n.reaches(to.Addr(), from.Addr()) || n.lost() || n.lost() {
		return nil, nil
	}
	e := n.ends[to]
	if e == nil || e.streams == nil {
		return nil, os.NewSyscallError("connect", syscall.ECONNREFUSED)
	}
	ours, theirs := net.Pipe()
	f.traffic.Streams++
	accept := func() {
		select {
		case e.streams <- &counted{Conn: theirs, n: n, from: to.Addr()}:
		default:
			theirs.Close()
		}
	}
	if h.frozen {
		// Its kernel accepts; nobody reads before it thaws.
		h.held = append(h.held, accept)
	} else {
		accept()
	}
	return &counted{Conn: ours, n: n, from: from.Addr()}, nil
}

// counted is a stream's one side, which counts what it sends.
type counted struct {
	net.Conn
	n    *Network
	from netip.Addr
}

func (c *counted) Write(b []byte) (int, error) {
	c.n.with(func() { c.n.host(c.from).traffic.StreamBytes += len(b) })
	return c.Conn.Write(b)
}
