//go:build lab

package lab

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestServices: a host whose service has failed for good is emptied by live migration, or
// fenced where its nova-compute is down by that, as policy.services has it.
func TestServices(t *testing.T) {
	Up(t)
	const storm = ", storm: {percent: 10, window: 5s, per_hour: 1000}, flap: {limit: 0}"
	t.Run("live-migrate", func(t *testing.T) {
		As(t, "services: live-migrate"+storm)
		servers := Boot(t, "cmp05", 3)
		Known(t, "cmp05", 3)
		mark := time.Now()
		mended := breakNeutron(t, "cmp05")
		Wait(t, "its instances to be elsewhere", 3*time.Minute, func() bool {
			for _, s := range Servers(t) {
				if s.Host == "cmp05" {
					return false
				}
			}
			return true
		})
		t.Logf("empty %.0f s after its service failed", time.Since(mark).Seconds())
		AssertNoSecondCopy(t)
		if s := Services(t)["cmp05"]; s.Status != "disabled" || s.State != "up" {
			t.Errorf("it fails, and Nova says %+v", s)
		}
		mended()
		Wait(t, "it to be enabled again", 2*time.Minute, func() bool { return Services(t)["cmp05"].Status == "enabled" })
		for _, id := range servers {
			if n := EvacuatePosts(t)[id]; n != 0 {
				t.Errorf("%s: %d evacuate POSTs, want none", id, n)
			}
		}
		if offs := Offs(t, mark); len(offs) > 0 {
			t.Errorf("power off was sent to %v", offs)
		}
	})
	t.Run("fence", func(t *testing.T) {
		As(t, "services: fence-running-guests"+storm)
		servers := Boot(t, "cmp06", 3)
		Known(t, "cmp06", 3)
		mark := time.Now()
		Fault(t, "compute-kill", "cmp06")
		WaitEvacuated(t, "cmp06", 3, 5*time.Minute)
		t.Logf("all elsewhere %.0f s after its nova-compute died", time.Since(mark).Seconds())
		recovered(t, "cmp06")
		oneEvacuation(t, "cmp06", servers)
		if offs := Offs(t, mark); len(offs) != 1 || offs["cmp06"] == 0 {
			t.Errorf("power off was sent to %v, want cmp06 alone", offs)
		}
		if text := Explain(t, "cmp06"); !strings.Contains(text, "nova-compute") {
			t.Errorf("explain says %s", text)
		}
		Back(t, "cmp06")
	})
}

// breakNeutron has a host's Neutron agent fail until it is mended.
func breakNeutron(t *testing.T, host string) (mended func()) {
	t.Helper()
	path := filepath.Join(Dir(), "machines", host, "no-neutron")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	mended = func() { _ = os.Remove(path) }
	t.Cleanup(mended)
	return mended
}
