package sim

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"
)

// Shell is what `lifeboat sim` does with one file: it plays it, prints the timeline
// and the decisions, and gives the exit code. It must be called in a bubble.
func Shell(ctx context.Context, s *Scenario, seed uint64, logs slog.Handler, out io.Writer) int {
	dir, err := os.MkdirTemp("", "lifeboat-sim-")
	if err != nil {
		fmt.Fprintln(out, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	fmt.Fprintf(out, "%s\n%s\n\n", s.Name, strings.TrimSpace(s.Story))
	fmt.Fprintf(out, "%d controllers, %d hosts in %d failure domains, %d instances on each; %s in virtual time\n\n",
		s.Cloud.Controllers, s.Cloud.Hosts, s.Cloud.Domains, s.Cloud.Servers, s.Run.Round(time.Second))
	r := s.Play(ctx, Options{Seed: seed, Dir: dir, Logs: logs})
	fmt.Fprintf(out, "%s\nDecisions\n%s\n", r.Timeline(), indent(r.Decisions))
	if !r.OK() {
		fmt.Fprintf(out, "NOT as expected:\n%s\n", indent(r.Faults()))
		return 1
	}
	fmt.Fprintln(out, "as expected, and no invariant was broken")
	return 0
}

func indent(s string) string {
	return "  " + strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\n  ") + "\n"
}
