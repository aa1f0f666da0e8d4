package gossiptest

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// queued is how many packets a socket holds before it drops.
const queued = 8192

// Packet is a datagram that has arrived.
type Packet struct {
	From netip.AddrPort
	B    []byte
	At   time.Time
}

// Socket is a UDP port in memory, for any network in memory: it is told what
// leaves, and puts in what arrives.
type Socket struct {
	at   netip.AddrPort
	send func(to netip.AddrPort, b []byte)
	free func()
	wake chan struct{}
	gone chan struct{}
	once sync.Once

	mu      sync.Mutex
	waiting []Packet
	taken   int // of waiting
}

var _ net.PacketConn = (*Socket)(nil)

// NewSocket makes one at an address. send must copy what it keeps; free is called
// once, by Close.
func NewSocket(at netip.AddrPort, send func(to netip.AddrPort, b []byte), free func()) *Socket {
	return &Socket{at: at, send: send, free: free, wake: make(chan struct{}, 1), gone: make(chan struct{})}
}

// Put is the arrival of a packet; false says that there was no room.
func (s *Socket) Put(from netip.AddrPort, b []byte) bool {
	s.mu.Lock()
	room := len(s.waiting)-s.taken < queued
	if room {
		s.waiting = append(s.waiting, Packet{from, b, time.Now()})
	}
	s.mu.Unlock()
	s.stir()
	return room
}

func (s *Socket) stir() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Next waits for a packet.
func (s *Socket) Next() (Packet, error) {
	for {
		select {
		case <-s.gone:
			return Packet{}, net.ErrClosed
		default:
		}
		if p, ok := s.take(); ok {
			return p, nil
		}
		select {
		case <-s.wake:
		case <-s.gone:
		}
	}
}

func (s *Socket) take() (p Packet, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken == len(s.waiting) {
		return p, false
	}
	p = s.waiting[s.taken]
	s.waiting[s.taken] = Packet{}
	if s.taken++; s.taken == len(s.waiting) {
		s.waiting, s.taken = s.waiting[:0], 0
	} else {
		s.stir() // another may be reading too
	}
	return p, true
}

// ReadFrom waits for a packet.
func (s *Socket) ReadFrom(b []byte) (int, net.Addr, error) {
	p, err := s.Next()
	if err != nil {
		return 0, nil, err
	}
	return copy(b, p.B), net.UDPAddrFromAddrPort(p.From), nil
}

// WriteTo sends one.
func (s *Socket) WriteTo(b []byte, to net.Addr) (int, error) {
	select {
	case <-s.gone:
		return 0, net.ErrClosed
	default:
	}
	u, ok := to.(*net.UDPAddr)
	if !ok {
		return 0, fmt.Errorf("write to %v: not an address of UDP", to)
	}
	ap := u.AddrPort()
	s.send(netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()), b)
	return len(b), nil
}

// Close frees the port, and ends a read.
func (s *Socket) Close() error {
	s.once.Do(func() {
		s.free()
		close(s.gone)
	})
	return nil
}

// LocalAddr is where it is bound.
func (s *Socket) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(s.at) }

// SetDeadline is not kept: Close ends a read.
func (s *Socket) SetDeadline(time.Time) error { return nil }

// SetReadDeadline is not kept.
func (s *Socket) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline is not kept.
func (s *Socket) SetWriteDeadline(time.Time) error { return nil }
