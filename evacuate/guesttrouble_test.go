package evacuate

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// TestRestartLasting: an instance whose storage or watchdog failed is stopped although it is
// there, and started once it is not; one that somebody stopped is left.
func TestRestartLasting(t *testing.T) {
	for name, x := range map[string]struct {
		kind   detector.GuestEnd
		change func(c *cloud)
		asked  string
		state  GuestRestartState
		why    string
	}{
		"its storage failed, and it runs":       {detector.GuestIOError, func(*cloud) {}, "[stop-guest vm1 start-guest vm1]", GuestDoneEnd, ""},
		"its storage failed, and it is paused":  {detector.GuestIOError, func(c *cloud) { c.host("cmp1").guests["vm1"] = false }, "[stop-guest vm1 start-guest vm1]", GuestDoneEnd, ""},
		"its watchdog ran out":                  {detector.GuestWatchdog, func(*cloud) {}, "[stop-guest vm1 start-guest vm1]", GuestDoneEnd, ""},
		"its watchdog has powered it off":       {detector.GuestWatchdog, func(c *cloud) { c.server("vm1").VMState = nova.VMStopped; delete(c.host("cmp1").guests, "vm1") }, "[start-guest vm1]", GuestDoneEnd, ""},
		"its owner has stopped it":              {detector.GuestIOError, func(c *cloud) { c.server("vm1").VMState = nova.VMStopped; delete(c.host("cmp1").guests, "vm1") }, "[]", GuestLeftEnd, "somebody has stopped it"},
		"Nova calls it stopped, and it is not":  {detector.GuestIOError, func(c *cloud) { c.guestFate["stop-guest"] = "lingers" }, "[stop-guest vm1]", GuestFailedEnd, "libvirt has it still"},
		"the storage of many fails":             {detector.GuestIOError, func(c *cloud) { c.outage(errorsMost) }, "[]", GuestLeftEnd, "storage of more than"},
		"the watchdogs of many have nothing to": {detector.GuestWatchdog, func(c *cloud) { c.outage(errorsMost) }, "[stop-guest vm1 start-guest vm1]", GuestDoneEnd, ""},
	} {
		c := restarting(t)
		c.core.policy.Restarts.Kinds = append(c.core.policy.Restarts.Kinds, detector.GuestIOError, detector.GuestWatchdog)
		s := c.server("vm1")
		c.ends = append(c.ends, detector.GuestEvent{ID: "cmp1/a/1", Host: s.Host, Server: s.ID, Kind: x.kind, At: c.now})
		x.change(c)
		c.settled("vm1", 7*time.Minute)
		if r := c.restartOf("vm1"); fmt.Sprint(c.asked) != x.asked || r.State != x.state || !strings.Contains(r.Reason, x.why) {
			t.Errorf("%s: asked %v, %s %q; want %s, %s %q", name, c.asked, r.State, r.Reason, x.asked, x.state, x.why)
		}
	}
}

// TestKeys: the operator's own keys are read in the place of Masakari's, for each of the two.
func TestKeys(t *testing.T) {
	marked := func(key string) nova.Server { return nova.Server{Metadata: map[string]string{key: "true"}} }
	p := DefaultPolicy()
	p.Protect = ProtectOptIn
	for key, want := range map[string]bool{"HA_Enabled": true, "lifeboat:protected": true, "our_ha": false} {
		if got, why := p.Protected(marked(key), nil); got != want {
			t.Errorf("by default %s: protected %t: %s", key, got, why)
		}
	}
	p.ProtectKey = "our_ha"
	for key, want := range map[string]bool{"HA_Enabled": false, "lifeboat:protected": true, "our_ha": true} {
		if got, why := p.Protected(marked(key), nil); got != want {
			t.Errorf("protect_key our_ha, %s: protected %t: %s", key, got, why)
		}
		group := nova.Aggregate{Hosts: []nova.HostName{"h"}, Metadata: map[string]string{key: "true"}}
		if got, why := p.Protected(nova.Server{Host: "h"}, []nova.Aggregate{group}); got != want {
			t.Errorf("protect_key our_ha, %s of an aggregate: protected %t: %s", key, got, why)
		}
	}
	p.Protect, p.Restarts.Key = ProtectAll, "our_restart"
	for key, want := range map[string]bool{"HA_Enabled": false, "our_ha": false, "lifeboat:restart": true, "our_restart": true} {
		if got, why := p.restartable(marked(key), nil); got != want {
			t.Errorf("guests.key our_restart, %s: restarted %t: %s", key, got, why)
		}
	}
}
