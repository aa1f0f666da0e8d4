package app

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector/clock"
	"github.com/lifeboat-ha/lifeboat/detector/vip"
	"github.com/lifeboat-ha/lifeboat/evacuate"
)

// view is all that is known at this instant. The clocks are read before the kernel.
func (w *owning) view() vip.OwnView {
	_, _ = w.moment()
	c := w.x.c
	v := vip.OwnView{Leases: map[string]vip.Lease{}, Fit: w.fit()}
	c.machine.Locked(func(s *evacuate.State) {
		v.Generation = s.Generation
		for name, l := range s.Leases {
			v.Leases[name] = vip.Lease{Holder: l.Holder, Epoch: l.Epoch, Seq: l.Seq, Nonce: l.Nonce, Free: l.Free, Adopting: l.Adopting, Wish: l.Wish, Ready: l.Ready}
		}
	})
	for name, l := range v.Leases {
		l.Age = w.x.stored.age(c.machine.Leased(name))
		v.Leases[name] = l
	}
	for _, p := range c.ledger.Voters() {
		v.Voters++
		v.Votes = v.Votes || p.ID == c.id
	}
	ground, err := w.kernel.Look()
	w.fault("look", err)
	v.Ground = map[string]vip.Ground{}
	s := w.x.sight()
	for _, one := range w.vips {
		g, ok := ground[one.Name]
		if !ok {
			g.Link = "this machine's addresses cannot be read"
		}
		v.Ground[one.Name] = surround(g, one, s)
	}
	fit := c.vips.unfit(s)
	for _, one := range w.vips {
		f := fit
		f.Not = cmp.Or(v.Ground[one.Name].Link, v.Ground[one.Name].Blind, f.Not)
		if v.Fit[one.Name] == nil {
			v.Fit[one.Name] = map[string]vip.Fitness{}
		}
		v.Fit[one.Name][c.id] = f
	}
	return v
}

// surround adds what this controller's own eyes see around an address.
func surround(g vip.Ground, v vip.VIP, s *vip.Sight) vip.Ground {
	if s == nil {
		g.Blind = "this controller does not watch it"
		return g
	}
	i := slices.IndexFunc(s.VIPs, func(a vip.AddressSight) bool { return a.Name == v.Name })
	if i < 0 || !s.VIPs[i].Asks || !s.VIPs[i].Listens {
		g.Blind = strings.Join(append([]string{"it cannot be watched from here"}, s.Cannot...), ": ")
		return g
	}
	for _, ad := range s.VIPs[i].Adverts {
		switch {
		case !ad.Lives():
		case ad.Own:
			g.OwnVRRP = true
		default:
			g.VRRP = ad.Source.String()
		}
	}
	for _, a := range s.VIPs[i].Answers {
		if a.Age <= rivalFresh && !slices.Contains(s.MACs, a.MAC) && !slices.Contains(v.Allowed, a.MAC) {
			g.Rival = a.MAC.String()
		}
	}
	return g
}

// unfit is what ails this controller, whatever the address.
func (x *vips) unfit(s *vip.Sight) (f vip.Fitness) {
	if s == nil {
		return f
	}
	if x.c.cfg.VIP.HAProxySocket != "" {
		if s.Proxy == nil {
			f.Not = "its HAProxy does not answer"
		} else {
			f.Score = 10 * len(s.Proxy.Down)
		}
	}
	rows := x.rows(x.c.clock.Now())
	if vip.Reach(x.targets, rows, s.Addresses, x.c.observer.judge.PathFresh) < vip.ReachLeast {
		f.Score += 5
	}
	return f
}

// fit is how fit others are, as lately told.
func (w *owning) fit() fitness {
	out := fitness{}
	add := func(from fitness) {
		for name, all := range from {
			if out[name] == nil {
				out[name] = map[string]vip.Fitness{}
			}
			maps.Copy(out[name], all)
		}
	}
	w.mu.Lock()
	if w.x.c.clock.Now().Sub(w.at) <= vip.SightFresh {
		add(w.heard)
	}
	w.mu.Unlock()
	if w.x.c.leads() {
		add(w.x.fitness())
	}
	return out
}

// fitness is what controllers have lately said of themselves to this one.
func (x *vips) fitness() fitness {
	if x.own == nil {
		return nil
	}
	now, out := x.c.clock.Now(), fitness{}
	x.mu.Lock()
	defer x.mu.Unlock()
	for id, s := range x.sights {
		for _, a := range s.VIPs {
			if a.Own == nil || now.Sub(s.at) > vip.SightFresh {
				continue
			}
			if out[a.Name] == nil {
				out[a.Name] = map[string]vip.Fitness{}
			}
			out[a.Name][string(id)] = a.Own.Fit
		}
	}
	return out
}

// learn takes what the leader tells of the others.
func (x *vips) learn(f fitness) {
	if x.own == nil || f == nil {
		return
	}
	x.own.mu.Lock()
	defer x.own.mu.Unlock()
	x.own.heard, x.own.at = f, x.c.clock.Now()
}

// remember keeps this controller's own word, and logs what is new in it.
func (w *owning) remember(v vip.OwnView) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, one := range w.vips {
		st := w.tenant.State(one.Name)
		w.words[one.Name] = vip.OwnWord{OwnState: st, Fit: v.Fit[one.Name][w.x.c.id]}
		if word := st.Phase + " " + st.Why; w.said[one.Name] != word {
			w.said[one.Name] = word
			w.x.c.log.Info("an address that Lifeboat moves", "vip", one.Name, "phase", st.Phase, "epoch", st.Epoch, "reason", st.Why)
		}
	}
}

// tell adds it to this controller's sight.
func (w *owning) tell(s *vip.Sight) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if why := w.said["!guard"]; why != "" {
		s.Cannot = append(s.Cannot, "guard by nftables: "+why)
	}
	for i := range s.VIPs {
		if word, ok := w.words[s.VIPs[i].Name]; ok {
			s.VIPs[i].Own = &word
		}
	}
}

func (w *owning) owns(name string) bool {
	return w != nil && slices.ContainsFunc(w.vips, func(v vip.VIP) bool { return v.Name == name })
}

// fault logs a failure once until it changes.
func (w *owning) fault(what string, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	w.mu.Lock()
	before := w.said["!"+what]
	w.said["!"+what] = text
	w.mu.Unlock()
	if err != nil && before != text {
		w.x.c.log.Warn("an address that Lifeboat moves: something failed", "what", what, "reason", err)
	}
}

// storedAt remembers when this replica stored the last entries: that was before it
// applied them, most of all where a leader died in between.
type storedAt struct {
	read func() clock.Reading

	mu sync.Mutex
	at map[uint64]clock.Reading
}

// storedMost bounds what is remembered.
const storedMost = 1024

func (s *storedAt) note(first, last uint64) {
	now := s.read()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := first; i <= last; i++ {
		s.at[i] = now
		delete(s.at, i-storedMost)
	}
}

// age is for how long an entry has been stored here at least, 0 where that is not known
// or the clocks have contradicted each other since.
func (s *storedAt) age(index uint64) time.Duration {
	s.mu.Lock()
	at, ok := s.at[index]
	s.mu.Unlock()
	if !ok {
		return 0
	}
	if _, least, jumped := clock.Span(at, s.read()); !jumped {
		return least
	}
	return 0
}
