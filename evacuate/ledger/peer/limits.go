package peer

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Limits keep slow or many clients from starving the others. The zero value of
// each is its default.
type Limits struct {
	Handshakes       int // in progress at once: 256
	HandshakesPerIP  int // 32; loopback is exempt from limits per address
	Connections      int // HTTP connections: 8192
	ConnectionsPerIP int // 256
	RaftPerPeer      int // Raft connections of one controller: 32
	HandshakeTimeout time.Duration
	HeaderTimeout    time.Duration // 5 s, as the handshake's
	BodyTimeout      time.Duration // until a request's body must be here: 30 s
	IdleTimeout      time.Duration // 2 min
	WriteTimeout     time.Duration // for each write, not for the whole answer: 30 s
	BodyAnonymous    int64         // longest body by kind: 64 KiB
	BodyHost         int64         // 1 MiB
	BodyController   int64         // 64 MiB: states of the ledger
}

func (l Limits) withDefaults() Limits {
	num := func(n *int, v int) {
		if *n == 0 {
			*n = v
		}
	}
	dur := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	size := func(n *int64, v int64) {
		if *n == 0 {
			*n = v
		}
	}
	num(&l.Handshakes, 256)
	num(&l.HandshakesPerIP, 32)
	num(&l.Connections, 8192)
	num(&l.ConnectionsPerIP, 256)
	num(&l.RaftPerPeer, 32)
	dur(&l.HandshakeTimeout, 5*time.Second)
	dur(&l.HeaderTimeout, 5*time.Second)
	dur(&l.BodyTimeout, 30*time.Second)
	dur(&l.IdleTimeout, 2*time.Minute)
	dur(&l.WriteTimeout, 30*time.Second)
	size(&l.BodyAnonymous, 64<<10)
	size(&l.BodyHost, 1<<20)
	size(&l.BodyController, 64<<20)
	return l
}

// counter counts what is open, in all and by key.
type counter struct {
	all, each int

	mu    sync.Mutex
	total int
	by    map[string]int
}

func newCounter(all, each int) *counter { return &counter{all: all, each: each, by: map[string]int{}} }

// take counts one in, unless a limit is reached; an empty key has none of its own.
func (c *counter) take(key string) (release func(), ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.total >= c.all || key != "" && c.by[key] >= c.each {
		return nil, false
	}
	c.total++
	c.by[key]++
	return sync.OnceFunc(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.total--
		if c.by[key]--; c.by[key] == 0 {
			delete(c.by, key)
		}
	}), true
}

// limitKey is the address that limits count by, "" for loopback.
func limitKey(a net.Addr) string {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil || ap.Addr().Unmap().IsLoopback() {
		return ""
	}
	return ap.Addr().Unmap().String()
}

// conn is a connection below TLS. It frees its place when it is closed, and
// gives each write of an HTTP answer a deadline of its own: an event stream
// may last for days, but its reader must keep up.
type conn struct {
	net.Conn
	now     func() time.Time
	stall   atomic.Int64
	mu      sync.Mutex
	release func()
}

// Write sends.
func (c *conn) Write(b []byte) (int, error) {
	if d := time.Duration(c.stall.Load()); d > 0 {
		if err := c.SetWriteDeadline(c.now().Add(d)); err != nil {
			return 0, err
		}
	}
	return c.Conn.Write(b)
}

// hold makes Close give a place free, after giving the former one free.
func (c *conn) hold(release func()) {
	c.mu.Lock()
	former := c.release
	c.release = release
	c.mu.Unlock()
	if former != nil {
		former()
	}
}

// Close ends the connection.
func (c *conn) Close() error {
	c.hold(nil)
	return c.Conn.Close()
}
