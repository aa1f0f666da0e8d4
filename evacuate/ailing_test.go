package evacuate

import (
	"fmt"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// ail does what the runner does for an ailing host.
func (c *cloud) ail(f *flight) {
	svc := &c.host(f.a.Host).service
	switch disable := f.a.Step == StepDisableAiling; {
	case disable && !svc.Disabled:
		svc.Disabled, svc.DisabledReason = true, f.a.Reason
	case !disable && svc.DisabledReason == f.a.Reason:
		svc.Disabled, svc.DisabledReason = false, ""
	}
	c.asked = append(c.asked, fmt.Sprintf("%s %s", f.a.Step, f.a.Host))
}

const givenUp = "failed for good: 3 restarts did not help"

func ailingCloud(t *testing.T) *cloud {
	c := newCloud(t, 4)
	c.services = map[nova.HostName]string{}
	c.policy.Services = ServicesDisable
	c.core = NewCore(c.policy)
	c.run(20 * time.Second)
	return c
}

// TestAiling: a host whose service has failed for good is disabled with our mark once,
// and enabled after all was well for the delay; nothing else is done with it.
func TestAiling(t *testing.T) {
	c := ailingCloud(t)
	c.services["cmp1"] = "failed: restarted 1 of 3 times"
	if c.run(time.Minute); len(c.asked) > 0 {
		t.Fatalf("its agent is still at it: %v", c.asked)
	}
	c.services["cmp1"] = givenUp
	c.run(time.Minute)
	svc := &c.host("cmp1").service
	if !svc.Disabled || svc.DisabledReason != AilingReason || fmt.Sprint(c.asked) != "[disable-ailing cmp1]" || !c.journalHas("libvirtd.service of cmp1 has failed for good") {
		t.Fatalf("asked %v, %+v", c.asked, svc)
	}
	c.services["cmp1"] = "failed: restarted 1 of 3 times" // its agent was restarted
	if c.run(3 * time.Minute); !svc.Disabled {
		t.Error("enabled while its service fails")
	}
	c.services["cmp1"] = "active"
	c.run(c.policy.HealthyDelay / 2)
	if !svc.Disabled {
		t.Error("enabled at once")
	}
	c.run(c.policy.HealthyDelay)
	if svc.Disabled || len(c.state.Ailing) > 0 || len(c.asked) != 2 {
		t.Errorf("asked %v, %+v, %+v", c.asked, svc, c.state.Ailing)
	}
	if c.recovery("cmp1") != nil || len(c.broken) > 0 {
		t.Errorf("a recovery was opened, or %v", c.broken)
	}
}

// TestAilingLeft: whatever speaks against it, nothing is written.
func TestAilingLeft(t *testing.T) {
	for name, change := range map[string]func(c *cloud){
		"policy only reports":      func(c *cloud) { c.core.policy.Services = ServicesReport },
		"somebody has disabled it": func(c *cloud) { c.host("cmp1").service.Disabled, c.host("cmp1").service.DisabledReason = true, "ann" },
		"in maintenance":           func(c *cloud) { _ = c.operator(Entry{Kind: KindHostMaintenance, Host: "cmp1", Flag: true}) },
		"mode approve":             func(c *cloud) { _ = c.operator(Entry{Kind: KindMode, Word: "approve"}) },
		"frozen":                   func(c *cloud) { _ = c.operator(Entry{Kind: KindFreeze, Flag: true}) },
		"frozen by a file":         func(c *cloud) { c.frozen = "ann" },
		"it is Suspect":            func(c *cloud) { c.host("cmp1").verdict = detector.Suspect },
	} {
		c := ailingCloud(t)
		change(c)
		c.services["cmp1"] = givenUp
		if c.run(time.Minute); len(c.asked) > 0 {
			t.Errorf("%s: asked %v", name, c.asked)
		}
	}
}

// TestAilingMany: services that fail everywhere are not the hosts' illness: one host of
// four is disabled, the others are not.
func TestAilingMany(t *testing.T) {
	c := ailingCloud(t)
	for _, h := range c.hosts {
		c.services[h.name] = givenUp
	}
	c.run(2 * time.Minute)
	if len(c.asked) != c.policy.StormLimit(4) || len(c.state.Ailing) != 1 {
		t.Errorf("asked %v", c.asked)
	}
}

// TestAilingKept: what a person makes of it meanwhile is kept, and a recovery takes the
// host over with our mark, which its end lifts.
func TestAilingKept(t *testing.T) {
	c := ailingCloud(t)
	c.services["cmp1"] = givenUp
	c.run(time.Minute)
	svc := &c.host("cmp1").service
	svc.DisabledReason = "ann: hands off"
	c.run(10 * time.Second)
	c.services["cmp1"] = "active"
	c.run(3 * time.Minute)
	if !svc.Disabled || svc.DisabledReason != "ann: hands off" || len(c.state.Ailing) > 0 {
		t.Errorf("%+v, %+v", svc, c.state.Ailing)
	}

	c = ailingCloud(t)
	c.addServer("vm1", "cmp1", nova.VMActive, c.start)
	c.services["cmp1"] = givenUp
	c.run(time.Minute)
	c.host("cmp1").off()
	delete(c.services, "cmp1")
	c.run(2 * time.Minute)
	r := c.recovery("cmp1")
	if r == nil || r.Status != StatusRecovered || len(c.state.Ailing) > 0 || !r.Service.Ours() {
		t.Fatalf("%+v, %+v", r, c.state.Ailing)
	}
}

// TestAilingCrash: a new leader goes on where the former one died, and asks for nothing
// that is done.
func TestAilingCrash(t *testing.T) {
	c := ailingCloud(t)
	c.services["cmp1"] = givenUp
	c.run(17 * time.Second)
	c.crash()
	c.run(2 * time.Minute)
	if !c.host("cmp1").service.Disabled || len(c.state.Ailing) != 1 {
		t.Errorf("asked %v, %+v", c.asked, c.state.Ailing)
	}
	c.crash()
	c.services["cmp1"] = "active"
	c.run(3 * time.Minute)
	if c.host("cmp1").service.Disabled || len(c.state.Ailing) > 0 {
		t.Errorf("asked %v, %+v", c.asked, c.state.Ailing)
	}
}
