package gossip

import (
	"bytes"
	"log"
	"log/slog"
)

// logger makes memberlist's lines debug lines: in an incident it writes several
// a second, and the member says itself what matters.
func logger(to *slog.Logger) *log.Logger { return log.New(lines{to}, "", 0) }

type lines struct{ to *slog.Logger }

func (l lines) Write(b []byte) (int, error) {
	text := bytes.TrimSpace(b)
	for _, level := range []string{"[DEBUG] ", "[INFO] ", "[WARN] ", "[ERR] "} {
		text = bytes.TrimPrefix(text, []byte(level))
	}
	l.to.Debug("memberlist", "line", string(bytes.TrimPrefix(text, []byte("memberlist: "))))
	return len(b), nil
}
