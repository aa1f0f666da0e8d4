package redfish

import (
	"errors"
	"io"
	"net"
	"net/http"
	"time"
)

// client makes the HTTP client of o.
func (o Options) client() (*http.Client, error) {
	client := &http.Client{}
	if o.Client != nil {
		*client = *o.Client
	} else {
		config, err := o.tls()
		if err != nil {
			return nil, err
		}
		client.Transport = &http.Transport{
			// No proxy: a BMC stands in the management network, and whoever
			// sits in between could say off.
			DialContext:         (&net.Dialer{}).DialContext,
			TLSClientConfig:     config,
			MaxIdleConnsPerHost: 1,
			IdleConnTimeout:     10 * time.Second,
		}
	}
	base := client.Transport
	if base == nil {
		base = http.DefaultTransport
	}
	client.Transport = thrifty{base}
	client.CheckRedirect = sameQuestion
	return client, nil
}

// sameQuestion follows a redirect only where it asks the same BMC the same, as
// between /Systems/1 and /Systems/1/: a POST that turns into a GET would answer
// 200 to a command never given.
func sameQuestion(req *http.Request, via []*http.Request) error {
	first := via[0]
	if len(via) > 3 || req.Method != first.Method || req.URL.Host != first.URL.Host || req.URL.Scheme != first.URL.Scheme {
		return http.ErrUseLastResponse
	}
	return nil
}

// mostBytes bounds an answer; a system takes some 20 kB.
const mostBytes = 4 << 20

var errLong = errors.New("the answer is too long")

// thrifty keeps one connection for the few requests of an operation (gofish
// closes after each, and a handshake costs an old BMC a second) and bounds the
// answers.
type thrifty struct{ base http.RoundTripper }

// RoundTrip sends req on a connection that stays open.
func (t thrifty) RoundTrip(req *http.Request) (*http.Response, error) {
	kept := req.Clone(req.Context())
	kept.Close = false
	resp, err := t.base.RoundTrip(kept)
	if err == nil {
		resp.Body = &bounded{ReadCloser: resp.Body, left: mostBytes}
	}
	return resp, err
}

// CloseIdleConnections lets http.Client close what thrifty kept.
func (t thrifty) CloseIdleConnections() {
	if b, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		b.CloseIdleConnections()
	}
}

type bounded struct {
	io.ReadCloser
	left int
}

// Read fails instead of ending early: half an answer must not pass for one.
func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errLong
	}
	if len(p) > b.left {
		p = p[:b.left]
	}
	n, err := b.ReadCloser.Read(p)
	b.left -= n
	return n, err
}

// Close reads what little is left, so that the connection can be used again.
func (b *bounded) Close() error {
	_, _ = io.CopyN(io.Discard, b.ReadCloser, 64<<10)
	return b.ReadCloser.Close()
}
