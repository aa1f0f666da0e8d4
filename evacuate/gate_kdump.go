package evacuate

import (
	"fmt"
	"time"
)

// Dump is what was heard of a crashed kernel that writes its dump.
type Dump struct {
	First time.Time // of this dump
	Last  time.Time
}

// askKdump waits for a dump to be written: cutting the power loses it, and its
// guests are down already. Anybody on the network can forge its messages, so it
// waits for so long and no longer.
func askKdump(q question) (Standing, string) {
	if q.policy.KdumpQuiet <= 0 {
		return NotConfigured, "nobody listens for dumps"
	}
	if !q.world.Kdump.Listening {
		return Held, "dumps are to be waited for, and nobody listens for them"
	}
	d, dumps := q.world.Kdump.Dumps[q.host]
	last, lasts := q.world.Now.Sub(d.Last), q.world.Now.Sub(d.First)
	switch {
	case !dumps || last >= q.policy.KdumpQuiet:
		return Met, "it writes no dump"
	case lasts >= q.policy.KdumpMost:
		return Warns, fmt.Sprintf("it has been writing its dump for %s, longer than the %s that are waited for", round(lasts), q.policy.KdumpMost)
	}
	return Held, fmt.Sprintf("it has been writing its dump for %s, last heard of %s ago; waited for until %s", round(lasts), round(last), q.policy.KdumpMost)
}
