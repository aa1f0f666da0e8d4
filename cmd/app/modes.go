package app

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/evacuate/api"
	"github.com/lifeboat-ha/lifeboat/nova"
)

type modeCommand func(ctx context.Context, q api.Command, e evacuate.Entry) (string, error)

// modeCommands are those about how far Lifeboat may go, and about what it asks.
func (c *Controller) modeCommands() map[string]modeCommand {
	return map[string]modeCommand{
		api.VerbArm: c.setMode, api.VerbMode: c.setMode, api.VerbFreeze: c.setFreeze, api.VerbDrain: c.setDrain,
		api.VerbApprove: c.approve, api.VerbReject: c.reject, api.VerbPlanAgain: c.planAgain,
		api.VerbConfirmDead: c.confirmDead, api.VerbDrill: c.drill, api.VerbHostForget: c.forgetHost, api.VerbEnd: c.endRecovery, api.VerbCancel: c.cancelRecovery, api.VerbRelist: c.relistRecovery, api.VerbShadowScore: c.scoreShadow,
		api.VerbVIPTransfer: c.transferVIP, api.VerbVIPAdopt: c.adoptVIP,
	}
}

func (c *Controller) setMode(ctx context.Context, q api.Command, e evacuate.Entry) (string, error) {
	if q.Host != "" && c.State().Hosts[q.Host] == nil {
		return "", fmt.Errorf("%w: no host %q: `lifeboat hosts` lists them", api.ErrNotFound, q.Host)
	}
	e.Kind, e.Word, e.Aggregate = evacuate.KindMode, q.Word, q.Aggregate
	if err := c.apply(ctx, e); err != nil {
		return "", err
	}
	switch {
	case q.Host != "":
		s := c.State()
		w := c.reach()
		return fmt.Sprintf("mode of host %s: %s; in force for it: %s", q.Host, q.Word, s.EffectiveMode(q.Host, w.Membership(q.Host), c.policy.AggregateModes)), nil
	case q.Aggregate != "":
		return fmt.Sprintf("mode of aggregate %s: %s", q.Aggregate, q.Word), nil
	}
	return "mode is " + q.Word, nil
}

func (c *Controller) setFreeze(ctx context.Context, q api.Command, e evacuate.Entry) (string, error) {
	e.Kind = evacuate.KindFreeze
	return map[bool]string{true: "frozen: nothing new is begun, what is under way waits", false: "not frozen any more"}[q.Flag], c.apply(ctx, e)
}

func (c *Controller) setDrain(ctx context.Context, q api.Command, e evacuate.Entry) (string, error) {
	e.Kind = evacuate.KindDrain
	if err := c.apply(ctx, e); err != nil || !q.Flag {
		return "not drained any more", err
	}
	open := 0
	for _, r := range c.State().Recoveries {
		if r.Status == evacuate.StatusOpen || r.Status == evacuate.StatusReturning {
			open++
		}
	}
	return fmt.Sprintf("drained: nothing new is opened, %d recoveries are being finished", open), nil
}

// approve takes a person's word for one plan, or for all of a storm, whose number
// must be typed: it is all asked again at once.
func (c *Controller) approve(ctx context.Context, q api.Command, e evacuate.Entry) (string, error) {
	s := c.State()
	ids := []evacuate.PlanID{evacuate.PlanID(q.Word)}
	if q.Flag {
		ids = s.StormPlans(q.Word)
		switch {
		case len(ids) == 0:
			return "", fmt.Errorf("%w: no plan of a storm %q waits", api.ErrNotFound, q.Word)
		case len(ids) != q.Count:
			return "", fmt.Errorf("%w: %d plans of %s wait, not %d: look at them again (`lifeboat plans`)", api.ErrRefused, len(ids), q.Word, q.Count)
		}
	} else if s.Plan(ids[0]) == nil {
		return "", fmt.Errorf("%w: no plan %q: `lifeboat plans` lists them", api.ErrNotFound, q.Word)
	}
	if err := evacuate.CheckApproval(ids, s, c.World(), c.policy); err != nil {
		return "", err
	}
	e.Kind, e.PlanIDs, e.Flag = evacuate.KindPlanApprove, ids, false
	if err := c.apply(ctx, e); err != nil {
		return "", err
	}
	lines := make([]string, 0, len(ids))
	for _, id := range ids {
		p := s.Plan(id)
		lines = append(lines, fmt.Sprintf("approved %s: %s", id, p.Line()))
	}
	return strings.Join(lines, "\n"), nil
}

func (c *Controller) reject(ctx context.Context, q api.Command, e evacuate.Entry) (string, error) {
	p := c.State().Plan(evacuate.PlanID(q.Word))
	if p == nil {
		return "", fmt.Errorf("%w: no plan %q: `lifeboat plans` lists them", api.ErrNotFound, q.Word)
	}
	e.Kind, e.PlanIDs, e.Word = evacuate.KindPlanEnd, []evacuate.PlanID{p.ID}, string(evacuate.PlanRejected)
	return fmt.Sprintf("rejected: %s is left alone until it is heard again, or `lifeboat plan %s --again`", p.Host, p.Host), c.apply(ctx, e)
}

func (c *Controller) planAgain(ctx context.Context, q api.Command, e evacuate.Entry) (string, error) {
	var last *evacuate.Proposal
	for _, p := range c.State().Plans {
		if p.Host == q.Host {
			last = p
		}
	}
	if last == nil || last.Status != evacuate.PlanRejected {
		return "", fmt.Errorf("%w: no plan of %s was rejected", api.ErrNotFound, q.Host)
	}
	e.Kind, e.PlanIDs, e.Word = evacuate.KindPlanEnd, []evacuate.PlanID{last.ID}, string(evacuate.PlanWithdrawn)
	return fmt.Sprintf("%s is asked about again, if it is still dead", q.Host), c.apply(ctx, e)
}

// ofRecovery finds what a command means by a recovery's id or its host.
func (c *Controller) ofRecovery(word string) (*evacuate.Recovery, error) {
	r := c.State().OpenOf(word)
	if r == nil {
		return nil, fmt.Errorf("%w: no recovery %q: `lifeboat recoveries` lists them", api.ErrNotFound, word)
	}
	return r, nil
}

func (c *Controller) endRecovery(ctx context.Context, q api.Command, e evacuate.Entry) (string, error) {
	r, err := c.ofRecovery(q.Word)
	if err != nil {
		return "", err
	}
	e.Kind, e.Recovery, e.Word, e.Text = evacuate.KindClose, r.ID, evacuate.OutcomeForgotten, "ended by hand: "+q.Reason
	if err := c.apply(ctx, e); err != nil {
		return "", err
	}
	lines := []string{fmt.Sprintf("recovery %s is ended; %s is in maintenance until you say otherwise (`lifeboat maintenance %s off`)", r.ID, r.Host, r.Host)}
	for _, left := range c.State().Recoveries[r.ID].Left {
		lines = append(lines, "left behind: "+left)
	}
	return strings.Join(lines, "\n"), nil
}

func (c *Controller) cancelRecovery(ctx context.Context, q api.Command, e evacuate.Entry) (string, error) {
	r, err := c.ofRecovery(q.Word)
	if err != nil {
		return "", err
	}
	e.Kind, e.Recovery, e.Host = evacuate.KindCancel, r.ID, r.Host
	return fmt.Sprintf("recovery %s is being cancelled; %s is in maintenance until you say otherwise (`lifeboat maintenance %s off`)", r.ID, r.Host, r.Host), c.apply(ctx, e)
}

func (c *Controller) relistRecovery(ctx context.Context, q api.Command, e evacuate.Entry) (string, error) {
	r, err := c.ofRecovery(q.Word)
	if err != nil {
		return "", err
	}
	e.Kind, e.Recovery, e.Host, e.Text = evacuate.KindRelist, r.ID, r.Host, "to be listed again"
	if q.Reason != "" {
		e.Text += ": " + q.Reason
	}
	return fmt.Sprintf("%s is listed again, and what was left of it chosen anew: `lifeboat recovery %s` says what came of it", r.Host, r.ID), c.apply(ctx, e)
}

func (c *Controller) scoreShadow(ctx context.Context, q api.Command, e evacuate.Entry) (string, error) {
	e.Kind = evacuate.KindShadowScore
	e.Shadow = &evacuate.ShadowDecision{ID: q.Word, Score: evacuate.Score(q.Score), Why: q.Reason}
	return fmt.Sprintf("%s is scored %s", q.Word, q.Score), c.apply(ctx, e)
}

// WhatIf says what would happen if a host were dead now.
func (c *Controller) WhatIf(host nova.HostName) (*evacuate.Proposal, bool) {
	s := c.State()
	if s.Hosts[host] == nil {
		return nil, false
	}
	return evacuate.WhatIf(host, s, c.World(), c.policy), true
}

// reach is as much of the world as says whether a write is halted.
func (c *Controller) reach() evacuate.World {
	return evacuate.World{Frozen: c.frozen(), Aggregates: c.aggregates(), Guests: c.observer.guests(c.clock.Now())}
}

// shadowAlert is for how long a wrong decision of shadow is an alert.
const shadowAlert = 24 * time.Hour

// askedAlerts are plans that wait for a person, and what shadow got wrong.
func askedAlerts(s *evacuate.State, now time.Time) []api.Alert {
	var out []api.Alert
	for _, p := range s.Plans {
		if p.Status == evacuate.PlanWaiting {
			out = append(out, api.Alert{Name: api.AlertPlanWaiting, Host: p.Host,
				Text: fmt.Sprintf("plan %s waits until %s: %s. `lifeboat approve %s` or `lifeboat reject %s --reason ...`", p.ID, p.Expires.UTC().Format(time.TimeOnly), p.Line(), p.ID, p.ID)})
		}
	}
	for _, d := range s.Shadow {
		if d.Score == evacuate.ScoreWrong && now.Sub(d.Scored) < shadowAlert {
			out = append(out, api.Alert{Name: api.AlertShadowWrong, Host: d.Host, Text: fmt.Sprintf("shadow %s: %s", d.ID, d.Why)})
		}
	}
	return out
}

// aggregates are the host aggregates of each host; nil: Nova has not told lately.
func (c *Controller) aggregates() map[nova.HostName][]string {
	sight, _ := c.cloud.seen()
	if sight.AggregatesOld(c.clock.Now()) != "" {
		return nil
	}
	return sight.Groups()
}

// aggregateModes says that some aggregate has a mode of its own.
func (c *Controller) aggregateModes() (some bool) {
	c.machine.Locked(func(s *evacuate.State) { some = len(s.AggregateModes) > 0 || len(c.policy.AggregateModes) > 0 })
	return some
}
