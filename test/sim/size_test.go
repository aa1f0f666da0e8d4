//go:build !race

package sim_test

import (
	"os"
	"testing"
)

const schedules = 12

// chosen are the scenarios that every `go test` plays: small ones, and one with
// -short. `make sim` plays all.
func chosen(name string, hosts int) bool {
	if testing.Short() {
		return name == "power-cut"
	}
	return hosts <= 12 || os.Getenv("LIFEBOAT_SIM_ALL") != ""
}
