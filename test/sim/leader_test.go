package sim_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/lifeboat-ha/lifeboat/test/sim"
)

// leaderCrashes is how many are played; fewer by day, and fewest beside the race detector.
const (
	leaderCrashes     = 100
	leaderCrashesSome = 20
	leaderCrashesFew  = 4
)

// TestLeaderCrashesAtRandom: the leader dies of SIGKILL at a random instant between the
// power cut and the recovery's end, for good or to come back at once: each instance is
// moved by one POST that Nova took.
func TestLeaderCrashesAtRandom(t *testing.T) {
	count := leaderCrashesFew
	switch {
	case os.Getenv("LIFEBOAT_NIGHTLY") != "":
		count = leaderCrashes
	case os.Getenv("LIFEBOAT_SIM_ALL") != "":
		count = leaderCrashesSome
	}
	for seed := range uint64(count) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 5)) //nolint:gosec // a schedule, to be repeated
			verb := []string{"kill", "restart"}[r.IntN(2)]
			file := fmt.Sprintf(`story: the leader dies of it at a random instant
cloud: {hosts: 5, domains: 5, servers: 6}
faults:
  - {at: 10s, do: power-cut host03}
  - {at: %dms, do: %s leader}
run: 5m
expect: {fenced: host03, recovered: host03, posts: 6}
`, 10000+r.IntN(25000), verb)
			s, err := sim.Parse(fmt.Sprintf("leader-%d.yaml", seed), []byte(file))
			if err != nil {
				t.Fatalf("%v\n%s", err, file)
			}
			if got := play(t, s, seed); !got.OK() {
				t.Errorf("%s\n\n%s\n%s", got.Faults(), file, got.Timeline())
			}
		})
	}
}
