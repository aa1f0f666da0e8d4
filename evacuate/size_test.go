//go:build !race

package evacuate

// fewest is how many random schedules are played.
const fewest = 320
