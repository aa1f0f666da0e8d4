package app

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lifeboat-ha/lifeboat/config"
	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/detector/clock"
	"github.com/lifeboat-ha/lifeboat/detector/heartbeat"
	"github.com/lifeboat-ha/lifeboat/detector/vip"
	"github.com/lifeboat-ha/lifeboat/detector/vip/watch"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/evacuate/api"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// vips is a controller's watch over the control plane's addresses: its own eyes, what
// the others report, and, while it leads, the judgement on all of it.
type vips struct {
	c       *Controller
	vips    []vip.VIP
	targets []vip.Target
	watcher *watch.Watcher

	mu      sync.Mutex
	sights  map[detector.Observer]agedSight
	tracker *vip.Tracker
	term    uint64 // of the tracker
	report  vip.Report
	matrix  vip.Matrix
	control detector.Control
	owned   map[string]ownedSince
	wrote   time.Time
	// mended is what each host had mended as it was last journalled, news what was
	// since.
	mended map[nova.HostName]vip.Mended
	news   []string

	own    *owning // nil: another moves the addresses
	stored *storedAt

	checks    []vip.Check
	checkedAt time.Time

	mender   *vip.Mender // of the tracker's term
	mends    *mends
	mendedBy map[string]vip.MendWord // by controller and address, as last journalled

	restarts *restarts
}

type agedSight struct {
	vip.Sight
	at time.Time
}

// ownedSince is the only machine that has a VIP.
type ownedSince struct {
	mac   detector.MAC
	since time.Time
}

func newVIPs(c *Controller) *vips {
	x := &vips{c: c, sights: map[detector.Observer]agedSight{}, tracker: vip.NewTracker(), owned: map[string]ownedSince{}, mended: map[nova.HostName]vip.Mended{}, stored: &storedAt{read: c.clock.Read, at: map[uint64]clock.Reading{}}}
	if c.cfg.VIP.Watched() {
		x.vips, x.targets = vipsOf(c.cfg.VIP), targetsOf(c.cfg.VIP)
	}
	x.restarts = newRestarts(c)
	x.mender, x.mends, x.mendedBy = vip.NewMender(), newMends(x), map[string]vip.MendWord{}
	return x
}

func vipsOf(cfg config.VIP) []vip.VIP {
	var all []vip.VIP
	for _, a := range cfg.Addresses {
		v := vip.VIP{Name: a.Name, Address: a.Address.Unmap(), Vias: a.Vias}
		for _, text := range a.MACs {
			var mac detector.MAC
			if mac.UnmarshalText([]byte(text)) == nil { // the file was checked
				v.Allowed = append(v.Allowed, mac)
			}
		}
		all = append(all, v)
	}
	return all
}

// interfacesOf names the interface of each VIP, by the VIP's name.
func interfacesOf(cfg config.VIP) map[string]string {
	all := map[string]string{}
	for _, a := range cfg.Addresses {
		all[a.Name] = a.Interface
	}
	return all
}

func targetsOf(cfg config.VIP) []vip.Target {
	at := map[netip.Addr]string{}
	for _, a := range cfg.Addresses {
		at[a.Address.Unmap()] = a.Name
	}
	var all []vip.Target
	for _, t := range cfg.Targets {
		for _, address := range t.Addresses {
			all = append(all, vip.Target{Service: t.Service, Address: address, Touch: vip.Touch(t.Touch), VIP: at[address.Addr().Unmap()], Informs: t.Informs})
		}
	}
	return all
}

// open begins to watch; a machine that does not permit it watches nothing itself.
func (x *vips) open(ctx context.Context) {
	if len(x.vips) == 0 || x.c.seams.VIP != nil || x.c.seams.Network != nil {
		return
	}
	o := watch.Options{Controller: x.c.observer.id, VIPs: x.vips, Interfaces: interfacesOf(x.c.cfg.VIP), Census: x.c.cfg.VIP.ARPProbe == config.VIPWitness,
		HAProxy: x.c.cfg.VIP.HAProxySocket, Outside: map[string]vip.Target{}, Now: x.c.clock.Now, Log: x.c.log.With("component", "vip")}
	for _, t := range x.targets {
		if _, there := o.Outside[t.VIP]; t.VIP != "" && !there && !t.Informs {
			o.Outside[t.VIP] = t
		}
	}
	w, err := watch.Open(ctx, o)
	if err != nil {
		x.c.log.Warn("this controller does not watch the VIPs itself", "reason", err)
		return
	}
	x.watcher = w
	x.c.stop.onStop("the watch over VIPs", w.Close)
}

// begin begins to own what the file says that Lifeboat owns.
func (x *vips) begin() {
	if x.own = newOwning(x); x.own != nil {
		x.c.stop.wg.Go(func() { x.own.run(x.c.stop.ctx) })
	}
}

// sight is this controller's own; nil: it has none.
func (x *vips) sight() *vip.Sight {
	var s vip.Sight
	switch {
	case len(x.vips) == 0:
		return nil
	case x.c.seams.VIP != nil:
		s = x.c.seams.VIP()
	case x.watcher != nil:
		s = x.watcher.Sight()
	default:
		return nil
	}
	s.Controller = x.c.observer.id
	x.own.tell(&s)
	x.mends.tell(&s)
	return &s
}

// merge takes another controller's sight, sent at the given time or later.
func (x *vips) merge(from detector.Observer, s *vip.Sight, at time.Time) {
	if s == nil || s.Controller != from {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if old := x.sights[from]; !old.at.After(at) {
		x.sights[from] = agedSight{*s, at}
	}
}

// look judges what is known at this instant. Only the leader is told enough: to
// others everything is well.
func (x *vips) look(leads bool, term uint64) (detector.Control, map[nova.HostName]*detector.PathSight) {
	if len(x.vips) == 0 {
		return detector.Control{}, nil
	}
	own, now := x.sight(), x.c.clock.Now()
	rows := x.rows(now)
	assessed := vip.Assess(x.targets, rows, x.c.observer.judge.PathFresh)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.matrix = assessed.Matrix
	if !leads {
		x.control, x.report = assessed.Control, vip.Report{}
		return assessed.Control, assessed.Paths
	}
	if x.term != term {
		x.tracker, x.mender, x.term = vip.NewTracker(), vip.NewMender(), term
	}
	if own != nil {
		x.sights[own.Controller] = agedSight{*own, now}
	}
	view := vip.View{Now: now, VIPs: x.vips, Hosts: rows}
	if now.Sub(x.checkedAt) <= checksFresh {
		view.Checks = x.checks
	}
	for _, v := range x.c.ledger.Voters() {
		view.Controllers = append(view.Controllers, detector.Observer(v.ID))
	}
	for _, id := range slices.Sorted(maps.Keys(x.sights)) {
		s := x.sights[id]
		s.Age = now.Sub(s.at)
		view.Sights = append(view.Sights, s.Sight)
	}
	x.report = x.tracker.Look(view)
	x.note(now)
	x.count(rows)
	x.countMends()
	x.mends.order(x.mender.Plan(view, x.report), now)
	x.control = vip.Settle(assessed.Control, x.report.Findings)
	return x.control, assessed.Paths
}

func (x *vips) rows(now time.Time) []vip.HostRow {
	var rows []vip.HostRow
	x.c.observer.with(func(t *detector.Table) {
		for _, p := range t.Paths(now) {
			rows = append(rows, vip.HostRow{Host: p.Host, Domain: p.Domain, Row: p.Row, Told: p.Told})
		}
	})
	return rows
}

// path is the matrix of the last look.
func (x *vips) path() vip.Matrix {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.matrix
}

// note keeps which machine has each VIP alone, for the hosts.
func (x *vips) note(now time.Time) {
	for _, m := range x.report.Moves {
		x.c.log.Info("an address of the control plane has moved", "vip", m.VIP, "from", m.From, "to", m.To)
	}
	for name, h := range x.report.Holders {
		if h == (detector.MAC{}) {
			delete(x.owned, name)
		} else if x.owned[name].mac != h {
			x.owned[name] = ownedSince{h, now}
		}
	}
}

// count finds what hosts have mended since the look before. A new leader, or an agent
// that has started again, begins anew.
func (x *vips) count(rows []vip.HostRow) {
	for _, r := range rows {
		now := vip.MendedBy(r.Row)
		before, known := x.mended[r.Host]
		x.mended[r.Host] = now
		if text := now.Since(before); known && text != "" && len(x.news) < newsMost {
			x.news = append(x.news, string(r.Host)+" "+text)
		}
	}
}

// newsMost bounds what waits for the ledger: hundreds of hosts mend at one time.
const newsMost = 20

// owners are what acknowledgements tell the hosts: only the leader knows.
func (x *vips) owners() []heartbeat.Owner {
	if len(x.vips) == 0 || !x.c.leads() {
		return nil
	}
	now := x.c.clock.Now()
	x.mu.Lock()
	defer x.mu.Unlock()
	all := make([]heartbeat.Owner, len(x.vips))
	for i, v := range x.vips {
		if o, ok := x.owned[v.Name]; ok {
			all[i] = heartbeat.Owner{MAC: o.mac, For: now.Sub(o.since)}
		}
	}
	return all
}

// vipEvery is how often at most findings are written into the ledger.
const vipEvery = time.Second

// pathsEvery is how often at most the matrix alone is.
const pathsEvery = 5 * time.Second

// remember commits what has changed. It is told of, and nothing follows from it.
func (x *vips) remember(ctx context.Context) {
	if len(x.vips) == 0 || !x.c.leads() {
		return
	}
	now := x.c.clock.Now()
	x.mu.Lock()
	owners, findings := maps.Clone(x.report.Owners), findingsOf(x.report.Findings)
	matrix, late := x.matrix, now.Sub(x.wrote) >= pathsEvery
	due, news, told := now.Sub(x.wrote) >= vipEvery, strings.Join(x.news, "; "), len(x.news)
	x.mu.Unlock()
	same := true
	var paths []evacuate.VIPPath
	var unreached int
	x.c.machine.Locked(func(s *evacuate.State) {
		paths, unreached = s.VIP.Unreaching()
		if late {
			known := slices.DeleteFunc(slices.Clone(paths), func(p evacuate.VIPPath) bool { return s.Hosts[p.Host] == nil })
			paths, unreached = pathsOf(matrix, known)
		}
		same = s.VIP.Same(owners, findings, paths, unreached)
	})
	if same && news == "" || !due {
		return
	}
	err := x.c.apply(ctx, evacuate.Entry{Kind: evacuate.KindVIP, At: now, By: x.c.id, Text: news, VIP: &evacuate.VIPRecord{Owners: owners, Findings: findings, Paths: paths, Unreached: unreached}})
	if err != nil {
		x.c.log.Warn("findings of the VIP are not remembered", "reason", err)
		return
	}
	x.mu.Lock()
	x.wrote, x.news = now, x.news[told:]
	x.mu.Unlock()
}

func findingsOf(all []vip.Finding) []evacuate.VIPFinding {
	out := []evacuate.VIPFinding{}
	for _, f := range all {
		out = append(out, evacuate.VIPFinding{Kind: string(f.Kind), VIP: f.VIP, Nodes: f.Nodes, Evidence: f.Evidence, Since: f.Since, Do: f.Do, Runbook: f.Runbook})
	}
	return out
}

// VIPStatus is all that is known of the control plane's addresses.
func (c *Controller) VIPStatus() api.VIPStatus {
	x := c.vips
	st := api.VIPStatus{Watched: len(x.vips) > 0, VIPs: []api.VIP{}, Findings: []vip.Finding{}}
	s := c.State()
	x.mu.Lock()
	defer x.mu.Unlock()
	st.Control, st.Matrix = x.control, x.matrix
	st.Findings, st.Checks = append(st.Findings, x.report.Findings...), x.checks
	for _, v := range x.vips {
		one := api.VIP{Name: v.Name, Address: v.Address, Owner: x.report.Owners[v.Name], Router: x.report.Routers[v.Name]}
		if s.VIP != nil {
			one.Moves = s.VIP.Moves[v.Name]
		}
		if x.own.owns(v.Name) {
			if one.Lease = s.Leases[v.Name]; one.Lease == nil {
				one.Lease = &evacuate.VIPLease{}
			}
		}
		st.VIPs = append(st.VIPs, one)
	}
	if s.VIP != nil {
		st.Past = s.VIP.Past
	}
	now := c.clock.Now()
	for _, id := range slices.Sorted(maps.Keys(x.sights)) {
		sight := x.sights[id]
		sight.Age = now.Sub(sight.at)
		st.Sights = append(st.Sights, sight.Sight)
	}
	return st
}

// vipAlerts are the findings, for a person.
func (c *Controller) vipAlerts() []api.Alert {
	x := c.vips
	x.mu.Lock()
	defer x.mu.Unlock()
	var out []api.Alert
	for _, f := range x.report.Findings {
		out = append(out, api.Alert{Name: "vip-" + string(f.Kind), Text: f.Text() + ". To do: " + f.Do + " (" + f.Runbook + ")"})
	}
	for _, s := range x.sights {
		if len(s.Cannot) > 0 && s.Controller == c.observer.id {
			out = append(out, api.Alert{Name: "vip-half-blind", Text: "the leader cannot watch all of the VIP: " + strings.Join(s.Cannot, "; ")})
		}
	}
	return out
}
