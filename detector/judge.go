package detector

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// Judge gives the verdict that the evidence in v allows. It is a ladder: the
// first rung that fits answers, signs of life stand above signs of death, and
// Dead is the last rung.
func Judge(v View, p Policy) Verdict {
	j := judgement{v: v, p: p}
	j.hear()
	state, reason, detail := j.verdict()
	return Verdict{Host: v.Host, State: state, Reason: reason, Detail: detail, At: v.At, Silent: j.silent, View: v}
}

type judgement struct {
	v View
	p Policy

	fresh   int           // controllers whose report is fresh
	hearing []Observer    // of these, who hears the host
	ever    bool          // somebody has heard it at some time
	silent  time.Duration // since anybody heard it
	boot    string        // as last heard
}

// hear sums up what the controllers say. Reports older than Rounds intervals
// are no evidence, neither of life nor of silence.
func (j *judgement) hear() {
	missed := time.Duration(j.p.Missed) * j.p.Interval
	stale := time.Duration(j.p.Rounds) * j.p.Interval
	first := true
	for _, h := range j.v.Controllers {
		if h.HeardAge >= 0 {
			j.ever = true
			if first || h.HeardAge < j.silent {
				first, j.silent, j.boot = false, h.HeardAge, h.Boot
			}
		}
		if h.ReportAge > stale {
			continue
		}
		j.fresh++
		if h.HeardAge >= 0 && h.HeardAge <= missed {
			j.hearing = append(j.hearing, h.Controller)
		}
	}
}

func (j *judgement) majority() int { return j.v.Voters/2 + 1 }

func (j *judgement) verdict() (State, Reason, string) {
	switch {
	case !j.ever:
		return Unknown, ReasonNeverHeard, "no heartbeat of this host was ever heard: is its agent enrolled and running?"
	case j.v.Maintenance:
		return Maintenance, ReasonOperator, "an operator has this host in maintenance"
	case len(j.hearing) > 0:
		return j.heard()
	case j.fresh < j.majority():
		return Unknown, ReasonNoMajority, fmt.Sprintf("only %d of %d controllers report; their silence proves nothing", j.fresh, j.v.Voters)
	}
	off := j.powerOff()
	if j.v.LeavingFor >= 0 && !off {
		if j.v.LeavingFor <= j.p.LeaveExpires {
			return Leaving, ReasonAnnounced, fmt.Sprintf("its agent announced a stop %s ago", round(j.v.LeavingFor))
		}
		return Unknown, ReasonLeaveExpired, fmt.Sprintf("its agent announced a stop %s ago and has not come back", round(j.v.LeavingFor))
	}
	return j.unheard(off)
}

func (j *judgement) heard() (State, Reason, string) {
	if len(j.hearing) < j.majority() && j.fresh >= j.majority() {
		return Suspect, ReasonHeartbeatVeto, fmt.Sprintf("heard by %s only, %d of %d controllers", join(j.hearing), len(j.hearing), j.v.Voters)
	}
	if j.v.KnownBoot != "" && j.boot != "" && j.boot != j.v.KnownBoot {
		return Rebooted, ReasonNewBoot, "it came up with a new boot id: what ran on it is down"
	}
	if j.v.Nova != nil && j.v.Nova.State == nova.StateDown {
		return Degraded, ReasonComputeDown, "alive, but Nova has not heard its nova-compute"
	}
	return Healthy, ReasonHeartbeat, fmt.Sprintf("heard %s ago by %d of %d controllers", round(j.silent), len(j.hearing), j.v.Voters)
}

// unheard judges a host that a majority of the controllers does not hear.
func (j *judgement) unheard(off bool) (State, Reason, string) {
	if p, ok := j.answering(); ok {
		return Unmanageable, ReasonNetworkAnswers, fmt.Sprintf("no heartbeat for %s, but %s of its %s network answered %s to %s: guests may run",
			round(j.silent), p.Kind, p.Network, round(p.Age)+" ago", p.Observer)
	}
	if j.v.Nova != nil && j.v.Nova.Reported {
		return Unmanageable, ReasonNovaReports, fmt.Sprintf("no heartbeat for %s, but its nova-compute still reports to Nova", round(j.silent))
	}
	if off {
		return Dead, ReasonPowerOff, fmt.Sprintf("no heartbeat for %s and its BMC reads off", round(j.silent))
	}
	silentTo, countable := j.probed()
	switch {
	case !countable && len(j.v.Probes) > 0:
		return Unknown, ReasonNoBaseline, "it answers no probe, but none was answered in the last hour either: its silence proves nothing"
	case len(silentTo) < j.majority():
		return Suspect, ReasonInvestigating, fmt.Sprintf("no heartbeat for %s; silent to the probes of %d of %d controllers so far", round(j.silent), len(silentTo), j.v.Voters)
	}
	votes, domains := j.votes()
	if len(votes) < j.p.Observers || domains < j.p.Domains {
		return Suspect, ReasonFewVotes, fmt.Sprintf("no heartbeat for %s; %d healthy ring members in %d failure domains hold it dead, %d in %d needed",
			round(j.silent), len(votes), domains, j.p.Observers, j.p.Domains)
	}
	if j.silent < j.p.HoldDown {
		return Suspect, ReasonHoldDown, fmt.Sprintf("silent for %s of the %s that are waited", round(j.silent), j.p.HoldDown)
	}
	return Dead, ReasonSilent, fmt.Sprintf("no heartbeat for %s, silent to the probes of %d controllers, held dead by %d ring members in %d failure domains",
		round(j.silent), len(silentTo), len(votes), domains)
}

// powerOff is the verdict's fast path: the two newest readings that count are
// off, at least a second apart.
func (j *judgement) powerOff() bool {
	if len(j.v.Power) < 2 {
		return false
	}
	newest := j.v.Power[0]
	if newest.Power != "off" || newest.Age > j.p.ProbeFresh {
		return false
	}
	for _, r := range j.v.Power[1:] {
		if r.Power != "off" || r.Age > j.silent {
			return false // read on, unknown, or before the silence began
		}
		if r.Age-newest.Age >= time.Second {
			return true
		}
	}
	return false
}

// answering finds a fresh answer that was given after the last heartbeat.
func (j *judgement) answering() (ProbeSight, bool) {
	for _, p := range j.v.Probes {
		if p.Answer == Answered && p.Age <= j.p.ProbeFresh && p.Age < j.silent {
			return p, true
		}
	}
	return ProbeSight{}, false
}

// probed gives the controllers to which the host is silent on a probe that
// counts, and whether there is any probe that counts.
func (j *judgement) probed() (silentTo []Observer, countable bool) {
	controllers := map[Observer]bool{}
	for _, h := range j.v.Controllers {
		controllers[h.Controller] = true
	}
	for _, p := range j.v.Probes {
		if !p.Countable {
			continue
		}
		countable = true
		if controllers[p.Observer] && p.Answer == Silent && p.Age <= j.p.ProbeFresh && p.Age < j.silent && !slices.Contains(silentTo, p.Observer) {
			silentTo = append(silentTo, p.Observer)
		}
	}
	return silentTo, countable
}

// votes counts the fresh votes of healthy observers for dead.
func (j *judgement) votes() (dead []Observer, domains int) {
	seen := map[Domain]bool{}
	for _, v := range j.v.Votes {
		if !v.Dead || v.Ill != "" || v.Age > time.Duration(j.p.Rounds)*j.p.Interval {
			continue
		}
		dead = append(dead, v.Observer)
		seen[v.Domain] = true
	}
	return dead, len(seen)
}

func round(d time.Duration) string { return d.Round(100 * time.Millisecond).String() }

func join(os []Observer) string {
	s := make([]string, len(os))
	for i, o := range os {
		s[i] = string(o)
	}
	return strings.Join(s, ", ")
}
