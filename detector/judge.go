package detector

import (
	"cmp"
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
	j.v.Power = slices.Clone(v.Power)
	slices.SortStableFunc(j.v.Power, func(a, b PowerSight) int {
		return cmp.Or(cmp.Compare(a.Age, b.Age), -cmp.Compare(a.Power, b.Power)) // at one instant, off counts least
	})
	j.hear()
	out := Verdict{Host: v.Host, At: v.At, Silent: j.silent, Networks: j.networks(), View: v}
	j.lost = lost(out.Networks)
	out.State, out.Reason, out.Detail = j.verdict(out.Networks)
	out.Signs = j.signs()
	switch {
	case out.State == Dead && out.Reason == ReasonSilent:
		out.Means = p.Matrix.Of(LostAll)
	case out.State == Dead:
		out.Means = MeansFence
	case len(j.lost) > 0 && (len(j.hearing) > 0 || out.State == Unmanageable || out.State == PathFault):
		out.Means = j.means()
	case out.Reason == ReasonServiceFailed && p.FenceAiling && min(v.GivenUpFor, v.Nova.DownFor) >= p.IsolatedFor && v.Nova.Age <= ReportFresh:
		out.Means = MeansFence
	}
	return out
}

// means is the matrix's word on the networks that a living host has lost. It
// is heard or it answers, so not all of them are gone, whatever they say; and
// without management alone no host is fenced.
func (j *judgement) means() Meaning {
	guests := slices.DeleteFunc(slices.Clone(j.lost), func(n string) bool { return n == NetworkManagement })
	switch heard := len(j.hearing) > 0; {
	case heard && len(guests) > 0:
		if m := j.p.Matrix.Of(Combination(guests...)); m != MeansFence || j.lasting(guests) {
			return m
		}
		return MeansReport
	case len(j.lost) == len(Networks) || j.p.Matrix.Of(Combination(j.lost...)) == MeansFence:
		return MeansReport
	}
	return j.p.Matrix.Of(Combination(j.lost...))
}

type judgement struct {
	v View
	p Policy

	fresh   int           // controllers whose word counts
	hearing []Observer    // of these, who hears the host
	unheard []Observer    // and who does not
	ever    bool          // somebody has heard it at some time
	silent  time.Duration // since anybody heard it
	boot    string        // as last heard
	witness Observer      // heard it last by far, and does not report any more
	lost    []string      // networks
	before  bool          // it fell silent before the controllers ran
}

// stale is the age from which a report or a vote is no evidence.
func (j *judgement) stale() time.Duration { return time.Duration(j.p.Rounds) * j.p.Interval }

// missed is the silence that makes a host suspect.
func (j *judgement) missed() time.Duration { return j.p.Silence() }

// hear sums up what the controllers say. Old reports are no evidence, neither
// of life nor of silence; nor is a deaf controller's silence.
func (j *judgement) hear() {
	first := true
	var heardLast, lostLast time.Duration = -1, -1
	for _, h := range j.v.Controllers {
		if h.HeardAge >= 0 {
			j.ever = true
			if first || h.HeardAge < j.silent {
				first, j.silent, j.boot = false, h.HeardAge, h.Boot
			} else if h.HeardAge == j.silent && h.Boot < j.boot {
				j.boot = h.Boot // whatever the order of the evidence
			}
		}
		switch {
		case h.ReportAge > j.stale():
			if h.HeardAge >= 0 && (lostLast < 0 || h.HeardAge < lostLast || h.HeardAge == lostLast && h.Controller < j.witness) {
				lostLast, j.witness = h.HeardAge, h.Controller
			}
			continue
		case h.HeardAge >= 0 && (heardLast < 0 || h.HeardAge < heardLast):
			heardLast = h.HeardAge
		}
		switch {
		case h.HeardAge >= 0 && h.HeardAge <= j.missed():
			j.fresh++
			j.hearing = append(j.hearing, h.Controller)
		case !h.Deaf:
			j.fresh++
			j.unheard = append(j.unheard, h.Controller)
		}
	}
	if lostLast < 0 || heardLast >= 0 && heardLast-lostLast <= j.missed() {
		j.witness = ""
	}
	slices.Sort(j.hearing)
	slices.Sort(j.unheard)
	if j.before = j.remembered(); j.before {
		j.silent = j.watched()
	}
}

// lasting says that the networks are lost for long enough to be fenced for it.
func (j *judgement) lasting(networks []string) bool {
	return !slices.ContainsFunc(j.v.Networks, func(n NetworkSight) bool {
		return slices.Contains(networks, n.Network) && n.AloneFor < j.p.IsolatedFor
	})
}

func (j *judgement) majority() int { return j.v.Voters/2 + 1 }

func (j *judgement) verdict(networks []NetworkState) (State, Reason, string) {
	switch {
	case !j.ever && !j.before:
		return Unknown, ReasonNeverHeard, "no heartbeat of this host was ever heard: is its agent enrolled and running?"
	case j.v.Maintenance:
		return Maintenance, ReasonOperator, "an operator has this host in maintenance"
	case len(j.hearing) > 0:
		return j.heard(networks)
	case j.fresh < j.majority():
		return Unknown, ReasonNoMajority, fmt.Sprintf("only %d of %d controllers report and hear others; their silence proves nothing", j.fresh, j.v.Voters)
	case j.witness != "":
		return Unknown, ReasonWitnessLost, fmt.Sprintf("%s heard it last, %s ago and long after the others, and does not report any more: it may still hear it",
			j.witness, round(j.silent))
	case j.before:
		return j.unwatched()
	}
	off := j.powerOff()
	if j.v.LeavingFor >= 0 && !off {
		if j.v.LeavingFor <= j.p.LeaveExpires {
			return Leaving, ReasonAnnounced, fmt.Sprintf("its agent announced a stop %s ago", round(j.v.LeavingFor))
		}
		return Unknown, ReasonLeaveExpired, fmt.Sprintf("its agent announced a stop %s ago and has not come back", round(j.v.LeavingFor))
	}
	return j.silentHost(off)
}

// heard judges a host that lives.
func (j *judgement) heard(networks []NetworkState) (State, Reason, string) {
	if len(j.hearing) < j.majority() && j.fresh >= j.majority() {
		return j.minority()
	}
	if j.v.KnownBoot != "" && j.boot != "" && j.boot != j.v.KnownBoot {
		return Rebooted, ReasonNewBoot, "it came up with a new boot id: what ran on it is down"
	}
	alone := ""
	for _, n := range networks {
		if n.Alone {
			alone = fmt.Sprintf("its %s network: %s", n.Network, n.Detail)
			break
		}
	}
	if len(j.lost) > 0 && j.means() != MeansIgnore {
		return Isolated, lossReason(j.lost), "alive, but " + alone
	}
	if s := j.v.Path; s.alone(j.p.PathFresh) {
		return PathFault, ReasonPathVIP, fmt.Sprintf("alive, but it does not reach %s, which %d of %d others do: its way is broken, not the control plane",
			strings.Join(s.Fails, ", "), s.OthersUp, s.Others)
	}
	if j.v.Nova != nil && j.v.Nova.State == nova.StateDown {
		if unit := givenUp(j.v.Sensors); unit != "" {
			return Degraded, ReasonServiceFailed, fmt.Sprintf("alive, but its %s has failed for good, and Nova has not heard its nova-compute", unit)
		}
		return Degraded, ReasonComputeDown, "alive, but Nova has not heard its nova-compute"
	}
	if alone != "" && len(j.lost) == 0 {
		return Healthy, ReasonNetworkUnconfirmed, "heard; " + alone
	}
	return Healthy, ReasonHeartbeat, fmt.Sprintf("heard %s ago by %d of %d controllers", round(j.silent), len(j.hearing), j.v.Voters)
}

// minority judges a host that most controllers do not hear while they hear
// others: where peers of other domains reach it, its way to them is broken.
func (j *judgement) minority() (State, Reason, string) {
	peers, _ := j.reachedByPeers()
	if len(peers) > 0 && len(j.unheard) >= j.v.Voters-j.v.Voters/2 {
		return PathFault, ReasonMinorityPath, fmt.Sprintf("heard by %s and not by %s, which hear others; %s reached it", join(j.hearing), join(j.unheard), join(peers))
	}
	return Suspect, ReasonHeartbeatVeto, fmt.Sprintf("heard by %s only, %d of %d controllers", join(j.hearing), len(j.hearing), j.v.Voters)
}

// silentHost judges a host that no controller hears.
func (j *judgement) silentHost(off bool) (State, Reason, string) {
	if p, ok := j.answering(); ok {
		return j.answers(p)
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
	if n := j.unasked(); n != "" {
		return Suspect, ReasonNetworkNotAsked, fmt.Sprintf("no heartbeat for %s; it answered on its %s network within the hour, and nobody has asked there since", round(j.silent), n)
	}
	votes, domains := j.votes()
	if len(votes) < j.p.Observers || domains < j.p.Domains {
		return Suspect, ReasonFewVotes, fmt.Sprintf("no heartbeat for %s; %d healthy observers in %d failure domains hold it dead or find it silent, %d in %d needed",
			round(j.silent), len(votes), domains, j.p.Observers, j.p.Domains)
	}
	if j.silent < j.p.HoldDown {
		return Suspect, ReasonHoldDown, fmt.Sprintf("silent for %s of the %s that are waited", round(j.silent), j.p.HoldDown)
	}
	return Dead, ReasonSilent, fmt.Sprintf("no heartbeat for %s, silent to the probes of %d controllers and to %d healthy observers in %d failure domains",
		round(j.silent), len(silentTo), len(votes), domains)
}

// answers tells a host whose way to the controllers is broken from one that
// has no agent any more.
func (j *judgement) answers(p ProbeSight) (State, Reason, string) {
	peers, domains := j.reachedByPeers()
	if silentTo, _ := j.probed(); len(peers) >= j.p.Observers && domains >= j.p.Domains && len(silentTo) >= j.majority() && !j.answersController() {
		return PathFault, ReasonNoPath, fmt.Sprintf("no heartbeat for %s and silent to %s, but %s reached it: the way to the controllers is broken",
			round(j.silent), join(silentTo), join(peers))
	}
	if alive, domains := j.ringAlive(); len(alive) >= j.p.Observers && domains >= j.p.Domains && j.silent >= j.p.RingSettles && !j.ringDead() {
		return PathFault, ReasonRingAlive, fmt.Sprintf("no heartbeat for %s, but %s in %d failure domains hold it alive in the ring: its agent runs and cannot reach the controllers",
			round(j.silent), join(alive), domains)
	}
	return Unmanageable, ReasonNetworkAnswers, fmt.Sprintf("no heartbeat for %s, but %s of its %s network answered %s to %s: guests may run",
		round(j.silent), p.Kind, p.Network, round(p.Age)+" ago", p.Observer)
}
