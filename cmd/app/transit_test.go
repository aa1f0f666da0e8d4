package app

import (
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/evacuate/api"
	"github.com/lifeboat-ha/lifeboat/fence"
)

// TestTransit: how long a report was under way is told by the receiver's clock alone, and
// only by a stamp of its own run.
func TestTransit(t *testing.T) {
	here, there := time.Hour, 5*time.Minute // since either's boot
	pass := func(d time.Duration) { here, there = here+d, there+d }
	leader := newTransits("run1", func() time.Duration { return here })
	follower := newTransits("run7", func() time.Duration { return there })
	if s := follower.back("ctl1"); s != nil {
		t.Errorf("before the first answer it gives %+v", s)
	}
	if _, known := leader.took(nil); known {
		t.Error("a report without a stamp is of a known age")
	}
	stamp := leader.give()
	pass(30 * time.Millisecond) // the answer's way
	follower.keep("ctl1", stamp)
	follower.keep("ctl1", nil) // of an older version: changes nothing
	pass(500 * time.Millisecond)
	back := follower.back("ctl1")
	pass(20 * time.Millisecond) // the report's way
	if took, known := leader.took(back); !known || took != 50*time.Millisecond {
		t.Errorf("took %s, known %t, want 50ms", took, known)
	}
	pass(time.Minute) // the same report, delivered after a cut
	if took, known := leader.took(back); !known || took <= reportMost {
		t.Errorf("a report that was stuck for a minute took %s, known %t", took, known)
	}
	if took, known := newTransits("run2", func() time.Duration { return here }).took(back); known {
		t.Errorf("a stamp of another run tells %s", took)
	}
	if back := follower.back("ctl2"); back != nil {
		t.Errorf("the stamp of one controller goes to another: %+v", back)
	}
}

// TestOffTouchesNothing: in mode off not even a BMC is read (rule 12).
func TestOffTouchesNothing(t *testing.T) {
	onSite(t, func(s *site) {
		a := s.enrolled(1)
		bmc := s.bmcs["cmp1"]
		bmc.set(fence.On, "")
		s.await("a reading of a host that lives", func() bool { return bmc.asked() > 0 })
		s.must(api.VerbMode, "", "off")
		time.Sleep(10 * time.Second)
		before := bmc.asked()
		time.Sleep(30 * time.Minute)
		if n := bmc.asked(); n != before {
			t.Errorf("%d readings of a host that is well, in mode off", n-before)
		}
		if err := a.Kill(); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		if n := bmc.asked(); n != before {
			t.Errorf("%d readings of a silent host, in mode off", n-before)
		}
	})
}
