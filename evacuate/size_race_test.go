//go:build race

package evacuate

// fewest is how many random schedules are played: the race detector takes five
// times as long.
const fewest = 60
