//go:build lab

package lab

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestDestinationDies: the host that takes instances on dies amid that. What it had
// claimed is evacuated anew, and only once it is proven off itself.
func TestDestinationDies(t *testing.T) {
	Up(t)
	As(t, "storm: {count: 3, percent: 50, window: 60s, per_hour: 1000, cliff: {percent: 0}}, flap: {limit: 0}")
	servers := Boot(t, "cmp01", 15)
	Known(t, "cmp01", 15)
	mark := time.Now()
	Fault(t, "power-cut", "cmp01")
	Wait(t, "the first POST", 60*time.Second, func() bool { return len(EvacuatePosts(t)) > 0 })
	Fault(t, "power-cut", "cmp02")
	Wait(t, "the recovery of cmp02", 2*time.Minute, func() bool { return Hosts()["cmp02"].Status == "recovered" })
	Wait(t, "the end, or a request that cmp02 had not claimed", 3*time.Minute, func() bool {
		h := Hosts()["cmp01"]
		return h.Status == "recovered" || h.Hold != nil && strings.Contains(h.Hold.Reason, "went to cmp02, which died")
	})
	if h := Hosts()["cmp01"]; h.Status != "recovered" {
		t.Log(h.Hold.Reason)
		Lab(t, "purge", "cmp02") // as the runbook has it
		for _, m := range Migrations(t, "cmp01") {
			if m.Status == "accepted" && m.Dest == "cmp02" {
				Lab(t, "row-error", m.ID)
				Lab(t, "act", "error", m.Server)
			}
		}
	}
	Wait(t, "the recovery of cmp01", 2*time.Minute, func() bool { return Hosts()["cmp01"].Status == "recovered" })
	WaitEvacuated(t, "cmp01", 15, 10*time.Second)
	AssertNoSecondCopy(t)
	again := 0
	for _, id := range servers {
		n := EvacuatePosts(t)[id]
		if n > 1 {
			again++
		}
		if n < 1 || n > 2 {
			t.Errorf("server %s: %d POSTs", id, n)
		}
	}
	t.Logf("%d of 15 were sent a second time", again)
	if offs := Offs(t, mark); len(offs) != 2 {
		t.Errorf("power off was sent to %v, want cmp01 and cmp02", offs)
	}
}

// TestAPIFaults: a proxy between Lifeboat and nova-api fails while a host is evacuated.
func TestAPIFaults(t *testing.T) {
	Up(t)
	Stop(t)
	Lab(t, "proxy", "pass")
	t.Cleanup(func() {
		Stop(t)
		Lab(t, "proxy", "off")
	})
	Start(t)
	for i, c := range []struct {
		mode, count string
		lasts       time.Duration
	}{
		{"503", "1000000", 60 * time.Second},
		{"reset", "8", 0},
		{"lost", "4", 0},
		{"late", "4", 0},
	} {
		host := "cmp0" + strconv.Itoa(i+1)
		t.Run(c.mode, func(t *testing.T) {
			AllHealthy(t)
			servers := Boot(t, host, 8)
			Known(t, host, 8)
			mark := time.Now()
			Fault(t, "power-cut", host)
			Wait(t, "the proof", 60*time.Second, func() bool {
				_, ok := LogLine(t, mark, `"kind":"recovery.step"`, "proven off")
				return ok
			})
			Lab(t, "proxy", c.mode, c.count)
			if c.lasts > 0 {
				time.Sleep(c.lasts)
				Lab(t, "proxy", "pass")
			}
			WaitEvacuated(t, host, 8, 4*time.Minute)
			t.Logf("%s: all elsewhere %.1f s after the fault", c.mode, time.Since(mark).Seconds())
			Lab(t, "proxy", "pass")
			Wait(t, "the recovery's end", 90*time.Second, func() bool { return Hosts()[host].Status == "recovered" })
			oneEvacuation(t, host, servers)
			Back(t, host)
		})
	}
}

// TestShortRandomCrash: the leader dies of SIGKILL at random instants of a recovery.
func TestShortRandomCrash(t *testing.T) {
	Lifeboat(t)
	runs := 2
	if nightly() {
		runs = 10
	}
	for i := range runs {
		after := time.Duration(rand.Int64N(int64(17 * time.Second))).Round(time.Millisecond) // detection, fence and evacuation
		t.Run(after.String(), func(t *testing.T) {
			host := "cmp0" + strconv.Itoa(i%6+1)
			AllHealthy(t)
			servers := Boot(t, host, 6)
			Known(t, host, 6)
			leader := Leader(t)
			mark := time.Now()
			Fault(t, "power-cut", host)
			time.Sleep(after)
			Fault(t, "controller-kill", leader)
			crashed := time.Now()
			WaitEvacuated(t, host, 6, 3*time.Minute)
			took, sent := time.Since(mark), 0
			for _, at := range FirstPosts(t) {
				if at.After(mark) && at.Before(crashed) {
					sent++
				}
			}
			t.Logf("%s dies, %s, which leads, is killed %.1f s later, when %d of 6 are sent: all elsewhere after %.1f s",
				host, leader, crashed.Sub(mark).Seconds(), sent, took.Seconds())
			Lab(t, "lifeboat", "up")
			recovered(t, host)
			oneEvacuation(t, host, servers)
			for _, id := range servers {
				if n := EvacuatePosts(t)[id]; n != 1 {
					t.Errorf("server %s: %d POSTs, want 1", id, n)
				}
			}
			Back(t, host)
		})
	}
}

// TestShortReturn: where power_on is automatic a dead host comes back into service and no
// operator does anything: its nova-compute waits at the start gate, cleans up what was
// evacuated, and is enabled.
func TestShortReturn(t *testing.T) {
	Up(t)
	As(t, "power_on: automatic, storm: {percent: 10, window: 5s, per_hour: 1000}, flap: {limit: 0}")
	gated := filepath.Join(Dir(), "machines/cmp04/gated")
	if err := os.WriteFile(gated, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(gated) })
	const n = 3
	dies(t, "cmp04", n, func() { Fault(t, "power-cut", "cmp04") })
	Wait(t, "the host's return", 3*time.Minute, func() bool { return inService(t, "cmp04") })
	for _, m := range Migrations(t, "cmp04") {
		if m.Status != "completed" {
			t.Errorf("migration %+v, want completed", m)
		}
	}
	if left, err := os.ReadDir(filepath.Join(Dir(), "machines/cmp04/instances")); err != nil || len(left) > 0 {
		t.Errorf("left on the source: %v %v", left, err)
	}
	AssertNoSecondCopy(t)
	if log, err := os.ReadFile(filepath.Join(Dir(), "log/nova-compute-cmp04.log")); err != nil || !strings.Contains(string(log), "start gate") {
		t.Errorf("nova-compute did not ask at its gate: %v", err)
	}
}

// TestFlap: a host dies three times; it comes back by itself twice, and the third time
// stays out of service in quarantine.
func TestFlap(t *testing.T) {
	Up(t)
	Stop(t)
	Lab(t, "lifeboat", "down")
	if err := os.RemoveAll(filepath.Join(Dir(), "lifeboat")); err != nil { // its points are in the ledger
		t.Fatal(err)
	}
	As(t, "storm: {percent: 10, window: 5s, per_hour: 1000}, flap: {limit: 6, window: 1h, quarantine: 1h}")
	for round := range 3 {
		Boot(t, "cmp02", 1) // for nothing nobody is fenced
		Known(t, "cmp02", 1)
		Fault(t, "power-cut", "cmp02")
		Wait(t, "the recovery's end", 90*time.Second, func() bool { return Hosts()["cmp02"].Status == "recovered" })
		Heal(t, "power-cut", "cmp02") // somebody switches it on
		if round < 2 {
			Back(t, "cmp02")
			if s := Services(t)["cmp02"]; s.Status != "enabled" {
				t.Fatalf("round %d: %+v", round+1, s)
			}
			continue
		}
		Wait(t, "the quarantine", 120*time.Second, func() bool { return strings.Contains(Explain(t, "cmp02"), "quarantine") })
		time.Sleep(20 * time.Second)
		if s := Services(t)["cmp02"]; s.Status != "disabled" {
			t.Errorf("in quarantine, and Nova says %+v", s)
		}
	}
}
