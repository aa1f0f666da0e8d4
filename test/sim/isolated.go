package sim

import "github.com/lifeboat-ha/lifeboat/config"

// fencesIsolated says that the scenario's matrix has living hosts fenced.
func (w *watch) fencesIsolated() bool {
	for _, word := range w.cloud.policy.Matrix {
		if word == config.Fence || word == config.FenceRunningGuests {
			return true
		}
	}
	return false
}
