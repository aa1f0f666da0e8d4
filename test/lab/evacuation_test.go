//go:build lab

package lab

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// As configures Lifeboat's policy for one test: the usual one with these words in place
// of its storm and whatever else they name.
func As(t *testing.T, policy string) {
	t.Helper()
	Stop(t)
	Lab(t, "policy", "{mode: auto, storage: shared, quiet_period: 20s, healthy_delay: 10s, "+policy+"}")
	t.Cleanup(func() {
		Stop(t)
		Lab(t, "policy")
	})
	Start(t)
}

// now is each server as Nova shows it.
func now(t *testing.T) map[string]Server {
	t.Helper()
	all := map[string]Server{}
	for _, s := range Servers(t) {
		all[s.ID] = s
	}
	return all
}

// oneEvacuation says that Nova's migration table has one live or successful row for
// each of these servers, and its API as many POSTs as rows.
func oneEvacuation(t *testing.T, from string, servers []string) {
	t.Helper()
	good, rows := map[string]int{}, map[string]int{}
	for _, m := range Migrations(t, from) {
		rows[m.Server]++
		if m.Status != "error" && m.Status != "failed" {
			good[m.Server]++
		}
	}
	for _, id := range servers {
		if good[id] != 1 {
			t.Errorf("server %s: %d live or successful evacuations from %s, want 1 (of %d rows)", id, good[id], from, rows[id])
		}
	}
	AssertNoSecondCopy(t)
}

// TestShortStates: every state that a dead host's instances may be in ends as
// docs/evacuation.md says.
func TestShortStates(t *testing.T) {
	Up(t)
	As(t, "restart: [paused], storm: {percent: 10, window: 5s, per_hour: 1000}, flap: {limit: 0}")
	rows := []struct {
		name   string
		before func(id string)
		write  []string // into Nova's database, after the power was cut: what a task had begun
		posts  int
		status string // in the end, "" if Nova lists it no more
	}{
		{"active", nil, nil, 1, "ACTIVE"},
		{"stopped", func(id string) { Lab(t, "stop", id) }, nil, 1, "SHUTOFF"},
		{"error", func(id string) { Lab(t, "act", "error", id) }, nil, 1, "ACTIVE"},
		{"locked", func(id string) { Lab(t, "act", "lock", id) }, nil, 1, "ACTIVE"},
		{"paused", func(id string) { Lab(t, "act", "pause", id) }, nil, 1, "ACTIVE"}, // by policy.restart
		{"suspended", func(id string) { Lab(t, "act", "suspend", id) }, nil, 0, "SUSPENDED"},
		{"rescued", nil, []string{"vm_state=rescued"}, 0, "RESCUE"},
		{"deleting", nil, []string{"task_state=deleting"}, 0, "ACTIVE"},
		{"soft-deleted", nil, []string{"vm_state=soft-delete"}, 0, ""},
		{"powering-off", nil, []string{"task_state=powering-off"}, 1, "ACTIVE"},
		{"rebooting", nil, []string{"task_state=rebooting"}, 1, "ACTIVE"},
		{"snapshot", nil, []string{"task_state=image_snapshot"}, 1, "ACTIVE"},
		{"rebuilding", nil, []string{"task_state=rebuild_spawning"}, 1, "ACTIVE"},
		{"resizing", nil, []string{"task_state=resize_migrating"}, 0, "RESIZE"},
		{"resized", nil, []string{"vm_state=resized"}, 0, "VERIFY_RESIZE"},
		{"shelved", nil, []string{"vm_state=shelved"}, 0, "SHELVED"},
		{"building", nil, []string{"vm_state=building"}, 0, "BUILD"},
		{"never launched", nil, []string{"vm_state=error", "launched_at=NULL"}, 0, "ERROR"},
		{"soft-deleting", nil, []string{"task_state=soft-deleting"}, 0, "ACTIVE"},
		{"migrating", nil, []string{"task_state=migrating"}, 0, "MIGRATING"}, // and no row says whither
		{"resize-prep", nil, []string{"task_state=resize_prep"}, 0, "RESIZE"},
		{"shelved-offloaded", nil, []string{"vm_state=shelved_offloaded", "host=NULL"}, 0, "SHELVED_OFFLOADED"},
	}
	ids := Boot(t, "cmp01", len(rows), "state")
	for i, row := range rows {
		if row.before != nil {
			row.before(ids[i])
		}
	}
	Known(t, "cmp01", len(rows))
	Fault(t, "power-cut", "cmp01")
	for i, row := range rows {
		if row.write != nil {
			Lab(t, append([]string{"row", ids[i]}, row.write...)...)
		}
	}
	Wait(t, "the recovery's end", 120*time.Second, func() bool { return Hosts()["cmp01"].Status == "recovered" })
	servers, posts := now(t), EvacuatePosts(t)
	for i, row := range rows {
		s, listed := servers[ids[i]]
		stays := s.Host == "cmp01" || s.Host == "-" // of no host
		if posts[ids[i]] != row.posts || s.Status != row.status || listed && stays != (row.posts == 0) {
			t.Errorf("%s: %d POSTs, %s on %s (task %s); want %d and %s", row.name, posts[ids[i]], s.Status, s.Host, s.Task, row.posts, row.status)
		}
		if row.posts > 0 {
			oneEvacuation(t, "cmp01", []string{s.ID})
		}
	}
	for i, row := range rows { // what is soft-deleted is not listed, and would be left behind
		switch row.status {
		case "":
			Lab(t, "row", ids[i], "vm_state=active")
		case "SHELVED_OFFLOADED": // its guest is there
			Lab(t, "row", ids[i], "vm_state=active", "host=cmp01")
		}
	}
	if t.Failed() {
		out, _ := CLI("recovery", Hosts()["cmp01"].Recovery)
		t.Log(out)
	}
	AssertNoSecondCopy(t)
}

// TestCrowd: three hosts die at once, storm limit 3, and their instances are
// evacuated in one order: the priorities one after the other, an anti-affinity group to
// three hosts.
func TestCrowd(t *testing.T) {
	each := 5
	if nightly() {
		each = 63
	}
	Up(t)
	As(t, "in_flight: "+strconv.Itoa(map[bool]int{true: 20, false: 4}[nightly()])+", storm: {count: 3, percent: 50, window: 60s, per_hour: 1000, cliff: {percent: 0}}, flap: {limit: 0}")
	group := strings.TrimSpace(Lab(t, "group", "apart", "anti-affinity"))
	rank, home := map[string]int{}, map[string]string{} // by server
	var apart, all []string
	dead := []string{"cmp01", "cmp02", "cmp04"} // not one rack
	for _, host := range dead {
		apart = append(apart, Boot(t, host, 1, "apart-"+host, "group="+group)...)
		for prefix, key := range map[string]string{"sooner": "lifeboat:priority=high", "plain": "", "later": "lifeboat:priority=low"} {
			n, keys := each, []string{key}
			if key == "" {
				keys = nil
			} else {
				n = max(each/5, 1)
			}
			for _, id := range Boot(t, host, n, append([]string{prefix + "-" + host}, keys...)...) {
				rank[id] = map[string]int{"sooner": 0, "plain": 1, "later": 2}[prefix]
				home[id] = host
				all = append(all, id)
			}
		}
	}
	all = append(all, apart...)
	Wait(t, "Lifeboat to know the instances", 60*time.Second, func() bool {
		hosts, n := Hosts(), 0
		for _, h := range dead {
			n += hosts[h].Instances
		}
		return n == len(all)
	})
	began := time.Now()
	for _, host := range dead {
		Fault(t, "power-cut", host)
	}
	for _, host := range dead {
		Wait(t, "the recovery of "+host, 15*time.Minute, func() bool { return Hosts()[host].Status == "recovered" })
	}
	t.Logf("%d servers of 3 hosts: recovered %.1f s after the first died", len(all), time.Since(began).Seconds())
	posts, at := EvacuatePosts(t), FirstPosts(t)
	for _, host := range dead { // each begins when its own list was read
		first, last := map[int]time.Time{}, map[int]time.Time{}
		for _, id := range all {
			r, ranked := rank[id]
			if !ranked || home[id] != host {
				continue
			}
			if first[r].IsZero() || at[id].Before(first[r]) {
				first[r] = at[id]
			}
			if at[id].After(last[r]) {
				last[r] = at[id]
			}
		}
		const lanes = 5 * time.Second // POSTs that are promised together leave side by side, and a busy Nova takes its time
		if first[1].Before(last[0].Add(-lanes)) || first[2].Before(last[1].Add(-lanes)) {
			t.Errorf("%s: high until %v, normal %v to %v, low from %v", host, last[0].Sub(began), first[1].Sub(began), last[1].Sub(began), first[2].Sub(began))
		}
	}
	homes := map[string]bool{}
	for _, s := range now(t) {
		if slices.Contains(apart, s.ID) {
			homes[s.Host] = true
		}
	}
	if len(homes) != 3 {
		t.Errorf("the anti-affinity group is on %v", slices.Collect(maps.Keys(homes)))
	}
	for _, id := range all {
		if posts[id] < 1 {
			t.Errorf("server %s: no POST", id)
		}
	}
	for _, host := range dead {
		var its []string
		for _, m := range Migrations(t, host) {
			if slices.Contains(all, m.Server) {
				its = append(its, m.Server)
			}
		}
		slices.Sort(its)
		oneEvacuation(t, host, slices.Compact(its))
	}
}

// TestCapacity: 10 instances want 7 places. Those of high priority go first, three wait
// and say why, and go when a host is added.
func TestCapacity(t *testing.T) {
	Up(t)
	As(t, "storm: {percent: 10, window: 5s, per_hour: 1000}, flap: {limit: 0}")
	Lab(t, "flavor", "lab-wide", "60000") // ten on a host
	for _, host := range []string{"cmp04", "cmp05", "cmp06"} {
		Lab(t, "disable", host)
	}
	Boot(t, "cmp02", 7, "filler-a", "flavor=lab-wide")
	Boot(t, "cmp03", 6, "filler-b", "flavor=lab-wide")
	plain := Boot(t, "cmp01", 6, "plain", "flavor=lab-wide")
	high := Boot(t, "cmp01", 4, "high", "flavor=lab-wide", "lifeboat:priority=high")
	Known(t, "cmp01", 10)
	Fault(t, "power-cut", "cmp01")
	left := func(ids []string) int {
		n, all := 0, now(t)
		for _, id := range ids {
			if all[id].Host == "cmp01" {
				n++
			}
		}
		return n
	}
	Wait(t, "7 of 10 to find a place", 120*time.Second, func() bool { return left(plain)+left(high) == 3 })
	if n := left(high); n != 0 {
		t.Errorf("%d of high priority wait while others went", n)
	}
	text := Explain(t, "cmp01")
	more, _ := CLI("recovery", Hosts()["cmp01"].Recovery)
	if !strings.Contains(text+more, "waits for room") {
		t.Errorf("nobody says why three wait:\n%s\n%s", text, more)
	}
	time.Sleep(10 * time.Second)
	for id, n := range EvacuatePosts(t) {
		if n > 1 {
			t.Errorf("server %s: %d POSTs though nothing had changed", id, n)
		}
	}
	Lab(t, "enable", "cmp04")
	Wait(t, "the recovery's end", 120*time.Second, func() bool { return Hosts()["cmp01"].Status == "recovered" })
	oneEvacuation(t, "cmp01", append(plain, high...))
	for _, host := range []string{"cmp05", "cmp06"} {
		Lab(t, "enable", host)
	}
}
