package watch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/detector/vip"
)

// Other ways stand in a routing table of their own, which one rule of each family puts
// before all others, but for what carries the mark: that asks the usual way. All of it is
// found again by these numbers, whoever left it ("lb").
const (
	detourTable = 0x6c62
	detourMark  = 0x6c62
)

// ErrNoDetour says that a controller's address is behind a router, and so leads nowhere
// else.
var ErrNoDetour = errors.New("that controller is on no link of this host")

var families = []int{netlink.FAMILY_V4, netlink.FAMILY_V6}

// Detours sets this host's other ways to VIPs, and takes them back. It needs
// CAP_NET_ADMIN. IPv6 goes by addresses of its own family.
type Detours struct{}

// Set lets all that goes to a VIP go by a controller.
func (Detours) Set(v vip.VIP, via netip.Addr) error {
	direct, err := netlink.RouteGet(via.AsSlice())
	if err != nil {
		return fmt.Errorf("route to %s: %w", via, err)
	}
	if len(direct) == 0 || direct[0].Gw != nil || direct[0].Via != nil || direct[0].Type != unix.RTN_UNICAST {
		return fmt.Errorf("%w: %s", ErrNoDetour, via)
	}
	r := &netlink.Route{Dst: whole(v.Address), Gw: via.AsSlice(), LinkIndex: direct[0].LinkIndex, Table: detourTable}
	if err := netlink.RouteReplace(r); err != nil {
		return fmt.Errorf("set the route to %s by %s (CAP_NET_ADMIN): %w", v.Address, via, err)
	}
	if err := netlink.RuleAdd(detourRule(familyOf(v.Address))); err != nil && !errors.Is(err, unix.EEXIST) {
		return errors.Join(fmt.Errorf("put the route to %s before the others: %w", v.Address, err), netlink.RouteDel(r))
	}
	return nil
}

func detourRule(family int) *netlink.Rule {
	r := netlink.NewRule()
	r.Family, r.Priority, r.Table, r.Mark, r.Invert = family, detourTable, detourTable, detourMark, true
	return r
}

func familyOf(a netip.Addr) int {
	if a.Is6() {
		return netlink.FAMILY_V6
	}
	return netlink.FAMILY_V4
}

func whole(a netip.Addr) *net.IPNet {
	return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}
}

// InUse gives by whom each VIP is reached that is not reached the usual way.
func (Detours) InUse() (map[netip.Addr]netip.Addr, error) {
	all := map[netip.Addr]netip.Addr{}
	for _, family := range families {
		routes, err := detourRoutes(family)
		if err != nil {
			return nil, err
		}
		for _, r := range routes {
			if r.Dst == nil {
				continue
			}
			to, ok := netip.AddrFromSlice(r.Dst.IP)
			via, known := netip.AddrFromSlice(r.Gw)
			if ok && known {
				all[to.Unmap()] = via.Unmap()
			}
		}
	}
	return all, nil
}

func detourRoutes(family int) ([]netlink.Route, error) {
	routes, err := netlink.RouteListFiltered(family, &netlink.Route{Table: detourTable}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	return routes, nil
}

// Back takes one VIP's other way back.
func (Detours) Back(v vip.VIP) error {
	family := familyOf(v.Address)
	routes, err := detourRoutes(family)
	if err != nil {
		return err
	}
	left := 0
	for i := range routes {
		if r := &routes[i]; r.Dst != nil && r.Dst.String() == whole(v.Address).String() {
			err = errors.Join(err, unlessGoneRoute(netlink.RouteDel(r)))
		} else {
			left++
		}
	}
	if left == 0 {
		err = errors.Join(err, dropRules(family))
	}
	return err
}

// Clear takes back whatever an agent may have left on this host.
func (Detours) Clear() error {
	var errs []error
	for _, family := range families {
		routes, err := detourRoutes(family)
		errs = append(errs, dropRules(family), err)
		for i := range routes {
			errs = append(errs, unlessGoneRoute(netlink.RouteDel(&routes[i])))
		}
	}
	return errors.Join(errs...)
}

func dropRules(family int) error {
	rules, err := netlink.RuleListFiltered(family, &netlink.Rule{Table: detourTable}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return fmt.Errorf("list routing rules: %w", err)
	}
	var errs []error
	for range rules {
		errs = append(errs, unlessGoneRoute(netlink.RuleDel(detourRule(family))))
	}
	return errors.Join(errs...)
}

func unlessGoneRoute(err error) error {
	if err == nil || errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENOENT) {
		return nil
	}
	return fmt.Errorf("take a route back (CAP_NET_ADMIN): %w", err)
}

// AskUsual asks a target by the usual way, whatever way is in use (SO_MARK, socket(7)).
func AskUsual(ctx context.Context, t vip.Target) detector.PathWord {
	return ask(ctx, t, net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if cerr := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, detourMark) }); cerr != nil {
			return cerr
		}
		return err
	}})
}
