//go:build !race

package sim_test

import (
	"os"
	"testing"
)

const schedules = 12

// crowd is from how many hosts a scenario is played at night only.
const crowd = 150

// chosen are the scenarios that every `go test` plays: small ones, and one with
// -short. `make sim` plays all but those of many hosts, `make nightly` those too.
func chosen(name string, hosts int) bool {
	switch {
	case testing.Short():
		return name == "power-cut"
	case hosts >= crowd:
		return os.Getenv("LIFEBOAT_NIGHTLY") != ""
	}
	return hosts <= 12 || os.Getenv("LIFEBOAT_SIM_ALL") != ""
}
