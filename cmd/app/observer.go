package app

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/detector/vip"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// observer owns a controller's table of evidence.
type observer struct {
	id  detector.Observer
	now func() time.Time

	mu    sync.Mutex
	table *detector.Table
	terms map[string]uint64
	infos map[string]evacuate.Controller
	keys  map[string]keysSeen // of the ring, by controller
	// machines are what agents have said of theirs, to this controller or another.
	machines map[nova.HostName]fence.Identity
	// ends are those of instances that agents told of lately.
	ends  endsTold
	judge detector.Policy
	// verdicts are those of the last look.
	verdicts map[nova.HostName]detector.Verdict
	cloud    detector.Cloud
	clouded  time.Time // since when it is in this condition
	ailed    detector.Cloud
	ailedAt  time.Time // when that was last seen
}

// noteCloud keeps the cloud's condition, which settles for a while after it has
// cleared, and gives it with the one before.
func (o *observer) noteCloud(c detector.Cloud, now time.Time) (settled detector.Cloud, former detector.Condition) {
	o.mu.Lock()
	defer o.mu.Unlock()
	fresh := c.After(o.ailed, now.Sub(o.ailedAt))
	if fresh.Condition == c.Condition {
		o.ailed, o.ailedAt = fresh, now
	}
	before := o.cloud.Condition
	if before != fresh.Condition {
		o.clouded = now
	}
	o.cloud = fresh
	return fresh, before
}

// sky gives the cloud's condition and since when it lasts.
func (o *observer) sky() (detector.Cloud, time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.cloud, o.clouded
}

func newObserver(id string, p detector.Policy, now func() time.Time) *observer {
	return &observer{id: detector.Observer(id), now: now, judge: p, table: detector.NewTable(p),
		terms: map[string]uint64{}, infos: map[string]evacuate.Controller{}, keys: map[string]keysSeen{}, machines: map[nova.HostName]fence.Identity{}}
}

func (o *observer) with(f func(*detector.Table)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f(o.table)
}

// heartbeat takes what the receiver heard.
func (o *observer) heartbeat(hb detector.Heartbeat, _ netip.AddrPort, at time.Time) {
	o.with(func(t *detector.Table) { t.Heartbeat(o.id, hb, at) })
}

func (o *observer) probes(ps []detector.Probe) {
	o.with(func(t *detector.Table) {
		for _, p := range ps {
			t.Probe(p)
		}
	})
}

// peerReport is a controller's report with who it is and which term it has
// acknowledged.
type peerReport struct {
	detector.Report
	Term uint64              `json:"term"`
	Info evacuate.Controller `json:"info"`
	// Wall is its wall clock as it sends.
	Wall time.Time `json:"wall,omitzero"`
	// Dumps are the crashed kernels that it hears.
	Dumps map[nova.HostName]dumpAge `json:"dumps,omitempty"`
	// Keys are those of the ring that it has; nil: it was not told yet.
	Keys *keysHeld `json:"keys,omitempty"`
	// Machines are what agents told it and the ledger does not know yet.
	Machines map[nova.HostName]fence.Identity `json:"machines,omitempty"`
	// VIP is what it sees of the control plane's addresses.
	VIP *vip.Sight `json:"vip,omitempty"`
	// Stamp is the leader's own of its last answer: it bounds the time under way.
	Stamp *stamp `json:"stamp,omitempty"`
}

type keysSeen struct {
	keysHeld
	at time.Time
}

// keysOf is what another controller has said lately of its keys.
func (o *observer) keysOf(id string, now time.Time) (keysHeld, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	k, ok := o.keys[id]
	return k.keysHeld, ok && now.Sub(k.at) <= ringFresh
}

// merge takes another controller's report, which was sent at the given time or later.
func (o *observer) merge(r peerReport, at time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.table.Merge(r.Report, at)
	o.terms[string(r.Controller)] = max(o.terms[string(r.Controller)], r.Term)
	o.infos[string(r.Controller)] = r.Info
	if r.Keys != nil {
		o.keys[string(r.Controller)] = keysSeen{*r.Keys, at}
	}
	for host, m := range r.Machines {
		o.machines[host] = m.Clean()
	}
}

// judgement judges every host of the state.
func (o *observer) judgement(s *evacuate.State, voters int, paths map[nova.HostName]*detector.PathSight) map[nova.HostName]detector.Verdict {
	now := o.now()
	o.mu.Lock()
	defer o.mu.Unlock()
	out := make(map[nova.HostName]detector.Verdict, len(s.Hosts))
	enrolled := 0
	for _, h := range s.Hosts {
		if !h.Enrolled.IsZero() {
			enrolled++
		}
	}
	for name, h := range s.Hosts {
		boot := h.Boot
		if r := s.Open(name); r != nil {
			boot = "" // a returning host's new boot id is expected
		}
		v := o.table.View(name, detector.Facts{Voters: voters, Boot: boot, Maintenance: h.Maintenance, Known: enrolled + voters, Path: paths[name],
			Memory: detector.Memory{Heard: h.Heard, Boot: h.Boot, Answers: h.Answers}}, now)
		out[name] = detector.Judge(v, o.judge)
	}
	o.verdicts = out
	return out
}

func (o *observer) last() map[nova.HostName]detector.Verdict {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.verdicts
}

// heard gives each host's last heartbeat. It is compared with what stands in the
// ledger, in wall time: where the clock was set since, the earlier of what it
// said then and of what it says now, so that no old heartbeat looks new.
func (o *observer) heard(s *evacuate.State, now time.Time) map[nova.HostName]evacuate.Heard {
	o.mu.Lock()
	defer o.mu.Unlock()
	out := make(map[nova.HostName]evacuate.Heard, len(s.Hosts))
	for name := range s.Hosts {
		if at, boot, start := o.table.LastHeard(name); !at.IsZero() {
			if there := now.Round(0).Add(-now.Sub(at)); there.Before(at.Round(0)) {
				at = there
			}
			out[name] = evacuate.Heard{At: at, Boot: boot, Start: start}
		}
	}
	return out
}

func (o *observer) ackTerms() map[string]uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	out := map[string]uint64{}
	for id, t := range o.terms {
		out[id] = t
	}
	return out
}

func (o *observer) controllerInfos() map[string]evacuate.Controller {
	o.mu.Lock()
	defer o.mu.Unlock()
	out := map[string]evacuate.Controller{}
	for id, c := range o.infos {
		out[id] = c
	}
	return out
}

// freshControllers lists the controllers whose report is fresh.
func (o *observer) freshControllers() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var ids []string
	for _, id := range o.table.FreshControllers(o.now()) {
		ids = append(ids, string(id))
	}
	return ids
}

// memoryEvery is how far the ledger's note of a host that is heard may lag behind.
const memoryEvery = 10 * time.Minute

// memory is what the ledger should know of a host that is heard now, in case that all
// controllers go away. It is due when the note is old or the host answers more.
func (o *observer) memory(h *evacuate.Host, now time.Time) (at time.Time, answers []string, due bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if h == nil {
		return at, nil, false
	}
	if at, _, _ = o.table.LastHeard(h.Name); at.IsZero() || now.Sub(at) > o.judge.Silence() {
		return at, nil, false
	}
	answers = o.table.Answered(h.Name, now)
	more := slices.ContainsFunc(answers, func(a string) bool { return !slices.Contains(h.Answers, a) })
	return now, answers, more || now.Round(0).Sub(h.Heard).Abs() > memoryEvery
}
