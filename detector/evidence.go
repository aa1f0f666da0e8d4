package detector

import (
	"slices"
	"strings"
	"time"
)

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

// probed gives the controllers to which the host is silent on a probe that
// counts, and whether there is any probe that counts. Only a controller whose
// report is fresh and which hears others is asked.
func (j *judgement) probed() (silentTo []Observer, countable bool) {
	for _, p := range j.v.Probes {
		if !p.Countable {
			continue
		}
		countable = true
		if slices.Contains(j.unheard, p.Observer) && p.Answer == Silent && j.counts(p) && !slices.Contains(silentTo, p.Observer) {
			silentTo = append(silentTo, p.Observer)
		}
	}
	slices.Sort(silentTo)
	return silentTo, countable
}

// counts says that a probe is fresh and began after the last heartbeat.
func (j *judgement) counts(p ProbeSight) bool { return p.Age <= j.p.ProbeFresh && p.Age < j.silent }

// answersController says that some controller was answered lately.
func (j *judgement) answersController() bool {
	return slices.ContainsFunc(j.v.Probes, func(p ProbeSight) bool {
		return p.Answer == Answered && j.counts(p) && j.isController(p.Observer)
	})
}

// unasked names a network on which the host did answer within the hour and on
// which no observer that counts has asked since it fell silent.
func (j *judgement) unasked() string {
	due := map[string]bool{}
	for _, p := range j.v.Probes {
		if p.Countable {
			due[p.Network] = true
		}
	}
	if j.before {
		for _, a := range j.v.Past.Answers {
			network, _, _ := strings.Cut(a, "/")
			due[network] = true
		}
	}
	for _, p := range j.v.Probes {
		if p.Answer == Silent && p.Countable && p.Ill == "" && j.counts(p) {
			delete(due, p.Network)
		}
	}
	var names []string
	for n := range due {
		names = append(names, n)
	}
	slices.Sort(names)
	return strings.Join(names, " and ")
}

// votes counts who holds the host dead: members of the ring in whose view it is,
// and agents to whose own signed probes it is silent. An ill observer does not
// vote, a stale vote is none, nobody votes twice.
func (j *judgement) votes() (dead []Observer, domains int) {
	seen := map[Domain]bool{}
	for _, v := range j.v.Votes {
		if v.Dead && v.Ill == "" && v.Age <= j.stale() && !slices.Contains(dead, v.Observer) {
			dead = append(dead, v.Observer)
			seen[v.Domain] = true
		}
	}
	peers, _ := j.witnesses(func(p ProbeSight) bool { return p.Answer == Silent && p.Countable && j.counts(p) })
	for _, p := range j.v.Probes {
		if slices.Contains(peers, p.Observer) && !slices.Contains(dead, p.Observer) {
			dead = append(dead, p.Observer)
			seen[p.Domain] = true
		}
	}
	slices.Sort(dead)
	return dead, len(seen)
}

// ringDead says that any healthy member holds the host dead.
func (j *judgement) ringDead() bool {
	return slices.ContainsFunc(j.v.Votes, func(v Vote) bool { return v.Dead && v.Ill == "" && v.Age <= j.stale() })
}

func round(d time.Duration) string { return d.Round(100 * time.Millisecond).String() }

func join(os []Observer) string {
	s := make([]string, len(os))
	for i, o := range os {
		s[i] = string(o)
	}
	return strings.Join(s, ", ")
}
