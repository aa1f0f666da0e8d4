package ledgertest

import (
	"net"
	"os"
	"sync"
	"time"
)

// conn is a pipe whose wire can be cut: then writes are swallowed and reads
// wait for their deadline, as over a network that drops everything.
type conn struct {
	net.Conn
	owner *node
	a, b  string
	cut   chan struct{}
	dead  *sync.Once

	mu    sync.Mutex
	read  time.Time // deadline
	once  sync.Once
	ended chan struct{}
}

// Write sends, or swallows.
func (c *conn) Write(b []byte) (int, error) {
	if isClosed(c.ended) {
		return 0, net.ErrClosed
	}
	if isClosed(c.cut) {
		return len(b), nil
	}
	done := make(chan struct{})
	defer close(done)
	go func() { // frees a write that waits for a reader beyond the cut
		select {
		case <-c.cut:
			c.Conn.SetWriteDeadline(time.Unix(1, 0))
		case <-done:
		}
	}()
	n, err := c.Conn.Write(b)
	if err != nil && isClosed(c.cut) {
		return len(b), nil
	}
	return n, err
}

// Read receives. What was sent before the cut may be lost with it.
func (c *conn) Read(b []byte) (int, error) {
	if !isClosed(c.cut) {
		done := make(chan struct{})
		go func() {
			select {
			case <-c.cut:
				c.Conn.SetReadDeadline(time.Unix(1, 0))
			case <-done:
			}
		}()
		n, err := c.Conn.Read(b)
		close(done)
		if !isClosed(c.cut) {
			return n, err
		}
	}
	c.mu.Lock()
	deadline := c.read
	c.mu.Unlock()
	var timeout <-chan time.Time
	if !deadline.IsZero() {
		timer := time.NewTimer(time.Until(deadline))
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case <-c.ended:
		return 0, net.ErrClosed
	case <-timeout:
		return 0, os.ErrDeadlineExceeded
	}
}

// SetDeadline sets both deadlines.
func (c *conn) SetDeadline(t time.Time) error {
	c.remember(t)
	return c.Conn.SetDeadline(t)
}

// SetReadDeadline sets the deadline of reads.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.remember(t)
	return c.Conn.SetReadDeadline(t)
}

func (c *conn) remember(t time.Time) {
	c.mu.Lock()
	c.read = t
	c.mu.Unlock()
}

// Close ends this end. Beyond a cut, nobody learns of it.
func (c *conn) Close() error {
	c.once.Do(func() { close(c.ended) })
	c.owner.network.mu.Lock()
	delete(c.owner.conns, c)
	c.owner.network.mu.Unlock()
	return c.Conn.Close()
}
