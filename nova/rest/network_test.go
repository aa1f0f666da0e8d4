package rest

import (
	"context"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
	"github.com/lifeboat-ha/lifeboat/nova/novatest"
)

// The tests of this file use real sockets: what net/http does with them is the
// subject.

type site struct {
	cloud  *novatest.Cloud
	server *httptest.Server
	conns  atomic.Int32
}

// serve puts a cloud behind a listener of its own.
func serve(t *testing.T, secure bool) *site {
	t.Helper()
	account(t)
	s := &site{}
	s.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.cloud.ServeHTTP(w, r) }))
	s.server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.conns.Add(1)
		}
	}
	if secure {
		s.server.StartTLS()
	} else {
		s.server.Start()
	}
	s.cloud = novatest.New(novatest.Options{Now: time.Now, URL: s.server.URL})
	t.Cleanup(func() {
		s.cloud.Close()
		s.server.CloseClientConnections()
		s.server.Close()
	})
	s.cloud.AddHost("cmp01")
	s.cloud.AddHost("cmp02")
	t.Setenv("OS_AUTH_URL", s.server.URL+"/identity")
	return s
}

func (s *site) connect(t *testing.T, o Options) *Client {
	t.Helper()
	o.Now = time.Now
	client, err := Connect(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// Reads share a kept-alive connection; every write has a fresh one, so that an
// idle connection that was just closed cannot leave a POST in doubt.
func TestWritesUseFreshConnections(t *testing.T) {
	s := serve(t, false)
	client := s.connect(t, Options{})
	_ = client.Ping(t.Context())
	before := s.conns.Load()
	for range 5 {
		_ = client.Ping(t.Context())
	}
	if n := s.conns.Load() - before; n != 0 {
		t.Errorf("5 reads opened %d connections", n)
	}
	for range 5 {
		_, _ = client.Evacuate(t.Context(), "x", nova.Target{})
	}
	if n := s.conns.Load() - before; n != 5 {
		t.Errorf("5 writes opened %d connections", n)
	}
	s.server.CloseClientConnections()
	if err := client.Ping(t.Context()); err != nil {
		t.Errorf("a read over a connection that was closed: %v", err)
	}
}

// A connection that dies before, in the middle of, or after an answer.
func TestCutConnections(t *testing.T) {
	s := serve(t, false)
	client := s.connect(t, Options{})
	id := s.cloud.Boot("cmp01", 1)[0]
	s.cloud.Inject(novatest.Fault{Match: "GET", Reset: true, Times: 1})
	if err := client.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	s.cloud.PowerOff("cmp01")
	service, err := client.Service(t.Context(), "cmp01")
	if err != nil {
		t.Fatal(err)
	}
	if _, err = client.UpdateService(t.Context(), service.ID, nova.ServiceUpdate{Disabled: new(true), ForcedDown: new(true)}); err != nil {
		t.Fatal(err)
	}
	s.cloud.Inject(novatest.Fault{Match: "/action", Reset: true, After: true, Times: 1})
	_, err = client.Evacuate(t.Context(), id, nova.Target{})
	wantFault(t, err, nova.FaultUnknown)
	if n := s.cloud.EvacuatePosts(id); n != 1 || len(s.cloud.Migrations(id)) != 1 {
		t.Errorf("%d POSTs, rows %v", n, s.cloud.Migrations(id))
	}
}

// What is sure never to have left this machine is a definite no.
func TestNothingSent(t *testing.T) {
	s := serve(t, true)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	client := s.connect(t, Options{CAFile: ca})
	if err := client.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	_, err := Connect(t.Context(), Options{Now: time.Now})
	wantFault(t, err, nova.FaultUnsent, "certificate")

	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and never says a word of TLS
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for name, address := range map[string]string{
		"closed port":  "http://127.0.0.1:1",
		"no such name": "http://nova.invalid:8774",
		"no handshake": "https://" + silent.Addr().String(),
		"no TLS at it": "https://" + strings.TrimPrefix(plainServer(t), "http://"),
	} {
		client.compute = newEndpoints([]string{address}, computeBase)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_, err := client.Evacuate(ctx, "x", nova.Target{})
		cancel()
		if nova.FaultOf(err) != nova.FaultUnsent {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func plainServer(t *testing.T) string {
	s := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(s.Close)
	return s.URL
}

// A redirect is not followed: a POST would be sent twice, and the token would
// go to whatever host is named.
func TestRedirectsNotFollowed(t *testing.T) {
	var leaked atomic.Bool
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		leaked.Store(true)
	}))
	defer elsewhere.Close()
	s := serve(t, false)
	client := s.connect(t, Options{})
	inner := s.server.Config.Handler
	s.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/servers/") || strings.Contains(r.URL.Path, "os-services") {
			http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusPermanentRedirect)
			return
		}
		inner.ServeHTTP(w, r)
	})
	_, err := client.Evacuate(t.Context(), "x", nova.Target{})
	wantFault(t, err, nova.FaultRefused, "308")
	wantFault(t, client.Ping(t.Context()), nova.FaultRefused, "308")
	if leaked.Load() {
		t.Error("followed")
	}
}

// An answer without end does not fill the memory.
func TestAnswerBounded(t *testing.T) {
	b := &bounded{ReadCloser: io.NopCloser(endless{}), left: 1 << 20}
	n, err := io.Copy(io.Discard, b)
	if n != 1<<20 || err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("%d bytes, %v", n, err)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// Everything at once, for the race detector.
func TestConcurrentUse(t *testing.T) {
	s := serve(t, false)
	client := s.connect(t, Options{})
	s.cloud.Boot("cmp01", 5)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 5 {
				_, _, _ = client.Services(t.Context())
				_, _ = client.Servers(t.Context(), "cmp01")
				_, _ = client.ComputeStatusDisabled(t.Context(), "cmp02")
				if i == 0 {
					s.cloud.RevokeTokens()
				}
				if i == 1 {
					_ = client.Renew(t.Context())
				}
			}
		})
	}
	wg.Wait()
	if err := client.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}
