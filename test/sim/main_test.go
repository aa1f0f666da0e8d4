package sim_test

import (
	"os"
	"runtime/debug"
	"testing"
)

// TestMain lets garbage wait: a small cloud needs little memory, and collecting it
// took a sixth of all the time.
func TestMain(m *testing.M) {
	if os.Getenv("LIFEBOAT_NIGHTLY") == "" {
		debug.SetGCPercent(400)
	}
	os.Exit(m.Run())
}
