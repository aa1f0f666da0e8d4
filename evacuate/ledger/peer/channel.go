// Package peer is the one TCP port of a controller: TLS 1.3 with, chosen by
// ALPN, Raft between controllers or HTTP from controllers and hosts. It decides
// who is at the other end of a connection. It never decides what that one may
// do beyond Raft, and never looks into what is said.
package peer

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Protocols of ALPN.
const (
	ProtoRaft = "lifeboat-raft/1"
	protoHTTP = "http/1.1"
)

// Options say who this controller is and whom it knows.
type Options struct {
	ID      string
	Cluster string // the name in the configuration, and in the certificates
	// Listener, or else Address to listen on.
	Listener net.Listener
	Address  string
	// Dial opens a TCP connection to another controller; nil is the machine's.
	Dial        Dial
	Credentials Credentials
	// Known says whether a controller of this id belongs to the cluster: by
	// configuration or by the ledger. It is asked at each request.
	Known func(id string) bool
	// Host finds the host that a public key belongs to. It is asked at each
	// request, so that a key that was revoked ends at once.
	Host    func(pub ed25519.PublicKey) (host string, ok bool)
	Handler http.Handler
	Limits  Limits
	Log     *slog.Logger
	Now     func() time.Time
}

// Channel is the open port.
type Channel struct {
	opts       Options
	limits     Limits
	log        *slog.Logger
	listener   net.Listener
	server     *http.Server
	http       *hatch
	handshakes *counter
	https      *counter
	rafts      *counter
	quiet      *quiet

	done    <-chan struct{} // closed by stop, when Close begins
	stop    context.CancelFunc
	running sync.WaitGroup

	mu      sync.Mutex
	streams *StreamLayer
	clients map[string]*http.Client
}

// Listen opens the port and serves it until Close.
func Listen(o Options) (*Channel, error) {
	if o.ID == "" || o.Credentials == nil || o.Known == nil || o.Handler == nil || o.Now == nil {
		return nil, errors.New("peer: ID, Credentials, Known, Handler and Now are needed")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Host == nil {
		o.Host = func(ed25519.PublicKey) (string, bool) { return "", false }
	}
	if err := checkOwn(o); err != nil {
		return nil, err
	}
	if o.Listener == nil {
		var err error
		if o.Listener, err = net.Listen("tcp", o.Address); err != nil {
			return nil, fmt.Errorf("listen for controllers and hosts: %w", err)
		}
	}
	limits := o.Limits.withDefaults()
	c := &Channel{opts: o, limits: limits, log: o.Log, listener: o.Listener, http: newHatch(o.Listener.Addr()),
		handshakes: newCounter(limits.Handshakes, limits.HandshakesPerIP),
		https:      newCounter(limits.Connections, limits.ConnectionsPerIP),
		rafts:      newCounter(1<<20, limits.RaftPerPeer),
		quiet:      &quiet{now: o.Now, last: map[string]time.Time{}},
		clients:    map[string]*http.Client{}}
	ctx, stop := context.WithCancel(context.Background())
	c.done, c.stop = ctx.Done(), stop
	c.server = c.newServer()
	c.running.Go(func() { c.accept(ctx) })
	c.running.Go(func() {
		if err := c.server.Serve(c.http); !errors.Is(err, http.ErrServerClosed) {
			c.log.Error("peer: serving ended", "reason", err)
		}
	})
	return c, nil
}

// checkOwn refuses to start with a certificate that nobody would accept.
func checkOwn(o Options) error {
	cert, err := o.Credentials.Certificate()
	if err != nil {
		return fmt.Errorf("peer: own certificate: %w", err)
	}
	roots, err := o.Credentials.Roots()
	if err != nil {
		return fmt.Errorf("peer: CA: %w", err)
	}
	var chain []*x509.Certificate
	for _, raw := range cert.Certificate {
		c, err := x509.ParseCertificate(raw)
		if err != nil {
			return fmt.Errorf("peer: own certificate: %w", err)
		}
		chain = append(chain, c)
	}
	for _, use := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		id, err := verifyController(chain, roots, o.Cluster, o.Now(), use)
		if err != nil {
			return fmt.Errorf("peer: own certificate: %w", err)
		}
		if id != o.ID {
			return fmt.Errorf("peer: own certificate is of controller %s, this is %s", id, o.ID)
		}
	}
	return nil
}

// Addr is where the port is open.
func (c *Channel) Addr() net.Addr { return c.listener.Addr() }

func (c *Channel) accept(ctx context.Context) {
	delay := time.Duration(0)
	for {
		raw, err := c.listener.Accept()
		if errors.Is(err, net.ErrClosed) || ctx.Err() != nil {
			return
		}
		if err != nil { // out of files, mostly
			delay = min(max(2*delay, 5*time.Millisecond), time.Second)
			c.warn("", "a connection was not accepted", err)
			select {
			case <-time.After(delay):
			case <-ctx.Done():
			}
			continue
		}
		delay = 0
		key := limitKey(raw.RemoteAddr())
		release, ok := c.handshakes.take(key)
		if !ok {
			raw.Close()
			c.warn(key, "too many handshakes at once, connections are refused", nil)
			continue
		}
		under := &conn{Conn: raw, now: c.opts.Now, release: release}
		c.running.Go(func() { c.handshake(ctx, under, key) })
	}
}

// handshake finds out who and what for, and hands the connection on.
func (c *Channel) handshake(ctx context.Context, under *conn, key string) {
	ctx, cancel := context.WithTimeout(ctx, c.limits.HandshakeTimeout)
	defer cancel()
	secure := tls.Server(under, c.serverTLS())
	if err := secure.HandshakeContext(ctx); err != nil {
		under.Close()
		c.warn(key, "a connection was refused", fmt.Errorf("%s: %w", under.RemoteAddr(), err))
		return
	}
	state := secure.ConnectionState()
	if state.NegotiatedProtocol == ProtoRaft {
		id, err := c.controller(state)
		if err != nil { // it was known a moment ago
			secure.Close()
			c.warn(key, "a connection was refused", err)
			return
		}
		release, ok := c.rafts.take(id)
		if !ok {
			secure.Close()
			c.warn(id, "too many Raft connections of one controller, new ones are refused", nil)
			return
		}
		under.hold(release)
		c.toRaft(secure)
		return
	}
	release, ok := c.https.take(key)
	if !ok {
		secure.Close()
		c.warn(key, "too many connections, new ones are refused", nil)
		return
	}
	under.hold(release)
	under.stall.Store(int64(c.limits.WriteTimeout))
	c.http.put(ctx, secure)
}

func (c *Channel) serverTLS() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS13,
		NextProtos:     []string{ProtoRaft, protoHTTP},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.opts.Credentials.Certificate() },
		// A host's certificate is signed by nobody but itself: so it is asked
		// for here, and judged by VerifyConnection and by Identity.
		ClientAuth: tls.RequestClientCert,
		VerifyConnection: func(s tls.ConnectionState) error {
			if s.NegotiatedProtocol != ProtoRaft {
				return nil
			}
			_, err := c.controller(s)
			return err
		},
		// Every connection proves itself anew.
		SessionTicketsDisabled: true,
		Time:                   c.opts.Now,
	}
}

// controllerName gives the id of the controller at the other end, verified but
// perhaps not known.
func (c *Channel) controllerName(s tls.ConnectionState) (string, error) {
	roots, err := c.opts.Credentials.Roots()
	if err != nil {
		return "", err
	}
	return verifyController(s.PeerCertificates, roots, c.opts.Cluster, c.opts.Now(), x509.ExtKeyUsageClientAuth)
}

// controller gives the id of the known controller at the other end.
func (c *Channel) controller(s tls.ConnectionState) (string, error) {
	id, err := c.controllerName(s)
	if err == nil && !c.opts.Known(id) {
		return "", fmt.Errorf("controller %s is not known here: add it", id)
	}
	return id, err
}

// Close ends the port, its connections and its requests.
func (c *Channel) Close() error {
	c.stop()
	err := c.listener.Close()
	c.mu.Lock()
	if c.streams != nil {
		c.streams.Close()
	}
	for _, client := range c.clients {
		client.CloseIdleConnections()
	}
	c.mu.Unlock()
	err = errors.Join(err, c.server.Close())
	c.running.Wait()
	c.http.drain()
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close the peer port: %w", err)
	}
	return nil
}

// Shutdown ends the port and waits for requests as long as ctx allows.
func (c *Channel) Shutdown(ctx context.Context) error {
	c.listener.Close()
	err := c.server.Shutdown(ctx)
	return errors.Join(err, c.Close())
}

// warn says the same about the same address once a minute.
func (c *Channel) warn(key, msg string, err error) {
	select {
	case <-c.done:
		return
	default:
	}
	level := slog.LevelWarn
	if c.quiet.repeated(key + msg) {
		level = slog.LevelDebug
	}
	args := []any{"remote", key}
	if err != nil {
		args = append(args, "reason", err)
	}
	c.log.Log(context.Background(), level, "peer: "+msg, args...) //nolint:sloglint // callers give constants
}

type quiet struct {
	now  func() time.Time
	mu   sync.Mutex
	last map[string]time.Time
}

func (q *quiet) repeated(key string) bool {
	now := q.now()
	q.mu.Lock()
	defer q.mu.Unlock()
	if last, ok := q.last[key]; ok && now.Sub(last) < time.Minute {
		return true
	}
	if len(q.last) > 1000 { // bounded, whoever comes
		clear(q.last)
	}
	q.last[key] = now
	return false
}
