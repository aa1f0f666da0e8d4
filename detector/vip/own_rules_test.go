package vip_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/detector/vip"
)

// own is one tenant and what it sees; do lets time pass, look by look.
type own struct {
	t      *testing.T
	tenant *vip.Tenant
	view   vip.OwnView
	asked  []vip.LeaseAsk
	drops  int
	places int
	tells  int
}

func newOwn(t *testing.T) *own {
	return &own{t: t, tenant: vip.NewTenant("c1", "1", []string{"v"}), view: vip.OwnView{Voters: 3, Votes: true, Leases: map[string]vip.Lease{},
		Ground: map[string]vip.Ground{"v": {}}, Fit: map[string]map[string]vip.Fitness{"v": {"c1": {}, "c2": {}}}}}
}

func (o *own) do(d time.Duration) {
	for end := o.view.Now.Most + d; o.view.Now.Most < end; {
		o.view.Now.Most += 50 * time.Millisecond
		o.view.Now.Least += 50 * time.Millisecond
		orders := o.tenant.Step(o.view)
		o.view.Jumped = false
		o.drops, o.places, o.tells = o.drops+len(orders.Drop), o.places+len(orders.Place), o.tells+len(orders.Announce)
		g := o.view.Ground["v"]
		g.Here = (g.Here || len(orders.Place) > 0) && len(orders.Drop) == 0
		o.view.Ground["v"] = g
		for range orders.Probe {
			o.tenant.Probed("v", nil, "")
		}
		o.asked = append(o.asked, orders.Ask...)
	}
}

// last is the last request of a kind.
func (o *own) last(act vip.LeaseAct) *vip.LeaseAsk {
	for i := len(o.asked) - 1; i >= 0; i-- {
		if o.asked[i].Act == act {
			return &o.asked[i]
		}
	}
	return nil
}

// holds brings it to where it has the address.
func (o *own) holds() *own {
	o.t.Helper()
	var q *vip.LeaseAsk
	for i := 0; i < 100 && q == nil; i++ {
		o.do(50 * time.Millisecond)
		q = o.last(vip.LeaseClaim)
	}
	if q == nil {
		o.t.Fatalf("it claims nothing: %+v", o.tenant.State("v"))
	}
	o.view.Leases["v"] = vip.Lease{Holder: "c1", Epoch: 1, Nonce: q.Nonce}
	o.tenant.Committed(q.Nonce)
	o.do(100 * time.Millisecond)
	if s := o.tenant.State("v"); s.Phase != vip.OwnHeld || !o.view.Ground["v"].Here {
		o.t.Fatalf("%+v", s)
	}
	o.asked = nil
	return o
}

// TestOwnRefuses: each reason for which an address is not taken, and given back.
func TestOwnRefuses(t *testing.T) {
	ground := func(f func(*vip.Ground)) func(*vip.OwnView) {
		return func(v *vip.OwnView) {
			g := v.Ground["v"]
			f(&g)
			v.Ground["v"] = g
		}
	}
	for name, c := range map[string]struct {
		spoil func(*vip.OwnView)
		says  string
		keeps bool // who has it keeps it
	}{
		"two voters":           {func(v *vip.OwnView) { v.Voters = 2 }, "fewer than three voters", false},
		"no vote":              {func(v *vip.OwnView) { v.Votes = false }, "no vote", false},
		"VRRP of another":      {ground(func(g *vip.Ground) { g.VRRP = "10.0.0.12" }), "10.0.0.12 advertises it by VRRP", false},
		"VRRP of this machine": {ground(func(g *vip.Ground) { g.OwnVRRP = true }), "this machine's keepalived", false},
		"no carrier":           {ground(func(g *vip.Ground) { g.Link = "no carrier" }), "no carrier", false},
		"nobody can be asked":  {ground(func(g *vip.Ground) { g.Blind = "no raw socket" }), "no raw socket", true},
		"its HAProxy is dead":  {func(v *vip.OwnView) { v.Fit["v"] = map[string]vip.Fitness{"c1": {Not: "HAProxy"}} }, "HAProxy", true},
	} {
		o := newOwn(t)
		c.spoil(&o.view)
		o.do(10 * time.Second)
		if o.last(vip.LeaseClaim) != nil || !strings.Contains(o.tenant.State("v").Why, c.says) {
			t.Errorf("%s: claimed, or not said why: %+v", name, o.tenant.State("v"))
		}
		o = newOwn(t).holds()
		c.spoil(&o.view)
		o.do(200 * time.Millisecond)
		if gone := !o.view.Ground["v"].Here && o.last(vip.LeaseRelease) != nil; gone == c.keeps {
			t.Errorf("%s: here %t, %+v", name, o.view.Ground["v"].Here, o.asked)
		}
	}
}

// TestOwnForeign: what somebody else put on this kernel is neither used nor removed.
func TestOwnForeign(t *testing.T) {
	o := newOwn(t)
	o.view.Ground["v"] = vip.Ground{Here: true, Forever: true}
	o.do(10 * time.Second)
	if o.drops != 0 || o.places != 0 || len(o.asked) != 0 {
		t.Errorf("%d drops, %d places, %+v", o.drops, o.places, o.asked)
	}
}

// TestOwnAsksFirst: an address for which somebody answers is not claimed, nor one about
// which nobody could be asked.
func TestOwnAsksFirst(t *testing.T) {
	for _, c := range []struct {
		heard []string
		err   string
	}{{[]string{"02:00:00:00:00:09"}, ""}, {nil, "no raw socket"}} {
		o := newOwn(t)
		asked := 0
		for range 200 {
			o.view.Now.Most += 50 * time.Millisecond
			o.view.Now.Least += 50 * time.Millisecond
			orders := o.tenant.Step(o.view)
			for range orders.Probe {
				asked++
				o.tenant.Probed("v", c.heard, c.err)
			}
			if len(orders.Ask) > 0 {
				t.Fatalf("%v %q: %+v", c.heard, c.err, orders.Ask)
			}
		}
		if asked < 4 || asked > 8 {
			t.Errorf("asked %d times in 6 s", asked)
		}
	}
}

// TestOwnClocks: a holder lets go when its clocks contradict each other, and when
// another answers and the lease is not confirmed.
func TestOwnClocks(t *testing.T) {
	o := newOwn(t).holds()
	o.view.Jumped = true
	o.do(50 * time.Millisecond)
	if o.view.Ground["v"].Here {
		t.Error("it keeps the address though its clocks contradict each other")
	}
	o = newOwn(t).holds()
	o.view.Ground["v"] = vip.Ground{Here: true, Rival: "02:00:00:00:00:09"}
	o.do(700 * time.Millisecond)
	if !o.view.Ground["v"].Here {
		t.Error("it lets go before a renewal could have confirmed it")
	}
	o.do(300 * time.Millisecond)
	if o.view.Ground["v"].Here {
		t.Error("it keeps the address that another answers for, and nobody has confirmed the lease")
	}
	o = newOwn(t).holds()
	o.view.Ground["v"] = vip.Ground{Here: true, Rival: "02:00:00:00:00:09"}
	for range 40 {
		o.do(50 * time.Millisecond)
		if q := o.last(vip.LeaseRenew); q != nil {
			o.tenant.Committed(q.Nonce)
		}
	}
	if !o.view.Ground["v"].Here || o.drops > 0 {
		t.Error("it lets go of a confirmed lease")
	}
}

// TestOwnAnnounces: at once, and spread over seconds, then each half minute.
func TestOwnAnnounces(t *testing.T) {
	o := newOwn(t).holds()
	want := map[time.Duration]int{0: 1, 500 * time.Millisecond: 2, 3 * time.Second: 4, 6 * time.Second: 5, 11 * time.Second: 6, 45 * time.Second: 7}
	for at := time.Duration(0); at <= 45*time.Second; at += 50 * time.Millisecond {
		if n, ok := want[at]; ok && o.tells != n {
			t.Errorf("announced %d times within %s, want %d", o.tells, at, n)
		}
		o.do(50 * time.Millisecond)
		if q := o.last(vip.LeaseRenew); q != nil {
			o.tenant.Committed(q.Nonce)
		}
	}
}

// TestKernelLife: the kernel may be a second and a quarter late.
func TestKernelLife(t *testing.T) {
	for left, want := range map[time.Duration]int{3900 * time.Millisecond: 2, 3399 * time.Millisecond: 1, 2390 * time.Millisecond: 0, -time.Hour: 0} {
		if got := vip.KernelLife(left); got != want {
			t.Errorf("%s: %d s, want %d", left, got, want)
		}
	}
}

// TestOwnTopUp: where no renewal follows, the kernel is given what life is left, once.
func TestOwnTopUp(t *testing.T) {
	o := newOwn(t).holds()
	placed := o.places
	o.do(time.Second)
	if o.places != placed {
		t.Errorf("placed %d times within a second", o.places)
	}
	o.do(600 * time.Millisecond)
	if o.places != placed+1 {
		t.Errorf("placed %d times more within 1.7 s", o.places-placed)
	}
	o.do(time.Second)
	if o.places != placed+1 {
		t.Errorf("placed %d times more within 2.7 s", o.places-placed)
	}
}

// TestAnnouncements: each frame is read by the census as the word of its sender.
func TestAnnouncements(t *testing.T) {
	mac := detector.MAC{2, 0, 0, 0, 0, 0x0b}
	for addr, frames := range map[string]int{"10.0.0.100": 2, "fd00:9::100": 1} {
		a := netip.MustParseAddr(addr)
		all := vip.Announcements(a, mac)
		if len(all) != frames {
			t.Errorf("%s: %d frames", addr, len(all))
		}
		for _, f := range all {
			if who, at, ok := vip.Owner(f); !ok || who != a || at != mac {
				t.Errorf("%s: read as %s at %s, %t", addr, who, at, ok)
			}
		}
	}
}

// TestReach: a controller that few hosts reach at its own address is less fit; where
// nobody was asked it is as fit as any.
func TestReach(t *testing.T) {
	own := netip.MustParseAddr("10.0.0.11")
	targets := []vip.Target{{Service: "ctl1", Address: netip.AddrPortFrom(own, 22), Informs: true}}
	row := func(w detector.PathWord, age time.Duration) vip.HostRow {
		return vip.HostRow{Row: detector.PathRow{List: vip.List(targets), Words: []detector.PathWord{w}, Age: age}}
	}
	rows := []vip.HostRow{row(detector.PathOK, 0), row(detector.PathRefused, 0), row(detector.PathSilent, 0), row(detector.PathSilent, 0), row(detector.PathSilent, time.Hour)}
	if got := vip.Reach(targets, rows, []netip.Addr{own}, time.Second); got != 50 {
		t.Errorf("%d %%, want 50", got)
	}
	if got := vip.Reach(targets, rows, nil, time.Second); got != 100 {
		t.Errorf("%d %% where nobody asks for it, want 100", got)
	}
}
