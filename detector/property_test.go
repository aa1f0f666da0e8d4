package detector

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// dice is where a random view's choices come from: a seed or a fuzzer's bytes.
type dice func(n int) int

func seeded(seed uint64) dice {
	r := rand.New(rand.NewPCG(seed, 1))
	return r.IntN
}

// bytesDice reads choices from b, and zeroes once it is used up.
func bytesDice(b []byte) dice {
	return func(n int) int {
		if len(b) < 2 {
			return 0
		}
		x := int(binary.LittleEndian.Uint16(b))
		b = b[2:]
		return x % n
	}
}

func pickOne[T any](d dice, of ...T) T { return of[d(len(of))] }

var (
	someAges = []time.Duration{0, 100 * ms, 900 * ms, 2 * time.Second, 3 * time.Second, 3001 * ms, 4 * time.Second, 5 * time.Second,
		5900 * ms, 6100 * ms, 8 * time.Second, 20 * time.Second, time.Minute}
	domainOf = map[Observer]Domain{"ctl1": ControllerDomain, "ctl2": ControllerDomain, "ctl3": ControllerDomain,
		"cmp2": "rack2", "cmp3": "rack3", "cmp4": "rack2", "cmp5": "rack1"}
)

// randomView is any evidence that a table could give, with ages near every
// limit: each observer once, and heard before its report was made.
func randomView(d dice) View {
	age := func() time.Duration { return pickOne(d, someAges...) }
	v := View{Host: "cmp1", Domain: "rack1", Voters: 3, KnownBoot: pickOne(d, "b1", "b1", "b2", ""), LeavingFor: -1, Maintenance: d(10) == 0}
	v.HeardFor = age()
	if d(5) == 0 {
		v.LeavingFor = age() * 20
	}
	for i := range d(4) {
		h := Hearing{Controller: Observer(fmt.Sprintf("ctl%d", i+1)), ReportAge: age() / 4, Boot: pickOne(d, "b1", "b2"), Deaf: d(8) == 0}
		if h.HeardAge = h.ReportAge + age(); d(6) == 0 {
			h.HeardAge = -1
		}
		v.Controllers = append(v.Controllers, h)
	}
	if d(4) == 0 {
		v.Past = &Past{Age: age() * 10, Answers: pickOne(d, nil, []string{"management/icmp"}, []string{"management/icmp", "storage/icmp"})}
		for i := range v.Controllers {
			v.Controllers[i].HeardAge, v.Controllers[i].Boot, v.Controllers[i].Listening = -1, "", age()
		}
	}
	for _, o := range []Observer{"ctl1", "ctl2", "ctl3", "cmp2", "cmp3"} {
		for _, network := range []string{NetworkManagement, NetworkStorage} {
			if d(3) == 0 {
				v.Probes = append(v.Probes, ProbeSight{Observer: o, Domain: domainOf[o], Network: network, Kind: ProbeICMP,
					Answer: pickOne(d, Silent, Silent, Silent, Answered, Failed), Age: age(), Countable: d(4) > 0, Ill: pickOne(d, "", "", "", "ill")})
			}
		}
	}
	for _, o := range []Observer{"cmp2", "cmp3", "cmp4", "cmp5", "ctl1"} {
		if d(2) == 0 {
			dead := d(4) > 0
			v.Votes = append(v.Votes, Vote{Observer: o, Domain: domainOf[o], Dead: dead, Unsaid: !dead && d(2) == 0, Age: age() / 2, Ill: pickOne(d, "", "", "", "stall")})
		}
	}
	for range d(5) {
		v.Power = append(v.Power, PowerSight{Power: pickOne(d, "off", "off", "off", "on", "unknown"), Age: age()})
	}
	if d(2) == 0 {
		v.Nova = &ServiceSight{State: pickOne(d, nova.StateUp, nova.StateDown), Reported: d(6) == 0}
	}
	if d(3) == 0 {
		v.Path = somePath(d)
	}
	for _, network := range []string{NetworkManagement, NetworkStorage} {
		if d(2) == 0 {
			v.Networks = append(v.Networks, NetworkSight{Reach: Reach{Network: network, Asked: d(4), Reached: d(2), Age: age()}, Others: 4, OthersUp: d(5)})
		}
	}
	return v
}

var rowViews = sync.OnceValue(func() (views []View) {
	for _, r := range slices.Concat(lifeRows(), deathRows(), networkRows(), pastRows()) {
		if r.change != nil {
			r.change(&r.view)
		}
		views = append(views, r.view)
	}
	return views
})

// nearRow is a row of TestJudge's tables with a few things altered: views that
// nearly make each verdict.
func nearRow(d dice) View {
	rows := rowViews()
	v := changed(rows[d(len(rows))], func(*View) {})
	age := func() time.Duration { return pickOne(d, someAges...) }
	for range d(4) {
		switch d(8) {
		case 0:
			alter(v.Controllers, d, func(h *Hearing) { h.HeardAge = h.ReportAge + age() })
		case 1:
			alter(v.Controllers, d, func(h *Hearing) { h.Deaf = !h.Deaf })
		case 2:
			alter(v.Probes, d, func(p *ProbeSight) { p.Answer = pickOne(d, Silent, Answered, Failed) })
		case 3:
			alter(v.Probes, d, func(p *ProbeSight) { p.Age = age() })
		case 4:
			alter(v.Votes, d, func(o *Vote) { o.Dead, o.Unsaid = !o.Dead, false })
		case 5:
			alter(v.Power, d, func(o *PowerSight) { o.Age = age() })
		case 6:
			alter(v.Networks, d, func(n *NetworkSight) { n.Reached = d(2) })
		default:
			alter(v.Probes, d, func(p *ProbeSight) { p.Countable = !p.Countable })
		}
	}
	v.Votes = slices.CompactFunc(slices.Clone(v.Votes), func(a, b Vote) bool { return a.Observer == b.Observer })
	return v
}

func alter[T any](s []T, d dice, f func(*T)) {
	if len(s) > 0 {
		f(&s[d(len(s))])
	}
}

// changed gives a copy of v whose lists may be altered.
func changed(v View, change func(v *View)) View {
	v.Controllers, v.Probes, v.Votes = slices.Clone(v.Controllers), slices.Clone(v.Probes), slices.Clone(v.Votes)
	v.Power, v.Networks = slices.Clone(v.Power), slices.Clone(v.Networks)
	change(&v)
	return v
}

// signs add one sign of life each.
var signs = map[string]func(d dice, v *View){
	"a heartbeat heard": func(d dice, v *View) {
		v.Controllers = append(v.Controllers, Hearing{Controller: "ctl9", ReportAge: 0, HeardAge: time.Duration(d(3001)) * ms, Boot: "b1"})
	},
	// Fresher than any silence that matters: an older answer is only a baseline.
	"an answered probe": func(d dice, v *View) {
		v.Probes = append(v.Probes, ProbeSight{Observer: "cmp7", Domain: "rack7", Network: pickOne(d, Networks[:]...), Kind: ProbeTCP, Answer: Answered,
			Age: time.Duration(d(500)) * ms, Countable: d(2) == 0})
	},
	"a power reading of on": func(d dice, v *View) {
		v.Power = append(v.Power, PowerSight{Power: "on", Age: time.Duration(d(9000)) * ms})
	},
	"a report of nova-compute": func(_ dice, v *View) { v.Nova = &ServiceSight{State: nova.StateUp, Reported: true} },
	"a ring member that holds it alive": func(_ dice, v *View) {
		v.Votes = append(v.Votes, Vote{Observer: "cmp8", Domain: "rack8"})
	},
}

// nothings change what must not count.
var nothings = map[string]func(d dice, v *View){
	"a stale report": func(d dice, v *View) {
		h := Hearing{Controller: "ctl8", ReportAge: time.Minute, HeardAge: -1, Boot: "b7", Deaf: d(2) == 0}
		if slices.ContainsFunc(v.Controllers, func(h Hearing) bool { return h.HeardAge >= 0 }) {
			h.HeardAge = time.Hour // that it was ever heard is no news
		}
		v.Controllers = append(v.Controllers, h)
	},
	"a stale vote": func(d dice, v *View) {
		v.Votes = append(v.Votes, Vote{Observer: "cmp8", Domain: "rack8", Dead: d(2) == 0, Age: time.Minute})
	},
	"an ill observer's vote": func(d dice, v *View) {
		v.Votes = append(v.Votes, Vote{Observer: "cmp8", Domain: "rack8", Dead: d(2) == 0, Ill: "stall"})
	},
	"a vote without an opinion": func(_ dice, v *View) {
		v.Votes = append(v.Votes, Vote{Observer: "cmp8", Domain: "rack8", Unsaid: true})
	},
	"a probe that could not be put": func(_ dice, v *View) {
		v.Probes = append(v.Probes, ProbeSight{Observer: "cmp8", Domain: "rack8", Network: NetworkManagement, Kind: ProbeICMP, Answer: Failed})
	},
}

// gone takes one controller's word away.
func gone(v View, i int) View {
	return changed(v, func(v *View) { v.Controllers = slices.Delete(v.Controllers, i, i+1) })
}

func hears(h Hearing, p Policy) bool {
	return h.ReportAge <= 3*p.Interval && h.HeardAge >= 0 && h.HeardAge <= time.Duration(p.Missed)*p.Interval
}

// checkView asserts over one view what no evidence may break.
func checkView(v View, d dice) error {
	p := DefaultPolicy()
	got := Judge(v, p)
	if again := Judge(v, p); !reflect.DeepEqual(got, again) {
		return fmt.Errorf("two judgements of one view differ")
	}
	if err := checkDead(v, got, p); err != nil {
		return err
	}
	for name, add := range signs {
		after := Judge(changed(v, func(v *View) { add(d, v) }), p)
		if after.Nearness() > got.Nearness() {
			return fmt.Errorf("%s turned %s (%s) into %s (%s)", name, got.State, got.Reason, after.State, after.Reason)
		}
	}
	for name, add := range nothings {
		after := Judge(changed(v, func(v *View) { add(d, v) }), p)
		if unprobed := len(v.Probes) == 0 && after.Reason == ReasonNoBaseline; after.State != got.State && !unprobed {
			return fmt.Errorf("%s turned %s (%s) into %s (%s)", name, got.State, got.Reason, after.State, after.Reason)
		}
	}
	mixed := Judge(changed(v, func(v *View) { shuffle(v, d) }), p)
	if mixed.State != got.State || mixed.Reason != got.Reason || mixed.Detail != got.Detail || mixed.Means != got.Means || !reflect.DeepEqual(mixed.Signs, got.Signs) {
		return fmt.Errorf("shuffled evidence turned %s (%s: %s) into %s (%s: %s)", got.State, got.Reason, got.Detail, mixed.State, mixed.Reason, mixed.Detail)
	}
	for i, h := range v.Controllers {
		if hears(h, p) {
			continue // a veto that was taken away by hand: see TestWitness
		}
		if after := Judge(gone(v, i), p); after.State == Dead && got.State != Dead && got.Reason != ReasonWitnessLost && len(v.Controllers) > 0 && !mayHaveBeenLast(v, h) {
			return fmt.Errorf("without %s, %s (%s) turned Dead", h.Controller, got.State, got.Reason)
		}
	}
	return nil
}

// mayHaveBeenLast says that a controller heard the host later than the others:
// without it, the silence is longer, and what was read since counts.
func mayHaveBeenLast(v View, h Hearing) bool {
	for _, o := range v.Controllers {
		if o.Controller != h.Controller && o.HeardAge >= 0 && (h.HeardAge < 0 || o.HeardAge <= h.HeardAge) {
			return false
		}
	}
	return true
}

func shuffle(v *View, d dice) {
	swap(v.Controllers, d)
	swap(v.Probes, d)
	swap(v.Votes, d)
	swap(v.Power, d)
	swap(v.Networks, d)
}

func swap[T any](s []T, d dice) {
	for i := range s {
		j := d(len(s))
		s[i], s[j] = s[j], s[i]
	}
}

// checkDead asserts what every Dead must rest on.
func checkDead(v View, got Verdict, p Policy) error {
	if got.State != Dead {
		return nil
	}
	fresh := 0
	for _, h := range v.Controllers {
		if hears(h, p) {
			return fmt.Errorf("dead although %s hears it", h.Controller)
		}
		if h.ReportAge <= 3*p.Interval && !h.Deaf {
			fresh++
		}
	}
	if 2*fresh <= v.Voters {
		return fmt.Errorf("dead by %d of %d controllers", fresh, v.Voters)
	}
	if v.Maintenance {
		return fmt.Errorf("dead in maintenance")
	}
	for _, s := range got.Signs {
		if s.Grade != GradeHint {
			return fmt.Errorf("dead in spite of %s (%s)", s.Name, s.Grade)
		}
	}
	for _, n := range got.Networks {
		if n.Word == NetworkUp {
			return fmt.Errorf("dead although its %s network is up: %s", n.Network, n.Detail)
		}
	}
	return nil
}

// TestJudgeProperties asserts over random evidence what no policy may break.
func TestJudgeProperties(t *testing.T) {
	reasons := map[Reason]int{}
	for seed := range uint64(30000) {
		d := seeded(seed)
		v := randomView(d)
		if seed%2 == 0 {
			v = nearRow(d)
		}
		if err := checkView(v, d); err != nil {
			t.Fatalf("seed %d: %v\n%+v", seed, err, v)
		}
		reasons[Judge(v, DefaultPolicy()).Reason]++
	}
	for _, r := range Reasons {
		if reasons[r] < 30 {
			t.Errorf("only %d random views end at %s: the properties were hardly asked", reasons[r], r)
		}
	}
}

// FuzzJudge lets the fuzzer choose the evidence.
func FuzzJudge(f *testing.F) {
	for seed := range uint64(8) {
		r := rand.New(rand.NewPCG(seed, 2))
		b := make([]byte, 200)
		for i := range b {
			b[i] = byte(r.UintN(256))
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d := bytesDice(b)
		v := randomView(d)
		if d(2) == 0 {
			v = nearRow(d)
		}
		if err := checkView(v, d); err != nil {
			t.Fatalf("%v\n%+v", err, v)
		}
	})
}

// TestWitness lets the only controller that hears a host fall silent itself: the
// others' silence, long before, is no death.
func TestWitness(t *testing.T) {
	for seed := range uint64(20000) {
		d := seeded(seed)
		v := randomView(d)
		p := DefaultPolicy()
		if len(v.Controllers) < 3 || !hears(v.Controllers[0], p) || v.Controllers[0].HeardAge > time.Second {
			continue
		}
		for i := 1; i < 3; i++ {
			v.Controllers[i].HeardAge = 30 * time.Second
		}
		v.Controllers[0].ReportAge, v.Controllers[0].HeardAge = 3100*ms, 3500*ms
		if got := Judge(v, p); got.State == Dead {
			t.Fatalf("seed %d: Dead (%s) although %s heard it until it fell silent itself\n%+v", seed, got.Reason, v.Controllers[0].Controller, v)
		}
	}
}
