package vip

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
)

// RouteView is what a host knows of its way to one VIP when it may take another: by a
// controller that accepts the VIP's traffic without having the address.
type RouteView struct {
	Now time.Time
	// Vias are the controllers that accept it, by their own addresses.
	Vias []netip.Addr
	// Settled says that one machine alone has the VIP, and that this host's kernel knows
	// of no other: what can be mended otherwise is mended first.
	Settled bool
	// Word is what the services at the VIP came to by the way in use, Asked when.
	Word  detector.PathWord
	Asked time.Time
	// Peers of PeersAsked other hosts reached it then.
	Peers, PeersAsked int
	// InUse is by whom the way goes that was set; none: the usual way.
	InUse netip.Addr
	// Usual is what the usual way came to meanwhile; UsualAt is zero where nobody asked.
	Usual   detector.PathWord
	UsualAt time.Time
}

// RouteStep is what to do about a way: to go by Via, or, where Via is none, the usual
// way again.
type RouteStep struct {
	Via netip.Addr
	Why string
}

const (
	// routeAfter is for how long nothing may answer before another way is taken, or left.
	routeAfter = 3 * time.Second
	// routeBack is for how long the usual way must be well before it is taken again.
	routeBack = time.Minute
	// routeAgain is how long one controller is left alone that led nowhere, routeEvery
	// how often at most another way is taken.
	routeAgain = 5 * time.Minute
	routeEvery = 10 * time.Second
	// usualFresh is the greatest age of a word of the usual way: it is asked each 2 s.
	usualFresh = 6 * time.Second
)

// Detour decides on one host's way to one VIP. It is not safe for concurrent use.
type Detour struct {
	// ill is since when nothing answers by the way in use, well since when the usual way
	// does; began is when the way in use was taken.
	ill, well, began time.Time
	tried            map[netip.Addr]time.Time
	turn             int
}

// NewDetour begins with a controller that differs from host to host.
func NewDetour(host string) *Detour {
	return &Detour{tried: map[netip.Addr]time.Time{}, turn: int(Spread(host) / time.Millisecond)}
}

// Step says what is due, false where nothing is. What it says is tried once: a way that
// was not taken is asked for again after routeEvery.
func (d *Detour) Step(v RouteView) (RouteStep, bool) {
	if v.InUse.IsValid() {
		return d.keep(v)
	}
	// A kernel that says no, or a service that says nonsense, is there: no way is wrong.
	if v.Asked.IsZero() || v.Word != detector.PathSilent {
		d.ill = time.Time{}
		return RouteStep{}, false
	}
	if d.ill.IsZero() {
		d.ill = v.Asked
	}
	if !v.Settled || v.Asked.Sub(d.ill) < routeAfter || 2*v.Peers <= v.PeersAsked || !d.began.IsZero() && v.Now.Sub(d.began) < routeEvery {
		return RouteStep{}, false
	}
	silent := v.Asked.Sub(d.ill)
	for i := range v.Vias {
		via := v.Vias[(d.turn+i)%len(v.Vias)]
		if at, tried := d.tried[via]; tried && v.Now.Sub(at) < routeAgain {
			continue
		}
		d.began, d.ill, d.well = v.Now, time.Time{}, time.Time{}
		return RouteStep{via, fmt.Sprintf("nothing has answered there for %s, and %d of %d other hosts reach it", round(silent), v.Peers, v.PeersAsked)}, true
	}
	return RouteStep{}, false
}

// keep looks after the way that was taken.
func (d *Detour) keep(v RouteView) (RouteStep, bool) {
	if v.UsualAt.IsZero() || v.Now.Sub(v.UsualAt) > usualFresh || v.Usual != detector.PathOK {
		d.well = time.Time{}
	} else if d.well.IsZero() {
		d.well = v.UsualAt
	}
	if v.Word == detector.PathOK || !v.Asked.After(d.began) {
		d.ill = time.Time{}
	} else if d.ill.IsZero() {
		d.ill = v.Asked
	}
	back := func(why string) (RouteStep, bool) {
		d.ill, d.well = time.Time{}, time.Time{}
		return RouteStep{Why: why}, true
	}
	switch {
	case !slices.Contains(v.Vias, v.InUse):
		return back("the controllers do not name it any more")
	case !d.well.IsZero() && v.UsualAt.Sub(d.well) >= routeBack:
		return back(fmt.Sprintf("the usual way has been well for %s", round(v.UsualAt.Sub(d.well))))
	case !d.ill.IsZero() && v.Asked.Sub(d.ill) >= routeAfter:
		d.tried[v.InUse] = v.Now
		return back("it does not lead there either")
	}
	return RouteStep{}, false
}
