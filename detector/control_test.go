package detector

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

func someControl(d dice) Control {
	c := Control{Condition: pickOne(d, "", ControlPlaneFault, VIPSplit, SegmentFault), Reason: ReasonVIPUnreached, Detail: "random"}
	if c.Condition == SegmentFault {
		c.Domains = []Domain{pickOne(d, Domain("rack1"), "rack2", "rack3")}
	}
	return c
}

func somePath(d dice) *PathSight {
	s := &PathSight{Age: pickOne(d, someAges...), Others: d(6)}
	s.OthersUp = d(s.Others + 1)
	if d(2) == 0 {
		s.Fails = []string{"nova"}
	}
	return s
}

// TestVIPFencesNobody holds random evidence against the same with random words on the
// control plane's address: they may hold a host back, and never condemn one.
func TestVIPFencesNobody(t *testing.T) {
	p := DefaultPolicy()
	for seed := range uint64(4000) {
		d := seeded(seed)
		v := randomView(d)
		if d(2) == 0 {
			v = nearRow(d)
		}
		without := Judge(v, p)
		v.Path = somePath(d)
		with := Judge(v, p)
		if with.Condemned() && !without.Condemned() || with.Down() && !without.Down() || with.Nearness() > without.Nearness() {
			t.Fatalf("seed %d: %+v turned %s (%s) into %s (%s)", seed, v.Path, without.State, without.Reason, with.State, with.Reason)
		}
		cloud := CloudView{Verdicts: map[nova.HostName]Verdict{}, Writable: d(10) > 0, Voters: 3, Fresh: 3 - d(2), NovaFresh: 15 * time.Second, StormLimit: 1}
		for i := range 2 + d(6) {
			x := nearRow(d)
			x.Host, x.Domain = nova.HostName(rune('a'+i)), pickOne(d, Domain("rack1"), "rack2", "rack3")
			cloud.Verdicts[x.Host] = Judge(x, p)
		}
		plain := Survey(cloud, p)
		cloud.Control = someControl(d)
		watched := Survey(cloud, p)
		for host, verdict := range cloud.Verdicts {
			if plain.Holds(verdict) && !watched.Holds(verdict) {
				t.Fatalf("seed %d: %s is held for %s, and not any more (%s) once %+v is known", seed, host, plain.Condition, watched.Condition, cloud.Control)
			}
		}
		if c := cloud.Control.Condition; (c == ControlPlaneFault || c == VIPSplit) && watched.Condition != LedgerReadOnly {
			for host, verdict := range cloud.Verdicts {
				if !watched.Holds(verdict) {
					t.Fatalf("seed %d: %s is not held although the control plane is ill: %s", seed, host, watched.Condition)
				}
			}
		}
	}
}

// TestPathOf is the row "alive, fails, others do not" of the VIP's table, and where
// it does not apply.
func TestPathOf(t *testing.T) {
	heardWell := func(path *PathSight) View {
		v := View{Host: "cmp1", Domain: "rack1", Voters: 3, KnownBoot: "b1", LeavingFor: -1, HeardFor: time.Hour, Path: path}
		for _, c := range []Observer{"ctl1", "ctl2", "ctl3"} {
			v.Controllers = append(v.Controllers, Hearing{Controller: c, HeardAge: 500 * ms, Boot: "b1"})
		}
		return v
	}
	for name, test := range map[string]struct {
		path *PathSight
		want State
	}{
		"nobody asks":                {nil, Healthy},
		"all reached":                {&PathSight{Others: 4, OthersUp: 4}, Healthy},
		"alone":                      {&PathSight{Fails: []string{"nova"}, Others: 4, OthersUp: 4}, PathFault},
		"four of five others":        {&PathSight{Fails: []string{"nova"}, Others: 5, OthersUp: 4}, PathFault},
		"too few others reach it":    {&PathSight{Fails: []string{"nova"}, Others: 5, OthersUp: 3}, Healthy},
		"no others":                  {&PathSight{Fails: []string{"nova"}}, Healthy},
		"it said so long ago":        {&PathSight{Age: 9 * time.Second, Fails: []string{"nova"}, Others: 4, OthersUp: 4}, Healthy},
		"within three rounds of old": {&PathSight{Age: 8 * time.Second, Fails: []string{"nova"}, Others: 4, OthersUp: 4}, PathFault},
	} {
		got := Judge(heardWell(test.path), DefaultPolicy())
		if got.State != test.want || test.want == PathFault && got.Reason != ReasonPathVIP {
			t.Errorf("%s: %s (%s), want %s", name, got.State, got.Reason, test.want)
		}
		if probe, power := got.Wanted(); test.want == PathFault && (probe || power) {
			t.Errorf("%s: a host that is heard is probed (%t) or its BMC asked (%t) for it", name, probe, power)
		}
	}
}

// TestRowsReachTheLeader: the leader may be the one controller that a host does not
// reach; then a follower's report tells of its row.
func TestRowsReachTheLeader(t *testing.T) {
	now := time.Date(2026, 11, 21, 6, 0, 0, 0, time.UTC)
	row := &PathRow{List: 7, Words: []PathWord{PathOK, PathSilent}, Age: 2 * time.Second}
	follower, leader := NewTable(DefaultPolicy()), NewTable(DefaultPolicy())
	follower.Heartbeat("ctl2", Heartbeat{Host: "cmp1", Boot: "b1", Paths: row}, now)
	well := &PathRow{List: 7, Words: []PathWord{PathOK, PathOK}}
	follower.Heartbeat("ctl2", Heartbeat{Host: "cmp2", Boot: "b1", Paths: well}, now)
	b, err := json.Marshal(follower.Report("ctl2", RingView{}, now.Add(time.Second)))
	if err != nil {
		t.Fatal(err)
	}
	var r Report
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	leader.Merge(r, now.Add(time.Second))
	paths := leader.Paths(now.Add(time.Second))
	if len(paths) != 1 || paths[0].Host != "cmp1" || paths[0].Row.Age != 3*time.Second || paths[0].Row.Words[1] != PathSilent {
		t.Errorf("the leader knows %+v", paths)
	}
	// What it hears itself, and later, counts.
	leader.Heartbeat("ctl1", Heartbeat{Host: "cmp1", Boot: "b1", Paths: well}, now.Add(2*time.Second))
	leader.Merge(r, now.Add(time.Second))
	if paths := leader.Paths(now.Add(2 * time.Second)); len(paths) != 1 || paths[0].Row.Fails() {
		t.Errorf("an older row took the place of a newer one: %+v", paths)
	}
}

func TestMAC(t *testing.T) {
	var m MAC
	if err := m.UnmarshalText([]byte("02:00:5e:10:00:Ff")); err != nil || m.String() != "02:00:5e:10:00:ff" {
		t.Errorf("%v %s", err, m)
	}
	for _, wrong := range []string{"02:00", "02:00:5e:10:00:zz", "nonsense"} {
		if m.UnmarshalText([]byte(wrong)) == nil {
			t.Errorf("%s is taken for an Ethernet address", wrong)
		}
	}
}
