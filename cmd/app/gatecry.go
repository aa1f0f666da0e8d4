package app

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Where no controller answers, none tells of a gate that is closed: then the host itself
// does, to whoever logs in.
const (
	// gateCryAfter is how long it is closed for that before.
	gateCryAfter = time.Minute
	// motdFile is shown at logins (pam_motd(8)).
	motdFile = "/run/motd.d/lifeboat-gate"
)

// crier tells people on this host that its gate is closed and nobody else will say so.
type crier struct {
	motd  string // "": none
	out   io.Writer
	since time.Time
	cried bool
}

func newCrier() *crier {
	c := &crier{motd: motdFile, out: io.Discard}
	// The journal shows what is of the gravest kind to all terminals (journald.conf(5),
	// ForwardToWall); elsewhere a line would only stand beside the log's.
	if os.Getenv("JOURNAL_STREAM") != "" {
		c.out = os.Stderr
	}
	return c
}

// heed takes what the gate said at an instant.
func (c *crier) heed(w gateWord) {
	if w.State != gateClosed || !w.Alone {
		c.hush()
		return
	}
	if c.since.IsZero() {
		c.since = w.At
	}
	if c.cried || w.At.Sub(c.since) < gateCryAfter {
		return
	}
	c.cried = true
	text := fmt.Sprintf("Lifeboat: what starts instances here waits, and no controller answers since %s.\n", c.since.UTC().Format(time.DateTime+" MST")) +
		"Look at the way to the controllers (peer port 7947/TCP), or start them.\n" +
		"Only where the whole site lost its power: lifeboat-agent gate --override --reason \"...\"\n"
	fmt.Fprint(c.out, "<0>Lifeboat: what starts instances here waits, and no controller answers: `lifeboat-agent gate --once` says why\n")
	notifyStatus("the start gate is closed: no controller answers")
	if c.motd != "" && os.MkdirAll(filepath.Dir(c.motd), 0o755) == nil { //nolint:gosec // everybody reads it
		_ = os.WriteFile(c.motd, []byte(text), 0o644) //nolint:gosec // as before
	}
}

// hush takes it back.
func (c *crier) hush() {
	if c.cried && c.motd != "" {
		_ = os.Remove(c.motd)
	}
	c.since, c.cried = time.Time{}, false
}

// notifyStatus tells the manager that runs this process, where it listens (sd_notify(3)).
func notifyStatus(text string) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unixgram", path)
	if err != nil {
		return
	}
	_, _ = fmt.Fprintf(conn, "STATUS=%s\n", text)
	_ = conn.Close()
}
