package detector

import (
	"fmt"
	"slices"
	"time"
)

// Grade is what a sign of life is worth (docs/safety.md rule 5).
type Grade string

// Grades, the strongest first.
const (
	// GradeVeto cannot be forged without the host's own key: it is never fenced
	// on other evidence, and a proof that it contradicts expires.
	GradeVeto Grade = "veto"
	// GradeDelay is an answer that a half-dead kernel or a proxy may give:
	// nothing happens by itself, and somebody is asked.
	GradeDelay Grade = "delay"
	// GradeHint can be forged by any holder of the ring's key: it stops nothing.
	GradeHint Grade = "hint"
)

// SignName names a kind of sign.
type SignName string

// Signs of life.
const (
	SignHeartbeat   SignName = "heartbeat"    // signed, of the present boot
	SignAnswer      SignName = "answer"       // ICMP, TCP or neighbour
	SignNovaReports SignName = "nova-reports" // its nova-compute wrote its row
	SignPowerOn     SignName = "power-on"     // its BMC reads on: breaks the fast path, vetoes after our off
	SignGossip      SignName = "gossip"       // ring members hold it alive
)

// Grades is each sign's worth. A power reading of on becomes a veto only after
// a power-off of ours: before that, a hung host reads on too.
var Grades = map[SignName]Grade{
	SignHeartbeat: GradeVeto, SignAnswer: GradeDelay, SignNovaReports: GradeDelay, SignPowerOn: GradeHint, SignGossip: GradeHint,
}

// Sign is one sign of life.
type Sign struct {
	Name   SignName      `json:"name"`
	Grade  Grade         `json:"grade"`
	Age    time.Duration `json:"age"`
	Detail string        `json:"detail"`
}

func sign(n SignName, age time.Duration, format string, args ...any) Sign {
	return Sign{Name: n, Grade: Grades[n], Age: age, Detail: fmt.Sprintf(format, args...)}
}

// signs lists what speaks for the host's life, the strongest first.
func (j *judgement) signs() []Sign {
	var s []Sign
	if len(j.hearing) > 0 {
		s = append(s, sign(SignHeartbeat, j.silent, "heard by %s", join(j.hearing)))
	}
	if p, ok := j.answering(); ok {
		s = append(s, sign(SignAnswer, p.Age, "%s on its %s network answered %s", p.Kind, p.Network, p.Observer))
	}
	if n := j.v.Nova; n != nil && n.Reported {
		s = append(s, sign(SignNovaReports, n.Age, "its nova-compute reported after it fell silent"))
	}
	if len(j.v.Power) > 0 && j.v.Power[0].Power == "on" && j.v.Power[0].Age <= j.p.ProbeFresh {
		s = append(s, sign(SignPowerOn, j.v.Power[0].Age, "its BMC reads on"))
	}
	if alive, _ := j.ringAlive(); len(alive) > 0 {
		s = append(s, sign(SignGossip, 0, "held alive by %s", join(alive)))
	}
	return s
}

// answering finds a fresh answer that was given after the last heartbeat: the
// newest, whatever the order of the evidence.
func (j *judgement) answering() (best ProbeSight, ok bool) {
	for _, p := range j.v.Probes {
		if p.Answer != Answered || p.Age > j.p.ProbeFresh || p.Age >= j.silent {
			continue
		}
		if !ok || p.Age < best.Age || p.Age == best.Age && probeKeyOf(p) < probeKeyOf(best) {
			best, ok = p, true
		}
	}
	return best, ok
}

func probeKeyOf(p ProbeSight) string {
	return string(p.Observer) + "\x00" + p.Network + "\x00" + p.Kind
}

// reachedByPeers gives the agents of other failure domains that a host has
// answered lately, and their domains.
func (j *judgement) reachedByPeers() (peers []Observer, domains int) {
	return j.witnesses(func(p ProbeSight) bool {
		return p.Answer == Answered && p.Age <= j.p.ProbeFresh && (p.Age < j.silent || len(j.hearing) > 0) && p.Domain != j.v.Domain
	})
}

// witnesses are the healthy agents with a probe that satisfies want.
func (j *judgement) witnesses(want func(ProbeSight) bool) (peers []Observer, domains int) {
	seen := map[Domain]bool{}
	for _, p := range j.v.Probes {
		if j.isController(p.Observer) || p.Domain == ControllerDomain || p.Ill != "" || p.Domain == "" || !want(p) || slices.Contains(peers, p.Observer) {
			continue
		}
		peers = append(peers, p.Observer)
		seen[p.Domain] = true
	}
	slices.Sort(peers)
	return peers, len(seen)
}

func (j *judgement) isController(o Observer) bool {
	return slices.ContainsFunc(j.v.Controllers, func(h Hearing) bool { return h.Controller == o })
}

// ringAlive gives the healthy ring members that hold the host alive.
func (j *judgement) ringAlive() (alive []Observer, domains int) {
	seen := map[Domain]bool{}
	for _, v := range j.v.Votes {
		if v.Dead || v.Unsaid || v.Ill != "" || v.Age > j.stale() || slices.Contains(alive, v.Observer) {
			continue
		}
		alive = append(alive, v.Observer)
		seen[v.Domain] = true
	}
	slices.Sort(alive)
	return alive, len(seen)
}
