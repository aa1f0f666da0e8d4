package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/lifeboat-ha/lifeboat/config"
)

// stopper undoes a start, in the reverse order.
type stopper struct {
	ctx    context.Context //nolint:containedctx // the life of the process, cancelled by stop
	cancel context.CancelFunc
	wg     sync.WaitGroup
	steps  []stopStep
}

type stopStep struct {
	name string
	fn   func() error
}

func newStopper() *stopper {
	s := &stopper{}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

func (s *stopper) onStop(name string, fn func() error) { s.steps = append(s.steps, stopStep{name, fn}) }

// stop ends the goroutines first, then undoes each step.
func (s *stopper) stop() error {
	s.cancel()
	s.wg.Wait()
	var errs []error
	for _, st := range slices.Backward(s.steps) {
		if err := st.fn(); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", st.name, err))
		}
	}
	s.steps = nil
	return errors.Join(errs...)
}

// every calls fn at once and then at each interval until the process stops.
func (s *stopper) every(interval time.Duration, fn func(ctx context.Context)) {
	s.wg.Go(func() {
		t := time.NewTicker(interval)
		defer t.Stop()
		for {
			fn(s.ctx)
			select {
			case <-s.ctx.Done():
				return
			case <-t.C:
			}
		}
	})
}

// Logger makes a process's logger on stderr.
func Logger(l config.Log) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(l.Level)); err != nil {
		level = slog.LevelInfo
	}
	o := &slog.HandlerOptions{Level: level}
	if l.Format == "text" {
		return slog.New(slog.NewTextHandler(os.Stderr, o))
	}
	return slog.New(slog.NewJSONHandler(os.Stderr, o))
}
