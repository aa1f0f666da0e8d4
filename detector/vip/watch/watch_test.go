package watch

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/detector/vip"
)

// serve answers each connection by f, and gives where.
func serve(t *testing.T, f func(net.Conn)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // closed with the test
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				f(c)
			}()
		}
	}()
	return netip.MustParseAddrPort(l.Addr().String())
}

func TestAsk(t *testing.T) {
	says := func(text string) func(net.Conn) {
		return func(c net.Conn) {
			_, _ = bufio.NewReader(c).ReadString('\n')
			_, _ = io.WriteString(c, text)
		}
	}
	amqp := func(answer string) func(net.Conn) {
		return func(c net.Conn) {
			b := make([]byte, 8)
			if _, err := io.ReadFull(c, b); err == nil && string(b[:4]) == "AMQP" {
				_, _ = io.WriteString(c, answer)
			}
		}
	}
	silent := func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
	secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusMultipleChoices) }))
	t.Cleanup(secure.Close)
	shut := serve(t, silent)
	if l, err := net.Listen("tcp", "127.0.0.1:0"); err == nil { //nolint:noctx // closed at once
		shut = netip.MustParseAddrPort(l.Addr().String())
		_ = l.Close()
	}
	for name, test := range map[string]struct {
		at    netip.AddrPort
		touch vip.Touch
		want  detector.PathWord
	}{
		"a connection is enough":        {serve(t, silent), vip.TouchTCP, detector.PathOK},
		"nobody listens":                {shut, vip.TouchTCP, detector.PathRefused},
		"a service that wants a login":  {serve(t, says("HTTP/1.1 401 Unauthorized\r\n\r\n")), vip.TouchHTTP, detector.PathOK},
		"a proxy without a server":      {serve(t, says("HTTP/1.0 503 Service Unavailable\r\n\r\n")), vip.TouchHTTP, detector.PathBad},
		"no HTTP":                       {serve(t, says("220 mail\r\n")), vip.TouchHTTP, detector.PathBad},
		"connected and silent":          {serve(t, silent), vip.TouchHTTP, detector.PathSilent},
		"connected and hung up":         {serve(t, func(net.Conn) {}), vip.TouchAMQP, detector.PathBad},
		"a broker":                      {serve(t, amqp("\x01\x00\x00")), vip.TouchAMQP, detector.PathOK},
		"a broker of another version":   {serve(t, amqp("AMQP\x00\x01\x00\x00")), vip.TouchAMQP, detector.PathOK},
		"something else":                {serve(t, amqp("HTTP/1.1 400")), vip.TouchAMQP, detector.PathBad},
		"TLS":                           {netip.MustParseAddrPort(secure.Listener.Addr().String()), vip.TouchHTTPS, detector.PathOK},
		"no TLS where TLS is expected":  {serve(t, says("HTTP/1.1 400 Bad Request\r\n\r\n")), vip.TouchHTTPS, detector.PathBad},
		"TLS where nothing is expected": {serve(t, silent), vip.TouchHTTPS, detector.PathSilent},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := Ask(t.Context(), vip.Target{Address: test.at, Touch: test.touch}); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}

// world is what questions come to, and which were put.
type world struct {
	mu    sync.Mutex
	words map[string]detector.PathWord
	lose  int // so many questions more are lost
	asked []string
}

func (w *world) ask(_ context.Context, t vip.Target) detector.PathWord {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, t.Service)
	if w.lose > 0 {
		w.lose--
		return detector.PathSilent
	}
	return w.words[t.Service]
}

func TestRounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := func(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }
		targets := []vip.Target{{Service: "nova", Address: at("10.0.0.100:8774"), VIP: "v"}, {Service: "placement", Address: at("10.0.0.100:8778"), VIP: "v"},
			{Service: "rabbitmq", Address: at("10.0.0.11:5672")}, {Service: "neutron", Address: at("10.0.0.100:9696"), VIP: "v"}}
		w := &world{words: map[string]detector.PathWord{}}
		confirmed := 0
		p := &Paths{Now: time.Now, Log: slog.New(slog.DiscardHandler), Ask: func(ctx context.Context, t vip.Target) detector.PathWord { return w.ask(ctx, t) },
			Confirm: func(context.Context, []vip.Target) (int, int) { confirmed++; return 3, 2 }}
		if p.Round(t.Context()); p.Row() != nil {
			t.Error("it tells of no targets")
		}
		p.Set([]vip.VIP{{Name: "v"}}, targets)
		round := func() detector.PathRow {
			t.Helper()
			w.asked = nil
			time.Sleep(PathsEvery)
			p.Round(t.Context())
			row := p.Row()
			if row == nil {
				t.Fatal("nothing to tell after a round")
			}
			return *row
		}
		if row := round(); len(w.asked) != 4 || row.Fails() || row.List != vip.List(targets) {
			t.Errorf("at first %v are asked: %+v", w.asked, row)
		}
		seen := map[string]bool{}
		for range 3 {
			round()
			if len(w.asked) != 2 {
				t.Errorf("%v are asked in one round, want one at the VIP and one elsewhere", w.asked)
			}
			for _, s := range w.asked {
				seen[s] = true
			}
		}
		if len(seen) != 4 {
			t.Errorf("in three rounds %v had their turn", seen)
		}
		// One lost question is no failure, and asks nothing of the rest.
		w.lose = 1
		if row := round(); row.Fails() {
			t.Errorf("one lost question: %+v", row)
		}
		// The VIP is gone: one failure has all its services asked, and is confirmed.
		confirmed = 0
		for _, s := range []string{"nova", "placement", "neutron"} {
			w.words[s] = detector.PathSilent
		}
		row := round()
		if got := fmt.Sprintf("%v", row.Words); got != "[silent silent ok silent]" || row.Peers != 2 || row.PeersAsked != 3 || confirmed != 1 {
			t.Errorf("%s, %d of %d peers, confirmed %d times", got, row.Peers, row.PeersAsked, confirmed)
		}
		answered := p.Answered("v")
		clear(w.words)
		if row := round(); row.Fails() || row.PeersAsked != 0 {
			t.Errorf("after the fault: %+v", row)
		}
		if !p.Answered("v").After(answered) {
			t.Error("it is not noted that the VIP answers again")
		}
		p.Set([]vip.VIP{{Name: "v"}}, targets[:2])
		if p.Row() != nil {
			t.Error("a new list is told of before it was asked")
		}
	})
}

func TestStats(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path) //nolint:noctx // closed with the test
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if line, err := bufio.NewReader(c).ReadString('\n'); err == nil && strings.TrimSpace(line) == "show stat" {
				_, _ = io.WriteString(c, "# pxname,svname,status,\napi,b1,DOWN,\napi,BACKEND,DOWN,\n\n")
			}
			_ = c.Close()
		}
	}()
	if p, err := stats(t.Context(), path); err != nil || len(p.Down) != 1 || p.Down[0] != "api" {
		t.Errorf("%+v %v", p, err)
	}
	if _, err := stats(t.Context(), path+"x"); err == nil {
		t.Error("a socket that is not there is no error")
	}
}
