package novatest

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
)

// Transport calls the cloud without a network, so that it works in a bubble of
// virtual time. Like a network it honours the request's context, cuts
// connections, and can be taken away.
type Transport struct {
	cloud *Cloud
	down  atomic.Bool
}

// Transport makes a connection to the cloud; each can fail by itself.
func (c *Cloud) Transport() *Transport { return &Transport{cloud: c} }

// SetReachable takes the path to the cloud away: dials are refused.
func (t *Transport) SetReachable(up bool) { t.down.Store(!up) }

// RoundTrip is http.RoundTripper.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if t.down.Load() {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	var body []byte
	if req.Body != nil {
		body, _ = io.ReadAll(req.Body)
		_ = req.Body.Close()
	}
	inner := req.Clone(req.Context())
	inner.Body = io.NopCloser(bytes.NewReader(body))
	inner.RequestURI = req.URL.RequestURI()

	type result struct {
		answer *recorder
		err    error
	}
	done := make(chan result, 1)
	go func() {
		w := &recorder{header: http.Header{}, status: http.StatusOK}
		defer func() {
			if p := recover(); p != nil {
				if e, ok := p.(error); !ok || !errors.Is(e, http.ErrAbortHandler) {
					panic(p)
				}
				done <- result{err: &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}}
			}
		}()
		t.cloud.ServeHTTP(w, inner)
		done <- result{answer: w}
	}()
	select {
	case <-req.Context().Done():
		return nil, req.Context().Err()
	case r := <-done:
		if r.err != nil {
			return nil, r.err
		}
		return r.answer.response(req), nil
	}
}

// recorder keeps an answer in memory.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) Write(p []byte) (int, error) { return r.body.Write(p) }
func (r *recorder) WriteHeader(status int)      { r.status = status }

func (r *recorder) response(req *http.Request) *http.Response {
	return &http.Response{
		Status: http.StatusText(r.status), StatusCode: r.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: r.header, Body: io.NopCloser(&r.body), ContentLength: int64(r.body.Len()), Request: req,
	}
}
