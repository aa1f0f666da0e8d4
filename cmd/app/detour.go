package app

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/lifeboat-ha/lifeboat/config"
	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/detector/heartbeat"
	"github.com/lifeboat-ha/lifeboat/detector/vip"
	"github.com/lifeboat-ha/lifeboat/detector/vip/watch"
)

// detours are a host's other ways to VIPs (repair R3): by a controller that accepts the
// VIP's traffic without having it, for as long as the usual way is broken.
type detours struct {
	a     *Agent
	hands watch.Detours
	ways  map[string]*vip.Detour

	mu    sync.Mutex
	inUse map[string]netip.Addr // by VIP
	usual map[string]usualWord
	taken int
}

type usualWord struct {
	word detector.PathWord
	at   time.Time
}

const (
	// wordOld is how old a controller's word may be that permits another way, ownerOld how
	// old the leader's that says who has the address: what is broken may be the way to it.
	wordOld  = 10 * time.Second
	ownerOld = time.Minute
)

// mayDetour says that all controllers that are heard permit repairs, one at least, and
// that the leader was heard lately.
func mayDetour(contacts []heartbeat.Contact, now time.Time) bool {
	heard, permit, leader := 0, 0, false
	for _, c := range contacts {
		if c.Heard.IsZero() {
			continue
		}
		leader = leader || c.Leader == c.ID && now.Sub(c.Heard) <= ownerOld
		if now.Sub(c.Heard) <= wordOld {
			heard++
			if c.Mend {
				permit++
			}
		}
	}
	return leader && heard > 0 && permit == heard
}

func newDetours(a *Agent) *detours {
	return &detours{a: a, ways: map[string]*vip.Detour{}, inUse: map[string]netip.Addr{}, usual: map[string]usualWord{}}
}

// clear takes back what this or an earlier agent has set. It is done where no route may
// be set, too.
func (d *detours) clear() error {
	if d.a.seams.Ask != nil {
		return nil
	}
	d.mu.Lock()
	clear(d.inUse)
	d.mu.Unlock()
	return d.hands.Clear()
}

// ReleaseWays does the same from outside: it is for systemd's ExecStopPost.
func ReleaseWays() error { return watch.Detours{}.Clear() }

// count is how many VIPs are reached another way now, and how often one was taken.
func (d *detours) count() (now, taken int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.inUse), d.taken
}

// ask asks the usual way of each VIP that is reached another way.
func (d *detours) ask(ctx context.Context, orders vipOrders) {
	d.mu.Lock()
	due := map[string]bool{}
	for name := range d.inUse {
		due[name] = true
	}
	d.mu.Unlock()
	for _, t := range orders.Targets {
		if !due[t.VIP] || t.Informs {
			continue
		}
		delete(due, t.VIP) // one of its services stands for all
		at := d.a.clock.Now()
		word := watch.AskUsual(ctx, t)
		d.mu.Lock()
		d.usual[t.VIP] = usualWord{word, at}
		d.mu.Unlock()
	}
}

// step decides on the way to one VIP, and takes it. What is in use is looked after
// whatever is permitted meanwhile: going back restores what was there.
func (d *detours) step(v vip.VIP, settled, may bool, paths *watch.Paths) {
	policy := d.a.cfg.VIP.Route
	d.mu.Lock()
	via, usual := d.inUse[v.Name], d.usual[v.Name]
	d.mu.Unlock()
	if policy == config.RepairOff && !via.IsValid() {
		return
	}
	way := d.ways[v.Name]
	if way == nil {
		way = vip.NewDetour(d.a.cfg.Host)
		d.ways[v.Name] = way
	}
	view := vip.RouteView{Now: d.a.clock.Now(), Vias: v.Vias, Settled: settled, InUse: via, Usual: usual.word, UsualAt: usual.at}
	view.Word, view.Asked, view.PeersAsked, view.Peers = paths.At(v.Name)
	s, due := way.Step(view)
	if !due {
		return
	}
	log := d.a.log.With("vip", v.Name, "repair", vip.RepairRoute, "reason", s.Why)
	switch {
	case !s.Via.IsValid():
		if err := d.back(v); err != nil {
			log.Warn("the usual way to the control plane was not taken again", "error", err)
			return
		}
		log.Info("the usual way to the control plane is taken again", "former", via)
	case d.a.cfg.VIP.Repair != config.RepairOn || policy != config.RepairOn || !may:
		log.Info("would take another way to the control plane (dry run)", "via", s.Via)
	default:
		if err := d.hands.Set(v, s.Via); err != nil {
			log.Warn("another way to the control plane was not taken", "via", s.Via, "error", err)
			return
		}
		d.mu.Lock()
		d.inUse[v.Name] = s.Via
		d.taken++
		delete(d.usual, v.Name)
		d.mu.Unlock()
		log.Info("another way to the control plane is taken", "via", s.Via)
	}
}

func (d *detours) back(v vip.VIP) error {
	err := d.hands.Back(v)
	if err == nil {
		d.mu.Lock()
		delete(d.inUse, v.Name)
		d.mu.Unlock()
	}
	return err
}

// gone takes back the ways to VIPs that are watched no more.
func (d *detours) gone(orders vipOrders) {
	left := map[string]bool{}
	for _, v := range orders.VIPs {
		left[v.Name] = true
	}
	d.mu.Lock()
	lost := false
	for name := range d.inUse {
		lost = lost || !left[name]
	}
	d.mu.Unlock()
	if !lost {
		return
	}
	if err := d.clear(); err != nil {
		d.a.log.Warn("other ways to the control plane are left", "error", err)
	}
}
