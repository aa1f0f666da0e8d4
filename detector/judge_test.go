package detector

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

const ms = time.Millisecond

// hearing is three controllers that report now and heard the host at these
// ages; -1 is never.
func hearing(ages ...time.Duration) []Hearing {
	var hs []Hearing
	for i, a := range ages {
		hs = append(hs, Hearing{Controller: Observer(fmt.Sprintf("ctl%d", i+1)), ReportAge: 200 * ms, HeardAge: a, Boot: "b1"})
	}
	return hs
}

// silentTo is a probe of each named controller that was not answered and whose
// silence counts.
func silentTo(observers ...Observer) []ProbeSight {
	var ps []ProbeSight
	for _, o := range observers {
		ps = append(ps, ProbeSight{Observer: o, Network: "management", Kind: ProbeICMP, Answer: Silent, Age: time.Second, Countable: true})
	}
	return ps
}

func vote(o Observer, d Domain) Vote {
	return Vote{Observer: o, Domain: d, Dead: true, Age: time.Second}
}

// hung is a view in which everything says that the host is dead, for long
// enough: each row of the table takes one thing away.
func hung() View {
	return View{Host: "cmp1", Domain: "rack1", Voters: 3, Boot: "b1", KnownBoot: "b1", LeavingFor: -1,
		Controllers: hearing(8*time.Second, 8*time.Second, 9*time.Second),
		Probes:      silentTo("ctl1", "ctl2", "ctl3"),
		Votes:       []Vote{vote("cmp2", "rack2"), vote("ctl1", ControllerDomain)},
		Power:       []PowerSight{{Power: "on", Age: time.Second}},
		Nova:        &ServiceSight{State: nova.StateUp, Age: time.Second}}
}

// cut is a host without power, four seconds after its last heartbeat.
func cut() View {
	v := hung()
	v.Controllers = hearing(4*time.Second, 4*time.Second, 4*time.Second)
	v.Power = []PowerSight{{Power: "off", Age: 100 * ms}, {Power: "off", Age: 1200 * ms}}
	v.Votes = nil
	return v
}

type row struct {
	name   string
	view   View
	change func(v *View)
	state  State
	reason Reason
}

func lifeRows() []row {
	return []row{
		{"never heard", hung(), func(v *View) { v.Controllers = hearing(-1, -1, -1) }, Unknown, ReasonNeverHeard},
		{"no controller knows it", hung(), func(v *View) { v.Controllers = nil }, Unknown, ReasonNeverHeard},
		{"in maintenance, heard", hung(), func(v *View) { v.Maintenance = true; v.Controllers = hearing(500*ms, 500*ms, 500*ms) }, Maintenance, ReasonOperator},
		{"in maintenance, off", cut(), func(v *View) { v.Maintenance = true }, Maintenance, ReasonOperator},
		{"heard by all", hung(), func(v *View) { v.Controllers = hearing(500*ms, 600*ms, 700*ms) }, Healthy, ReasonHeartbeat},
		{"heard at the last moment", hung(), func(v *View) { v.Controllers = hearing(3*time.Second, 3*time.Second, 3*time.Second) }, Healthy, ReasonHeartbeat},
		{"heard by one only", hung(), func(v *View) { v.Controllers = hearing(500*ms, 8*time.Second, 8*time.Second) }, Suspect, ReasonHeartbeatVeto},
		{"heard by one, BMC reads off", cut(), func(v *View) { v.Controllers = hearing(500*ms, 8*time.Second, 8*time.Second) }, Suspect, ReasonHeartbeatVeto},
		{"heard by the only one that reports", hung(), func(v *View) {
			v.Controllers = hearing(500*ms, 8*time.Second, 8*time.Second)
			v.Controllers[1].ReportAge, v.Controllers[2].ReportAge = time.Minute, time.Minute
		}, Healthy, ReasonHeartbeat},
		{"a new boot id", hung(), func(v *View) {
			v.Controllers = hearing(500*ms, 500*ms, 500*ms)
			v.KnownBoot = "b0"
		}, Rebooted, ReasonNewBoot},
		{"no boot id known yet", hung(), func(v *View) { v.Controllers = hearing(500*ms, 500*ms, 500*ms); v.KnownBoot = "" }, Healthy, ReasonHeartbeat},
		{"nova-compute down", hung(), func(v *View) {
			v.Controllers = hearing(500*ms, 500*ms, 500*ms)
			v.Nova.State = nova.StateDown
		}, Degraded, ReasonComputeDown},
		{"Nova never asked", hung(), func(v *View) { v.Controllers = hearing(500*ms, 500*ms, 500*ms); v.Nova = nil }, Healthy, ReasonHeartbeat},
		{"a minority reports", hung(), func(v *View) { v.Controllers[1].ReportAge, v.Controllers[2].ReportAge = 4*time.Second, 4*time.Second }, Unknown, ReasonNoMajority},
		{"a minority reports, BMC off", cut(), func(v *View) { v.Controllers[1].ReportAge, v.Controllers[2].ReportAge = 4*time.Second, 4*time.Second }, Unknown, ReasonNoMajority},
		{"a stale report that heard it is no life", hung(), func(v *View) {
			v.Controllers[0].ReportAge, v.Controllers[0].HeardAge = 8*time.Second, 8500*ms
		}, Dead, ReasonSilent},
		{"leaving", hung(), func(v *View) { v.LeavingFor = time.Minute }, Leaving, ReasonAnnounced},
		{"leaving expired", hung(), func(v *View) { v.LeavingFor = 11 * time.Minute }, Unknown, ReasonLeaveExpired},
		{"leaving and off", cut(), func(v *View) { v.LeavingFor = time.Minute }, Dead, ReasonPowerOff},
		{"leaving expired and off", cut(), func(v *View) { v.LeavingFor = time.Hour }, Dead, ReasonPowerOff},
	}
}

func deathRows() []row {
	return []row{
		{"agent killed", hung(), func(v *View) { v.Probes[1].Answer = Answered }, Unmanageable, ReasonNetworkAnswers},
		{"agent killed, refused connection", hung(), func(v *View) {
			v.Probes = append(v.Probes, ProbeSight{Observer: "cmp2", Network: "storage", Kind: ProbeTCP, Answer: Answered, Age: 2 * time.Second})
		}, Unmanageable, ReasonNetworkAnswers},
		{"answers although its BMC reads off", cut(), func(v *View) { v.Probes[1].Answer = Answered }, Unmanageable, ReasonNetworkAnswers},
		{"answered before its last heartbeat", hung(), func(v *View) {
			v.Probes[0].Answer, v.Probes[0].Age = Answered, 8500*ms
		}, Dead, ReasonSilent},
		{"an old answer", hung(), func(v *View) { v.Probes[0].Answer, v.Probes[0].Age = Answered, 7*time.Second }, Dead, ReasonSilent},
		{"nova-compute reports", hung(), func(v *View) { v.Nova.Reported = true }, Unmanageable, ReasonNovaReports},
		{"power cut: two off readings, no hold-down", cut(), nil, Dead, ReasonPowerOff},
		{"power cut without a baseline", cut(), func(v *View) { v.Probes = nil }, Dead, ReasonPowerOff},
		{"one off reading", cut(), func(v *View) { v.Power = v.Power[:1] }, Suspect, ReasonFewVotes},
		{"two readings too close", cut(), func(v *View) { v.Power[1].Age = 1099 * ms }, Suspect, ReasonFewVotes},
		{"off read before the silence began", cut(), func(v *View) { v.Power[1].Age = 4100 * ms }, Suspect, ReasonFewVotes},
		{"off, then unknown", cut(), func(v *View) { v.Power = append([]PowerSight{{Power: "unknown", Age: 50 * ms}}, v.Power...) }, Suspect, ReasonFewVotes},
		{"off, on, off", cut(), func(v *View) { v.Power = slices.Insert(v.Power, 1, PowerSight{Power: "on", Age: 600 * ms}) }, Suspect, ReasonFewVotes},
		{"off readings too old", cut(), func(v *View) {
			v.Controllers = hearing(20*time.Second, 20*time.Second, 20*time.Second)
			v.Power[0].Age, v.Power[1].Age = 7*time.Second, 9*time.Second
		}, Suspect, ReasonFewVotes},
		{"a filtered host: no baseline", hung(), func(v *View) {
			for i := range v.Probes {
				v.Probes[i].Countable = false
			}
		}, Unknown, ReasonNoBaseline},
		{"no probe yet", hung(), func(v *View) { v.Probes = nil }, Suspect, ReasonInvestigating},
		{"silent to one controller", hung(), func(v *View) { v.Probes = silentTo("ctl1") }, Suspect, ReasonInvestigating},
		{"silent to hosts, not to controllers", hung(), func(v *View) { v.Probes = silentTo("cmp2", "cmp3", "cmp4") }, Suspect, ReasonInvestigating},
		{"one controller asks twice", hung(), func(v *View) { v.Probes = silentTo("ctl1", "ctl1") }, Suspect, ReasonInvestigating},
		{"probes that failed", hung(), func(v *View) { v.Probes[0].Answer, v.Probes[1].Answer = Failed, Failed }, Suspect, ReasonInvestigating},
		{"probes too old", hung(), func(v *View) { v.Probes[0].Age, v.Probes[1].Age = 7*time.Second, 7*time.Second }, Suspect, ReasonInvestigating},
		{"no votes", hung(), func(v *View) { v.Votes = nil }, Suspect, ReasonFewVotes},
		{"votes of one domain", hung(), func(v *View) { v.Votes = []Vote{vote("cmp2", "rack2"), vote("cmp3", "rack2")} }, Suspect, ReasonFewVotes},
		{"a vote for alive", hung(), func(v *View) { v.Votes[0].Dead = false }, Suspect, ReasonFewVotes},
		{"an ill observer", hung(), func(v *View) { v.Votes[0].Ill = "just resumed from a stall" }, Suspect, ReasonFewVotes},
		{"a stale vote", hung(), func(v *View) { v.Votes[0].Age = 3100 * ms }, Suspect, ReasonFewVotes},
		{"hold-down", hung(), func(v *View) { v.Controllers = hearing(4900*ms, 5*time.Second, 5*time.Second) }, Suspect, ReasonHoldDown},
		{"hang: silent to all", hung(), nil, Dead, ReasonSilent},
		{"Nova's down alone is nothing", hung(), func(v *View) {
			v.Nova.State, v.Probes, v.Votes, v.Power = nova.StateDown, nil, nil, nil
		}, Suspect, ReasonInvestigating},
	}
}

// TestJudge is the ladder, rung by rung: each row takes one thing away from a
// view that is otherwise clear.
func TestJudge(t *testing.T) {
	for _, tt := range append(lifeRows(), deathRows()...) {
		t.Run(tt.name, func(t *testing.T) {
			v := tt.view
			if tt.change != nil {
				tt.change(&v)
			}
			got := Judge(v, DefaultPolicy())
			if got.State != tt.state || got.Reason != tt.reason {
				t.Errorf("%s (%s: %s), want %s (%s)", got.State, got.Reason, got.Detail, tt.state, tt.reason)
			}
			if got.Detail == "" || strings.Contains(got.Detail, "%!") {
				t.Errorf("its detail says nothing to a person: %q", got.Detail)
			}
		})
	}
}

// randomView is any evidence, well ordered, with ages near every limit.
func randomView(r *rand.Rand) View {
	age := func() time.Duration {
		return []time.Duration{0, 100 * ms, 900 * ms, 2 * time.Second, 3 * time.Second, 3001 * ms, 4 * time.Second, 5 * time.Second,
			5900 * ms, 6100 * ms, 8 * time.Second, 20 * time.Second, time.Minute}[r.IntN(13)]
	}
	one := func(s ...string) string { return s[r.IntN(len(s))] }
	v := View{Host: "cmp1", Voters: 3, KnownBoot: one("b1", "b1", "b2", ""), LeavingFor: -1, Maintenance: r.IntN(10) == 0}
	if r.IntN(5) == 0 {
		v.LeavingFor = age() * 20
	}
	for i := range r.IntN(4) {
		h := Hearing{Controller: Observer(fmt.Sprintf("ctl%d", i+1)), ReportAge: age() / 4, HeardAge: age() * 2, Boot: one("b1", "b2")}
		if r.IntN(6) == 0 {
			h.HeardAge = -1
		}
		v.Controllers = append(v.Controllers, h)
	}
	for range r.IntN(6) {
		v.Probes = append(v.Probes, ProbeSight{Observer: Observer(one("ctl1", "ctl2", "ctl3", "cmp2")), Network: "management", Kind: ProbeICMP,
			Answer: Answer(one("silent", "silent", "silent", "answered", "failed")), Age: age(), Countable: r.IntN(4) > 0})
	}
	for range r.IntN(5) {
		v.Votes = append(v.Votes, Vote{Observer: Observer(one("cmp2", "cmp3", "ctl1")), Domain: Domain(one("rack2", "rack3", "controllers")),
			Dead: r.IntN(4) > 0, Age: age() / 2, Ill: one("", "", "", "stall")})
	}
	for range r.IntN(5) {
		v.Power = append(v.Power, PowerSight{Power: one("off", "off", "off", "on", "unknown"), Age: age()})
	}
	sortPower(&v)
	if r.IntN(2) == 0 {
		v.Nova = &ServiceSight{State: nova.ServiceState(one("up", "down")), Reported: r.IntN(6) == 0}
	}
	return v
}

func sortPower(v *View) {
	slices.SortStableFunc(v.Power, func(a, b PowerSight) int { return int(a.Age - b.Age) })
}

// signs add one sign of life each.
var signs = map[string]func(r *rand.Rand, v *View){
	"a heartbeat heard": func(r *rand.Rand, v *View) {
		v.Controllers = append(slices.Clone(v.Controllers), Hearing{Controller: "ctl9", ReportAge: time.Second, HeardAge: time.Duration(r.IntN(3001)) * ms, Boot: "b1"})
	},
	"an answered probe": func(r *rand.Rand, v *View) {
		v.Probes = append(slices.Clone(v.Probes), ProbeSight{Observer: "cmp7", Kind: ProbeTCP, Answer: Answered, Age: time.Duration(r.IntN(9000)) * ms, Countable: r.IntN(2) == 0})
	},
	"a power reading of on": func(r *rand.Rand, v *View) {
		v.Power = append(slices.Clone(v.Power), PowerSight{Power: "on", Age: time.Duration(r.IntN(9000)) * ms})
		sortPower(v)
	},
	"a report of nova-compute": func(_ *rand.Rand, v *View) { v.Nova = &ServiceSight{State: nova.StateUp, Reported: true} },
}

// TestJudgeProperties asserts over random evidence what no policy may break.
func TestJudgeProperties(t *testing.T) {
	p := DefaultPolicy()
	deaths := map[Reason]int{}
	for seed := range uint64(60000) {
		r := rand.New(rand.NewPCG(seed, 1))
		v := randomView(r)
		got := Judge(v, p)
		if again := Judge(v, p); !reflect.DeepEqual(got, again) {
			t.Fatalf("seed %d: two judgements of one view differ", seed)
		}
		if got.State == Dead {
			deaths[got.Reason]++
			checkDead(t, seed, v, p)
		}
		for name, add := range signs {
			w := v
			add(r, &w)
			after := Judge(w, p)
			if after.State == Dead && got.State != Dead {
				t.Fatalf("seed %d: %s turned %s (%s) into Dead (%s)\n%+v", seed, name, got.State, got.Reason, after.Reason, w)
			}
			if name == "a heartbeat heard" && after.State == Dead {
				t.Fatalf("seed %d: Dead although a fresh controller hears it", seed)
			}
		}
	}
	for _, reason := range []Reason{ReasonPowerOff, ReasonSilent} {
		if deaths[reason] < 10 {
			t.Errorf("only %d random views are dead by %s: the properties were hardly asked", deaths[reason], reason)
		}
	}
}

// checkDead asserts what every Dead must rest on.
func checkDead(t *testing.T, seed uint64, v View, p Policy) {
	t.Helper()
	fresh := 0
	for _, h := range v.Controllers {
		if h.ReportAge > 3*p.Interval {
			continue
		}
		fresh++
		if h.HeardAge >= 0 && h.HeardAge <= 3*p.Interval {
			t.Fatalf("seed %d: Dead although %s hears it", seed, h.Controller)
		}
	}
	if 2*fresh <= v.Voters {
		t.Fatalf("seed %d: Dead by %d of %d controllers", seed, fresh, v.Voters)
	}
	if v.Maintenance {
		t.Fatalf("seed %d: Dead in maintenance", seed)
	}
}
