package app

import (
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/config"
	"github.com/lifeboat-ha/lifeboat/detector/clock"
	"github.com/lifeboat-ha/lifeboat/detector/vip"
	"github.com/lifeboat-ha/lifeboat/evacuate"
)

type fakeHands struct{ did []string }

func (f *fakeHands) Announce(name string) error { f.did = append(f.did, "announce "+name); return nil }
func (f *fakeHands) TakeOff(name string) error  { f.did = append(f.did, "take off "+name); return nil }

// TestMendsPermits: what is ordered is done only where the mode, the file and this
// controller's own eyes permit it; else it is counted as what would have been done.
func TestMendsPermits(t *testing.T) {
	orphan := vip.AddressSight{Name: "internal", Holds: true, Listens: true, Adverts: []vip.Advert{{Priority: 100, Every: time.Second}}}
	for _, c := range []struct {
		name     string
		kind     vip.MendKind
		announce string
		orphans  string
		change   func(*evacuate.State)
		sight    vip.AddressSight
		dry      bool
		did      []string
		would    int
	}{
		{name: "announce", kind: vip.MendAnnounce, announce: "on", did: []string{"announce internal"}},
		{name: "announce, dry run", kind: vip.MendAnnounce, announce: "dry-run", would: 1},
		{name: "announce, off", kind: vip.MendAnnounce, announce: "off"},
		{name: "announce, observing", kind: vip.MendAnnounce, announce: "on", change: func(s *evacuate.State) { s.Mode = evacuate.ModeObserve }, would: 1},
		{name: "announce, in shadow", kind: vip.MendAnnounce, announce: "on", change: func(s *evacuate.State) { s.Mode = evacuate.ModeShadow }, would: 1},
		{name: "announce, frozen", kind: vip.MendAnnounce, announce: "on", change: func(s *evacuate.State) { s.Frozen = true }, would: 1},
		{name: "announce, the leader says dry", kind: vip.MendAnnounce, announce: "on", dry: true, would: 1},
		{name: "an orphan", kind: vip.MendOrphan, orphans: "on", sight: orphan, did: []string{"take off internal"}},
		{name: "an orphan that it does not see", kind: vip.MendOrphan, orphans: "on", sight: vip.AddressSight{Name: "internal", Holds: true, Listens: true}},
		{name: "an orphan, not permitted", kind: vip.MendOrphan, announce: "on", orphans: "off", sight: orphan},
		{name: "an orphan, dry run", kind: vip.MendOrphan, orphans: "dry-run", sight: orphan, would: 1},
	} {
		hands := &fakeHands{}
		ctl := &Controller{id: "ctl1", log: slog.New(slog.DiscardHandler), clock: clock.Virtual(), machine: newMachine(), observer: &observer{id: "ctl1"}, cfg: &config.Controller{}}
		ctl.cfg.VIP.Announce, ctl.cfg.VIP.Orphans = c.announce, c.orphans
		ctl.machine.state.Mode = evacuate.ModeApprove
		if c.change != nil {
			c.change(ctl.machine.state)
		}
		ctl.seams.VIP = func() vip.Sight { return vip.Sight{VIPs: []vip.AddressSight{c.sight}} }
		x := newVIPs(ctl)
		x.vips = []vip.VIP{{Name: "internal"}}
		x.mends.hands = hands
		x.mends.do([]mendOrder{{Mend: vip.Mend{Kind: c.kind, VIP: "internal", Node: "ctl1"}, Dry: c.dry}, {Mend: vip.Mend{Kind: c.kind, VIP: "internal", Node: "ctl2"}}})
		if !slices.Equal(hands.did, c.did) || x.mends.words["internal"].Would != c.would {
			t.Errorf("%s: did %v, would %d; want %v, %d", c.name, hands.did, x.mends.words["internal"].Would, c.did, c.would)
		}
	}
}

// TestMendsOrders: an order reaches the controller that it is for, once and in time.
func TestMendsOrders(t *testing.T) {
	fake := clock.NewFake(time.Date(2026, 11, 21, 6, 0, 0, 0, time.UTC))
	ctl := &Controller{id: "ctl1", log: slog.New(slog.DiscardHandler), clock: fake, machine: newMachine(), observer: &observer{id: "ctl1"}, cfg: &config.Controller{}}
	m := newVIPs(ctl).mends
	order := func() { m.order([]vip.Mend{{Kind: vip.MendAnnounce, VIP: "v", Node: "ctl2"}}, fake.Now()) }
	order()
	got := fmt.Sprint(len(m.take("ctl3")), len(m.take("ctl2")), len(m.take("ctl2")))
	order()
	fake.Advance(mendFresh + time.Second)
	if got += fmt.Sprint(" ", len(m.take("ctl2"))); got != "0 1 0 0" {
		t.Errorf("orders given: %s", got)
	}
}
