//go:build race

package gossip_test

import "time"

// splits are fewer under the race detector, which takes five times as long.
var splits = []split{{8, 16, time.Minute}, {5, 16, 11 * time.Minute}}
