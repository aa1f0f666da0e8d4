package sim_test

import (
	"github.com/lifeboat-ha/lifeboat/test/sim"
	"os"
	"testing"
)

func TestFile(t *testing.T) {
	f := os.Getenv("FILE")
	if f == "" {
		t.Skip()
	}
	s, err := sim.Load(f)
	if err != nil {
		t.Fatal(err)
	}
	report(t, play(t, s, 1))
}
