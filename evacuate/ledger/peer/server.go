package peer

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// proved is what a connection's handshake has proved, kept for its requests.
type proved struct {
	channel    *Channel
	controller string // verified; whether it is known is asked anew
	why        string // why it is no controller
	key        ed25519.PublicKey
}

type provedKey struct{}

func (c *Channel) newServer() *http.Server {
	return &http.Server{
		Handler:           http.HandlerFunc(c.serve),
		ReadHeaderTimeout: c.limits.HeaderTimeout,
		IdleTimeout:       c.limits.IdleTimeout,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(c.log.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			p := &proved{channel: c, why: "no certificate was shown"}
			if t, ok := conn.(*tls.Conn); ok {
				p.prove(t.ConnectionState())
			}
			return context.WithValue(ctx, provedKey{}, p)
		},
	}
}

// prove looks at the certificates once for each connection.
func (p *proved) prove(s tls.ConnectionState) {
	if len(s.PeerCertificates) == 0 {
		return
	}
	id, err := p.channel.controllerName(s)
	switch {
	case err == nil:
		p.controller, p.why = id, ""
	case errors.Is(err, errNoController):
		p.key, p.why = hostKey(s.PeerCertificates), err.Error()
	default: // it claims to be a controller: then it is nothing else
		p.why = err.Error()
	}
}

// serve takes the whole body in, within its time and length, before the handler
// runs: no handler ever waits for a slow sender.
func (c *Channel) serve(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength != 0 {
		kind, _, _ := Identity(r)
		limit := map[Kind]int64{Controller: c.limits.BodyController, Host: c.limits.BodyHost, Anonymous: c.limits.BodyAnonymous}[kind]
		body, err := c.receive(w, r, limit)
		if _, long := errors.AsType[*http.MaxBytesError](err); long {
			http.Error(w, fmt.Sprintf("the request is longer than %d bytes", limit), http.StatusRequestEntityTooLarge)
			return
		}
		if err != nil {
			http.Error(w, "the request was not received", http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	c.opts.Handler.ServeHTTP(w, r)
}

func (c *Channel) receive(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	control := http.NewResponseController(w)
	if err := control.SetReadDeadline(c.opts.Now().Add(c.limits.BodyTimeout)); err != nil {
		return nil, err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err != nil {
		return nil, err
	}
	// Left standing, it would end a long answer.
	return body, control.SetReadDeadline(time.Time{})
}

// Identity tells who sent a request: a known controller, an enrolled host, or
// anonymous, perhaps with the key that it holds. Requests that did not come by
// way of a Channel are anonymous.
func Identity(r *http.Request) (kind Kind, id string, pub ed25519.PublicKey) {
	p, ok := r.Context().Value(provedKey{}).(*proved)
	if !ok {
		return Anonymous, "", nil
	}
	if p.controller != "" {
		if p.channel.opts.Known(p.controller) {
			return Controller, p.controller, nil
		}
		return Anonymous, "", nil
	}
	if p.key != nil {
		if host, ok := p.channel.opts.Host(p.key); ok {
			return Host, host, p.key
		}
	}
	return Anonymous, "", p.key
}

// OnlyControllers lets nobody else through, and tells them why.
func OnlyControllers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if kind, _, _ := Identity(r); kind != Controller {
			http.Error(w, "only a controller may ask this: "+whyNot(r), http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func whyNot(r *http.Request) string {
	p, ok := r.Context().Value(provedKey{}).(*proved)
	switch {
	case !ok:
		return "the request came another way"
	case p.controller != "":
		return "controller " + p.controller + " is not a member of this cluster, add it first"
	}
	return p.why
}
