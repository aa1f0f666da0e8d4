package detector

import (
	"testing"
	"time"
)

// unwatched is a host that died while no controller ran: the ledger knows it, all
// that can be asked is silent, and its BMC reads off.
func unwatched() View {
	v := cut()
	v.Past = &Past{Age: 5 * time.Minute, Answers: []string{"management/icmp", "storage/icmp"}}
	for i := range v.Controllers {
		v.Controllers[i].HeardAge, v.Controllers[i].Boot, v.Controllers[i].Listening = -1, "", 20*time.Second
	}
	v.Probes = append(silentTo("ctl1", "ctl2", "ctl3"), peer("cmp2", "rack2", NetworkStorage, Silent), peer("cmp3", "rack3", NetworkStorage, Silent))
	return v
}

func pastRows() []row {
	return []row{
		{"died while no controller ran", unwatched(), nil, Dead, ReasonPowerOff},
		{"the ledger does not know it", unwatched(), func(v *View) { v.Past = nil }, Unknown, ReasonNeverHeard},
		{"its BMC reads on", unwatched(), func(v *View) { v.Power[0].Power = "on" }, Unknown, ReasonUnwatched},
		{"its BMC read off once", unwatched(), func(v *View) { v.Power = v.Power[:1] }, Unknown, ReasonUnwatched},
		{"its BMC was read before anybody listened", unwatched(), func(v *View) { v.Power[1].Age = 21 * time.Second }, Unknown, ReasonUnwatched},
		{"its BMC says nothing", unwatched(), func(v *View) { v.Power = nil }, Unknown, ReasonUnwatched},
		{"a minority of the controllers has asked", unwatched(), func(v *View) { v.Probes = v.Probes[2:] }, Unknown, ReasonUnwatched},
		{"it did not answer within the hour", unwatched(), func(v *View) {
			for i := range v.Probes {
				v.Probes[i].Countable = false
			}
		}, Unknown, ReasonUnwatched},
		{"storage was not asked", unwatched(), func(v *View) { v.Probes = append(v.Probes[:3], agents(Silent)...) }, Unknown, ReasonUnwatched},
		{"one peer finds it silent", unwatched(), func(v *View) { v.Probes = v.Probes[:4] }, Unknown, ReasonUnwatched},
		{"it answers a peer", unwatched(), func(v *View) { v.Probes[4].Answer = Answered }, Unmanageable, ReasonNetworkAnswers},
		{"its nova-compute reports", unwatched(), func(v *View) { v.Nova.Reported = true }, Unmanageable, ReasonNovaReports},
		{"one controller hears it", unwatched(), func(v *View) { v.Controllers[2].HeardAge = time.Second }, Suspect, ReasonHeartbeatVeto},
		{"most controllers have just started", unwatched(), func(v *View) {
			v.Controllers[0].Listening, v.Controllers[1].Listening = time.Second, 4*time.Second
		}, Unknown, ReasonNeverHeard},
		{"two have listened for long enough", unwatched(), func(v *View) { v.Controllers[0].Listening = time.Second }, Dead, ReasonPowerOff},
		{"most controllers are deaf", unwatched(), func(v *View) { v.Controllers[0].Deaf, v.Controllers[1].Deaf = true, true }, Unknown, ReasonNeverHeard},
		{"in maintenance", unwatched(), func(v *View) { v.Maintenance = true }, Maintenance, ReasonOperator},
	}
}

// TestMemory is what a table makes of what the ledger knows.
func TestMemory(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	answers := []string{"management/icmp"}
	for _, tt := range []struct {
		name   string
		heard  time.Time
		past   bool
		counts bool
	}{
		{"never", time.Time{}, false, false},
		{"ten minutes ago", now.Add(-10 * time.Minute), true, true},
		{"so long ago that its answers are older than an hour", now.Add(-46 * time.Minute), true, false},
		{"a day ago", now.Add(-25 * time.Hour), false, false},
		{"in the future of this clock", now.Add(time.Minute), false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			table := NewTable(DefaultPolicy())
			table.Listens("ctl1", now.Add(-time.Minute))
			table.Alive("ctl1", RingView{}, now)
			table.Probe(Probe{Observer: "ctl1", Host: "cmp1", Network: "management", Kind: ProbeICMP, Answer: Silent, Began: now.Add(-time.Second)})
			v := table.View("cmp1", Facts{Voters: 1, Memory: Memory{Heard: tt.heard, Boot: "b1", Answers: answers}}, now)
			if (v.Past != nil) != tt.past || v.Probes[0].Countable != tt.counts || (v.Boot == "b1") != tt.past {
				t.Errorf("past %v, its silence counts: %t, boot %q", v.Past, v.Probes[0].Countable, v.Boot)
			}
			if d := v.Controllers[0].Listening; d != time.Minute {
				t.Errorf("it listens for %s", d)
			}
		})
	}
	table := NewTable(DefaultPolicy())
	table.Heartbeat("ctl1", Heartbeat{Host: "cmp1", Boot: "b2"}, now.Add(-time.Minute))
	if v := table.View("cmp1", Facts{Memory: Memory{Heard: now.Add(-time.Hour), Boot: "b1"}}, now); v.Past != nil || v.Boot != "b2" {
		t.Errorf("a host that was heard has its past %v from the ledger, boot %q", v.Past, v.Boot)
	}
}

// TestStuckReport holds what ctl-lagging-follower showed: a report that was under way
// through a cut tells of then, and what overtook it stays.
func TestStuckReport(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	table := NewTable(DefaultPolicy())
	old := Report{Controller: "ctl3", Hosts: []HeardOf{{Host: "cmp1", Age: 100 * ms, Boot: "b1"}}}
	table.Merge(old, now.Add(-time.Minute))
	if at, _, _ := table.LastHeard("cmp1"); !at.Equal(now.Add(-time.Minute - 100*ms)) {
		t.Errorf("a report that was sent a minute ago makes a heartbeat of %s ago", now.Sub(at))
	}
	table.Merge(Report{Controller: "ctl3", Listens: time.Hour}, now)
	table.Merge(old, now.Add(-time.Second))
	if v := table.View("cmp1", Facts{Voters: 3}, now); v.Controllers[0].ReportAge != 0 || v.Controllers[0].Listening != time.Hour {
		t.Errorf("an overtaken report counts: %+v", v.Controllers[0])
	}
}

// TestBegan dates a probe by what is certain of it.
func TestBegan(t *testing.T) {
	asked := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for answer, want := range map[Answer]time.Duration{Answered: 2 * time.Second, Silent: 0, Failed: 2 * time.Second} {
		if got := answer.Began(asked, asked.Add(2*time.Second)).Sub(asked); got != want {
			t.Errorf("%s is dated %s after the question, want %s", answer, got, want)
		}
		if got := answer.Began(asked, asked.Add(-time.Second)); !got.Equal(asked) {
			t.Errorf("%s is dated before the question", answer)
		}
	}
}
