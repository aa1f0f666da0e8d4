package sim_test

import (
	"os"
	"testing"

	"github.com/lifeboat-ha/lifeboat/test/sim"
)

// TestFile plays the file that LIFEBOAT_SIM_FILE names, under profiler or race
// detector where `lifeboat sim` would not do.
func TestFile(t *testing.T) {
	file := os.Getenv("LIFEBOAT_SIM_FILE")
	if file == "" {
		return // not asked for: no skip, which CI counts as a suite that did not run
	}
	s, err := sim.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	report(t, play(t, s, 1))
}
