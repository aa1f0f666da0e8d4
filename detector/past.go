package detector

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// Memory is what the ledger has kept of a host, on the wall clock of who led then.
type Memory struct {
	Heard time.Time
	Boot  string
	// Answers are the probes that it answered within AnswersWithin before Heard, as
	// "network/kind".
	Answers []string
}

// AnswersWithin is how old an answer may be that is noted in a Memory.
const AnswersWithin = 15 * time.Minute

// rememberedFor is how long a host that nobody has heard since counts as one that
// ran: after that it is as one that was never heard.
const rememberedFor = 24 * time.Hour

// Past is a Memory with its age.
type Past struct {
	Age     time.Duration `json:"age"`
	Answers []string      `json:"answers,omitempty"`
}

// counts says that the host answered this kind of probe on this network within the
// hour, as far as the ledger knows.
func (p *Past) counts(network, kind string) bool {
	return p != nil && p.Age+AnswersWithin <= Baseline && slices.Contains(p.Answers, network+"/"+kind)
}

// recall gives the past of a host that none of the controllers has heard.
func (m Memory) recall(now time.Time) *Past {
	age := now.Round(0).Sub(m.Heard.Round(0))
	if m.Heard.IsZero() || age < 0 || age > rememberedFor {
		return nil
	}
	return &Past{Age: age, Answers: m.Answers}
}

// Answered lists the probes that a host has answered lately, for the ledger.
func (t *Table) Answered(host nova.HostName, now time.Time) []string {
	var all []string
	for b, at := range t.host(host).answered {
		if now.Sub(at) <= AnswersWithin {
			all = append(all, b.network+"/"+b.kind)
		}
	}
	slices.Sort(all)
	return all
}

// listening is for how long a controller's ears have been open; 0: it does not say.
func (c *controllerSeen) listening(now time.Time) time.Duration {
	if c.listens.IsZero() {
		return 0
	}
	return now.Sub(c.listens)
}

// remembered says that no controller has heard the host since it runs, that the
// ledger knows it to have run, and that a majority has listened for long enough.
func (j *judgement) remembered() bool {
	return !j.ever && j.v.Past != nil && j.watched() >= j.p.HoldDown
}

// watched is for how long a majority of the controllers have listened in vain.
func (j *judgement) watched() time.Duration {
	var spans []time.Duration
	for _, h := range j.v.Controllers {
		if slices.Contains(j.unheard, h.Controller) {
			spans = append(spans, h.Listening)
		}
	}
	if len(spans) < j.majority() {
		return 0
	}
	slices.SortFunc(spans, func(a, b time.Duration) int { return int(b - a) })
	return spans[j.majority()-1]
}

// unwatched judges a host that fell silent while no controller ran. Nobody saw it
// happen, so that it takes both: its BMC reads off, and whoever asks finds silence on
// every network on which it answered within the hour.
func (j *judgement) unwatched() (State, Reason, string) {
	if p, ok := j.answering(); ok {
		return j.answers(p)
	}
	if j.v.Nova != nil && j.v.Nova.Reported {
		return Unmanageable, ReasonNovaReports, "no heartbeat since the controllers run, but its nova-compute reports to Nova"
	}
	since := fmt.Sprintf("heard %s ago, and not in the %s since the controllers run", round(j.v.Past.Age), round(j.silent))
	var missing []string
	if !j.powerOff() {
		missing = append(missing, "its BMC does not read off")
	}
	if silentTo, _ := j.probed(); len(silentTo) < j.majority() {
		missing = append(missing, fmt.Sprintf("it is silent to the probes of %d of %d controllers, where it answered within the hour", len(silentTo), j.v.Voters))
	}
	if n := j.unasked(); n != "" {
		missing = append(missing, "nobody has asked on its "+n+" network")
	}
	if votes, domains := j.votes(); len(votes) < j.p.Observers || domains < j.p.Domains {
		missing = append(missing, fmt.Sprintf("%d healthy observers in %d failure domains find it silent", len(votes), domains))
	}
	if len(missing) > 0 {
		return Unknown, ReasonUnwatched, fmt.Sprintf("%s; %s. If you know that it is off: lifeboat confirm-dead %s", since, strings.Join(missing, ", "), j.v.Host)
	}
	return Dead, ReasonPowerOff, since + "; its BMC reads off and nobody reaches it"
}
