package vip

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
)

// want tends an address that this controller does not hold: it clears what is left of
// it here, and claims it when nobody else can have it any more.
func (t *Tenant) want(name string, x *tenancy, v OwnView, o *OwnOrders) {
	l, g := v.Leases[name], v.Ground[name]
	t.clear(name, x, g, o)
	x.rival, x.better = nil, nil
	if l.Holder == t.me && (l.Adopting || l.Epoch == x.epoch) {
		return // renewed, not claimed
	}
	why := cmp.Or(t.refusal(v, g), g.Blind, v.Fit[name][t.me].Not)
	switch {
	case why != "":
		x.why = why
	case v.Jumped || v.Leaving || g.Here: // first of all it must be clear here
	case l.Wish == t.me && l.Holder != "" && v.Now.Least-x.seen.Least < LeaseWait-probeTime: // else its holder is silent
		t.ready(name, x, v, l, o)
	default:
		t.claim(name, x, v, l, o)
	}
}

// clear takes what Lifeboat has left off this kernel.
func (t *Tenant) clear(name string, x *tenancy, g Ground, o *OwnOrders) {
	x.placed, x.told = false, 0
	if g.Here && !g.Forever {
		o.Drop = append(o.Drop, name)
	}
}

// ready says that this controller can have it. Its time counts from here: what the
// holder gives, it gives because of this word.
func (t *Tenant) ready(name string, x *tenancy, v OwnView, l Lease, o *OwnOrders) {
	x.why = "it is to come here from " + l.Holder
	if t.mayAsk(x) {
		o.Ask = append(o.Ask, t.ask(v, LeaseReady, LeaseOf{VIP: name, Epoch: l.Epoch}))
	}
}

// claim waits out the former holder, asks the network, and then the ledger.
func (t *Tenant) claim(name string, x *tenancy, v OwnView, l Lease, o *OwnOrders) {
	need, fit := LeaseWait+LeaseWait/100, v.Fit[name]
	switch {
	case l.Holder == t.me:
		need = 0 // what this controller had it has just cleared
	case l.Free:
		need = time.Duration(max(0, t.rank(fit, ""))) * stagger
	default:
		need += time.Duration(max(0, t.rank(fit, l.Holder))) * stagger
	}
	left := need - (v.Now.Least - x.seen.Least)
	if left > probeTime {
		x.why = fmt.Sprintf("it waits until what %s had has surely ended", cmp.Or(l.Holder, "nobody"))
		if l.Holder != "" && left > LeaseWait-2*renewEvery {
			x.why = l.Holder + " has it"
		}
		return
	}
	p := &x.probed
	old := p.asked == nil || v.Now.Most-p.asked.Most > probeFresh
	switch {
	case p.running && !old:
	case old:
		at := v.Now
		*p = probed{asked: &at, running: true}
		o.Probe = append(o.Probe, name)
	case p.err != "":
		x.why = "nobody can be asked who has it: " + p.err
	case len(p.heard) > 0:
		x.why = strings.Join(p.heard, ", ") + " answers for it"
	case left <= 0 && t.mayAsk(x):
		x.why = "it is claimed"
		o.Ask = append(o.Ask, t.ask(v, LeaseClaim, LeaseOf{VIP: name, Epoch: l.Epoch, Seq: l.Seq, Why: claimed(l)}))
	}
}

func claimed(l Lease) string {
	switch {
	case l.Free:
		return "it was given back"
	case l.Holder == "":
		return ""
	}
	return l.Holder + " has not renewed it"
}

// rank is how many fitter ones there are, but for the one who was silent.
func (t *Tenant) rank(fit map[string]Fitness, silent string) int {
	order := Able(fit)
	if silent != t.me {
		order = slices.DeleteFunc(order, func(c string) bool { return c == silent })
	}
	return slices.Index(order, t.me)
}

// OwnState is where a tenant stands with one address.
type OwnState struct {
	// Phase is held, leased (it is not on the kernel), giving or none.
	Phase string `json:"phase"`
	Epoch uint64 `json:"epoch,omitempty"`
	// Why says why it is not held.
	Why string `json:"why,omitempty"`
}

// Phases of OwnState.
const (
	OwnHeld   = "held"
	OwnLeased = "leased"
	OwnGiving = "giving"
	OwnNone   = "none"
)

// State tells where it stands with one address, for people.
func (t *Tenant) State(name string) OwnState {
	x := t.of[name]
	switch {
	case x == nil:
		return OwnState{Phase: OwnNone}
	case x.giving != nil:
		return OwnState{OwnGiving, x.giving.epoch, x.why}
	case x.hold == nil:
		return OwnState{OwnNone, 0, x.why}
	case !x.placed:
		return OwnState{OwnLeased, x.hold.epoch, x.why}
	}
	return OwnState{OwnHeld, x.hold.epoch, x.why}
}

// Holds says that this controller may use an address now.
func (t *Tenant) Holds(name string, now Moment) bool {
	x := t.of[name]
	return x != nil && x.hold != nil && LeaseHold-(now.Most-x.hold.t0.Most) > 0
}

// ReachLeast is the share of hosts, in percent, that must reach a controller itself
// for it to be as fit as another.
const ReachLeast = 80

// Reach is the share of hosts, in percent, that reach a controller at one of its own
// addresses, as far as targets name any and hosts told lately: else 100.
func Reach(targets []Target, rows []HostRow, own []netip.Addr, fresh time.Duration) int {
	asked, reached, list := 0, 0, List(targets)
	for _, r := range rows {
		if r.Row.Age > fresh || r.Row.List != list {
			continue
		}
		for i, t := range targets {
			if i >= len(r.Row.Words) || !slices.Contains(own, t.Address.Addr().Unmap()) {
				continue
			}
			asked++
			if w := r.Row.Words[i]; w == detector.PathOK || w == detector.PathRefused {
				reached++
			}
			break
		}
	}
	if asked == 0 {
		return 100
	}
	return 100 * reached / asked
}
