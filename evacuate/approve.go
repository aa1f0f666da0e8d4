package evacuate

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

const (
	// stormSettle is how long the gate storm must hold a host before a person
	// is asked: most of what is suspect for a moment heals.
	stormSettle = 10 * time.Second
	// approvalHolds is how long an approval waits for its turn.
	approvalHolds = time.Hour
	// keepPlans is how many ended plans the state remembers.
	keepPlans = 200
)

// asks are the gates that a person's approval opens; concurrency is only a queue.
var asks = []GateName{GateArmed, GateStorm}

// onlyAsks says that nothing is shut but what a person may open.
func onlyAsks(answers []Answer) bool {
	for _, a := range answers {
		if !a.Pass && !slices.Contains(asks, a.Gate) && a.Gate != GateConcurrency {
			return false
		}
	}
	return shut(answers, asks...)
}

// shut says that one of the gates does not pass.
func shut(answers []Answer, gates ...GateName) bool {
	return slices.ContainsFunc(answers, func(a Answer) bool { return !a.Pass && slices.Contains(gates, a.Gate) })
}

// approval is the one in force for what is asked: of this host, this boot and
// within its time.
func (q question) approval() *Approval {
	if q.recovery != nil {
		return q.recovery.Approval
	}
	return q.state.approval(q.host, q.world.Verdicts[q.host].View.Boot, q.world.Now)
}

func (s *State) approval(host nova.HostName, boot string, now time.Time) *Approval {
	p := s.PlanOf(host)
	if p == nil || p.Status != PlanApproved || p.Boot != boot || p.Recovery != "" || now.After(p.Approval.Expires) {
		return nil
	}
	return p.Approval
}

// lift opens what an approval is for: armed in the mode approve, and storm while
// no more hosts are dead or suspect than the person was told of.
func lift(q question, answers []Answer, a *Approval) []Answer {
	if a == nil {
		return answers
	}
	for i := range answers {
		x := &answers[i]
		switch {
		case x.Pass:
		case x.Gate == GateArmed && q.mode().Mode == ModeApprove:
			x.Pass, x.Standing, x.Reason = true, Met, fmt.Sprintf("mode is approve; plan %s was approved by %s", a.Plan, a.Mark)
		case x.Gate == GateStorm && a.Storm && downNow(q.state, q.world) <= a.Down:
			x.Pass, x.Standing, x.Reason = true, Met, fmt.Sprintf("%d hosts are dead or suspect; plan %s was approved by %s when %d were", downNow(q.state, q.world), a.Plan, a.Mark, a.Down)
		}
	}
	return answers
}

// PlanOf gives the plan of a host that still waits for something, nil if none.
func (s *State) PlanOf(host nova.HostName) *Proposal {
	for _, p := range s.Plans {
		if p.Host == host && p.Active() {
			return p
		}
	}
	return nil
}

// Plan finds a plan, nil if there is none.
func (s *State) Plan(id PlanID) *Proposal {
	for _, p := range s.Plans {
		if p.ID == id {
			return p
		}
	}
	return nil
}

// StormPlans are the plans of a storm that wait for an answer.
func (s *State) StormPlans(storm string) []PlanID {
	var out []PlanID
	for _, p := range s.Plans {
		if p.Storm == storm && storm != "" && p.Status == PlanWaiting {
			out = append(out, p.ID)
		}
	}
	return out
}

// ErrPlan says why a plan can't be approved now.
var ErrPlan = errors.New("not approved")

// CheckApproval asks at once what an approval does not open, so that nobody
// believes approved what would be held.
func CheckApproval(ids []PlanID, s *State, w World, pol Policy) error {
	for _, id := range ids {
		p := s.Plan(id)
		switch {
		case p == nil:
			return fmt.Errorf("%w: there is no plan %q", ErrPlan, id)
		case p.Status != PlanWaiting:
			return fmt.Errorf("%w: plan %s is %s", ErrPlan, id, p.Status)
		case w.Now.After(p.Expires):
			return fmt.Errorf("%w: plan %s has expired", ErrPlan, id)
		}
		point, r := AtDecide, s.Recoveries[p.Recovery]
		if r != nil {
			point = AtPowerOff
		} else if boot := w.Verdicts[p.Host].View.Boot; boot != p.Boot {
			return fmt.Errorf("%w: plan %s is for boot %s of %s, which is on boot %s now", ErrPlan, id, p.Boot, p.Host, boot)
		}
		q := question{point: point, host: p.Host, recovery: r, state: s, world: &w, policy: pol}
		answers := lift(q, Ask(point, p.Host, r, s, &w, pol), &Approval{Plan: id, Storm: p.Storm != "", Down: p.Down})
		for _, a := range answers {
			if !a.Pass && a.Gate != GateConcurrency {
				return fmt.Errorf("%w: plan %s would be held at gate %s: %s", ErrPlan, id, a.Gate, a.Reason)
			}
		}
	}
	return nil
}

// holdDead does what the mode asks of a dead host that a gate holds.
func (c *Core) holdDead(host nova.HostName, r *Recovery, answers []Answer) {
	mode := c.mode(host).Mode
	if !shut(answers, GateStorm) {
		delete(c.stormy, host)
	}
	switch {
	case mode == ModeShadow && r == nil:
		c.wouldHave(host, answers)
	case mode.Acts() && onlyAsks(answers):
		c.ask(host, r, answers)
	}
}

// ask puts a plan before a person, or corrects one that tells too little.
func (c *Core) ask(host nova.HostName, r *Recovery, answers []Answer) {
	storm := shut(answers, GateStorm)
	if storm && c.stormy[host].IsZero() {
		c.stormy[host] = c.world.Now
	}
	if storm && c.world.Now.Sub(c.stormy[host]) < stormSettle {
		return
	}
	next := propose(host, c.state, &c.world, c.policy, answers)
	if r != nil {
		next.Boot = r.Boot
	}
	a, _ := Closed(answers)
	next.Why = a.Reason
	if storm {
		next.Storm = "storm"
	}
	switch old := c.state.PlanOf(host); {
	case old == nil && c.rejected(host, next.Boot):
		c.note("%s: its plan was rejected: `lifeboat plan %s --again` has it asked once more", host, host)
	case old == nil:
		c.commit(Entry{Kind: KindPlan, Host: host, Plan: next})
	case storm && old.Status == PlanApproved && old.Approval != nil && (!old.Approval.Storm || next.Down > old.Approval.Down):
		c.endPlan(old, PlanWithdrawn, fmt.Sprintf("%d hosts are dead or suspect by now: it is asked anew", next.Down))
	case old.Status == PlanWaiting && (storm && old.Storm == "" || next.Down > old.Down):
		next.ID, next.Expires = old.ID, old.Expires
		c.commit(Entry{Kind: KindPlan, Host: host, Plan: next})
	}
}

// rejected says that a person said no to fencing this boot, and that the host
// was not heard since.
func (c *Core) rejected(host nova.HostName, boot string) bool {
	for _, p := range slices.Backward(c.state.Plans) {
		if p.Host == host {
			v := c.world.Verdicts[host]
			isolated := v.State == detector.Isolated || v.CondemnedAlive() // and heard all the time
			return p.Status == PlanRejected && p.Boot == boot && (isolated || !c.world.Heard[host].At.After(p.Ended.At))
		}
	}
	return false
}

func (c *Core) endPlan(p *Proposal, to PlanStatus, why string) {
	c.commit(Entry{Kind: KindPlanEnd, Host: p.Host, PlanIDs: []PlanID{p.ID}, Word: string(to), Text: why})
}

// tendPlans ends plans that nobody answered, and those whose host is heard
// again or is not to be asked about any more.
func (c *Core) tendPlans() {
	for _, p := range c.state.Plans {
		if !p.Active() {
			continue
		}
		v, heard := c.world.Verdicts[p.Host], c.world.Heard[p.Host]
		r := c.state.Recoveries[p.Recovery]
		h := c.state.Hosts[p.Host]
		switch {
		case p.Status == PlanWaiting && c.world.Now.After(p.Expires):
			c.endPlan(p, PlanExpired, "nobody answered")
		case p.Status == PlanApproved && c.world.Now.After(p.Approval.Expires):
			c.endPlan(p, PlanExpired, "it was approved, and its turn did not come")
		case h == nil || h.Maintenance:
			c.endPlan(p, PlanWithdrawn, "the host is in maintenance or gone")
		case !v.Condemned() && (heard.At.After(p.Prepared.Add(proofSlack)) || alive(v.State)):
			c.endPlan(p, PlanWithdrawn, "the host is heard again")
		case p.Recovery != "" && (r == nil || r.Status != StatusOpen || r.Boot != p.Boot):
			c.endPlan(p, PlanWithdrawn, "its recovery went on without it")
		case !c.mode(p.Host).Mode.Acts():
			c.endPlan(p, PlanWithdrawn, "the mode is "+c.mode(p.Host).String())
		}
	}
}

// alive lists the verdicts that speak of a living host.
func alive(s detector.State) bool {
	return s == detector.Healthy || s == detector.Degraded || s == detector.Rebooted || s == detector.Unmanageable
}

func (s *State) applyPlan(e Entry) error {
	switch e.Kind {
	case KindPlan:
		return s.prepare(e)
	case KindPlanApprove:
		return s.approve(e)
	default:
		return s.endPlans(e)
	}
}

// prepare takes a plan in, or its newer text.
func (s *State) prepare(e Entry) error {
	p := e.Plan
	old := s.PlanOf(p.Host)
	storm := p.Storm != ""
	p.Status, p.Approval, p.Ended = PlanWaiting, nil, nil
	switch {
	case p.ID != "" && (old == nil || old.ID != p.ID || old.Status != PlanWaiting):
		return fmt.Errorf("plan %s does not wait any more", p.ID)
	case p.ID == "" && old != nil:
		return fmt.Errorf("host %s has plan %s already", p.Host, old.ID)
	}
	if storm {
		p.Storm = s.stormID()
	}
	if old != nil {
		*old = *p
		s.journal(e, "plan %s for %s is newer: %d hosts are dead or suspect: %s", p.ID, p.Host, p.Down, p.Line())
		return nil
	}
	s.PlanSerial++
	p.ID = PlanID(fmt.Sprintf("p%d", s.PlanSerial))
	s.Plans = append(s.Plans, p)
	if n := len(s.Plans); n > keepPlans {
		if i := slices.IndexFunc(s.Plans, func(p *Proposal) bool { return !p.Active() }); i >= 0 {
			s.Plans = slices.Delete(s.Plans, i, i+1)
		}
	}
	s.journal(e, "plan %s for %s waits for an approval until %s: %s (%s)", p.ID, p.Host, p.Expires.UTC().Format(time.TimeOnly), p.Line(), p.Why)
	return nil
}

// stormID is that of the storm whose plans still wait, or a new one.
func (s *State) stormID() string {
	for _, p := range s.Plans {
		if p.Storm != "" && p.Active() {
			return p.Storm
		}
	}
	s.StormSerial++
	return fmt.Sprintf("storm%d", s.StormSerial)
}

// approve takes a person's word for one plan, or for all that it names: all or none.
func (s *State) approve(e Entry) error {
	for _, id := range e.PlanIDs {
		switch p := s.Plan(id); {
		case p == nil:
			return fmt.Errorf("there is no plan %q", id)
		case p.Status != PlanWaiting:
			return fmt.Errorf("plan %s is %s", id, p.Status)
		case e.At.After(p.Expires):
			return fmt.Errorf("plan %s has expired", id)
		}
	}
	for _, id := range e.PlanIDs {
		p := s.Plan(id)
		p.Status = PlanApproved
		p.Approval = &Approval{Plan: id, Mark: e.mark(), Expires: e.At.Add(approvalHolds), Storm: p.Storm != "", Down: p.Down}
		s.journal(e, "plan %s for %s approved%s", id, p.Host, because(e.Text))
		if r := s.Recoveries[p.Recovery]; r != nil && r.Status == StatusOpen && r.Boot == p.Boot {
			a := *p.Approval
			r.Approval, p.Status = &a, PlanOpened
			r.note(e, fmt.Sprintf("plan %s approved%s", id, because(e.Text)))
		}
	}
	return nil
}

// endPlans ends plans that wait; a rejected one may be asked about again.
func (s *State) endPlans(e Entry) error {
	to := PlanStatus(e.Word)
	for _, id := range e.PlanIDs {
		p := s.Plan(id)
		again := p != nil && p.Status == PlanRejected && to == PlanWithdrawn
		if p == nil || !p.Active() && !again {
			return fmt.Errorf("there is no plan %q that waits", id)
		}
		m := e.mark()
		p.Status, p.Ended = to, &m
		s.journal(e, "plan %s for %s %s%s", id, p.Host, to, because(e.Text))
	}
	return nil
}

// openedBy settles the plan of a host whose recovery opens: the approved one is
// used, one that nobody needs any more is withdrawn.
func (s *State) openedBy(e Entry, r *Recovery) error {
	mode := s.EffectiveMode(r.Host, Membership{Names: r.Aggregates}, nil)
	used := s.approval(r.Host, r.Boot, e.At)
	switch {
	case !mode.Mode.Acts():
		return fmt.Errorf("host %s: the mode is %s", r.Host, mode)
	case r.Approval != nil && (used == nil || used.Plan != r.Approval.Plan):
		return fmt.Errorf("host %s: plan %s is not approved for boot %s", r.Host, r.Approval.Plan, r.Boot)
	case mode.Mode == ModeApprove && r.Approval == nil && s.word(r.Host, r.Boot, e.At) == nil:
		return fmt.Errorf("host %s: the mode is %s, and no plan is approved", r.Host, mode)
	}
	return nil
}

func (s *State) settlePlan(e Entry, r *Recovery) {
	p := s.PlanOf(r.Host)
	if p == nil {
		return
	}
	p.Status, p.Recovery = PlanWithdrawn, r.ID
	if r.Approval != nil {
		p.Status = PlanOpened
		r.note(e, fmt.Sprintf("plan %s was approved by %s", p.ID, p.Approval.Mark))
	} else {
		m := Mark{By: e.By, At: e.At, Reason: "the recovery opened without it"}
		p.Ended = &m
	}
	s.journal(e, "plan %s for %s %s: recovery %s", p.ID, p.Host, p.Status, r.ID)
}

// unask voids what a ledger of the past asked for and was told, and what it can't
// score any more.
func (s *State) unask(e Entry) {
	const why = "the ledger was restored"
	for _, p := range s.Plans {
		if p.Active() {
			p.Status, p.Ended = PlanWithdrawn, &Mark{By: e.By, At: e.At, Reason: why}
		}
	}
	for host := range s.Hosts {
		s.unsay(host, why)
	}
	for _, d := range s.Shadow {
		if d.Score == ScorePending {
			d.Score, d.Why, d.Scored, d.By = ScoreUnknown, why, e.At, e.By
		}
	}
	s.journal(e, "%s: proofs and approvals are void, the mode is observe", why)
}
