package app

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/lifeboat-ha/lifeboat/config"
	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/detector/vip"
	"github.com/lifeboat-ha/lifeboat/detector/vip/watch"
	"github.com/lifeboat-ha/lifeboat/evacuate"
)

// addressHands do to an address what a Mend says (watch.Holder).
type addressHands interface {
	Announce(name string) error
	TakeOff(name string) error
}

// mends is a controller's part in mending what somebody else's addresses suffer from:
// the leader orders, each does as its own file and eyes permit.
type mends struct {
	x     *vips
	hands addressHands // nil: this machine is not real

	mu     sync.Mutex
	orders map[detector.Observer][]mendOrder
	words  map[string]vip.MendWord
}

type mendOrder struct {
	Mend vip.Mend `json:"mend"`
	// Dry says that the mode in force, or a freeze, permits no more than to say so.
	Dry bool `json:"dry,omitempty"`
	at  time.Time
}

// mendFresh is for how long an order waits for a report to be answered.
const mendFresh = 3 * time.Second

func newMends(x *vips) *mends {
	m := &mends{x: x, orders: map[detector.Observer][]mendOrder{}, words: map[string]vip.MendWord{}}
	if x.c.seams.Network != nil || x.c.seams.VIP != nil {
		return m
	}
	m.hands = &watch.Holder{VIPs: x.vips, Interfaces: interfacesOf(x.c.cfg.VIP)}
	return m
}

// order keeps what others are to do until they report, and does this controller's own.
func (m *mends) order(all []vip.Mend, now time.Time) {
	for _, q := range all {
		o := mendOrder{Mend: q, Dry: !m.x.c.mayMend(), at: now}
		m.x.c.log.Info("an address is to be mended", "vip", q.VIP, "node", q.Node, "what", q.Kind, "reason", q.Why, "dry", o.Dry)
		if q.Node == m.x.c.observer.id {
			m.x.c.stop.wg.Go(func() { m.do([]mendOrder{o}) })
			continue
		}
		m.mu.Lock()
		m.orders[q.Node] = append(m.orders[q.Node], o)
		m.mu.Unlock()
	}
}

// take gives a controller its orders, once.
func (m *mends) take(id string) []mendOrder {
	m.mu.Lock()
	defer m.mu.Unlock()
	all, now := m.orders[detector.Observer(id)], m.x.c.clock.Now()
	delete(m.orders, detector.Observer(id))
	return slices.DeleteFunc(all, func(o mendOrder) bool { return now.Sub(o.at) > mendFresh })
}

// mayMend: as on hosts, nothing is touched in a mode that only watches, nor while
// everything is frozen.
func (c *Controller) mayMend() bool {
	may := false
	c.machine.Locked(func(s *evacuate.State) {
		may = (s.Mode == evacuate.ModeApprove || s.Mode == evacuate.ModeAuto) && !s.Frozen
	})
	return may && c.frozen() == ""
}

// do carries out what the leader has ordered, as far as this controller's own file and
// eyes agree.
func (m *mends) do(all []mendOrder) {
	for _, o := range all {
		q, cfg := o.Mend, m.x.c.cfg.VIP
		policy, act := cfg.Announce, func() error { return m.hands.Announce(q.VIP) }
		if q.Kind == vip.MendOrphan {
			policy, act = cfg.Orphans, func() error { return m.takeOff(q.VIP) }
		}
		if q.Node != m.x.c.observer.id || m.hands == nil || policy == config.RepairOff || m.x.own.owns(q.VIP) && q.Kind == vip.MendOrphan {
			continue
		}
		dry := o.Dry || policy == config.RepairDryRun || !m.x.c.mayMend()
		var err error
		if !dry {
			err = act()
		}
		m.note(q, dry, err)
	}
}

// takeOff looks once more with this controller's own eyes.
func (m *mends) takeOff(name string) error {
	s := m.x.sight()
	if s == nil {
		return fmt.Errorf("take %s off: this controller does not watch it", name)
	}
	i := slices.IndexFunc(s.VIPs, func(a vip.AddressSight) bool { return a.Name == name })
	if i < 0 || !vip.MayTakeOff(s.VIPs[i]) {
		return fmt.Errorf("take %s off: this controller itself does not see that it is an orphan", name)
	}
	return m.hands.TakeOff(name)
}

func (m *mends) note(q vip.Mend, dry bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	w := m.words[q.VIP]
	switch {
	case err != nil:
		m.x.c.log.Warn("an address was not mended", "vip", q.VIP, "what", q.Kind, "reason", err)
		return
	case dry:
		w.Would++
	case q.Kind == vip.MendOrphan:
		w.TakenOff++
	default:
		w.Announced++
	}
	w.Why = q.Why
	m.words[q.VIP] = w
	m.x.c.log.Info("an address was mended", "vip", q.VIP, "what", q.Kind, "reason", q.Why, "dry", dry)
}

// tell adds it to this controller's sight.
func (m *mends) tell(s *vip.Sight) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range s.VIPs {
		if w, ok := m.words[s.VIPs[i].Name]; ok {
			s.VIPs[i].Mended = &w
		}
	}
}

// mended finds what controllers have mended since the look before, for the journal.
func (x *vips) countMends() {
	for id, s := range x.sights {
		for _, a := range s.VIPs {
			key := string(id) + " " + a.Name
			now := vip.MendWord{}
			if a.Mended != nil {
				now = *a.Mended
			}
			before, known := x.mendedBy[key]
			x.mendedBy[key] = now
			text := now.Since(before, string(id), a.Name)
			if known && text != "" && len(x.news) < newsMost {
				x.news = append(x.news, text)
			}
		}
	}
}
