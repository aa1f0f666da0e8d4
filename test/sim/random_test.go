package sim_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/lifeboat-ha/lifeboat/test/sim"
)

// TestRandom plays random schedules and asks for the invariants alone.
// LIFEBOAT_SIM_SEEDS is how many, LIFEBOAT_SIM_FIRST the first seed.
func TestRandom(t *testing.T) {
	count, first := schedules, uint64(1)
	if s := os.Getenv("LIFEBOAT_SIM_SEEDS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		count = n
	}
	if testing.Short() {
		count = min(count, 3)
	}
	if s := os.Getenv("LIFEBOAT_SIM_FIRST"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		first = n
	}
	var offs, played atomic.Int64
	t.Cleanup(func() {
		t.Logf("%d random schedules, %d power-offs in them", played.Load(), offs.Load())
	})
	for i := range count {
		seed := first + uint64(i)
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			file := sim.Random(seed)
			s, err := sim.Parse(fmt.Sprintf("random-%d.yaml", seed), []byte(file))
			if err != nil {
				t.Fatalf("%v\n%s", err, file)
			}
			r := play(t, s, seed)
			played.Add(1)
			offs.Add(int64(r.Offs))
			if !r.OK() {
				path := filepath.Join(os.TempDir(), fmt.Sprintf("lifeboat-random-%d.yaml", seed))
				if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
					t.Error(err)
				}
				t.Errorf("seed %d, repeat it with `lifeboat sim %s`:\n%s\n\n%s\n%s", seed, path, r.Faults(), file, r.Timeline())
			}
		})
	}
}
