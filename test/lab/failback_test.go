//go:build lab

package lab

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// Move is a live migration as Nova recorded it.
type Move struct {
	Server, Source, Dest, Status string
	Created, Updated             time.Time
}

// Moves asks Nova for all live migrations, the oldest first.
func Moves(t testing.TB) []Move {
	t.Helper()
	at := func(text string) time.Time {
		when, err := time.Parse("2006-01-02T15:04:05.000000", text)
		if err != nil && text != "-" {
			t.Fatal(err)
		}
		return when
	}
	var all []Move
	for _, f := range lines(t, Lab(t, "moves"), 7) {
		all = append(all, Move{f[1], f[2], f[3], f[4], at(f[5]), at(f[6])})
	}
	return all
}

// inService says that a host has come back: Lifeboat holds nothing against it, and Nova
// sends it instances.
func inService(t *testing.T, host string) bool {
	t.Helper()
	h, ok := Hosts()[host]
	s := Services(t)[host]
	return ok && h.Recovery == "" && h.Verdict == "Healthy" && s.Status == "enabled" && s.State == "up"
}

// falls cuts a host's power, and gives the recovery once its n servers are elsewhere.
func falls(t *testing.T, host string, n int) (recovery string) {
	t.Helper()
	Fault(t, "power-cut", host)
	Wait(t, "a recovery", time.Minute, func() bool { recovery = Hosts()[host].Recovery; return recovery != "" })
	WaitEvacuated(t, host, n, 2*time.Minute)
	return recovery
}

// TestFailback: what was evacuated from a host that has come back goes home by live
// migration, one after the other. The host dies again while one is on its way: what is home
// by then is evacuated anew and goes home a second time, all else stays where it is.
func TestFailback(t *testing.T) {
	Up(t)
	As(t, "power_on: automatic, failback: 1m, storm: {percent: 10, window: 5s, per_hour: 1000}, flap: {limit: 0}")
	Lab(t, "live", "10")
	t.Cleanup(func() { Lab(t, "live") })
	const host, n, homeFirst = "cmp03", 6, 3
	servers := Boot(t, host, n)
	Known(t, host, n)
	first := falls(t, host, n)
	Wait(t, "the host's return", 3*time.Minute, func() bool { return inService(t, host) })
	var home []string
	var way string // the one on its way
	Wait(t, "three to be home and a fourth on its way", 4*time.Minute, func() bool {
		home, way = nil, ""
		for _, s := range Servers(t) {
			switch {
			case s.Task == "migrating":
				way = s.ID
			case s.Host == host:
				home = append(home, s.ID)
			}
		}
		return len(home) == homeFirst && way != ""
	})
	oneByOne(t, host)

	second := falls(t, host, n)
	said(t, first, "stopped at the first error")
	if s := now(t)[way]; s.Host == host || s.Status != "ACTIVE" || s.Task != "-" {
		t.Errorf("%s was on its way as its home died: %+v", way, s)
	}
	Wait(t, "the host's second return", 3*time.Minute, func() bool { return inService(t, host) })
	Wait(t, "those of the second time to be home", 4*time.Minute, func() bool {
		all := now(t)
		return !slices.ContainsFunc(home, func(id string) bool { return all[id].Host != host || all[id].Task != "-" })
	})
	said(t, second, "3 of 3 are home")
	time.Sleep(15 * time.Second) // in which nothing else is sent
	oneByOne(t, host)
	sent, posts, all := map[string]int{}, EvacuatePosts(t), now(t)
	for _, m := range Moves(t) {
		sent[m.Server]++
	}
	copies, _ := Copies(t)
	for _, id := range servers {
		moves, evacuated, atHome := 0, 1, false
		switch {
		case slices.Contains(home, id):
			moves, evacuated, atHome = 2, 2, true
		case id == way:
			moves = 1
		}
		if sent[id] != moves || posts[id] != evacuated || (all[id].Host == host) != atHome || all[id].Status != "ACTIVE" || copies[id] != 1 {
			t.Errorf("%d live migrations, %d evacuations, %d copies, %+v: want %d, %d, 1, home %t", sent[id], posts[id], copies[id], all[id], moves, evacuated, atHome)
		}
	}
	AssertNoSecondCopy(t)
}

// oneByOne says that every live migration goes to the host, and began after the end of the
// one before.
func oneByOne(t *testing.T, host string) {
	t.Helper()
	var last Move
	for _, m := range Moves(t) {
		if m.Dest != host || m.Created.Before(last.Updated) {
			t.Errorf("%+v after %+v, to %s alone", m, last, host)
		}
		t.Logf("%s from %s: %s to %s, %s", m.Server, m.Source, m.Created.Format("15:04:05"), m.Updated.Format("15:04:05"), m.Status)
		last = m
	}
}

// said waits for these words about a recovery.
func said(t *testing.T, recovery, words string) {
	t.Helper()
	text := ""
	Wait(t, recovery+" to say "+words, 3*time.Minute, func() bool {
		text, _ = CLI("recovery", recovery)
		return strings.Contains(text, words)
	})
}
