package evacuate

import (
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// stopAgain is Nova's stop of an instance that was moved.
func (c *cloud) stopAgain(f *flight, o *Outcome) time.Duration {
	a := f.a
	s, e := c.server(a.Server), c.state.Recoveries[a.Recovery].Evacuation(a.Server)
	if e.Stop != StopSent || e.Stops != a.Attempt || e.VMState != nova.VMStopped {
		c.breaks("stop of %s without its committed intent", a.Server)
	}
	fate := next(c.stopFate, a.Server)
	fail := func(definite bool, cause nova.Fault, detail string) time.Duration {
		o.OK, o.Definite, o.Cause, o.Detail = false, definite, string(cause), detail
		return pulse
	}
	switch {
	case s == nil:
		return fail(true, nova.FaultNotFound, "no such server")
	case fate == "lost":
		fail(false, nova.FaultTimeout, "no answer in time")
		return 10 * time.Second
	case fate == "refused":
		return fail(true, nova.FaultRefused, "forbidden (HTTP 403)")
	case fate == "conflict" || s.VMState != nova.VMActive:
		return fail(true, nova.FaultConflict, "conflict (HTTP 409)")
	}
	s.VMState = nova.VMStopped
	delete(c.host(s.Host).guests, s.ID)
	if fate == "timeout" {
		fail(false, nova.FaultTimeout, "no answer in time")
		return 10 * time.Second
	}
	return pulse
}

// TestStopAgain: one that was stopped before and came up running is stopped, whatever
// becomes of the first request, and never twice beside one another.
func TestStopAgain(t *testing.T) {
	for name, c := range map[string]struct {
		fate  []string
		stop  Stopping
		stops int
		after time.Duration // to the end of the recovery, at most
		least time.Duration
	}{
		"at once":               {nil, StopDone, 1, time.Minute, 0},
		"answer lost":           {[]string{"timeout"}, StopDone, 1, time.Minute, 0},
		"request lost":          {[]string{"lost"}, StopDone, 2, 5 * time.Minute, 3 * time.Minute},
		"refused once":          {[]string{"refused"}, StopDone, 2, time.Minute, 0},
		"something goes on":     {[]string{"conflict", "conflict"}, StopDone, 3, 2 * time.Minute, 0},
		"refused for ever":      {[]string{"refused", "refused", "refused", "refused", "refused"}, StopFailed, 4, 3 * time.Minute, 0},
		"swallowed for a while": {[]string{"lost", "lost", "lost", "lost", "lost"}, StopFailed, 4, 15 * time.Minute, 9 * time.Minute},
	} {
		x := newCloud(t, 4)
		x.addServer("vm1", "cmp1", nova.VMStopped, x.start.Add(-time.Hour))
		x.rowFate["vm1"] = []string{"novalidhost"} // out of ERROR it comes up running
		x.stopFate = map[nova.ServerID][]string{"vm1": c.fate}
		x.run(20 * time.Second)
		x.host("cmp1").off()
		x.run(30*time.Second + c.after)
		r := x.recovery("cmp1")
		e := r.Evacuation("vm1")
		if r.Status != StatusRecovered || e.State != EvacDone || e.Stop != c.stop || e.Stops != c.stops {
			t.Errorf("%s: %s, %+v, held %+v", name, r.Status, e, r.Hold)
		}
		if took := r.Recovered.Sub(r.Opened); took < c.least {
			t.Errorf("%s: over after %s: the first request may have come late", name, took)
		}
		if stopped := x.server("vm1").VMState == nova.VMStopped; stopped != (c.stop == StopDone) {
			t.Errorf("%s: stopped %t", name, stopped)
		}
		if shouts := strings.Contains(r.Text(), "IT WAS STOPPED BEFORE AND MAY RUN"); shouts != (c.stop == StopFailed) {
			t.Errorf("%s: %s", name, r.Text())
		}
		if len(x.broken) > 0 {
			t.Errorf("%s: %v", name, x.broken)
		}
	}
}

// TestStopAgainEarly: the stop does not wait for the rest of the recovery.
func TestStopAgainEarly(t *testing.T) {
	c := newCloud(t, 4)
	for _, id := range []nova.ServerID{"vm1", "vm2"} {
		c.addServer(id, "cmp1", nova.VMStopped, c.start.Add(-time.Hour))
	}
	c.rowFate["vm1"], c.rowFate["vm2"] = []string{"novalidhost"}, []string{"stuck"}
	c.run(20 * time.Second)
	c.host("cmp1").off()
	c.run(time.Minute)
	if r := c.recovery("cmp1"); r.Status != StatusOpen || r.Evacuation("vm1").Stop != StopDone || c.server("vm1").VMState != nova.VMStopped {
		t.Errorf("%s, %+v", r.Status, r.Evacuation("vm1"))
	}
}

// TestStopAgainCrash: a leader that dies amid a stop has its successor read, not repeat.
func TestStopAgainCrash(t *testing.T) {
	for _, point := range []string{"call:stop", "stop"} {
		c := newCloud(t, 4)
		c.addServer("vm1", "cmp1", nova.VMStopped, c.start.Add(-time.Hour))
		c.rowFate["vm1"] = []string{"novalidhost"}
		c.run(20 * time.Second)
		c.host("cmp1").off()
		if point != "stop" {
			c.crashAt = point
		}
		for range 4 * 60 {
			c.step()
			if r := c.recovery("cmp1"); point == "stop" && r != nil && r.Evacuation("vm1") != nil && r.Evacuation("vm1").Stop == StopSent {
				c.crash() // before the call
				point = ""
			}
		}
		want := map[string]int{"call:stop": 1, "": 2}[point]
		c.run(5 * time.Minute)
		if e := c.recovery("cmp1").Evacuation("vm1"); e.Stop != StopDone || e.Stops != want || c.server("vm1").VMState != nova.VMStopped {
			t.Errorf("crash at %q: %+v", point, e)
		}
		if len(c.broken) > 0 {
			t.Error(c.broken)
		}
	}
}

// TestStopPassedOn: one that was stopped before, and whose new host dies before it could be
// stopped again, is the next recovery's: the first ends, and sends nothing when that host is
// back, by when its owner may use it.
func TestStopPassedOn(t *testing.T) {
	c := newCloud(t, 5)
	c.policy.StormCount, c.policy.StormPercent, c.policy.HealthyDelay = 3, 0, 10*time.Second
	c.core = NewCore(c.policy)
	c.addServer("vm1", "cmp1", nova.VMStopped, c.start.Add(-time.Hour))
	c.rowFate["vm1"] = []string{"novalidhost"}
	c.run(20 * time.Second)
	c.host("cmp1").off()
	var dest *fakeHost
	for range 4 * 60 {
		if e := evacuation(c, "cmp1", "vm1"); e != nil && e.State == EvacFollowing && e.Attempt == 2 && e.Dest != "" && dest == nil {
			dest = c.host(e.Dest)
			dest.verdict = detector.Suspect // it falls silent as the instance arrives
		}
		c.step()
	}
	r1 := c.recovery("cmp1")
	if e := r1.Evacuation("vm1"); dest == nil || e.State != EvacDone || e.Stop != StopNeeded || r1.Status != StatusOpen || r1.Hold == nil || !strings.Contains(r1.Hold.Reason, "is dead or being recovered") {
		t.Fatalf("%+v, held %+v", e, r1.Hold)
	}
	dest.off()
	c.run(10 * time.Second)
	dest.verdict = "" // it is dead by then
	c.run(3 * time.Minute)
	r1, r2 := c.state.Recoveries[r1.ID], c.recovery(dest.name)
	if e := r1.Evacuation("vm1"); r1.Status != StatusRecovered || e.Stop != StopPassed || e.Stops != 0 || e.Check != nil || !strings.Contains(e.StopWhy, string(r2.ID)) {
		t.Errorf("%s: %+v, held %+v", r1.Status, e, r1.Hold)
	}
	if e := r2.Evacuation("vm1"); r2.Status != StatusRecovered || e.VMState != nova.VMStopped || e.Stop != StopDone || c.server("vm1").VMState != nova.VMStopped {
		t.Errorf("%s: %+v, held %+v", r2.Status, e, r2.Hold)
	}
	c.server("vm1").VMState = nova.VMActive // its owner starts it
	c.host(c.server("vm1").Host).guests["vm1"] = true
	if err := c.operator(Entry{Kind: KindReturn, Recovery: r2.ID, Return: &Return{Asked: c.now, By: "ann", Reason: "repaired"}}); err != nil {
		t.Fatal(err)
	}
	c.run(10 * time.Minute)
	if r2 = c.state.Recoveries[r2.ID]; r2.Status != StatusClosed || c.server("vm1").VMState != nova.VMActive || len(c.broken) > 0 {
		t.Errorf("%s, vm1 is %s, %v", r2.Status, c.server("vm1").VMState, c.broken)
	}
}

func evacuation(c *cloud, host nova.HostName, id nova.ServerID) *Evacuation {
	if r := c.recovery(host); r != nil {
		return r.Evacuation(id)
	}
	return nil
}

// TestStopLate: one that has run for long before anything could be sent is left to a person:
// its owner may use it.
func TestStopLate(t *testing.T) {
	for frozen, want := range map[time.Duration]Stopping{20 * time.Minute: StopDone, 40 * time.Minute: StopFailed} {
		c := newCloud(t, 4)
		c.addServer("vm1", "cmp1", nova.VMStopped, c.start.Add(-time.Hour))
		c.rowFate["vm1"] = []string{"novalidhost"}
		c.run(20 * time.Second)
		c.host("cmp1").off()
		for range 4 * 60 {
			if e := evacuation(c, "cmp1", "vm1"); e != nil && e.State == EvacFollowing && e.Attempt == 2 && !c.state.Frozen {
				if err := c.operator(Entry{Kind: KindFreeze, Flag: true}); err != nil {
					t.Fatal(err)
				}
			}
			c.step()
		}
		c.run(frozen)
		if e := evacuation(c, "cmp1", "vm1"); e.State != EvacDone || e.Stop != StopNeeded {
			t.Fatalf("frozen: %+v", e)
		}
		c.crash() // the next leader knows by the ledger
		if err := c.operator(Entry{Kind: KindFreeze}); err != nil {
			t.Fatal(err)
		}
		c.run(2 * time.Minute)
		r := c.recovery("cmp1")
		e := r.Evacuation("vm1")
		if stopped := c.server("vm1").VMState == nova.VMStopped; e.Stop != want || stopped != (want == StopDone) || r.Status != StatusRecovered || len(c.broken) > 0 {
			t.Errorf("frozen for %s: %s, %+v, stopped %t, %v", frozen, r.Status, e, stopped, c.broken)
		}
		if _, told := r.Unverified(); want == StopFailed && !strings.Contains(r.Text(), "its owner may use it") {
			t.Errorf("%s, %d", r.Text(), told)
		}
	}
}

// TestStopRefused: the ledger takes a stop of what has arrived running and was stopped
// before, one after the other.
func TestStopRefused(t *testing.T) {
	s := NewState()
	s.Mode = ModeAuto
	s.Hosts["cmp1"] = &Host{Name: "cmp1"}
	at := time.Date(2026, 11, 22, 6, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		old  Evacuation
		next Evacuation
		ok   bool
	}{
		"arrived":            {Evacuation{State: EvacDone, Stop: StopNeeded}, Evacuation{State: EvacDone, Stop: StopSent, Stops: 1}, true},
		"a remark":           {Evacuation{State: EvacDone, Stop: StopSent, Stops: 1}, Evacuation{State: EvacDone, Stop: StopSent, Stops: 1, StopWhy: "no answer"}, true},
		"on its way":         {Evacuation{State: EvacFollowing, Stop: StopNeeded}, Evacuation{State: EvacFollowing, Stop: StopSent, Stops: 1}, false},
		"not to be stopped":  {Evacuation{State: EvacDone}, Evacuation{State: EvacDone, Stop: StopSent, Stops: 1}, false},
		"the last is at it":  {Evacuation{State: EvacDone, Stop: StopSent, Stops: 1}, Evacuation{State: EvacDone, Stop: StopSent, Stops: 2}, false},
		"one is left out":    {Evacuation{State: EvacDone, Stop: StopNeeded, Stops: 1}, Evacuation{State: EvacDone, Stop: StopSent, Stops: 3}, false},
		"it is stopped":      {Evacuation{State: EvacDone, Stop: StopDone, Stops: 1}, Evacuation{State: EvacDone, Stop: StopSent, Stops: 2}, false},
		"needed once more":   {Evacuation{State: EvacDone, Stop: StopSent, Stops: 1}, Evacuation{State: EvacDone, Stop: StopNeeded, Stops: 1}, true},
		"a second after one": {Evacuation{State: EvacDone, Stop: StopNeeded, Stops: 1}, Evacuation{State: EvacDone, Stop: StopSent, Stops: 2}, true},
	} {
		old, next := c.old, c.next
		old.Server, next.Server = "vm1", "vm1"
		s.Recoveries["r1"] = &Recovery{ID: "r1", Host: "cmp1", Status: StatusOpen, Evacuations: []*Evacuation{&old}}
		err := s.Apply(1, 1, Entry{Kind: KindEvacuations, At: at, Recovery: "r1", Evacuations: []*Evacuation{&next}})
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		a := Action{Recovery: "r1", Host: "cmp1", Step: StepStop, Server: "vm1", Attempt: next.Stops}
		if permitted := s.Permits(a) == nil; permitted != (c.ok && next.Stop == StopSent || old.Stop == StopSent && old.Stops == next.Stops && next.Stop == StopSent) {
			t.Errorf("%s: permitted %t", name, permitted)
		}
	}
}

// TestAsBefore: what an earlier recovery left half way is as it was before that one, and
// nothing else is.
func TestAsBefore(t *testing.T) {
	at := time.Date(2026, 11, 22, 6, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		earlier *Evacuation
		status  Status
		before  string // as this recovery found it, "" if it did not
		now     string // as Nova calls it
		want    string
	}{
		"none":                          {nil, StatusClosed, nova.VMError, nova.VMError, nova.VMError},
		"ended by hand":                 {&Evacuation{State: EvacFailed, Attempt: 1}, StatusClosed, nova.VMError, nova.VMError, nova.VMStopped},
		"its owner has mended it since": {&Evacuation{State: EvacFailed, Attempt: 1}, StatusClosed, nova.VMActive, nova.VMActive, nova.VMActive},
		"moved and stopped, then it failed by itself": {&Evacuation{State: EvacDone, Attempt: 2, Stop: StopDone}, StatusRecovered, nova.VMError, nova.VMError, nova.VMError},
		"its new host died before it was stopped":     {&Evacuation{State: EvacDone, Attempt: 2, Stop: StopNeeded}, StatusOpen, nova.VMActive, nova.VMActive, nova.VMStopped},
		"its new host died as it arrived":             {&Evacuation{State: EvacFollowing, Attempt: 2}, StatusOpen, "", nova.VMActive, nova.VMStopped},
		"left, never sent":                            {&Evacuation{State: EvacSkipped}, StatusClosed, nova.VMError, nova.VMError, nova.VMError},
		"in error elsewhere":                          {&Evacuation{State: EvacSkipped, Attempt: 1}, StatusClosed, nova.VMError, nova.VMError, nova.VMStopped},
	} {
		s := NewState()
		r := &Recovery{ID: "r2", Host: "cmp2", Status: StatusOpen, Opened: at.Add(time.Hour)}
		if c.before != "" {
			r.Before = []Instance{{ID: "vm1", VMState: c.before}}
		}
		s.Recoveries["r2"] = r
		if c.earlier != nil {
			c.earlier.Server, c.earlier.VMState, c.earlier.Intent = "vm1", nova.VMStopped, at
			s.Recoveries["r1"] = &Recovery{ID: "r1", Host: "cmp1", Status: c.status, Opened: at, Evacuations: []*Evacuation{c.earlier}}
		}
		plan := Plan([]nova.Server{{ID: "vm1", VMState: c.now, VolumeBooted: true, LaunchedAt: at}}, StorageNone, s.asBefore(r, []nova.Server{{ID: "vm1", VMState: c.now}}), DefaultPolicy(), func(nova.Server) (bool, string) { return true, "" })
		if plan[0].VMState != c.want {
			t.Errorf("%s: %s, want %s", name, plan[0].VMState, c.want)
		}
	}
}
