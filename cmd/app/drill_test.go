package app

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/evacuate/api"
	"github.com/lifeboat-ha/lifeboat/fence"
)

// drillSite is a site whose cmp1 is enrolled, heard, empty, disabled and in
// maintenance; its agent lives and dies with its power. Its BMC tells no identity.
func drillSite(t *testing.T, f func(s *site, agent **Agent)) {
	onSite(t, func(s *site) {
		a := s.enrolled(1)
		defer func() { _ = a.Kill() }()
		s.bmcs["cmp1"].onPower = func(on bool) {
			if !on {
				_ = a.Kill()
				return
			}
			if err := os.WriteFile(s.path("cmp1/boot"), []byte("boot-again\n"), 0o600); err != nil {
				t.Error(err)
			}
			cfg := s.agentAgain(1)
			next, err := NewAgent(cfg, s.ctl.log, s.seams())
			if err == nil {
				err = next.Start(context.Background())
			}
			if err != nil {
				t.Error(err)
				return
			}
			a = next
		}
		s.await("heartbeat", func() bool { _, boot := (drillEars{s.ctl, "cmp1"}).Heard(); return boot != "" })
		time.Sleep(20 * time.Second) // past the leader's grace
		f(s, &a)
	})
}

func (s *site) drill(flag bool, typed string) (string, error) {
	return s.ctl.Command(s.Context(), api.Command{Verb: api.VerbDrill, Host: "cmp1", Flag: flag, Typed: typed, By: "ann", Reason: "new outlet"})
}

// TestDrillOfAHost goes the whole way: refused until the host is ready for it, then a
// real off and on, and what was shown stands in the ledger.
func TestDrillOfAHost(t *testing.T) {
	drillSite(t, func(s *site, _ **Agent) {
		for _, step := range []struct {
			refused string
			mend    func()
		}{
			{"lifeboat maintenance cmp1 on", func() { s.must(api.VerbMaintenance, "cmp1", "") }},
			{"openstack compute service set --disable", func() { s.nova.SetService("cmp1", true, "drill", false) }},
		} {
			if _, err := s.drill(false, ""); !errors.Is(err, api.ErrRefused) || !strings.Contains(err.Error(), step.refused) {
				t.Fatalf("%v, want %q", err, step.refused)
			}
			step.mend()
		}
		text, err := s.drill(false, "")
		if err != nil || !strings.Contains(text, "ANOTHER MACHINE LOSES ITS POWER") {
			t.Fatalf("%s, %v", text, err)
		}
		if _, err := s.drill(true, "cmp2"); err == nil || !strings.Contains(err.Error(), "typed again") {
			t.Fatal(err)
		}
		if _, err := s.drill(true, "cmp1"); err != nil {
			t.Fatal(err)
		}
		if _, err := s.drill(true, "cmp1"); err == nil || !strings.Contains(err.Error(), "under way") {
			t.Error(err)
		}
		s.await("end", func() bool { d, _ := s.ctl.Drills("cmp1"); return d.Drilling != nil && !d.Drilling.UnderWay() })
		d, _ := s.ctl.Drills("cmp1")
		if len(d.Drills) != 1 || d.Drilling.Stage != evacuate.DrillDone {
			t.Fatalf("%s", d.Drilling)
		}
		x := d.Drills[0]
		if x.Boot != "boot-1" || x.Next != "boot-again" || x.By != "ann" || x.Off < fence.MinSpacing || x.Off > 5*time.Second || x.On > 10*time.Second {
			t.Errorf("%+v", x)
		}
		e, _ := s.ctl.Explain("cmp1")
		if !e.Fencing[0].Usable || !strings.Contains(e.Text(), "drilled by ann") || !strings.Contains(e.Text(), "heard again") {
			t.Errorf("%s", e.Text())
		}
	})
}

// TestDrillOfAWrongOutlet: the host's agent is heard although its outlet is off. The
// machine that was hit gets its power back at once, and nothing is trusted.
func TestDrillOfAWrongOutlet(t *testing.T) {
	drillSite(t, func(s *site, _ **Agent) {
		s.must(api.VerbMaintenance, "cmp1", "")
		s.nova.SetService("cmp1", true, "drill", false)
		hit := time.Time{}
		var dark time.Duration
		s.bmcs["cmp1"].onPower = func(on bool) { // somebody else's power
			if on {
				dark = time.Since(hit)
			} else {
				hit = time.Now()
			}
		}
		if _, err := s.drill(true, "cmp1"); err != nil {
			t.Fatal(err)
		}
		s.await("end", func() bool { d, _ := s.ctl.Drills("cmp1"); return !d.Drilling.UnderWay() })
		d, _ := s.ctl.Drills("cmp1")
		if d.Drilling.Stage != evacuate.DrillFailed || len(d.Drills) > 0 || !strings.Contains(d.Drilling.Text, "that switches another machine") || !strings.Contains(d.Drilling.Text, "switched on again") {
			t.Errorf("%s", d.Drilling)
		}
		if dark == 0 || dark > 6*time.Second {
			t.Errorf("the other machine was without power for %s", dark)
		}
	})
}

// TestFenceTest: nothing is commanded, and what is wrong is said.
func TestFenceTest(t *testing.T) {
	drillSite(t, func(s *site, _ **Agent) {
		bmc := s.bmcs["cmp1"]
		bmc.slowBy(3 * time.Second)
		x, err := s.ctl.FenceTest(s.Context(), "cmp1")
		if err != nil {
			t.Fatal(err)
		}
		m := x.Methods[0]
		if m.Reading.Power != fence.On || m.Needs != 13*time.Second || x.Good() || !strings.Contains(x.Text(), "it is not used") || !strings.Contains(x.Text(), "power        on in 3s") {
			t.Errorf("%s", x.Text())
		}
		bmc.set(fence.Off, "")
		if x, err = s.ctl.FenceTest(s.Context(), "cmp1"); err != nil || !strings.Contains(x.Text(), "it reads off, and the host's agent is heard") {
			t.Errorf("%v %s", err, x.Text())
		}
		if n := bmc.commanded(); n != 0 {
			t.Errorf("%d commands", n)
		}
		if _, err := s.ctl.FenceTest(s.Context(), "cmp9"); !errors.Is(err, api.ErrNotFound) {
			t.Error(err)
		}
		s.must(api.VerbMode, "cmp1", "off")
		if _, err := s.ctl.FenceTest(s.Context(), "cmp1"); !errors.Is(err, api.ErrRefused) {
			t.Error(err)
		}
	})
}

// TestPreflightOfAllMethods: the second method is asked too, each result is its own,
// and one that reads off of a living host shuts the gate whatever the first says.
func TestPreflightOfAllMethods(t *testing.T) {
	first, second := &fakeBMC{power: fence.On}, &fakeBMC{power: fence.Unknown, cause: fence.CauseUnreachable}
	onSiteWith(t, map[string][]*fakeBMC{"cmp1": {first, second}}, func(s *site) {
		a := s.enrolled(1)
		defer func() { _ = a.Kill() }()
		links := func() []evacuate.LinkStanding { x, _ := s.ctl.Explain("cmp1"); return x.Fencing }
		s.await("preflight", func() bool { l := links(); return !l[0].Check.PoweredOn.IsZero() && !l[1].Check.Read.IsZero() })
		l := links()
		if l[0].Check.Power != fence.On || l[0].Check.PoweredOn.IsZero() || l[1].Check.Cause != fence.CauseUnreachable || !l[1].Check.PoweredOn.IsZero() {
			t.Errorf("%+v", l)
		}
		alerts := func(name string) (text string) {
			for _, a := range s.ctl.Alerts() {
				if a.Name == name && a.Host == "cmp1" {
					text += a.Text
				}
			}
			return text
		}
		if text := alerts(api.AlertFencing); !strings.Contains(text, "it reads unknown unreachable") {
			t.Errorf("%q", text)
		}
		second.set(fence.Off, "")
		time.Sleep(preflightPart)
		s.await("contradiction", func() bool { return strings.Contains(alerts(api.AlertNotFenceable), "it read off while") })
		second.set(fence.On, "")
		s.await("good again", func() bool { return !links()[1].Check.Lies() })
		s.await("in the ledger", func() bool { c := s.ctl.State().Hosts["cmp1"].Checks; return len(c) == 2 && !c[1].PoweredOn.IsZero() })
	})
}
