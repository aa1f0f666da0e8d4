package gossip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// Sockets is a network as a process sees it, for processes that live in another
// one than the machine's.
type Sockets interface {
	ListenPacket(at netip.AddrPort) (net.PacketConn, error)
	Listen(at netip.AddrPort) (net.Listener, error)
	Dial(ctx context.Context, address string) (net.Conn, error)
}

// socketed is memberlist's transport over Sockets.
type socketed struct {
	sockets   Sockets
	advertise netip.AddrPort
	now       func() time.Time
	packets   net.PacketConn
	streams   net.Listener
	packetCh  chan *memberlist.Packet
	streamCh  chan net.Conn
	done      chan struct{}
	once      sync.Once
	owned     sync.WaitGroup
}

// mostPacket is the longest datagram there can be.
const mostPacket = 64 << 10

// Over makes a transport of such sockets for any member of memberlist.
func Over(s Sockets, bind, advertise netip.AddrPort, now func() time.Time) (memberlist.Transport, error) {
	packets, err := s.ListenPacket(bind)
	if err != nil {
		return nil, err
	}
	streams, err := s.Listen(bind)
	if err != nil {
		return nil, errors.Join(err, packets.Close())
	}
	t := &socketed{sockets: s, advertise: advertise, now: now, packets: packets, streams: streams,
		packetCh: make(chan *memberlist.Packet), streamCh: make(chan net.Conn), done: make(chan struct{})}
	t.owned.Go(t.hear)
	t.owned.Go(t.accept)
	return t, nil
}

func (t *socketed) hear() {
	buf := make([]byte, mostPacket)
	for {
		n, from, err := t.packets.ReadFrom(buf)
		if err != nil {
			return // closed: there is no other error of these sockets
		}
		p := &memberlist.Packet{Buf: append([]byte(nil), buf[:n]...), From: from, Timestamp: t.now()}
		select {
		case t.packetCh <- p:
		case <-t.done:
			return
		}
	}
}

func (t *socketed) accept() {
	for {
		conn, err := t.streams.Accept()
		if err != nil {
			return
		}
		select {
		case t.streamCh <- conn:
		case <-t.done:
			_ = conn.Close()
			return
		}
	}
}

// FinalAdvertiseAddr gives what others are told.
func (t *socketed) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return t.advertise.Addr().AsSlice(), int(t.advertise.Port()), nil
}

// WriteTo sends a packet.
func (t *socketed) WriteTo(b []byte, addr string) (time.Time, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return time.Time{}, fmt.Errorf("write to %s: %w", addr, err)
	}
	now := t.now()
	_, err = t.packets.WriteTo(b, net.UDPAddrFromAddrPort(to))
	return now, err
}

// DialTimeout opens a stream.
func (t *socketed) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return t.sockets.Dial(ctx, addr)
}

// PacketCh gives what is heard.
func (t *socketed) PacketCh() <-chan *memberlist.Packet { return t.packetCh }

// StreamCh gives the streams that others open.
func (t *socketed) StreamCh() <-chan net.Conn { return t.streamCh }

// Shutdown closes the sockets.
func (t *socketed) Shutdown() (err error) {
	t.once.Do(func() {
		close(t.done)
		err = errors.Join(t.packets.Close(), t.streams.Close())
	})
	t.owned.Wait()
	return err
}
