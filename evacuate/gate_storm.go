package evacuate

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// toll is what has fallen, as one host's gate sees it.
type toll struct {
	question
	fallen []nova.HostName // dead, suspect, not judged, being recovered, just fenced; the host itself always
	known  int             // hosts that could fall: heard at least once, not in maintenance
	domain Domain          // the host's domain that is recovered by a limit of its own, if there is one
}

// askStorm: many dead at once is a question, not an order (rule 6). Whatever is
// silent without having been judged harmless counts: a rack does not die in one
// tick, and its first host must not be fenced before the others are judged.
func askStorm(q question) (Standing, string) {
	t := newToll(q)
	for _, ask := range []func() string{t.perHour, t.perAggregate, t.perDomain, t.cliff, t.cloud} {
		if why := ask(); why != "" {
			return Held, why
		}
	}
	if t.domain.Name != "" {
		return Met, fmt.Sprintf("%d of %d hosts of %s dead, suspect or just fenced; %d allowed", t.in(t.domain), len(t.members(t.domain)), t.domain, q.policy.StormDomains[t.domain.Kind].Max)
	}
	return Met, fmt.Sprintf("%d of %d hosts dead, suspect or just fenced; %d allowed", len(t.fallen), t.known, q.policy.StormLimit(t.known))
}

func newToll(q question) *toll {
	all := q.world.fallen
	if all == nil {
		all = countFallen(q)
	}
	t := &toll{question: q, known: all.known, fallen: all.hosts}
	if i, counted := slices.BinarySearch(all.hosts, q.host); !counted && q.state.Hosts[q.host] != nil {
		t.fallen = slices.Insert(slices.Clone(all.hosts), i, q.host)
	}
	t.domain = t.own()
	return t
}

// fallen are all hosts that count, by name.
type fallen struct {
	hosts []nova.HostName
	known int
}

func countFallen(q question) *fallen {
	f := &fallen{}
	for _, host := range q.state.HostNames() {
		h := q.state.Hosts[host]
		if !h.Maintenance && q.world.Verdicts[host].Reason != detector.ReasonNeverHeard {
			f.known++
		}
		if counts(q, host) {
			f.hosts = append(f.hosts, host)
		}
	}
	return f
}

func counts(q question, host nova.HostName) bool {
	h := q.state.Hosts[host]
	if r := q.state.Open(host); r != nil {
		return r.Status == StatusOpen && !q.state.waits(r, q.world.Now, q.policy) || recently(q, r)
	}
	for _, r := range q.state.Recoveries {
		if r.Host == host && recently(q, r) {
			return true
		}
	}
	if h.Maintenance {
		return false
	}
	v, judged := q.world.Verdicts[host]
	return !judged || v.Down()
}

func recently(q question, r *Recovery) bool {
	return r.Proof != nil && q.world.Now.Sub(r.Proof.Began()) < q.policy.StormWindow
}

// cloud is the limit of the whole: what falls in a domain that is recovered by
// its own limit is one event.
func (t *toll) cloud() string {
	limit := t.policy.StormLimit(t.known)
	if t.domain.Name != "" {
		if n := len(t.fallen) - t.in(t.domain) + 1; n > limit {
			return fmt.Sprintf("beside %s %d hosts are dead, suspect or just fenced (%s), %d of %d are allowed in all: is it they or we?",
				t.domain, n-1, list(t.outside(t.domain)), limit, t.known)
		}
		return ""
	}
	if len(t.fallen) > limit {
		return fmt.Sprintf("%d hosts are dead, suspect or just fenced (%s), more than %d of %d: is it they or we?",
			len(t.fallen), list(t.fallen), limit, t.known)
	}
	return ""
}

// perHour bounds a slow cascade, of which never many are dead at once.
func (t *toll) perHour() string {
	var names []nova.HostName
	for _, r := range t.state.Sorted() {
		off := r.offAt()
		mine := t.recovery != nil && r.ID == t.recovery.ID
		if !mine && !off.IsZero() && t.world.Now.Sub(off) < time.Hour && !t.belongs(r.Host, t.domain) {
			names = append(names, r.Host)
		}
	}
	if limit := t.policy.PerHour(t.known); len(names) >= limit {
		return fmt.Sprintf("%d hosts were fenced within the last hour (%s), %d allowed: what is wrong with them?", len(names), list(names), limit)
	}
	return ""
}

// offAt is when its host was last commanded off, or may have been, or taken for off
// by a person's word; zero if never.
func (r *Recovery) offAt() time.Time {
	at := r.OffSent
	if r.Proof != nil && r.Proof.Began().After(at) {
		at = r.Proof.Began()
	}
	if s := r.Steps[StepFence]; s != nil && s.Intent.After(at) {
		at = s.Intent
	}
	return at
}

// cliffLeast is how many hosts make a cliff at least: one or two are accidents.
const cliffLeast = 3

// cliff is the mark of our own illness: hosts die one by one or by racks, while
// a cut network falls silent at once. What its BMC reads off is explained.
func (t *toll) cliff() string {
	at, ok := t.fell(t.host)
	if t.policy.CliffPercent <= 0 || t.domain.Name != "" || !ok {
		return ""
	}
	var names []nova.HostName
	for _, host := range t.state.HostNames() {
		other, ok := t.fell(host)
		if ok && other.Sub(at).Abs() <= t.policy.CliffWindow {
			names = append(names, host)
		}
	}
	if len(names) >= cliffLeast && 100*len(names) > t.policy.CliffPercent*t.known {
		return fmt.Sprintf("%d of %d hosts fell silent within %s (%s), more than %d %%: is it they or we?",
			len(names), t.known, t.policy.CliffWindow, list(names), t.policy.CliffPercent)
	}
	return ""
}

// fell says when a host that is silent, or was when it was recovered, was last
// heard, unless its BMC read off. One that still answers on the network has
// fallen silent too.
func (t *toll) fell(host nova.HostName) (time.Time, bool) {
	for _, r := range t.state.Recoveries {
		if r.Host == host && (r.Status == StatusOpen || recently(t.question, r)) {
			return r.LastHeard, r.Reason != detector.ReasonPowerOff && r.Reason != detector.ReasonNeverHeard
		}
	}
	v, judged := t.world.Verdicts[host]
	silent := v.State == detector.Dead || v.State == detector.Suspect || v.State == detector.Unmanageable || v.State == detector.Unknown
	if !judged || !silent || v.Reason == detector.ReasonPowerOff || v.Reason == detector.ReasonNeverHeard || v.Reason == detector.ReasonHeartbeatVeto || t.state.Hosts[host].Maintenance {
		return time.Time{}, false
	}
	return t.world.Now.Add(-v.Silent), true
}

func list(names []nova.HostName) string {
	const most = 8
	words := make([]string, 0, most)
	for _, n := range names[:min(most, len(names))] {
		words = append(words, string(n))
	}
	if more := len(names) - most; more > 0 {
		return strings.Join(words, ", ") + fmt.Sprintf(" and %d more", more)
	}
	return strings.Join(words, ", ")
}

// outside lists what has fallen elsewhere.
func (t *toll) outside(d Domain) []nova.HostName {
	return slices.DeleteFunc(slices.Clone(t.fallen), func(h nova.HostName) bool { return t.belongs(h, d) })
}
