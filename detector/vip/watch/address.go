package watch

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/lifeboat-ha/lifeboat/detector"
)

// follow keeps this machine's addresses: at once where the kernel tells of a change,
// and again each second in case it did not.
func (w *Watcher) follow(ctx context.Context) {
	addrs, links := make(chan netlink.AddrUpdate, 64), make(chan netlink.LinkUpdate, 64)
	lost := func(err error) {
		if ctx.Err() == nil {
			w.cannotDo("changes of addresses at once", err) // each second they are read anyway
		}
	}
	if err := netlink.AddrSubscribeWithOptions(addrs, ctx.Done(), netlink.AddrSubscribeOptions{ErrorCallback: lost}); err != nil {
		lost(err)
		addrs = nil
	}
	if err := netlink.LinkSubscribeWithOptions(links, ctx.Done(), netlink.LinkSubscribeOptions{ErrorCallback: lost}); err != nil {
		lost(err)
		links = nil
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case _, ok := <-addrs:
			if !ok {
				addrs = nil // the ticker goes on
			}
		case _, ok := <-links:
			if !ok {
				links = nil
			}
		case <-tick.C:
		}
		if err := w.addresses(); err != nil {
			w.cannotDo("addresses", err)
			continue
		}
		w.can("addresses")
	}
}

// addresses reads who this machine is, and which VIPs are on it. An address on
// loopback answers nobody by itself, nor does one on a link without a carrier.
func (w *Watcher) addresses() error {
	links, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("list this machine's interfaces: %w", err)
	}
	all, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("list this machine's addresses: %w", err)
	}
	byIndex := map[int]*netlink.LinkAttrs{}
	var macs []detector.MAC
	for _, l := range links {
		at := l.Attrs()
		byIndex[at.Index] = at
		if mac, ok := macOf(at); ok && !slices.Contains(macs, mac) {
			macs = append(macs, mac)
		}
	}
	holds := map[netip.Addr]detector.MAC{}
	var own []netip.Addr
	for _, a := range all {
		addr, ok := netip.AddrFromSlice(a.IP)
		at := byIndex[a.LinkIndex]
		if addr = addr.Unmap(); !ok || at == nil || addr.IsLoopback() || a.Flags&unix.IFA_F_DADFAILED != 0 {
			continue
		}
		own = append(own, addr)
		if mac, ethernet := macOf(at); ethernet && at.RawFlags&unix.IFF_RUNNING != 0 {
			holds[addr] = mac
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.o.Now()
	for _, v := range w.o.VIPs {
		own = slices.DeleteFunc(own, func(a netip.Addr) bool { return a == v.Address })
		x := w.vips[v.Name]
		mac, holding := holds[v.Address]
		if holding && (!x.holds || x.mac != mac) {
			x.since = now
		}
		x.holds, x.mac = holding, mac
	}
	w.macs, w.own = macs, own
	return nil
}

func macOf(at *netlink.LinkAttrs) (mac detector.MAC, ok bool) {
	if len(at.HardwareAddr) != len(mac) || at.RawFlags&unix.IFF_LOOPBACK != 0 {
		return mac, false
	}
	copy(mac[:], at.HardwareAddr)
	return mac, mac != detector.MAC{}
}

// link finds the interface on which a VIP is to be looked for.
func (w *Watcher) link(name string, vip netip.Addr) (*netlink.LinkAttrs, error) {
	if given := w.o.Interfaces[name]; given != "" {
		l, err := netlink.LinkByName(given)
		if err != nil {
			return nil, fmt.Errorf("interface %s: %w", given, err)
		}
		return l.Attrs(), nil
	}
	if all, err := netlink.AddrList(nil, netlink.FAMILY_ALL); err == nil {
		for _, a := range all {
			if addr, ok := netip.AddrFromSlice(a.IP); ok && addr.Unmap() == vip {
				if l, err := netlink.LinkByIndex(a.LinkIndex); err == nil {
					return l.Attrs(), nil
				}
			}
		}
	}
	routes, err := netlink.RouteGet(vip.AsSlice())
	if err != nil || len(routes) == 0 {
		return nil, fmt.Errorf("no route to %s: name its interface (%w)", vip, orUnreachable(err))
	}
	if routes[0].Gw != nil || routes[0].Via != nil {
		return nil, fmt.Errorf("%s is behind a router: nobody can be asked who has it", vip)
	}
	l, err := netlink.LinkByIndex(routes[0].LinkIndex)
	if err != nil {
		return nil, fmt.Errorf("the interface to %s: %w", vip, err)
	}
	return l.Attrs(), nil
}

func orUnreachable(err error) error {
	if err == nil {
		return unix.ENETUNREACH
	}
	return err
}
