package evacuate

import (
	"fmt"
	"slices"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// GateName names a gate in logs, metrics, the API and the documents.
type GateName string

// The gates, in the order in which they are asked.
const (
	GateLeader       GateName = "leader"
	GateLedger       GateName = "ledger"
	GateFreeze       GateName = "freeze"
	GateArmed        GateName = "armed"
	GateMaintenance  GateName = "maintenance"
	GateVerdict      GateName = "verdict"
	GateFresh        GateName = "fresh"
	GateControlPlane GateName = "control-plane"
	GateStorm        GateName = "storm"
	GateFlap         GateName = "flap"
	GateProtected    GateName = "protected"
	GateFenceable    GateName = "fenceable"
	GateKdump        GateName = "kdump"
	GateCapacity     GateName = "capacity"
	GateConcurrency  GateName = "concurrency"
	GateProof        GateName = "proof"
)

// Point is when a gate is asked.
type Point string

// Points. After the proof only leader, ledger, freeze, armed (of which approve and
// auto are alike by then), control-plane and proof still apply: the host is off, and its instances are better up than down.
const (
	AtDecide   Point = "decide"
	AtPowerOff Point = "power-off"
	AtEvacuate Point = "evacuate"
	AtEnable   Point = "enable" // a recovered host has returned and is well
)

// Points lists all points in order.
var Points = [...]Point{AtDecide, AtPowerOff, AtEvacuate, AtEnable}

// Standing is how a gate answers.
type Standing string

// Standings. Only Held stops anything; an operator sees all of them.
const (
	Met           Standing = "met"
	Warns         Standing = "warns" // open, and something should be looked at
	NotConfigured Standing = "not configured"
	Held          Standing = "held"
)

// Answer is a gate's answer for one host at one point.
type Answer struct {
	Gate     GateName `json:"gate"`
	Pass     bool     `json:"pass"`
	Standing Standing `json:"standing,omitempty"`
	Reason   string   `json:"reason"`
}

// question is what a gate may look at.
type question struct {
	point    Point
	host     nova.HostName
	recovery *Recovery // nil at decide
	state    *State
	world    *World
	policy   Policy
	given    *Confirmation // a word that is asked about before it is given
}

// gate is a row of the table in docs/decisions.md, which a test holds against
// this one.
type gate struct {
	name GateName
	at   []Point
	// missing is its answer when what it looks at is not known; unset when the
	// operator has configured nothing for it, "" where there is always something.
	missing, unset Standing
	ask            func(q question) (Standing, string)
}

var (
	untilProof = []Point{AtDecide, AtPowerOff}
	always     = []Point{AtDecide, AtPowerOff, AtEvacuate}
)

var gates = []gate{
	{GateLeader, always, Held, "", askLeader},
	{GateLedger, always, Held, "", askLedger},
	{GateFreeze, always, Held, "", askFreeze},
	{GateDrain, []Point{AtDecide}, Held, "", askDrain},
	{GateArmed, always, Held, "", askArmed},
	{GateMaintenance, untilProof, Held, "", askMaintenance},
	{GateVerdict, untilProof, Held, "", askVerdict},
	{GateFresh, untilProof, Held, "", askFresh},
	{GateControlPlane, always, Held, "", askControlPlane},
	{GateStorm, untilProof, Held, "", askStorm},
	{GateFlap, []Point{AtEnable}, Held, NotConfigured, askFlap},
	{GateProtected, untilProof, Held, NotConfigured, askProtected},
	{GateFenceable, untilProof, Held, Held, askFenceable},
	{GateKdump, []Point{AtPowerOff}, Held, NotConfigured, askKdump},
	{GateCapacity, untilProof, Warns, NotConfigured, askCapacity},
	{GateConcurrency, []Point{AtDecide}, Held, "", askConcurrency},
	{GateProof, []Point{AtEvacuate}, Held, "", askProof},
}

// Ask asks every gate of a point, in order. All answers are given, so that an
// operator sees every reason at once; one that does not pass holds.
func Ask(point Point, host nova.HostName, r *Recovery, s *State, w *World, p Policy) []Answer {
	return ask(question{point: point, host: host, recovery: r, state: s, world: w, policy: p})
}

func ask(q question) []Answer {
	var answers []Answer
	for _, g := range gates {
		if slices.Contains(g.at, q.point) {
			standing, reason := g.ask(q)
			answers = append(answers, Answer{g.name, standing != Held, standing, reason})
		}
	}
	return liftWord(q, lift(q, answers, q.approval()), q.word())
}

// Closed gives the first answer that does not pass.
func Closed(answers []Answer) (Answer, bool) {
	for _, a := range answers {
		if !a.Pass {
			return a, true
		}
	}
	return Answer{}, false
}

func askLeader(q question) (Standing, string) {
	l := q.world.Leader
	since := q.world.Now.Sub(l.Since)
	switch {
	case !l.Is:
		return Held, "this controller is not the leader"
	case l.Since.IsZero():
		return Held, "it is not known since when this controller leads"
	case q.point != AtEvacuate && since < q.policy.LeaderGrace:
		return Held, fmt.Sprintf("leader for %s only: it looks for %s before it judges", round(since), q.policy.LeaderGrace)
	}
	return Met, fmt.Sprintf("%s leads in term %d", l.ID, l.Term)
}

func askLedger(q question) (Standing, string) {
	if !q.world.Leader.Writable {
		return Held, "the ledger takes no entries: no quorum"
	}
	return Met, "the ledger takes entries"
}

func askVerdict(q question) (Standing, string) {
	v, ok := q.world.Verdicts[q.host]
	switch {
	case !ok:
		return Held, "no verdict yet"
	case !v.Condemned() && v.State == detector.Dead:
		return Held, fmt.Sprintf("%s: %s; policy.matrix says %s", v.State, v.Detail, v.Means)
	case !v.Condemned():
		return Held, fmt.Sprintf("%s: %s", v.State, v.Detail)
	case v.State == detector.Degraded && q.recovery == nil && !q.state.Ailing[q.host].settled():
		return Held, fmt.Sprintf("%s: %s; its nova-compute is not disabled by us for that yet", v.State, v.Detail)
	}
	return Met, fmt.Sprintf("%s: %s", v.State, v.Detail)
}

func askFresh(q question) (Standing, string) {
	v, ok := q.world.Verdicts[q.host]
	if !ok {
		return Held, "no evidence"
	}
	switch age := q.world.Now.Sub(v.At); {
	case age < 0:
		return Held, "the evidence is of the future: the clock was set back"
	case age > q.policy.EvidenceFresh:
		return Held, fmt.Sprintf("the evidence is %s old, %s is the limit", round(age), q.policy.EvidenceFresh)
	}
	return Met, "the evidence is fresh"
}

func because(err string) string {
	if err == "" {
		return ""
	}
	return ": " + err
}

func askProof(q question) (Standing, string) {
	if q.recovery == nil {
		return Held, "no recovery"
	}
	if _, ok := q.recovery.Proved(); !ok {
		if q.recovery.Void != "" {
			return Held, "the proof is void: " + q.recovery.Void
		}
		return Held, "no proof that the host is off"
	}
	return Met, "proven off by " + q.recovery.Proof.Method
}

func round(d time.Duration) time.Duration { return d.Round(100 * time.Millisecond) }
