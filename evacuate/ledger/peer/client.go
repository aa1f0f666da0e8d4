package peer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// ClientOptions say whom a client wants to talk to, and as whom.
type ClientOptions struct {
	Cluster string
	// ID is the controller it must be; empty for any of the cluster.
	ID string
	// Certificate is what the client shows; nil for none.
	Certificate func() (*tls.Certificate, error)
	// Roots is the CA; or Fingerprint, the SHA-256 in hexadecimal of the CA's
	// certificate, for a host that has nothing but a token.
	Roots       func() (*x509.CertPool, error)
	Fingerprint string
	// AnyCluster leaves the cluster's name out: a token does not carry it, and
	// the fingerprint names the CA.
	AnyCluster bool
	// Dial opens a TCP connection; nil is the machine's.
	Dial Dial
	Now  func() time.Time
}

// Dial opens a TCP connection to host:port.
type Dial func(ctx context.Context, address string) (net.Conn, error)

func (d Dial) or() Dial {
	if d != nil {
		return d
	}
	return func(ctx context.Context, address string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", address)
	}
}

// ClientTLS is for connections to a controller over HTTP.
func ClientTLS(o ClientOptions) *tls.Config { return clientTLS(o, protoHTTP) }

func clientTLS(o ClientOptions, proto string) *tls.Config {
	conf := &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: []string{proto},
		// Not skipped but replaced: VerifyConnection checks the whole chain, and
		// the controller's name instead of its address, which may be the VIP's.
		InsecureSkipVerify: true,
		VerifyConnection:   func(s tls.ConnectionState) error { return o.verify(s.PeerCertificates) },
		Time:               o.Now,
	}
	if o.Certificate != nil {
		conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return o.Certificate() }
	}
	return conf
}

// verify judges the controller's certificates.
func (o ClientOptions) verify(chain []*x509.Certificate) error {
	var roots *x509.CertPool
	var err error
	switch {
	case o.Fingerprint != "":
		roots, err = rootByFingerprint(chain, o.Fingerprint)
	case o.Roots != nil:
		roots, err = o.Roots()
	default:
		err = errors.New("no CA is given")
	}
	if err != nil {
		return err
	}
	cluster := o.Cluster
	if o.AnyCluster && len(chain) > 0 {
		cluster = clusterOf(chain[0])
	}
	id, err := verifyController(chain, roots, cluster, o.Now(), x509.ExtKeyUsageServerAuth)
	if err != nil {
		return err
	}
	if o.ID != "" && id != o.ID {
		return fmt.Errorf("it is controller %s, expected was %s", id, o.ID)
	}
	return nil
}

// NewClient gives a client of controllers. Its calls are bounded by their
// contexts only.
func NewClient(o ClientOptions) *http.Client {
	conf := ClientTLS(o)
	return &http.Client{
		Transport: &http.Transport{
			DialTLSContext: func(ctx context.Context, _, address string) (net.Conn, error) {
				ctx, cancel := context.WithTimeout(ctx, connectTimeout)
				defer cancel()
				return dial(ctx, o.Dial.or(), conf, address)
			},
			IdleConnTimeout:        90 * time.Second,
			MaxIdleConnsPerHost:    2,
			MaxResponseHeaderBytes: 64 << 10,
		},
		// A controller never redirects, and a redirect would name another host
		// to a connection that only proves a controller.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

const connectTimeout = 5 * time.Second

// Client gives the client for calls from this controller to another, each end
// sure of the other. Ask for https://<address>/….
func (c *Channel) Client(id, address string) *http.Client {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := id + " " + address
	if c.clients[key] == nil {
		c.clients[key] = NewClient(c.clientOptions(id))
	}
	return c.clients[key]
}

func (c *Channel) clientOptions(id string) ClientOptions {
	return ClientOptions{Cluster: c.opts.Cluster, ID: id, Certificate: c.opts.Credentials.Certificate,
		Roots: c.opts.Credentials.Roots, Dial: c.opts.Dial, Now: c.opts.Now}
}

func (c *Channel) clientTLS(id, proto string) *tls.Config {
	return clientTLS(c.clientOptions(id), proto)
}
