package redfish

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/stmcginnis/gofish/common"
)

// client makes the HTTP client of o.
func (o Options) client(seen *memory) (*http.Client, error) {
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
	client.Transport = thrifty{base, seen}
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

// memory is what a BMC has shown.
type memory struct {
	root    atomic.Pointer[[]byte]
	expires atomic.Pointer[time.Time]
}

// certificate notes when the trust in a BMC ends: of each chain the first certificate
// to end counts, of several chains the last. Nothing is verified by a pin alone.
func (m *memory) certificate(s *tls.ConnectionState) {
	if s == nil || len(s.VerifiedChains) == 0 {
		return
	}
	var end time.Time
	for _, chain := range s.VerifiedChains {
		first := chain[0].NotAfter
		for _, c := range chain[1:] {
			if c.NotAfter.Before(first) {
				first = c.NotAfter
			}
		}
		if first.After(end) {
			end = first
		}
	}
	m.expires.Store(&end)
}

// mostRoot bounds the service root that is kept.
const mostRoot = 64 << 10

// thrifty keeps one connection for the few requests of an operation (gofish
// closes after each, and a handshake costs an old BMC a second), asks once for the
// service root (gofish asks at each connect; nothing of it is used, and a slow BMC
// takes seconds for it), and bounds the answers.
type thrifty struct {
	base http.RoundTripper
	seen *memory
}

// RoundTrip sends req on a connection that stays open.
func (t thrifty) RoundTrip(req *http.Request) (*http.Response, error) {
	root := req.Method == http.MethodGet && strings.TrimRight(req.URL.Path, "/") == strings.TrimRight(common.DefaultServiceRoot, "/")
	if kept := t.seen.root.Load(); root && kept != nil {
		if err := req.Context().Err(); err != nil {
			return nil, err
		}
		return &http.Response{Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(*kept)), ContentLength: int64(len(*kept)), Request: req}, nil
	}
	kept := req.Clone(req.Context())
	kept.Close = false
	resp, err := t.base.RoundTrip(kept)
	if err != nil {
		return nil, err
	}
	t.seen.certificate(resp.TLS)
	resp.Body = &bounded{ReadCloser: resp.Body, left: mostBytes}
	if root && resp.StatusCode == http.StatusOK {
		return t.keep(resp)
	}
	return resp, nil
}

// keep remembers a service root that was answered in full.
func (t thrifty) keep(resp *http.Response) (*http.Response, error) {
	data, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	switch {
	case errors.Is(err, errLong):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w: %w", errCut, err)
	}
	if len(data) <= mostRoot && json.Valid(data) {
		t.seen.root.Store(&data)
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(data)), int64(len(data))
	return resp, nil
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
