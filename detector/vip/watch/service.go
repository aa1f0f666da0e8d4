package watch

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/detector/vip"
)

// AskTime bounds one question to a target: connection and touch.
const AskTime = 700 * time.Millisecond

// Ask connects to a target and touches its protocol.
func Ask(ctx context.Context, t vip.Target) detector.PathWord { return ask(ctx, t, net.Dialer{}) }

func ask(ctx context.Context, t vip.Target, d net.Dialer) detector.PathWord {
	ctx, cancel := context.WithTimeout(ctx, AskTime)
	defer cancel()
	conn, err := d.DialContext(ctx, "tcp", t.Address.String())
	if errors.Is(err, syscall.ECONNREFUSED) {
		return detector.PathRefused
	}
	if err != nil {
		return detector.PathSilent
	}
	defer func() { _ = conn.Close() }()
	if c, ok := conn.(*net.TCPConn); ok {
		_ = c.SetLinger(0) // leaves nothing behind: we ask often
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	switch t.Touch {
	case vip.TouchHTTP:
		return touchHTTP(conn, t)
	case vip.TouchHTTPS:
		// Who answers is not asked here, only whether: nothing secret is sent.
		secure := tls.Client(conn, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // see above
		if err := secure.HandshakeContext(ctx); err != nil {
			return silentOrBad(err)
		}
		return touchHTTP(secure, t)
	case vip.TouchAMQP:
		return touchAMQP(conn)
	default:
		return detector.PathOK
	}
}

// silentOrBad tells a peer that says nothing from one that says nonsense.
func silentOrBad(err error) detector.PathWord {
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		return detector.PathSilent
	}
	return detector.PathBad
}

// touchHTTP asks for /: whoever answers below 500 works. A proxy without a server
// answers 503. A service that wants TLS hangs up: its touch is https.
func touchHTTP(conn net.Conn, t vip.Target) detector.PathWord {
	_, err := fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\nUser-Agent: lifeboat\r\nAccept: */*\r\nConnection: close\r\n\r\n", t.Address)
	if err != nil {
		return silentOrBad(err)
	}
	line, err := bufio.NewReader(io.LimitReader(conn, 4096)).ReadString('\n')
	if err != nil {
		return silentOrBad(err)
	}
	var major, minor, status int
	if n, _ := fmt.Sscanf(line, "HTTP/%d.%d %d", &major, &minor, &status); n < 3 || status >= 500 {
		return detector.PathBad
	}
	return detector.PathOK
}

// touchAMQP sends the protocol's header (AMQP 0-9-1, 4.2.2). A broker answers with a
// method frame, or with a header of its own where it speaks another version.
func touchAMQP(conn net.Conn) detector.PathWord {
	if _, err := conn.Write([]byte("AMQP\x00\x00\x09\x01")); err != nil {
		return silentOrBad(err)
	}
	b := make([]byte, 1)
	if _, err := io.ReadFull(conn, b); err != nil {
		return silentOrBad(err)
	}
	if b[0] == 1 || b[0] == 'A' {
		return detector.PathOK
	}
	return detector.PathBad
}

// ask asks one service at a VIP from here, each second.
func (w *Watcher) ask(ctx context.Context, v vip.VIP, t vip.Target) {
	for ctx.Err() == nil {
		word := Ask(ctx, t)
		if ctx.Err() != nil {
			return
		}
		w.mu.Lock()
		w.vips[v.Name].outside, w.vips[v.Name].asked = &word, w.o.Now()
		w.mu.Unlock()
		pause(ctx, proxyEvery)
	}
}

// askProxy asks this machine's HAProxy for its backends.
func (w *Watcher) askProxy(ctx context.Context) {
	const what = "HAProxy's statistics"
	for ctx.Err() == nil {
		p, err := stats(ctx, w.o.HAProxy)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			w.cannotDo(what, err)
		} else {
			w.can(what)
			w.mu.Lock()
			w.proxy, w.proxied = &p, w.o.Now()
			w.mu.Unlock()
		}
		pause(ctx, proxyEvery)
	}
}

// stats asks one HAProxy; the socket needs level user.
func stats(ctx context.Context, path string) (vip.Proxy, error) {
	ctx, cancel := context.WithTimeout(ctx, proxyTime)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return vip.Proxy{}, err
	}
	defer func() { _ = conn.Close() }()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	if _, err := io.WriteString(conn, "show stat\n"); err != nil {
		return vip.Proxy{}, fmt.Errorf("ask HAProxy: %w", err)
	}
	var text strings.Builder
	if _, err := io.Copy(&text, io.LimitReader(conn, 8<<20)); err != nil {
		return vip.Proxy{}, fmt.Errorf("hear HAProxy: %w", err)
	}
	return vip.ParseStats(text.String())
}
