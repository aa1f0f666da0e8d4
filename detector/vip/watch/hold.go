package watch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/lifeboat-ha/lifeboat/detector/vip"
)

// Holder puts addresses on this machine's kernel with an end of their own, and takes
// them off. It decides nothing: vip.Tenant and vip.Mender do. What has no end only
// TakeOff removes, for that is somebody else's. It needs CAP_NET_ADMIN, and CAP_NET_RAW to ask and announce.
// Not safe for concurrent use, but for Probe.
type Holder struct {
	VIPs []vip.VIP
	// Interfaces name the interface of each VIP, by the VIP's name.
	Interfaces map[string]string
	// Most is the clock by which an address must be gone (vip.Moment).
	Most func() time.Duration
	// Guarded are the VIPs, by name, whose leases nftables enforce too.
	Guarded map[string]bool

	guard     Guard
	yielded   map[string]bool
	unguarded error
}

// forever is the life of an address without an end (linux/if_addr.h).
const forever = 1<<32 - 1

// Look reads what this kernel has of each address.
func (h *Holder) Look() (map[string]vip.Ground, error) {
	all, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("list this machine's addresses: %w", err)
	}
	out := map[string]vip.Ground{}
	for _, v := range h.VIPs {
		var g vip.Ground
		for _, a := range all {
			if is(a, v.Address) {
				g.Here, g.Forever = true, g.Forever || a.ValidLft == 0 || a.ValidLft == forever
			}
		}
		_, g.Link = h.link(v)
		h.yield(v, g)
		out[v.Name] = g
	}
	return out, nil
}

func is(a netlink.Addr, addr netip.Addr) bool {
	found, ok := netip.AddrFromSlice(a.IP)
	return ok && found.Unmap() == addr
}

// link is a VIP's interface, or why that carries nothing.
func (h *Holder) link(v vip.VIP) (at *netlink.LinkAttrs, why string) {
	name := h.Interfaces[v.Name]
	l, err := h.linkOf(name, v.Address)
	if err != nil {
		return nil, fmt.Sprintf("the interface %s: %v", name, err)
	}
	at = l.Attrs()
	if at.RawFlags&unix.IFF_UP == 0 || at.RawFlags&unix.IFF_RUNNING == 0 {
		return nil, fmt.Sprintf("the interface %s has no carrier", name)
	}
	if _, ok := macOf(at); !ok {
		return nil, fmt.Sprintf("the interface %s is no Ethernet", name)
	}
	return at, ""
}

// linkOf finds an interface by its name, or by the address that is on it.
func (h *Holder) linkOf(name string, addr netip.Addr) (netlink.Link, error) {
	if name != "" {
		return netlink.LinkByName(name)
	}
	all, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, err
	}
	for _, a := range all {
		if is(a, addr) {
			return netlink.LinkByIndex(a.LinkIndex)
		}
	}
	return nil, fmt.Errorf("%s is on none", addr)
}

// Place gives each address the longest life that surely ends in time. An error says
// which was not placed; what was placed too late is removed at once.
func (h *Holder) Place(orders []vip.Placing) error {
	all, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("list this machine's addresses: %w", err)
	}
	var errs []error
	for _, o := range orders {
		errs = append(errs, h.place(o, all))
	}
	return errors.Join(errs...)
}

func (h *Holder) of(name string) (vip.VIP, bool) {
	i := slices.IndexFunc(h.VIPs, func(v vip.VIP) bool { return v.Name == name })
	if i < 0 {
		return vip.VIP{}, false
	}
	return h.VIPs[i], true
}

// place reads the clock, tells the kernel, and reads the clock again: this process may
// have stood still in between.
func (h *Holder) place(o vip.Placing, all []netlink.Addr) error {
	v, ok := h.of(o.VIP)
	if !ok {
		return fmt.Errorf("no VIP %q", o.VIP)
	}
	at, why := h.link(v)
	if why != "" {
		return errors.New(why)
	}
	life := vip.KernelLife(o.Until - h.Most())
	if life == 0 {
		return fmt.Errorf("place %s: too little of its lease is left", v.Address)
	}
	h.allow(o, v.Address)
	if err := set(v.Address, at.Index, all, life); err != nil {
		return err
	}
	if again := vip.KernelLife(o.Until - h.Most()); again < life {
		if again > 0 {
			return set(v.Address, at.Index, all, again)
		}
		return errors.Join(fmt.Errorf("place %s: it took too long", v.Address), h.Drop(v.Name))
	}
	return nil
}

// set adds an address, or changes how long it lives, with the prefix that it has.
func set(addr netip.Addr, link int, all []netlink.Addr, seconds int) error {
	n := &netlink.Addr{IPNet: &net.IPNet{IP: addr.AsSlice(), Mask: net.CIDRMask(addr.BitLen(), addr.BitLen())}, LinkIndex: link, ValidLft: seconds, PreferedLft: seconds}
	for _, a := range all {
		if is(a, addr) && a.LinkIndex == link {
			n.IPNet = a.IPNet
		}
	}
	if addr.Is6() {
		n.Flags = unix.IFA_F_NODAD // the network was asked before
	}
	if err := netlink.AddrReplace(nil, n); err != nil {
		return fmt.Errorf("place %s (CAP_NET_ADMIN): %w", addr, err)
	}
	return nil
}

// Drop takes an address off every interface where it has an end.
func (h *Holder) Drop(name string) error {
	err := h.remove(name, func(a netlink.Addr) bool { return a.ValidLft != 0 && a.ValidLft != forever })
	if v, ok := h.of(name); ok && h.Guarded[name] {
		err = errors.Join(err, h.guard.Deny(v.Address))
	}
	return err
}

// TakeOff takes an address off every interface, whoever put it there.
func (h *Holder) TakeOff(name string) error {
	return h.remove(name, func(netlink.Addr) bool { return true })
}

func (h *Holder) remove(name string, which func(netlink.Addr) bool) error {
	v, ok := h.of(name)
	if !ok {
		return fmt.Errorf("no VIP %q", name)
	}
	all, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("list this machine's addresses: %w", err)
	}
	var errs []error
	for _, a := range all {
		if !is(a, v.Address) || !which(a) {
			continue
		}
		if err := netlink.AddrDel(nil, &a); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) && !errors.Is(err, unix.ENODEV) {
			errs = append(errs, fmt.Errorf("take %s off (CAP_NET_ADMIN): %w", v.Address, err))
		}
	}
	return errors.Join(errs...)
}

// Sweep ends this machine's connections from an address that it has lost: their peers
// speak to another machine now, and TCP's state did not move. It says how many.
func (h *Holder) Sweep(name string) (ended int, err error) {
	v, _ := h.of(name)
	family := uint8(unix.AF_INET)
	if v.Address.Is6() {
		family = unix.AF_INET6
	}
	list, err := netlink.SocketDiagTCPInfo(family)
	if err != nil {
		return 0, fmt.Errorf("list TCP connections: %w", err)
	}
	for _, x := range list {
		s := x.InetDiagMsg
		if s == nil || s.State == netlink.TCP_LISTEN {
			continue
		}
		local, ok := netip.AddrFromSlice(s.ID.Source)
		remote, _ := netip.AddrFromSlice(s.ID.Destination)
		if !ok || local.Unmap() != v.Address {
			continue
		}
		c := vip.Connection{Local: netip.AddrPortFrom(local.Unmap(), s.ID.SourcePort), Remote: netip.AddrPortFrom(remote.Unmap(), s.ID.DestinationPort), Cookie: uint64(s.ID.Cookie[1])<<32 | uint64(s.ID.Cookie[0])}
		if err := destroy(c); err != nil {
			return ended, err
		}
		ended++
	}
	return ended, nil
}

// Announce tells the network once that an address is here.
func (h *Holder) Announce(name string) error {
	v, _ := h.of(name)
	at, why := h.link(v)
	if why != "" {
		return errors.New(why)
	}
	own, _ := macOf(at)
	p, err := openPackets(at.Index, unix.ETH_P_LOOPBACK, nil) // it only sends
	if err != nil {
		return err
	}
	defer func() { _ = p.file.Close() }()
	for _, f := range vip.Announcements(v.Address, own) {
		if err := p.write(f); err != nil {
			return fmt.Errorf("announce %s: %w", v.Address, err)
		}
	}
	return nil
}

const (
	// probes are asked probeApart from each other; answers are heard for as long again.
	probes     = 2
	probeApart = 100 * time.Millisecond
)

// Probe asks the network who has an address, as the census does from a MAC that is
// nobody's, and gives the MACs that answer. It takes 200 ms. An error means that nobody
// could be asked.
func (h *Holder) Probe(ctx context.Context, name string) (heard []string, err error) {
	v, _ := h.of(name)
	at, why := h.link(v)
	if why != "" {
		return nil, errors.New(why)
	}
	own, _ := macOf(at)
	foreign := vip.Foreign(own)
	protocol, filter := uint16(unix.ETH_P_ARP), []bpf.Instruction(nil)
	if v.Address.Is6() {
		protocol, filter = unix.ETH_P_IPV6, onlyAdvertisements
	}
	p, err := openPackets(at.Index, protocol, filter, foreign)
	if err != nil {
		return nil, err
	}
	defer func() { _ = p.file.Close() }()
	ctx, cancel := context.WithTimeout(ctx, probes*probeApart)
	defer cancel()
	defer p.until(ctx)()
	asked := make(chan error, 1)
	go func() {
		var err error
		for i := 0; i < probes && err == nil && ctx.Err() == nil; i++ {
			if err = p.write(vip.Question(v.Address, foreign)); err == nil && i+1 < probes {
				pause(ctx, probeApart)
			}
		}
		asked <- err
	}()
	for {
		frame, sent, err := p.read()
		if err != nil {
			if err := errors.Join(<-asked, unlessGone(err)); err != nil {
				return nil, fmt.Errorf("ask who has %s: %w", v.Address, err)
			}
			return heard, nil
		}
		if addr, mac, ok := vip.Owner(frame); ok && !sent && addr == v.Address && mac != foreign && mac != own {
			if text := mac.String(); !slices.Contains(heard, text) {
				heard = append(heard, text)
			}
		}
	}
}
