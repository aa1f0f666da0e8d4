package detector

import (
	"slices"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

var t0 = time.Date(2026, 11, 21, 6, 0, 0, 0, time.UTC)

func at(s float64) time.Time { return t0.Add(time.Duration(s * float64(time.Second))) }

func beat(host, boot string) Heartbeat { return Heartbeat{Host: nova.HostName(host), Boot: boot} }

func view(t *Table, s float64) View {
	return t.View("cmp1", Facts{Voters: 3, Boot: "b1"}, at(s))
}

// TestMergeAges takes a report by its ages: the reporter's clock does not
// matter, and what was heard is as old as it says.
func TestMergeAges(t *testing.T) {
	tab := NewTable(DefaultPolicy())
	tab.Merge(Report{Controller: "ctl2", Hosts: []HeardOf{{Host: "cmp1", Age: 2 * time.Second, Boot: "b1"}},
		Probes: []AgedProbe{{Probe: Probe{Observer: "ctl2", Host: "cmp1", Network: "storage", Kind: ProbeTCP, Answer: Answered, Began: at(-9000)}, Age: time.Second}}}, at(10))
	v := view(tab, 11)
	if h := v.Controllers[0]; h.HeardAge != 3*time.Second || h.ReportAge != time.Second || h.Boot != "b1" {
		t.Errorf("heard %+v, want 3 s ago in a report 1 s old", h)
	}
	if p := v.Probes[0]; p.Age != 2*time.Second {
		t.Errorf("the probe is %s old, want 2s", p.Age)
	}
}

// TestReportRoundTrip hands one controller's table to another.
func TestReportRoundTrip(t *testing.T) {
	a, b := NewTable(DefaultPolicy()), NewTable(DefaultPolicy())
	a.Heartbeat("ctl1", beat("cmp1", "b1"), at(0))
	a.Heartbeat("ctl1", beat("cmp2", "b7"), at(1))
	a.Probe(Probe{Observer: "ctl1", Host: "cmp1", Network: "management", Kind: ProbeICMP, Answer: Silent, Began: at(2)})
	a.Probe(Probe{Observer: "ctl2", Host: "cmp1", Network: "management", Kind: ProbeICMP, Answer: Silent, Began: at(2)})
	r := a.Report("ctl1", RingView{Score: 1}, at(4))
	if len(r.Hosts) != 2 || r.Hosts[0].Host != "cmp1" || r.Hosts[0].Age != 4*time.Second {
		t.Errorf("reported hosts: %+v", r.Hosts)
	}
	if len(r.Probes) != 1 {
		t.Errorf("%d probes reported, want its own only", len(r.Probes))
	}
	b.Merge(r, at(4))
	if last, boot, _ := b.LastHeard("cmp2"); !last.Equal(at(1)) || boot != "b7" {
		t.Errorf("cmp2 was last heard at %v as %s", last, boot)
	}
	if old := a.Report("ctl1", RingView{}, at(60)); len(old.Probes) != 0 {
		t.Error("a probe that is no evidence any more was reported")
	}
}

// TestOlderNeverOverwrites lets datagrams, reports, probes and readings
// overtake one another.
func TestOlderNeverOverwrites(t *testing.T) {
	tab := NewTable(DefaultPolicy())
	tab.Heartbeat("ctl1", Heartbeat{Host: "cmp1", Boot: "b2", Sensors: map[string]string{"x": "new"}, Ring: RingView{Score: 1}}, at(5))
	tab.Heartbeat("ctl1", Heartbeat{Host: "cmp1", Boot: "b1", Sensors: map[string]string{"x": "old"}, Ring: RingView{Score: 7}}, at(4))
	tab.Merge(Report{Controller: "ctl1", Hosts: []HeardOf{{Host: "cmp1", Age: 5 * time.Second, Boot: "b0"}}}, at(6))
	v := view(tab, 6)
	if v.Boot != "b2" {
		t.Errorf("boot is %s: an older heartbeat overwrote b2", v.Boot)
	}
	if v.Sensors["x"] != "new" {
		t.Error("an older heartbeat overwrote the sensors")
	}
	if s := tab.voters["cmp1"].ring.Score; s != 1 {
		t.Errorf("an older heartbeat overwrote the ring view: score %d", s)
	}
	tab.Probe(Probe{Observer: "ctl1", Host: "cmp1", Kind: ProbeICMP, Answer: Answered, Began: at(5)})
	tab.Probe(Probe{Observer: "ctl1", Host: "cmp1", Kind: ProbeICMP, Answer: Silent, Began: at(4)})
	if p := view(tab, 6).Probes[0]; p.Answer != Answered {
		t.Error("an older probe overwrote the answer")
	}
	tab.Power(PowerReading{Host: "cmp1", Power: "on", Began: at(5)})
	tab.Power(PowerReading{Host: "cmp1", Power: "off", Began: at(3)})
	tab.Power(PowerReading{Host: "cmp1", Power: "off", Began: at(4)})
	if p := view(tab, 6).Power; p[0].Power != "on" || p[2].Age != 3*time.Second {
		t.Errorf("readings are not newest first: %+v", p)
	}
}

// TestBaseline makes silence count only where the host did answer within an
// hour, and never on its own agent's word.
func TestBaseline(t *testing.T) {
	probe := func(o Observer, answer Answer, s float64) Probe {
		return Probe{Observer: o, Host: "cmp1", Network: "management", Kind: ProbeICMP, Answer: answer, Began: at(s)}
	}
	tests := []struct {
		name   string
		before Probe
		after  Probe
		counts bool
	}{
		{"answered a controller before", probe("ctl1", Answered, 0), probe("ctl1", Silent, 60), true},
		{"answered somebody else before", probe("cmp2", Answered, 0), probe("ctl1", Silent, 60), true},
		{"never answered", probe("ctl1", Silent, 0), probe("ctl1", Silent, 60), false},
		{"answered an hour and a bit ago", probe("ctl1", Answered, -3541), probe("ctl1", Silent, 60), false},
		{"only its own agent says so", probe("cmp1", Answered, 0), probe("ctl1", Silent, 60), false},
		{"answered another kind", Probe{Observer: "ctl1", Host: "cmp1", Network: "management", Kind: ProbeTCP, Answer: Answered, Began: at(0)}, probe("ctl1", Silent, 60), false},
		{"answered on another network", Probe{Observer: "ctl1", Host: "cmp1", Network: "storage", Kind: ProbeICMP, Answer: Answered, Began: at(0)}, probe("ctl1", Silent, 60), false},
		{"the probe itself failed", probe("ctl2", Answered, 0), probe("ctl1", Failed, 60), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tab := NewTable(DefaultPolicy())
			tab.Probe(tt.before)
			tab.Probe(tt.after)
			ps := view(tab, 60).Probes
			i := slices.IndexFunc(ps, func(p ProbeSight) bool {
				return p.Observer == "ctl1" && p.Kind == ProbeICMP && p.Network == "management"
			})
			if got := ps[i].Countable; got != tt.counts {
				t.Errorf("its silence counts: %t, want %t", got, tt.counts)
			}
		})
	}
}

// TestIllObserversDoNotVote lists them with the reason, and without a vote.
func TestIllObserversDoNotVote(t *testing.T) {
	well := RingView{Score: 0, Alive: 6, Known: 6, Dead: []nova.HostName{"cmp1"}}
	with := func(f func(r *RingView)) RingView { r := well; f(&r); return r }
	tests := []struct {
		name  string
		ring  RingView
		votes bool
	}{
		{"well", well, true},
		{"two above the median", with(func(r *RingView) { r.Score = 2 }), true},
		{"three above the median", with(func(r *RingView) { r.Score = 3 }), false},
		{"stalled", with(func(r *RingView) { r.Stalled = true }), false},
		{"sees half", with(func(r *RingView) { r.Alive = 3 }), true},
		{"sees less than half", with(func(r *RingView) { r.Alive = 2 }), false},
		{"forgot the others", with(func(r *RingView) { r.Alive, r.Known = 2, 2 }), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tab := NewTable(DefaultPolicy())
			tab.Heartbeat("ctl1", beat("cmp1", "b1"), at(0))
			for _, h := range []string{"cmp2", "cmp3", "cmp4", "cmp5"} {
				tab.Heartbeat("ctl1", Heartbeat{Host: nova.HostName(h), Boot: "x", Ring: RingView{Alive: 6, Known: 6}}, at(9))
			}
			tab.Heartbeat("ctl1", Heartbeat{Host: "cmp6", Boot: "x", Ring: tt.ring}, at(9))
			v := tab.View("cmp1", Facts{Voters: 3, Known: 6}, at(10))
			i := slices.IndexFunc(v.Votes, func(v Vote) bool { return v.Observer == "cmp6" })
			if i < 0 {
				t.Fatal("it is not listed")
			}
			if got := v.Votes[i]; (got.Ill == "") != tt.votes || !got.Dead {
				t.Errorf("vote %+v, want it to vote: %t", got, tt.votes)
			}
		})
	}
}

// TestVotesAreOfOthers holds who votes in which domain.
func TestVotesAreOfOthers(t *testing.T) {
	tab := NewTable(DefaultPolicy())
	tab.SetDomain("cmp2", "rack2")
	ring := RingView{Alive: 3, Known: 3, Dead: []nova.HostName{"cmp1"}}
	for _, h := range []nova.HostName{"cmp1", "cmp2", "cmp3"} {
		tab.Heartbeat("ctl1", Heartbeat{Host: h, Boot: "x", Ring: ring}, at(0))
	}
	tab.Alive("ctl1", ring, at(5))
	v := view(tab, 5)
	got := map[Observer]Domain{}
	for _, v := range v.Votes {
		got[v.Observer] = v.Domain
	}
	want := map[Observer]Domain{"cmp2": "rack2", "cmp3": "host:cmp3", "ctl1": ControllerDomain}
	for o, d := range want {
		if got[o] != d {
			t.Errorf("%s votes in domain %q, want %q", o, got[o], d)
		}
	}
	if _, self := got["cmp1"]; self {
		t.Error("a host votes on itself")
	}
	if votes := view(tab, 2).Votes; votes != nil {
		t.Errorf("votes on a host that is heard: %+v", votes)
	}
}

// TestLeaving is taken back by a later heartbeat only: another controller's
// report of an earlier one, a moment late, does not do it.
func TestLeaving(t *testing.T) {
	tab := NewTable(DefaultPolicy())
	tab.Heartbeat("ctl1", Heartbeat{Host: "cmp1", Boot: "b1", Leaving: true}, at(10))
	tab.Merge(Report{Controller: "ctl2", Hosts: []HeardOf{{Host: "cmp1", Age: 200 * time.Millisecond, Boot: "b1"}}}, at(10.5))
	if v := view(tab, 12); v.LeavingFor != 2*time.Second {
		t.Errorf("leaving for %s, want 2s: a late report took it back", v.LeavingFor)
	}
	tab.Heartbeat("ctl1", beat("cmp1", "b2"), at(40))
	if v := view(tab, 41); v.LeavingFor >= 0 {
		t.Errorf("leaving for %s although it is back", v.LeavingFor)
	}
}

// TestServiceReports tells a row that moved by itself after the silence began.
func TestServiceReports(t *testing.T) {
	tests := []struct {
		name     string
		reported time.Time
		now      float64
		life     bool
	}{
		{"never seen to move", time.Time{}, 20, false},
		{"moved with the last heartbeat", at(4), 20, false},
		{"moved well after it", at(12), 20, true},
		{"moved after it, long ago", at(12), 60, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tab := NewTable(DefaultPolicy())
			tab.Heartbeat("ctl1", beat("cmp1", "b1"), at(0))
			tab.Service("cmp1", nova.StateUp, tt.reported, at(tt.now))
			if got := view(tab, tt.now).Nova.Reported; got != tt.life {
				t.Errorf("a sign of life: %t, want %t", got, tt.life)
			}
		})
	}
}

// TestForget leaves nothing behind that could count.
func TestForget(t *testing.T) {
	tab := NewTable(DefaultPolicy())
	tab.Alive("ctl1", RingView{}, at(0))
	tab.Alive("ctl2", RingView{}, at(0))
	tab.Heartbeat("ctl1", beat("cmp1", "b1"), at(0))
	if n := len(tab.FreshControllers(at(2))); n != 2 {
		t.Errorf("%d controllers report, want 2", n)
	}
	if n := len(tab.FreshControllers(at(4))); n != 0 {
		t.Errorf("%d controllers report after 4 s of silence, want 0", n)
	}
	tab.ForgetController("ctl2")
	tab.Forget("cmp1")
	v := view(tab, 5)
	if len(v.Controllers) != 1 || v.Controllers[0].HeardAge != -1 {
		t.Errorf("controllers after forgetting: %+v", v.Controllers)
	}
	if got := Judge(v, DefaultPolicy()); got.Reason != ReasonNeverHeard {
		t.Errorf("a forgotten host is %s (%s)", got.State, got.Reason)
	}
}

// TestPowerCutFromTable plays a power cut from sightings to the verdict: Dead
// less than a second after the second off reading.
func TestPowerCutFromTable(t *testing.T) {
	tab := NewTable(DefaultPolicy())
	judge := func(s float64) State {
		for _, c := range []Observer{"ctl1", "ctl2", "ctl3"} {
			tab.Alive(c, RingView{}, at(s))
		}
		return Judge(view(tab, s), DefaultPolicy()).State
	}
	for _, c := range []Observer{"ctl1", "ctl2", "ctl3"} {
		tab.Heartbeat(c, beat("cmp1", "b1"), at(0))
	}
	tab.Power(PowerReading{Host: "cmp1", Power: "off", Began: at(-2)}) // a BMC that errs before the silence
	if got := judge(1); got != Healthy {
		t.Fatalf("after 1 s: %s", got)
	}
	if got := judge(3.5); got != Suspect {
		t.Fatalf("after 3.5 s: %s", got)
	}
	tab.Power(PowerReading{Host: "cmp1", Power: "off", Began: at(3.6)})
	if got := judge(3.7); got != Suspect {
		t.Fatalf("one reading that counts: %s", got)
	}
	tab.Power(PowerReading{Host: "cmp1", Power: "off", Began: at(4.7)})
	if got := judge(4.8); got != Dead {
		t.Fatalf("two readings, 1.1 s apart: %s", got)
	}
}
