package evacuate

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// Domain is something that hosts fail with together: a rack, a feed, a switch.
// A host has any number of them, of several kinds.
type Domain struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
}

func (d Domain) String() string { return d.Kind + " " + d.Name }

// Kinds of domains that have a meaning of their own; all others are the
// operator's words.
const (
	DomainVotes     = "domain" // the one that ring votes are counted by
	DomainZone      = "zone"   // Nova's availability zone
	DomainAggregate = "aggregate"
)

// DomainLimit is how many hosts of one domain may have fallen.
type DomainLimit struct {
	Max int `json:"max"`
	// Recover says that a domain may fall as a whole, up to Max, whatever the
	// limit of the cloud: only hosts that their BMC reads off are recovered so.
	Recover bool `json:"recover,omitempty"`
}

func (t *toll) belongs(host nova.HostName, d Domain) bool {
	return d.Name != "" && slices.Contains(t.world.Domains[host], d)
}

// members lists the hosts of a domain that could fall.
func (t *toll) members(d Domain) []nova.HostName {
	return slices.DeleteFunc(t.state.HostNames(), func(h nova.HostName) bool {
		never := t.world.Verdicts[h].Reason == detector.ReasonNeverHeard
		return !t.belongs(h, d) || h != t.host && (never || t.state.Hosts[h].Maintenance)
	})
}

// in counts the fallen of a domain.
func (t *toll) in(d Domain) int { return len(t.fallen) - len(t.outside(d)) }

// own finds the domain by whose own limit the host is recovered. A rack that
// lost its power reads off; one that lost its switch does not, and is held by
// the limit of the cloud.
func (t *toll) own() (best Domain) {
	if t.world.Verdicts[t.host].Reason != detector.ReasonPowerOff {
		return Domain{}
	}
	for _, d := range t.world.Domains[t.host] {
		l, ok := t.policy.StormDomains[d.Kind]
		if ok && l.Recover && t.in(d) <= l.Max && (best.Name == "" || t.in(d) > t.in(best)) {
			best = d
		}
	}
	return best
}

// perDomain asks the limit of each domain that the host is in. A host whose
// domain is not known is one that nobody can count.
func (t *toll) perDomain() string {
	has := map[string]bool{}
	for _, d := range t.world.Domains[t.host] {
		has[d.Kind] = true
		l, ok := t.policy.StormDomains[d.Kind]
		n := t.in(d)
		if off := t.world.Verdicts[t.host].Reason == detector.ReasonPowerOff; !off && n >= cliffLeast && n == len(t.members(d)) {
			return fmt.Sprintf("all %d hosts of %s are silent, and this one does not read off: has it lost its network?", n, d)
		}
		if ok && n > l.Max {
			return fmt.Sprintf("%d hosts of %s are dead, suspect or just fenced, %d allowed: is it they or what they share?", n, d, l.Max)
		}
	}
	for _, kind := range sortedKinds(t.policy.StormDomains) {
		if !has[kind] && kind != DomainAggregate { // a host may be in no aggregate
			return fmt.Sprintf("it is not known which %s the host is in, and `storm` limits those", kind)
		}
	}
	return ""
}

func sortedKinds(m map[string]DomainLimit) []string {
	kinds := make([]string, 0, len(m))
	for k := range m {
		kinds = append(kinds, k)
	}
	slices.Sort(kinds)
	return kinds
}

// Keys of an aggregate's metadata that limit how many of its hosts may have
// fallen: ours, then Red Hat's Instance HA's.
var maxFailures = []string{"lifeboat:max_failures", "instanceha:max_failures"}

// aggregatesFresh is the greatest age of the list of aggregates.
const aggregatesFresh = 10 * time.Minute

// perAggregate asks the limits that stand in Nova.
func (t *toll) perAggregate() string {
	_, needed := t.policy.StormDomains[DomainAggregate]
	if !t.policy.Aggregates && !needed {
		return ""
	}
	if why := t.world.Nova.AggregatesOld(t.world.Now); why != "" {
		return why
	}
	for _, a := range t.world.Nova.Aggregates {
		if !slices.Contains(a.Hosts, t.host) {
			continue
		}
		if why := t.limitOf(a); why != "" {
			return why
		}
	}
	return ""
}

// AggregatesOld says why the list of aggregates is not believed; "": it is.
func (n NovaSight) AggregatesOld(now time.Time) string {
	if age := now.Sub(n.AggregatesAt); n.AggregatesAt.IsZero() || age < 0 || age > aggregatesFresh {
		return "Nova's aggregates have not been read lately, and their metadata may say no" + because(n.AggregatesErr)
	}
	return ""
}

func (t *toll) limitOf(a nova.Aggregate) string {
	for _, key := range maxFailures {
		word, ok := a.Metadata[key]
		if !ok {
			continue
		}
		limit, err := strconv.Atoi(word)
		if err != nil || limit < 0 {
			return fmt.Sprintf("aggregate %s says %s=%q, which is no number", a.Name, key, word)
		}
		n := 0
		for _, h := range t.fallen {
			if slices.Contains(a.Hosts, h) {
				n++
			}
		}
		if n > limit {
			return fmt.Sprintf("%d hosts of aggregate %s are dead, suspect or just fenced, its %s allows %d", n, a.Name, key, limit)
		}
		return ""
	}
	return ""
}

// MayFall says that these hosts are all of one domain that may fall as a whole.
func (p Policy) MayFall(down []nova.HostName, domains map[nova.HostName][]Domain) bool {
	if len(down) == 0 {
		return false
	}
	for _, d := range domains[down[0]] {
		l, ok := p.StormDomains[d.Kind]
		elsewhere := slices.ContainsFunc(down, func(h nova.HostName) bool { return !slices.Contains(domains[h], d) })
		if ok && l.Recover && len(down) <= l.Max && !elsewhere {
			return true
		}
	}
	return false
}
