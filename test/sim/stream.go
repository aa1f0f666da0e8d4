package sim

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// listener is one TCP port.
type listener struct {
	proc *process
	at   netip.AddrPort
	in   chan net.Conn
	gone chan struct{}
	once sync.Once
}

const backlog = 256

// Listen binds a TCP port.
func (p *process) Listen(at netip.AddrPort) (net.Listener, error) {
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	if p.dead {
		return nil, opError("listen", at, syscall.ENETDOWN)
	}
	if p.net.streams[at] != nil {
		return nil, opError("listen", at, os.NewSyscallError("bind", syscall.EADDRINUSE))
	}
	l := &listener{proc: p, at: at, in: make(chan net.Conn, backlog), gone: make(chan struct{})}
	p.net.streams[at] = l
	return l, nil
}

// Accept waits for a connection.
func (l *listener) Accept() (net.Conn, error) {
	for {
		select {
		case c := <-l.in:
			if l.proc.awake(context.Background()) {
				return c, nil
			}
		case <-l.gone:
			return nil, net.ErrClosed
		}
	}
}

// Close frees the port.
func (l *listener) Close() error {
	l.once.Do(func() {
		l.proc.net.locked(func() {
			if l.proc.net.streams[l.at] == l {
				delete(l.proc.net.streams, l.at)
			}
		})
		close(l.gone)
	})
	return nil
}

// Addr is where it listens.
func (l *listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.at) }

// Dial opens a connection as TCP does: a SYN without an answer is repeated after
// one second, then two, then four.
func (p *process) Dial(ctx context.Context, address string) (net.Conn, error) {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	for wait := time.Second; ; wait *= 2 {
		if !p.awake(ctx) {
			return nil, opError("dial", to, net.ErrClosed)
		}
		conn, err := p.syn(to)
		if err != nil {
			return nil, opError("dial", to, err)
		}
		pause := tick
		if conn == nil {
			pause = wait
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			if conn != nil {
				_ = conn.Close()
			}
			return nil, opError("dial", to, ctx.Err())
		}
		if conn != nil {
			return conn, nil
		}
	}
}

// syn tries once: no connection and no error say that no answer came.
func (p *process) syn(to netip.AddrPort) (net.Conn, error) {
	n := p.net
	n.mu.Lock()
	defer n.mu.Unlock()
	target, ok := n.places[to.Addr()]
	if !ok {
		return nil, nil
	}
	from := place{p.node, target.network}
	if !p.node.addrs[target.network].IsValid() {
		from.network = Management
	}
	network := between(from, target)
	there, _ := n.passes(p.node, target.node, network)
	back, _ := n.passes(target.node, p.node, network)
	if !there || !back {
		return nil, nil
	}
	l := n.streams[to]
	if l == nil {
		return nil, os.NewSyscallError("connect", syscall.ECONNREFUSED)
	}
	p.ports++
	local := netip.AddrPortFrom(p.node.addrs[from.network], p.ports)
	near := newStream(p, network, local, to)
	far := newStream(l.proc, network, to, local)
	near.peer, far.peer = far, near
	select {
	case l.in <- far:
	default:
		return nil, nil
	}
	p.conns[near], l.proc.conns[far] = true, true
	return near, nil
}

// stream is one end of a connection. All fields below net are guarded by
// network.mu.
type stream struct {
	proc          *process
	peer          *stream
	network       string
	local, remote netip.AddrPort

	in     bytes.Buffer
	end    error         // what a read gives once in is empty
	broken error         // what a write gives
	wake   chan struct{} // a reader looks again
	out    []byte        // not yet on the way
	fin    bool          // and then the end
	busy   bool          // a segment is on the way
	tries  int
	closed bool
	readBy time.Time
}

func newStream(p *process, network string, local, remote netip.AddrPort) *stream {
	return &stream{proc: p, network: network, local: local, remote: remote, wake: make(chan struct{}, 1)}
}

// stir makes a reader look again.
func (s *stream) stir() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// fail ends this side.
func (s *stream) fail(err error) {
	if s.end == nil {
		s.end = err
	}
	if s.broken == nil {
		s.broken = err
	}
	s.stir()
}

// tellReset tells the other end that this one is gone, if that gets through.
func (s *stream) tellReset() {
	peer := s.peer
	ok, delay := s.proc.net.passes(s.proc.node, peer.proc.node, s.network)
	if ok {
		s.proc.net.after(delay, func() { peer.fail(syscall.ECONNRESET) })
	}
}

// pump sends what waits, and again later what did not get through, in order.
func (s *stream) pump() {
	if s.busy || !s.proc.runs() || (len(s.out) == 0 && !s.fin) {
		return
	}
	n := s.proc.net
	s.busy = true
	ok, delay := n.passes(s.proc.node, s.peer.proc.node, s.network)
	if !ok {
		// Like TCP's own: 200 ms, doubled up to some seconds.
		delay = min(200*time.Millisecond<<min(s.tries, 5), 5*time.Second)
		s.tries++
		n.after(delay, func() { s.busy = false; s.pump() })
		return
	}
	s.tries = 0
	data, fin := s.out, s.fin
	s.out, s.fin = nil, false
	n.after(delay, func() {
		s.busy = false
		s.arrive(data, fin)
		s.pump()
	})
}

func (s *stream) arrive(data []byte, fin bool) {
	to := s.peer
	switch {
	case !to.proc.node.up:
		return // swallowed: the machine is gone
	case to.proc.dead || (to.closed && len(data) > 0):
		s.fail(syscall.ECONNRESET)
		return
	}
	if to.end == nil {
		to.in.Write(data)
	}
	if fin && to.end == nil {
		to.end = io.EOF
	}
	to.stir()
}

// Read waits for data.
func (s *stream) Read(b []byte) (int, error) {
	for {
		if !s.proc.awake(context.Background()) {
			return 0, net.ErrClosed
		}
		n, left, err := s.take(b)
		if n > 0 || err != nil {
			return n, err
		}
		var timer <-chan time.Time
		if left > 0 {
			t := time.NewTimer(left)
			defer t.Stop()
			timer = t.C
		}
		select {
		case <-s.wake:
		case <-timer:
		}
	}
}

// take reads without waiting; left is until the deadline, zero without one.
func (s *stream) take(b []byte) (n int, left time.Duration, err error) {
	s.proc.net.mu.Lock()
	defer s.proc.net.mu.Unlock()
	if s.closed {
		return 0, 0, net.ErrClosed
	}
	if !s.readBy.IsZero() {
		if left = s.proc.node.clock.until(s.readBy); left <= 0 {
			s.stir()
			return 0, 0, os.ErrDeadlineExceeded
		}
	}
	if s.in.Len() > 0 {
		n, _ = s.in.Read(b)
		return n, 0, nil
	}
	if s.end != nil {
		s.stir() // for the next reader too
		return 0, 0, s.end
	}
	return 0, left, nil
}

// Write never waits: the buffers of both kernels are as long as needed.
func (s *stream) Write(b []byte) (int, error) {
	s.proc.net.mu.Lock()
	defer s.proc.net.mu.Unlock()
	switch {
	case s.closed || s.proc.dead:
		return 0, net.ErrClosed
	case s.broken != nil:
		return 0, s.broken
	}
	s.out = append(s.out, b...)
	s.pump()
	return len(b), nil
}

// Close ends this side; the other one reads on to the end.
func (s *stream) Close() error {
	s.proc.net.mu.Lock()
	defer s.proc.net.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed, s.fin = true, true
	s.stir()
	delete(s.proc.conns, s)
	s.pump()
	return nil
}

// LocalAddr is this end's.
func (s *stream) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(s.local) }

// RemoteAddr is the other end's.
func (s *stream) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(s.remote) }

// SetDeadline bounds reads; writes never wait.
func (s *stream) SetDeadline(t time.Time) error { return s.SetReadDeadline(t) }

// SetReadDeadline bounds reads.
func (s *stream) SetReadDeadline(t time.Time) error {
	s.proc.net.mu.Lock()
	defer s.proc.net.mu.Unlock()
	s.readBy = t
	s.stir()
	return nil
}

// SetWriteDeadline has nothing to bound.
func (s *stream) SetWriteDeadline(time.Time) error { return nil }
