package demo

import (
	"log/slog"
	"os"
	"path/filepath"
)

// log opens a process's log file; what cannot be opened is not logged.
func (r *run) log(name string) *slog.Logger {
	f, err := os.OpenFile(filepath.Join(r.dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return slog.New(slog.DiscardHandler)
	}
	r.mu.Lock()
	r.close = append(r.close, f.Close)
	r.mu.Unlock()
	return slog.New(slog.NewTextHandler(f, &slog.HandlerOptions{Level: r.level}))
}
