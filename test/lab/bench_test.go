//go:build lab

package lab

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"testing"
	"time"
)

// TestBench prints what docs/performance.md says of recoveries: kill to all ACTIVE
// elsewhere, beside what this Nova needs by hand in the same run. On an idle machine.
//
//	make bench-lab
func TestBench(t *testing.T) {
	if os.Getenv("LIFEBOAT_BENCH") == "" {
		t.Skip("make bench-lab")
	}
	const storm = "storm: {percent: 10, window: 5s, per_hour: 1000}, flap: {limit: 0}"
	floor := byHand(t, 20)
	fmt.Printf("20 servers by hand: %.1f s\n", floor)
	for _, c := range []struct {
		profile, policy string
		factor, extra   float64
	}{{"default", "", 2, 8}, {"fast", "", 1.3, 5}, {"fast", "missed: 2, ", 1.3, 5}} {
		took := recovery(t, 20, c.profile, c.policy+storm)
		fmt.Printf("20 servers, %s profile, %spower cut: %.1f s; the mark is %.1f × %.1f + %.0f = %.1f s\n", c.profile, c.policy, took, c.factor, floor, c.extra, c.factor*floor+c.extra)
	}
	if os.Getenv("LIFEBOAT_BENCH") != "full" {
		return
	}
	fmt.Printf("100 servers by hand: %.1f s\n", byHand(t, 100))
	for _, limit := range []int{5, 10, 20, 0} {
		name, policy := "tuned by itself", storm
		if limit > 0 {
			name, policy = fmt.Sprintf("at most %d in flight", limit), fmt.Sprintf("in_flight: %d, %s", limit, storm)
		}
		fmt.Printf("100 servers, %s: %.1f s\n", name, recovery(t, 100, "default", policy))
	}
}

// byHand is what an operator's script needs who knows already.
func byHand(t *testing.T, n int) float64 {
	t.Helper()
	Up(t)
	Stop(t)
	Boot(t, "cmp03", n)
	Fault(t, "power-cut", "cmp03")
	text := Floor(t, "cmp03")
	Lab(t, "reset")
	m := regexp.MustCompile(`ACTIVE elsewhere ([0-9.]+) s`).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("floor says %q", text)
	}
	s, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// recovery is from the power cut to all elsewhere.
func recovery(t *testing.T, n int, profile, policy string) (seconds float64) {
	t.Helper()
	t.Run(fmt.Sprintf("%d %s %s", n, profile, policy), func(t *testing.T) {
		Up(t)
		Stop(t)
		Lab(t, "profile", profile)
		defer Lab(t, "profile")
		As(t, policy)
		time.Sleep(15 * time.Second) // a cluster that has run for a while
		seconds = dies(t, "cmp01", n, func() { Fault(t, "power-cut", "cmp01") }).Seconds()
		Wait(t, "the recovery's end", time.Minute, func() bool { return Hosts()["cmp01"].Status == "recovered" })
		Back(t, "cmp01")
	})
	return seconds
}
