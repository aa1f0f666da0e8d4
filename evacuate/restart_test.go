package evacuate

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// guest performs what is asked of Nova for an instance that ended by itself.
func (c *cloud) guest(f *flight) {
	a, s := f.a, c.server(f.a.Server)
	if a.Step == StepLookGuest {
		f.out.Seen = &Observation{Moved: map[nova.ServerID]nova.Server{}, Gone: map[nova.ServerID]bool{}}
		if s == nil {
			f.out.Seen.Gone[a.Server] = true
		} else {
			f.out.Seen.Moved[a.Server] = *s
		}
		return
	}
	c.asked = append(c.asked, fmt.Sprintf("%s %s", a.Step, a.Server))
	from, to := nova.VMActive, nova.VMStopped
	if a.Step == StepStartGuest {
		from, to = to, from
	}
	fate := c.guestFate[string(a.Step)]
	if s.VMState != from || s.TaskState != "" || fate == "conflict" {
		f.out.OK, f.out.Definite, f.out.Cause, f.out.Detail = false, true, string(nova.FaultConflict), "HTTP 409"
		return
	}
	switch fate {
	case "lost":
		f.out.OK, f.out.Cause, f.out.Detail = false, string(nova.FaultTimeout), "no answer"
		return
	case "refused":
		f.out.OK, f.out.Definite, f.out.Cause, f.out.Detail = false, true, string(nova.FaultRefused), "HTTP 403"
		return
	case "never":
		return
	case "lingers":
		s.VMState = to // and its process is there still
		return
	case "timeout":
		f.out.OK, f.out.Cause, f.out.Detail = false, string(nova.FaultTimeout), "no answer"
	}
	s.VMState = to
	if h := c.host(s.Host); to == nova.VMActive {
		h.guests[s.ID] = true
	} else {
		delete(h.guests, s.ID)
	}
}

// dies has an instance's process die, and its agent tell.
func (c *cloud) dies(id nova.ServerID, kind detector.GuestEnd) {
	s := c.server(id)
	delete(c.host(s.Host).guests, id)
	c.ends = append(c.ends, detector.GuestEvent{ID: fmt.Sprintf("%s/a/%d", s.Host, len(c.ends)+1), Host: s.Host, Server: id, Kind: kind, At: c.now})
}

// restarting is a cloud that restarts instances which say so.
func restarting(t *testing.T) *cloud {
	c := libvirtCloud(t)
	c.guestFate = map[string]string{}
	c.policy.Restarts.Crashed = RestartDo
	c.core = NewCore(c.policy)
	for _, id := range []nova.ServerID{"vm1", "vm2", "vm3"} {
		c.server(id).Metadata = map[string]string{"lifeboat:restart": "true"}
	}
	c.run(20 * time.Second)
	return c
}

func (c *cloud) restartOf(id nova.ServerID) GuestRestart {
	var last GuestRestart
	for _, x := range c.state.GuestRestarts {
		if x.Server == id {
			last = x
		}
	}
	return last
}

// settled runs until nothing more comes of an end, and a little on.
func (c *cloud) settled(id nova.ServerID, most time.Duration) {
	for until := c.now.Add(most); c.now.Before(until); c.step() {
		if x := c.restartOf(id); x.Event != "" && !x.Open() {
			break
		}
	}
	c.run(5 * time.Second)
}

// TestRestart: an instance whose process died is stopped and started, each asked for
// once, and counts as done when it runs.
func TestRestart(t *testing.T) {
	c := restarting(t)
	c.dies("vm1", detector.GuestFailed)
	c.run(30 * time.Second)
	x := c.restartOf("vm1")
	if fmt.Sprint(c.asked) != "[stop-guest vm1 start-guest vm1]" || x.State != GuestDoneEnd || !c.host("cmp1").guests["vm1"] {
		t.Errorf("asked %v, %+v", c.asked, x)
	}
	if !c.journalHas("runs again") || c.state.GuestRestartCounts[GuestDoneEnd] != 1 {
		t.Errorf("not told: %+v", c.state.Journal)
	}
	c.dies("vm2", detector.GuestPanicked)
	c.server("vm2").VMState = nova.VMStopped // Nova has seen it itself
	c.run(30 * time.Second)
	if x := c.restartOf("vm2"); x.State != GuestDoneEnd || slices.Contains(c.asked, "stop-guest vm2") {
		t.Errorf("asked %v, %+v", c.asked, x)
	}
	if len(c.broken) > 0 {
		t.Error(c.broken)
	}
}

// TestRestartLeft: whatever speaks against it, Nova is asked for nothing, and it is said
// why.
func TestRestartLeft(t *testing.T) {
	for name, x := range map[string]struct {
		change func(c *cloud)
		kind   detector.GuestEnd
		why    string
	}{
		"policy says report":          {func(c *cloud) { c.core.policy.Restarts.Crashed = RestartReport }, detector.GuestFailed, "policy.guests.crashed is report"},
		"its storage failed":          {func(*cloud) {}, detector.GuestIOError, "does not name io-error"},
		"it does not say so":          {func(c *cloud) { c.server("vm1").Metadata = nil }, detector.GuestFailed, "opt-in"},
		"it says no":                  {func(c *cloud) { c.server("vm1").Metadata["lifeboat:restart"] = "no" }, detector.GuestFailed, "it says lifeboat:restart=no"},
		"not protected":               {func(c *cloud) { c.core.policy.Protect = ProtectOptIn }, detector.GuestFailed, "not protected"},
		"in maintenance":              {func(c *cloud) { _ = c.operator(Entry{Kind: KindHostMaintenance, Host: "cmp1", Flag: true}) }, detector.GuestFailed, "maintenance"},
		"mode approve":                {func(c *cloud) { _ = c.operator(Entry{Kind: KindMode, Host: "cmp1", Word: "approve"}) }, detector.GuestFailed, "mode is approve"},
		"mode observe":                {func(c *cloud) { _ = c.operator(Entry{Kind: KindMode, Word: "observe"}) }, detector.GuestFailed, "mode is observe"},
		"frozen":                      {func(c *cloud) { _ = c.operator(Entry{Kind: KindFreeze, Flag: true}) }, detector.GuestFailed, "frozen"},
		"Nova does not list it there": {func(c *cloud) { c.server("vm1").Host = "cmp2" }, detector.GuestFailed, "Nova did not list it"},
		"its owner has deleted it":    {func(c *cloud) { c.server("vm1").VMState = "soft-delete" }, detector.GuestFailed, "Nova calls it soft-delete"},
		"it is paused":                {func(c *cloud) { c.server("vm1").VMState = nova.VMPaused }, detector.GuestFailed, "Nova calls it paused"},
		"it is being worked on":       {func(c *cloud) { c.server("vm1").TaskState = "rebooting" }, detector.GuestFailed, "rebooting"},
		"it runs elsewhere":           {func(c *cloud) { c.lied = true; c.host("cmp3").guests["vm1"] = true }, detector.GuestFailed, "cmp3"},
		"its host's service is down":  {func(c *cloud) { c.host("cmp1").stays = true }, detector.GuestFailed, "is up: false"},
		"its host may be dying":       {func(c *cloud) { c.host("cmp1").verdict = detector.Suspect }, detector.GuestFailed, "cmp1 is Suspect"},
		"its host is being recovered": {func(c *cloud) {
			c.state.Recoveries["r9"] = &Recovery{ID: "r9", Host: "cmp1", Status: StatusRecovered, Steps: map[Step]*StepRecord{}}
		}, detector.GuestFailed, "recovery r9"},
	} {
		c := restarting(t)
		c.host("cmp2").guests["vm9"] = true // or cmp2 would tell of nothing at all
		c.dies("vm1", x.kind)
		x.change(c)
		c.settled("vm1", 7*time.Minute)
		r := c.restartOf("vm1")
		if r.State != GuestLeftEnd || !strings.Contains(r.Reason, x.why) || len(c.asked) > 0 {
			t.Errorf("%s: asked %v, %s %q, want %q", name, c.asked, r.State, r.Reason, x.why)
		}
	}
}

// TestRestartHostSuspect: as its host falls silent between stop and start, the start
// waits until the host is heard again.
func TestRestartHostSuspect(t *testing.T) {
	c := restarting(t)
	c.dies("vm1", detector.GuestFailed)
	for range 200 {
		if c.restartOf("vm1").State == GuestStoppingEnd {
			break
		}
		c.step()
	}
	c.host("cmp1").verdict = detector.Suspect
	c.run(time.Minute)
	if fmt.Sprint(c.asked) != "[stop-guest vm1]" {
		t.Errorf("asked %v of a host that is Suspect", c.asked)
	}
	c.host("cmp1").verdict = ""
	c.run(20 * time.Second)
	if x := c.restartOf("vm1"); x.State != GuestDoneEnd || len(c.asked) != 2 {
		t.Errorf("it is heard again: %s %q, asked %v", x.State, x.Reason, c.asked)
	}
}

// TestRestartOff: nothing is even noted.
func TestRestartOff(t *testing.T) {
	c := restarting(t)
	c.core.policy.Restarts.Crashed = RestartOff
	c.dies("vm1", detector.GuestFailed)
	if c.run(time.Minute); len(c.state.GuestRestarts) > 0 || len(c.asked) > 0 {
		t.Errorf("%+v %v", c.state.GuestRestarts, c.asked)
	}
}

// TestRestartLimit: what dies again and again is left after so many times, and may be
// restarted when these are past.
func TestRestartLimit(t *testing.T) {
	c := restarting(t)
	for range 5 {
		c.dies("vm1", detector.GuestFailed)
		c.settled("vm1", time.Minute)
		c.run(15 * time.Second)
	}
	starts := 0
	for _, a := range c.asked {
		if a == "start-guest vm1" {
			starts++
		}
	}
	if x := c.restartOf("vm1"); starts != c.policy.Restarts.Limit || x.State != GuestLeftEnd || !strings.Contains(x.Reason, "3 times within") {
		t.Errorf("started %d times, then %s %q", starts, x.State, x.Reason)
	}
	c.now = c.now.Add(time.Hour)
	c.host("cmp1").guests["vm1"], c.server("vm1").VMState = true, nova.VMActive
	c.run(20 * time.Second)
	c.dies("vm1", detector.GuestFailed)
	c.run(time.Minute)
	if x := c.restartOf("vm1"); x.State != GuestDoneEnd {
		t.Errorf("an hour later: %s %q", x.State, x.Reason)
	}
}

// TestRestartTogether: a panic is told twice, and is one end.
func TestRestartTogether(t *testing.T) {
	c := restarting(t)
	c.dies("vm1", detector.GuestPanicked)
	c.dies("vm1", detector.GuestCrashed)
	c.run(time.Minute)
	if n := len(c.state.GuestRestarts); n != 1 || len(c.asked) != 2 {
		t.Errorf("%d restarts for one end: %v", n, c.asked)
	}
}

// TestRestartAnswers: a request is sent once, whatever its answer; what it came to is
// read.
func TestRestartAnswers(t *testing.T) {
	for name, x := range map[string]struct {
		step, fate string
		state      GuestRestartState
		asked      int
	}{
		"the answer to the stop is lost":    {"stop-guest", "timeout", GuestDoneEnd, 2},
		"the stop is lost":                  {"stop-guest", "lost", GuestFailedEnd, 1},
		"the stop is taken, and no more":    {"stop-guest", "never", GuestFailedEnd, 1},
		"the stop is refused":               {"stop-guest", "refused", GuestFailedEnd, 1},
		"the answer to the start is lost":   {"start-guest", "timeout", GuestDoneEnd, 2},
		"the start is lost":                 {"start-guest", "lost", GuestFailedEnd, 2},
		"Nova is stopping it itself, a 409": {"stop-guest", "conflict", GuestFailedEnd, 1},
	} {
		c := restarting(t)
		c.guestFate[x.step] = x.fate
		c.dies("vm1", detector.GuestFailed)
		c.settled("vm1", 5*time.Minute)
		if r := c.restartOf("vm1"); r.State != x.state || len(c.asked) != x.asked {
			t.Errorf("%s: %s %q, asked %v", name, r.State, r.Reason, c.asked)
		}
	}
}

// TestRestartCrash: a leader that dies between the promise and its answer leaves a
// request that is never sent again.
func TestRestartCrash(t *testing.T) {
	for _, at := range []GuestRestartState{GuestStoppingEnd, GuestStartingEnd} {
		c := restarting(t)
		c.dies("vm1", detector.GuestFailed)
		for range 200 {
			if c.restartOf("vm1").State == at {
				break
			}
			c.step()
		}
		c.crash()
		c.settled("vm1", 10*time.Minute)
		seen := map[string]int{}
		for _, a := range c.asked {
			if seen[a]++; seen[a] > 1 {
				t.Errorf("leader died %s: %s was sent twice", at, a)
			}
		}
		if x := c.restartOf("vm1"); x.Open() {
			t.Errorf("leader died %s: it is still %s", at, x.State)
		}
	}
}

// TestRebootInPlace: what ran on a host that was booted anew before it was taken for dead
// is started again, the most important first, where policy says so.
func TestRebootInPlace(t *testing.T) {
	for name, x := range map[string]struct {
		change func(c *cloud)
		want   string
	}{
		"off":                        {func(c *cloud) { c.core.policy.Restarts.Rebooted = RestartOff }, "[]"},
		"report":                     {func(c *cloud) { c.core.policy.Restarts.Rebooted = RestartReport }, "[]"},
		"restart":                    {func(*cloud) {}, "[start-guest vm2 start-guest vm1]"},
		"Nova has not seen it":       {func(c *cloud) { c.server("vm1").VMState, c.server("vm2").VMState = nova.VMActive, nova.VMActive }, "[stop-guest vm2 stop-guest vm1 start-guest vm2 start-guest vm1]"},
		"one says no":                {func(c *cloud) { c.server("vm2").Metadata = map[string]string{"lifeboat:restart": "false"} }, "[start-guest vm1]"},
		"one was started by libvirt": {func(c *cloud) { c.host("cmp1").guests["vm1"] = true }, "[start-guest vm2]"},
	} {
		c := libvirtCloud(t)
		c.guestFate = map[string]string{}
		c.policy.Restarts.Rebooted = RestartDo
		c.core = NewCore(c.policy)
		c.server("vm2").Metadata = map[string]string{"lifeboat:priority": "high"}
		c.server("vm3").VMState = nova.VMStopped
		delete(c.host("cmp1").guests, "vm3")
		c.run(20 * time.Second)
		h := c.host("cmp1")
		h.guests = map[nova.ServerID]bool{}
		h.boot, h.heardAs = "rebooted", "rebooted"
		h.verdict, h.stays = detector.Rebooted, true // nova-compute takes longer
		if name == "one says no" || name == "off" || name == "report" {
			x.change(c)
		}
		c.run(2 * time.Second)
		if name != "Nova has not seen it" {
			c.server("vm1").VMState, c.server("vm2").VMState = nova.VMStopped, nova.VMStopped
		}
		x.change(c)
		c.run(10 * time.Second)
		h.verdict, h.stays = "", false
		c.run(20 * time.Second)
		if got := fmt.Sprint(c.asked); got != x.want {
			t.Errorf("%s: asked %s, want %s: %+v", name, got, x.want, c.state.GuestRestarts)
		}
		if c.recovery("cmp1") != nil {
			t.Errorf("%s: a recovery was opened", name)
		}
	}
}

// TestRestartApply: the ledger takes each promise once, and none that something else
// stands against.
func TestRestartApply(t *testing.T) {
	begun := GuestRestart{Event: "e1", Server: "vm1", Host: "cmp1", Cause: detector.GuestFailed, At: t0, State: GuestPlannedEnd}
	stop := begun
	stop.State, stop.Stop = GuestStoppingEnd, t0
	again := stop
	again.Stop = t0.Add(time.Minute)
	other := begun
	other.Event = "e2"
	done := stop
	done.State = GuestDoneEnd
	for name, c := range map[string]struct {
		before []GuestRestart
		change func(s *State)
		next   GuestRestart
		why    string // "": it is taken
	}{
		"the first word":        {nil, nil, begun, ""},
		"the stop":              {[]GuestRestart{begun}, nil, stop, ""},
		"the same stop":         {[]GuestRestart{begun, stop}, nil, stop, ""},
		"another stop":          {[]GuestRestart{begun, stop}, nil, again, "promised once"},
		"after its end":         {[]GuestRestart{begun, stop, done}, nil, stop, "done already"},
		"another of the same":   {[]GuestRestart{begun}, nil, other, "another restart"},
		"its host is recovered": {[]GuestRestart{begun}, func(s *State) { s.Recoveries["r1"] = &Recovery{ID: "r1", Host: "cmp1", Status: StatusOpen} }, stop, "recovery r1"},
		"in maintenance":        {[]GuestRestart{begun}, func(s *State) { s.Hosts["cmp1"].Maintenance = true }, stop, "maintenance"},
		"frozen":                {[]GuestRestart{begun}, func(s *State) { s.Frozen = true }, stop, "frozen"},
		"it runs twice":         {[]GuestRestart{begun}, func(s *State) { s.Guests = &GuestRecord{Twins: []Twin{{Server: "vm1"}}} }, stop, "runs twice"},
		"it is evacuated from there": {[]GuestRestart{begun}, func(s *State) {
			s.Recoveries["r1"] = &Recovery{ID: "r1", Host: "cmp9", Status: StatusOpen, Evacuations: []*Evacuation{{Server: "vm1", State: EvacFollowing}}}
		}, stop, "being evacuated from cmp9"},
		"frozen, and it ends": {[]GuestRestart{begun, stop}, func(s *State) { s.Frozen = true }, done, ""},
	} {
		s := NewState()
		s.Mode = ModeAuto
		s.Hosts["cmp1"] = &Host{Name: "cmp1"}
		for _, x := range c.before {
			if err := s.apply(1, Entry{Kind: KindRestart, At: t0, GuestRestart: &x}); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if c.change != nil {
			c.change(s)
		}
		err := s.apply(1, Entry{Kind: KindRestart, At: t0, GuestRestart: &c.next})
		if (err == nil) != (c.why == "") || err != nil && !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: %v, want %q", name, err, c.why)
		}
		a := Action{Host: "cmp1", Server: "vm1", Step: StepStopGuest, Reason: "e1"}
		w := World{}
		if ok := PermitsNow(s, &w, DefaultPolicy(), a) == nil; ok != (err == nil && c.next.State == GuestStoppingEnd || name == "another stop") {
			t.Errorf("%s: the stop is permitted: %t", name, ok)
		}
	}
}

// TestRebootUntold: where no libvirt tells, nothing is stopped before Nova itself knows
// that the instance is down: it may have been started at boot.
func TestRebootUntold(t *testing.T) {
	c := libvirtCloud(t)
	c.libvirt, c.guestFate = false, map[string]string{}
	c.policy.Restarts.Rebooted = RestartDo
	c.core = NewCore(c.policy)
	c.run(20 * time.Second)
	h := c.host("cmp1")
	h.boot, h.heardAs, h.verdict = "rebooted", "rebooted", detector.Rebooted
	for _, s := range c.servers {
		s.PowerState = nova.PowerRunning
	}
	c.run(15 * time.Second)
	h.verdict = ""
	if c.run(2 * time.Minute); len(c.asked) > 0 {
		t.Fatalf("asked %v of instances that may run", c.asked)
	}
	c.server("vm2").PowerState = nova.PowerShutdown
	c.run(20 * time.Second)
	if fmt.Sprint(c.asked) != "[stop-guest vm2 start-guest vm2]" {
		t.Errorf("asked %v", c.asked)
	}
}

// TestLeftInPlace: what was not moved off a dead host is started there again once it is
// back in service, where the policy of a reboot says so; what was moved is not.
func TestLeftInPlace(t *testing.T) {
	for name, x := range map[string]struct {
		policy Restarting
		want   string
	}{"off": {RestartOff, "[]"}, "report": {RestartReport, "[]"}, "restart": {RestartDo, "[start-guest vm1 start-guest vm2]"}} {
		c := libvirtCloud(t)
		c.policy.Restarts.Rebooted = x.policy
		c.core = NewCore(c.policy)
		c.server("vm1").VolumeBooted, c.server("vm1").RAMMiB = false, 4096
		c.server("vm2").VolumeBooted = false
		h := c.host("cmp1")
		h.off()
		c.run(time.Minute)
		if err := c.operator(Entry{Kind: KindReturn, Recovery: c.recovery("cmp1").ID, Return: &Return{Asked: c.now, By: "ann", Reason: "repaired"}}); err != nil {
			t.Fatal(err)
		}
		for _, id := range []nova.ServerID{"vm1", "vm2"} { // Nova finds them down as the host comes back
			c.server(id).VMState = nova.VMStopped
		}
		c.run(5 * time.Minute)
		r := c.recovery("cmp1")
		if got := fmt.Sprint(c.asked); got != x.want || r.Outcome != OutcomeReturned || len(c.broken) > 0 {
			t.Errorf("%s: asked %s, want %s; %s, %+v, %v", name, got, x.want, r.Status, c.state.GuestRestarts, c.broken)
		}
		if s := c.server("vm3"); s.Host == "cmp1" {
			t.Errorf("%s: vm3 was not moved", name)
		}
	}
}

// TestLeftInPlaceCrash: a leader that dies as a host is back in service leaves that to the next,
// which has no list of the host's instances at first.
func TestLeftInPlaceCrash(t *testing.T) {
	c := libvirtCloud(t)
	c.policy.Restarts.Rebooted = RestartDo
	c.core = NewCore(c.policy)
	c.server("vm1").VolumeBooted = false
	c.host("cmp1").off()
	c.run(time.Minute)
	if err := c.operator(Entry{Kind: KindReturn, Recovery: c.recovery("cmp1").ID, Return: &Return{Asked: c.now, By: "ann", Reason: "repaired"}}); err != nil {
		t.Fatal(err)
	}
	c.server("vm1").VMState = nova.VMStopped
	c.crashAt = "done:close"
	c.run(5 * time.Minute)
	if got := fmt.Sprint(c.asked); got != "[start-guest vm1]" || c.crashAt != "" || len(c.broken) > 0 {
		t.Errorf("asked %s, crash %q to come, %+v, %v", got, c.crashAt, c.state.GuestRestarts, c.broken)
	}
}

// TestLeftEnds: started in place is only what ran, was left, and can run nowhere else.
func TestLeftEnds(t *testing.T) {
	for name, x := range map[string]struct {
		change func(b *Instance, e *Evacuation, s *nova.Server)
		want   int
	}{
		"it ran and was left":           {func(*Instance, *Evacuation, *nova.Server) {}, 1},
		"it was moved":                  {func(_ *Instance, e *Evacuation, _ *nova.Server) { e.State = EvacDone }, 0},
		"it was sent once":              {func(_ *Instance, e *Evacuation, _ *nova.Server) { e.Attempt = 1 }, 0},
		"it may run at the other end":   {func(_ *Instance, e *Evacuation, _ *nova.Server) { e.Revisit = true }, 0},
		"it may run where it failed":    {func(_ *Instance, e *Evacuation, _ *nova.Server) { e.Doubts = []Doubt{{Host: "cmp2"}} }, 0},
		"it was stopped":                {func(b *Instance, _ *Evacuation, _ *nova.Server) { b.VMState = nova.VMStopped }, 0},
		"it was being migrated":         {func(b *Instance, _ *Evacuation, _ *nova.Server) { b.Task = nova.TaskMigrating }, 0},
		"something is being done to it": {func(_ *Instance, _ *Evacuation, s *nova.Server) { s.TaskState = "rebooting" }, 0},
		"somebody has moved it":         {func(_ *Instance, _ *Evacuation, s *nova.Server) { s.Host = "cmp2" }, 0},
		"it was never of that recovery": {func(_ *Instance, e *Evacuation, _ *nova.Server) { e.Server = "other" }, 0},
		"its owner does not want it back": {func(_ *Instance, _ *Evacuation, s *nova.Server) {
			s.Metadata = map[string]string{"lifeboat:restart": "false"}
		}, 1}, // left, and told
	} {
		c := libvirtCloud(t)
		c.policy.Restarts.Rebooted = RestartDo
		c.core = NewCore(c.policy)
		b, e := Instance{ID: "vm1", VMState: nova.VMActive}, &Evacuation{Server: "vm1", State: EvacSkipped}
		x.change(&b, e, c.server("vm1"))
		c.core.state, c.core.world, c.core.ready = c.state, c.world(), Ready{}
		c.core.leftEnds(&Recovery{ID: "r9", Host: "cmp1", Before: []Instance{b}, Evacuations: []*Evacuation{e}})
		if got := len(c.core.ready.Commit); got != x.want {
			t.Errorf("%s: %d entries, want %d", name, got, x.want)
		}
	}
}
