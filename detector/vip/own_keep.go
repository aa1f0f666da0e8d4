package vip

import (
	"cmp"
	"slices"
	"time"
)

// keep tends a lease that this controller has.
func (t *Tenant) keep(name string, x *tenancy, v OwnView, o *OwnOrders) {
	l, g := v.Leases[name], v.Ground[name]
	if l.Epoch != x.hold.epoch {
		l = Lease{} // this replica lags behind
	}
	if l.Adopting {
		t.adopt(name, x, v, o)
		return
	}
	if why := t.refusal(v, g); why != "" {
		t.giveUp(name, x, v, o, "", why)
		return
	}
	if l.Wish != "" && l.Wish != t.me && l.Ready != "" {
		t.giveUp(name, x, v, o, l.Wish, "")
		return
	}
	if v.Leaving && t.leave(name, x, v, o) {
		return
	}
	if t.rivalled(x, g) {
		x.after = t.now.Most
		x.lose(g.Rival + " answers for it, and the lease was not confirmed since")
		x.epoch = 0 // it is claimed anew, after a question to the network
		t.clear(name, x, g, o)
		return
	}
	t.place(name, x, g, o)
	t.compare(name, x, v, l, o)
}

// place puts the address on the kernel, lets it live on after each renewal, and
// announces it.
func (t *Tenant) place(name string, x *tenancy, g Ground, o *OwnOrders) {
	if !g.Here || g.Forever {
		if t.left(x.hold) < LeaseHold/2 {
			return // the next renewal is near
		}
		x.placed, x.told = false, 0
	}
	age, renewed := t.now.Most-x.hold.t0.Most, x.hold.t0.Most > x.placedBy.Most
	if top := !x.topped && age >= topUp; !x.placed || renewed || top {
		o.Place = append(o.Place, Placing{name, x.hold.t0.Most + leaseKernel})
		x.placed, x.placedBy, x.topped = true, x.hold.t0, age >= topUp
	}
	if x.told == 0 {
		x.toldAt = t.now
	}
	since := t.now.Most - x.toldAt.Most
	due := x.told < len(announceAt) && since >= announceAt[x.told] ||
		x.told >= len(announceAt) && since >= announceAt[len(announceAt)-1]+time.Duration(x.told-len(announceAt)+1)*announceEvery
	if due {
		x.told++
		o.Announce = append(o.Announce, name)
	}
}

// refusal says why this controller may not have an address, "" where it may.
func (t *Tenant) refusal(v OwnView, g Ground) string {
	switch {
	case !v.Votes:
		return "this controller has no vote"
	case v.Voters < LeastVoters:
		return "there are fewer than three voters: one of two that is cut off cannot tell it from the other's death"
	case g.Link != "":
		return g.Link
	case g.VRRP != "":
		return g.VRRP + " advertises it by VRRP: stop keepalived everywhere, or `lifeboat vip adopt`"
	case g.OwnVRRP:
		return "this machine's keepalived advertises it: `lifeboat vip adopt`"
	case g.Forever:
		return "it is on this machine and somebody else put it there (it has no end): `lifeboat vip adopt`, or remove it"
	}
	return ""
}

// giveUp begins to give a lease away: its epoch is used for nothing more.
func (t *Tenant) giveUp(name string, x *tenancy, v OwnView, o *OwnOrders, to, why string) {
	x.giving, x.given, x.asked = &giving{x.hold.epoch, to, why}, x.hold.epoch, t.now.Most-askAgain
	x.lose(cmp.Or(why, "it is given to "+to))
	t.give(name, x, v, o)
}

// give takes the address off first. Nothing is given back that may still be here.
func (t *Tenant) give(name string, x *tenancy, v OwnView, o *OwnOrders) {
	l, g := v.Leases[name], v.Ground[name]
	x.placed = false
	switch {
	case g.Here && g.Forever && !l.Adopting:
		return // not ours to remove, so nothing is free
	case g.Here && !g.Forever:
		o.Drop = append(o.Drop, name)
	case l.Holder == t.me && l.Epoch == x.giving.epoch && t.mayAsk(x):
		o.Ask = append(o.Ask, t.ask(v, LeaseRelease, LeaseOf{VIP: name, Epoch: x.giving.epoch, To: x.giving.to, Why: x.giving.why}))
	}
}

// leave hands the address to another before this process ends.
func (t *Tenant) leave(name string, x *tenancy, v OwnView, o *OwnOrders) (given bool) {
	to := t.best(name, v)
	if to == "" || t.now.Most-x.wished.Most > 2*time.Second && x.wish != "" {
		t.giveUp(name, x, v, o, "", "this process ends")
		return true
	}
	if x.wish == "" && t.mayAsk(x) {
		o.Ask = append(o.Ask, t.ask(v, LeaseWish, LeaseOf{VIP: name, Epoch: x.hold.epoch, To: to, Why: "this process ends"}))
	}
	return false
}

// best is the fittest other controller, "" where nobody is fit.
func (t *Tenant) best(name string, v OwnView) string {
	order := Able(v.Fit[name])
	if i := slices.IndexFunc(order, func(c string) bool { return c != t.me }); i >= 0 {
		return order[i]
	}
	return ""
}

// Able lists the controllers that can have an address, the fittest first.
func Able(fit map[string]Fitness) (all []string) {
	for c, f := range fit {
		if f.Not == "" {
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(a, b string) int { return cmp.Or(cmp.Compare(fit[a].Score, fit[b].Score), cmp.Compare(a, b)) })
	return all
}

// rivalled says that another answers and the lease was not confirmed since: a machine
// that was stopped with its clocks does not know that its time is over.
func (t *Tenant) rivalled(x *tenancy, g Ground) bool {
	if g.Rival == "" || !g.Here {
		x.rival = nil
		return false
	}
	if x.rival == nil {
		at := t.now
		x.rival = &at
	}
	return x.hold.t0.Most <= x.rival.Most && t.now.Most-x.rival.Most > rivalMost
}

// compare wishes it elsewhere once another has been fitter for a while. Who was there
// before is no reason: nobody takes an address back.
func (t *Tenant) compare(name string, x *tenancy, v OwnView, l Lease, o *OwnOrders) {
	if l.Wish != "" {
		if l.Wish != t.me && t.now.Most-x.wished.Most > wishMost && t.mayAsk(x) {
			o.Ask = append(o.Ask, t.ask(v, LeaseWish, LeaseOf{VIP: name, Epoch: x.hold.epoch, Why: l.Wish + " did not say that it can"}))
		}
		return
	}
	fit := v.Fit[name]
	mine, best := fit[t.me], t.best(name, v)
	fitter := best != "" && (mine.Not != "" || fit[best].Score < mine.Score)
	if !fitter {
		x.better = nil
		return
	}
	if x.better == nil {
		at := t.now
		x.better = &at
	}
	settled := settleFor
	if mine.Not != "" {
		settled = betterFor
	}
	if t.now.Most-x.better.Most >= betterFor && t.now.Most-x.since.Most >= settled && t.mayAsk(x) {
		o.Ask = append(o.Ask, t.ask(v, LeaseWish, LeaseOf{VIP: name, Epoch: x.hold.epoch, To: best, Why: "it is fitter: " + cmp.Or(mine.Not, "less is down behind its HAProxy")}))
	}
}

// adopt has the lease while this machine's keepalived has the address, and takes it
// up in the instant in which that lets go.
func (t *Tenant) adopt(name string, x *tenancy, v OwnView, o *OwnOrders) {
	g := v.Ground[name]
	switch {
	case !v.Votes || v.Voters < LeastVoters || g.Link != "" || g.VRRP != "" || v.Leaving:
		t.giveUp(name, x, v, o, "", "not adopted: "+cmp.Or(t.refusal(v, g), "this process ends"))
	case g.Here && g.OwnVRRP:
		x.why = "keepalived has it here: stop keepalived, last on this machine"
		if t.now.Most-x.since.Most > adoptMost {
			t.giveUp(name, x, v, o, "", "not adopted: keepalived was not stopped")
		}
	default:
		x.why = ""
		t.place(name, x, g, o)
	}
	if g.Here {
		x.here = t.now
	} else {
		x.gap = t.now.Most - x.here.Most + ownLook
	}
}

// ownLook is how long after it has happened a thing is seen at most.
const ownLook = 50 * time.Millisecond

// renew asks anew for all that is held, in one request: addresses that end at one
// instant do so more exactly.
func (t *Tenant) renew(v OwnView, o *OwnOrders) {
	var of []LeaseOf
	due := false
	for _, name := range t.vips {
		x, l := t.of[name], v.Leases[name]
		mine := x.hold != nil && l.Epoch <= x.hold.epoch || l.Holder == t.me && l.Epoch != x.given && (l.Epoch == x.epoch || l.Adopting)
		if x.giving != nil || !mine || v.Jumped {
			continue
		}
		epoch, g := l.Epoch, v.Ground[name]
		if x.hold != nil {
			epoch = x.hold.epoch
		}
		here := x.hold != nil && g.Here && !g.Forever
		of = append(of, LeaseOf{VIP: name, Epoch: epoch, Placed: here, Adopted: l.Adopting && here && !g.OwnVRRP, Gap: x.gap})
		due = due || t.now.Most-t.lastRenewal(name) >= renewEvery || here && x.tells != epoch
		if here {
			x.tells = epoch
		}
	}
	if due {
		o.Ask = append(o.Ask, t.ask(v, LeaseRenew, of...))
	}
}

// lastRenewal is when a renewal of an address was last asked.
func (t *Tenant) lastRenewal(name string) time.Duration {
	last := -renewEvery
	for _, p := range t.pending {
		if p.Act == LeaseRenew && slices.ContainsFunc(p.Of, func(of LeaseOf) bool { return of.VIP == name }) {
			last = max(last, p.at.Most)
		}
	}
	return last
}
