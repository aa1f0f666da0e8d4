package fencetest

import (
	"bytes"
	"context"
	"io"
	"net/http"
)

// Transport carries requests to r in this process, so that virtual time works.
func (r *Redfish) Transport() http.RoundTripper { return transport{r} }

type transport struct{ bmc *Redfish }

// RoundTrip answers req, or fails when its context ends first.
func (t transport) RoundTrip(req *http.Request) (resp *http.Response, err error) {
	ctx := req.Context()
	if req.Body != nil {
		defer req.Body.Close()
	}
	defer func() {
		switch p := recover(); {
		case p == http.ErrAbortHandler: //nolint:errorlint // a panic's value
			resp, err = nil, context.Cause(ctx)
		case p != nil:
			panic(p)
		}
	}()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	served := req.Clone(ctx)
	if served.Body == nil {
		served.Body = http.NoBody
	}
	a := &answered{header: http.Header{}, code: http.StatusOK}
	t.bmc.ServeHTTP(a, served)
	return &http.Response{
		Status: http.StatusText(a.code), StatusCode: a.code, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: a.header, Body: io.NopCloser(&a.body), ContentLength: int64(a.body.Len()), Request: req,
	}, nil
}

// answered is what the handler wrote.
type answered struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

// Header is that of the answer.
func (a *answered) Header() http.Header { return a.header }

// WriteHeader keeps the status.
func (a *answered) WriteHeader(code int) { a.code = code }

// Write keeps the body.
func (a *answered) Write(p []byte) (int, error) { return a.body.Write(p) }
