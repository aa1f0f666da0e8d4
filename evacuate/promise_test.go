package evacuate

import (
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// TestPromisesByFreshLooks: a POST is promised only for a server that a look of the
// last seconds has seen on the dead host (rule 3).
func TestPromisesByFreshLooks(t *testing.T) {
	for name, row := range map[string]struct {
		age  time.Duration
		look bool
		here bool
		want int
	}{
		"seen just now":        {0, true, true, 1},
		"seen at the limit":    {lookFresh, true, true, 1},
		"seen too long ago":    {lookFresh + time.Millisecond, true, true, 0},
		"looked, not there":    {0, true, false, 0},
		"nobody looked so far": {0, false, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			c := aiming()
			r := &Recovery{ID: "r1", Host: "dead0", Status: StatusOpen, Opened: t0,
				Evacuations: []*Evacuation{{Server: "vm1", Name: "vm1", State: EvacPlanned, Size: nova.Size{VCPUs: 1, RAMMiB: 512}}}}
			c.state.Recoveries[r.ID], c.senders = r, []*Recovery{r}
			if row.look {
				obs := &Observation{At: t0.Add(-row.age), Began: t0.Add(-row.age), Source: map[nova.ServerID]nova.Server{}}
				if row.here {
					obs.Source["vm1"] = nova.Server{ID: "vm1", Host: r.Host}
				}
				c.seen[r.ID] = obs
			}
			c.promiseAll()
			if n := len(c.ready.Actions); n != row.want {
				t.Errorf("%d POSTs, want %d", n, row.want)
			}
		})
	}
}
