package demo

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"github.com/lifeboat-ha/lifeboat/test/sim"
)

// Sim plays a scenario file and ends the program; it returns only if the file is
// wrong.
func Sim(_ context.Context, file string, seed uint64, logs string, out io.Writer) error {
	s, err := sim.Load(file)
	if err != nil {
		return err
	}
	handler := slog.DiscardHandler
	if logs != "" {
		var level slog.Level
		if err := level.UnmarshalText([]byte(logs)); err != nil {
			return fmt.Errorf("--log %s: say debug, info, warn or error", logs)
		}
		handler = slog.NewTextHandler(out, &slog.HandlerOptions{Level: level})
	}
	sim.Alone(func(ctx context.Context) int { return sim.Shell(ctx, s, seed, handler, out) })
	return nil
}
