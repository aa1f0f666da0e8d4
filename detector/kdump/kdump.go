// Package kdump hears crashed kernels that are writing their dump. It listens
// for the messages of kexec-tools' kdump and fence_kdump_send (fence-agents), and
// takes them from the addresses of the inventory only. It decides nothing and
// never answers: a dump is no proof that a host is off.
package kdump

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// A message is two 32-bit words in the sender's byte order: magic and version
// (fence-agents, agents/kdump/message.h).
const (
	magic    = 0x1B302A40
	version1 = 1
	size     = 8
)

// Port is the one that fence_kdump_send sends to by default.
const Port = 7410

// ErrMessage says that a datagram is none of ours.
var ErrMessage = errors.New("no message of fence_kdump")

// Decode reads a message of version 1 in either byte order.
func Decode(b []byte) error {
	if len(b) != size {
		return fmt.Errorf("%w: %d bytes, %d are wanted", ErrMessage, len(b), size)
	}
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		if order.Uint32(b) != magic {
			continue
		}
		if v := order.Uint32(b[4:]); v != version1 {
			return fmt.Errorf("%w: version %d is not known", ErrMessage, v)
		}
		return nil
	}
	return fmt.Errorf("%w: wrong magic", ErrMessage)
}

// Sight is one dump of a host: when it was first and last heard of.
type Sight struct {
	First, Last time.Time
}

// Options make a Listener.
type Options struct {
	// Conn is where datagrams arrive; the Listener closes it.
	Conn net.PacketConn
	// Hosts names the hosts by their addresses.
	Hosts map[netip.Addr]nova.HostName
	// Quiet without a message ends a dump: the next one begins another.
	Quiet time.Duration
	Now   func() time.Time
	Log   *slog.Logger
}

// Listener hears dumps until it is closed.
type Listener struct {
	o    Options
	done chan struct{}

	mu      sync.Mutex
	sights  map[nova.HostName]Sight
	dropped uint64
}

// Listen starts hearing.
func Listen(o Options) (*Listener, error) {
	if o.Conn == nil || o.Now == nil || o.Log == nil || o.Quiet <= 0 {
		return nil, errors.New("listen for dumps: a connection, a clock, a log and a time of quiet are needed")
	}
	l := &Listener{o: o, done: make(chan struct{}), sights: map[nova.HostName]Sight{}}
	go l.run()
	return l, nil
}

// Close stops hearing, and waits for it.
func (l *Listener) Close() error {
	err := l.o.Conn.Close()
	<-l.done
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("stop listening for dumps: %w", err)
	}
	return nil
}

// retry is the pause after a failed read, so that a broken socket costs little.
const retry = 100 * time.Millisecond

func (l *Listener) run() {
	defer close(l.done)
	buf := make([]byte, 64)
	for {
		n, from, err := l.o.Conn.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			l.o.Log.Warn("a datagram was not read", "reason", err)
			time.Sleep(retry)
			continue
		}
		l.take(buf[:n], from)
	}
}

func (l *Listener) take(b []byte, from net.Addr) {
	at, err := netip.ParseAddrPort(from.String())
	host, known := l.o.Hosts[at.Addr().Unmap().WithZone("")]
	if err != nil || !known || Decode(b) != nil {
		l.mu.Lock()
		l.dropped++
		l.mu.Unlock()
		return
	}
	now := l.o.Now()
	l.mu.Lock()
	s := l.sights[host]
	begins := s.Last.IsZero() || now.Sub(s.Last) >= l.o.Quiet
	if begins {
		s.First = now
	}
	s.Last = now
	l.sights[host] = s
	l.mu.Unlock()
	if begins {
		l.o.Log.Warn("its kernel has crashed and writes a dump", "host", host)
	}
}

// Sights gives every dump that is not long over.
func (l *Listener) Sights() map[nova.HostName]Sight {
	now := l.o.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.sights, func(_ nova.HostName, s Sight) bool { return now.Sub(s.Last) > 10*l.o.Quiet })
	return maps.Clone(l.sights)
}

// Dropped counts datagrams that were not believed.
func (l *Listener) Dropped() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dropped
}
