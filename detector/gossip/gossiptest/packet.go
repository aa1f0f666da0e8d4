package gossiptest

import (
	"bytes"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
)

// end is one bound port: packets, and streams for a Transport.
type end struct {
	*Socket
	streams chan net.Conn // nil: refuses streams
}

func (n *Network) bind(at netip.AddrPort, streams chan net.Conn) (*end, error) {
	e := &end{streams: streams}
	e.Socket = NewSocket(at, func(to netip.AddrPort, b []byte) { n.send(at, to, b) }, func() { n.with(func() { delete(n.ends, at) }) })
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ends[at] != nil {
		return nil, &net.OpError{Op: "listen", Net: "udp", Addr: net.UDPAddrFromAddrPort(at), Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}
	}
	n.ends[at] = e
	n.host(at.Addr())
	return e, nil
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
		e.Put(from, b)
	}
}

// PacketConn binds an address for datagrams, as net.ListenPacket does.
func (n *Network) PacketConn(at netip.AddrPort) (net.PacketConn, error) {
	e, err := n.bind(at, nil)
	if err != nil {
		return nil, err
	}
	return e.Socket, nil
}
