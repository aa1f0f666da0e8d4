package app

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/lifeboat-ha/lifeboat/config"
	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/detector/heartbeat"
	"github.com/lifeboat-ha/lifeboat/detector/vip"
	"github.com/lifeboat-ha/lifeboat/detector/vip/watch"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// vipOrders is what hosts are told to ask of the control plane, with the roster.
type vipOrders struct {
	VIPs    []vip.VIP    `json:"vips"`
	Targets []vip.Target `json:"targets,omitempty"`
}

// ways is an agent's sight of the control plane, and its hands on the way there.
type ways struct {
	a     *Agent
	paths *watch.Paths
	hands *watch.Hands
	other *detours
	told  map[string]bool // what was logged of a dry run
	// indirect asks others on what this host does not reach.
	indirect *indirect

	mu     sync.Mutex
	orders vipOrders
	owners []vip.Holder
	mend   bool
	barred string // why connections cannot be ended here
	mended map[string]time.Time
	did    map[vip.RepairKind]int
}

func newWays(a *Agent) *ways {
	w := &ways{a: a, hands: &watch.Hands{Now: a.clock.Now}, told: map[string]bool{}, mended: map[string]time.Time{}, did: map[vip.RepairKind]int{}, other: newDetours(a)}
	w.paths = &watch.Paths{Now: a.clock.Now, Log: a.log, Ask: watch.Ask, Neighbours: watch.Neighbours}
	if a.seams.Ask != nil {
		w.paths.Ask, w.paths.Neighbours = a.seams.Ask, nil
	}
	w.indirect = &indirect{host: nova.HostName(a.cfg.Host), now: a.clock.Now, waiting: map[uint64]chan []int{}, ask: w.paths.Ask,
		send: func(to nova.HostName, message []byte) error { return a.ring.Send(string(to), message) },
		list: func() []vip.Target {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.orders.Targets
		},
		peers: func() []nova.HostName {
			a.mu.Lock()
			defer a.mu.Unlock()
			return a.roster.Hosts
		},
		spawn: func(f func()) { a.stop.wg.Go(f) }}
	w.paths.Confirm = w.indirect.confirm
	return w
}

// row is what heartbeats tell; nil where nothing is asked.
func (w *ways) row() *detector.PathRow {
	if !w.a.cfg.VIP.Probe {
		return nil
	}
	row := w.paths.Row()
	if row != nil {
		w.mu.Lock()
		row.Neighbours, row.Connections = w.did[vip.RepairNeighbour], w.did[vip.RepairConnection]
		w.mu.Unlock()
		row.Detours, row.Routes = w.other.count()
	}
	return row
}

// ask asks round after round, a little by chance apart: hundreds of hosts must not
// ask in step.
func (w *ways) ask(ctx context.Context) {
	for ctx.Err() == nil {
		w.a.mu.Lock()
		orders := w.a.roster.VIP
		w.a.mu.Unlock()
		if orders == nil || !w.a.cfg.VIP.Probe {
			orders = &vipOrders{}
		}
		w.mu.Lock()
		w.orders = *orders
		w.mu.Unlock()
		w.paths.Set(orders.VIPs, orders.Targets)
		w.paths.Round(ctx)
		w.other.ask(ctx, *orders)
		if w.a.clock.Sleep(ctx, watch.PathsEvery*9/10+rand.N(watch.PathsEvery/5)) != nil {
			return
		}
	}
}

// hear takes what the leader says of the owners.
func (w *ways) hear(c heartbeat.Contact, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mend = c.Mend
	if len(c.Owners) != len(w.orders.VIPs) {
		w.owners = nil
		return
	}
	before := w.owners
	w.owners = make([]vip.Holder, len(c.Owners))
	for i, o := range c.Owners {
		since := now.Add(-o.For)
		if i < len(before) && before[i].MAC == o.MAC && before[i].Since.Before(since) {
			since = before[i].Since // an acknowledgement that is old tells of a later time
		}
		w.owners[i] = vip.Holder{MAC: o.MAC, Since: since}
	}
}

const (
	// mendEvery is how often the ways are looked at, neighbourEvery how often at most
	// the entry of one VIP is forgotten.
	mendEvery      = 500 * time.Millisecond
	neighbourEvery = 2 * time.Second
)

// tend looks at the ways to the VIPs and mends them, as far as that is permitted.
func (w *ways) tend(context.Context) {
	a := w.a
	a.mu.Lock()
	sender := a.sender
	a.mu.Unlock()
	w.mu.Lock()
	orders := w.orders
	w.mu.Unlock()
	w.other.gone(orders)
	if sender == nil || len(orders.VIPs) == 0 || a.cfg.VIP.Repair == config.RepairOff || a.seams.Ask != nil {
		return
	}
	contacts := sender.Contacts()
	for _, c := range contacts {
		if c.Leader == c.ID && !c.Heard.IsZero() {
			w.hear(c, a.clock.Now())
		}
	}
	w.mu.Lock()
	owners, mend := w.owners, w.mend && a.cfg.VIP.Repair == config.RepairOn
	w.mu.Unlock()
	var living []vip.Connection
	hanging := 0
	for i, v := range orders.VIPs {
		way, err := w.hands.Way(v)
		if err != nil {
			a.log.Debug("the way to a VIP cannot be read", "vip", v.Name, "reason", err)
			continue
		}
		living = append(living, way.Connections...)
		if i < len(owners) && owners[i].MAC != (detector.MAC{}) {
			way.Holder = &owners[i]
		}
		way.Answered = w.paths.Answered(v.Name)
		ports := portsAt(orders.Targets, v.Name)
		for _, r := range vip.Repairs(way, ports, a.clock.Now(), vip.Spread(a.cfg.Host)) {
			if r.Kind == vip.RepairConnection {
				hanging++
			}
			w.repair(v, r, mend)
		}
		settled := way.Holder != nil && (way.Neighbour == nil || way.Neighbour.MAC == way.Holder.MAC)
		w.other.step(v, settled, mayDetour(contacts, a.clock.Now()), w.paths)
	}
	w.hands.Forget(living)
	w.paths.Hanging(hanging)
}

func portsAt(targets []vip.Target, name string) (ports []uint16) {
	for _, t := range targets {
		if t.VIP == name && !t.Informs {
			ports = append(ports, t.Address.Port())
		}
	}
	return ports
}

// repair does one thing, or says once what it would do.
func (w *ways) repair(v vip.VIP, r vip.Repair, mend bool) {
	log := w.a.log.With("vip", v.Name, "repair", r.Kind, "reason", r.Why)
	if r.Kind == vip.RepairConnection {
		log = log.With("local", r.Connection.Local, "remote", r.Connection.Remote)
	}
	if !mend {
		if key := v.Name + string(r.Kind) + r.Connection.Local.String(); !w.told[key] {
			if len(w.told) > 1000 {
				clear(w.told)
			}
			w.told[key] = true
			log.Info("would mend the way to the control plane (dry run)")
		}
		return
	}
	now := w.a.clock.Now()
	if r.Kind == vip.RepairNeighbour {
		if now.Sub(w.mended[v.Name]) < neighbourEvery {
			return
		}
		w.mended[v.Name] = now
	}
	if w.barred != "" && r.Kind == vip.RepairConnection {
		return
	}
	switch err := w.hands.Do(v, r); {
	case errors.Is(err, watch.ErrNoSweep):
		w.barred = err.Error()
		log.Warn("connections that hang cannot be ended on this host", "error", err)
	case err != nil:
		log.Warn("the way to the control plane was not mended", "error", err)
	default:
		w.mu.Lock()
		w.did[r.Kind]++
		w.mu.Unlock()
		log.Info("mended the way to the control plane")
	}
}
