package peer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// hatch is a listener whose connections come from elsewhere.
type hatch struct {
	addr   net.Addr
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newHatch(a net.Addr) *hatch {
	return &hatch{addr: a, conns: make(chan net.Conn, 16), closed: make(chan struct{})}
}

// put hands a connection over, or closes it if nobody takes it.
func (h *hatch) put(ctx context.Context, c net.Conn) {
	select {
	case h.conns <- c:
		return
	case <-h.closed:
	case <-ctx.Done():
	}
	c.Close()
}

// Accept gives the next connection.
func (h *hatch) Accept() (net.Conn, error) {
	select {
	case <-h.closed:
		return nil, net.ErrClosed
	default:
	}
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

// Close refuses what comes later.
func (h *hatch) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

// drain closes what nobody took.
func (h *hatch) drain() {
	for {
		select {
		case c := <-h.conns:
			c.Close()
		default:
			return
		}
	}
}

// Addr is where the port is open.
func (h *hatch) Addr() net.Addr { return h.addr }

// StreamLayer carries Raft: what ledger.Streams asks for.
type StreamLayer struct {
	*hatch
	channel *Channel
}

// StreamLayer gives the end for Raft. There is one at a time: a later call ends
// the former.
func (c *Channel) StreamLayer() *StreamLayer {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.streams != nil {
		c.streams.Close()
	}
	c.streams = &StreamLayer{hatch: newHatch(c.listener.Addr()), channel: c}
	return c.streams
}

func (c *Channel) toRaft(secure net.Conn) {
	c.mu.Lock()
	s := c.streams
	c.mu.Unlock()
	if s == nil {
		secure.Close()
		return
	}
	select {
	case s.conns <- secure:
	case <-s.closed:
		secure.Close()
	default: // Raft takes none at present; the other end tries again
		secure.Close()
	}
}

// Close ends Raft's part of the port.
func (s *StreamLayer) Close() error {
	err := s.hatch.Close()
	s.drain()
	return err
}

// Dial connects to the controller id and makes sure that it is the one.
func (s *StreamLayer) Dial(id, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return dial(ctx, s.channel.opts.Dial.or(), s.channel.clientTLS(id, ProtoRaft), address)
}

// dial connects, and names the protocol in its error: an old controller, or
// another service on that port, speaks another.
func dial(ctx context.Context, open Dial, conf *tls.Config, address string) (net.Conn, error) {
	raw, err := open(ctx, address)
	if err != nil {
		return nil, err
	}
	secure := tls.Client(raw, conf)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("TLS with %s: %w", address, err), ignoreClosed(raw.Close()))
	}
	if got := secure.ConnectionState().NegotiatedProtocol; got != conf.NextProtos[0] {
		secure.Close()
		return nil, fmt.Errorf("%s does not speak %s", address, conf.NextProtos[0])
	}
	return secure, nil
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
