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

func emptying(t *testing.T) *cloud {
	c := ailingCloud(t)
	c.policy.Services = ServicesMigrate
	c.core.policy = c.policy
	c.addServer("vm1", "cmp1", nova.VMActive, c.start)
	c.addServer("vm2", "cmp1", nova.VMActive, c.start).Metadata = map[string]string{"lifeboat:priority": "5"}
	c.addServer("vm3", "cmp1", nova.VMStopped, c.start)
	c.addServer("vm4", "cmp1", nova.VMActive, c.start).Locked = true
	return c
}

// sent is which instances were asked to move away, in order.
func (c *cloud) sent() (ids []nova.ServerID) {
	for _, m := range c.moves {
		ids = append(ids, m.Server)
	}
	return ids
}

// TestAway: what runs on a host whose services have failed for good is moved away one by
// one, the important first; what is locked or stopped stays; and all is told.
func TestAway(t *testing.T) {
	c := emptying(t)
	c.services["cmp1"] = givenUp
	c.run(2 * time.Minute)
	x := c.state.Ailing["cmp1"]
	if got := fmt.Sprint(c.sent()); got != "[vm2 vm1]" || x == nil || x.Away == nil || x.Away.Reason != "2 of 3 instances were moved away" {
		t.Fatalf("sent %s, %+v", got, x)
	}
	for _, want := range []string{"vm2 runs on ", "vm1 runs on ", "vm4 stays on cmp1: it is locked", "what runs there is moved away"} {
		if !c.journalHas(want) {
			t.Errorf("the journal does not say %q", want)
		}
	}
	if text := Explain(c.state, Decision{}, detector.Verdict{Host: "cmp1"}, c.now).Summary; !strings.HasSuffix(text, "libvirtd.service has failed for good; 2 of 3 instances were moved away") {
		t.Errorf("explain says %q", text)
	}
	c.services["cmp1"] = "active"
	c.run(2 * time.Minute)
	if c.host("cmp1").service.Disabled || len(c.state.Ailing) > 0 || len(c.sent()) != 2 || len(c.broken) > 0 {
		t.Errorf("%+v, sent %v, %v", c.host("cmp1").service, c.sent(), c.broken)
	}
}

// TestAwayLeft: what speaks against it, at the moment and for good.
func TestAwayLeft(t *testing.T) {
	for name, change := range map[string]func(c *cloud){
		"policy only disables":            func(c *cloud) { c.core.policy.Services = ServicesDisable },
		"its nova-compute is forced down": func(c *cloud) { c.host("cmp1").service.ForcedDown = true },
		"something is recovered": func(c *cloud) {
			c.addServer("vm9", "cmp2", nova.VMActive, c.start)
			c.host("cmp2").off()
			c.host("cmp2").bmc = bmcUnreachable // it is held open
			c.run(10 * time.Second)
		},
		"the cloud is not well": func(c *cloud) { c.condition = detector.ControlPlaneFault },
	} {
		c := emptying(t)
		change(c)
		c.services["cmp1"] = givenUp
		if c.run(2 * time.Minute); len(c.sent()) > 0 {
			t.Errorf("%s: sent %v", name, c.sent())
		}
	}
}

// TestAwayErrors: three errors end it; each instance is asked for once.
func TestAwayErrors(t *testing.T) {
	c := emptying(t)
	c.homeFate = map[nova.ServerID][]string{}
	for i, fate := range []string{"error", "refused", "error"} {
		id := nova.ServerID(fmt.Sprintf("big%d", i))
		c.addServer(id, "cmp1", nova.VMActive, c.start).RAMMiB = 4096 - i
		c.homeFate[id] = []string{fate}
	}
	c.server("vm2").Metadata = nil
	c.services["cmp1"] = givenUp
	c.run(3 * time.Minute)
	x := c.state.Ailing["cmp1"]
	if got := fmt.Sprint(c.sent()); got != "[big0 big2]" || x == nil || x.Away == nil || !strings.HasPrefix(x.Away.Reason, "stopped after 3 errors") {
		t.Errorf("sent %s, %+v", got, x)
	}
}

// TestAwayCrash: a leader dies at each instant of it; nothing is sent twice, and its
// successor goes on.
func TestAwayCrash(t *testing.T) {
	for _, fate := range []string{"", "timeout"} {
		for at := 14 * time.Second; at < 40*time.Second; at += time.Second {
			c := emptying(t)
			c.homeFate = map[nova.ServerID][]string{"vm2": {fate}}
			c.services["cmp1"] = givenUp
			c.run(at)
			c.crash()
			c.run(3 * time.Minute)
			ids := c.sent()
			if slices.Sort(ids); !slices.Equal(ids, []nova.ServerID{"vm1", "vm2"}) || len(c.broken) > 0 {
				t.Fatalf("a crash at %s, %q: sent %v, %v", at, fate, ids, c.broken)
			}
		}
	}
}

// TestPromisesAway: the ledger takes one promise of a host at a time, of an instance that
// was not sent, while the host is disabled and nothing is being recovered.
func TestPromisesAway(t *testing.T) {
	for name, c := range map[string]struct {
		change func(s *State, x *Ailing)
		why    string // "": taken
	}{
		"the first":              {func(*State, *Ailing) {}, ""},
		"another has stayed":     {func(_ *State, x *Ailing) { x.Away = x.Away.with(FailbackMove{Server: "vm2", State: EvacSkipped}) }, ""},
		"another is on its way":  {func(_ *State, x *Ailing) { x.Away = x.Away.with(FailbackMove{Server: "vm2", State: EvacFollowing}) }, "at once"},
		"it was sent already":    {func(_ *State, x *Ailing) { x.Away = x.Away.with(FailbackMove{Server: "vm1", State: EvacFailed}) }, "failed already"},
		"it is over":             {func(_ *State, x *Ailing) { x.Away = &Failback{Ended: t0} }, "it is over"},
		"not disabled yet":       {func(_ *State, x *Ailing) { x.Disabled = false }, "not disabled"},
		"it is enabled again":    {func(_ *State, x *Ailing) { x.Enabling = true }, "not disabled"},
		"in maintenance":         {func(s *State, _ *Ailing) { s.Hosts["cmp1"].Maintenance = true }, "maintenance"},
		"frozen":                 {func(s *State, _ *Ailing) { s.Frozen = true }, "frozen"},
		"something is recovered": {func(s *State, _ *Ailing) { s.Recoveries["r2"] = &Recovery{ID: "r2", Host: "cmp3", Status: StatusOpen} }, "is open"},
		"nobody has disabled it": {func(s *State, _ *Ailing) { delete(s.Ailing, "cmp1") }, "not disabled"},
	} {
		s := NewState()
		s.Mode = ModeAuto
		s.Hosts["cmp1"] = &Host{Name: "cmp1"}
		x := &Ailing{Host: "cmp1", Service: "a.service", Since: t0, Disabled: true}
		s.Ailing = map[nova.HostName]*Ailing{"cmp1": x}
		c.change(s, x)
		n := *x
		n.Away = x.Away.with(FailbackMove{Server: "vm1", Name: "vm1", From: "cmp1", State: EvacIntent, Intent: t0})
		err := s.apply(1, Entry{Kind: KindAiling, Host: "cmp1", At: t0, Ailing: &n})
		if (err == nil) != (c.why == "") || err != nil && !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: %v, want %q", name, err, c.why)
		}
		if err != nil {
			continue
		}
		a := Action{Host: "cmp1", Shield: "cmp1", Step: StepMoveAway, Server: "vm1"}
		if err := s.Permits(a); err != nil {
			t.Errorf("%s: what was promised is not permitted: %v", name, err)
		}
		a.Server = "vm2"
		if s.Permits(a) == nil {
			t.Errorf("%s: another instance is permitted", name)
		}
		a.Server, s.Frozen = "vm1", true
		if s.Permits(a) == nil {
			t.Errorf("%s: permitted although frozen", name)
		}
	}
}

// TestServiceFence: a host that lives is fenced for its service only after we have
// disabled it, and its instances run elsewhere; while it is not disabled, it is held.
func TestServiceFence(t *testing.T) {
	c := ailingCloud(t)
	c.policy.Services = ServicesFence
	c.core.policy = c.policy
	c.addServer("vm1", "cmp1", nova.VMActive, c.start)
	c.unserved = map[nova.HostName]bool{"cmp1": true}
	c.run(time.Minute)
	if r := c.recovery("cmp1"); r != nil {
		t.Fatalf("fenced before it was disabled: %+v", r)
	}
	c.services["cmp1"] = givenUp
	c.run(2 * time.Minute)
	r := c.recovery("cmp1")
	if r == nil || r.Status != StatusRecovered || r.Verdict != detector.Degraded || !r.Service.Ours() || len(c.state.Ailing) > 0 || len(c.broken) > 0 {
		t.Fatalf("%+v, %+v, %v", r, c.state.Ailing, c.broken)
	}
	if s := c.server("vm1"); s.Host == "cmp1" || s.VMState != nova.VMActive {
		t.Errorf("vm1 is %s on %s", s.VMState, s.Host)
	}
}
