package rest

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"
)

const (
	// connectTimeout is short: a controller's API on the same network answers
	// a SYN at once, and the next endpoint is waiting.
	connectTimeout = 3 * time.Second
	// maxAnswer bounds an answer's body; 1000 servers in detail are ~5 MB.
	maxAnswer = 64 << 20
)

// unsent marks an error of a request of which no byte left this machine.
type unsent struct{ err error }

func (u *unsent) Error() string { return u.err.Error() }
func (u *unsent) Unwrap() error { return u.err }

// split sends reads over kept-alive connections and every write over a fresh
// one: uWSGI and proxies close idle connections when they like, and a reset on
// a reused connection leaves open whether a POST arrived. On a fresh one the
// question does not arise so easily.
type split struct{ read, write http.RoundTripper }

func newTransport(conf *tls.Config) split {
	make := func(keep bool) *http.Transport {
		return &http.Transport{
			DialContext:         (&net.Dialer{Timeout: connectTimeout}).DialContext,
			TLSClientConfig:     conf,
			TLSHandshakeTimeout: connectTimeout,
			MaxIdleConnsPerHost: 16,
			IdleConnTimeout:     20 * time.Second,
			DisableKeepAlives:   !keep,
		}
	}
	return split{read: make(true), write: make(false)}
}

// RoundTrip also finds out whether a failed request had got a connection at
// all. Only net/http's own transport reports that, so only its silence counts.
func (s split) RoundTrip(req *http.Request) (*http.Response, error) {
	rt := s.read
	if req.Method != http.MethodGet {
		rt = s.write
	}
	_, reports := rt.(*http.Transport)
	var connected atomic.Bool
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }}
	resp, err := rt.RoundTrip(req.WithContext(httptrace.WithClientTrace(req.Context(), trace)))
	if err != nil {
		if (reports && !connected.Load()) || neverDialed(err) {
			return nil, &unsent{err}
		}
		return nil, err
	}
	resp.Body = &bounded{ReadCloser: resp.Body, left: maxAnswer}
	return resp, nil
}

// CloseIdleConnections is what http.Client calls on its transport.
func (s split) CloseIdleConnections() {
	for _, rt := range []http.RoundTripper{s.read, s.write} {
		if c, ok := rt.(interface{ CloseIdleConnections() }); ok {
			c.CloseIdleConnections()
		}
	}
}

func neverDialed(err error) bool {
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Op == "dial" {
		return true
	}
	_, dns := errors.AsType[*net.DNSError](err)
	return dns
}

type bounded struct {
	io.ReadCloser
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("answer larger than %d MiB", maxAnswer>>20)
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}
