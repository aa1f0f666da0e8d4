package detector

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// Condition is what ails the whole cloud. There is exactly one at a time.
type Condition string

// Conditions, in their precedence: the first that fits is the one.
const (
	// LedgerReadOnly: nothing can be decided, whatever else is wrong.
	LedgerReadOnly Condition = "LedgerReadOnly"
	// ControlPlaneFault: it is rather us than they.
	ControlPlaneFault Condition = "ControlPlaneFault"
	// VIPSplit: two machines answer for the control plane's address.
	VIPSplit Condition = "VIPSplit"
	// SegmentFault: a failure domain fell silent as one, and not for want of power.
	SegmentFault Condition = "SegmentFault"
	// Storm: more hosts are down than may be recovered without a question.
	Storm  Condition = "Storm"
	Normal Condition = "Normal"
)

// Conditions lists them in their precedence.
var Conditions = [...]Condition{LedgerReadOnly, ControlPlaneFault, VIPSplit, SegmentFault, Storm, Normal}

// Reasons of conditions.
const (
	ReasonAllWell           Reason = "all-well"
	ReasonNoQuorum          Reason = "ledger-takes-no-entries"
	ReasonNovaSilent        Reason = "nova-does-not-answer"
	ReasonFewControllers    Reason = "too-few-controllers-report-to-the-leader"
	ReasonControllersDeaf   Reason = "most-controllers-hear-few-hosts"
	ReasonFewHeard          Reason = "too-few-hosts-heard"
	ReasonNetworkForMost    Reason = "network-gone-for-most-hosts"
	ReasonVIPTwin           Reason = "several-owners-of-the-vip"
	ReasonVIPNoOwner        Reason = "nobody-has-the-vip"
	ReasonBehindVIP         Reason = "service-behind-the-vip-is-ill"
	ReasonVIPUnreached      Reason = "control-plane-not-reached-by-many-hosts"
	ReasonVIPDomain         Reason = "failure-domain-does-not-reach-the-control-plane"
	ReasonDomainSilent      Reason = "failure-domain-fell-silent"
	ReasonDomainOffNetwork  Reason = "failure-domain-lost-a-network"
	ReasonManyDown          Reason = "more-hosts-down-than-allowed"
	ReasonManyDownPowerLost Reason = "failure-domain-lost-power"
)

// CloudReasons lists them, for documents.
var CloudReasons = [...]Reason{
	ReasonAllWell, ReasonNoQuorum, ReasonNovaSilent, ReasonFewControllers, ReasonControllersDeaf, ReasonFewHeard, ReasonNetworkForMost,
	ReasonVIPTwin, ReasonVIPNoOwner, ReasonBehindVIP, ReasonVIPUnreached, ReasonVIPDomain, ReasonDomainSilent, ReasonDomainOffNetwork, ReasonManyDown, ReasonManyDownPowerLost,
}

// CloudView is what a condition is judged by.
type CloudView struct {
	Verdicts map[nova.HostName]Verdict
	// Settled hosts are off and recovered: they count for nothing.
	Settled  map[nova.HostName]bool
	Writable bool // the ledger takes entries
	Voters   int
	Fresh    int // controllers whose report is fresh, the leader included
	// Nova answered so long ago; negative is never. NovaFresh is the limit.
	NovaAge, NovaFresh time.Duration
	NovaError          string
	// StormLimit is how many hosts may be down without a question.
	StormLimit int
	// Control is what is known of the control plane's address.
	Control Control
}

// Cloud is the judgement on the whole.
type Cloud struct {
	Condition Condition `json:"condition"`
	Reason    Reason    `json:"reason"`
	Detail    string    `json:"detail"`
	// Domains are the failure domains that fell as one, for want of power or not.
	Domains []Domain `json:"domains,omitempty"`
}

// segmentWindow is within which the hosts of a domain must have fallen silent to
// have done so as one: three missed heartbeats and as much again for reports.
const segmentWindow = 10 * time.Second

// vipWitnesses is how many hosts must see several owners of the VIP.
const vipWitnesses = 2

// Survey gives the cloud's condition. It is a ladder as Judge is: the first rung
// that fits answers, what ails ourselves above what ails hosts.
func Survey(v CloudView, p Policy) Cloud {
	s := survey{CloudView: v, p: p}
	s.count()
	fallen := s.fallen()
	c := Cloud{}
	for _, f := range fallen {
		c.Domains = append(c.Domains, f.name)
	}
	c.Condition, c.Reason, c.Detail = s.condition(fallen)
	if c.Condition == SegmentFault {
		c.Domains = append(c.Domains, v.Control.Domains...)
		slices.Sort(c.Domains)
		c.Domains = slices.Compact(c.Domains)
	}
	return c
}

// Settle is how long a condition of the network goes on holding after it was
// last seen: hosts that come back are not heard in one instant, and the first
// must not make a death of the second.
const Settle = 15 * time.Second

// settles says that a condition is of the kind that clears host by host.
func (c Cloud) settles() bool {
	switch c.Condition {
	case SegmentFault, VIPSplit:
		return true
	case ControlPlaneFault:
		return c.Reason != ReasonNovaSilent
	default:
		return false
	}
}

// After gives the condition to go by, where last was seen so long ago.
func (c Cloud) After(last Cloud, ago time.Duration) Cloud {
	if c.Condition == SegmentFault && last.Condition == SegmentFault && ago >= 0 && ago < Settle {
		// One of two racks that comes back is held until both have settled.
		c.Domains = append(slices.Clone(c.Domains), last.Domains...)
		slices.Sort(c.Domains)
		c.Domains = slices.Compact(c.Domains)
		return c
	}
	worse := slices.Index(Conditions[:], last.Condition) < slices.Index(Conditions[:], c.Condition)
	if !last.settles() || !worse || ago < 0 || ago >= Settle {
		return c
	}
	last.Detail += fmt.Sprintf(" (until %s ago; it settles for %s)", round(ago), Settle)
	return last
}

// Holds says whether the condition forbids fencing this host. Where its own BMC
// proves that it has no power, its domain's silence is explained.
func (c Cloud) Holds(v Verdict) bool {
	switch c.Condition {
	case ControlPlaneFault, VIPSplit:
		return true
	case SegmentFault:
		return slices.Contains(c.Domains, v.View.Domain) && (v.State != Dead || v.Reason != ReasonPowerOff)
	default:
		return false
	}
}

// ReadsPower says whether the BMC of a host of this domain may be asked for
// evidence. Where many are down at once only those of domains that fell as one
// are: their answer tells a power cut from a switch.
func (c Cloud) ReadsPower(d Domain) bool {
	switch c.Condition {
	case ControlPlaneFault, VIPSplit, LedgerReadOnly:
		return false
	case SegmentFault, Storm:
		return slices.Contains(c.Domains, d)
	default:
		return true
	}
}

type survey struct {
	CloudView
	p Policy

	known, heard int
	down         int
	twins        int
	sights       map[string][2]int // by network: hosts with a sight, of these alone
}

func (s *survey) missed() time.Duration { return s.p.Silence() }

// explained says that somebody wanted this host's silence, or that it was never
// here.
func explained(v Verdict) bool {
	return v.State == Maintenance || v.State == Leaving || v.Reason == ReasonNeverHeard || v.Reason == ReasonLeaveExpired
}

func (s *survey) count() {
	s.sights = map[string][2]int{}
	for host, v := range s.Verdicts {
		if s.Settled[host] {
			continue
		}
		if v.View.Sensors[SensorVIP] == SensorVIPTwin && v.Silent <= s.missed() {
			s.twins++
		}
		if v.Down() {
			s.down++
		}
		if explained(v) {
			continue
		}
		s.known++
		if v.Silent > s.missed() {
			continue
		}
		s.heard++
		for _, n := range v.View.Networks {
			if n.Asked < leastAsked || n.Age > s.p.NetworkFresh {
				continue
			}
			sum := s.sights[n.Network]
			sum[0]++
			if n.Reached == 0 {
				sum[1]++
			}
			s.sights[n.Network] = sum
		}
	}
}

func (s *survey) condition(fallen []segment) (Condition, Reason, string) {
	if !s.Writable {
		return LedgerReadOnly, ReasonNoQuorum, "the ledger takes no entries: too few controllers reach each other, or nobody leads"
	}
	if r, detail := s.ourselves(); r != "" {
		return ControlPlaneFault, r, detail
	}
	if c := s.Control; c.Condition == ControlPlaneFault || c.Condition == VIPSplit {
		return c.Condition, c.Reason, c.Detail
	}
	if s.twins >= vipWitnesses {
		return VIPSplit, ReasonVIPTwin, fmt.Sprintf("%d hosts see several owners of the control plane's address", s.twins)
	}
	var powerless []string
	for _, f := range fallen {
		if 2*f.off >= f.hosts {
			powerless = append(powerless, string(f.name))
			continue
		}
		if f.isolated > 0 {
			return SegmentFault, ReasonDomainOffNetwork, fmt.Sprintf("%d of %d hosts of %s are cut off as one, %d of them alive without a network: rather their switch than they",
				f.hosts, f.members, f.name, f.isolated)
		}
		return SegmentFault, ReasonDomainSilent, fmt.Sprintf("%d of %d hosts of %s fell silent within %s; the BMCs of %d read off, of %d on, of %d say nothing",
			f.hosts, f.members, f.name, round(f.spread), f.off, f.on, f.hosts-f.off-f.on)
	}
	if c := s.Control; c.Condition == SegmentFault && s.down <= s.StormLimit {
		return c.Condition, c.Reason, c.Detail
	}
	switch {
	case s.down > s.StormLimit && len(powerless) > 0:
		return Storm, ReasonManyDownPowerLost, fmt.Sprintf("%s without power as their BMCs say: %d hosts down, %d allowed", strings.Join(powerless, ", "), s.down, s.StormLimit)
	case s.down > s.StormLimit:
		return Storm, ReasonManyDown, fmt.Sprintf("%d hosts down, %d allowed", s.down, s.StormLimit)
	}
	return Normal, ReasonAllWell, fmt.Sprintf("%d of %d hosts heard", s.heard, s.known)
}

// ourselves finds what ails the control plane.
func (s *survey) ourselves() (Reason, string) {
	switch {
	case s.Fresh < s.Voters/2+1:
		return ReasonFewControllers, fmt.Sprintf("only %d of %d controllers report", s.Fresh, s.Voters)
	case s.NovaAge < 0:
		return ReasonNovaSilent, "Nova has not been reached yet" + tail(s.NovaError)
	case s.NovaAge > s.NovaFresh:
		return ReasonNovaSilent, fmt.Sprintf("Nova has not answered for %s%s", round(s.NovaAge), tail(s.NovaError))
	}
	if deaf := s.deaf(); 2*len(deaf) > s.Voters {
		return ReasonControllersDeaf, fmt.Sprintf("%s hear few of the hosts that others hear", join(deaf))
	}
	if 2*s.heard < s.known {
		return ReasonFewHeard, fmt.Sprintf("only %d of %d hosts are heard: rather our own network than they", s.heard, s.known)
	}
	for _, n := range Networks {
		if sum := s.sights[n]; sum[0] >= leastOthers+1 && 2*sum[1] > sum[0] {
			return ReasonNetworkForMost, fmt.Sprintf("%d of %d hosts reach nobody on the %s network: it is the network, not they", sum[1], sum[0], n)
		}
	}
	return "", ""
}

func tail(err string) string {
	if err == "" {
		return ""
	}
	return ": " + err
}

// deaf lists the controllers that any view calls deaf.
func (s *survey) deaf() []Observer {
	var deaf []Observer
	for _, v := range s.Verdicts {
		for _, h := range v.View.Controllers {
			if h.Deaf && h.ReportAge <= time.Duration(s.p.Rounds)*s.p.Interval && !slices.Contains(deaf, h.Controller) {
				deaf = append(deaf, h.Controller)
			}
		}
	}
	slices.Sort(deaf)
	return deaf
}

// segment is a failure domain that fell as one.
type segment struct {
	name           Domain
	members, hosts int
	off, on        int // as BMCs say
	isolated       int // alive, a network gone
	spread         time.Duration
}

// fallen finds the failure domains of which all or nearly all hosts were lost
// within a short time, while most hosts elsewhere are well.
func (s *survey) fallen() []segment {
	domains := map[Domain][]Verdict{}
	for host, v := range s.Verdicts {
		if !explained(v) && !s.Settled[host] {
			domains[v.View.Domain] = append(domains[v.View.Domain], v)
		}
	}
	var all []segment
	inside, heardInside := 0, 0
	for name, members := range domains {
		if f, ok := s.segment(name, members); ok {
			all = append(all, f)
			inside += f.members
			heardInside += f.members - f.hosts + f.isolated
		}
	}
	if outside := s.known - inside; outside < 1 || 2*(s.heard-heardInside) < outside {
		return nil
	}
	slices.SortFunc(all, func(a, b segment) int { return cmp.Compare(a.name, b.name) })
	return all
}

// segment looks at one domain. Hosts that were lost long before are left out:
// they have a story of their own.
func (s *survey) segment(name Domain, members []Verdict) (segment, bool) {
	f := segment{name: name}
	var ages []time.Duration
	for _, v := range members {
		if v.Silent > s.missed() {
			ages = append(ages, v.Silent)
		}
	}
	newest := time.Duration(0)
	if len(ages) > 0 {
		newest = slices.Min(ages)
	}
	for _, v := range members {
		silent := v.Silent > s.missed()
		if silent && v.Silent > newest+segmentWindow {
			continue
		}
		f.members++
		switch {
		case silent:
			f.spread = max(f.spread, v.Silent-newest)
		case v.State == Isolated:
			f.isolated++
		default:
			continue
		}
		f.hosts++
		switch {
		case v.State == Dead && v.Reason == ReasonPowerOff:
			f.off++
		case len(v.View.Power) > 0 && v.View.Power[0].Power == "on" && v.View.Power[0].Age < max(v.Silent, s.p.ProbeFresh):
			f.on++
		}
	}
	whole := f.hosts >= 2 && f.hosts == f.members
	return f, whole || f.hosts >= 3 && 5*f.hosts >= 4*f.members
}
