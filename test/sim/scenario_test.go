package sim_test

import (
	"context"
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/lifeboat-ha/lifeboat/test/sim"
)

var (
	update = flag.Bool("update", false, "write the golden logs anew")
	story  = flag.Bool("story", false, "print the timeline of each scenario")
)

// TestScenarios plays the files of scenarios/.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("scenarios/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		s, err := sim.Load(file)
		if err != nil {
			t.Error(err)
			continue
		}
		if !chosen(s.Name, s.Cloud.Hosts) {
			continue
		}
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			r := play(t, s, 1)
			report(t, r)
			golden(t, strings.TrimSuffix(file, ".yaml")+".golden", r)
		})
	}
}

// play runs a scenario in virtual time.
func play(t *testing.T, s *sim.Scenario, seed uint64) *sim.Result {
	t.Helper()
	var r *sim.Result
	dir := t.TempDir()
	o := sim.Options{Seed: seed, Dir: dir, Logs: logs()}
	synctest.Test(t, func(t *testing.T) { r = s.Play(context.Background(), o) })
	return r
}

func logs() slog.Handler {
	var level slog.Level
	if err := level.UnmarshalText([]byte(os.Getenv("LIFEBOAT_SIM_LOG"))); err != nil {
		return slog.DiscardHandler
	}
	return slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})
}

func report(t *testing.T, r *sim.Result) {
	t.Helper()
	if !r.OK() {
		t.Errorf("%s\n\n%s\n%s", r.Faults(), r.Timeline(), r.Decisions)
	} else if *story {
		t.Logf("\n%s\n%s", r.Timeline(), r.Decisions)
	}
}

func golden(t *testing.T, path string, r *sim.Result) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(r.Decisions), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v: write it with -update, and read it", err)
	}
	if string(want) != r.Decisions {
		t.Errorf("other decisions than in %s:\n%s\nexpected were:\n%s", path, r.Decisions, want)
	}
}
