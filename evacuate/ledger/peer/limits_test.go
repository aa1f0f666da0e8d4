package peer_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/evacuate/ledger/peer"
)

// gone waits until the other end has closed the connection, however slow the machine is.
func gone(t *testing.T, conn net.Conn) bool {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(time.Minute))
	_, err := io.Copy(io.Discard, conn)
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

func TestSlowClientsAreEnded(t *testing.T) {
	c := newCA(t, "east")
	p := open(t, c, func(o *peer.Options) {
		o.Limits = peer.Limits{HandshakeTimeout: time.Minute, HeaderTimeout: 100 * time.Millisecond,
			BodyTimeout: 100 * time.Millisecond, IdleTimeout: 100 * time.Millisecond}
	})
	mute := open(t, newCA(t, "east"), func(o *peer.Options) { o.Limits.HandshakeTimeout = 100 * time.Millisecond })
	for name, say := range map[string]string{
		"nothing after TLS": "",
		"half a header":     "GET / HTTP/1.1\r\nHost: x\r\n",
		"half a body":       "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf",
		"idle":              "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := tls.Dial("tcp", p.address(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.Write([]byte(say))
			if !gone(t, conn) {
				t.Error("the connection stays")
			}
		})
	}
	t.Run("nothing", func(t *testing.T) {
		conn, err := net.Dial("tcp", mute.address())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if !gone(t, conn) {
			t.Error("the connection stays")
		}
	})
}

// TestSlowReaderIsEnded: an answer without end goes on as long as its reader
// keeps up, and no longer.
func TestSlowReaderIsEnded(t *testing.T) {
	const limit = 200 * time.Millisecond
	ended := make(chan error, 100)
	p := open(t, newCA(t, "east"), func(o *peer.Options) {
		o.Limits.WriteTimeout = limit
		o.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			block := make([]byte, 64<<10)
			for {
				if _, err := w.Write(block); err != nil {
					ended <- err
					return
				}
			}
		})
	})
	// A reader whom the machine kept from reading was not quick: it tries again.
	for try := 1; ; try++ {
		slowest, err := readFor(t, p.address(), 3*limit)
		if err == nil {
			break
		}
		if slowest < limit/2 || try == 50 {
			t.Fatalf("a quick reader was ended after %d tries, its longest pause %s: %v", try, slowest, err)
		}
		<-ended
	}
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Error("the handler still writes to a reader that stopped")
	}
}

// readFor reads for a while and then stops, and tells the longest time between two reads.
func readFor(t *testing.T, address string, d time.Duration) (slowest time.Duration, err error) {
	t.Helper()
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	began := time.Now()
	for last := began; last.Sub(began) < d; {
		_, err := conn.Read(make([]byte, 64<<10))
		now := time.Now()
		slowest, last = max(slowest, now.Sub(last)), now
		if err != nil {
			return slowest, err
		}
	}
	return slowest, nil
}

// TestLongAnswerAfterBody: the deadline of a request's body does not end the
// answer that follows.
func TestLongAnswerAfterBody(t *testing.T) {
	p := open(t, newCA(t, "east"), func(o *peer.Options) {
		o.Limits.BodyTimeout = 100 * time.Millisecond
		o.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
				t.Error("the request was ended by its body's deadline")
			case <-time.After(300 * time.Millisecond):
			}
			io.WriteString(w, "done")
		})
	})
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer client.CloseIdleConnections()
	resp, err := client.Post("https://"+p.address(), "text/plain", strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, _ := io.ReadAll(resp.Body); string(b) != "done" {
		t.Errorf("got %q", b)
	}
}

func TestBodiesAreBounded(t *testing.T) {
	c := newCA(t, "east")
	p := open(t, c, func(o *peer.Options) { o.Limits = peer.Limits{BodyAnonymous: 10, BodyController: 20} })
	controller := peer.NewClient(options(load(t, c.files("c2", time.Now())), "east"))
	defer controller.CloseIdleConnections()
	o := options(load(t, c.files("c3", time.Now())), "east")
	o.Certificate = nil
	anonymous := peer.NewClient(o)
	defer anonymous.CloseIdleConnections()
	for _, test := range []struct {
		client  *http.Client
		length  int
		chunked bool
		want    int
	}{
		{anonymous, 10, false, 200}, {anonymous, 11, false, 413}, {anonymous, 10, true, 200}, {anonymous, 11, true, 413},
		{controller, 20, false, 200}, {controller, 21, true, 413},
	} {
		var body io.Reader = strings.NewReader(strings.Repeat("x", test.length))
		if test.chunked {
			body = io.MultiReader(body) // hides its length
		}
		resp, err := test.client.Post("https://"+p.address(), "text/plain", body)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode != test.want {
			t.Errorf("%+v: got %d", test, resp.StatusCode)
		}
	}
}

func TestReload(t *testing.T) {
	c := newCA(t, "east")
	first, second := c.files("c2", time.Now()), c.files("c3", time.Now())
	now := time.Now()
	r, err := peer.Load(first, nil, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	name := func() string {
		t.Helper()
		cert, err := r.Certificate()
		if err != nil {
			t.Fatal(err)
		}
		return cert.Leaf.DNSNames[0]
	}
	move := func(from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	move(second.Certificate, first.Certificate)
	now = now.Add(time.Minute)
	if got := name(); got != "c2.controller.lifeboat" {
		t.Errorf("a certificate without its key came into force: %s", got)
	}
	move(second.Key, first.Key)
	if got := name(); got != "c2.controller.lifeboat" {
		t.Errorf("the files are looked at too often: %s", got)
	}
	now = now.Add(time.Minute)
	if got := name(); got != "c3.controller.lifeboat" {
		t.Errorf("the new certificate is not used: %s", got)
	}
	if left := r.Expires().Sub(now).Hours() / 24; left < 29 || left > 31 {
		t.Errorf("expires in %.1f days", left)
	}
	if err := os.Chmod(first.Key, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := r.Reload(); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a key that others may read: %v", err)
	}
	if got := name(); got != "c3.controller.lifeboat" {
		t.Errorf("a failed reload changed the certificate: %s", got)
	}
}
