package runner_test

import (
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/nova"
)

func TestUnforce(t *testing.T) {
	for _, c := range []struct {
		name   string
		set    func(*stage)
		before evacuate.ServiceBefore
		ok     bool
		forced bool // in the end
		writes int
	}{
		{"ours", func(s *stage) { s.set("cmp1", nova.ServiceUpdate{ForcedDown: yes()}) }, evacuate.ServiceBefore{}, true, false, 1},
		{"was forced down before us", func(s *stage) { s.set("cmp1", nova.ServiceUpdate{ForcedDown: yes()}) }, evacuate.ServiceBefore{ForcedDown: true}, true, true, 0},
		{"not forced down any more", func(*stage) {}, evacuate.ServiceBefore{}, true, false, 0},
		{"Nova has not cleaned up", func(s *stage) {
			s.evacuable()
			s.do(s.action(evacuate.StepEvacuate, s.promised(0)))
			s.before++
			time.Sleep(30 * time.Second)
		}, evacuate.ServiceBefore{}, false, true, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			onStage(t, func(s *stage) {
				c.set(s)
				o := s.do(s.action(evacuate.StepUnforce, func(a *evacuate.Action) { a.Service = c.before }))
				if o.OK != c.ok || s.service("cmp1").ForcedDown != c.forced || len(s.writes()) != c.writes {
					t.Errorf("ok %t (%s), forced down %t, written %q", o.OK, o.Detail, s.service("cmp1").ForcedDown, s.writes())
				}
			})
		})
	}
}

// keptTrait leaves cmp1 up and enabled, and Placement with the mark of disabled:
// the disabling of the dead host waited in its queue and was obeyed last.
func keptTrait(s *stage) {
	s.off()
	if o := s.do(s.action(evacuate.StepDisable)); !o.OK {
		s.Fatal(o.Detail)
	}
	time.Sleep(90 * time.Second)
	s.set("cmp1", nova.ServiceUpdate{Disabled: no()})
	s.before++ // the disabling
	s.bmc.machine.Power(true)
	s.cloud.RestartCompute("cmp1")
	if disabled, err := s.client.ComputeStatusDisabled(s.Context(), "cmp1"); err != nil || !disabled {
		s.Fatalf("the stage is not set: trait %t, %v", disabled, err)
	}
}

func TestEnable(t *testing.T) {
	enable := func(s *stage) evacuate.Outcome { return s.do(s.action(evacuate.StepEnable)) }
	onStage(t, func(s *stage) {
		s.set("cmp1", nova.ServiceUpdate{Disabled: yes(), DisabledReason: mark})
		if o := enable(s); !o.OK || s.service("cmp1").Disabled || len(s.writes()) != 1 {
			t.Errorf("%t %s %q", o.OK, o.Detail, s.writes())
		}
	})
	onStage(t, func(s *stage) {
		s.set("cmp1", nova.ServiceUpdate{Disabled: yes(), DisabledReason: "disk"})
		if o := enable(s); !o.OK || !s.service("cmp1").Disabled || len(s.writes()) != 0 || !strings.Contains(o.Detail, "disk") {
			t.Errorf("what a person set: %t %s %q", o.OK, o.Detail, s.writes())
		}
	})
	onStage(t, func(s *stage) { // told again, for Placement still keeps it out
		keptTrait(s)
		o := enable(s)
		if w := s.writes(); !o.OK || len(w) != 2 || !strings.Contains(w[0], mark) || !strings.Contains(w[1], "enabled") {
			t.Errorf("%t %s %q", o.OK, o.Detail, w)
		}
		if disabled, err := s.client.ComputeStatusDisabled(s.Context(), "cmp1"); err != nil || disabled {
			t.Errorf("trait %t, %v", disabled, err)
		}
	})
	onStage(t, func(s *stage) { // nobody hears it: not called done
		s.set("cmp1", nova.ServiceUpdate{Disabled: yes(), DisabledReason: mark})
		s.cloud.Hang("cmp1")
		time.Sleep(2 * time.Minute)
		if o := enable(s); o.OK || !strings.Contains(o.Detail, "COMPUTE_STATUS_DISABLED") || s.service("cmp1").Disabled {
			t.Errorf("%t %s", o.OK, o.Detail)
		}
	})
	onStage(t, func(s *stage) { // the answer is lost, the row is read
		s.set("cmp1", nova.ServiceUpdate{Disabled: yes(), DisabledReason: mark})
		s.cloud.Inject(faultOn("PUT", true, 1))
		if o := enable(s); !o.OK || s.service("cmp1").Disabled {
			t.Errorf("%t %s", o.OK, o.Detail)
		}
	})
}

func TestCancel(t *testing.T) {
	cancel := func(s *stage, sent time.Time, before evacuate.ServiceBefore) evacuate.Outcome {
		return s.do(s.action(evacuate.StepCancel, func(a *evacuate.Action) { a.OffSent, a.Service = sent, before }))
	}
	disabled := func(s *stage) { s.set("cmp1", nova.ServiceUpdate{Disabled: yes(), DisabledReason: mark}) }
	for _, c := range []struct {
		name string
		set  func(*stage)
		sent time.Duration // ago; 0: no off was sent
		ok   bool
		says string
	}{
		{"no off was sent", disabled, 0, true, ""},
		{"an off was sent and the BMC reads on", disabled, time.Second, true, "reads on"},
		{"the BMC reads off although the host is heard", func(s *stage) { disabled(s); s.off() }, time.Second, false, "lies or belongs to another machine"},
		{"in doubt: the BMC is silent", func(s *stage) { disabled(s); s.bmc.silent = true }, 5 * time.Second, false, "in doubt"},
		{"the BMC has been silent for longer than an off travels", func(s *stage) { disabled(s); s.bmc.silent = true }, 61 * time.Second, true, "reads unknown"},
		{"somebody else disabled it", func(s *stage) {
			s.set("cmp1", nova.ServiceUpdate{Disabled: yes(), DisabledReason: "disk"})
		}, 0, true, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			onStage(t, func(s *stage) {
				c.set(s)
				before := s.service("cmp1")
				var sent time.Time
				if c.sent > 0 {
					sent = time.Now().Add(-c.sent)
				}
				o := cancel(s, sent, evacuate.ServiceBefore{})
				if o.OK != c.ok || !strings.Contains(o.Detail, c.says) {
					t.Errorf("%t %s", o.OK, o.Detail)
				}
				undone := c.ok && before.DisabledReason == mark
				if s.service("cmp1").Disabled == undone || (len(s.writes()) > 0) != undone {
					t.Errorf("leaves %+v, written %q", s.service("cmp1"), s.writes())
				}
			})
		})
	}
	onStage(t, func(s *stage) { // forced down by an operator before us
		s.set("cmp1", nova.ServiceUpdate{Disabled: yes(), DisabledReason: mark, ForcedDown: yes()})
		cancel(s, time.Time{}, evacuate.ServiceBefore{ForcedDown: true})
		if svc := s.service("cmp1"); !svc.ForcedDown || svc.Disabled {
			t.Errorf("leaves %+v", svc)
		}
	})
	onStage(t, func(s *stage) { // ours
		s.set("cmp1", nova.ServiceUpdate{Disabled: yes(), DisabledReason: mark, ForcedDown: yes()})
		if o := cancel(s, time.Time{}, evacuate.ServiceBefore{}); !o.OK || s.service("cmp1").ForcedDown || s.service("cmp1").Disabled {
			t.Errorf("%s leaves %+v", o.Detail, s.service("cmp1"))
		}
	})
}
