//go:build !race

package gossip_test

import "time"

var splits = []split{{8, 16, time.Minute}, {8, 16, 11 * time.Minute}, {5, 16, 11 * time.Minute}}
