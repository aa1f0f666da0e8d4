//go:build lab

package lab

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// nightly says whether the long form runs.
func nightly() bool { return os.Getenv("LIFEBOAT_NIGHTLY") != "" }

// long is d at night and short otherwise.
func long(d, short time.Duration) time.Duration {
	if nightly() {
		return d
	}
	return short
}

// dies kills a host with n servers and waits for all of them elsewhere.
func dies(t *testing.T, host string, n int, fault func()) (took time.Duration) {
	t.Helper()
	servers := Boot(t, host, n)
	Known(t, host, n)
	mark := time.Now()
	fault()
	WaitEvacuated(t, host, n, 120*time.Second)
	took = time.Since(mark)
	posts := EvacuatePosts(t)
	for _, id := range servers {
		if posts[id] != 1 {
			t.Errorf("server %s: %d evacuate POSTs, want 1", id, posts[id])
		}
	}
	AssertNoSecondCopy(t)
	offs := Offs(t, mark)
	if len(offs) != 1 || offs[host] == 0 {
		t.Errorf("power off was sent to %v, want %s alone", offs, host)
	}
	if t.Failed() {
		t.Log(Explain(t, host))
	}
	return took
}

// TestShortDeath: a power cut and a hang, each recovered within its limit, the
// first POST later than the proof, printed beside Nova's own floor.
func TestShortDeath(t *testing.T) {
	Lifeboat(t)
	n := 8
	if nightly() {
		n = 20
	}
	for _, c := range []struct {
		fault, host string
		limit       time.Duration
	}{{"power-cut", "cmp01", 30 * time.Second}, {"hang", "cmp02", 40 * time.Second}} {
		t.Run(c.fault, func(t *testing.T) {
			mark := time.Now()
			took := dies(t, c.host, n, func() { Fault(t, c.fault, c.host) })
			// Times are measured at night, on an otherwise idle machine; the
			// short form proves the order and counts the copies.
			if nightly() && took > c.limit {
				t.Errorf("%s: %s, the limit is %s", c.fault, took.Round(100*time.Millisecond), c.limit)
			}
			proof, ok := LogLine(t, mark, `"kind":"recovery.step"`, `"step":"fence"`, "proven off", recoveryOf(c.host))
			post, sent := LogLine(t, mark, "evacuate sent", `"host":"`+c.host+`"`)
			if !ok || !sent || !post.After(proof) {
				t.Errorf("proof at %v (%t), first POST at %v (%t): want the proof first", proof, ok, post, sent)
			}
			Wait(t, "the recovery's end", 30*time.Second, func() bool { return Hosts()[c.host].Status == "recovered" })
			t.Logf("%s: all %d elsewhere %.1f s after the fault", c.fault, n, took.Seconds())
			Back(t, c.host)
		})
	}
	if !nightly() {
		return
	}
	Stop(t)
	Lab(t, "reset")
	Boot(t, "cmp03", n)
	Fault(t, "power-cut", "cmp03") // by hand, too, only what is dead is evacuated
	t.Logf("floor of the same run: %s", Floor(t, "cmp03"))
}

func recoveryOf(host string) string { return `"recovery":"` + Hosts()[host].Recovery + `"` }

// TestShortNoFence: what looks like death and is none sends no power-off.
func TestShortNoFence(t *testing.T) {
	Lifeboat(t)
	Boot(t, "cmp01", 2)
	Known(t, "cmp01", 2)
	for _, c := range []struct {
		name    string
		host    string
		begin   func(t *testing.T)
		hold    time.Duration
		explain string
		end     func(t *testing.T)
	}{
		{"agent killed", "cmp01", fault("agent-kill", "cmp01"), long(30*time.Second, 14*time.Second), "Unmanageable", heal("agent-kill", "cmp01")},
		{"wedge", "cmp01", fault("wedge", "cmp01"), long(30*time.Second, 14*time.Second), "Unmanageable", heal("wedge", "cmp01")},
		{"nova-compute killed", "cmp01", fault("compute-kill", "cmp01"), long(30*time.Second, 10*time.Second), "heard", heal("compute-kill", "cmp01")},
		{"ring only", "cmp01", fault("ring-cut", "cmp01"), long(30*time.Second, 20*time.Second), "heard", heal("ring-cut", "cmp01")},
		{"one controller cut off", "cmp01", fault("controller-cut", "lbc2"), long(30*time.Second, 12*time.Second), "heard", heal("controller-cut", "lbc2")},
		{"half of the ring", "cmp01", fault("split", "cmp01,cmp02,cmp03"), long(120*time.Second, 24*time.Second), "heard", heal("split", "cmp01,cmp02,cmp03")},
		{"half of the ring and the controllers", "cmp01", fault("split", "cmp01,cmp02,cmp03", "--controllers"), long(120*time.Second, 24*time.Second), "storm", heal("split", "cmp01,cmp02,cmp03", "--controllers")},
		{"all controllers cut off", "cmp01", fault("ctl-cut"), long(120*time.Second, 24*time.Second), "rather our own network", heal("ctl-cut")},
		{"broker stopped", "cmp01", fault("rabbit-stop"), long(90*time.Second, 75*time.Second), "heard", heal("rabbit-stop")},
		{"rebooted by its operator", "cmp01", fault("reboot", "cmp01", "20"), 15 * time.Second, "announced", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			AllHealthy(t)
			mark := time.Now()
			c.begin(t)
			time.Sleep(c.hold)
			text := Explain(t, c.host)
			if !strings.Contains(text, c.explain) {
				t.Errorf("explain does not say %q:\n%s", c.explain, text)
			}
			if c.end != nil {
				c.end(t)
			}
			AllHealthy(t)
			if offs := Offs(t, mark); len(offs) != 0 {
				t.Errorf("power off was sent: %v\n%s", offs, text)
			}
		})
	}
}

func fault(verb string, args ...string) func(*testing.T) {
	return func(t *testing.T) { t.Helper(); Fault(t, verb, args...) }
}

func heal(verb string, args ...string) func(*testing.T) {
	return func(t *testing.T) { t.Helper(); Heal(t, verb, args...) }
}

// TestShortFiltered: a host that never answered a probe, and whose agent dies,
// is not known to be dead: its silence proves nothing.
func TestShortFiltered(t *testing.T) {
	Stop(t)
	Up(t)
	Fault(t, "filter", "cmp04")
	Start(t)
	Boot(t, "cmp04", 1)
	Known(t, "cmp04", 1)
	mark := time.Now()
	Fault(t, "agent-kill", "cmp04")
	time.Sleep(30 * time.Second)
	text := Explain(t, "cmp04")
	if !strings.Contains(text, "Unknown") && !strings.Contains(text, "Unmanageable") {
		t.Errorf("want Unknown or Unmanageable:\n%s", text)
	}
	if offs := Offs(t, mark); len(offs) != 0 {
		t.Errorf("power off was sent: %v\n%s", offs, text)
	}
	Heal(t, "filter", "cmp04")
	Heal(t, "agent-kill", "cmp04")
	AllHealthy(t)
}

// TestShortBMC: without a proof nothing is evacuated; the recovery says why,
// goes on when the BMC is mended, and is cancelled when the host has healed.
func TestShortBMC(t *testing.T) {
	Lifeboat(t)
	for _, c := range []struct {
		fault, host, reason string
		heals               bool // the host, not the BMC
		short               bool
	}{
		{"bmc-cut", "cmp01", "unreachable", false, false},
		{"bmc-refuse", "cmp02", "auth", false, true},
		{"bmc-lies", "cmp03", "not-honoured", false, false},
		{"bmc-lies", "cmp04", "not-honoured", true, true},
	} {
		if !c.short && !nightly() {
			continue
		}
		t.Run(fmt.Sprintf("%s heals=%t", c.fault, c.heals), func(t *testing.T) {
			AllHealthy(t)
			servers := Boot(t, c.host, 2)
			Known(t, c.host, 2)
			Fault(t, c.fault, c.host)
			Fault(t, "hang", c.host)
			Wait(t, "the hold with its reason", 90*time.Second, func() bool {
				h := Hosts()[c.host]
				return h.Hold != nil && h.Hold.Step == "fence" && strings.Contains(h.Hold.Reason, c.reason)
			})
			if m, err := Run("lbc1", "curl", "-sk", "https://10.77.0.11:7948/metrics"); err == nil && !strings.Contains(m, "lifeboat_build_info") {
				t.Error("no metrics")
			}
			for _, id := range servers {
				if n := EvacuatePosts(t)[id]; n != 0 {
					t.Errorf("%d evacuate POSTs without a proof", n)
				}
			}
			if c.heals {
				// The BMC lies until the host is heard: mended any sooner it would
				// obey the next off, rightly.
				Heal(t, "hang", c.host)
				Wait(t, "the host to be heard", 30*time.Second, func() bool {
					v := Hosts()[c.host].Verdict
					return v == "Healthy" || v == "Degraded"
				})
				Heal(t, c.fault, c.host)
				Wait(t, "the cancellation", 90*time.Second, func() bool { return Hosts()[c.host].Recovery == "" })
				AllHealthy(t)
				return
			}
			Heal(t, c.fault, c.host)
			WaitEvacuated(t, c.host, 2, 120*time.Second)
			AssertNoSecondCopy(t)
			Wait(t, "the recovery's end", 30*time.Second, func() bool { return Hosts()[c.host].Status == "recovered" })
			Back(t, c.host)
		})
	}
}
