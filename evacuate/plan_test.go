package evacuate

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// TestMostCarefulWins holds every pair and triple of settings against the order
// of Modes.
func TestMostCarefulWins(t *testing.T) {
	for i, cloud := range Modes {
		for j, host := range Modes {
			for k, aggregate := range Modes {
				s := NewState()
				s.Mode = cloud
				s.host("cmp1").Mode = &Setting{Mode: host}
				s.AggregateModes = map[string]*Setting{"gpu": {Mode: aggregate}}
				for _, tt := range []struct {
					in   Membership
					want Mode
				}{
					{Membership{Names: []string{"gpu"}}, Modes[min(i, j, k)]},
					{Membership{Names: []string{"other"}}, Modes[min(i, j)]},
					{Membership{Unknown: true}, Modes[min(i, j, k)]},
				} {
					if got := s.EffectiveMode("cmp1", tt.in, nil); got.Mode != tt.want || got.Sources[0].Mode != tt.want {
						t.Errorf("cloud %s, host %s, aggregate %s, %+v: %s, want %s", cloud, host, aggregate, tt.in, got.Mode, tt.want)
					}
				}
				if got := s.EffectiveMode("cmp2", Membership{Names: []string{"file"}}, map[string]Mode{"file": aggregate}); got.Mode != Modes[min(i, k)] {
					t.Errorf("cloud %s, file %s: %s", cloud, aggregate, got.Mode)
				}
			}
		}
	}
}

// TestWhatIf asks about a living host: the answer says what would happen in each
// mode, and nothing changes by asking.
func TestWhatIf(t *testing.T) {
	for mode, want := range map[Mode]string{
		ModeAuto: "would open by itself", ModeApprove: "a person would be asked: mode is approve",
		ModeShadow: "would be recorded", ModeObserve: "held at gate armed", ModeOff: "held at gate armed",
	} {
		c := newCloud(t, 5)
		c.addServer("vm1", "cmp1", nova.VMActive, c.start)
		c.addServer("vm2", "cmp1", "paused", c.start)
		_ = c.operator(Entry{Kind: KindMode, Word: string(mode)})
		c.run(time.Second)
		before, _ := c.state.Marshal()
		p := WhatIf("cmp1", c.state, c.world(), c.policy)
		if after, _ := c.state.Marshal(); !bytes.Equal(before, after) {
			t.Errorf("%s: asking changed the state", mode)
		}
		if !strings.Contains(p.Why, want) || p.Moves() != 1 || len(p.Instances) != 2 || p.Boot != "cmp1-b1" || p.ID != "" {
			t.Errorf("%s: %q, %d of %d instances, boot %s", mode, p.Why, p.Moves(), len(p.Instances), p.Boot)
		}
		if text := p.Text(); !strings.Contains(text, "If cmp1") || !strings.Contains(text, "state paused") {
			t.Errorf("%s: %s", mode, text)
		}
	}
}

// TestFormerStateDecodes reads a snapshot of before there were plans and marks.
func TestFormerStateDecodes(t *testing.T) {
	s, err := UnmarshalState([]byte(`{"version":1,"cluster_id":"c1","mode":"auto","mode_by":"ann","frozen":true,"frozen_by":"bob",
		"hosts":{"cmp1":{"name":"cmp1","boot":"b1"}},"recoveries":{"r1":{"id":"r1","host":"cmp1","boot":"b1","status":"open","steps":{},"evacuations":null,"timeline":null}},"serial":1}`))
	if err != nil {
		t.Fatal(err)
	}
	if m := s.EffectiveMode("cmp1", Membership{}, nil); m.Mode != ModeAuto || m.String() != "auto (set by ann)" {
		t.Errorf("the mode reads %s", m)
	}
	if s.Halt() != "bob" || s.Drain != nil || s.PlanOf("cmp1") != nil {
		t.Errorf("frozen by %q, drained %v", s.Halt(), s.Drain)
	}
	if err := s.Apply(2, 1, Entry{Kind: KindFreeze, At: t0, By: "ann", Text: "over"}); err != nil || s.Halt() != "" || len(s.Journal) != 1 {
		t.Errorf("%v %q %v", err, s.Halt(), s.Journal)
	}
}

// TestApprovalIsExact refuses what is not this plan, boot and time; a refused
// entry changes nothing.
func TestApprovalIsExact(t *testing.T) {
	plan := func(boot string) Entry {
		return Entry{Kind: KindPlan, At: t0, Host: "cmp1", Plan: &Proposal{Host: "cmp1", Boot: boot, Prepared: t0, Expires: t0.Add(15 * time.Minute)}}
	}
	mode := Entry{Kind: KindMode, At: t0, By: "ann", Word: "approve"}
	yes := Entry{Kind: KindPlanApprove, At: t0.Add(time.Minute), By: "ann", PlanIDs: []PlanID{"p1"}}
	approved := func(boot string) Entry {
		return Entry{Kind: KindOpen, At: t0.Add(2 * time.Minute), Host: "cmp1", Open: &Recovery{Boot: boot, Approval: &Approval{Plan: "p1"}}}
	}
	late := yes
	late.At = t0.Add(16 * time.Minute)
	lateOpen := approved("b1")
	lateOpen.At = t0.Add(2 * time.Hour)
	for _, tt := range []struct {
		name    string
		history []Entry
		last    Entry
		refused string
	}{
		{"approved and opened", []Entry{mode, plan("b1"), yes}, approved("b1"), ""},
		{"opened without an approval", []Entry{mode, plan("b1")}, eOpen, "no plan is approved"},
		{"opened on the word for another boot", []Entry{mode, plan("b0"), yes}, approved("b1"), "not approved for boot b1"},
		{"opened on a plan that only waits", []Entry{mode, plan("b1")}, approved("b1"), "not approved"},
		{"opened long after the approval", []Entry{mode, plan("b1"), yes}, lateOpen, "not approved"},
		{"approved too late", []Entry{mode, plan("b1")}, late, "expired"},
		{"approved twice", []Entry{mode, plan("b1"), yes}, yes, "is approved"},
		{"one of two is unknown", []Entry{mode, plan("b1")}, Entry{Kind: KindPlanApprove, At: t0, PlanIDs: []PlanID{"p1", "p2"}}, `no plan "p2"`},
		{"a second plan for a host", []Entry{mode, plan("b1")}, plan("b1"), "has plan p1 already"},
		{"approved after the ledger was restored", []Entry{mode, plan("b1"), {Kind: KindClusterRestored}}, yes, "is withdrawn"},
		{"opened after a drain", []Entry{mode, plan("b1"), yes, {Kind: KindDrain, Flag: true}}, approved("b1"), "drained true"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			takes(t, play(t, append([]Entry{eInit, eHost}, tt.history...)...), 5, tt.last, tt.refused)
		})
	}
}
