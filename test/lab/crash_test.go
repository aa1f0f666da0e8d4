//go:build lab

package lab

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// Crash points: after each recorded step and around the POST; on the way back; and
// while a recovery is undone.
var (
	crashPoints = []string{"done:open", "intent:disable", "call:disable", "intent:fence", "call:fence", "done:fence", "done:force-down",
		"done:list", "intent:evacuate", "call:evacuate", "done:evacuate", "done:verify", "done:report"}
	crashPointsBack = []string{"intent:power-on", "call:power-on", "done:power-on", "intent:un-force-down", "done:un-force-down", "intent:enable", "call:enable"}
	crashPointsUndo = []string{"intent:cancel", "call:cancel"}
)

// TestShortCrash: the leader dies of SIGKILL at a point; the recovery finishes,
// with one POST for each instance.
func TestShortCrash(t *testing.T) {
	Lifeboat(t)
	points, back, undo := []string{"call:evacuate"}, []string(nil), []string(nil)
	if nightly() {
		points, back, undo = crashPoints, crashPointsBack, crashPointsUndo
	}
	at := 0
	next := func() string { at++; return fmt.Sprintf("cmp%02d", (at-1)%6+1) }
	for _, point := range points {
		t.Run(point, func(t *testing.T) {
			host := next()
			AllHealthy(t)
			Crash(t, point)
			took := dies(t, host, 4, func() { Fault(t, "power-cut", host) })
			hit(t, point)
			t.Logf("%s: all elsewhere after %.1f s", point, took.Seconds())
			recovered(t, host)
			Back(t, host)
		})
	}
	for _, point := range back {
		t.Run("back/"+point, func(t *testing.T) { crashedBack(t, next(), point) })
	}
	for _, point := range undo {
		t.Run("undo/"+point, func(t *testing.T) { crashedUndo(t, next(), point) })
	}
}

// hit says that a controller died, and starts it again.
func hit(t *testing.T, point string) {
	t.Helper()
	if !Crashed() {
		t.Errorf("no controller came to %s", point)
	}
	Lab(t, "lifeboat", "up")
}

// died waits for that, and starts the controller again: a host is not enabled before
// whoever commanded its power has acknowledged a later term.
func died(t *testing.T, point string) {
	t.Helper()
	Wait(t, "the leader to come to "+point, 90*time.Second, CrashHit)
	hit(t, point)
}

func recovered(t *testing.T, host string) {
	t.Helper()
	Wait(t, "the recovery's end", 60*time.Second, func() bool { return Hosts()[host].Status == "recovered" })
}

// crashedBack: the host comes into service all the same, and its instances stay
// where they are.
func crashedBack(t *testing.T, host, point string) {
	AllHealthy(t)
	dies(t, host, 2, func() { Fault(t, "power-cut", host) })
	recovered(t, host)
	Crash(t, point)
	if out, err := CLI("return", host); err != nil {
		t.Fatalf("return: %v: %s", err, out)
	}
	died(t, point)
	Back(t, host)
	AllHealthy(t)
	if s := Services(t)[host]; s.Status != "enabled" || s.State != "up" {
		t.Errorf("%s is back, and Nova says %+v", host, s)
	}
	for _, s := range Servers(t) {
		if s.Host == host {
			t.Errorf("server %s is on %s again", s.ID, host)
		}
	}
	AssertNoSecondCopy(t)
}

// crashedUndo: a recovery without a proof, whose host is heard again, is undone
// by the next leader.
func crashedUndo(t *testing.T, host, point string) {
	AllHealthy(t)
	servers := Boot(t, host, 1)
	Known(t, host, 1)
	Fault(t, "bmc-lies", host)
	Fault(t, "hang", host)
	Wait(t, "the hold with its reason", 90*time.Second, func() bool {
		h := Hosts()[host]
		return h.Hold != nil && h.Hold.Step == "fence" && strings.Contains(h.Hold.Reason, "not-honoured")
	})
	Crash(t, point)
	Heal(t, "hang", host)
	died(t, point)
	Wait(t, "the cancellation", 90*time.Second, func() bool { h, ok := Hosts()[host]; return ok && h.Recovery == "" })
	Heal(t, "bmc-lies", host)
	AllHealthy(t)
	if s := Services(t)[host]; s.Status != "enabled" {
		t.Errorf("%s was never off, and Nova says %+v", host, s)
	}
	for _, id := range servers {
		if n := EvacuatePosts(t)[id]; n != 0 {
			t.Errorf("%d evacuate POSTs without a proof", n)
		}
	}
}
