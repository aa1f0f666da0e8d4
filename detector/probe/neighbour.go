package probe

import (
	"context"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/lifeboat-ha/lifeboat/detector"
)

// neighbour asks by ARP or ND: a kernel that filters ICMP and TCP still
// answers these. The entry is dropped first, so that a confirmation is new; it
// needs CAP_NET_ADMIN and a host on our own link, else it could not ask.
type neighbour struct{}

// discard is the port of a datagram that makes the kernel look for a
// neighbour (RFC 863); nobody needs to read it.
const discard = "9"

// Ask looks the neighbour up anew.
func (neighbour) Ask(ctx context.Context, addr netip.Addr) (detector.Answer, string) {
	ip := net.IP(addr.AsSlice())
	routes, err := netlink.RouteGet(ip)
	if err != nil || len(routes) == 0 || routes[0].Gw != nil {
		return detector.Failed, "not on our link"
	}
	link := routes[0].LinkIndex
	if l, err := netlink.LinkByIndex(link); err != nil || l.Attrs().Flags&net.FlagLoopback != 0 {
		return detector.Failed, "not on our link"
	}
	family := netlink.FAMILY_V4
	if addr.Is6() {
		family = netlink.FAMILY_V6
	}
	if n, ok := find(link, family, ip); ok && n.State&(netlink.NUD_PERMANENT|netlink.NUD_NOARP) != 0 {
		return detector.Failed, "permanent neighbour entry"
	} else if ok {
		if err := netlink.NeighDel(&n); err != nil {
			return detector.Failed, "may not drop the neighbour entry: " + err.Error()
		}
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "udp", net.JoinHostPort(addr.String(), discard))
	if err != nil {
		return detector.Failed, err.Error()
	}
	defer conn.Close()
	if _, err := conn.Write([]byte{0}); err != nil {
		return detector.Failed, err.Error()
	}
	return watch(ctx, link, family, ip)
}

// watch waits for the entry to be confirmed.
func watch(ctx context.Context, link, family int, ip net.IP) (detector.Answer, string) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if n, ok := find(link, family, ip); ok && n.State&(netlink.NUD_REACHABLE|netlink.NUD_DELAY|netlink.NUD_STALE) != 0 && len(n.HardwareAddr) > 0 {
			return detector.Answered, "neighbour " + n.HardwareAddr.String()
		}
		select {
		case <-ctx.Done():
			return detector.Silent, "no neighbour answers"
		case <-tick.C:
		}
	}
}

func find(link, family int, ip net.IP) (netlink.Neigh, bool) {
	all, err := netlink.NeighList(link, family)
	if err != nil {
		return netlink.Neigh{}, false
	}
	for _, n := range all {
		if n.IP.Equal(ip) {
			return n, true
		}
	}
	return netlink.Neigh{}, false
}
