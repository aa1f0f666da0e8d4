//go:build race

package sim_test

// The race detector takes ten times as long: a few scenarios that do most things.
const schedules = 2

func chosen(name string, _ int) bool {
	switch name {
	case "power-cut", "leader-killed-fencing", "minority-leader", "frozen-host":
		return true
	}
	return false
}
