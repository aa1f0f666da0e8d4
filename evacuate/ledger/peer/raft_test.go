package peer_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/config/identity"
	"github.com/lifeboat-ha/lifeboat/evacuate/ledger/peer"
)

// raftDial connects as Raft does, with any credentials, and tells whether the
// other end keeps the connection.
func raftDial(address string, creds peer.Credentials, patience time.Duration) error {
	conf := &tls.Config{NextProtos: []string{peer.ProtoRaft}, InsecureSkipVerify: true}
	if creds != nil {
		conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return creds.Certificate() }
	}
	conn, err := tls.Dial("tcp", address, conf)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("x")); err != nil {
		return err
	}
	conn.SetReadDeadline(time.Now().Add(patience))
	_, err = conn.Read(make([]byte, 1))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil // it is kept, and says nothing
	}
	return err
}

func TestRaftTakesKnownControllersOnly(t *testing.T) {
	c := newCA(t, "east")
	key, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	hostCert, err := identity.HostCertificate("compute-1", key)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		creds peer.Credentials
		want  string
	}{
		"a known controller":   {load(t, c.files("c2", time.Now())), ""},
		"an unknown one":       {load(t, c.files("c9", time.Now())), "controller c9 is not known here: add it"},
		"one of another CA":    {load(t, newCA(t, "east").files("c2", time.Now())), "controller c2 is not signed by this cluster's CA"},
		"one of another cloud": {load(t, newCA(t, "west").files("c2", time.Now())), "is for cluster"},
		"an expired one":       {load(t, c.files("c3", time.Now().AddDate(0, 0, -60))), "controller c3 expired on"},
		"a host":               {static{hostCert}, "the certificate names no controller"},
		"nobody":               {nil, "no certificate was shown"},
	} {
		t.Run(name, func(t *testing.T) {
			sub := open(t, ca{t, cloneCA(t, c), "east"}, nil)
			s := sub.StreamLayer()
			defer s.Close()
			patience := time.Minute
			if test.want == "" {
				patience = 200 * time.Millisecond
			}
			err := raftDial(sub.address(), test.creds, patience)
			if test.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil {
				t.Error("the connection was kept")
			}
			sub.logs.wait(t, test.want)
		})
	}
}

// cloneCA copies a CA so that each port can be issued a certificate of c1.
func cloneCA(t *testing.T, c ca) string {
	t.Helper()
	dir := t.TempDir()
	for _, f := range []string{"ca.crt", "ca.key"} {
		b, err := os.ReadFile(filepath.Join(c.dir, f))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, f), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

type static struct{ cert *tls.Certificate }

func (s static) Certificate() (*tls.Certificate, error) { return s.cert, nil }
func (s static) Roots() (*x509.CertPool, error)         { return nil, nil }

func TestStreamsBothWays(t *testing.T) {
	c := newCA(t, "east")
	p := open(t, c, nil)
	creds := load(t, c.files("c2", time.Now()))
	other := open(t, ca{t, cloneCA(t, c), "east"}, func(o *peer.Options) { o.ID, o.Credentials = "c2", creds })
	p.known.Store("c1", true)
	near, far := other.StreamLayer(), p.StreamLayer()
	got := make(chan string, 1)
	go func() {
		conn, err := far.Accept()
		if err != nil {
			got <- err.Error()
			return
		}
		defer conn.Close()
		b := make([]byte, 5)
		io.ReadFull(conn, b)
		conn.Write(b)
		got <- string(b)
	}()
	conn, err := near.Dial("c1", p.address(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.Write([]byte("hello"))
	b := make([]byte, 5)
	if _, err := io.ReadFull(conn, b); err != nil || string(b) != "hello" || <-got != "hello" {
		t.Errorf("%q %v", b, err)
	}
	if _, err := near.Dial("c3", p.address(), time.Minute); err == nil || !strings.Contains(err.Error(), "it is controller c1, expected was c3") {
		t.Errorf("another id: %v", err)
	}
	far.Close()
	if _, err := far.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if _, err := ask(t, options(creds, "east"), p.address()); err != nil {
		t.Errorf("HTTP ends with Raft's part: %v", err)
	}
}
