package evacuate

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// racks is a cloud of n healthy hosts, ten in each rack, in which every gate is
// open for whoever dies.
func racks(n int) question {
	s := NewState()
	s.Mode, s.ModeBy = ModeAuto, "ann"
	w := &World{Now: t0, Leader: Leadership{ID: "ctl1", Is: true, Term: 5, Since: t0.Add(-time.Hour), Writable: true},
		Verdicts: map[nova.HostName]detector.Verdict{}, Servers: map[nova.HostName][]nova.Server{}, Fencing: map[nova.HostName]Fencing{},
		Domains: map[nova.HostName][]Domain{}, Network: NetworkSight{Voters: 3, Fresh: 3, Known: n, Heard: n}}
	w.Nova = NovaSight{At: t0, Services: map[nova.HostName]nova.Service{}, Schedulers: 1, Conductors: 1, AggregatesAt: t0}
	for i := range n {
		h := rackHost(i)
		s.host(h).Machine = machineOf(h)
		w.Verdicts[h] = detector.Verdict{Host: h, State: detector.Healthy, At: t0}
		w.Nova.Services[h] = nova.Service{Host: h, State: nova.StateUp}
		w.Servers[h] = []nova.Server{{ID: nova.ServerID("vm-" + string(h))}}
		w.Fencing[h] = wired(h, t0)
		w.Domains[h] = []Domain{{"rack", fmt.Sprintf("r%d", i/10)}}
	}
	w.Kdump.Listening = true
	p := DefaultPolicy()
	p.KdumpQuiet, p.KdumpMost = 30*time.Second, 5*time.Minute
	return question{host: rackHost(0), state: s, world: w, policy: p}
}

func rackHost(i int) nova.HostName { return nova.HostName(fmt.Sprintf("cmp%03d", i)) }

// fall lets hosts [from, to) die: silent for so long, for that reason.
func (q *question) fall(from, to int, silent time.Duration, why detector.Reason) {
	for i := from; i < to; i++ {
		h := rackHost(i)
		q.world.Verdicts[h] = detector.Verdict{Host: h, State: detector.Dead, Reason: why, At: t0, Silent: silent}
	}
}

// fenced notes recoveries of [from, to) that were commanded off so long ago.
func (q *question) fenced(from, to int, ago time.Duration) {
	for i := from; i < to; i++ {
		id := RecoveryID(fmt.Sprintf("r%d", i))
		q.state.Recoveries[id] = &Recovery{ID: id, Host: rackHost(i), Status: StatusClosed, LastHeard: t0.Add(-ago - time.Minute), OffSent: t0.Add(-ago)}
	}
}

func (q *question) aggregate(from, to int, metadata map[string]string) {
	a := nova.Aggregate{Name: "fast", Metadata: metadata}
	for i := from; i < to; i++ {
		a.Hosts = append(a.Hosts, rackHost(i))
	}
	q.world.Nova.Aggregates = append(q.world.Nova.Aggregates, a)
}

// stormRows ask for the first host; "" wants the gate open.
var stormRows = []struct {
	name  string
	hosts int
	spoil func(q *question)
	words string
}{
	{"one of 200", 200, func(*question) {}, ""},
	{"hosts that were never heard make no limit", 200, func(q *question) {
		for i := 20; i < 200; i++ {
			q.world.Verdicts[rackHost(i)] = detector.Verdict{State: detector.Unknown, Reason: detector.ReasonNeverHeard, At: t0}
		}
		q.fall(1, 2, time.Hour, detector.ReasonSilent)
		q.fall(2, 3, 2*time.Hour, detector.ReasonSilent)
	}, "3 hosts are dead"},
	{"hosts in maintenance make no limit", 200, func(q *question) {
		for i := 10; i < 200; i++ {
			q.state.Hosts[rackHost(i)].Maintenance = true
		}
		q.fall(1, 2, time.Hour, detector.ReasonSilent)
	}, "2 hosts are dead"},
	{"one by one, below the limit", 200, func(q *question) {
		for i := range 9 {
			q.fall(10*i, 10*i+1, time.Duration(i)*time.Minute, detector.ReasonSilent)
		}
	}, ""},
	{"twenty one", 200, func(q *question) {
		for i := range 20 {
			q.fall(10*i+1, 10*i+2, time.Duration(i+1)*time.Minute, detector.ReasonSilent)
		}
	}, "21 hosts are dead"},
	{"a cliff below the limit", 200, func(q *question) {
		for i := range 11 {
			q.fall(10*i, 10*i+1, 8*time.Second+time.Duration(i)*300*time.Millisecond, detector.ReasonSilent)
		}
	}, "11 of 200 hosts fell silent within 5s"},
	{"half a cliff", 200, func(q *question) {
		for i := range 10 {
			q.fall(10*i, 10*i+1, 8*time.Second, detector.ReasonSilent)
		}
	}, ""},
	{"a cliff of hosts that answer on the network", 200, func(q *question) {
		q.fall(0, 1, 8*time.Second, detector.ReasonSilent)
		for i := 1; i < 13; i++ {
			q.world.Verdicts[rackHost(i)] = detector.Verdict{State: detector.Unmanageable, At: t0, Silent: 9 * time.Second}
		}
	}, "hosts fell silent within"},
	{"what reads off at once is explained", 200, func(q *question) {
		for i := range 15 {
			q.fall(10*i, 10*i+1, 8*time.Second, detector.ReasonPowerOff)
		}
		q.fall(0, 1, 8*time.Second, detector.ReasonSilent)
	}, ""},
	{"and the rest of it is not", 200, func(q *question) {
		q.fall(0, 1, 8*time.Second, detector.ReasonSilent)
		for i := 1; i < 12; i++ {
			q.fall(10*i, 10*i+1, 8*time.Second, detector.ReasonSilent)
		}
		q.fall(190, 192, 8*time.Second, detector.ReasonPowerOff)
	}, "12 of 200 hosts fell silent"},
	{"two are no cliff", 30, func(q *question) { q.fall(0, 2, 8*time.Second, detector.ReasonSilent) }, ""},
	{"three of 30 are one", 30, func(q *question) {
		for i := range 3 {
			q.fall(10*i, 10*i+1, 8*time.Second, detector.ReasonSilent)
		}
	}, "3 of 30 hosts fell silent"},
	{"no cliff asked for", 30, func(q *question) {
		q.policy.CliffPercent = 0
		for i := range 3 {
			q.fall(10*i, 10*i+1, 8*time.Second, detector.ReasonSilent)
		}
	}, ""},
	{"the cliff lasts while some of it is recovered", 30, func(q *question) {
		q.fall(10, 11, 12*time.Second, detector.ReasonSilent)
		q.fall(0, 1, 12*time.Second, detector.ReasonSilent)
		q.state.Recoveries["r9"] = &Recovery{ID: "r9", Host: rackHost(20), Status: StatusOpen, LastHeard: t0.Add(-11 * time.Second)}
	}, "3 of 30 hosts fell silent"},
	{"three within the hour", 10, func(q *question) { q.fenced(1, 4, 50*time.Minute) }, "3 hosts were fenced within the last hour"},
	{"three before it", 10, func(q *question) { q.fenced(1, 4, 61*time.Minute) }, ""},
	{"a rate of one", 200, func(q *question) { q.policy.StormPerHour = 1; q.fenced(1, 2, 50*time.Minute) }, "1 hosts were fenced"},
	{"an off whose leader did not live to tell", 10, func(q *question) {
		q.policy.StormPerHour = 1
		q.state.Recoveries["r1"] = &Recovery{ID: "r1", Host: rackHost(5), Status: StatusClosed, Steps: map[Step]*StepRecord{StepFence: {Intent: t0.Add(-time.Minute)}}}
	}, "1 hosts were fenced"},
	{"a whole rack is silent and reads on", 200, func(q *question) { q.fall(0, 10, 8*time.Second, detector.ReasonSilent) }, "has it lost its network?"},
	{"a whole rack reads off", 200, func(q *question) { q.fall(0, 10, 8*time.Second, detector.ReasonPowerOff) }, ""},
	{"a rack beyond its limit", 200, func(q *question) {
		q.policy.StormDomains = map[string]DomainLimit{"rack": {Max: 2}}
		for i := range 3 {
			q.fall(i, i+1, time.Duration(i+1)*time.Minute, detector.ReasonSilent)
		}
	}, "3 hosts of rack r0"},
	{"another rack beyond its limit", 200, func(q *question) {
		q.policy.StormDomains = map[string]DomainLimit{"rack": {Max: 2}}
		for i := 10; i < 13; i++ {
			q.fall(i, i+1, time.Duration(i)*time.Minute, detector.ReasonSilent)
		}
	}, ""},
	{"of unknown feed", 200, func(q *question) { q.policy.StormDomains = map[string]DomainLimit{"psu": {Max: 2}} }, "which psu"},
	{"in no aggregate", 200, func(q *question) { q.policy.StormDomains = map[string]DomainLimit{DomainAggregate: {Max: 2}} }, ""},
	{"an aggregate beyond its limit", 200, func(q *question) {
		q.policy.Aggregates = true
		q.aggregate(0, 50, map[string]string{"lifeboat:max_failures": "1"})
		q.fall(40, 41, time.Hour, detector.ReasonSilent)
	}, "2 hosts of aggregate fast"},
	{"ours before theirs", 200, func(q *question) {
		q.policy.Aggregates = true
		q.aggregate(0, 50, map[string]string{"lifeboat:max_failures": "2", "instanceha:max_failures": "1"})
		q.fall(40, 41, time.Hour, detector.ReasonSilent)
	}, ""},
	{"another aggregate beyond its limit", 200, func(q *question) {
		q.policy.Aggregates = true
		q.aggregate(50, 99, map[string]string{"lifeboat:max_failures": "0"})
		q.fall(60, 61, time.Hour, detector.ReasonSilent)
	}, ""},
	{"a limit that is no number", 200, func(q *question) {
		q.policy.Aggregates = true
		q.aggregate(0, 50, map[string]string{"lifeboat:max_failures": "few"})
	}, "no number"},
	{"limits not looked at", 200, func(q *question) { q.aggregate(0, 50, map[string]string{"lifeboat:max_failures": "0"}) }, ""},
	{"aggregates never read", 200, func(q *question) {
		q.policy.Aggregates, q.world.Nova.AggregatesAt, q.world.Nova.AggregatesErr = true, time.Time{}, "forbidden"
	}, "not been read lately, and their metadata may say no: forbidden"},
	{"aggregates read long ago", 200, func(q *question) {
		q.policy.Aggregates, q.world.Nova.AggregatesAt = true, t0.Add(-11*time.Minute)
	}, "not been read lately"},
}

func TestStorm(t *testing.T) {
	for _, tt := range stormRows {
		t.Run(tt.name, func(t *testing.T) {
			q := racks(tt.hosts)
			q.fall(0, 1, 10*time.Second, detector.ReasonSilent)
			tt.spoil(&q)
			standing, reason := askStorm(q)
			switch {
			case tt.words == "" && standing != Met:
				t.Errorf("%s: %s", standing, reason)
			case tt.words != "" && (standing != Held || !strings.Contains(reason, tt.words)):
				t.Errorf("%s: %s, want held with %q", standing, reason, tt.words)
			}
		})
	}
}

// TestRack: a rack that lost its power is recovered by its own limit where the
// operator said so, and only then; one that lost its switch never.
func TestRack(t *testing.T) {
	recover20 := map[string]DomainLimit{"rack": {Max: 10, Recover: true}}
	tests := []struct {
		name    string
		domains map[string]DomainLimit
		spoil   func(q *question)
		words   string
	}{
		{"power, by its own limit", recover20, func(q *question) { q.fall(0, 10, 8*time.Second, detector.ReasonPowerOff) }, ""},
		{"power, most of it fenced by now", recover20, func(q *question) {
			q.fall(0, 10, time.Minute, detector.ReasonPowerOff)
			for i := range 9 {
				q.state.Recoveries[RecoveryID(rackHost(i+1))] = &Recovery{ID: RecoveryID(rackHost(i + 1)), Host: rackHost(i + 1), Status: StatusRecovered,
					LastHeard: t0.Add(-time.Minute), Proof: &fence.Record{Commanded: t0.Add(-30 * time.Second)}}
			}
		}, ""},
		{"power, by the cloud's limit", nil, func(q *question) { q.fall(0, 10, 8*time.Second, detector.ReasonPowerOff) }, "10 hosts are dead"},
		{"power, more than its limit", map[string]DomainLimit{"rack": {Max: 9, Recover: true}}, func(q *question) { q.fall(0, 10, 8*time.Second, detector.ReasonPowerOff) }, "10 hosts of rack r0"},
		{"power, not to be recovered", map[string]DomainLimit{"rack": {Max: 10}}, func(q *question) { q.fall(0, 10, 8*time.Second, detector.ReasonPowerOff) }, "10 hosts are dead"},
		{"switch", recover20, func(q *question) { q.fall(0, 10, 8*time.Second, detector.ReasonSilent) }, "lost its network"},
		{"switch, one is switched off too", recover20, func(q *question) {
			q.fall(0, 10, 8*time.Second, detector.ReasonSilent)
			q.fall(0, 1, time.Hour, detector.ReasonPowerOff)
		}, ""},
		{"power, and others elsewhere", recover20, func(q *question) {
			q.fall(0, 10, 8*time.Second, detector.ReasonPowerOff)
			for i := 1; i < 6; i++ {
				q.fall(10*i, 10*i+1, time.Duration(i)*time.Minute, detector.ReasonSilent)
			}
		}, ""},
		{"power, and a storm elsewhere", recover20, func(q *question) {
			q.fall(0, 10, 8*time.Second, detector.ReasonPowerOff)
			q.fall(11, 17, 8*time.Second, detector.ReasonSilent)
		}, "beside rack r0 6 hosts are dead"},
		{"two racks", recover20, func(q *question) { q.fall(0, 20, 8*time.Second, detector.ReasonPowerOff) }, "beside rack r0 10 hosts are dead"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			q := racks(60)
			q.policy.StormDomains = tt.domains
			tt.spoil(&q)
			standing, reason := askStorm(q)
			if (standing == Met) != (tt.words == "") || !strings.Contains(reason, tt.words) {
				t.Errorf("%s: %s, want %q", standing, reason, tt.words)
			}
		})
	}
}

func TestMayFall(t *testing.T) {
	q := racks(60)
	p := q.policy
	names := func(from, to int) (out []nova.HostName) {
		for i := from; i < to; i++ {
			out = append(out, rackHost(i))
		}
		return out
	}
	if p.MayFall(names(0, 10), q.world.Domains) {
		t.Error("no rack may fall")
	}
	p.StormDomains = map[string]DomainLimit{"rack": {Max: 10, Recover: true}}
	if !p.MayFall(names(0, 10), q.world.Domains) || p.MayFall(names(0, 11), q.world.Domains) || p.MayFall(names(5, 15), q.world.Domains) || p.MayFall(nil, q.world.Domains) {
		t.Error("a rack may fall, and only one")
	}
}

// TestPowerOffAsksAgain plays one decision in random worlds: whatever happened
// between it and the power-off, a gate that closes by then lets no off out, and
// says so.
func TestPowerOffAsksAgain(t *testing.T) {
	held := map[GateName]int{}
	for seed := range uint64(1500) {
		r := rand.New(rand.NewPCG(seed, 5))
		q := racks(1 + r.IntN(60))
		q.state.Controllers["ctl1"] = &Controller{ID: "ctl1"}
		q.fall(0, 1, 10*time.Second, detector.ReasonSilent)
		core := NewCore(q.policy)
		first := core.Tick(q.state, *q.world)
		commitAll(t, q.state, first)
		opened := q.state.Open(q.host) != nil
		q.world.Now = q.world.Now.Add(250 * time.Millisecond)
		q.disturb(r)
		ready := core.Tick(q.state, *q.world)
		answers := Ask(AtPowerOff, q.host, q.state.Open(q.host), q.state, q.world, q.policy)
		a, closed := Closed(answers)
		for _, act := range ready.Actions {
			if act.Step == StepFence && (closed || !opened) {
				t.Fatalf("seed %d: an off goes out past gate %s: %s", seed, a.Gate, a.Reason)
			}
		}
		commitAll(t, q.state, ready)
		rec := q.state.Open(q.host)
		if closed && rec != nil && q.world.Leader.Is && (rec.Hold == nil || rec.Hold.Gate == "") {
			t.Fatalf("seed %d: held at %s, and the recovery does not say so: %+v", seed, a.Gate, rec.Hold)
		}
		if opened && closed {
			held[a.Gate]++
		}
	}
	for _, g := range gates {
		if held[g.name] == 0 && slices.Contains(g.at, AtPowerOff) {
			t.Errorf("no world closed gate %s between decide and power-off: %v", g.name, held)
		}
	}
}

func commitAll(t *testing.T, s *State, r Ready) {
	t.Helper()
	for _, e := range r.Commit {
		if err := s.Apply(s.Index+1, 5, e.Clone()); err != nil {
			t.Fatal(err)
		}
	}
}

// disturb changes one to three things that gates look at, or nothing.
func (q *question) disturb(r *rand.Rand) {
	n := len(q.world.Verdicts)
	age := func(at *time.Time) { *at = q.world.Now.Add(-time.Duration(r.IntN(60)) * time.Second) }
	for h, v := range q.world.Verdicts {
		v.At = q.world.Now
		q.world.Verdicts[h] = v
	}
	q.world.Nova.At = q.world.Now
	for range r.IntN(4) {
		other := r.IntN(n)
		switch r.IntN(18) {
		case 0:
			q.fall(other, min(n, other+1+r.IntN(12)), time.Duration(r.IntN(30))*time.Second, detector.ReasonSilent)
		case 1:
			q.world.Verdicts[rackHost(other)] = detector.Verdict{State: detector.Suspect, At: q.world.Now}
		case 2:
			q.fenced(other, min(n, other+1+r.IntN(5)), time.Duration(r.IntN(90))*time.Minute)
		case 3:
			q.world.Leader.Writable = false
		case 4:
			q.world.Leader.Since = q.world.Now.Add(-time.Duration(r.IntN(30)) * time.Second)
		case 5:
			q.world.Frozen = "by hand"
		case 6:
			q.state.Mode = Modes[r.IntN(len(Modes))]
		case 7:
			q.state.Hosts[q.host].Maintenance = true
		case 8:
			q.verdict(q.host, detector.States[r.IntN(len(detector.States))])
		case 9:
			v := q.world.Verdicts[q.host]
			age(&v.At)
			q.world.Verdicts[q.host] = v
		case 10:
			age(&q.world.Nova.At)
		case 11:
			q.world.Network.Fresh = r.IntN(4)
		case 12:
			delete(q.world.Nova.Services, q.host)
		case 13:
			q.world.Servers[q.host] = nil
		case 14:
			q.world.Fencing[q.host] = Fencing{Methods: []string{"ipmi"}, Refused: "a controller's BMC"}
		case 16:
			q.world.Capacity = map[nova.HostName]Capacity{q.host: {Known: r.IntN(2) == 0, Fits: r.IntN(3), Of: 3}}
		case 17:
			q.world.Kdump.Dumps = map[nova.HostName]Dump{q.host: {First: q.world.Now.Add(-time.Duration(r.IntN(400)) * time.Second), Last: q.world.Now.Add(-time.Duration(r.IntN(60)) * time.Second)}}
		case 15:
			delete(q.world.Verdicts, rackHost(other))
		}
	}
}
