package evacuate

import (
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// TestLoad counts what is in flight, and says whether one more may be left to the
// scheduler.
func TestLoad(t *testing.T) {
	type flight struct {
		state    EvacState
		dest, to nova.HostName
		age      time.Duration
	}
	under := func(n int, f flight) (all []flight) {
		for range n {
			all = append(all, f)
		}
		return all
	}
	for _, c := range []struct {
		name    string
		perDest int
		flights []flight
		total   int
		free    bool
	}{
		{"nothing under way", 0, nil, 0, true},
		{"no limit by destination", 0, under(7, flight{state: EvacFollowing, dest: "cmp2"}), 7, true},
		{"ended ones take no room", 2, append(under(5, flight{state: EvacDone, dest: "cmp2"}), under(5, flight{state: EvacFailed})...), 0, true},
		{"those without a destination count", 3, under(2, flight{state: EvacIntent, age: time.Second}), 2, true},
		{"as many without one as one may have", 3, under(3, flight{state: EvacIntent, age: time.Second}), 3, false},
		{"spread", 3, append(under(2, flight{state: EvacFollowing, dest: "cmp2"}), under(2, flight{state: EvacFollowing, dest: "cmp3"})...), 4, true},
		{"one destination is full", 3, under(3, flight{state: EvacFollowing, dest: "cmp2"}), 3, false},
		{"one that was named is full", 3, under(3, flight{state: EvacIntent, to: "cmp2"}), 3, false},
		{"full, but down", 3, under(3, flight{state: EvacFollowing, dest: "cmp8"}), 3, true},
		{"full, but disabled", 3, under(3, flight{state: EvacFollowing, dest: "cmp9"}), 3, true},
		{"nobody claims them", 3, under(3, flight{state: EvacFollowing, age: 2 * time.Minute}), 3, true},
		{"stuck ones take no room", 3, under(3, flight{state: EvacFollowing, dest: "cmp2", age: DefaultPolicy().Stuck}), 0, true},
		{"stuck ones of which nothing is known", 3, under(3, flight{state: EvacIntent, age: DefaultPolicy().Stuck}), 0, true},
		{"at a host that is proven off nobody works", 3, under(3, flight{state: EvacFollowing, to: "cmp7"}), 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			core, r := aiming(), &Recovery{ID: "r1", Host: "cmp1", Status: StatusOpen}
			core.policy.PerDestination = c.perDest
			for _, f := range c.flights {
				r.Evacuations = append(r.Evacuations, &Evacuation{State: f.state, Dest: f.dest, To: nova.Target{Host: f.to}, Intent: t0.Add(-f.age)})
			}
			core.state.Recoveries["r1"], core.state.Recoveries["r7"] = r, provenOff("r7", "cmp7")
			l := core.load()
			if l.total != c.total || core.free(l) != c.free {
				t.Errorf("%d in flight, free %t; want %d, %t", l.total, core.free(l), c.total, c.free)
			}
		})
	}
}

// aiming is a core that sees five hosts: cmp1 died, cmp2 to cmp4 are like it, cmp8 is
// down, cmp9 disabled.
func aiming() *Core {
	core := NewCore(DefaultPolicy())
	core.state = NewState()
	core.world = World{Now: t0, Verdicts: map[nova.HostName]detector.Verdict{}, Servers: map[nova.HostName][]nova.Server{},
		Rooms: RoomSight{At: t0, By: map[nova.HostName]nova.Room{}},
		Nova:  NovaSight{AggregatesAt: t0, Services: map[nova.HostName]nova.Service{"cmp1": {State: nova.StateDown, Zone: "az1"}}}}
	for _, h := range []nova.HostName{"cmp2", "cmp3", "cmp4", "cmp8", "cmp9"} {
		state := nova.StateUp
		if h == "cmp8" {
			state = nova.StateDown
		}
		core.world.Nova.Services[h] = nova.Service{Host: h, State: state, Zone: "az1", Disabled: h == "cmp9"}
		core.world.Verdicts[h] = detector.Verdict{Host: h, State: detector.Healthy}
		core.world.Rooms.By[h] = nova.Room{Left: nova.Size{VCPUs: 16, RAMMiB: 4096, DiskGiB: 100}}
	}
	return core
}

// TestAim: one thing is changed at a time; where nothing good is left to name, Nova's
// scheduler chooses, and where it would certainly find no host, the instance waits.
func TestAim(t *testing.T) {
	only := func(c *Core, hosts ...nova.HostName) {
		for _, h := range []nova.HostName{"cmp2", "cmp3", "cmp4"} {
			keep := false
			for _, x := range hosts {
				keep = keep || x == h
			}
			if !keep {
				c.world.Rooms.By[h] = nova.Room{}
			}
		}
	}
	member := func(group, id string) nova.Server {
		return nova.Server{ID: nova.ServerID(id), Apart: []string{group}, Together: []string{group}}
	}
	for name, tt := range map[string]struct {
		change func(c *Core, e *Evacuation, l *load)
		want   nova.HostName // "": the scheduler's
		force  bool
		wait   string
	}{
		"the first by name": {func(*Core, *Evacuation, *load) {}, "cmp2", false, ""},
		"the least busy":    {func(_ *Core, _ *Evacuation, l *load) { l.to["cmp2"], l.to["cmp3"] = 1, 1 }, "cmp4", false, ""},
		"the roomiest": {func(c *Core, _ *Evacuation, _ *load) {
			c.world.Rooms.By["cmp3"] = nova.Room{Left: nova.Size{VCPUs: 16, RAMMiB: 8192, DiskGiB: 100}}
		}, "cmp3", false, ""},
		"the scheduler by policy":  {func(c *Core, _ *Evacuation, _ *load) { c.policy.Destinations = DestinationsScheduler }, "", false, ""},
		"the name was refused":     {func(_ *Core, e *Evacuation, _ *load) { e.Free = true }, "", false, ""},
		"it asks for more":         {func(_ *Core, e *Evacuation, _ *load) { e.Odd = true }, "", false, ""},
		"one that failed it":       {func(_ *Core, e *Evacuation, _ *load) { e.Avoid = []nova.HostName{"cmp2"} }, "cmp3", false, ""},
		"Placement is silent":      {func(c *Core, e *Evacuation, _ *load) { e.Size.RAMMiB = 1 << 20; c.world.Rooms.At = t0.Add(-roomsFresh) }, "", false, ""},
		"aggregates are not known": {func(c *Core, _ *Evacuation, _ *load) { c.world.Nova.AggregatesAt = time.Time{} }, "", false, ""},
		"another zone": {func(c *Core, _ *Evacuation, _ *load) {
			only(c, "cmp3")
			s := c.world.Nova.Services["cmp3"]
			s.Zone = "az2"
			c.world.Nova.Services["cmp3"] = s
		}, "", false, ""},
		"another aggregate": {func(c *Core, _ *Evacuation, _ *load) {
			c.world.Nova.Aggregates = []nova.Aggregate{{Name: "gpu", Hosts: []nova.HostName{"cmp2"}}}
		}, "cmp3", false, ""},
		"suspect": {func(c *Core, _ *Evacuation, _ *load) {
			c.world.Verdicts["cmp2"] = detector.Verdict{State: detector.Suspect}
		}, "cmp3", false, ""},
		"being recovered": {func(c *Core, _ *Evacuation, _ *load) {
			c.state.Recoveries["r2"] = &Recovery{ID: "r2", Host: "cmp2", Status: StatusOpen}
		}, "cmp3", false, ""},
		"in maintenance": {func(c *Core, _ *Evacuation, _ *load) { c.state.Hosts["cmp2"] = &Host{Maintenance: true} }, "cmp3", false, ""},
		"disabled in Placement": {func(c *Core, _ *Evacuation, _ *load) {
			r := c.world.Rooms.By["cmp2"]
			r.Disabled = true
			c.world.Rooms.By["cmp2"] = r
		}, "cmp3", false, ""},
		"full by what is on its way": {func(_ *Core, _ *Evacuation, l *load) { l.taken["cmp2"] = nova.Size{RAMMiB: 4096} }, "cmp3", false, ""},
		"room on no host":            {func(_ *Core, e *Evacuation, _ *load) { e.Size.RAMMiB = 4097 }, "", false, waitsRoom},
		"room on unlike hosts only": {func(c *Core, _ *Evacuation, _ *load) {
			c.world.Nova.Aggregates = []nova.Aggregate{{Name: "gpu", Hosts: []nova.HostName{"cmp2", "cmp3", "cmp4"}}}
		}, "", false, ""},
		"room on a disabled host only": {func(c *Core, e *Evacuation, _ *load) { only(c); e.Size.RAMMiB = 1 }, "", false, waitsRoom},
		"a destination rebuilds as many as it may": {func(c *Core, _ *Evacuation, l *load) {
			c.policy.PerDestination = 2
			l.to["cmp2"], l.to["cmp3"], l.to["cmp4"] = 2, 2, 2
		}, "", false, "as many as it may"},
		"anti-affinity: not where a member lives": {func(c *Core, e *Evacuation, _ *load) {
			e.Apart = []string{"g"}
			c.world.Servers["cmp2"] = []nova.Server{member("g", "vm2")}
		}, "cmp3", false, ""},
		"anti-affinity: a sibling is on its way": {func(c *Core, e *Evacuation, _ *load) {
			e.Apart = []string{"g"}
			c.state.Recoveries["r2"] = &Recovery{ID: "r2", Host: "cmp5", Status: StatusOpen, Evacuations: []*Evacuation{{Server: "vm2", Apart: []string{"g"}, State: EvacFollowing, Intent: t0}}}
		}, "", false, "another member"},
		"anti-affinity: a sibling has hung for a minute": {func(c *Core, e *Evacuation, _ *load) {
			e.Apart = []string{"g"}
			c.state.Recoveries["r2"] = &Recovery{ID: "r2", Host: "cmp5", Status: StatusOpen, Opened: t0.Add(-time.Hour),
				Evacuations: []*Evacuation{{Server: "vm2", Apart: []string{"g"}, State: EvacFollowing, Dest: "cmp2", Intent: t0.Add(-claimed)}}}
		}, "cmp3", false, ""},
		"affinity: where a member lives": {func(c *Core, e *Evacuation, _ *load) {
			e.Together = []string{"g"}
			c.world.Servers["cmp4"] = []nova.Server{member("g", "vm2")}
		}, "cmp4", false, ""},
		"affinity: where a member lives is full": {func(c *Core, e *Evacuation, _ *load) {
			e.Together = []string{"g"}
			c.world.Servers["cmp4"] = []nova.Server{member("g", "vm2")}
			c.world.Rooms.By["cmp4"] = nova.Room{Left: nova.Size{VCPUs: 1, RAMMiB: 1023, DiskGiB: 100}}
		}, "", false, waitsAffinity + ": it may only go where its group lives (cmp4)"},
		"affinity: where a member lives is disabled": {func(c *Core, e *Evacuation, _ *load) {
			e.Together = []string{"g"}
			c.world.Servers["cmp9"] = []nova.Server{member("g", "vm2")}
		}, "", false, waitsAffinity + ": it may only go where its group lives (cmp9)"},
		"kept in its zone":            {func(_ *Core, e *Evacuation, _ *load) { e.Zone = "az1" }, "cmp2", false, ""},
		"kept in a zone without room": {func(_ *Core, e *Evacuation, _ *load) { e.Zone = "az2" }, "", false, waitsRoom + ": no host of zone az2"},
		"sent twice to a bad host": {func(_ *Core, e *Evacuation, _ *load) {
			e.Odd, e.Elsewhere, e.Avoid = true, true, []nova.HostName{"cmp2"}
		}, "cmp3", false, ""},
		"sent twice to a bad host, and none like it is left": {func(c *Core, e *Evacuation, _ *load) {
			e.Elsewhere, e.Avoid = true, []nova.HostName{"cmp2", "cmp3"}
			s := c.world.Nova.Services["cmp4"]
			s.Zone = "az2"
			c.world.Nova.Services["cmp4"] = s
		}, "cmp4", false, ""},
		"sent twice to a bad host, and all were named": {func(_ *Core, e *Evacuation, _ *load) {
			e.Elsewhere, e.Avoid = true, []nova.HostName{"cmp2", "cmp3", "cmp4"}
		}, "", false, ""},
		"affinity: alone in its group": {func(_ *Core, e *Evacuation, _ *load) { e.Together = []string{"g"} }, "cmp2", false, ""},
		"affinity: all are dead":       {func(c *Core, e *Evacuation, _ *load) { dead(c, e) }, "", false, waitsAffinity},
		"affinity: all are dead, by force": {func(c *Core, e *Evacuation, _ *load) {
			dead(c, e)
			c.policy.Affinity = AffinityForce
		}, "cmp2", true, ""},
		"affinity: by force to nobody": {func(c *Core, e *Evacuation, _ *load) {
			dead(c, e)
			c.policy.Affinity = AffinityForce
			e.Odd = true
		}, "", false, waitsAffinity},
		"affinity: a sibling has arrived": {func(c *Core, e *Evacuation, _ *load) {
			dead(c, e)
			x := c.state.Recoveries["r1"].Evacuations[0]
			x.State, x.Dest = EvacDone, "cmp3"
		}, "cmp3", false, ""},
	} {
		c, l := aiming(), &load{to: map[nova.HostName]int{}, taken: map[nova.HostName]nova.Size{}}
		r := &Recovery{ID: "r1", Host: "cmp1", Status: StatusOpen}
		c.state.Recoveries["r1"] = r
		e := &Evacuation{Server: "vm1", State: EvacPlanned, Size: nova.Size{VCPUs: 1, RAMMiB: 1024, DiskGiB: 10}}
		tt.change(c, e, l)
		got := c.aim(r, e, l)
		if got.to.Host != tt.want || got.to.Force != tt.force || (tt.wait == "") != (got.wait == "") || !strings.Contains(got.wait, tt.wait) {
			t.Errorf("%s: %+v, want %q force %t wait %q", name, got, tt.want, tt.force, tt.wait)
		}
	}
}

// dead puts another member of an affinity group on the same dead host.
func dead(c *Core, e *Evacuation) {
	e.Together = []string{"g"}
	c.state.Recoveries["r1"].Evacuations = []*Evacuation{{Server: "vm2", Together: []string{"g"}, State: EvacPlanned}, e}
}

func TestWindow(t *testing.T) {
	var w window
	if w.limit(40) != windowFirst || w.limit(4) != 4 {
		t.Errorf("begins at %d, %d under a limit of 4", w.limit(40), w.limit(4))
	}
	for range 100 {
		w.done(time.Second, 40)
	}
	if w.limit(40) != 40 {
		t.Errorf("after 100 quick ones %d", w.limit(40))
	}
	w.trouble(t0, 40)
	w.trouble(t0.Add(time.Second), 40)
	if w.limit(40) != 20 {
		t.Errorf("after one trouble, and its echo, %d", w.limit(40))
	}
	w.done(time.Second, 40)
	if got := w.limit(40); got != 20 {
		t.Errorf("grows slowly after trouble, not to %d", got)
	}
	for range 200 {
		w.done(time.Minute, 40)
	}
	if got := w.limit(40); got != 20 {
		t.Errorf("grows though the builds queue: %d", got)
	}
	for i := range 20 {
		w.trouble(t0.Add(time.Duration(i)*time.Minute), 40)
	}
	if w.limit(40) != windowLeast {
		t.Errorf("never below %d: %d", windowLeast, w.limit(40))
	}
	for hosts, want := range map[int][2]int{0: {20, 80}, 3: {20, 30}, 10: {50, 80}, 40: {80, 80}} {
		w := window{hosts: hosts}
		first := w.limit(80)
		for range 300 {
			w.done(time.Second, 80)
		}
		if got := [2]int{first, w.limit(80)}; got != want {
			t.Errorf("%d hosts: at first and at most %v, want %v", hosts, got, want)
		}
	}
	yields := window{size: 60, best: time.Second}
	for range 400 {
		yields.done(time.Minute, 80)
	}
	if yields.limit(80) != windowFirst {
		t.Errorf("with all of them slow it yields to %d", yields.limit(80))
	}
	w.trouble(t0.Add(-time.Hour), 40) // its clock was set back
	w.done(time.Second, 40)
	if w.limit(1) != 1 {
		t.Errorf("the policy's limit stands above it: %d", w.limit(1))
	}
}
