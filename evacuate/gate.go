package evacuate

import (
	"fmt"
	"strings"
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
	GateProtected    GateName = "protected"
	GateFenceable    GateName = "fenceable"
	GateConcurrency  GateName = "concurrency"
	GateProof        GateName = "proof"
)

// Point is when a gate is asked.
type Point string

// Points. After the proof only leader, ledger, freeze, control-plane and proof
// still apply: the host is off, and its instances are better up than down.
const (
	AtDecide   Point = "decide"
	AtPowerOff Point = "power-off"
	AtEvacuate Point = "evacuate"
)

// Answer is a gate's answer for one host at one point.
type Answer struct {
	Gate   GateName `json:"gate"`
	Pass   bool     `json:"pass"`
	Reason string   `json:"reason"`
}

// question is what a gate may look at.
type question struct {
	point    Point
	host     nova.HostName
	recovery *Recovery // nil at decide
	state    *State
	world    *World
	policy   Policy
}

type gate struct {
	name GateName
	// at lists the points; a gate is closed whenever what it needs is missing.
	at  []Point
	ask func(q question) (pass bool, reason string)
}

var gates = []gate{
	{GateLeader, []Point{AtDecide, AtPowerOff, AtEvacuate}, askLeader},
	{GateLedger, []Point{AtDecide, AtPowerOff, AtEvacuate}, askLedger},
	{GateFreeze, []Point{AtDecide, AtPowerOff, AtEvacuate}, askFreeze},
	{GateArmed, []Point{AtDecide, AtPowerOff}, askArmed},
	{GateMaintenance, []Point{AtDecide, AtPowerOff}, askMaintenance},
	{GateVerdict, []Point{AtDecide, AtPowerOff}, askVerdict},
	{GateFresh, []Point{AtDecide, AtPowerOff}, askFresh},
	{GateControlPlane, []Point{AtDecide, AtPowerOff, AtEvacuate}, askControlPlane},
	{GateStorm, []Point{AtDecide, AtPowerOff}, askStorm},
	{GateProtected, []Point{AtDecide}, askProtected},
	{GateFenceable, []Point{AtDecide, AtPowerOff}, askFenceable},
	{GateConcurrency, []Point{AtDecide}, askConcurrency},
	{GateProof, []Point{AtEvacuate}, askProof},
}

// Ask asks every gate of a point, in order. All answers are given, so that an
// operator sees every reason at once; one that does not pass holds.
func Ask(point Point, host nova.HostName, r *Recovery, s *State, w *World, p Policy) []Answer {
	q := question{point, host, r, s, w, p}
	var answers []Answer
	for _, g := range gates {
		for _, at := range g.at {
			if at == point {
				pass, reason := g.ask(q)
				answers = append(answers, Answer{g.name, pass, reason})
			}
		}
	}
	return answers
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

func askLeader(q question) (bool, string) {
	l := q.world.Leader
	since := q.world.Now.Sub(l.Since)
	switch {
	case !l.Is:
		return false, "this controller is not the leader"
	case q.point != AtEvacuate && since < q.policy.LeaderGrace:
		return false, fmt.Sprintf("leader for %s only: it looks for %s before it judges", round(since), q.policy.LeaderGrace)
	}
	return true, fmt.Sprintf("%s leads in term %d", l.ID, l.Term)
}

func askLedger(q question) (bool, string) {
	if !q.world.Leader.Writable {
		return false, "the ledger takes no entries: no quorum"
	}
	return true, "the ledger takes entries"
}

func askFreeze(q question) (bool, string) {
	switch {
	case q.world.Frozen != "":
		return false, "frozen by a local file: " + q.world.Frozen
	case q.state.Frozen:
		return false, "frozen by " + q.state.FrozenBy
	}
	return true, "not frozen"
}

func askArmed(q question) (bool, string) {
	if q.state.Mode != ModeAuto {
		return false, fmt.Sprintf("mode is %s (set by %s); only auto acts", q.state.Mode, q.state.ModeBy)
	}
	return true, "mode is auto"
}

func askMaintenance(q question) (bool, string) {
	if h := q.state.Hosts[q.host]; h != nil && h.Maintenance {
		return false, "in maintenance, set by " + h.MaintenanceBy
	}
	return true, "not in maintenance"
}

func askVerdict(q question) (bool, string) {
	v, ok := q.world.Verdicts[q.host]
	switch {
	case !ok:
		return false, "no verdict yet"
	case v.State != detector.Dead:
		return false, fmt.Sprintf("%s: %s", v.State, v.Detail)
	}
	return true, "Dead: " + v.Detail
}

func askFresh(q question) (bool, string) {
	v, ok := q.world.Verdicts[q.host]
	if !ok {
		return false, "no evidence"
	}
	if age := q.world.Now.Sub(v.At); age > q.policy.EvidenceFresh {
		return false, fmt.Sprintf("the evidence is %s old, %s is the limit", round(age), q.policy.EvidenceFresh)
	}
	return true, "the evidence is fresh"
}

// askControlPlane: a lost network or a sick Nova looks like dead computes.
func askControlPlane(q question) (bool, string) {
	n, net := q.world.Nova, q.world.Network
	age := q.world.Now.Sub(n.At)
	switch {
	case n.At.IsZero():
		return false, "Nova has not been reached yet" + because(n.Err)
	case age > q.policy.NovaFresh:
		return false, fmt.Sprintf("Nova has not answered for %s%s", round(age), because(n.Err))
	case net.Fresh < net.Voters/2+1:
		return false, fmt.Sprintf("only %d of %d controllers report", net.Fresh, net.Voters)
	case 2*net.Heard < net.Known:
		return false, fmt.Sprintf("only %d of %d hosts are heard: rather our own network than they", net.Heard, net.Known)
	case n.Conductors == 0 || n.Schedulers == 0:
		return false, fmt.Sprintf("Nova has %d conductors and %d schedulers up: an evacuation would hang", n.Conductors, n.Schedulers)
	}
	if q.point == AtEvacuate && !destination(q) {
		return false, "no other compute is up and enabled: nowhere to go"
	}
	return true, fmt.Sprintf("Nova answered %s ago, %d of %d hosts heard", round(age), net.Heard, net.Known)
}

func destination(q question) bool {
	for host, s := range q.world.Nova.Services {
		if host != q.host && s.State == nova.StateUp && !s.Disabled {
			return true
		}
	}
	return false
}

func because(err string) string {
	if err == "" {
		return ""
	}
	return ": " + err
}

// askStorm counts every host that is silent without having been judged
// harmless: a rack does not die in one tick, and its first host must not be
// fenced before the others are judged.
func askStorm(q question) (bool, string) {
	var names []string
	for _, host := range q.state.HostNames() {
		if host == q.host || counts(q, host) {
			names = append(names, string(host))
		}
	}
	limit := q.policy.StormLimit(len(q.state.Hosts))
	if len(names) > limit {
		return false, fmt.Sprintf("%d hosts are dead, suspect or just fenced (%s), more than %d of %d: is it they or we?",
			len(names), list(names), limit, len(q.state.Hosts))
	}
	return true, fmt.Sprintf("%d of %d hosts dead, suspect or just fenced; %d allowed", len(names), len(q.state.Hosts), limit)
}

func counts(q question, host nova.HostName) bool {
	h := q.state.Hosts[host]
	if r := q.state.Open(host); r != nil {
		return r.Status == StatusOpen || recently(q, r)
	}
	for _, r := range q.state.Recoveries {
		if r.Host == host && recently(q, r) {
			return true
		}
	}
	if h.Maintenance {
		return false
	}
	v := q.world.Verdicts[host]
	return v.State == detector.Dead || (v.State == detector.Suspect && v.Reason != detector.ReasonHeartbeatVeto)
}

func recently(q question, r *Recovery) bool {
	return r.Proof != nil && q.world.Now.Sub(r.Proof.Commanded) < q.policy.StormWindow
}

func list(names []string) string {
	const most = 8
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}

func askProtected(q question) (bool, string) {
	if _, ok := q.world.Nova.Services[q.host]; !ok {
		return false, "Nova knows no nova-compute of this name"
	}
	n := len(q.world.Servers[q.host])
	if h := q.state.Hosts[q.host]; n == 0 && h != nil {
		n = len(h.Instances)
	}
	if n == 0 {
		return false, "no instances on it: nothing to save"
	}
	return true, fmt.Sprintf("%d instances on it", n)
}

func askFenceable(q question) (bool, string) {
	f, ok := q.world.Fencing[q.host]
	switch {
	case !ok || len(f.Methods) == 0:
		return false, "no fencing method is configured"
	case f.Refused != "":
		return false, f.Refused
	}
	on := f.PoweredOn
	if h := q.state.Hosts[q.host]; h != nil && h.PoweredOn.After(on) {
		on = h.PoweredOn
	}
	if on.IsZero() {
		return false, "its BMC has never read on while its agent was heard" + because(f.Last)
	}
	if age := q.world.Now.Sub(on); age > q.policy.Fenceable {
		return false, fmt.Sprintf("its BMC last read on with a living agent %s ago, %s is the limit%s", round(age), q.policy.Fenceable, because(f.Last))
	}
	return true, strings.Join(f.Methods, ", then ")
}

func askConcurrency(q question) (bool, string) {
	n := 0
	for _, r := range q.state.Recoveries {
		if r.Status == StatusOpen {
			n++
		}
	}
	if n >= q.policy.Concurrency {
		return false, fmt.Sprintf("%d recoveries are under way, %d allowed", n, q.policy.Concurrency)
	}
	return true, fmt.Sprintf("%d recoveries under way, %d allowed", n, q.policy.Concurrency)
}

func askProof(q question) (bool, string) {
	if q.recovery == nil {
		return false, "no recovery"
	}
	if _, ok := q.recovery.Proved(); !ok {
		if q.recovery.Void != "" {
			return false, "the proof is void: " + q.recovery.Void
		}
		return false, "no proof that the host is off"
	}
	return true, "proven off by " + q.recovery.Proof.Method
}

func round(d time.Duration) time.Duration { return d.Round(100 * time.Millisecond) }
