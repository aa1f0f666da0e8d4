package lab

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Lifeboat brings a clean lab with Lifeboat up, every host healthy and fenceable.
func Lifeboat(t testing.TB) {
	t.Helper()
	Up(t)
	Start(t)
}

// running says that the Lifeboat of an earlier test goes on.
var running bool

// Start has Lifeboat up in the lab as it is: what was just built, or that of the test
// before. Its ledger goes on in either case.
func Start(t testing.TB) {
	t.Helper()
	Crashed() // a point that an earlier test never came to
	if !running {
		Lab(t, "lifeboat", "down")
		Lab(t, "lifeboat", "build")
		Lab(t, "lifeboat", "up")
		running = true
	}
	t.Cleanup(func() {
		if t.Failed() {
			Stop(t)
		}
	})
	tidy()
	AllHealthy(t)
}

// tidy ends what an earlier test, which may have failed, left behind in the ledger.
func tidy() {
	for began := time.Now(); time.Since(began) < 2*time.Minute; time.Sleep(time.Second) {
		hosts, busy := Hosts(), false
		for name, h := range hosts {
			busy = busy || h.Recovery != ""
			if h.Status == "recovered" {
				_, _ = CLI("return", name)
			}
		}
		if len(hosts) > 0 && !busy {
			return
		}
	}
}

// Stop ends Lifeboat; the next Start begins with new processes.
func Stop(t testing.TB) {
	t.Helper()
	if running {
		Lab(t, "lifeboat", "down")
		running = false
	}
}

// HostStatus is what `lifeboat hosts -o json` says of a host.
type HostStatus struct {
	Host      string    `json:"host"`
	Verdict   string    `json:"verdict"`
	Detail    string    `json:"detail"`
	Instances int       `json:"instances"`
	PoweredOn time.Time `json:"powered_on"`
	Fenceable bool      `json:"fenceable"`
	Recovery  string    `json:"recovery"`
	Status    string    `json:"recovery_status"`
	Hold      *struct {
		Gate, Step, Reason string
	} `json:"hold"`
}

// CLI runs the operator's shell; it may fail while no controller leads.
func CLI(args ...string) (string, error) {
	return Try(time.Minute, append([]string{"cli"}, args...)...)
}

// Hosts asks Lifeboat for all hosts; empty while nobody leads.
func Hosts() map[string]HostStatus {
	out, err := CLI("hosts", "-o", "json")
	all := map[string]HostStatus{}
	var list []HostStatus
	if err != nil || json.Unmarshal([]byte(out), &list) != nil {
		return all
	}
	for _, h := range list {
		all[h.Host] = h
	}
	return all
}

// Leader is the controller that leads.
func Leader(t testing.TB) string {
	t.Helper()
	var status struct{ Leader string }
	Wait(t, "a leader", 30*time.Second, func() bool {
		out, err := CLI("status", "-o", "json")
		return err == nil && json.Unmarshal([]byte(out), &status) == nil && status.Leader != ""
	})
	return status.Leader
}

// AllHealthy waits until all six hosts are healthy, fenceable and in service, and says
// which of them is not when it gives up.
func AllHealthy(t testing.TB) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(200 * time.Millisecond) {
		hosts := Hosts()
		var ill []string
		for _, name := range slices.Sorted(maps.Keys(hosts)) {
			if h := hosts[name]; h.Verdict != "Healthy" || h.PoweredOn.IsZero() || !h.Fenceable || h.Recovery != "" {
				ill = append(ill, name)
			}
		}
		if len(hosts) == 6 && len(ill) == 0 {
			return
		}
		if time.Since(began) > 150*time.Second {
			var why []string
			for _, name := range ill {
				why = append(why, Explain(t, name))
			}
			t.Fatalf("after 150 s only %d of %d hosts are healthy and fenceable, not %v:\n%s",
				len(hosts)-len(ill), len(hosts), ill, strings.Join(why, "\n"))
		}
	}
}

// Known waits until Lifeboat knows of all instances on a host, at least n: those of
// earlier tests may have come to it.
func Known(t testing.TB, host string, n int) {
	t.Helper()
	there := 0
	for _, s := range Servers(t) {
		if s.Host == host {
			there++
		}
	}
	if there < n {
		t.Fatalf("Nova has %d servers on %s, want %d", there, host, n)
	}
	Wait(t, "Lifeboat to know the instances", 40*time.Second, func() bool { return Hosts()[host].Instances == there })
}

// Explain is what Lifeboat says of a host.
func Explain(t testing.TB, host string) string {
	t.Helper()
	out, err := CLI("explain", host)
	if err != nil {
		t.Logf("explain %s: %v", host, err)
	}
	return out
}

// Back returns a recovered host and waits until it is in service again.
func Back(t testing.TB, host string) {
	t.Helper()
	Wait(t, host+" to be asked back", 60*time.Second, func() bool {
		_, err := CLI("return", host)
		return err == nil || Hosts()[host].Status == "returning" || Hosts()[host].Recovery == ""
	})
	Wait(t, host+" to be back in service", 150*time.Second, func() bool {
		h, ok := Hosts()[host]
		return ok && h.Recovery == "" && h.Verdict == "Healthy"
	})
	if s := Services(t)[host]; s.State != "up" {
		t.Errorf("%s is back, and Nova says %+v", host, s)
	}
}

// Offs counts the off commands that the BMCs got since mark, by host.
func Offs(t testing.TB, mark time.Time) map[string]int {
	t.Helper()
	n := map[string]int{}
	for _, c := range PowerLog(t) {
		if c.Verb == "off" && c.Time.After(mark) {
			n[c.Host]++
		}
	}
	return n
}

// Crash makes the leader die of SIGKILL when it comes to the point.
func Crash(t testing.TB, point string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(Dir(), "crash"), []byte(point), 0o600); err != nil {
		t.Fatal(err)
	}
	_ = os.Remove(filepath.Join(Dir(), "crash.hit"))
}

// CrashHit tells whether a controller has died of Crash.
func CrashHit() bool {
	_, err := os.Stat(filepath.Join(Dir(), "crash.hit"))
	return err == nil
}

// Crashed tells whether a controller has died of Crash, and clears it.
func Crashed() bool {
	hit := CrashHit()
	_ = os.Remove(filepath.Join(Dir(), "crash"))
	_ = os.Remove(filepath.Join(Dir(), "crash.hit"))
	return hit
}

// LogLine gives the time of the first line of any controller's log, after since, with
// all the words.
func LogLine(t testing.TB, since time.Time, words ...string) (time.Time, bool) {
	t.Helper()
	var first time.Time
	for _, id := range []string{"lbc1", "lbc2", "lbc3"} {
		b, err := os.ReadFile(filepath.Join(Dir(), "log", "lifeboat-"+id+".log"))
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(string(b), "\n") {
			if containsAll(line, words) {
				var l struct{ Time time.Time }
				if json.Unmarshal([]byte(line), &l) == nil && l.Time.After(since) && (first.IsZero() || l.Time.Before(first)) {
					first = l.Time
				}
			}
		}
	}
	return first, !first.IsZero()
}

func containsAll(s string, words []string) bool {
	for _, w := range words {
		if !strings.Contains(s, w) {
			return false
		}
	}
	return true
}
