package heartbeat

import (
	"bytes"
	"net"
	"net/netip"
	"sync"
	"time"
)

// wire is a network of datagrams in memory. drop decides on each of them; what
// passes is kept, so that tests can play recordings.
type wire struct {
	mu    sync.Mutex
	ends  map[netip.AddrPort]*end
	drop  func(from, to netip.AddrPort) bool
	taken []recording
}

type recording struct {
	from, to netip.AddrPort
	b        []byte
}

type end struct {
	w    *wire
	at   netip.AddrPort
	in   chan recording
	gone chan struct{}
	once sync.Once
}

func newWire() *wire { return &wire{ends: map[netip.AddrPort]*end{}} }

func (w *wire) end(at string) *end {
	e := &end{w: w, at: netip.MustParseAddrPort(at), in: make(chan recording, 1024), gone: make(chan struct{})}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ends[e.at] = e
	return e
}

func (w *wire) setDrop(f func(from, to netip.AddrPort) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.drop = f
}

func (w *wire) recordings() []recording {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]recording(nil), w.taken...)
}

// play puts a datagram on the wire whatever drop says.
func (w *wire) play(r recording) {
	w.mu.Lock()
	e := w.ends[r.to]
	w.mu.Unlock()
	if e != nil {
		e.in <- r
	}
}

func (e *end) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case r := <-e.in:
		return copy(b, r.b), net.UDPAddrFromAddrPort(r.from), nil
	case <-e.gone:
		return 0, nil, net.ErrClosed
	}
}

func (e *end) WriteTo(b []byte, to net.Addr) (int, error) {
	r := recording{from: e.at, to: addrPort(to), b: bytes.Clone(b)}
	e.w.mu.Lock()
	drop := e.w.drop != nil && e.w.drop(r.from, r.to)
	e.w.taken = append(e.w.taken, r)
	e.w.mu.Unlock()
	if !drop {
		e.w.play(r)
	}
	return len(b), nil
}

func (e *end) Close() error {
	e.once.Do(func() { close(e.gone) })
	return nil
}

func (e *end) LocalAddr() net.Addr              { return net.UDPAddrFromAddrPort(e.at) }
func (e *end) SetDeadline(time.Time) error      { return nil }
func (e *end) SetReadDeadline(time.Time) error  { return nil }
func (e *end) SetWriteDeadline(time.Time) error { return nil }
