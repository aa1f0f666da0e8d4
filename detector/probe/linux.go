package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// linux is the world as this machine's kernel shows it.
type linux struct{ timeout time.Duration }

func (linux) route(a netip.Addr) (route, error) {
	routes, err := netlink.RouteGet(a.AsSlice())
	if err != nil {
		return route{}, err
	}
	if len(routes) == 0 {
		return route{}, syscall.ENETUNREACH
	}
	way := routes[0]
	if way.Type == unix.RTN_LOCAL {
		return route{own: true}, nil
	}
	link, err := netlink.LinkByIndex(way.LinkIndex)
	if err != nil {
		return route{}, fmt.Errorf("its link: %w", err)
	}
	at := link.Attrs()
	r := route{link: way.LinkIndex, name: at.Name, onLink: way.Gw == nil && way.Via == nil && at.RawFlags&unix.IFF_NOARP == 0}
	switch at.OperState {
	case netlink.OperDown, netlink.OperLowerLayerDown, netlink.OperNotPresent:
		r.down = true
	default: // OperUnknown is what many virtual links say while they work
		r.down = at.RawFlags&unix.IFF_UP == 0
	}
	return r, nil
}

// connect tries again while the host is unreachable: that may be the end of an
// attempt to resolve it that began long before, or was broken off by resolve.
func (linux) connect(ctx context.Context, a netip.AddrPort) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", a.String())
	for unreachable(err) && ctx.Err() == nil {
		select {
		case <-time.After(pollEvery):
		case <-ctx.Done():
			return err
		}
		conn, err = d.DialContext(ctx, "tcp", a.String())
	}
	if err != nil {
		return err
	}
	if c, ok := conn.(*net.TCPConn); ok {
		_ = c.SetLinger(0) // leaves nothing behind: we ask often
	}
	return conn.Close()
}

// pollEvery is how often the neighbour table is read: the kernel tells of
// changes too, but a subscription for one answer costs more.
const pollEvery = 50 * time.Millisecond

// resolve deletes what the kernel believes of a neighbour, so that only a fresh
// answer can make it reachable again, and waits for that. A reachable entry by
// itself may be half a minute old.
func (linux) resolve(ctx context.Context, r route, a netip.Addr) error {
	family := unix.AF_INET
	if a.Is6() {
		family = unix.AF_INET6
	}
	entry := netlink.Neigh{LinkIndex: r.link, Family: family, IP: a.AsSlice()}
	old, err := neighbour(r.link, family, a)
	if err != nil {
		return err
	}
	if old != nil {
		if old.State&(unix.NUD_PERMANENT|unix.NUD_NOARP) != 0 {
			return errors.New("its neighbour entry is static")
		}
		if err := netlink.NeighDel(&entry); err != nil && !errors.Is(err, syscall.ENOENT) {
			return fmt.Errorf("forget the neighbour: %w", err)
		}
	}
	entry.Flags = netlink.NTF_USE // resolves it as a packet to it would
	// It exists already where somebody else has just sent something.
	if err := netlink.NeighAdd(&entry); err != nil && !errors.Is(err, syscall.EEXIST) {
		return fmt.Errorf("resolve the neighbour: %w", err)
	}
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for {
		select {
		case <-poll.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		now, err := neighbour(r.link, family, a)
		switch {
		case err != nil:
			return err
		case now == nil || now.State&(unix.NUD_INCOMPLETE|unix.NUD_NONE) != 0:
		case now.State&unix.NUD_FAILED != 0:
			return errNoNeighbour
		case now.State&(unix.NUD_REACHABLE|unix.NUD_DELAY|unix.NUD_PROBE|unix.NUD_STALE) != 0:
			return nil
		}
	}
}

func neighbour(link, family int, a netip.Addr) (*netlink.Neigh, error) {
	all, err := netlink.NeighList(link, family)
	if err != nil {
		return nil, fmt.Errorf("read the neighbour table: %w", err)
	}
	for _, n := range all {
		if ip, ok := netip.AddrFromSlice(n.IP); ok && ip.Unmap() == a.Unmap() {
			return &n, nil
		}
	}
	return nil, nil
}
