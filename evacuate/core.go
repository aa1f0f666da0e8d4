package evacuate

import (
	"fmt"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// Ready is what is to be done now. Contract: the entries of Commit are
// committed, in order, BEFORE any Action of the same Ready starts; if one is
// refused, none of the Actions starts. Notes may be dropped, entries may not.
type Ready struct {
	Commit  []Entry
	Actions []Action
	Notes   []string
}

// Action is one call to the outside world. The runner verifies leadership, the
// term and the deadline immediately before each irreversible write, and
// answers each Action with exactly one Outcome.
type Action struct {
	Recovery RecoveryID
	Host     nova.HostName
	Boot     string
	Step     Step
	Attempt  int
	Term     uint64
	// Deadline is counted from Decided, before the intent's commit: a new leader counts
	// it from when it sees the intent.
	Deadline time.Duration
	Decided  time.Time
	Proof    *fence.Record // for force-down and evacuate
	Service  ServiceBefore
	Reason   string // disabled_reason to write, or to look for
	Server   nova.ServerID
	To       nova.Target // evacuate: where it is asked to go
	Looked   time.Time   // evacuate: when the look at its rows began, AfterRow the newest in it
	AfterRow int
	Servers  []nova.ServerID // to look at one by one; list: as they were listed before
	Source   bool            // observe: list the host's servers too
	Ends     bool            // observe: list what else was moving them too
	Claims   bool            // observe: read whom Placement still gives room on the host too
	Deep     bool            // observe: look at each of Servers, whatever its row says
	Shield   nova.HostName   // disable this other host instead
	Lift     bool
	OffSent  time.Time
	From     nova.HostName // trace, failback: where Server is
	Port     int           // probe: the port of Server that is to answer
	Joins    []Join        // reserve: the aggregates that it joins, or leaves
	Since    time.Time     // resolve: when the POST was promised; verify: the recovery opened; relist: when it was asked for
	Asked    bool          // cancel, relist: an operator wants it
	Settled  bool          // relist: all instances had ended as it began
	Again    bool          // relist, observe: the recovery is over, its proof may be of long ago
	Hand     string        // fence: the other controller that carries it out
}

// Outcome is how an Action ended.
type Outcome struct {
	Action Action
	// OK says that the step's end was seen, not merely that a call returned.
	OK bool
	// Definite says of a failed write that it certainly changed nothing.
	Definite      bool
	Cause, Detail string
	RequestID     string
	Answer        Answered // evacuate: how Nova refused it
	Proof         *fence.Record
	OffSent       time.Time
	Servers       []nova.Server                  // list, resolve
	Seen          *Observation                   // observe
	Reads         map[nova.ServerID]InstanceRead // verify
	Actions       int                            // resolve: evacuate actions after the intent
	Service       *ServiceBefore
}

type flightKey struct {
	recovery RecoveryID
	step     Step
	server   nova.ServerID
	shield   nova.HostName
}

func (a Action) key() flightKey { return flightKey{a.Recovery, a.Step, a.Server, a.Shield} }

// Core decides. It is driven by Tick and Done, holds no clock, and keeps
// nothing that cannot be lost: a new leader's Core starts empty and goes on
// from the State. It is not safe for concurrent use.
type Core struct {
	policy Policy
	term   uint64
	flight map[flightKey]time.Time
	seen   map[RecoveryID]*Observation
	deep   map[RecoveryID]time.Time // the last look at each followed server
	ends   map[RecoveryID]time.Time // the last look at what was moving elsewhere
	late   lateLooks
	// again is the earliest time for the next attempt of a failed step.
	again    map[flightKey]time.Time
	healthy  map[nova.HostName]time.Time
	rebooted map[nova.HostName]time.Time
	shut     map[gateKey]time.Time       // when it last stood shut
	stormy   map[nova.HostName]time.Time // held at the gate storm since
	// first is when this leader first saw what it waits for, on its own clock.
	first     map[string]time.Time
	guests    map[nova.ServerID]guestLook // of restarts
	began     time.Time                   // its first tick of this term
	decisions map[nova.HostName]Decision
	window    window
	gates     startGates
	checks    map[RecoveryID]map[nova.ServerID]*Check // of a verify under way
	// senders may promise POSTs in this tick.
	senders []*Recovery

	state *State
	world World
	ready Ready
}

// NewCore gives a Core for a policy.
func NewCore(p Policy) *Core {
	c := &Core{policy: p, decisions: map[nova.HostName]Decision{}}
	c.reset(0)
	return c
}

func (c *Core) reset(term uint64) {
	c.term = term
	c.flight = map[flightKey]time.Time{}
	c.seen = map[RecoveryID]*Observation{}
	c.deep = map[RecoveryID]time.Time{}
	c.ends = map[RecoveryID]time.Time{}
	c.late = lateLooks{looked: map[RecoveryID]time.Time{}, found: map[RecoveryID]bool{}}
	c.again = map[flightKey]time.Time{}
	c.healthy = map[nova.HostName]time.Time{}
	c.rebooted = map[nova.HostName]time.Time{}
	c.shut = map[gateKey]time.Time{}
	c.stormy = map[nova.HostName]time.Time{}
	c.first, c.guests, c.checks = map[string]time.Time{}, map[nova.ServerID]guestLook{}, map[RecoveryID]map[nova.ServerID]*Check{}
	c.window, c.senders, c.gates = window{}, nil, startGates{past: map[nova.HostName]pastSight{}, looked: map[nova.HostName]time.Time{}}
}

// Decisions gives what was last decided of each host.
func (c *Core) Decisions() map[nova.HostName]Decision { return c.decisions }

// Observed gives the last observation of a recovery, nil if there is none.
func (c *Core) Observed(id RecoveryID) *Observation { return c.seen[id] }

// Tick looks at the whole state and world and says what is to be done.
func (c *Core) Tick(s *State, w World) Ready {
	c.ready, c.state, c.world = Ready{}, s, w
	if !w.Leader.Is {
		c.reset(0)
		return c.ready
	}
	if w.Leader.Term != c.term {
		c.reset(w.Leader.Term)
		c.began = w.Now
	}
	c.world.register = s.Register()
	c.world.fallen = countFallen(question{state: s, world: &c.world, policy: c.policy})
	c.tendPlans()
	c.tendWords()
	c.scoreShadow()
	c.tendTwins()
	c.tendRestarts()
	c.tendAiling()
	for _, host := range s.HostNames() {
		c.settle(host)
		c.decide(host)
	}
	c.senders = nil
	for _, r := range s.Sorted() {
		c.liftShields(r)
		c.tendReserves(r)
		c.advance(r)
		c.tendLeft(r)
	}
	c.tendGates()
	c.promiseAll()
	c.tendFailbacks()
	return c.ready
}

// decide asks the gates about a host that is not being recovered yet.
func (c *Core) decide(host nova.HostName) {
	if c.state.Open(host) != nil {
		return
	}
	v := c.world.Verdicts[host]
	answers := c.calmly(AtDecide, host, nil)
	c.decisions[host] = Decision{Point: AtDecide, At: c.world.Now, Answers: answers, Verdict: v, Mode: c.mode(host)}
	word := c.state.word(host, bootOf(c.state, &c.world, host), c.world.Now)
	if v.State != detector.Dead && !v.Condemned() && word == nil || c.mode(host).Mode == ModeOff {
		return
	}
	if a, closed := Closed(answers); closed {
		c.holdDead(host, nil, answers)
		c.note("%s is dead and held at gate %s: %s", host, a.Gate, a.Reason)
		return
	}
	for _, e := range c.ready.Commit {
		if e.Kind == KindOpen {
			return // one at a time: the next is decided with this one counted
		}
	}
	r, text := c.newRecovery(host, v), fmt.Sprintf("%s: %s", v.State, v.Detail)
	if word != nil {
		r.Boot, text = word.Boot, fmt.Sprintf("%s; confirmed dead by %s", text, word.mark())
	}
	c.commit(Entry{Kind: KindOpen, Host: host, Open: r, Text: text})
}

func (c *Core) newRecovery(host nova.HostName, v detector.Verdict) *Recovery {
	svc := c.world.Nova.Services[host]
	r := &Recovery{
		Host: host, Boot: v.View.Boot, LastHeard: c.world.Now.Add(-heardAgo(v)),
		Verdict: v.State, Reason: v.Reason, Detail: v.Detail,
		Aggregates: c.world.Aggregates[host], Approval: c.state.approval(host, v.View.Boot, c.world.Now),
		Service: ServiceBefore{ID: svc.ID, Disabled: svc.Disabled, Reason: svc.DisabledReason, ForcedDown: svc.ForcedDown},
	}
	r.Before = instances(c.world.Servers[host])
	return r
}

// instances are servers as they were before anything.
func instances(servers []nova.Server) []Instance {
	var out []Instance
	for _, s := range servers {
		out = append(out, Instance{ID: s.ID, Name: s.Name, VMState: s.VMState, Task: s.TaskState, Locked: s.Locked, RAMMiB: s.RAMMiB, Volumes: s.VolumeIDs, MACs: s.MACs})
	}
	return out
}

func (c *Core) commit(e Entry) {
	e.At, e.By, e.Term = c.world.Now, c.world.Leader.ID, c.term
	c.ready.Commit = append(c.ready.Commit, e)
}

func (c *Core) note(format string, args ...any) {
	c.ready.Notes = append(c.ready.Notes, fmt.Sprintf(format, args...))
}

// busy says that an action is in flight or its next attempt is not due.
func (c *Core) busy(k flightKey) bool {
	if _, ok := c.flight[k]; ok {
		return true
	}
	return c.world.Now.Before(c.again[k])
}

// begin records the intent of a recorded step and starts its action.
func (c *Core) begin(r *Recovery, a Action, text string) {
	if c.busy(a.key()) {
		return
	}
	attempt := 1
	if old := r.Steps[a.Step]; old != nil {
		attempt = old.Attempt + 1
		if undoing[a.Step] && c.waitsOut(r, a.Step) {
			return // an older leader may still be at it: its deadline is waited out
		}
		if c.mayOverlap(r, a) {
			return
		}
	}
	a.Deadline = a.Step.deadline()
	rec := &StepRecord{Phase: PhaseIntent, Attempt: attempt, Term: c.term, By: c.world.Leader.ID, Intent: c.world.Now, Deadline: a.Deadline, Hand: a.Hand}
	c.commit(Entry{Kind: KindStep, Recovery: r.ID, Step: a.Step, Record: rec, Text: text})
	a.Attempt = attempt
	c.start(r, a)
}

// undoing lists the steps that a deposed leader must not be overtaken in:
// everything else may be done twice without harm.
var undoing = map[Step]bool{StepPowerOn: true, StepUnforce: true, StepEnable: true, StepCancel: true, StepUnfenceStorage: true}

// start sends an action off without recording a step.
func (c *Core) start(r *Recovery, a Action) {
	if c.busy(a.key()) {
		return
	}
	a.Recovery, a.Host, a.Boot, a.Term, a.Decided = r.ID, r.Host, r.Boot, c.term, c.world.Now
	if a.Deadline == 0 {
		a.Deadline = a.Step.deadline()
	}
	c.launch(a)
}

// launch sends an action off.
func (c *Core) launch(a Action) {
	c.flight[a.key()] = c.world.Now
	c.ready.Actions = append(c.ready.Actions, a)
}

// launchOn sends an action off that is of a host that lives and of no recovery, unless
// the same is under way.
func (c *Core) launchOn(a Action) {
	if c.busy(a.key()) {
		return
	}
	a.Term, a.Decided, a.Deadline, a.Attempt = c.term, c.world.Now, a.Step.deadline(), 1
	c.launch(a)
}

// act is begin's or start's Action with its recovery filled in.
func act(r *Recovery, step Step) Action {
	return Action{Recovery: r.ID, Step: step, Service: r.Service, Reason: r.ID.DisabledReason()}
}

// Done takes an action's outcome. The entries must be committed before the
// next Tick; an outcome of another term is dropped, its successor reads the
// world for itself.
func (c *Core) Done(s *State, w World, o Outcome) Ready {
	c.ready, c.state, c.world = Ready{}, s, w
	if !w.Leader.Is || w.Leader.Term != c.term || o.Action.Term != c.term {
		return c.ready
	}
	k := o.Action.key()
	if o.Seen != nil {
		o.Seen.Began = c.flight[k]
	}
	began := c.flight[k]
	delete(c.flight, k)
	if o.Action.Step.guestStep() {
		c.guestDone(o, began)
		return c.ready
	}
	if o.Action.Step.ailingStep() {
		c.ailingDone(o)
		return c.ready
	}
	r := s.Recoveries[o.Action.Recovery]
	if r == nil || (r.Status == StatusClosed && o.Action.Shield == "") {
		return c.ready
	}
	if o.OK {
		delete(c.again, k)
	} else {
		c.again[k] = w.Now.Add(backoff(o.Action.Attempt))
	}
	c.outcome(r, o)
	return c.ready
}

// Drop takes back actions whose entries were not committed: they never started.
func (c *Core) Drop(actions []Action) {
	for _, a := range actions {
		delete(c.flight, a.key())
	}
}

// stepDone records the end of a step.
func (c *Core) stepDone(r *Recovery, o Outcome, text string) {
	old := r.Steps[o.Action.Step]
	reason := holdReason(o)
	if o.Action.Step == StepFence && o.Cause == string(fence.CauseUnreachable) {
		reason += "; " + c.releases(r)
	}
	rec := &StepRecord{Phase: PhaseDone, Attempt: o.Action.Attempt, Term: c.term, By: c.world.Leader.ID, Ended: c.world.Now, Cause: o.Cause, Detail: o.Detail, Hand: o.Action.Hand}
	if old != nil {
		rec.Intent, rec.Deadline = old.Intent, old.Deadline
	}
	if text == "" {
		text = fmt.Sprintf("%s: done%s", o.Action.Step, because(o.Detail))
	}
	if !o.OK {
		rec.Phase = PhaseFailed
		text = fmt.Sprintf("%s: attempt %d failed: %s", o.Action.Step, rec.Attempt, o.Detail)
		if h := r.Hold; h != nil && h.Step == o.Action.Step && h.Reason == reason {
			text = "" // the same as before: said already
		}
	}
	c.commit(Entry{Kind: KindStep, Recovery: r.ID, Step: o.Action.Step, Record: rec, Proof: o.Proof, OffSent: o.OffSent, Service: o.Service, Text: text})
	if !o.OK && o.Action.Step != StepDisable && o.Action.Step != StepFenceStorage { // nothing waits for them, or not yet
		c.hold(r, Hold{Step: o.Action.Step, Reason: reason})
	}
}
