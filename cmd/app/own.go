package app

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/lifeboat-ha/lifeboat/config"
	"github.com/lifeboat-ha/lifeboat/detector/clock"
	"github.com/lifeboat-ha/lifeboat/detector/vip"
	"github.com/lifeboat-ha/lifeboat/detector/vip/watch"
	"github.com/lifeboat-ha/lifeboat/evacuate"
)

// Kernel is what puts addresses on this machine and takes them off (watch.Holder).
type Kernel interface {
	Look() (map[string]vip.Ground, error)
	Place(orders []vip.Placing) error
	Drop(name string) error
	Sweep(name string) (ended int, err error)
	Announce(name string) error
	Probe(ctx context.Context, name string) (heard []string, err error)
}

// guarding is a Kernel that enforces leases by a firewall, too.
type guarding interface {
	Unguarded() error
	Unguard() error
}

func guardedOf(cfg config.VIP) map[string]bool {
	all := map[string]bool{}
	for _, a := range cfg.Addresses {
		all[a.Name] = a.Guard == config.VIPGuard
	}
	return all
}

// owning moves the addresses that the file says are Lifeboat's: it looks, asks
// vip.Tenant, and does what that says. It has a goroutine of its own, which never
// waits for the network.
type owning struct {
	x      *vips
	vips   []vip.VIP
	kernel Kernel
	kick   chan struct{}
	asks   sync.WaitGroup

	mu     sync.Mutex
	tenant *vip.Tenant
	read   clock.Reading
	now    vip.Moment
	jumped bool
	heard  fitness // of others, as the leader told
	at     time.Time
	words  map[string]vip.OwnWord
	said   map[string]string // the last word about each address, and the last fault
}

// fitness is how fit each controller is, by address and controller.
type fitness map[string]map[string]vip.Fitness

const (
	// ownEvery is how often it looks when nothing happens.
	ownEvery = 50 * time.Millisecond
	// askMost is how long one request to the ledger may take.
	askMost = 1500 * time.Millisecond
	// leaveMost is how long an orderly end may take to hand addresses over.
	leaveMost = 4 * time.Second
	// rivalFresh is for how long an answer of another says that it has the address.
	rivalFresh = time.Second
)

// newOwning gives nil where there is nothing to own.
func newOwning(x *vips) *owning {
	w := &owning{x: x, kick: make(chan struct{}, 1), words: map[string]vip.OwnWord{}, said: map[string]string{}}
	var names []string
	for i, a := range x.c.cfg.VIP.Addresses {
		if a.Own && len(x.vips) > 0 {
			w.vips, names = append(w.vips, x.vips[i]), append(names, a.Name)
		}
	}
	switch {
	case len(names) == 0:
		return nil
	case x.c.seams.Kernel != nil:
		w.kernel = x.c.seams.Kernel(w.most)
	case x.watcher == nil:
		x.c.log.Error("this controller owns no address: it cannot watch them")
		return nil
	default:
		w.kernel = &watch.Holder{VIPs: w.vips, Interfaces: interfacesOf(x.c.cfg.VIP), Most: w.most, Guarded: guardedOf(x.c.cfg.VIP)}
	}
	w.tenant = vip.NewTenant(x.c.id, newStart(), names)
	w.read = x.c.clock.Read()
	return w
}

// moment counts on, from reading to reading.
func (w *owning) moment() (vip.Moment, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.x.c.clock.Read()
	most, least, jumped := clock.Span(w.read, now)
	w.read, w.now = now, vip.Moment{Most: w.now.Most + most, Least: w.now.Least + least}
	w.jumped = w.jumped || jumped
	return w.now, w.jumped
}

func (w *owning) most() time.Duration {
	now, _ := w.moment()
	return now.Most
}

func (w *owning) wake() {
	select {
	case w.kick <- struct{}{}:
	default:
	}
}

func (w *owning) run(ctx context.Context) {
	tick := time.NewTicker(ownEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		w.once(ctx, false)
		select {
		case <-ctx.Done():
		case <-tick.C:
		case <-w.kick:
		case <-w.x.c.machine.changed:
		}
	}
	if !w.x.c.killed.Load() {
		w.leave(context.WithoutCancel(ctx), tick)
	}
	w.asks.Wait()
}

// leave hands over what is held, and takes it off here whatever comes of that.
func (w *owning) leave(ctx context.Context, tick *time.Ticker) {
	ctx, cancel := context.WithTimeout(ctx, leaveMost)
	defer cancel()
	for busy := true; busy && ctx.Err() == nil; {
		w.once(ctx, true)
		w.mu.Lock()
		busy = slices.ContainsFunc(w.vips, func(v vip.VIP) bool { return w.tenant.State(v.Name).Phase != vip.OwnNone })
		w.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-tick.C:
		case <-w.kick:
		case <-w.x.c.machine.changed:
		}
	}
	for _, v := range w.vips {
		w.fault("drop", w.kernel.Drop(v.Name))
	}
	if g, ok := w.kernel.(guarding); ok {
		w.fault("guard", g.Unguard())
	}
}

// once looks and acts.
func (w *owning) once(ctx context.Context, leaving bool) {
	v := w.view()
	v.Leaving = leaving
	w.mu.Lock()
	v.Now, v.Jumped, w.jumped = w.now, w.jumped, false
	o := w.tenant.Step(v)
	w.mu.Unlock()
	for _, name := range o.Drop {
		w.fault("drop", w.kernel.Drop(name))
		w.asks.Go(func() {
			if n, err := w.kernel.Sweep(name); n > 0 || err != nil {
				w.x.c.log.Info("connections from an address that was given up are ended", "vip", name, "count", n, "reason", err)
			}
		})
	}
	if len(o.Place) > 0 {
		w.fault("place", w.kernel.Place(o.Place))
		if g, ok := w.kernel.(guarding); ok {
			w.fault("guard", g.Unguarded())
		}
	}
	for _, name := range o.Announce {
		w.fault("announce", w.kernel.Announce(name))
	}
	for _, name := range o.Probe {
		w.asks.Go(func() { w.probe(ctx, name) })
	}
	for _, q := range o.Ask {
		w.asks.Go(func() { w.ask(ctx, q) })
	}
	if len(o.Drop)+len(o.Place) > 0 {
		w.wake() // what that came to
	}
	w.remember(v)
}

func (w *owning) probe(ctx context.Context, name string) {
	heard, err := w.kernel.Probe(ctx, name)
	text := ""
	if err != nil {
		text = err.Error()
	}
	w.mu.Lock()
	w.tenant.Probed(name, heard, text)
	w.mu.Unlock()
	w.wake()
}

// ask puts one request to the ledger, through whoever leads.
func (w *owning) ask(ctx context.Context, q vip.LeaseAsk) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askMost)
	defer cancel()
	err := w.x.c.applyAnywhere(ctx, entryOf(q, w.x.c.id, w.x.c.clock.Now()))
	w.mu.Lock()
	if err == nil {
		w.tenant.Committed(q.Nonce)
	} else {
		w.tenant.Refused(q.Nonce, err.Error())
	}
	w.mu.Unlock()
	if err != nil {
		w.x.c.log.Debug("a request for a lease was not taken", "act", q.Act, "nonce", q.Nonce, "reason", err)
	}
	w.wake()
}

func entryOf(q vip.LeaseAsk, id string, now time.Time) evacuate.Entry {
	step := &evacuate.VIPLeaseStep{Act: evacuate.LeaseAct(q.Act), Node: id, Generation: q.Generation, Nonce: q.Nonce}
	for _, of := range q.Of {
		step.Of = append(step.Of, evacuate.VIPLeaseAsk{VIP: of.VIP, Epoch: of.Epoch, Seq: of.Seq, Placed: of.Placed, Adopted: of.Adopted, Gap: of.Gap, To: of.To, Why: of.Why})
	}
	return evacuate.Entry{Kind: evacuate.KindVIPLease, At: now, By: id, Lease: step}
}

// mayForward: a controller speaks for itself.
func mayForward(id string, q *evacuate.VIPLeaseStep) bool {
	acts := []evacuate.LeaseAct{evacuate.LeaseClaim, evacuate.LeaseRenew, evacuate.LeaseRelease, evacuate.LeaseReady, evacuate.LeaseWish}
	return q != nil && q.Node == id && slices.Contains(acts, q.Act)
}

// clear takes off this machine what an earlier process may have left there.
func (x *vips) clear() {
	if x.c.seams.Kernel != nil || x.c.seams.Network != nil {
		return
	}
	if err := releaseVIPs(x.c.cfg); err != nil {
		x.c.log.Warn("what an earlier process may have left is still there", "reason", err)
	}
}

// ReleaseVIPs does the same from outside: it is for systemd's ExecStopPost.
func ReleaseVIPs(path string) error {
	cfg, err := config.LoadController(path)
	if err != nil {
		return err
	}
	return releaseVIPs(cfg)
}

func releaseVIPs(cfg *config.Controller) error {
	h := &watch.Holder{VIPs: vipsOf(cfg.VIP)}
	var errs []error
	for _, a := range cfg.VIP.Addresses {
		if a.Own {
			errs = append(errs, h.Drop(a.Name))
		}
	}
	if len(errs) > 0 { // after the addresses: what it may keep shut is gone by then
		errs = append(errs, h.Unguard())
	}
	return errors.Join(errs...)
}
