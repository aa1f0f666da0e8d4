package evacuate

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// question6 is a cloud of six hosts in which cmp1 is dead and every gate of
// every point is open.
func question6(t *testing.T) question {
	t.Helper()
	s := play(t, eInit, eHost, eOpen, eFence, eProof)
	w := &World{Now: t0.Add(10 * time.Second), Leader: Leadership{ID: "ctl1", Is: true, Term: 5, Since: t0.Add(-time.Hour), Writable: true},
		Verdicts: map[nova.HostName]detector.Verdict{}, Servers: map[nova.HostName][]nova.Server{"cmp1": {{ID: "vm1"}}},
		Fencing: map[nova.HostName]Fencing{}, Network: NetworkSight{Voters: 3, Fresh: 3, Known: 6, Heard: 5}}
	w.Nova = NovaSight{At: w.Now, Services: map[nova.HostName]nova.Service{}, Schedulers: 1, Conductors: 1}
	for i := range 6 {
		h := nova.HostName(fmt.Sprintf("cmp%d", i+1))
		s.host(h).Machine = machineOf(h)
		w.Verdicts[h] = detector.Verdict{Host: h, State: detector.Healthy, At: w.Now}
		w.Nova.Services[h] = nova.Service{Host: h, State: nova.StateUp}
		w.Fencing[h] = wired(h, w.Now)
	}
	w.Verdicts["cmp1"] = detector.Verdict{Host: "cmp1", State: detector.Dead, At: w.Now}
	return question{host: "cmp1", recovery: s.Recoveries["r1"], state: s, world: w, policy: DefaultPolicy()}
}

// Cases of a gate: what it asks for is not so, is not known, or was never
// configured.
const (
	notMet  = "not met"
	missing = "input missing"
	unset   = "not configured"
)

// spoilt is one way to spoil a world for one gate.
type spoilt struct {
	gate  GateName
	kind  string // notMet, missing or unset
	name  string
	spoil func(q *question)
	words string
}

// holds lists, for each gate, what closes it.
var holds = []spoilt{
	{GateLeader, notMet, "not the leader", func(q *question) { q.world.Leader.Is = false }, "not the leader"},
	{GateLeader, missing, "standing missing", func(q *question) { q.world.Leader = Leadership{Writable: true} }, "not the leader"},
	{GateLeader, missing, "start missing", func(q *question) { q.world.Leader.Since = time.Time{} }, "since when"},
	{GateLedger, missing, "standing missing", func(q *question) { q.world.Leader = Leadership{Is: true} }, "no quorum"},
	{GateLedger, notMet, "no quorum", func(q *question) { q.world.Leader.Writable = false }, "no quorum"},
	{GateFreeze, notMet, "frozen by an operator", func(q *question) { q.state.Frozen, q.state.FrozenBy = true, "ann" }, "frozen by ann"},
	{GateFreeze, notMet, "frozen by a file", func(q *question) { q.world.Frozen = "maintenance window" }, "local file"},
	{GateFreeze, missing, "the file cannot be read", func(q *question) { q.world.Frozen = "the file freeze cannot be read" }, "cannot be read"},
	{GateDrain, notMet, "drained by an operator", func(q *question) { q.state.Drain = &Mark{By: "ann", Reason: "upgrade"} }, "drained by ann: upgrade"},
	{GateDrain, missing, "by whom is missing", func(q *question) { q.state.Drain = &Mark{} }, "drained by"},
	{GateArmed, notMet, "observe", func(q *question) { q.state.Mode = ModeObserve }, "mode is observe"},
	{GateArmed, notMet, "shadow", func(q *question) { q.state.Mode = ModeShadow }, "only watches"},
	{GateArmed, missing, "mode missing", func(q *question) { q.state.Mode = "" }, "only watches"},
	{GateArmed, notMet, "host more careful", func(q *question) { q.state.Hosts["cmp1"].Mode = &Setting{ModeObserve, Mark{By: "ann"}} }, "observe for the host (set by ann)"},
	{GateArmed, notMet, "aggregate more careful", func(q *question) {
		q.state.AggregateModes = map[string]*Setting{"gpu": {ModeShadow, Mark{By: "ann"}}}
		q.world.Aggregates = map[nova.HostName][]string{"cmp1": {"gpu"}}
	}, "shadow for the aggregate gpu"},
	{GateArmed, missing, "aggregates not known", func(q *question) {
		q.policy.AggregateModes = map[string]Mode{"gpu": ModeOff}
	}, "off for the aggregate gpu (set by the configuration)"},
	{GateMaintenance, notMet, "in maintenance", func(q *question) { q.state.Hosts["cmp1"].Maintenance = true }, "in maintenance"},
	{GateMaintenance, missing, "host unknown", func(q *question) { delete(q.state.Hosts, "cmp1") }, "does not know"},
	{GateMaintenance, notMet, "Masakari has it", func(q *question) { q.service("cmp1", "Masakari detected host failed.") }, "another evacuator"},
	{GateMaintenance, notMet, "Instance HA has it", func(q *question) { q.service("cmp1", "instanceha evacuation: 2026-11-21T06:00:00") }, "another evacuator"},
	{GateVerdict, missing, "verdict missing", func(q *question) { delete(q.world.Verdicts, "cmp1") }, "no verdict yet"},
	{GateVerdict, notMet, "unmanageable", func(q *question) { q.verdict("cmp1", detector.Unmanageable) }, "Unmanageable"},
	{GateFresh, notMet, "evidence old", func(q *question) {
		v := q.world.Verdicts["cmp1"]
		v.At = q.world.Now.Add(-4 * time.Second)
		q.world.Verdicts["cmp1"] = v
	}, "4s old"},
	{GateFresh, notMet, "evidence of the future", func(q *question) { q.world.Now = q.world.Now.Add(-time.Second) }, "set back"},
	{GateFresh, missing, "evidence missing", func(q *question) { delete(q.world.Verdicts, "cmp1") }, "no evidence"},
	{GateControlPlane, missing, "Nova never reached", func(q *question) { q.world.Nova.At = time.Time{} }, "not been reached"},
	{GateControlPlane, notMet, "Nova silent", func(q *question) { q.world.Nova.At = q.world.Now.Add(-time.Minute) }, "not answered for 1m0s"},
	{GateControlPlane, notMet, "Nova's answer of the future", func(q *question) { q.world.Nova.At = q.world.Now.Add(time.Second) }, "set back"},
	{GateControlPlane, missing, "no host ever heard", func(q *question) { q.world.Network.Known, q.world.Network.Heard = 0, 0 }, "no host was ever heard"},
	{GateControlPlane, notMet, "controllers silent", func(q *question) { q.world.Network.Fresh = 1 }, "1 of 3 controllers"},
	{GateControlPlane, notMet, "a clock of its own", func(q *question) { q.world.Network.Skew = "the clock differs by 3m" }, "differs by 3m"},
	{GateControlPlane, notMet, "most hosts unheard", func(q *question) { q.world.Network.Heard = 2 }, "2 of 6 hosts are heard"},
	{GateControlPlane, notMet, "no conductor", func(q *question) { q.world.Nova.Conductors = 0 }, "0 conductors"},
	{GateControlPlane, notMet, "no scheduler", func(q *question) { q.world.Nova.Schedulers = 0 }, "0 schedulers"},
	{GateControlPlane, notMet, "nowhere to go", func(q *question) {
		for h, s := range q.world.Nova.Services {
			s.Disabled = h != "cmp1"
			q.world.Nova.Services[h] = s
		}
	}, "nowhere to go"},
	{GateControlPlane, notMet, "another nova-compute is not heard either", func(q *question) {
		q.world.Verdicts["cmp1"] = detector.Verdict{Host: "cmp1", State: detector.Degraded, Means: detector.MeansFence, At: q.world.Now}
		q.state.Ailing = map[nova.HostName]*Ailing{"cmp1": {Host: "cmp1", Disabled: true}}
		q.world.Nova.Services["cmp2"] = nova.Service{Host: "cmp2", State: nova.StateDown}
	}, "the nova-compute of cmp2 either"},
	{GateControlPlane, notMet, "only a suspect to go to", func(q *question) {
		for h, s := range q.world.Nova.Services {
			s.Disabled = h != "cmp2"
			q.world.Nova.Services[h] = s
		}
		q.verdict("cmp2", detector.Suspect) // Nova calls it up for a minute yet
	}, "nowhere to go"},
	{GateControlPlane, notMet, "only a host without the control plane to go to", func(q *question) {
		for h, s := range q.world.Nova.Services {
			s.Disabled = h != "cmp2"
			q.world.Nova.Services[h] = s
		}
		v := q.world.Verdicts["cmp2"]
		v.View.Path = &detector.PathSight{Fails: []string{"placement"}, Others: 4, OthersUp: 4}
		q.world.Verdicts["cmp2"] = v
	}, "nowhere to go"},
	{GateControlPlane, notMet, "two have the VIP", func(q *question) {
		q.world.Cloud = detector.Cloud{Condition: detector.VIPSplit, Reason: detector.ReasonVIPTwin, Detail: "ctl1 and ctl2 have it"}
	}, "ctl1 and ctl2 have it"},
	{GateStorm, notMet, "another is dead", func(q *question) { q.verdict("cmp2", detector.Dead) }, "2 hosts are dead"},
	{GateStorm, notMet, "another is suspect", func(q *question) { q.verdict("cmp2", detector.Suspect) }, "2 hosts are dead"},
	{GateStorm, notMet, "another was just fenced", func(q *question) {
		q.state.Recoveries["r0"] = &Recovery{ID: "r0", Host: "cmp2", Status: StatusClosed, Proof: proofOf("cmp2", "b1")}
	}, "2 hosts are dead"},
	{GateStorm, missing, "a host not judged", func(q *question) { delete(q.world.Verdicts, "cmp2") }, "2 hosts are dead"},
	{GateProtected, notMet, "its disks are its own", func(q *question) {
		q.world.Storage = map[nova.HostName]Storage{"cmp1": StorageLocal}
	}, "nothing that could be moved"},
	{GateProtected, notMet, "nothing on it", func(q *question) { q.world.Servers = nil }, "nothing to save"},
	{GateProtected, missing, "unknown to Nova", func(q *question) { delete(q.world.Nova.Services, "cmp1") }, "knows no nova-compute"},
	{GateProtected, notMet, "nothing protected", func(q *question) {
		q.choose(ProtectOptOut, nova.Server{ID: "vm1", Host: "cmp1", Metadata: map[string]string{"lifeboat:protected": "false"}})
	}, "none of its 1 instances is protected"},
	{GateProtected, missing, "aggregates never read", func(q *question) {
		q.choose(ProtectOptOut, nova.Server{ID: "vm1"})
		q.world.Nova.AggregatesAt = time.Time{}
	}, "not been read lately"},
	{GateProtected, missing, "instances not listed", func(q *question) {
		q.choose(ProtectOptOut)
		delete(q.world.Servers, "cmp1")
		q.state.Hosts["cmp1"].Instances = []nova.ServerID{"vm1"} // of which nobody knows what is said
	}, "not been listed"},
	{GateProtected, unset, "all", func(q *question) {
		q.world.Servers["cmp1"] = []nova.Server{{ID: "vm1", Metadata: map[string]string{"lifeboat:protected": "false"}}}
	}, "leaves none out"},
	{GateFlap, notMet, "in quarantine", func(q *question) {
		q.state.Hosts["cmp1"].Quarantine = &Quarantine{Until: q.world.Now.Add(time.Minute), Reason: "4 points"}
	}, "in quarantine until"},
	{GateFlap, notMet, "points enough", func(q *question) { q.upsets(4, time.Hour) }, "4 points within 24h0m0s (reboot 4)"},
	{GateFlap, missing, "host unknown", func(q *question) { delete(q.state.Hosts, "cmp1") }, "does not know"},
	{GateFlap, unset, "no limit", func(q *question) { q.policy.FlapLimit = 0; q.upsets(9, time.Hour) }, "no host is put"},
	{GateKdump, notMet, "dumping", func(q *question) { q.dump(time.Minute, 29*time.Second) }, "writing its dump for 1m0s"},
	{GateKdump, missing, "nobody listens", func(q *question) { q.dump(time.Hour, time.Hour); q.world.Kdump.Listening = false }, "nobody listens"},
	{GateKdump, unset, "nobody listens", func(q *question) { q.dump(time.Minute, time.Second); q.policy.KdumpQuiet = 0 }, "nobody listens"},
	{GateCapacity, notMet, "none fits", func(q *question) {
		q.world.Capacity = map[nova.HostName]Capacity{"cmp1": {Known: true, Of: 3, Reason: "no host has 64 GiB"}}
	}, "none of 3 instances fits elsewhere: no host"},
	{GateCapacity, missing, "not known of this host", func(q *question) { q.world.Capacity = map[nova.HostName]Capacity{} }, "not known"},
	{GateCapacity, unset, "nobody asks", func(*question) {}, "nobody asks Placement"},
	{GateFenceable, unset, "nothing configured", func(q *question) { delete(q.world.Fencing, "cmp1") }, "no fencing method"},
	{GateFenceable, notMet, "refused", func(q *question) {
		q.world.Fencing["cmp1"] = Fencing{Methods: []string{"ipmi"}, Refused: "a controller's BMC"}
	}, "a controller's BMC"},
	{GateFenceable, missing, "never read on", func(q *question) { q.fencing(func(f *Fencing) { f.PoweredOn = time.Time{} }) }, "never read on"},
	{GateFenceable, notMet, "read on in the future", func(q *question) {
		q.fencing(func(f *Fencing) { f.PoweredOn = q.world.Now.Add(time.Hour) })
	}, "in the future"},
	{GateFenceable, notMet, "read off since then while its agent was heard", func(q *question) {
		q.state.Hosts["cmp1"] = &Host{Name: "cmp1", Machine: machineOf("cmp1"), PoweredOn: q.world.Now.Add(-time.Hour), ReadOff: q.world.Now.Add(-time.Minute)}
	}, "it lies, or belongs to another machine"},
	{GateFenceable, notMet, "read on too long ago", func(q *question) {
		q.fencing(func(f *Fencing) { f.PoweredOn = q.world.Now.Add(-25 * time.Hour) })
	}, "25h0m0s ago"},
	{GateFenceable, missing, "machine never asked", func(q *question) { q.check(func(c *FenceCheck) { *c = FenceCheck{} }) }, "not asked yet which machine"},
	{GateFenceable, missing, "machine asked too long ago", func(q *question) { q.check(func(c *FenceCheck) { c.At = q.world.Now.Add(-25 * time.Hour) }) }, "last read 25h0m0s ago"},
	{GateFenceable, missing, "the agent does not say", func(q *question) { q.state.Hosts["cmp1"].Machine = fence.Identity{} }, "its agent has not said"},
	{GateFenceable, missing, "the BMC does not say", func(q *question) { q.check(func(c *FenceCheck) { c.Machine = fence.Identity{} }) }, "neither a UUID"},
	{GateFenceable, missing, "asked of another BMC", func(q *question) {
		q.fencing(func(f *Fencing) {
			q.state.Hosts["cmp1"].Checks = []FenceCheck{f.Links[0].Check}
			f.Links[0].Check = FenceCheck{}
			f.Links[0].Target = "https://new"
		})
	}, "not asked yet"},
	{GateFenceable, notMet, "another host's machine", func(q *question) { q.check(func(c *FenceCheck) { c.Machine = machineOf("cmp2") }) }, "its BMC is that of cmp2 (serial SN-CMP2); cmp1 itself is serial SN-CMP1"},
	{GateFenceable, notMet, "another host's machine, as the former leader saw", func(q *question) {
		q.state.Hosts["cmp1"].Checks = []FenceCheck{{Method: "redfish", Target: "https://bmc", At: q.world.Now, Machine: machineOf("cmp2")}}
	}, "that of cmp2"},
	{GateFenceable, notMet, "another host's machine behind the second method", func(q *question) {
		q.fencing(func(f *Fencing) {
			f.Links = append(f.Links, FenceLink{Method: "ipmi", Check: FenceCheck{At: q.world.Now, Machine: machineOf("cmp2")}})
		})
	}, "ipmi: its BMC is that of cmp2"},
	{GateFenceable, notMet, "read off while its agent was heard, by the second method alone", func(q *question) {
		q.fencing(func(f *Fencing) {
			f.Links = append(f.Links, FenceLink{Method: "pdu", Check: FenceCheck{At: q.world.Now, ReadOff: q.world.Now}})
		})
	}, "pdu: it read off while"},
	{GateFenceable, notMet, "the only method has not read on for a day", func(q *question) {
		q.check(func(c *FenceCheck) { c.Read, c.PoweredOn = q.world.Now, q.world.Now.Add(-25*time.Hour) })
	}, "has not read on with a living agent within 24h"},
	{GateFenceable, notMet, "nobody's machine", func(q *question) { q.check(func(c *FenceCheck) { c.Machine = machineOf("cmp9") }) }, "another machine's"},
	{GateFenceable, notMet, "a controller's machine", func(q *question) { q.state.Controllers["ctl2"] = &Controller{ID: "ctl2", Machine: machineOf("cmp1")} }, "controller ctl2 runs on"},
	{GateFenceable, notMet, "declared, and that controller leads", func(q *question) {
		q.state.Controllers["ctl1"] = &Controller{ID: "ctl1", Machine: machineOf("cmp1")}
		q.world.Network.Reporting = []string{"ctl1", "ctl2", "ctl3"}
		q.fencing(func(f *Fencing) { f.Controller = "ctl1" })
	}, "another must act"},
	{GateFenceable, notMet, "declared, and its vote is needed", func(q *question) {
		q.state.Controllers["ctl2"] = &Controller{ID: "ctl2", Machine: machineOf("cmp1")}
		q.world.Network.Reporting = []string{"ctl1", "ctl2"}
		q.fencing(func(f *Fencing) { f.Controller = "ctl2" })
	}, "without that one 1 of 3 controllers report"},
	{GateConcurrency, missing, "no limit", func(q *question) { q.policy.Concurrency = 0 }, "0 allowed"},
	{GateConcurrency, notMet, "two under way", func(q *question) {
		q.policy.Concurrency = 1
	}, "1 recoveries are under way"},
	{GateProof, missing, "no recovery", func(q *question) { q.recovery = nil }, "no recovery"},
	{GateProof, notMet, "no proof", func(q *question) { q.recovery.Proof = nil }, "no proof"},
	{GateProof, notMet, "void", func(q *question) { q.recovery.Void = "heard" }, "void: heard"},
	{GateProof, notMet, "of another boot", func(q *question) { q.recovery.Boot = "b2" }, "no proof"},
}

// fencing changes what is known of cmp1's fencing, check what its BMC said.
func (q *question) fencing(change func(*Fencing)) {
	f := q.world.Fencing["cmp1"]
	f.Links = slices.Clone(f.Links)
	change(&f)
	q.world.Fencing["cmp1"] = f
}

func (q *question) check(change func(*FenceCheck)) {
	q.fencing(func(f *Fencing) { change(&f.Links[0].Check) })
}

func (q *question) verdict(h nova.HostName, s detector.State) {
	q.world.Verdicts[h] = detector.Verdict{Host: h, State: s, At: q.world.Now}
}

func (q *question) ask(p Point) []Answer {
	return Ask(p, q.host, q.recovery, q.state, q.world, q.policy)
}

func (q *question) choose(p Protect, servers ...nova.Server) {
	q.policy.Protect, q.world.Nova.AggregatesAt = p, q.world.Now
	q.world.Servers["cmp1"] = servers
}

func (q *question) upsets(n int, ago time.Duration) {
	for range n {
		q.state.upset(q.host, q.world.Now.Add(-ago), UpsetReboot)
	}
}

func (q *question) dump(first, last time.Duration) {
	q.policy.KdumpQuiet, q.policy.KdumpMost = 30*time.Second, 5*time.Minute
	q.world.Kdump = KdumpSight{Listening: true, Dumps: map[nova.HostName]Dump{q.host: {First: q.world.Now.Add(-first), Last: q.world.Now.Add(-last)}}}
}

func (q *question) service(h nova.HostName, reason string) {
	s := q.world.Nova.Services[h]
	s.Disabled, s.DisabledReason = true, reason
	q.world.Nova.Services[h] = s
}

// TestGates spoils one thing at a time: exactly the gate that is about it
// answers as the table says, at exactly its points, and says why.
func TestGates(t *testing.T) {
	seen := map[GateName]map[string]bool{}
	for _, tt := range holds {
		if seen[tt.gate] == nil {
			seen[tt.gate] = map[string]bool{}
		}
		seen[tt.gate][tt.kind] = true
		for _, p := range Points {
			t.Run(fmt.Sprintf("%s/%s/%s/%s", tt.gate, tt.kind, tt.name, p), func(t *testing.T) { tt.test(t, p) })
		}
	}
	for _, g := range gates {
		want := map[string]bool{notMet: true, missing: g.missing != "", unset: g.unset != ""}
		for kind, need := range want {
			if need && !seen[g.name][kind] {
				t.Errorf("gate %s: no case %q here", g.name, kind)
			}
		}
	}
}

func (tt spoilt) test(t *testing.T, p Point) {
	i := slices.IndexFunc(gates, func(g gate) bool { return g.name == tt.gate })
	row := gates[i]
	want := map[string]Standing{notMet: Held, missing: row.missing, unset: row.unset}[tt.kind]
	q := question6(t)
	find := func() (Answer, bool) {
		answers := q.ask(p)
		i := slices.IndexFunc(answers, func(a Answer) bool { return a.Gate == tt.gate })
		if i < 0 {
			return Answer{}, false
		}
		return answers[i], true
	}
	before, asked := find()
	if asked != slices.Contains(row.at, p) {
		t.Fatalf("asked at %s: %t", p, asked)
	}
	if !asked {
		return
	}
	if !before.Pass || before.Standing == Held || before.Reason == "" {
		t.Errorf("closed in a world in which nothing is wrong: %+v", before)
	}
	tt.spoil(&q)
	a, _ := find()
	if a.Standing != want || a.Pass != (want != Held) || !strings.Contains(a.Reason, tt.words) {
		t.Errorf("%s, pass %t: %q, want %s with %q", a.Standing, a.Pass, a.Reason, want, tt.words)
	}
}

// TestGateTable holds the table of docs/decisions.md against the one in code.
func TestGateTable(t *testing.T) {
	b, err := os.ReadFile("../docs/decisions.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(b), "\n## Gates\n")
	if !found {
		t.Fatal("docs/decisions.md has no section Gates")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var got []string
	for line := range strings.Lines(section) {
		cells := strings.Split(strings.TrimSpace(line), " | ")
		if name := strings.TrimPrefix(cells[0], "| "); len(cells) == len(Points)+4 && name != "gate" {
			last := strings.TrimSuffix(cells[len(cells)-1], " |")
			got = append(got, fmt.Sprint(name, cells[1:len(Points)+1], cells[len(cells)-2], "/", last))
		}
	}
	word := func(s Standing) string {
		if s == "" {
			return "–"
		}
		return map[Standing]string{Held: "closed", Warns: "open, warns", NotConfigured: "open"}[s]
	}
	var want []string
	for _, g := range gates {
		marks := make([]string, 0, len(Points))
		for _, p := range Points {
			marks = append(marks, map[bool]string{true: "x", false: "–"}[slices.Contains(g.at, p)])
		}
		want = append(want, fmt.Sprint(string(g.name), marks, word(g.missing), "/", word(g.unset)))
	}
	if !slices.Equal(got, want) {
		t.Errorf("the document says\n%s\nthe code\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestGatesOpen asks in a world in which nothing is wrong.
func TestGatesOpen(t *testing.T) {
	for _, p := range Points {
		q := question6(t)
		if a, closed := Closed(q.ask(p)); closed {
			t.Errorf("at %s gate %s is closed: %s", p, a.Gate, a.Reason)
		}
	}
	q := question{point: AtDecide, host: "cmp1", state: NewState(), world: &World{Now: t0}, policy: DefaultPolicy()}
	for _, a := range Ask(AtDecide, "cmp1", nil, q.state, q.world, q.policy) {
		bare := a.Gate == GateFreeze || a.Gate == GateDrain || a.Gate == GateStorm || a.Gate == GateConcurrency || a.Gate == GateCapacity
		if !bare && a.Pass {
			t.Errorf("gate %s passes in an empty world: %s", a.Gate, a.Reason)
		}
	}
}

// TestGateDetails holds single answers that the table does not reach.
func TestGateDetails(t *testing.T) {
	q := question6(t)
	q.world.Leader.Since = q.world.Now.Add(-time.Second)
	if a, _ := Closed(q.ask(AtPowerOff)); a.Gate != GateLeader {
		t.Error("a leader of one second may power off")
	}
	if a, closed := Closed(q.ask(AtEvacuate)); closed {
		t.Errorf("a leader of one second may not go on after the proof: %s", a.Reason)
	}
	q = question6(t)
	svc := q.world.Nova.Services["cmp1"]
	svc.ForcedDown = true
	q.world.Nova.Services["cmp1"] = svc
	if a, _ := Closed(q.ask(AtDecide)); a.Gate != GateMaintenance {
		t.Error("a host that somebody else forced down is recovered")
	}
	if a, closed := Closed(q.ask(AtPowerOff)); closed {
		t.Errorf("our own force-down closes: %s", a.Reason)
	}
	q = question6(t)
	q.verdict("cmp2", detector.Dead)
	q.state.Hosts["cmp2"].Maintenance = true
	if a, closed := Closed(q.ask(AtDecide)); closed {
		t.Errorf("a host in maintenance counts for the storm: %s", a.Reason)
	}
	q = question6(t)
	q.world.Verdicts["cmp2"] = detector.Verdict{State: detector.Suspect, Reason: detector.ReasonHeartbeatVeto, At: q.world.Now}
	if a, closed := Closed(q.ask(AtDecide)); closed {
		t.Errorf("a host that a controller hears counts for the storm: %s", a.Reason)
	}
	q = question6(t)
	q.dump(6*time.Minute, time.Second)
	if a, closed := Closed(q.ask(AtPowerOff)); closed {
		t.Errorf("a dump is waited for without an end: %s", a.Reason)
	}
	q.dump(time.Minute, 30*time.Second)
	if a, closed := Closed(q.ask(AtPowerOff)); closed {
		t.Errorf("a dump that has ended is waited for: %s", a.Reason)
	}
	q = question6(t)
	q.world.Capacity = map[nova.HostName]Capacity{"cmp1": {Known: true, Fits: 1, Of: 3}}
	if a := q.ask(AtDecide); a[slices.IndexFunc(a, func(a Answer) bool { return a.Gate == GateCapacity })].Standing != Warns {
		t.Error("no warning of instances that stay behind")
	}
	q = question6(t)
	q.upsets(4, 25*time.Hour)
	q.upsets(3, time.Hour)
	if a, closed := Closed(q.ask(AtEnable)); closed {
		t.Errorf("what was longer ago than the window counts: %s", a.Reason)
	}
	q = question6(t)
	q.world.Servers = nil
	q.state.Hosts["cmp1"].Instances = []nova.ServerID{"vm1"}
	if a, closed := Closed(q.ask(AtDecide)); closed {
		t.Errorf("the remembered list of instances is not used: %s", a.Reason)
	}
}

func TestStormLimit(t *testing.T) {
	tests := []struct{ hosts, count, percent, want int }{
		{0, 0, 10, 1}, {1, 0, 10, 1}, {3, 0, 10, 1}, {10, 0, 10, 1}, {11, 0, 10, 2}, {20, 0, 10, 2}, {21, 0, 10, 2},
		{30, 0, 10, 3}, {99, 0, 10, 9}, {500, 0, 10, 50}, {30, 0, 1, 1}, {30, 0, 0, 1},
		{30, 2, 10, 2}, {30, 5, 10, 3}, {5, 3, 10, 1}, {5, 3, 0, 3}, {100, 1, 50, 1},
	}
	for _, tt := range tests {
		p := Policy{StormCount: tt.count, StormPercent: tt.percent}
		if got := p.StormLimit(tt.hosts); got != tt.want {
			t.Errorf("%d hosts, count %d, %d %%: limit %d, want %d", tt.hosts, tt.count, tt.percent, got, tt.want)
		}
	}
}
