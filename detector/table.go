package detector

import (
	"cmp"
	"slices"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// Baseline is how long an answered probe makes later silence of the same kind
// on the same network evidence (docs/safety.md rule 5).
const Baseline = time.Hour

// keptReadings is how many power readings of a host are kept.
const keptReadings = 8

// Report is what one controller has seen, as it tells the leader. Ages, not
// times, travel: clocks differ.
type Report struct {
	Controller Observer    `json:"controller"`
	Ring       RingView    `json:"ring"`
	Hosts      []HeardOf   `json:"hosts"`
	Probes     []AgedProbe `json:"probes,omitempty"`
	// Listens is for how long its ears have been open; 0: it does not say.
	Listens time.Duration `json:"listens,omitempty"`
}

// HeardOf is one host in a Report.
type HeardOf struct {
	Host    nova.HostName `json:"h"`
	Age     time.Duration `json:"a"`
	Boot    string        `json:"b"`
	Start   string        `json:"s,omitempty"`
	Leaving bool          `json:"l,omitempty"`
	// Paths is its sight of the control plane where that is not all well: the leader
	// may not hear this host itself.
	Paths *PathRow `json:"p,omitempty"`
}

// AgedProbe is a probe whose Began does not travel.
type AgedProbe struct {
	Probe
	Age time.Duration `json:"age"`
}

type heard struct {
	at          time.Time
	boot, start string
	leaving     bool
}

type controllerSeen struct {
	reported time.Time
	listens  time.Time // since when its ears are open
	hosts    map[nova.HostName]heard
}

type voter struct {
	at     time.Time
	domain Domain
	ring   RingView
}

type probeKey struct {
	observer      Observer
	network, kind string
}

type baseKey struct{ network, kind string }

type hostSeen struct {
	domain   Domain
	probes   map[probeKey]Probe
	answered map[baseKey]time.Time
	power    []PowerReading
	on       time.Time // when a reading of on last began
	service  *seenService
	leaving  time.Time
	last     time.Time // heard by anybody
	since    time.Time // heard without a gap
	sensors  map[string]string
	givenUp  time.Time // since when a service of it has failed for good
	networks map[string]reachSeen
	lease    leaseSeen
	path     *pathSeen
}

type reachSeen struct {
	Reach
	at    time.Time
	alone time.Time // since when it reaches nobody
}

// Table keeps the evidence. It is not safe for concurrent use: its owner
// serialises. Every method takes the present from its caller.
type Table struct {
	policy      Policy
	controllers map[Observer]*controllerSeen
	voters      map[Observer]voter
	hosts       map[nova.HostName]*hostSeen
	sum         *sums // nil once something new is noted
	guests      guestBook
}

// NewTable gives an empty table.
func NewTable(p Policy) *Table {
	return &Table{policy: p, controllers: map[Observer]*controllerSeen{}, voters: map[Observer]voter{}, hosts: map[nova.HostName]*hostSeen{}}
}

func (t *Table) host(h nova.HostName) *hostSeen {
	s := t.hosts[h]
	if s == nil {
		s = &hostSeen{probes: map[probeKey]Probe{}, answered: map[baseKey]time.Time{}, domain: Domain("host:" + h)}
		t.hosts[h] = s
	}
	return s
}

func (t *Table) controller(c Observer) *controllerSeen {
	s := t.controllers[c]
	if s == nil {
		s = &controllerSeen{hosts: map[nova.HostName]heard{}}
		t.controllers[c] = s
	}
	return s
}

// SetDomain declares a host's failure domain; without one it is its own.
func (t *Table) SetDomain(h nova.HostName, d Domain) {
	if d == "" {
		d = Domain("host:" + h)
	}
	t.host(h).domain = d
}

// Forget drops a host that was removed.
func (t *Table) Forget(h nova.HostName) {
	t.sum = nil
	delete(t.hosts, h)
	delete(t.voters, Observer(h))
	delete(t.guests.lists, h)
	for _, c := range t.controllers {
		delete(c.hosts, h)
	}
}

// ForgetController drops a removed voter, whose silence must not count.
func (t *Table) ForgetController(c Observer) {
	t.sum = nil
	delete(t.controllers, c)
	delete(t.voters, c)
}

// Heartbeat notes a heartbeat that controller c heard at the given time.
func (t *Table) Heartbeat(c Observer, hb Heartbeat, at time.Time) {
	t.hear(c, HeardOf{Host: hb.Host, Boot: hb.Boot, Start: hb.Start, Leaving: hb.Leaving}, at)
	if t.voters[Observer(hb.Host)].at.After(at) {
		return // a datagram overtook this one
	}
	h := t.host(hb.Host)
	before := h.networks
	h.sensors, h.networks = hb.Sensors, nil
	h.noteServices(hb.Sensors, at)
	h.takeLease(hb, at)
	h.notePath(hb.Paths, at)
	for _, n := range hb.Networks {
		if h.networks == nil {
			h.networks = make(map[string]reachSeen, len(hb.Networks))
		}
		seen := reachSeen{Reach: n, at: at.Add(-n.Age)}
		if old := before[n.Network].alone; n.Reached == 0 {
			seen.alone = cmp.Or(old, seen.at)
		}
		h.networks[n.Network] = seen
	}
	t.voters[Observer(hb.Host)] = voter{at: at, domain: h.domain, ring: hb.Ring}
}

func (t *Table) hear(c Observer, of HeardOf, at time.Time) {
	t.sum = nil
	seen := t.controller(c)
	if old, ok := seen.hosts[of.Host]; ok && old.at.After(at) {
		return
	}
	seen.hosts[of.Host] = heard{at: at, boot: of.Boot, start: of.Start, leaving: of.Leaving}
	h := t.host(of.Host)
	h.notePath(of.Paths, at)
	if at.Sub(h.last) > t.policy.Silence() {
		h.since = at
	}
	if at.After(h.last) {
		h.last = at
	}
	switch {
	case of.Leaving && h.leaving.IsZero():
		h.leaving = at
	case !of.Leaving && at.After(h.leaving.Add(leaveSlack)):
		h.leaving = time.Time{}
	}
}

// leaveSlack is how much later than an announced stop a heartbeat must be heard
// to take it back: another controller's report of the one before it travels.
const leaveSlack = time.Second

// Alive notes that controller c itself is here at now, with its ring view: the
// local counterpart of Report.
func (t *Table) Alive(c Observer, ring RingView, now time.Time) {
	t.sum = nil
	t.controller(c).reported = now
	t.voters[c] = voter{at: now, domain: ControllerDomain, ring: ring}
}

// Merge takes another controller's report. It was sent at the given time at the
// earliest: ages travel, and what a stuck report tells must not look new.
func (t *Table) Merge(r Report, sent time.Time) {
	if c := t.controllers[r.Controller]; c != nil && c.reported.After(sent) {
		return // a later one overtook it
	}
	t.Alive(r.Controller, r.Ring, sent)
	if t.controller(r.Controller).listens = (time.Time{}); r.Listens > 0 {
		t.Listens(r.Controller, sent.Add(-r.Listens))
	}
	for _, of := range r.Hosts {
		t.hear(r.Controller, of, sent.Add(-of.Age))
	}
	for _, p := range r.Probes {
		p.Probe.Began = sent.Add(-p.Age)
		t.Probe(p.Probe)
	}
}

// Report tells what controller c has seen itself, at now.
func (t *Table) Report(c Observer, ring RingView, now time.Time) Report {
	r := Report{Controller: c, Ring: ring}
	if since := t.controller(c).listens; !since.IsZero() {
		r.Listens = now.Sub(since)
	}
	for h, s := range t.controller(c).hosts {
		r.Hosts = append(r.Hosts, HeardOf{Host: h, Age: now.Sub(s.at), Boot: s.boot, Start: s.start, Leaving: s.leaving,
			Paths: t.hosts[h].failing(s.at, now, t.policy.PathFresh)})
	}
	slices.SortFunc(r.Hosts, func(a, b HeardOf) int { return cmp.Compare(a.Host, b.Host) })
	for _, s := range t.hosts {
		for k, p := range s.probes {
			if age := now.Sub(p.Began); k.observer == c && age <= t.policy.ProbeFresh {
				r.Probes = append(r.Probes, AgedProbe{Probe: p, Age: age})
			}
		}
	}
	return r
}

// Probe notes a probe's result.
func (t *Table) Probe(p Probe) {
	h := t.host(p.Host)
	k := probeKey{p.Observer, p.Network, p.Kind}
	if old, ok := h.probes[k]; ok && old.Began.After(p.Began) {
		return
	}
	h.probes[k] = p
	if b := (baseKey{p.Network, p.Kind}); p.Answer == Answered && p.Observer != Observer(p.Host) && p.Began.After(h.answered[b]) {
		h.answered[b] = p.Began
	}
}

// Power notes a BMC reading.
func (t *Table) Power(r PowerReading) {
	h := t.host(r.Host)
	if r.Power == "on" && r.Began.After(h.on) {
		h.on = r.Began
	}
	h.power = append(h.power, r)
	slices.SortStableFunc(h.power, func(a, b PowerReading) int { return b.Began.Compare(a.Began) })
	if len(h.power) > keptReadings {
		h.power = h.power[:keptReadings]
	}
}

// LastHeard is when any controller last heard the host, and its boot id then.
func (t *Table) LastHeard(host nova.HostName) (at time.Time, boot, start string) {
	for _, c := range t.controllers {
		if s, ok := c.hosts[host]; ok && s.at.After(at) {
			at, boot, start = s.at, s.boot, s.start
		}
	}
	return at, boot, start
}

// Facts are what the ledger and the configuration add to a View.
type Facts struct {
	Voters      int
	Boot        string
	Maintenance bool
	// Known is how many members the ring should have, those who announced their
	// stop included.
	Known  int
	Memory Memory
	// Path is what the matrix says of it; nil: nothing is watched.
	Path *PathSight
}

// View gathers the evidence on host at now.
func (t *Table) View(host nova.HostName, f Facts, now time.Time) View {
	h := t.host(host)
	_, boot, _ := t.LastHeard(host)
	v := View{Host: host, Domain: h.domain, At: now, Boot: boot, KnownBoot: f.Boot, Voters: f.Voters,
		Maintenance: f.Maintenance, LeavingFor: -1, Sensors: h.sensors, Path: f.Path}
	if boot == "" {
		if v.Past = f.Memory.recall(now); v.Past != nil {
			v.Boot = f.Memory.Boot
		}
	}
	if !h.leaving.IsZero() {
		v.LeavingFor = now.Sub(h.leaving)
	}
	sums := t.sums(now)
	known := f.Known - sums.leaving
	v.Networks = t.networks(h, now)
	if !h.since.IsZero() {
		v.HeardFor = h.last.Sub(h.since)
	}
	v.Controllers = slices.Grow(v.Controllers, len(t.controllers))
	for c, s := range t.controllers {
		hearing := Hearing{Controller: c, ReportAge: now.Sub(s.reported), Listening: s.listening(now), HeardAge: -1, Deaf: sums.deaf(c, host)}
		if of, ok := s.hosts[host]; ok {
			hearing.HeardAge, hearing.Boot = now.Sub(of.at), of.boot
		}
		v.Controllers = append(v.Controllers, hearing)
	}
	if last, _, _ := t.LastHeard(host); now.Sub(last) > t.policy.Silence() {
		v.Votes = t.votesOn(host, known, now) // nobody needs to vote on a host that is heard
	}
	v.Probes = slices.Grow(v.Probes, len(h.probes))
	for _, p := range h.probes {
		base := h.answered[baseKey{p.Network, p.Kind}]
		ill, domain := t.unfit(p.Observer, p.Network, known, now)
		s := ProbeSight{Observer: p.Observer, Network: p.Network, Kind: p.Kind, Answer: p.Answer, Domain: domain, Ill: ill,
			Age: now.Sub(p.Began), Countable: p.Answer != Failed && (!base.IsZero() && now.Sub(base) <= Baseline || v.Past.counts(p.Network, p.Kind))}
		if !base.IsZero() {
			s.Answered = now.Sub(base)
		}
		v.Probes = append(v.Probes, s)
	}
	if !h.on.IsZero() {
		v.LastOn = now.Sub(h.on)
	}
	if !h.givenUp.IsZero() {
		v.GivenUpFor = now.Sub(h.givenUp)
	}
	for _, r := range h.power {
		v.Power = append(v.Power, PowerSight{Power: r.Power, Cause: r.Cause, Age: now.Sub(r.Began)})
	}
	if s := h.service; s != nil {
		last, _, _ := t.LastHeard(host)
		v.Nova = &ServiceSight{State: s.state, Age: now.Sub(s.at),
			Reported: s.reported.Sub(last) > ReportSlack && now.Sub(s.reported) <= ReportFresh}
		if !s.down.IsZero() {
			v.Nova.DownFor = now.Sub(s.down)
		}
	}
	v.sort()
	return v
}

const (
	// ReportSlack is how long after the last heartbeat a report of nova-compute
	// may reach the database from before the death: queues and clock skew.
	ReportSlack = 5 * time.Second
	// ReportFresh is how long such a report is a sign of life: three of Nova's
	// default report_interval of 10 s (nova/conf/service.py).
	ReportFresh = 30 * time.Second
)

func (v *View) sort() {
	slices.SortFunc(v.Controllers, func(a, b Hearing) int { return cmp.Compare(a.Controller, b.Controller) })
	slices.SortFunc(v.Probes, func(a, b ProbeSight) int {
		return cmp.Or(cmp.Compare(a.Observer, b.Observer), cmp.Compare(a.Network, b.Network), cmp.Compare(a.Kind, b.Kind))
	})
}
