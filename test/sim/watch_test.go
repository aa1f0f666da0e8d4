package sim

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestWatchSees: each invariant is told of when somebody breaks it, and not before.
func TestWatchSees(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		c, err := Open(t.Context(), DefaultSetup(), DefaultPolicy(), 1, dir, slog.DiscardHandler)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		leader := c.voter(c.leader().ctl.ID())
		expect := func(when string, want ...string) {
			t.Helper()
			broken := c.watch.broke()
			c.watch.mu.Lock()
			c.watch.faults, c.watch.said, c.watch.offs = nil, map[string]bool{}, nil
			c.watch.mu.Unlock()
			if len(broken) != len(want) {
				t.Errorf("%s: %q, want %q", when, broken, want)
			}
			for i := range min(len(broken), len(want)) {
				if !strings.Contains(broken[i], want[i]) {
					t.Errorf("%s: %q, want %q", when, broken[i], want[i])
				}
			}
		}
		time.Sleep(5 * time.Second)
		expect("all is well")

		c.watch.off(leader, c.hosts[0], c.hosts[0])
		expect("off to a host that lives", "never off while heard")

		for _, m := range c.hosts[:2] {
			m.power.Power(false)
		}
		time.Sleep(3500 * time.Millisecond)
		c.watch.off(leader, c.hosts[0], c.hosts[0])
		expect("off to one that is dead")
		c.watch.off(leader, c.hosts[0], c.hosts[0])
		c.watch.off(leader, c.hosts[1], c.hosts[1])
		expect("off to one too many", "never beyond the limit")

		order, err := readOrder("isolate "+leader.id, c.setup.names())
		if err != nil {
			t.Fatal(err)
		}
		c.perform(order)
		c.watch.evacuate(leader)
		expect("an act as the network parts")
		time.Sleep(time.Second)
		c.watch.evacuate(leader)
		expect("an act in the minority", "never an act in the minority")
		time.Sleep(10 * time.Second)
		c.watch.evacuate(leader)
		expect("an act of a deposed leader", "never an act in the minority", "never an act by a deposed leader")

		c.nova.Boot(c.hosts[3].name, 1)
		expect("a new instance")
	})
}
