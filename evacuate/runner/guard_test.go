package runner_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// irreversible is every step that writes, on a stage where its write is due.
var irreversible = []struct {
	name   string
	writes int // without a reason to withhold
	begin  func(s *stage) evacuate.Action
}{
	{"disable", 1, func(s *stage) evacuate.Action { return s.action(evacuate.StepDisable) }},
	{"shield", 1, func(s *stage) evacuate.Action {
		return s.action(evacuate.StepDisable, func(a *evacuate.Action) { a.Shield = "cmp2" })
	}},
	{"lift a shield", 1, func(s *stage) evacuate.Action {
		s.set("cmp2", nova.ServiceUpdate{Disabled: yes(), DisabledReason: mark})
		return s.action(evacuate.StepDisable, func(a *evacuate.Action) { a.Shield, a.Lift = "cmp2", true })
	}},
	{"fence", 1, func(s *stage) evacuate.Action { return s.action(evacuate.StepFence) }},
	{"fence-storage", 1, func(s *stage) evacuate.Action { return s.action(evacuate.StepFenceStorage) }},
	{"unfence-storage", 1, func(s *stage) evacuate.Action { return s.action(evacuate.StepUnfenceStorage) }},
	{"force-down", 1, func(s *stage) evacuate.Action {
		s.off()
		return s.action(evacuate.StepForceDown, s.proven)
	}},
	{"evacuate", 1, func(s *stage) evacuate.Action {
		s.off()
		s.set("cmp1", nova.ServiceUpdate{Disabled: yes(), DisabledReason: mark, ForcedDown: yes()})
		return s.action(evacuate.StepEvacuate, s.promised(0))
	}},
	{"power-on", 1, func(s *stage) evacuate.Action {
		s.off()
		return s.action(evacuate.StepPowerOn)
	}},
	{"un-force-down", 1, func(s *stage) evacuate.Action {
		s.set("cmp1", nova.ServiceUpdate{ForcedDown: yes()})
		return s.action(evacuate.StepUnforce)
	}},
	{"enable", 1, func(s *stage) evacuate.Action {
		s.set("cmp1", nova.ServiceUpdate{Disabled: yes(), DisabledReason: mark})
		return s.action(evacuate.StepEnable)
	}},
	{"cancel", 1, func(s *stage) evacuate.Action {
		s.set("cmp1", nova.ServiceUpdate{Disabled: yes(), DisabledReason: mark})
		return s.action(evacuate.StepCancel)
	}},
	{"cancel after force-down", 2, func(s *stage) evacuate.Action {
		s.set("cmp1", nova.ServiceUpdate{Disabled: yes(), DisabledReason: mark, ForcedDown: yes()})
		return s.action(evacuate.StepCancel)
	}},
}

// reasons to withhold a write. Each acts between the beginning of the action and
// its write, where a leader's word is a moment old.
var reasons = []struct {
	name string
	set  func(s *stage, a *evacuate.Action)
	says string
}{
	{"its commit took as long as the step may last", func(_ *stage, a *evacuate.Action) {
		a.Decided = time.Now().Add(-a.Deadline)
	}, "deadline"},
	{"not the leader", func(s *stage, _ *evacuate.Action) { s.quorum.err = errors.New("no quorum") }, "no quorum"},
	{"a quorum that does not answer", func(s *stage, _ *evacuate.Action) {
		s.quorum.during = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	}, "may not act"},
	{"another term", func(s *stage, _ *evacuate.Action) { s.quorum.term++ }, "term 7, now is term 8"},
	{"another term while leadership is verified", func(s *stage, _ *evacuate.Action) {
		s.quorum.during = func(context.Context) error { s.quorum.set(func(q *quorum) { q.term++ }); return nil }
	}, "while leadership was verified"},
	{"deadline passed on all clocks", func(s *stage, a *evacuate.Action) {
		s.clock.taken = func() { s.clock.move(a.Deadline, a.Deadline, a.Deadline) }
	}, "deadline has passed"},
	{"deadline passed while leadership is verified", func(s *stage, a *evacuate.Action) {
		s.quorum.during = func(context.Context) error { s.clock.move(a.Deadline, a.Deadline, a.Deadline); return nil }
	}, "while leadership was verified"},
	{"MONOTONIC alone ran past the deadline", func(s *stage, a *evacuate.Action) {
		s.clock.taken = func() { s.clock.move(a.Deadline, 0, 0) }
	}, "clocks jumped"},
	{"suspended: BOOTTIME and REALTIME ran past the deadline", func(s *stage, a *evacuate.Action) {
		s.clock.taken = func() { s.clock.move(0, a.Deadline, a.Deadline) }
	}, "clocks jumped"},
	{"REALTIME alone was set past the deadline", func(s *stage, a *evacuate.Action) {
		s.clock.taken = func() { s.clock.move(0, 0, a.Deadline) }
	}, "clocks jumped"},
	{"a jump of REALTIME within the deadline", func(s *stage, _ *evacuate.Action) {
		s.clock.taken = func() { s.clock.move(0, 0, time.Second) }
	}, "clocks jumped"},
	{"REALTIME set back", func(s *stage, _ *evacuate.Action) {
		s.clock.taken = func() { s.clock.move(0, 0, -time.Hour) }
	}, "clocks jumped"},
	{"a short suspend while leadership is verified", func(s *stage, _ *evacuate.Action) {
		s.quorum.during = func(context.Context) error { s.clock.move(0, time.Second, time.Second); return nil }
	}, "while leadership was verified"},
	{"the recovery was closed", func(s *stage, a *evacuate.Action) {
		if a.Shield != "" { // a shield may outlive its recovery
			s.permits = func(evacuate.Action) error { return errors.New("recovery r1 is closed") }
		}
		s.state.Recoveries["r1"].Status = evacuate.StatusClosed
	}, "is closed"},
	{"frozen in the last instant", func(s *stage, _ *evacuate.Action) {
		s.quorum.during = func(context.Context) error { s.state.Frozen = true; return nil }
	}, "frozen"},
	{"the host is heard again", func(s *stage, _ *evacuate.Action) {
		s.permits = func(evacuate.Action) error { return errors.New("cmp1 was heard 1s ago: it is not dead") }
	}, "was heard"},
}

func TestGuardWithholds(t *testing.T) {
	for _, step := range irreversible {
		for _, reason := range reasons {
			t.Run(step.name+"/"+reason.name, func(t *testing.T) {
				onStage(t, func(s *stage) {
					a := step.begin(s)
					reason.set(s, &a)
					o := s.do(a)
					if w := s.writes(); len(w) > 0 {
						t.Errorf("written although %s: %q", reason.name, w)
					}
					if o.OK || !strings.Contains(o.Detail, reason.says) {
						t.Errorf("outcome %t %q does not say %q", o.OK, o.Detail, reason.says)
					}
					if !o.OffSent.IsZero() {
						t.Error("an off that was withheld is recorded as sent")
					}
					if a.Step == evacuate.StepEvacuate && !o.Definite {
						t.Error("an evacuate that was never sent is not definite: it would block the instance for the quiet period")
					}
				})
			})
		}
	}
}

// The ledger's own reasons, which only some steps have.
func TestLedgerWithholds(t *testing.T) {
	for _, c := range []struct {
		name, step string
		set        func(r *evacuate.Recovery)
	}{
		{"proof voided", "force-down", func(r *evacuate.Recovery) { r.Void = "a heartbeat was heard" }},
		{"proof voided", "evacuate", func(r *evacuate.Recovery) { r.Void = "a heartbeat was heard" }},
		{"another boot is being fenced", "evacuate", func(r *evacuate.Recovery) { r.Boot = "boot-2" }},
		{"another attempt was promised", "evacuate", func(r *evacuate.Recovery) { r.Evacuations[0].Attempt = 2 }},
		{"the promise is resolved", "evacuate", func(r *evacuate.Recovery) { r.Evacuations[0].State = evacuate.EvacFollowing }},
		{"nothing was promised", "evacuate", func(r *evacuate.Recovery) { r.Evacuations = nil }},
	} {
		t.Run(c.step+"/"+c.name, func(t *testing.T) {
			onStage(t, func(s *stage) {
				for _, step := range irreversible {
					if step.name != c.step {
						continue
					}
					a := step.begin(s)
					c.set(s.state.Recoveries["r1"])
					if o := s.do(a); o.OK || len(s.writes()) > 0 {
						t.Errorf("ok %t, written %q", o.OK, s.writes())
					}
				}
			})
		})
	}
}

// Without a reason each step writes what it should; a slewed clock is none.
func TestGuardLetsThrough(t *testing.T) {
	for _, step := range irreversible {
		t.Run(step.name, func(t *testing.T) {
			onStage(t, func(s *stage) {
				a := step.begin(s)
				s.clock.taken = func() { s.clock.move(0, 100*time.Millisecond, 400*time.Millisecond) }
				o := s.do(a)
				if w := s.writes(); len(w) != step.writes {
					t.Errorf("written %q, want %d (%s)", w, step.writes, o.Detail)
				}
				// The last things before each write: a quorum's word, then the ledger's.
				log := s.notes()
				for i, n := range log {
					if write := n == "write" || n == "off" || n == "on"; write && (i < 2 || !slices.Equal(log[i-2:i], []string{"verify", "permits"})) {
						t.Errorf("before %q at %d: %q", n, i, log)
					}
				}
			})
		})
	}
}

// Steps that rest on a proof do not even read without one.
func TestNoProofNoStep(t *testing.T) {
	for _, step := range []evacuate.Step{evacuate.StepForceDown, evacuate.StepList, evacuate.StepRelist, evacuate.StepEvacuate} {
		for name, spoil := range map[string]func(*evacuate.Action){
			"none":         func(a *evacuate.Action) { a.Proof = nil },
			"another host": func(a *evacuate.Action) { a.Proof.Host = "cmp2" },
			"another boot": func(a *evacuate.Action) { a.Proof.Boot = "boot-0" },
			"one reading":  func(a *evacuate.Action) { a.Proof.Readings = a.Proof.Readings[:1] },
			"reads on":     func(a *evacuate.Action) { a.Proof.Readings[1].Power = fence.On },
			"before off":   func(a *evacuate.Action) { a.Proof.Commanded = time.Now() },
		} {
			t.Run(string(step)+"/"+name, func(t *testing.T) {
				onStage(t, func(s *stage) {
					a := s.action(step, s.promised(0))
					spoil(&a)
					before := len(s.cloud.Requests())
					o := s.do(a)
					if o.OK || len(s.cloud.Requests()) != before || len(s.notes()) > 0 {
						t.Errorf("ok %t, asked and written %q", o.OK, s.notes())
					}
					if step == evacuate.StepEvacuate && !o.Definite {
						t.Error("not definite")
					}
				})
			})
		}
	}
}
