//go:build !race

package sim_test

import "os"

const schedules = 12

// chosen are the scenarios that every `go test` plays; `make sim` plays all.
func chosen(_ string, hosts int) bool {
	return hosts <= 60 || os.Getenv("LIFEBOAT_SIM_ALL") != ""
}
