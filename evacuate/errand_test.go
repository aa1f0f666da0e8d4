package evacuate

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// commanding is a power-off that may be under way.
type commanding struct {
	by     string
	errand bool
	until  time.Time
}

// handSpan is how long what was asked of a hand may go on without its leader.
const handSpan = 15 * time.Second

// commands breaks if two controllers may command one host's power at once, one of them on
// an errand.
func (c *cloud) commands(a Action) {
	n := commanding{orWord(a.Hand, c.leader), a.Hand != "", c.now.Add(handSpan)}
	if last := c.commanding[a.Host]; last.by != n.by && (last.errand || n.errand) && c.now.Before(last.until) {
		c.breaks("%s and %s may command the power of %s at once", last.by, n.by, a.Host)
	}
	c.commanding[a.Host] = n
}

func (c *cloud) commanded(a Action) {
	if a.Step == StepFence {
		delete(c.commanding, a.Host)
	}
}

// handsOf are the hands of a host's power-offs, in order; "-": the leader itself.
func (c *cloud) handsOf(host nova.HostName) string {
	var out []string
	for _, b := range c.entries {
		if e, err := DecodeEntry(b); err == nil && e.Kind == KindStep && e.Step == StepFence && e.Record.Phase == PhaseIntent && c.state.Recoveries[e.Recovery].Host == host {
			out = append(out, orWord(e.Record.Hand, "-"))
		}
	}
	return strings.Join(out, " ")
}

// TestHand: the leader's own hands where it reaches anything, another's only where it
// reaches nothing, each in turn and the leader's own among them.
func TestHand(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(q *question, f *Fencing)
		want string // of the first attempts
	}{
		"others reach it":               {func(*question, *Fencing) {}, "ctl2 ctl3 - ctl2"},
		"this one reaches it":           {func(_ *question, f *Fencing) { f.Unreached = false }, "- - - -"},
		"errands are off":               {func(q *question, _ *Fencing) { q.policy.Errands = false }, "- - - -"},
		"nobody reaches it":             {func(_ *question, f *Fencing) { f.Hands = nil }, "- - - -"},
		"they did an hour ago":          {func(q *question, _ *Fencing) { q.world.Now = q.world.Now.Add(HandFresh) }, "- - - -"},
		"they did in the future":        {func(q *question, _ *Fencing) { q.world.Now = q.world.Now.Add(-time.Hour) }, "- - - -"},
		"one of them reports":           {func(q *question, _ *Fencing) { q.world.Network.Reporting = []string{"ctl1", "ctl3"} }, "ctl3 - ctl3 -"},
		"one of them runs on the host":  {func(_ *question, f *Fencing) { f.Controller = "ctl2" }, "ctl3 - ctl3 -"},
		"the host is isolated and runs": {func(q *question, _ *Fencing) { q.world.Verdicts["cmp1"] = detector.Verdict{State: detector.Isolated} }, "- - - -"},
	} {
		t.Run(name, func(t *testing.T) {
			w := World{Now: t0, Leader: Leadership{ID: "ctl1", Is: true}, Network: NetworkSight{Reporting: []string{"ctl1", "ctl2", "ctl3"}},
				Verdicts: map[nova.HostName]detector.Verdict{}, Fencing: map[nova.HostName]Fencing{}}
			f := far(wired("cmp1", t0), t0)
			q := question{host: "cmp1", world: &w, policy: Policy{Errands: true}}
			c.set(&q, &f)
			w.Fencing["cmp1"] = f
			core := NewCore(q.policy)
			core.world = w
			r := &Recovery{Host: "cmp1", Steps: map[Step]*StepRecord{}}
			var got []string
			for i := range 4 {
				if i > 0 {
					r.Steps[StepFence] = &StepRecord{Attempt: i}
				}
				got = append(got, orWord(core.hand(r), "-"))
			}
			if s := strings.Join(got, " "); s != c.want {
				t.Errorf("hands %s, want %s", s, c.want)
			}
		})
	}
}

// TestFenceableByHands: the gate says who reaches what the leader does not.
func TestFenceableByHands(t *testing.T) {
	for _, tt := range []struct {
		set  func(q *question, f *Fencing)
		says string
	}{
		{func(*question, *Fencing) {}, "; this controller does not reach it, ctl2 does (it read on 1m0s ago), ctl3 does (it read on 1m0s ago)"},
		{func(_ *question, f *Fencing) { f.Hands = nil }, "; this controller does not reach it, and none is known that does"},
		{func(q *question, _ *Fencing) { q.policy.Errands = false }, ""},
		{func(_ *question, f *Fencing) { f.Unreached = false }, ""},
	} {
		w := World{Now: t0, Leader: Leadership{ID: "ctl1", Is: true}, Network: NetworkSight{Reporting: []string{"ctl1", "ctl2", "ctl3"}}}
		f, q := far(Fencing{}, t0), question{world: &w, policy: Policy{Errands: true}}
		tt.set(&q, &f)
		if got := f.sayHands(q.world, q.policy); got != tt.says {
			t.Errorf("the gate says %q, want %q", got, tt.says)
		}
	}
}

func errandIntent() Entry {
	e := eFence
	rec := intent()
	rec.Hand, rec.Term = "ctl2", 5
	e.Record = rec
	return e
}

func errandProof(by string) Entry {
	e := eProof
	p := *proofOf("cmp1", "b1")
	p.By = by
	e.Proof = &p
	return e
}

// TestPermitsErrand: what the hand's own ledger must say. A follower that lags knows less
// than the leader; whatever it does not know of keeps its hands still.
func TestPermitsErrand(t *testing.T) {
	opened := []Entry{eInit, eHost, eOpen}
	begun := append(opened[:3:3], errandIntent())
	other := func(f func(*StepRecord)) Entry {
		e := errandIntent()
		f(e.Record)
		return e
	}
	for _, tt := range []struct {
		name    string
		history []Entry
		set     func(w *World, p *Policy, a *Action)
		refused string
	}{
		{"promised", begun, nil, ""},
		{"not promised yet", opened, nil, "is not the one that was promised"},
		{"no such recovery", opened[:2], nil, "no recovery"},
		{"promised to the leader", append(opened[:3:3], eFence), nil, "is not the one that was promised"},
		{"promised to another", append(opened[:3:3], other(func(r *StepRecord) { r.Hand = "ctl3" })), nil, "is not the one that was promised"},
		{"promised as another attempt", append(opened[:3:3], other(func(r *StepRecord) { r.Attempt = 2 })), nil, "is not the one that was promised"},
		{"promised in another term", append(opened[:3:3], other(func(r *StepRecord) { r.Term = 4 })), nil, "is not the one that was promised"},
		{"ended", append(begun[:4:4], other(func(r *StepRecord) { r.Phase = PhaseFailed })), nil, "is not the one that was promised"},
		{"proven", append(begun[:4:4], errandProof("ctl2")), nil, "is not the one that was promised"},
		{"void", append(begun[:4:4], eVoid), nil, "is not the one that was promised"},
		{"void, of a new boot", append(begun[:4:4], eRefence), nil, "boot b2"},
		{"closed", append(begun[:4:4], eCancel), nil, "is closed"},
		{"a cancel was asked for", append(begun[:4:4], Entry{Kind: KindCancel, Recovery: "r1", By: "ann"}), nil, "being cancelled"},
		{"a cancel is under way", append(begun[:4:4], Entry{Kind: KindStep, Recovery: "r1", Step: StepCancel, Record: intent()}), nil, "being cancelled"},
		{"frozen", append(begun[:4:4], Entry{Kind: KindFreeze, Flag: true, By: "ann"}), nil, "frozen"},
		{"frozen by a file", begun, func(w *World, _ *Policy, _ *Action) { w.Frozen = "stop" }, "frozen by a local file"},
		{"mode observe", append(begun[:4:4], Entry{Kind: KindMode, Word: "observe"}), nil, "the mode of cmp1 is observe"},
		{"maintenance", append(begun[:4:4], Entry{Kind: KindHostMaintenance, Host: "cmp1", Flag: true}), nil, "in maintenance"},
		{"errands are off", begun, func(_ *World, p *Policy, _ *Action) { p.Errands = false }, "errands is off"},
		{"another host", begun, func(_ *World, _ *Policy, a *Action) { a.Host = "cmp2" }, "of cmp1"},
		{"another boot", begun, func(_ *World, _ *Policy, a *Action) { a.Boot = "b0" }, "boot b1"},
		{"another step", begun, func(_ *World, _ *Policy, a *Action) { a.Step = StepPowerOn }, "no errand"},
		{"nobody's hand", begun, func(_ *World, _ *Policy, a *Action) { a.Hand = "" }, "no errand"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, p := World{Now: t0}, Policy{Errands: true}
			a := Action{Step: StepFence, Recovery: "r1", Host: "cmp1", Boot: "b1", Attempt: 1, Term: 5, Hand: "ctl2"}
			if tt.set != nil {
				tt.set(&w, &p, &a)
			}
			err := play(t, tt.history...).PermitsErrand(&w, p, a)
			if tt.refused == "" && err != nil || tt.refused != "" && (err == nil || !strings.Contains(err.Error(), tt.refused)) {
				t.Errorf("%v, want %q", err, tt.refused)
			}
		})
	}
}

// TestApplyErrand: the hand stands in PowerBy from the intent on, and nobody's proof is
// taken but the one's that was asked.
func TestApplyErrand(t *testing.T) {
	begun := []Entry{eInit, eHost, eOpen, errandIntent()}
	for _, tt := range []struct {
		name    string
		history []Entry
		last    Entry
		refused string
	}{
		{"by the one that was asked", begun, errandProof("ctl2"), ""},
		{"by the leader after all", begun, errandProof(""), ""},
		{"by another", begun, errandProof("ctl3"), "was not asked"},
		{"nobody was asked", []Entry{eInit, eHost, eOpen, eFence}, errandProof("ctl2"), "was not asked"},
		{"void meanwhile", append(begun[:4:4], eVoid), errandProof("ctl2"), "was not asked"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := play(t, tt.history...)
			if tt.history[3].Record.Hand != "" && (s.Recoveries["r1"].PowerBy["ctl2"] != 5 || s.Recoveries["r1"].PowerBy["ctl1"] != 5) {
				t.Errorf("power by %v", s.Recoveries["r1"].PowerBy)
			}
			takes(t, s, 5, tt.last, tt.refused)
		})
	}
}

// TestErrandRecovers: a host that only others reach is fenced by one of them, recovered,
// and enabled by the very leader that sent it.
func TestErrandRecovers(t *testing.T) {
	c := newCloud(t, 3)
	c.addServer("vm1", "cmp1", nova.VMActive, c.start)
	c.host("cmp1").bmc = bmcFar
	c.run(time.Second)
	c.host("cmp1").off()
	c.run(2 * time.Minute)
	if r := c.recovery("cmp1"); r.Proof == nil || r.Proof.By != "ctl2" || c.handsOf("cmp1") != "ctl2" {
		t.Fatalf("asked %s, proof %+v", c.handsOf("cmp1"), r.Proof)
	}
	c.host("cmp1").bmc = bmcOK
	if err := c.operator(Entry{Kind: KindReturn, Recovery: "r1", Return: &Return{Asked: c.now, By: "ann"}}); err != nil {
		t.Fatal(err)
	}
	c.run(10 * time.Minute)
	if got := describeRecovery("status", c.recovery("cmp1")); got != "closed returned" {
		t.Errorf("recovery is %s: %+v", got, c.recovery("cmp1").Hold)
	}
	if len(c.broken) > 0 {
		t.Error(c.broken)
	}
}

// TestErrandLeaderCrash: the next leader waits the errand's deadline out, and says so; it
// does the same before an errand of its own where its predecessor was at it.
func TestErrandLeaderCrash(t *testing.T) {
	for _, tt := range []struct{ before, after string }{{bmcFar, bmcFar}, {bmcFar, bmcOK}, {bmcOK, bmcFar}} {
		t.Run(fmt.Sprintf("%s then %s", tt.before, tt.after), func(t *testing.T) {
			c := newCloud(t, 3)
			c.addServer("vm1", "cmp1", nova.VMActive, c.start)
			h := c.host("cmp1")
			h.bmc, c.crashAt = tt.before, "call:fence"
			c.run(time.Second)
			h.hung, h.up = true, false
			for range 400 {
				if c.step(); c.term > 1 {
					break
				}
			}
			h.bmc = tt.after
			crashed := c.now
			c.run(30 * time.Second)
			if r := c.recovery("cmp1"); r.Proof != nil || r.Hold == nil || !strings.Contains(r.Hold.Reason, "may still be under way") {
				t.Fatalf("after %s: proof %v, hold %+v", c.now.Sub(crashed), r.Proof, r.Hold)
			}
			c.run(2 * time.Minute)
			if r := c.recovery("cmp1"); r.Proof == nil {
				t.Errorf("never fenced again: %+v", r.Hold)
			}
			if len(c.broken) > 0 {
				t.Error(c.broken)
			}
		})
	}
}

// TestAcknowledgedErrand: a hand of a former leader's is waited for, as that one is.
func TestAcknowledgedErrand(t *testing.T) {
	c := newCloud(t, 3)
	c.addServer("vm1", "cmp1", nova.VMActive, c.start)
	c.host("cmp1").bmc, c.crashAt = bmcFar, "done:fence"
	c.run(time.Second)
	c.host("cmp1").off()
	c.run(time.Minute)
	c.host("cmp1").bmc = bmcOK
	// ctl2, the hand, leads now: let it be another that is absent.
	if !slices.Contains([]string{"ctl2", "ctl3"}, c.leader) || c.recovery("cmp1").PowerBy["ctl2"] != 1 {
		t.Fatalf("%s leads, power by %v", c.leader, c.recovery("cmp1").PowerBy)
	}
	c.depose() // ctl3 leads
	c.rejoin["ctl2"] = c.now.Add(24 * time.Hour)
	c.run(time.Minute)
	if err := c.operator(Entry{Kind: KindReturn, Recovery: "r1", Return: &Return{Asked: c.now, By: "ann"}}); err != nil {
		t.Fatal(err)
	}
	c.run(5 * time.Minute)
	if r := c.recovery("cmp1"); r.Status != StatusReturning || r.Hold == nil || r.Hold.Step != StepEnable {
		t.Fatalf("it is %s, held: %+v; the absent hand may still act", r.Status, r.Hold)
	}
	delete(c.rejoin, "ctl2")
	c.run(2 * time.Minute)
	if got := describeRecovery("status", c.recovery("cmp1")); got != "closed returned" {
		t.Errorf("recovery is %s", got)
	}
}
