package sim_test

import (
	"os"
	"runtime/debug"
	"testing"
)

// TestMain lets garbage wait: a cloud in memory is small, and collecting it took a
// sixth of all the time.
func TestMain(m *testing.M) {
	debug.SetGCPercent(400)
	os.Exit(m.Run())
}
