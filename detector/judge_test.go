package detector

import (
	"fmt"
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

// well is a host that all hear, with its own sight of two networks.
func well() View {
	v := hung()
	v.Controllers = hearing(500*ms, 500*ms, 500*ms)
	v.Votes, v.Probes, v.Power = nil, nil, nil
	v.HeardFor = time.Hour
	v.Networks = []NetworkSight{
		{Reach: Reach{Network: NetworkManagement, Asked: 3, Reached: 3, Age: time.Second}, Others: 9, OthersUp: 9},
		{Reach: Reach{Network: NetworkStorage, Asked: 3, Reached: 3, Age: time.Second}, Others: 9, OthersUp: 9},
		{Reach: Reach{Network: NetworkTenant, Asked: 3, Reached: 3, Age: time.Second}, Others: 9, OthersUp: 9},
	}
	return v
}

// alone is one whose storage network is gone, as it says itself and two others
// confirm.
func alone() View {
	v := well()
	v.Networks[1].Reached = 0
	v.Probes = []ProbeSight{peer("cmp2", "rack2", NetworkStorage, Silent), peer("cmp3", "rack3", NetworkStorage, Silent),
		peer("cmp2", "rack2", NetworkManagement, Answered)}
	return v
}

// peer is an agent's own probe of the host, a second ago.
func peer(o Observer, d Domain, network string, a Answer) ProbeSight {
	return ProbeSight{Observer: o, Domain: d, Network: network, Kind: ProbeICMP, Answer: a, Age: time.Second, Countable: true}
}

// agents are probes of two agents of other racks.
func agents(a Answer) []ProbeSight {
	return []ProbeSight{peer("cmp2", "rack2", NetworkManagement, a), peer("cmp3", "rack3", NetworkManagement, a)}
}

func aliveIn(o Observer, d Domain) Vote { return Vote{Observer: o, Domain: d, Age: time.Second} }

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
		{"a service has failed for good, nova-compute is up", hung(), func(v *View) {
			v.Controllers, v.Sensors = hearing(500*ms, 500*ms, 500*ms), map[string]string{"service:a": FailedForGood}
		}, Healthy, ReasonHeartbeat},
		{"a service has failed for good, nova-compute is down", hung(), func(v *View) {
			v.Controllers, v.Sensors = hearing(500*ms, 500*ms, 500*ms), map[string]string{"service:a": FailedForGood}
			v.Nova.State = nova.StateDown
		}, Degraded, ReasonServiceFailed},
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
		{"a member that cannot name all its dead", hung(), func(v *View) { v.Votes[0].Dead, v.Votes[0].Unsaid = false, true }, Suspect, ReasonFewVotes},
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

// networkRows are about hosts of which some ways work and others do not.
func networkRows() []row {
	return []row{
		{"all networks work", well(), nil, Healthy, ReasonHeartbeat},
		{"storage gone, itself and two others say so", alone(), nil, Isolated, ReasonStorageGone},
		{"tenant gone", alone(), func(v *View) {
			v.Networks[1].Reached, v.Networks[2].Reached = 3, 0
			v.Probes[0].Network, v.Probes[1].Network = NetworkTenant, NetworkTenant
		}, Isolated, ReasonTenantGone},
		{"storage and tenant gone", alone(), func(v *View) {
			v.Networks[2].Reached = 0
			v.Probes = append(v.Probes, peer("cmp2", "rack2", NetworkTenant, Silent), peer("cmp3", "rack3", NetworkTenant, Silent))
		}, Isolated, ReasonNetworksGone},
		{"management gone, heartbeats go another way", alone(), func(v *View) {
			v.Networks[1].Reached, v.Networks[0].Reached = 3, 0
			v.Probes = []ProbeSight{peer("cmp2", "rack2", NetworkManagement, Silent), peer("cmp3", "rack3", NetworkManagement, Silent)}
		}, Isolated, ReasonManagementGone},
		{"just heard again: what was seen before is about that silence", alone(), func(v *View) { v.HeardFor = 900 * ms }, Healthy, ReasonHeartbeat},
		{"its own word alone", alone(), func(v *View) { v.Probes = nil }, Healthy, ReasonNetworkUnconfirmed},
		{"one other confirms", alone(), func(v *View) { v.Probes = v.Probes[1:] }, Healthy, ReasonNetworkUnconfirmed},
		{"the others' word alone", alone(), func(v *View) { v.Networks[1].Reached = 1 }, Healthy, ReasonHeartbeat},
		{"its own sight is old", alone(), func(v *View) { v.Networks[1].Age = 16 * time.Second }, Healthy, ReasonHeartbeat},
		{"it asked one other only", alone(), func(v *View) { v.Networks[1].Asked = 1 }, Healthy, ReasonHeartbeat},
		{"somebody was answered there", alone(), func(v *View) {
			v.Probes = append(v.Probes, peer("cmp4", "rack4", NetworkStorage, Answered))
		}, Healthy, ReasonHeartbeat},
		{"confirmed by one who is isolated there himself", alone(), func(v *View) { v.Probes[0].Ill = "reaches nobody on the storage network itself" }, Healthy, ReasonNetworkUnconfirmed},
		{"confirmed without a baseline", alone(), func(v *View) { v.Probes[0].Countable = false }, Healthy, ReasonNetworkUnconfirmed},
		{"everybody is isolated there", alone(), func(v *View) { v.Networks[1].OthersUp = 4 }, Healthy, ReasonNetworkUnconfirmed},
		{"isolated, and nova-compute down", alone(), func(v *View) { v.Nova.State = nova.StateDown }, Isolated, ReasonStorageGone},
		{"it alone does not reach the control plane", well(), func(v *View) {
			v.Path = &PathSight{Age: time.Second, Fails: []string{"nova"}, Others: 9, OthersUp: 9}
		}, PathFault, ReasonPathVIP},
		{"a lost network tells more than the control plane", alone(), func(v *View) {
			v.Path = &PathSight{Age: time.Second, Fails: []string{"nova"}, Others: 9, OthersUp: 9}
		}, Isolated, ReasonStorageGone},
		{"isolated, and heard by one only", alone(), func(v *View) { v.Controllers = hearing(500*ms, 8*time.Second, 8*time.Second) }, PathFault, ReasonMinorityPath},
		{"a minority hears it, a peer reaches it", hung(), func(v *View) {
			v.Controllers, v.Probes = hearing(500*ms, 8*time.Second, 8*time.Second), agents(Answered)[:1]
		}, PathFault, ReasonMinorityPath},
		{"a minority hears it, a peer of its own rack reaches it", hung(), func(v *View) {
			v.Controllers, v.Probes = hearing(500*ms, 8*time.Second, 8*time.Second), []ProbeSight{peer("cmp9", "rack1", NetworkManagement, Answered)}
		}, Suspect, ReasonHeartbeatVeto},
		{"a minority hears it, the others hear nobody", hung(), func(v *View) {
			v.Controllers, v.Probes = hearing(500*ms, 8*time.Second, 8*time.Second), agents(Answered)
			v.Controllers[1].Deaf, v.Controllers[2].Deaf = true, true
		}, Healthy, ReasonHeartbeat},
		{"most controllers are deaf", hung(), func(v *View) { v.Controllers[1].Deaf, v.Controllers[2].Deaf = true, true }, Unknown, ReasonNoMajority},
		{"most controllers are deaf, BMC off", cut(), func(v *View) { v.Controllers[1].Deaf, v.Controllers[2].Deaf = true, true }, Unknown, ReasonNoMajority},
		{"one controller is deaf", hung(), func(v *View) { v.Controllers[2].Deaf = true }, Dead, ReasonSilent},
		{"who heard it last does not report", hung(), func(v *View) { v.Controllers[0].HeardAge, v.Controllers[0].ReportAge = 4900*ms, 4800*ms }, Unknown, ReasonWitnessLost},
		{"who heard it last does not report, BMC off", cut(), func(v *View) {
			v.Controllers = hearing(4*time.Second, 9*time.Second, 9*time.Second)
			v.Controllers[0].ReportAge = 3500 * ms
		}, Unknown, ReasonWitnessLost},
		{"peers of two racks reach it, no controller does", hung(), func(v *View) { v.Probes = append(v.Probes, agents(Answered)...) }, PathFault, ReasonNoPath},
		{"one peer reaches it", hung(), func(v *View) { v.Probes = append(v.Probes, agents(Answered)[0]) }, Unmanageable, ReasonNetworkAnswers},
		{"two peers of one rack reach it", hung(), func(v *View) {
			v.Probes = append(v.Probes, agents(Answered)...)
			v.Probes[4].Domain = "rack2"
		}, Unmanageable, ReasonNetworkAnswers},
		{"peers and a controller reach it", hung(), func(v *View) { v.Probes = append(v.Probes, agents(Answered)...); v.Probes[0].Answer = Answered }, Unmanageable, ReasonNetworkAnswers},
		{"it answers, and the ring holds it alive for long", hung(), func(v *View) {
			v.Controllers, v.Probes[0].Answer = hearing(21*time.Second, 21*time.Second, 21*time.Second), Answered
			v.Votes = []Vote{aliveIn("cmp2", "rack2"), aliveIn("cmp3", "rack3")}
		}, PathFault, ReasonRingAlive},
		{"it answers, and the ring has not had the time", hung(), func(v *View) {
			v.Probes[0].Answer, v.Votes = Answered, []Vote{aliveIn("cmp2", "rack2"), aliveIn("cmp3", "rack3")}
		}, Unmanageable, ReasonNetworkAnswers},
		{"it answers, and the ring is of two minds", hung(), func(v *View) {
			v.Controllers, v.Probes[0].Answer = hearing(21*time.Second, 21*time.Second, 21*time.Second), Answered
			v.Votes = []Vote{aliveIn("cmp2", "rack2"), aliveIn("cmp3", "rack3"), vote("cmp4", "rack4")}
		}, Unmanageable, ReasonNetworkAnswers},
		{"only gossip holds it alive", hung(), func(v *View) {
			v.Votes = append(v.Votes, aliveIn("cmp3", "rack3"), aliveIn("cmp4", "rack4"), aliveIn("cmp5", "rack5"))
		}, Dead, ReasonSilent},
		{"no votes, silent to agents of two racks", hung(), func(v *View) { v.Votes, v.Probes = nil, append(v.Probes, agents(Silent)...) }, Dead, ReasonSilent},
		{"no votes, silent to agents of one rack", hung(), func(v *View) {
			v.Votes, v.Probes = nil, append(v.Probes, agents(Silent)...)
			v.Probes[4].Domain = "rack2"
		}, Suspect, ReasonFewVotes},
		{"no votes, silent to an ill agent", hung(), func(v *View) {
			v.Votes, v.Probes = nil, append(v.Probes, agents(Silent)...)
			v.Probes[4].Ill = "reaches nobody on the management network itself"
		}, Suspect, ReasonFewVotes},
		{"no votes, agents asked before the silence", hung(), func(v *View) {
			v.Votes, v.Probes = nil, append(v.Probes, agents(Silent)...)
			v.Controllers = hearing(5500*ms, 5500*ms, 5500*ms)
			v.Probes[3].Age, v.Probes[4].Age = 5600*ms, 5600*ms
		}, Suspect, ReasonFewVotes},
		{"one vote, and the same member's probe", hung(), func(v *View) {
			v.Votes, v.Probes = []Vote{vote("cmp2", "rack2")}, append(v.Probes, agents(Silent)[0])
		}, Suspect, ReasonFewVotes},
		{"storage was not asked", hung(), func(v *View) {
			old := peer("cmp2", "rack2", NetworkStorage, Answered)
			old.Age = 10 * time.Minute
			v.Probes = append(v.Probes, old)
		}, Suspect, ReasonNetworkNotAsked},
		{"storage was asked too", hung(), func(v *View) { v.Probes = append(v.Probes, peer("cmp2", "rack2", NetworkStorage, Silent)) }, Dead, ReasonSilent},
		{"storage was asked by one who is isolated there", hung(), func(v *View) {
			v.Probes = append(v.Probes, peer("cmp2", "rack2", NetworkStorage, Silent))
			v.Probes[3].Ill = "reaches nobody on the storage network itself"
		}, Suspect, ReasonNetworkNotAsked},
		{"storage not asked, BMC off", cut(), func(v *View) {
			old := peer("cmp2", "rack2", NetworkStorage, Answered)
			old.Age = 10 * time.Minute
			v.Probes = append(v.Probes, old)
		}, Dead, ReasonPowerOff},
	}
}

// TestJudge is the ladder, rung by rung: each row takes one thing away from a
// view that is otherwise clear. docs/decisions.md tells the same in words.
func TestJudge(t *testing.T) {
	told := map[Reason]bool{}
	for _, tt := range slices.Concat(lifeRows(), deathRows(), networkRows(), pastRows()) {
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
			told[got.Reason] = true
		})
	}
	for _, r := range Reasons {
		if !told[r] {
			t.Errorf("no row ends at %s", r)
		}
	}
}
