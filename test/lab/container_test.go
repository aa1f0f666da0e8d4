//go:build lab

package lab

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestContainer: docker's own restart policy starts nova-compute as its host boots, and the
// command of deploy/containers holds it until a leader says that it may.
func TestContainer(t *testing.T) {
	const host, n = "cmp04", 3
	Up(t)
	Lab(t, "lifeboat", "build")
	Stop(t) // the agent's configuration is another
	t.Cleanup(func() {
		Stop(t)
		Lab(t, "container", host, "off")
	})
	before, _ := starts(t, host)
	Lab(t, "container", host, "on")
	Start(t)
	Wait(t, "nova-compute in its container to be at work", time.Minute, func() bool {
		n, ready := starts(t, host)
		return n == before+1 && ready
	})
	dies(t, host, n, func() { Fault(t, "power-cut", host) })
	recovered(t, host)
	Stop(t)
	Heal(t, "power-cut", host) // somebody switches it on, and no controller runs
	Wait(t, "the gate to hold", time.Minute, func() bool {
		log, err := Try(time.Minute, "container", host, "logs") // no docker answers yet
		return err == nil && strings.Contains(log, "no controller answers")
	})
	time.Sleep(10 * time.Second)
	if got, _ := starts(t, host); got != before+1 {
		t.Errorf("nobody says that it may, and its nova-compute was started %d times, want 1", got-before)
	}
	for _, m := range Migrations(t, host) {
		if m.Status != "done" {
			t.Errorf("nothing has cleaned up, and migration %+v is not done", m)
		}
	}
	Start(t)
	Wait(t, "the host's return", 3*time.Minute, func() bool { return inService(t, host) })
	if got, _ := starts(t, host); got != before+2 {
		t.Errorf("it is back, and its nova-compute was started %d times, want 2", got-before)
	}
	for _, m := range Migrations(t, host) {
		if m.Status != "completed" {
			t.Errorf("migration %+v, want completed", m)
		}
	}
	t.Log(Lab(t, "container", host, "logs"))
}

// starts counts how often a host's nova-compute has begun in a container, and says whether the last one has begun its work.
func starts(t *testing.T, host string) (n int, ready bool) {
	t.Helper()
	log, err := os.ReadFile(filepath.Join(Dir(), "log/nova-compute-"+host+".log"))
	if err != nil {
		t.Fatal(err)
	}
	each := strings.Split(string(log), "nova-compute in a container")
	return len(each) - 1, strings.Contains(each[len(each)-1], "Looking for unclaimed")
}
