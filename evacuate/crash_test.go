package evacuate

import (
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// crashPoints are all places where a leader may die: after an intent was
// committed, after the call was made and before its answer, after the end was
// committed.
func crashPoints() []string {
	points := []string{"done:open", "done:evacuate", "done:report", "done:return"}
	for _, s := range []Step{StepDisable, StepFence, StepForceDown, StepList, StepEvacuate, StepVerify, StepPowerOn, StepUnforce, StepEnable} {
		points = append(points, "intent:"+string(s), "call:"+string(s))
		if s != StepEvacuate {
			points = append(points, "done:"+string(s))
		}
	}
	return points
}

// TestLeaderCrash lets the leader die at every point of a recovery and of the
// return, once for good and once deposed while its calls are still under way.
// Another goes on: every server is moved by exactly one POST, and the host
// comes back.
func TestLeaderCrash(t *testing.T) {
	for _, point := range crashPoints() {
		t.Run(point, func(t *testing.T) {
			c := newCloud(t, 3)
			c.addServer("vm1", "cmp1", nova.VMActive, c.start)
			c.addServer("vm2", "cmp1", nova.VMStopped, c.start)
			c.crashAt = point
			c.run(time.Second)
			c.host("cmp1").off()
			c.run(5 * time.Minute)
			r := c.recovery("cmp1")
			if r == nil || r.Status != StatusRecovered {
				t.Fatalf("recovery: %s\n%s", describeRecovery("status", r), logOf(c))
			}
			if err := c.operator(Entry{Kind: KindReturn, Recovery: r.ID, Return: &Return{Asked: c.now, By: "ann", Reason: "repaired"}}); err != nil {
				t.Fatal(err)
			}
			if point == "done:return" {
				c.crash()
			}
			c.run(4 * time.Minute)
			checkReturned(t, c)
			if c.term == 1 {
				t.Errorf("no leader crashed: is %s a point of this recovery?", point)
			}
		})
	}
}

// checkReturned asserts the end of a whole recovery with two servers.
func checkReturned(t *testing.T, c *cloud) {
	t.Helper()
	for _, id := range []nova.ServerID{"vm1", "vm2"} {
		if n := c.posts[id]; n != 1 {
			t.Errorf("Nova saw %d POSTs for %s, not one\n%s", n, id, logOf(c))
		}
		if on := c.server(id).Host; on == "cmp1" {
			t.Errorf("%s is still on %s", id, on)
		}
	}
	if s := c.server("vm2").VMState; s != nova.VMStopped {
		t.Errorf("vm2 was stopped and is %s", s)
	}
	if got := describeRecovery("status", c.recovery("cmp1")); got != "closed returned" {
		t.Errorf("recovery is %s\n%s", got, logOf(c))
	}
	if s := c.host("cmp1").service; s.Disabled || s.ForcedDown {
		t.Errorf("cmp1 is disabled %t, forced down %t", s.Disabled, s.ForcedDown)
	}
	for _, b := range c.broken {
		t.Errorf("broken: %s", b)
	}
}

// TestLeaderCrashStorage is the same where a program takes the host's storage away.
func TestLeaderCrashStorage(t *testing.T) {
	for _, s := range []Step{StepFenceStorage, StepUnfenceStorage, StepFence, StepForceDown, StepPowerOn} {
		for _, point := range []string{"intent:", "call:", "done:"} {
			for _, fate := range []string{"", "fails", "lost"} {
				t.Run(point+string(s)+" "+fate, func(t *testing.T) {
					c := newCloud(t, 3)
					c.addServer("vm1", "cmp1", nova.VMActive, c.start)
					c.addServer("vm2", "cmp1", nova.VMStopped, c.start)
					c.hook, c.crashAt = true, point+string(s)
					if fate != "" {
						c.hookFate = []string{fate}
					}
					c.run(time.Second)
					c.host("cmp1").off()
					c.run(3 * time.Minute)
					if r := c.recovery("cmp1"); r == nil || r.Status != StatusRecovered || !r.StorageGone() {
						t.Fatalf("recovery: %s\n%s", describeRecovery("status", r), logOf(c))
					}
					if err := c.operator(Entry{Kind: KindReturn, Recovery: "r1", Return: &Return{Asked: c.now, By: "ann", Reason: "repaired"}}); err != nil {
						t.Fatal(err)
					}
					c.run(5 * time.Minute)
					checkReturned(t, c)
					if c.host("cmp1").cut {
						t.Error("its storage was not given back")
					}
					if c.term == 1 {
						t.Errorf("no leader crashed")
					}
				})
			}
		}
	}
}

// TestDeposedWhileCalling keeps the old leader alive: what it had not sent yet
// is withheld, and what it hears afterwards changes nothing.
func TestDeposedWhileCalling(t *testing.T) {
	for _, after := range []time.Duration{5750, 6000, 7500, 7750, 8500, 9750, 10000, 10250, 10500, 12000, 15000} {
		t.Run(after.String(), func(t *testing.T) {
			c := newCloud(t, 3)
			c.addServer("vm1", "cmp1", nova.VMActive, c.start)
			c.addServer("vm2", "cmp1", nova.VMStopped, c.start)
			c.run(time.Second)
			c.host("cmp1").off()
			c.run(after*time.Millisecond - time.Second)
			c.depose()
			c.run(5 * time.Minute)
			if err := c.operator(Entry{Kind: KindReturn, Recovery: "r1", Return: &Return{Asked: c.now, By: "ann", Reason: "repaired"}}); err != nil {
				t.Fatalf("%v\n%s", err, logOf(c))
			}
			c.run(4 * time.Minute)
			checkReturned(t, c)
		})
	}
}

// TestAcknowledged lets the controller that fenced stay away: the host is not
// enabled until it has acknowledged a later term or was removed.
func TestAcknowledged(t *testing.T) {
	for _, removed := range []bool{false, true} {
		c := newCloud(t, 3)
		c.addServer("vm1", "cmp1", nova.VMActive, c.start)
		c.crashAt = "done:fence"
		c.run(time.Second)
		c.host("cmp1").off()
		c.run(10 * time.Second)
		c.rejoin["ctl1"] = c.now.Add(24 * time.Hour)
		c.run(time.Minute)
		if err := c.operator(Entry{Kind: KindReturn, Recovery: "r1", Return: &Return{Asked: c.now, By: "ann"}}); err != nil {
			t.Fatal(err)
		}
		c.run(5 * time.Minute)
		r := c.recovery("cmp1")
		if r.Status != StatusReturning || r.Hold == nil || r.Hold.Step != StepEnable {
			t.Fatalf("it is %s, held: %+v; the absent controller may still act", r.Status, r.Hold)
		}
		if removed {
			if err := c.operator(Entry{Kind: KindControllerLeave, Word: "ctl1"}); err != nil {
				t.Fatal(err)
			}
		} else {
			delete(c.rejoin, "ctl1")
		}
		c.run(time.Minute)
		if got := describeRecovery("status", c.recovery("cmp1")); got != "closed returned" {
			t.Errorf("controller removed %t: recovery is %s", removed, got)
		}
	}
}

func logOf(c *cloud) string {
	s := ""
	for _, l := range c.log {
		s += l + "\n"
	}
	return s
}
