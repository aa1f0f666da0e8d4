package peer_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/config/identity"
	"github.com/lifeboat-ha/lifeboat/evacuate/ledger"
	"github.com/lifeboat-ha/lifeboat/evacuate/ledger/peer"
)

var _ ledger.Streams = (*peer.StreamLayer)(nil)

// ca is a CA in a directory.
type ca struct {
	t       *testing.T
	dir     string
	cluster string
}

func newCA(t *testing.T, cluster string) ca {
	t.Helper()
	dir := t.TempDir()
	if _, err := identity.InitCA(dir, cluster, time.Now()); err != nil {
		t.Fatal(err)
	}
	return ca{t, dir, cluster}
}

// files issues a certificate at a time, and gives the files to load.
func (c ca) files(id string, at time.Time) peer.Files {
	c.t.Helper()
	made, err := identity.IssueController(c.dir, id, []string{"127.0.0.1"}, 30, at)
	if err != nil {
		c.t.Fatal(err)
	}
	return peer.Files{CA: filepath.Join(c.dir, "ca.crt"), Certificate: made.Certificate, Key: made.Key}
}

func load(t *testing.T, f peer.Files) *peer.Reloader {
	t.Helper()
	r, err := peer.Load(f, nil, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// logs keeps what is logged.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) has(s string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.b.String(), s)
}

func (l *logs) wait(t *testing.T, s string) {
	t.Helper()
	for range 6000 {
		if l.has(s) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	t.Errorf("the log lacks %q:\n%s", s, l.b.String())
}

// port is an open channel of controller c1.
type port struct {
	*peer.Channel
	logs  *logs
	known sync.Map
	hosts sync.Map
}

func open(t *testing.T, c ca, change func(*peer.Options)) *port {
	t.Helper()
	p := &port{logs: &logs{}}
	p.known.Store("c2", true)
	o := peer.Options{ID: "c1", Cluster: c.cluster, Address: "127.0.0.1:0", Credentials: load(t, c.files("c1", time.Now())),
		Known: func(id string) bool { _, ok := p.known.Load(id); return ok },
		Host: func(pub ed25519.PublicKey) (string, bool) {
			h, ok := p.hosts.Load(string(pub))
			name, _ := h.(string)
			return name, ok
		},
		Handler: http.HandlerFunc(who), Now: time.Now,
		Log: slog.New(slog.NewTextHandler(p.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	if change != nil {
		change(&o)
	}
	ch, err := peer.Listen(o)
	if err != nil {
		t.Fatal(err)
	}
	p.Channel = ch
	t.Cleanup(func() {
		if err := ch.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// who answers who the other end is.
func who(w http.ResponseWriter, r *http.Request) {
	kind, id, pub := peer.Identity(r)
	body, err := io.ReadAll(r.Body)
	fmt.Fprintf(w, "%s %s %d %d %v", kind, id, len(pub), len(body), err)
}

func (p *port) address() string { return p.Addr().String() }

// options are those of a client with the files of a controller.
func options(r *peer.Reloader, cluster string) peer.ClientOptions {
	return peer.ClientOptions{Cluster: cluster, ID: "c1", Certificate: r.Certificate, Roots: r.Roots, Now: time.Now}
}

func ask(t *testing.T, o peer.ClientOptions, address string) (string, error) {
	t.Helper()
	client := peer.NewClient(o)
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+address+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

func TestIdentity(t *testing.T) {
	c := newCA(t, "east")
	p := open(t, c, nil)
	c2 := load(t, c.files("c2", time.Now()))
	key, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	hostCert, err := identity.HostCertificate("compute-1", key)
	if err != nil {
		t.Fatal(err)
	}
	host := options(c2, "east")
	host.Certificate = func() (*tls.Certificate, error) { return hostCert, nil }
	nobody := options(c2, "east")
	nobody.Certificate = nil
	expect := func(o peer.ClientOptions, want string) {
		t.Helper()
		got, err := ask(t, o, p.address())
		if err != nil || !strings.HasPrefix(got, want) {
			t.Errorf("got %q %v, want %q", got, err, want)
		}
	}
	expect(options(c2, "east"), "controller c2 0")
	expect(nobody, "anonymous  0")
	expect(host, "anonymous  32") // it holds a key that nobody knows yet
	pub, _ := key.Public().(ed25519.PublicKey)
	p.hosts.Store(string(pub), "compute-1")
	expect(host, "host compute-1 32")
	p.hosts.Delete(string(pub))
	expect(host, "anonymous  32")
	p.known.Delete("c2")
	expect(options(c2, "east"), "anonymous  0")

	// A certificate that claims to be a controller is nothing else if it is not,
	// even if its key is a host's.
	other := load(t, newCA(t, "east").files("c2", time.Now()))
	fake := options(c2, "east")
	fake.Certificate = other.Certificate
	expect(fake, "anonymous  0")
}

// TestRevokedWhileConnected: what is known is asked anew at each request.
func TestRevokedWhileConnected(t *testing.T) {
	c := newCA(t, "east")
	p := open(t, c, nil)
	client := peer.NewClient(options(load(t, c.files("c2", time.Now())), "east"))
	defer client.CloseIdleConnections()
	for _, want := range []string{"controller", "anonymous"} {
		resp, err := client.Get("https://" + p.address())
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if !strings.HasPrefix(string(b), want) {
			t.Errorf("got %q, want %s", b, want)
		}
		p.known.Delete("c2")
	}
}

func TestClientRefusesTheWrongController(t *testing.T) {
	c := newCA(t, "east")
	p := open(t, c, nil)
	mine := load(t, c.files("c2", time.Now()))
	stranger := load(t, newCA(t, "east").files("c2", time.Now()))
	fp := fingerprint(t, c)
	for name, test := range map[string]struct {
		change func(*peer.ClientOptions)
		want   string
	}{
		"right":         {func(*peer.ClientOptions) {}, ""},
		"any":           {func(o *peer.ClientOptions) { o.ID = "" }, ""},
		"wrong id":      {func(o *peer.ClientOptions) { o.ID = "c3" }, "it is controller c1, expected was c3"},
		"wrong CA":      {func(o *peer.ClientOptions) { o.Roots = stranger.Roots }, "controller c1 is not signed by this cluster's CA"},
		"wrong cluster": {func(o *peer.ClientOptions) { o.Cluster = "west" }, `for cluster "east", this is "west"`},
		"expired": {func(o *peer.ClientOptions) { o.Now = func() time.Time { return time.Now().AddDate(0, 0, 31) } },
			"controller c1 expired on"},
		"not valid yet": {func(o *peer.ClientOptions) { o.Now = func() time.Time { return time.Now().AddDate(0, 0, -1) } },
			"check the clocks"},
		"no CA": {func(o *peer.ClientOptions) { o.Roots = nil }, "no CA is given"},
		"by fingerprint": {func(o *peer.ClientOptions) {
			o.Roots, o.Fingerprint, o.AnyCluster, o.Cluster = nil, fp, true, ""
		}, ""},
		"wrong fingerprint": {func(o *peer.ClientOptions) {
			o.Roots, o.Fingerprint = nil, strings.Repeat("00", 32)
		}, "no CA of the token's fingerprint"},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(mine, "east")
			test.change(&o)
			_, err := ask(t, o, p.address())
			switch {
			case test.want == "" && err != nil:
				t.Error(err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func fingerprint(t *testing.T, c ca) string {
	t.Helper()
	pem, err := os.ReadFile(filepath.Join(c.dir, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	fp, err := identity.Fingerprint(pem)
	if err != nil {
		t.Fatal(err)
	}
	return fp
}

func TestListenRefusesUselessCertificate(t *testing.T) {
	c := newCA(t, "east")
	for name, test := range map[string]struct {
		creds *peer.Reloader
		want  string
	}{
		"another's":       {load(t, c.files("c2", time.Now())), "is of controller c2, this is c1"},
		"expired":         {load(t, c.files("c1", time.Now().AddDate(0, 0, -60))), "expired on"},
		"another cluster": {load(t, newCA(t, "west").files("c1", time.Now())), `for cluster "west"`},
	} {
		_, err := peer.Listen(peer.Options{ID: "c1", Cluster: "east", Address: "127.0.0.1:0", Credentials: test.creds,
			Known: func(string) bool { return true }, Handler: http.NotFoundHandler(), Now: time.Now})
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
	}
}

func TestOnlyControllers(t *testing.T) {
	c := newCA(t, "east")
	p := open(t, c, func(o *peer.Options) { o.Handler = peer.OnlyControllers(o.Handler) })
	nobody := options(load(t, c.files("c9", time.Now())), "east")
	got, err := ask(t, nobody, p.address())
	if err != nil || !strings.Contains(got, "controller c9 is not a member of this cluster, add it first") {
		t.Errorf("got %q, %v", got, err)
	}
	nobody.Certificate = nil
	if got, err := ask(t, nobody, p.address()); err != nil || !strings.Contains(got, "no certificate was shown") {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := ask(t, options(load(t, c.files("c2", time.Now())), "east"), p.address()); err != nil || !strings.HasPrefix(got, "controller c2") {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	p := open(t, newCA(t, "east"), nil)
	conn, err := tls.Dial("tcp", p.address(), &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12})
	if err == nil {
		conn.Close()
		t.Error("TLS 1.2 was taken")
	}
}
