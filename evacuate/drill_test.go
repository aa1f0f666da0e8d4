package evacuate

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// drillable is question6 where cmp2 may be drilled: in maintenance, disabled, empty
// and heard, with a PDU that does not say whose machine it switches.
func drillable(t *testing.T) question {
	q := question6(t)
	q.host = "cmp2"
	q.state = play(t, eInit, eHost)
	for h := range q.world.Nova.Services {
		q.state.host(h).Machine = machineOf(h)
	}
	q.state.Hosts["cmp2"].Maintenance = true
	q.world.Verdicts["cmp1"] = detector.Verdict{Host: "cmp1", State: detector.Healthy, At: q.world.Now}
	q.world.Nova.Services["cmp2"] = nova.Service{Host: "cmp2", State: nova.StateUp, Disabled: true}
	q.world.Servers = map[nova.HostName][]nova.Server{"cmp2": {}}
	q.world.Heard = map[nova.HostName]Heard{"cmp2": {At: q.world.Now.Add(-time.Second), Boot: "b1"}}
	f := q.world.Fencing["cmp2"]
	f.Links = append(f.Links, FenceLink{Method: "pdu", Target: "plug 7", Budget: 40 * time.Second, Check: FenceCheck{Method: "pdu", Target: "plug 7", At: q.world.Now}})
	q.world.Fencing["cmp2"] = f
	return q
}

// TestCheckDrill spoils one thing at a time; each refusal says how to mend it.
func TestCheckDrill(t *testing.T) {
	for _, tt := range []struct {
		name, refused string
		spoil         func(q *question)
	}{
		{"as it should be", "", func(*question) {}},
		{"in mode observe", "", func(q *question) { q.state.Mode = ModeObserve }},
		{"in mode off", "lifeboat mode observe", func(q *question) { q.state.Mode = ModeOff }},
		{"not in maintenance", "lifeboat maintenance cmp2 on", func(q *question) { q.state.Hosts["cmp2"].Maintenance = false }},
		{"being recovered", "has recovery r9", func(q *question) {
			q.state.Recoveries["r9"] = &Recovery{ID: "r9", Host: "cmp2", Status: StatusRecovered}
		}},
		{"frozen", "lifeboat unfreeze", func(q *question) { q.state.Frozen, q.state.FrozenBy = true, "ann" }},
		{"frozen by a file", "gate freeze", func(q *question) { q.world.Frozen = "fire" }},
		{"another drill", "the drill of cmp3 is under way", func(q *question) { q.state.Hosts["cmp3"].Drilling = &Drilling{Stage: DrillBoot} }},
		{"enabled", "openstack compute service set --disable", func(q *question) { q.world.Nova.Services["cmp2"] = nova.Service{Host: "cmp2", State: nova.StateUp} }},
		{"unknown to Nova", "Nova knows no nova-compute", func(q *question) { delete(q.world.Nova.Services, "cmp2") }},
		{"instances", "1 instances are on it (web1 ...)", func(q *question) { q.world.Servers["cmp2"] = []nova.Server{{ID: "vm1", Name: "web1"}} }},
		{"instances not listed", "not listed", func(q *question) { q.world.Servers = nil }},
		{"an evacuation on its way to it", "being evacuated to it", func(q *question) {
			q.state.Recoveries["r8"] = &Recovery{ID: "r8", Host: "cmp5", Status: StatusOpen, Evacuations: []*Evacuation{{Name: "web2", Dest: "cmp2", State: EvacFollowing}}}
		}},
		{"not heard", "start lifeboat-agent", func(q *question) {
			q.world.Heard["cmp2"] = Heard{At: q.world.Now.Add(-6 * time.Second), Boot: "b1"}
		}},
		{"never heard", "start lifeboat-agent", func(q *question) { q.world.Heard = nil }},
		{"the fault is ours", "gate control-plane", func(q *question) { q.world.Network.Fresh = 1 }},
		{"a new leader", "gate leader", func(q *question) { q.world.Leader.Since = q.world.Now.Add(-time.Second) }},
		{"no quorum", "gate ledger", func(q *question) { q.world.Leader.Writable = false }},
		{"a storm", "wait until it is Normal", func(q *question) { q.world.Cloud = detector.Cloud{Condition: detector.Storm} }},
		{"another host's machine", "correct `hosts[].bmc`", func(q *question) { q.drilled(func(c *FenceCheck) { c.Machine = machineOf("cmp3") }) }},
		{"a controller's machine", "controller ctl2 runs on", func(q *question) {
			q.state.Controllers["ctl2"] = &Controller{ID: "ctl2", Machine: machineOf("ctl")}
			q.drilled(func(c *FenceCheck) { c.Machine = machineOf("ctl") })
		}},
		{"it read off while the agent lived", "it lies", func(q *question) { q.drilled(func(c *FenceCheck) { c.ReadOff = q.world.Now }) }},
		{"a controller runs on it and its vote is needed", "no quorum", func(q *question) {
			f := q.world.Fencing["cmp2"]
			f.Controller = "ctl2"
			q.world.Fencing["cmp2"] = f
			q.world.Network.Reporting = []string{"ctl1", "ctl2"}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q := drillable(t)
			tt.spoil(&q)
			err := CheckDrill("cmp2", 1, q.state, *q.world, q.policy)
			switch {
			case tt.refused == "" && err != nil:
				t.Fatal(err)
			case tt.refused != "" && (!errors.Is(err, ErrDrill) || !strings.Contains(err.Error(), tt.refused)):
				t.Errorf("%v, want %q", err, tt.refused)
			}
		})
	}
}

// drilled changes what was found of cmp2's second method.
func (q *question) drilled(f func(c *FenceCheck)) { f(&q.world.Fencing["cmp2"].Links[1].Check) }

func TestDrillLink(t *testing.T) {
	q := drillable(t)
	standings := Standings("cmp2", q.state.Hosts["cmp2"], q.world.Fencing["cmp2"], q.state.Register())
	for word, want := range map[string]int{"": 1, "redfish": 0, "1": 0, "pdu": 1, "2": 1, "3": -1, "ipmi": -1} {
		if got, err := DrillLink(standings, word); (err != nil) != (want < 0) || want >= 0 && got != want {
			t.Errorf("%q: %d, %v", word, got, err)
		}
	}
	if got, err := DrillLink(standings[:1], ""); got != 0 || err != nil {
		t.Errorf("where none needs one: %d, %v", got, err)
	}
	if text := DrillCase("cmp2", 1, q.state, *q.world); !strings.Contains(text, "ANOTHER MACHINE LOSES ITS POWER") {
		t.Error(text)
	}
	if text := DrillCase("cmp2", 0, q.state, *q.world); strings.Contains(text, "ANOTHER MACHINE") {
		t.Error(text)
	}
}

func drilling(stage DrillStage, change ...func(d *Drilling)) Entry {
	d := &Drilling{Mark: Mark{By: "ann", At: t0}, Link: 1, Method: "pdu", Target: "plug 7", Boot: "b1", Stage: stage}
	for _, f := range change {
		f(d)
	}
	return Entry{Kind: KindHostDrilling, Host: "cmp1", At: t0, By: "ann", Drilling: d}
}

func drilledAs(change ...func(d *Drill)) Entry {
	d := &Drill{Method: "pdu", Target: "plug 7", By: "ann", At: t0, Boot: "b1", Next: "b2"}
	for _, f := range change {
		f(d)
	}
	return Entry{Kind: KindHostDrill, Host: "cmp1", At: t0, By: "ann", Drill: d}
}

// TestApplyDrill: what does not follow the stages of one drill is refused, and a
// method is trusted by nothing but a whole one.
func TestApplyDrill(t *testing.T) {
	maintained := []Entry{eInit, eHost, {Kind: KindHostMaintenance, Host: "cmp1", Flag: true}}
	begun := append(maintained[:3:3], drilling(DrillOff))
	booting := append(begun[:4:4], drilling(DrillOn), drilling(DrillBoot))
	failed := append(begun[:4:4], drilling(DrillFailed))
	for _, tt := range []struct {
		name    string
		history []Entry
		last    Entry
		refused string
	}{
		{"begins", maintained, drilling(DrillOff), ""},
		{"begins without maintenance", maintained[:2], drilling(DrillOff), "not in maintenance"},
		{"begins twice", begun, drilling(DrillOff), "under way"},
		{"begins again after a failure", failed, drilling(DrillOff), ""},
		{"begins while frozen", append(maintained[:3:3], Entry{Kind: KindFreeze, Flag: true}), drilling(DrillOff), "frozen"},
		{"begins without a boot", maintained, drilling(DrillOff, func(d *Drilling) { d.Boot = "" }), "without a boot"},
		{"on before off", maintained, drilling(DrillOn), "no such drill"},
		{"another drill's stage", begun, drilling(DrillOn, func(d *Drilling) { d.By = "bob" }), "no such drill"},
		{"another method's stage", begun, drilling(DrillOn, func(d *Drilling) { d.Method = "ipmi" }), "no such drill"},
		{"done by a stage", booting, drilling(DrillDone), "no stage"},
		{"done", booting, drilledAs(), ""},
		{"done too early", begun, drilledAs(), "no drill of cmp1 by pdu"},
		{"done out of nothing", maintained, drilledAs(), "no drill of cmp1 by pdu"},
		{"done after a failure", failed, drilledAs(), "no drill of cmp1 by pdu"},
		{"done by another method", booting, drilledAs(func(d *Drill) { d.Method = "ipmi" }), "no drill of cmp1 by ipmi"},
		{"done for another boot", booting, drilledAs(func(d *Drill) { d.Boot = "b0" }), "no drill"},
		{"done with the boot of before", booting, drilledAs(func(d *Drill) { d.Next = "b1" }), "as before"},
		{"maintenance ends meanwhile", begun, Entry{Kind: KindHostMaintenance, Host: "cmp1"}, "is being drilled"},
		{"maintenance ends afterwards", append(booting[:6:6], drilledAs()), Entry{Kind: KindHostMaintenance, Host: "cmp1"}, ""},
		{"the host is removed meanwhile", begun, Entry{Kind: KindHostRemove, Host: "cmp1"}, "is being drilled"},
		{"the ledger was restored", append(booting[:6:6], eRestored), drilledAs(), "no drill"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			takes(t, play(t, tt.history...), 1, tt.last, tt.refused)
		})
	}
	s := play(t, append(booting[:6:6], drilledAs())...)
	h := s.Hosts["cmp1"]
	if h.Boot != "b2" || len(h.Drills) != 1 || h.Drilling.Stage != DrillDone || len(h.Upsets) != 0 {
		t.Errorf("%+v", h)
	}
}

// A drilled method is used until its device or the host's agent says something else.
func TestDrilled(t *testing.T) {
	q := drillable(t)
	usable := func() bool {
		return Standings("cmp2", q.state.Hosts["cmp2"], q.world.Fencing["cmp2"], q.state.Register())[1].Usable
	}
	if usable() {
		t.Error("used before a drill")
	}
	h := q.state.Hosts["cmp2"]
	h.Drills = []Drill{{Method: "pdu", Target: "plug 7", By: "ann", At: t0, Machine: h.Machine}}
	if !usable() {
		t.Error("not used after it")
	}
	for name, spoil := range map[string]func(){
		"the device says another machine": func() { q.drilled(func(c *FenceCheck) { c.Machine = fence.Identity{Serial: "NEW-1"} }) },
		"the host has another board":      func() { h.Machine = machineOf("cmp9") },
		"another outlet":                  func() { q.world.Fencing["cmp2"].Links[1].Target = "plug 8" },
		"it read off of a living host":    func() { q.drilled(func(c *FenceCheck) { c.ReadOff = q.world.Now }) },
	} {
		before, links := *h, slices.Clone(q.world.Fencing["cmp2"].Links)
		if spoil(); usable() {
			t.Error(name)
		}
		*h = before
		copy(q.world.Fencing["cmp2"].Links, links)
	}
}

// TestFaults: what ails a method that the gate lets pass all the same.
func TestFaults(t *testing.T) {
	now := t0
	for _, tt := range []struct {
		name, fault string
		check       FenceCheck
	}{
		{"well", "", FenceCheck{Power: fence.On, Took: time.Second}},
		{"never read", "", FenceCheck{}},
		{"silent", "it reads unknown unreachable", FenceCheck{Power: fence.Unknown, Cause: fence.CauseUnreachable}},
		{"slow, and quick enough", "", FenceCheck{Power: fence.On, Took: 4 * time.Second}},
		{"too slow", "a proof takes some 21s, and its budget is 20s", FenceCheck{Power: fence.On, Took: 5 * time.Second}},
		{"certificate ends in 31 days", "", FenceCheck{Power: fence.On, Expires: now.Add(31 * 24 * time.Hour)}},
		{"certificate ends in 29 days", "in 29 days", FenceCheck{Power: fence.On, Expires: now.Add(29*24*time.Hour + time.Hour)}},
	} {
		if tt.name != "never read" {
			tt.check.Read, tt.check.PoweredOn = now, now
		}
		got := Faults([]LinkStanding{{FenceLink: FenceLink{Method: "redfish", Budget: 20 * time.Second, Check: tt.check}}}, now)
		if (tt.fault == "") != (len(got) == 0) || !strings.Contains(strings.Join(got, ""), tt.fault) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.fault)
		}
	}
}
