package ledger

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// quiet is how long a line of Raft's about one peer is not repeated: with one
// controller of three down it says the same thing four times a second.
const quiet = time.Minute

// bridge hands Raft's log to slog.
func bridge(log *slog.Logger, now func() time.Time) hclog.Logger {
	l := hclog.NewInterceptLogger(&hclog.LoggerOptions{Name: "raft", Output: io.Discard, Level: hclog.Debug})
	l.RegisterSink(&sink{log: log, now: now, last: map[string]time.Time{}})
	return l
}

type sink struct {
	log *slog.Logger
	now func() time.Time

	mu   sync.Mutex
	last map[string]time.Time
}

// Accept takes one line of Raft's. A repetition falls to level debug.
func (s *sink) Accept(name string, level hclog.Level, msg string, args ...any) {
	slevel := slog.LevelDebug
	switch level {
	case hclog.Info:
		slevel = slog.LevelInfo
	case hclog.Warn:
		slevel = slog.LevelWarn
	case hclog.Error:
		slevel = slog.LevelError
	default: // debug
	}
	if slevel >= slog.LevelWarn && s.repeated(msg, args) {
		slevel = slog.LevelDebug
	}
	if !s.log.Enabled(context.Background(), slevel) {
		return
	}
	for i, a := range args {
		if f, ok := a.(hclog.Format); ok && len(f) > 0 {
			args[i] = fmt.Sprintf(fmt.Sprint(f[0]), f[1:]...)
		}
	}
	s.log.Log(context.Background(), slevel, name+": "+msg, args...) //nolint:sloglint // the message is Raft's
}

func (s *sink) repeated(msg string, args []any) bool {
	key := msg
	for i := 0; i+1 < len(args); i += 2 {
		switch args[i] {
		case "peer", "id", "server-id", "from":
			key = fmt.Sprint(key, " ", args[i+1])
		}
	}
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if last, ok := s.last[key]; ok && now.Sub(last) < quiet {
		return true
	}
	if len(s.last) > 1000 { // bounded, whatever Raft says
		clear(s.last)
	}
	s.last[key] = now
	return false
}
