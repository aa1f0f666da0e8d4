package evacuate

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// outage has the storage of so many instances fail, each on one of ten hosts.
func (c *cloud) outage(n int) {
	for i := range n {
		c.ends = append(c.ends, detector.GuestEvent{ID: fmt.Sprintf("out/%d/%d", c.now.Unix(), i), Host: nova.HostName(fmt.Sprint("h", i%10)),
			Server: nova.ServerID(fmt.Sprint("out", i)), Kind: detector.GuestIOError, Detail: "vda", At: c.now})
	}
}

func (c *cloud) lefts() (entries, ends int) {
	for _, x := range c.state.GuestRestarts {
		if x.State == GuestLeftEnd {
			entries++
		}
	}
	return entries, c.state.GuestRestartCounts[GuestLeftEnd]
}

// TestEndsFlood: the failure of a storage is told of by each instance on it. Some stand
// one by one, the others together, each once, however long agents tell them.
func TestEndsFlood(t *testing.T) {
	c := restarting(t)
	c.core.policy.Restarts.Crashed = RestartReport
	c.outage(400)
	c.run(9 * time.Minute)
	if entries, ends := c.lefts(); entries > leftSingly+2 || ends != 400 {
		t.Fatalf("%d entries for %d ends", entries, ends)
	}
	if !c.journalHas("instances ended: io-error, on h0 and h1") {
		t.Error("it is not said where")
	}
	c.ends = nil
	c.outage(400) // the same trouble still
	c.run(30 * time.Second)
	if _, ends := c.lefts(); ends != 400 {
		t.Errorf("the same trouble is noted again: %d ends", ends)
	}
	c.ends = nil
	c.now = c.now.Add(20 * time.Minute)
	c.outage(400)
	c.run(time.Minute)
	if entries, ends := c.lefts(); ends != 800 || entries > 2*(leftSingly+2) {
		t.Errorf("20 minutes later: %d entries, %d ends", entries, ends)
	}
}

// TestFloodForgetsNoLimit: however much is left, what was restarted counts.
func TestFloodForgetsNoLimit(t *testing.T) {
	c := restarting(t)
	for range c.policy.Restarts.Limit {
		c.dies("vm1", detector.GuestFailed)
		c.settled("vm1", time.Minute)
		c.run(15 * time.Second)
	}
	asked := len(c.asked)
	for range keepLeft + 50 {
		_ = c.operator(Entry{Kind: KindRestart, Host: "cmp1", GuestRestart: &GuestRestart{Event: fmt.Sprint("x", c.state.Index), Server: "vm9", Host: "cmp1",
			Cause: detector.GuestFailed, At: c.now, Ended: c.now.Add(-time.Hour), State: GuestLeftEnd, Reason: "report"}})
	}
	if entries, _ := c.lefts(); entries != keepLeft {
		t.Errorf("%d that were left are remembered", entries)
	}
	c.dies("vm1", detector.GuestFailed)
	c.settled("vm1", time.Minute)
	if x := c.restartOf("vm1"); len(c.asked) != asked || !strings.Contains(x.Reason, "3 times within") {
		t.Errorf("asked %v: %s %q", c.asked[asked:], x.State, x.Reason)
	}
}

// TestEndsOnce: whatever is told, in whatever order and however often leaders change, each
// event is decided on once.
func TestEndsOnce(t *testing.T) {
	for seed := range uint64(5) {
		r := rand.New(rand.NewPCG(seed, 1))
		s := NewState()
		s.Mode = ModeAuto
		s.Hosts["h"] = &Host{Name: "h"}
		policy := DefaultPolicy()
		core := NewCore(policy)
		told, decided := map[string]bool{}, map[string]int{}
		var ends []detector.GuestEvent
		now := t0
		for range 120 {
			now = now.Add(time.Duration(r.IntN(5000)) * time.Millisecond)
			for range r.IntN(40) {
				e := detector.GuestEvent{ID: fmt.Sprint("e", len(told)), Host: "h", Server: nova.ServerID(fmt.Sprint("s", r.IntN(300))), Kind: detector.GuestEnds[r.IntN(len(detector.GuestEnds))], At: now}
				told[e.ID] = true
				ends = append(ends, e)
			}
			if r.IntN(20) == 0 {
				core = NewCore(policy)
			}
			core.state, core.world, core.ready = s, World{Now: now, Ends: ends}, Ready{}
			core.decideEnds()
			for _, e := range core.ready.Commit {
				for _, o := range append([]SameEnd{{Event: e.GuestRestart.Event}}, e.GuestRestart.Others...) {
					decided[o.Event]++
				}
				if err := s.apply(1, e); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
			}
			if n := len(core.ready.Commit); n > leftSingly+len(detector.GuestEnds) {
				t.Fatalf("seed %d: %d entries in one tick", seed, n)
			}
			if len(s.GuestRestarts) > keepLeft {
				t.Fatalf("seed %d: %d journals", seed, len(s.GuestRestarts))
			}
		}
		for id, n := range decided {
			if n != 1 || !told[id] {
				t.Fatalf("seed %d: %s was decided on %d times", seed, id, n)
			}
		}
		if len(decided) < 100 {
			t.Errorf("seed %d: %d of %d were decided on", seed, len(decided), len(told))
		}
	}
}

// TestEndsOfBefore: a snapshot of before knows what was decided on by the journals alone.
func TestEndsOfBefore(t *testing.T) {
	s, err := UnmarshalState([]byte(`{"version":1,"hosts":{"h":{"name":"h"}},"guest_restarts":[{"event":"h/a/1","server":"vm1","host":"h","cause":"io-error","state":"left","at":"2026-11-21T06:00:00Z"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if !s.decided("h/a/1") || s.decided("h/a/2") {
		t.Error("what stands there was decided on, and nothing else")
	}
	x := GuestRestart{Event: "h/a/2", Server: "vm2", Host: "h", Cause: detector.GuestIOError, State: GuestLeftEnd, At: t0, Ended: t0}
	if err := s.apply(1, Entry{Kind: KindRestart, At: t0, GuestRestart: &x}); err != nil {
		t.Fatal(err)
	}
	if err := s.apply(2, Entry{Kind: KindRestart, At: t0, GuestRestart: &x}); err == nil {
		t.Error("taken twice")
	}
	b, err := s.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if s, err = UnmarshalState(b); err != nil || !s.decided("h/a/2") || !s.lasts(detector.GuestEvent{Server: "vm2", Kind: detector.GuestIOError, At: t0.Add(time.Minute)}) {
		t.Errorf("not remembered by a snapshot: %v", err)
	}
}
