//go:build race

package sim_test

const schedules = 2

// chosen: the race detector takes ten times as long, so a few scenarios that do
// most things.
func chosen(name string, _ int) bool {
	switch name {
	case "power-cut", "leader-killed-fencing", "minority-leader", "frozen-host":
		return true
	}
	return false
}
