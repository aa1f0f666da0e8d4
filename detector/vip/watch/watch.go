// Package watch looks at the control plane's address from one controller: its own
// kernel's addresses, a census of who answers, VRRP as it passes by, its HAProxy and
// its services. It judges nothing: detector/vip does that; Hands and Holder do what
// that says. What
// this machine does not permit it says so, and goes on with the rest.
package watch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/detector/vip"
)

// Options are what a Watcher is made of.
type Options struct {
	Controller detector.Observer
	VIPs       []vip.VIP
	// Interfaces name a VIP's interface, by the VIP's name; without one it is that of
	// the route to it.
	Interfaces map[string]string
	// Census asks who has each VIP (needs CAP_NET_RAW); otherwise nobody is asked.
	Census bool
	// HAProxy is the path of its statistics socket; "": not asked.
	HAProxy string
	// Outside is a service at each VIP that is asked from here, by the VIP's name.
	Outside map[string]vip.Target
	Now     func() time.Time
	Log     *slog.Logger
}

const (
	// askEvery is how often the census asks for each VIP.
	askEvery = 400 * time.Millisecond
	// lookEvery is how often addresses are read again, beside what the kernel tells.
	lookEvery = time.Second
	// proxyEvery and proxyTime are how often HAProxy is asked, and how long.
	proxyEvery = time.Second
	proxyTime  = 800 * time.Millisecond
	// outsideFresh is how long an outside answer is told.
	outsideFresh = 4 * time.Second
	// forget is when a sender or an owner that is silent is no more told of.
	forget = time.Minute
)

// Watcher watches until it is closed. Its methods may be called at any time.
type Watcher struct {
	o      Options
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	macs    []detector.MAC
	own     []netip.Addr
	vips    map[string]*watched
	proxy   *vip.Proxy
	proxied time.Time
	cannot  map[string]string // by what
}

// watched is one VIP.
type watched struct {
	holds   bool
	since   time.Time
	mac     detector.MAC
	asks    bool
	answers map[detector.MAC]*answered
	listens bool
	adverts map[string]*advert // by sender and whether it is us
	outside *detector.PathWord
	asked   time.Time
}

type answered struct{ first, last time.Time }

type advert struct {
	vip.Advert
	at time.Time
}

// Open begins to watch. It fails only if nothing at all can be looked at.
func Open(ctx context.Context, o Options) (*Watcher, error) {
	if o.Now == nil || o.Log == nil || len(o.VIPs) == 0 {
		return nil, errors.New("watch: no clock, no log or no VIP given")
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &Watcher{o: o, cancel: cancel, vips: map[string]*watched{}, cannot: map[string]string{}}
	for _, v := range o.VIPs {
		w.vips[v.Name] = &watched{answers: map[detector.MAC]*answered{}, adverts: map[string]*advert{}}
	}
	if err := w.addresses(); err != nil {
		cancel()
		return nil, err
	}
	w.wg.Go(func() { w.follow(ctx) })
	for _, v := range o.VIPs {
		w.wg.Go(func() { w.keep(ctx, "census of "+v.Name, func(ctx context.Context) error { return w.census(ctx, v) }) })
		w.wg.Go(func() { w.keep(ctx, "VRRP of "+v.Name, func(ctx context.Context) error { return w.listen(ctx, v) }) })
		if t, ok := o.Outside[v.Name]; ok {
			w.wg.Go(func() { w.ask(ctx, v, t) })
		}
	}
	if o.HAProxy != "" {
		w.wg.Go(func() { w.askProxy(ctx) })
	}
	return w, nil
}

// Close ends it.
func (w *Watcher) Close() error {
	w.cancel()
	w.wg.Wait()
	return nil
}

// keep runs one look until ctx ends, again after it has failed: an interface may come
// later. What fails is told of, in the log once.
func (w *Watcher) keep(ctx context.Context, what string, look func(context.Context) error) {
	for ctx.Err() == nil {
		err := look(ctx)
		if ctx.Err() != nil || err == nil {
			return
		}
		w.cannotDo(what, err)
		pause(ctx, lookEvery)
	}
}

func (w *Watcher) cannotDo(what string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cannot[what] != err.Error() {
		w.o.Log.Warn("cannot watch all of the VIP", "what", what, "reason", err)
	}
	w.cannot[what] = err.Error()
}

func (w *Watcher) can(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.cannot, what)
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// Sight is what is seen at this instant.
func (w *Watcher) Sight() vip.Sight {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.o.Now()
	s := vip.Sight{Controller: w.o.Controller, MACs: slices.Clone(w.macs), Addresses: slices.Clone(w.own)}
	if w.proxy != nil && now.Sub(w.proxied) <= outsideFresh {
		s.Proxy = w.proxy
	}
	for _, what := range slices.Sorted(maps.Keys(w.cannot)) {
		s.Cannot = append(s.Cannot, what+": "+w.cannot[what])
	}
	for _, v := range w.o.VIPs {
		s.VIPs = append(s.VIPs, w.vips[v.Name].sight(v.Name, now))
	}
	return s
}

func (x *watched) sight(name string, now time.Time) vip.AddressSight {
	a := vip.AddressSight{Name: name, Holds: x.holds, Asks: x.asks, Listens: x.listens}
	if x.holds {
		a.HeldFor, a.MAC = now.Sub(x.since), x.mac
	}
	for mac, seen := range x.answers {
		if now.Sub(seen.last) > forget {
			delete(x.answers, mac)
			continue
		}
		a.Answers = append(a.Answers, vip.Answer{MAC: mac, Age: now.Sub(seen.last), For: seen.last.Sub(seen.first)})
	}
	slices.SortFunc(a.Answers, func(p, q vip.Answer) int { return strings.Compare(p.MAC.String(), q.MAC.String()) })
	for _, key := range slices.Sorted(maps.Keys(x.adverts)) {
		ad := x.adverts[key]
		if now.Sub(ad.at) > forget {
			delete(x.adverts, key)
			continue
		}
		one := ad.Advert
		one.Age = now.Sub(ad.at)
		a.Adverts = append(a.Adverts, one)
	}
	if x.outside != nil && now.Sub(x.asked) <= outsideFresh {
		word := *x.outside
		a.Outside = &word
	}
	return a
}

// hear notes a frame that says who has a VIP. A gap of more than two questions ends
// a row of answers.
func (w *Watcher) hear(name string, mac detector.MAC) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.o.Now()
	x := w.vips[name]
	seen := x.answers[mac]
	if seen == nil || now.Sub(seen.last) > 5*askEvery/2 {
		seen = &answered{first: now}
		x.answers[mac] = seen
	}
	seen.last = now
}

// advertised notes an advertisement.
func (w *Watcher) advertised(name string, v vip.VRRP, own bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	ad := vip.Advert{Source: v.Source, Router: v.Router, Priority: v.Priority, Every: v.Every, Own: own}
	w.vips[name].adverts[fmt.Sprintf("%s %d %t", v.Source, v.Router, own)] = &advert{ad, w.o.Now()}
}
