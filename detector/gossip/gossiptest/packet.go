package gossiptest

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// queued is how many packets an end holds before it drops, as a socket buffer.
const queued = 8192

type packet struct {
	from netip.AddrPort
	b    []byte
	at   time.Time
}

// end is one bound port: packets, and streams for a Transport.
type end struct {
	n       *Network
	at      netip.AddrPort
	packets chan packet
	streams chan net.Conn // nil: refuses streams
	gone    chan struct{}
	once    sync.Once
}

func (n *Network) bind(at netip.AddrPort, streams chan net.Conn) (*end, error) {
	e := &end{n: n, at: at, packets: make(chan packet, queued), streams: streams, gone: make(chan struct{})}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ends[at] != nil {
		return nil, &net.OpError{Op: "listen", Net: "udp", Addr: net.UDPAddrFromAddrPort(at), Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}
	}
	n.ends[at] = e
	n.host(at.Addr())
	return e, nil
}

func (e *end) close() {
	e.once.Do(func() {
		e.n.with(func() { delete(e.n.ends, e.at) })
		close(e.gone)
	})
}

// send puts a packet on the way.
func (n *Network) send(from, to netip.AddrPort, b []byte) {
	b = bytes.Clone(b)
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.host(from.Addr())
	h.traffic.Packets++
	h.traffic.PacketBytes += len(b)
	if h.frozen {
		h.held = append(h.held, func() { n.with(func() { n.route(from, to, b) }) })
		return
	}
	n.route(from, to, b)
}

func (n *Network) route(from, to netip.AddrPort, b []byte) {
	if !n.reaches(from.Addr(), to.Addr()) || n.lost() {
		return
	}
	if n.delay == 0 {
		n.deliver(from, to, b)
		return
	}
	time.AfterFunc(n.delay, func() { n.with(func() { n.deliver(from, to, b) }) })
}

func (n *Network) deliver(from, to netip.AddrPort, b []byte) {
	h := n.host(to.Addr())
	if h.dead {
		return
	}
	if h.frozen {
		h.held = append(h.held, func() { n.with(func() { n.deliver(from, to, b) }) })
		return
	}
	if e := n.ends[to]; e != nil {
		select {
		case e.packets <- packet{from, b, time.Now()}:
		default: // the buffer is full
		}
	}
}

// PacketConn binds an address for datagrams, as net.ListenPacket does.
func (n *Network) PacketConn(at netip.AddrPort) (net.PacketConn, error) {
	e, err := n.bind(at, nil)
	if err != nil {
		return nil, err
	}
	return &packetConn{e}, nil
}

type packetConn struct{ *end }

func (c *packetConn) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case p := <-c.packets:
		return copy(b, p.b), net.UDPAddrFromAddrPort(p.from), nil
	case <-c.gone:
		return 0, nil, net.ErrClosed
	}
}

func (c *packetConn) WriteTo(b []byte, to net.Addr) (int, error) {
	select {
	case <-c.gone:
		return 0, net.ErrClosed
	default:
	}
	ap, err := netip.ParseAddrPort(to.String())
	if err != nil {
		return 0, fmt.Errorf("write to %v: %w", to, err)
	}
	c.n.send(c.at, netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()), b)
	return len(b), nil
}

func (c *packetConn) Close() error {
	c.close()
	return nil
}

func (c *packetConn) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(c.at) }

// Deadlines are not kept: Close ends a read.
func (c *packetConn) SetDeadline(time.Time) error      { return nil }
func (c *packetConn) SetReadDeadline(time.Time) error  { return nil }
func (c *packetConn) SetWriteDeadline(time.Time) error { return nil }
