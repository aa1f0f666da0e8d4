package runner_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
)

func TestFenceProves(t *testing.T) {
	onStage(t, func(s *stage) {
		o := s.do(s.action(evacuate.StepFence))
		if !o.OK || o.Proof == nil || o.Cause != "" || !strings.Contains(o.Detail, "proven off by bmc") {
			t.Fatalf("outcome %+v", o)
		}
		p, err := fence.Prove(*o.Proof)
		if err != nil || !p.Covers("cmp1", boot) {
			t.Errorf("the record proves nothing: %v", err)
		}
		if o.OffSent.After(o.Proof.Commanded) || !o.Proof.Readings[0].Began.After(o.OffSent) {
			t.Errorf("off sent %s, commanded %s, first reading %s", o.OffSent, o.Proof.Commanded, o.Proof.Readings[0].Began)
		}
		if log := s.notes(); log[2] != "off" || slices.Index(log, "read") < 3 {
			t.Errorf("a reading before the command: %q", log)
		}
		if s.bmc.machine.On() {
			t.Error("the machine runs")
		}
	})
}

// What the ledger learns of an off that has no proof.
func TestFenceInDoubt(t *testing.T) {
	for _, c := range []struct {
		name  string
		set   func(*stage)
		cause fence.Cause
	}{
		{"the BMC does not answer", func(s *stage) { s.bmc.silent = true }, fence.CauseUnreachable},
		{"the BMC says ok and stays on", func(s *stage) { s.bmc.deaf = true }, fence.CauseNotHonoured},
		{"the BMC falls silent after the command", func(s *stage) { s.bmc.onOff = func(int) { s.bmc.set(func(b *bmc) { b.silent = true }) } }, fence.CauseUnreachable},
	} {
		t.Run(c.name, func(t *testing.T) {
			onStage(t, func(s *stage) {
				c.set(s)
				began := time.Now()
				o := s.do(s.action(evacuate.StepFence))
				if o.OK || o.Proof != nil || o.Cause != string(c.cause) {
					t.Errorf("ok %t proof %v cause %q", o.OK, o.Proof, o.Cause)
				}
				if o.OffSent.Before(began) {
					t.Errorf("off was sent and is not recorded: %s", o.OffSent)
				}
			})
		})
	}
}

// A host that is heard again between the first off and the second is left alone,
// and the first one stays on record.
func TestFenceStopsWhenHeard(t *testing.T) {
	onStage(t, func(s *stage) {
		s.bmc.deaf = true
		s.bmc.onOff = func(int) {
			s.permits = func(evacuate.Action) error { return errors.New("cmp1 was heard 1s ago") }
		}
		o := s.do(s.action(evacuate.StepFence))
		if sent := s.bmc.sent(); len(sent) != 1 || o.OK || o.OffSent.IsZero() || !strings.Contains(o.Detail, "was heard") {
			t.Errorf("%d commands, %+v", len(sent), o)
		}
	})
}

func TestPowerOn(t *testing.T) {
	onStage(t, func(s *stage) {
		s.off()
		if o := s.do(s.action(evacuate.StepPowerOn)); !o.OK || !s.bmc.machine.On() {
			t.Errorf("not on: %s", o.Detail)
		}
	})
	onStage(t, func(s *stage) {
		s.off()
		s.bmc.deaf = true
		began := time.Now()
		if o := s.do(s.action(evacuate.StepPowerOn)); o.OK || time.Since(began) > 31*time.Second {
			t.Errorf("on that was not honoured: ok %t after %s", o.OK, time.Since(began))
		}
	})
}

// Nova's answer to the disabling of a freshly dead host takes a minute; the row
// is written at once.
func TestDisableDoesNotWait(t *testing.T) {
	onStage(t, func(s *stage) {
		s.off()
		began := time.Now()
		o := s.do(s.action(evacuate.StepDisable))
		if took := time.Since(began); !o.OK || took > 4*time.Second {
			t.Errorf("ok %t after %s: %s", o.OK, took, o.Detail)
		}
		if svc := s.service("cmp1"); !svc.Disabled || svc.DisabledReason != mark {
			t.Errorf("the row: %+v", svc)
		}
		if o.Service == nil || o.Service.Disabled || o.Service.ID != s.service("cmp1").ID {
			t.Errorf("before: %+v", o.Service)
		}
	})
}

// What was there before is kept and told; a former attempt of ours is not taken
// for it.
func TestDisableKeeps(t *testing.T) {
	for _, c := range []struct {
		name   string
		reason string
		before evacuate.ServiceBefore // as the recovery knows it
		want   evacuate.ServiceBefore
	}{
		{"an operator's", "RAM is being replaced", evacuate.ServiceBefore{}, evacuate.ServiceBefore{Disabled: true, Reason: "RAM is being replaced"}},
		{"a former attempt's", mark, evacuate.ServiceBefore{ForcedDown: true}, evacuate.ServiceBefore{ForcedDown: true}},
		{"another recovery's", "lifeboat:r0", evacuate.ServiceBefore{}, evacuate.ServiceBefore{Disabled: true, Reason: "lifeboat:r0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			onStage(t, func(s *stage) {
				s.set("cmp1", nova.ServiceUpdate{Disabled: yes(), DisabledReason: c.reason})
				o := s.do(s.action(evacuate.StepDisable, func(a *evacuate.Action) { a.Service = c.before }))
				c.want.ID = s.service("cmp1").ID
				if !o.OK || len(s.writes()) != 0 || o.Service == nil || *o.Service != c.want {
					t.Errorf("ok %t, written %q, before %+v", o.OK, s.writes(), o.Service)
				}
			})
		})
	}
}

// A shield says nothing of the recovering host's own service, and lifting it
// touches only what we disabled.
func TestShield(t *testing.T) {
	shield := func(lift bool) func(*evacuate.Action) {
		return func(a *evacuate.Action) { a.Shield, a.Lift = "cmp2", lift }
	}
	onStage(t, func(s *stage) {
		o := s.do(s.action(evacuate.StepDisable, shield(false)))
		if svc := s.service("cmp2"); !o.OK || o.Service != nil || svc.DisabledReason != mark || s.service("cmp1").Disabled {
			t.Errorf("%+v leaves %+v", o, svc)
		}
		if o := s.do(s.action(evacuate.StepDisable, shield(true))); !o.OK || s.service("cmp2").Disabled {
			t.Errorf("not lifted: %s", o.Detail)
		}
	})
	onStage(t, func(s *stage) {
		s.set("cmp2", nova.ServiceUpdate{Disabled: yes(), DisabledReason: "disk"})
		if o := s.do(s.action(evacuate.StepDisable, shield(true))); !o.OK || len(s.writes()) != 0 {
			t.Errorf("an operator's disabling was lifted: %q", s.writes())
		}
	})
}

func TestForceDown(t *testing.T) {
	onStage(t, func(s *stage) {
		s.off()
		o := s.do(s.action(evacuate.StepForceDown, s.proven))
		svc := s.service("cmp1")
		if !o.OK || !svc.ForcedDown || !svc.Disabled || svc.DisabledReason != mark || svc.State != nova.StateDown {
			t.Fatalf("%+v leaves %+v", o, svc)
		}
		if w := s.writes(); len(w) != 1 || !strings.Contains(w[0], `"forced_down":true`) || !strings.Contains(w[0], mark) {
			t.Errorf("not one PUT: %q", w)
		}
		if o := s.do(s.action(evacuate.StepForceDown, s.proven)); !o.OK || len(s.writes()) != 1 {
			t.Errorf("again: %t %q", o.OK, s.writes())
		}
	})
	onStage(t, func(s *stage) { // whoever disabled it keeps his reason
		s.set("cmp1", nova.ServiceUpdate{Disabled: yes(), DisabledReason: "disk"})
		s.off()
		if o := s.do(s.action(evacuate.StepForceDown, s.proven)); !o.OK || s.service("cmp1").DisabledReason != "disk" {
			t.Errorf("%s leaves %+v", o.Detail, s.service("cmp1"))
		}
	})
}

// The PUT's answer counts for nothing, what is read back for everything.
func TestForceDownReadsBack(t *testing.T) {
	t.Run("the answer is lost", func(t *testing.T) {
		onStage(t, func(s *stage) {
			s.off()
			s.cloud.Inject(faultOn("PUT", true, 1))
			if o := s.do(s.action(evacuate.StepForceDown, s.proven)); !o.OK || !s.service("cmp1").ForcedDown {
				t.Errorf("%t %s", o.OK, o.Detail)
			}
		})
	})
	t.Run("the request is lost", func(t *testing.T) {
		onStage(t, func(s *stage) {
			s.off()
			s.cloud.Inject(faultOn("PUT", false, 0))
			if o := s.do(s.action(evacuate.StepForceDown, s.proven)); o.OK || !strings.Contains(o.Detail, "forced down false") {
				t.Errorf("%t %s", o.OK, o.Detail)
			}
		})
	})
}
