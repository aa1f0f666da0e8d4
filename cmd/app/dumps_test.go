package app

import (
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// TestDumpsOfOthers: a kernel may reach one controller only; what has ended at
// one does not end what another hears, and lengthens nothing.
func TestDumpsOfOthers(t *testing.T) {
	now := time.Date(2026, 11, 21, 6, 0, 0, 0, time.UTC)
	heard := func(first, last time.Duration) map[nova.HostName]dumpAge {
		return map[nova.HostName]dumpAge{"cmp1": {first, last}}
	}
	var d dumps
	if s := d.sight(now, 30*time.Second); s.Listening || len(s.Dumps) != 0 {
		t.Errorf("nobody listens: %+v", s)
	}
	d.merge("ctl2", heard(time.Minute, 20*time.Second), now)
	d.merge("ctl3", heard(50*time.Second, 2*time.Second), now)
	if s := d.sight(now, 30*time.Second).Dumps["cmp1"]; now.Sub(s.First) != time.Minute || now.Sub(s.Last) != 2*time.Second {
		t.Errorf("joined: %+v", s)
	}
	d.merge("ctl2", heard(time.Hour, 40*time.Second), now)
	if s := d.sight(now, 30*time.Second).Dumps["cmp1"]; now.Sub(s.First) != 50*time.Second {
		t.Errorf("a dump that has ended counts: %+v", s)
	}
	d.merge("ctl3", nil, now)
	if s := d.sight(now, 30*time.Second); len(s.Dumps) != 0 {
		t.Errorf("what a controller does not tell of any more is kept: %+v", s)
	}
}
