package evacuate

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// PlanID names a plan: "p1", "p2", ... in the order of preparing.
type PlanID string

// PlanStatus is how far a plan has come.
type PlanStatus string

// Statuses of plans. Opened is one whose recovery began.
const (
	PlanWaiting   PlanStatus = "waiting"
	PlanApproved  PlanStatus = "approved"
	PlanOpened    PlanStatus = "opened"
	PlanRejected  PlanStatus = "rejected"
	PlanExpired   PlanStatus = "expired"
	PlanWithdrawn PlanStatus = "withdrawn"
)

// Proposal is a plan put before a person: what would be done for one host, on
// which evidence, and what every gate says. An approval is for exactly this
// host, boot id and plan.
type Proposal struct {
	ID     PlanID        `json:"id,omitempty"`
	Host   nova.HostName `json:"host"`
	Boot   string        `json:"boot"`
	Status PlanStatus    `json:"status,omitempty"`
	// Recovery is the one that it is for, or that it opened.
	Recovery RecoveryID `json:"recovery,omitempty"`
	Prepared time.Time  `json:"prepared"`
	Expires  time.Time  `json:"expires,omitzero"`
	Why      string     `json:"why"` // why a person is asked

	// Storm groups the plans of one storm; "" where only the mode asks.
	Storm string `json:"storm,omitempty"`
	// Down is how many hosts were dead or suspect by then: an approval in a storm
	// holds while no more are.
	Down int `json:"down"`

	Verdict  detector.State  `json:"verdict"`
	Reason   detector.Reason `json:"reason"`
	Detail   string          `json:"detail"`
	Evidence []string        `json:"evidence,omitempty"`
	// Methods fence it, in the order in which they are tried.
	Methods []string `json:"methods"`
	// Within is how long they have together: after it there is a proof, or a hold.
	Within    time.Duration     `json:"within,omitempty"`
	Instances []PlannedInstance `json:"instances"`
	// Remarks are what was said of instances to no effect.
	Remarks []string `json:"remarks,omitempty"`
	Answers []Answer `json:"answers"`

	Approval *Approval `json:"approval,omitempty"`
	Ended    *Mark     `json:"ended,omitempty"`
}

// PlannedInstance is one instance in the order in which it would be moved, or
// the reason why it would not.
type PlannedInstance struct {
	ID      nova.ServerID `json:"id"`
	Name    string        `json:"name"`
	VMState string        `json:"vm_state"`
	Move    bool          `json:"move"`
	Reason  string        `json:"reason,omitempty"`
}

// Approval is a person's word for one plan.
type Approval struct {
	Plan PlanID `json:"plan"`
	Mark
	// Expires is when it is worth nothing any more if its recovery is not open.
	Expires time.Time `json:"expires"`
	Storm   bool      `json:"storm,omitempty"`
	Down    int       `json:"down,omitempty"`
}

// Active says that a plan still waits for something.
func (p *Proposal) Active() bool { return p.Status == PlanWaiting || p.Status == PlanApproved }

// propose draws up the plan of a host as things stand.
func propose(host nova.HostName, s *State, w *World, p Policy, answers []Answer) *Proposal {
	v := w.Verdicts[host]
	out := &Proposal{Host: host, Boot: v.View.Boot, Prepared: w.Now, Verdict: v.State, Reason: v.Reason, Detail: v.Detail,
		Evidence: evidence(v), Methods: w.Fencing[host].Methods, Within: w.Fencing[host].Within, Answers: answers, Down: downNow(s, w)}
	if p.PlanExpiry > 0 {
		out.Expires = w.Now.Add(p.PlanExpiry)
	}
	if r := s.Open(host); r != nil {
		out.Recovery = r.ID
	}
	if out.Remarks = Remarks(w.Servers[host], p); len(out.Remarks) > maxRemarks {
		out.Remarks = append(out.Remarks[:maxRemarks], fmt.Sprintf("and %d more: `lifeboat config check --online`", len(out.Remarks)-maxRemarks))
	}
	for _, e := range Plan(w.Servers[host], w.Storage[host], nil, p, p.protection(w)) {
		out.Instances = append(out.Instances, PlannedInstance{ID: e.Server, Name: e.Name, VMState: e.VMState, Move: e.State != EvacSkipped, Reason: e.Reason})
	}
	return out
}

// WhatIf says what would happen if a host were found dead now. It asks every
// gate with that verdict; nothing is recorded.
func WhatIf(host nova.HostName, s *State, w World, p Policy) *Proposal {
	verdicts := map[nova.HostName]detector.Verdict{}
	for h, v := range w.Verdicts {
		verdicts[h] = v
	}
	v := verdicts[host]
	v.Host, v.State, v.Detail, v.At = host, detector.Dead, "assumed dead; in truth "+string(w.Verdicts[host].State), w.Now
	if v.View.Boot == "" && s.Hosts[host] != nil {
		v.View.Boot = s.Hosts[host].Boot
	}
	verdicts[host] = v
	w.Verdicts = verdicts
	answers := Ask(AtDecide, host, nil, s, &w, p)
	out := propose(host, s, &w, p, answers)
	out.Expires = time.Time{}
	mode := s.EffectiveMode(host, w.Membership(host), p.AggregateModes)
	switch a, shut := Closed(answers); {
	case !shut:
		out.Why = "nothing holds it: its recovery would open by itself"
	case onlyAsks(answers) && (mode.Mode == ModeApprove || mode.Mode == ModeAuto):
		out.Why = "a person would be asked: " + a.Reason
	case onlyAsks(answers) && mode.Mode == ModeShadow:
		out.Why = "what would have been done would be recorded, and nothing done: " + a.Reason
	default:
		out.Why = fmt.Sprintf("it would be held at gate %s: %s", a.Gate, a.Reason)
	}
	return out
}

// downNow counts the hosts that are dead or may be.
func downNow(s *State, w *World) int {
	n := 0
	for _, name := range s.HostNames() {
		if w.Verdicts[name].Down() && !s.Hosts[name].Maintenance {
			n++
		}
	}
	return n
}

// evidence sums up a view in a few lines.
func evidence(v detector.Verdict) []string {
	var out []string
	line := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	heard := make([]string, 0, len(v.View.Controllers))
	for _, h := range v.View.Controllers {
		if h.HeardAge < 0 {
			heard = append(heard, fmt.Sprintf("%s never", h.Controller))
			continue
		}
		heard = append(heard, fmt.Sprintf("%s %s ago", h.Controller, ago(h.HeardAge)))
	}
	if len(heard) > 0 {
		line("last heard by: %s", strings.Join(heard, ", "))
	}
	answers := map[string]int{}
	for _, p := range v.View.Probes {
		answers[fmt.Sprintf("%s %s", p.Network, p.Answer)]++
	}
	if len(answers) > 0 {
		line("probes: %s", counted(answers))
	}
	votes := map[string]int{}
	for _, x := range v.View.Votes {
		switch {
		case x.Ill != "":
			votes["do not vote"]++
		case x.Dead:
			votes["dead"]++
		default:
			votes["alive"]++
		}
	}
	if len(votes) > 0 {
		line("ring: %s", counted(votes))
	}
	for _, p := range v.View.Power {
		line("power: %s %s, %s ago", p.Power, p.Cause, ago(p.Age))
	}
	if n := v.View.Nova; n != nil {
		line("nova-compute: %s, %s ago", n.State, ago(n.Age))
	}
	return out
}

func counted(n map[string]int) string {
	parts := make([]string, 0, len(n))
	for k, v := range n {
		parts = append(parts, fmt.Sprintf("%d %s", v, k))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

// Moves counts the instances that would be moved.
func (p *Proposal) Moves() int {
	n := 0
	for _, i := range p.Instances {
		if i.Move {
			n++
		}
	}
	return n
}

// Line sums a plan up in one.
func (p *Proposal) Line() string {
	return fmt.Sprintf("power off %s (%s), then move %d of %d instances", p.Host, orWord(strings.Join(p.Methods, ", then "), "no method"), p.Moves(), len(p.Instances))
}

func orWord(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// Text prints a plan for a person.
func (p *Proposal) Text() string {
	var b strings.Builder
	if p.ID != "" {
		fmt.Fprintf(&b, "Plan %s for %s (boot %s): %s\n", p.ID, p.Host, p.Boot, p.Status)
	} else {
		fmt.Fprintf(&b, "If %s (boot %s) were dead now\n", p.Host, orWord(p.Boot, "not known"))
	}
	fmt.Fprintf(&b, "  %s\n  why: %s\n", p.Line(), p.Why)
	if p.Within > 0 {
		fmt.Fprintf(&b, "  proven off within %s, or held\n", p.Within)
	}
	if p.Storm != "" {
		fmt.Fprintf(&b, "  part of %s: %d hosts are dead or suspect\n", p.Storm, p.Down)
	}
	if p.Status == PlanWaiting {
		fmt.Fprintf(&b, "  expires %s\n  lifeboat approve %s | lifeboat reject %s --reason ...\n", p.Expires.UTC().Format(time.TimeOnly), p.ID, p.ID)
	}
	if a := p.Approval; a != nil {
		fmt.Fprintf(&b, "  approved by %s\n", a.Mark)
	}
	if p.Ended != nil {
		fmt.Fprintf(&b, "  %s by %s\n", p.Status, p.Ended)
	}
	fmt.Fprintf(&b, "\nEvidence (%s, %s)\n", p.Verdict, p.Detail)
	for _, e := range p.Evidence {
		fmt.Fprintf(&b, "  %s\n", e)
	}
	b.WriteString("\nInstances, in order\n")
	for i, x := range p.Instances {
		what := "evacuate"
		if !x.Move {
			what = "stays: " + x.Reason
		}
		fmt.Fprintf(&b, "  %3d  %s (%s, %s): %s\n", i+1, x.Name, x.ID, x.VMState, what)
	}
	for i, x := range p.Remarks {
		if i == 0 {
			b.WriteString("\nWithout effect\n")
		}
		fmt.Fprintf(&b, "  %s\n", x)
	}
	writeAnswers(&b, "Gates", p.Answers)
	return b.String()
}

func writeAnswers(b *strings.Builder, title string, answers []Answer) {
	fmt.Fprintf(b, "\n%s\n", title)
	for _, a := range answers {
		fmt.Fprintf(b, "  %-4s  %-14s %s\n", a.word(), a.Gate, a.Reason)
	}
}
