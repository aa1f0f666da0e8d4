package sim

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lifeboat-ha/lifeboat/config"
	"github.com/lifeboat-ha/lifeboat/evacuate/api"
	"github.com/lifeboat-ha/lifeboat/fence/fencetest"
)

// TestIdentities: within one round of preflight a swapped BMC map names both hosts,
// a controller's machine is named too, and a map that is mended is good again.
func TestIdentities(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		c, err := Open(context.Background(), Setup{Controllers: 3, Hosts: 4, Domains: 4, Profile: config.ProfileDefault, Heartbeat: Management},
			DefaultPolicy(), 1, dir, slog.DiscardHandler)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		shut := func() map[string]string {
			out := map[string]string{}
			for _, a := range c.leader().ctl.Alerts() {
				if a.Name == api.AlertNotFenceable {
					out[string(a.Host)] = a.Text
				}
			}
			return out
		}
		if s := shut(); len(s) > 0 {
			t.Errorf("as it should be wired: %v", s)
		}
		one, two, three, four := c.hosts[0], c.hosts[1], c.hosts[2], c.hosts[3]
		ctl := fencetest.NewMachine(true)
		ctl.UUID = voterUUID(1)
		three.wire(four)
		four.wire(three)
		two.bmc.Rewire(ctl)
		time.Sleep(10 * time.Minute)
		for host, want := range map[*machine]string{three: "its BMC is that of host04", four: "its BMC is that of host03", two: "controller ctl2 runs on"} {
			if got := shut()[string(host.name)]; !strings.Contains(got, want) {
				t.Errorf("%s: %q, want %q", host.name, got, want)
			}
		}
		if why, is := shut()[string(one.name)]; is {
			t.Errorf("%s, whose wiring is right: %s", one.name, why)
		}
		two.wire(two)
		three.wire(three)
		four.wire(four)
		time.Sleep(10 * time.Minute)
		if s := shut(); len(s) > 0 {
			t.Errorf("mended: %v", s)
		}
	})
}
