package evacuate

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// pulse is the harness's tick; nothing in it sleeps.
const pulse = 250 * time.Millisecond

// cloud drives a Core against a scripted world in virtual time: Tick, commit
// through State.Apply, carry out the Actions, hand back their Outcomes.
type cloud struct {
	t      testing.TB
	start  time.Time
	now    time.Time
	policy Policy

	state   *State
	entries [][]byte // the committed log
	terms   []uint64 // the term in which each entry was committed
	core    *Core
	term    uint64
	leader  string
	since   time.Time
	vacant  time.Time // no leader until then
	rejoin  map[string]time.Time
	crashAt string // "intent:fence", "call:fence", "done:fence": the next time
	flights []*flight

	*fakeWorld
	frozen  string // by file
	cutAt   string // calls cut right after that entry, once
	cut     func()
	cutLast time.Time // when it was called
	log     []string
	broken  []string // invariants that did not hold
	quieter bool     // keep no log
	// commanding is who may still command a host's power.
	commanding map[nova.HostName]commanding
}

// flight is an action under way. Its call is made at call, its outcome is
// handed back at answer.
type flight struct {
	a            Action
	began        time.Time
	call, answer time.Time
	called       bool
	proved       bool // the proof held when it was begun
	out          Outcome
}

func newCloud(t testing.TB, hosts int) *cloud {
	start := time.Date(2026, 11, 21, 6, 0, 0, 0, time.UTC)
	c := &cloud{t: t, start: start, now: start, policy: DefaultPolicy(), state: NewState(), term: 1, leader: "ctl1",
		since: start.Add(-time.Hour), rejoin: map[string]time.Time{}, fakeWorld: newFakeWorld(), commanding: map[nova.HostName]commanding{}}
	c.policy.Errands = true
	c.core = NewCore(c.policy)
	c.quieter = true
	c.operator(Entry{Kind: KindClusterInit, Cluster: &ClusterInit{ID: "c1", Name: "test", Mode: ModeAuto}})
	for _, id := range []string{"ctl1", "ctl2", "ctl3"} {
		c.operator(Entry{Kind: KindControllerJoin, Controller: &Controller{ID: id}})
	}
	for i := range hosts {
		h := c.addHost(nova.HostName(fmt.Sprintf("cmp%d", i+1)), start)
		m := machineOf(h.name)
		c.operator(Entry{Kind: KindHostSeen, Seen: []HostSeen{{Host: h.name, Boot: h.boot, PoweredOn: start, Machine: &m}}})
	}
	c.quieter = false
	return c
}

func (c *cloud) say(format string, args ...any) {
	if !c.quieter {
		c.log = append(c.log, fmt.Sprintf("%8.2f  ", c.now.Sub(c.start).Seconds())+fmt.Sprintf(format, args...))
	}
}

func (c *cloud) breaks(format string, args ...any) {
	c.broken = append(c.broken, fmt.Sprintf("%8.2f  ", c.now.Sub(c.start).Seconds())+fmt.Sprintf(format, args...))
}

// operator commits an entry that a person or the ledger asked for.
func (c *cloud) operator(e Entry) error {
	e.At = c.now
	if e.By == "" {
		e.By = "ann"
	}
	return c.apply(e)
}

// apply commits one entry as the ledger does: bytes, not pointers.
func (c *cloud) apply(e Entry) error {
	b, err := e.Encode()
	if err != nil {
		c.t.Fatalf("encode: %v", err)
	}
	d, err := DecodeEntry(b)
	if err != nil {
		c.t.Fatalf("decode: %v", err)
	}
	if err := c.state.Apply(uint64(len(c.entries)+1), c.term, d); err != nil {
		c.say("REFUSED %s: %v", e.Kind, err)
		return err
	}
	c.entries, c.terms = append(c.entries, b), append(c.terms, c.term)
	if line := describeEntry(e); line != "" {
		c.say("%s", line)
	}
	return nil
}

// replay gives the state that another replica makes of the same log.
func (c *cloud) replay() *State {
	s := NewState()
	for i, b := range c.entries {
		e, err := DecodeEntry(b)
		if err == nil {
			err = s.Apply(uint64(i+1), c.terms[i], e)
		}
		if err != nil {
			c.t.Fatalf("replay of entry %d: %v", i+1, err)
		}
	}
	return s
}

func (c *cloud) world() World {
	w := c.fakeWorld.world(c.now, c.state)
	w.Frozen = c.frozen
	w.Network.Reporting = []string{"ctl1", "ctl2", "ctl3"}
	w.Leader = Leadership{ID: c.leader, Is: true, Term: c.term, Since: c.since, Writable: true}
	for _, id := range []string{"ctl1", "ctl2", "ctl3"} {
		w.Terms[id] = c.term
		if back, ok := c.rejoin[id]; ok && c.now.Before(back) {
			w.Terms[id] = 0
		}
	}
	return w
}

func (c *cloud) run(d time.Duration) {
	for until := c.now.Add(d); c.now.Before(until); {
		c.step()
	}
}

// step is one pulse: the world moves, calls are made, outcomes come back, the
// core ticks.
func (c *cloud) step() {
	c.now = c.now.Add(pulse)
	for _, line := range c.move(c.now) {
		c.say("world   %s", line)
	}
	c.broken = append(c.broken, c.twice()...)
	for _, f := range slices.Clone(c.flights) {
		c.fly(f)
	}
	if c.now.Before(c.vacant) {
		return
	}
	c.carry(c.core.Tick(c.state, c.world()))
}

func (c *cloud) fly(f *flight) {
	if !slices.Contains(c.flights, f) {
		return // its controller has crashed meanwhile
	}
	if !f.called && !c.now.Before(f.call) {
		f.called = true
		if c.now.Before(c.vacant) || f.a.Term != c.term || c.now.Sub(f.began) > f.a.Deadline {
			f.out, f.answer = Outcome{Action: f.a, Definite: true, Detail: "withheld"}, c.now
		} else if err := c.permits(f.a); err != nil {
			f.out, f.answer = Outcome{Action: f.a, Definite: true, Detail: err.Error()}, c.now
		} else {
			c.perform(f)
			if c.crashAt == "call:"+string(f.a.Step) {
				c.crash()
				return
			}
		}
	}
	if !f.called || c.now.Before(f.answer) || c.now.Before(c.vacant) {
		return
	}
	c.flights = slices.DeleteFunc(c.flights, func(o *flight) bool { return o == f })
	c.commanded(f.a)
	c.carry(c.core.Done(c.state, c.world(), f.out))
}

// carry keeps Ready's contract.
func (c *cloud) carry(r Ready) {
	var entries []Entry
	for _, e := range r.Commit {
		entries = append(entries, e.Clone())
	}
	for _, e := range entries {
		if err := c.apply(e); err != nil {
			c.breaks("the core's own entry was refused: %v", err)
			c.core.Drop(r.Actions)
			return
		}
		if c.cutAt != "" && c.cutAt == crashPoint(e) {
			c.cutAt = ""
			c.cut()
		}
		if c.crashAt != "" && c.crashAt == crashPoint(e) {
			c.crash()
			return
		}
	}
	for _, a := range r.Actions {
		c.watched(a)
		f := &flight{a: a, began: c.now, call: c.now.Add(pulse)}
		if r := c.state.Recoveries[a.Recovery]; r != nil {
			_, f.proved = r.Proved()
		}
		c.flights = append(c.flights, f)
	}
}

// crashPoint names the place in the log after which a leader may be told to
// crash.
func crashPoint(e Entry) string {
	switch {
	case e.Kind == KindOpen:
		return "done:open"
	case e.Kind == KindPlan || e.Kind == KindPlanApprove || e.Kind == KindShadow:
		return "done:" + string(e.Kind)
	case e.Kind == KindStep && e.Record.Phase == PhaseIntent:
		return "intent:" + string(e.Step)
	case e.Kind == KindStep && e.Record.Phase == PhaseDone:
		return "done:" + string(e.Step)
	case e.Kind == KindEvacuations && e.Evacuations[0].State == EvacIntent:
		return "intent:evacuate"
	case e.Kind == KindFailback && e.Failback.moving() != nil:
		return string(e.Failback.moving().State) + ":failback"
	case e.Kind == KindReturn:
		return "done:return"
	case e.Kind == KindClose:
		return "done:close"
	}
	return ""
}

// crash ends the leader: calls that were not made are not made and answers are
// lost.
func (c *cloud) crash() {
	c.say("CRASH   %s, the leader of term %d", c.leader, c.term)
	c.flights = nil
	c.depose()
}

// depose makes another controller lead two seconds later, with an empty Core
// and the state that it made of the log itself.
func (c *cloud) depose() {
	c.crashAt = ""
	before, _ := c.state.Marshal()
	c.state = c.replay()
	if after, _ := c.state.Marshal(); !bytes.Equal(before, after) {
		c.breaks("a replica differs after replay")
	}
	next := map[string]string{"ctl1": "ctl2", "ctl2": "ctl3", "ctl3": "ctl1"}
	c.rejoin[c.leader] = c.now.Add(30 * time.Second)
	c.leader, c.term = next[c.leader], c.term+1
	c.vacant = c.now.Add(2 * time.Second)
	c.since = c.vacant
	c.core = NewCore(c.policy)
}

func describeEntry(e Entry) string {
	switch {
	case e.Plan != nil:
		return fmt.Sprintf("commit  %s %s: %s; down %d; %s", e.Kind, orWord(string(e.Plan.ID), "new"), e.Plan.Line(), e.Plan.Down, e.Plan.Why)
	case len(e.PlanIDs) > 0:
		return fmt.Sprintf("commit  %s %v %s%s", e.Kind, e.PlanIDs, e.Word, because(e.Text))
	case e.Kind == KindShadowScore:
		return fmt.Sprintf("commit  %s %s: %s%s", e.Kind, e.Shadow.ID, orWord(string(e.Shadow.Score), "pending"), because(e.Shadow.Why))
	case e.Kind == KindMode && (e.Host != "" || e.Aggregate != ""):
		return fmt.Sprintf("commit  %s %s%s %s", e.Kind, e.Host, e.Aggregate, e.Word)
	case e.Kind == KindStep:
		s := fmt.Sprintf("commit  %s %s #%d", e.Step, e.Record.Phase, e.Record.Attempt)
		if e.Record.Phase == PhaseFailed {
			s += ": " + e.Record.Detail
		}
		return s
	case e.Kind == KindHostSeen:
		return fmt.Sprintf("commit  host.seen %s %s", e.Seen[0].Host, e.Seen[0].Boot)
	case e.Kind == KindEvacuations && e.Text == "":
		return fmt.Sprintf("commit  plan of %d", len(e.Evacuations))
	case e.Text != "":
		return fmt.Sprintf("commit  %s %s: %s", e.Kind, e.Recovery, e.Text)
	}
	return fmt.Sprintf("commit  %s %s", e.Kind, e.Word)
}

// recovery finds the newest recovery of a host.
func (c *cloud) recovery(h nova.HostName) *Recovery {
	var last *Recovery
	for _, r := range c.state.Sorted() {
		if r.Host == h {
			last = r
		}
	}
	return last
}

func (c *cloud) verdictNow(h nova.HostName) detector.State {
	return c.world().Verdicts[h].State
}

// reads are the actions that write nothing.
var reads = map[Step]bool{StepObserve: true, StepResolve: true, StepList: true, StepRelist: true, StepProbe: true, StepTrace: true, StepTraceAway: true, StepLookGuest: true, StepVerify: true}

// permits is the guard's last question, as cmd/app asks it: the ledger, the
// freeze file, and the modes with the aggregates of this instant.
func (c *cloud) permits(a Action) error {
	if reads[a.Step] {
		return nil
	}
	w := c.world()
	return PermitsNow(c.state, &w, c.policy, a)
}

// watched breaks rule 12 if an action that writes is begun for a host whose mode
// only watches, or inside a freeze. An entry of the same Ready may have frozen
// it: then the guard stops it, and permits tells.
func (c *cloud) watched(a Action) {
	if reads[a.Step] || !c.cutLast.IsZero() {
		return
	}
	host, w := a.Host, c.world()
	if a.Shield != "" {
		host = a.Shield
	}
	if m := c.state.EffectiveMode(host, w.Membership(host), c.policy.AggregateModes); !m.Mode.Acts() || c.state.Frozen || c.frozen != "" {
		c.breaks("%s of %s begun in mode %s, frozen %t", a.Step, host, m, c.state.Frozen || c.frozen != "")
	}
}
