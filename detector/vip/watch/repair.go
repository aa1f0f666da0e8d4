package watch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/lifeboat-ha/lifeboat/detector/vip"
)

// ErrNoSweep says that this kernel ends nobody's connections: it lacks
// CONFIG_INET_DIAG_DESTROY, or this process lacks CAP_NET_ADMIN.
var ErrNoSweep = errors.New("this kernel or these capabilities do not permit to end connections")

// Hands looks at a host's way to VIPs and mends it. Not safe for concurrent use.
type Hands struct {
	Now func() time.Time
	// seen is when a socket was first seen, by its cookie.
	seen   map[uint64]time.Time
	unread map[uint64]time.Time
}

// Way reads what the kernel knows of the way to one VIP. Call it for each VIP in
// turn; Sweep forgets sockets that were not seen.
func (h *Hands) Way(v vip.VIP) (vip.Way, error) {
	var w vip.Way
	n, _, err := neighbourOf(v.Address)
	if err != nil {
		return w, err
	}
	w.Neighbour = n
	w.Connections, err = h.connections(v.Address)
	return w, err
}

// connections lists the TCP connections to an address. The kernel's dump cannot be
// narrowed to one, so all are read.
func (h *Hands) connections(to netip.Addr) ([]vip.Connection, error) {
	if h.seen == nil {
		h.seen, h.unread = map[uint64]time.Time{}, map[uint64]time.Time{}
	}
	now := h.Now()
	var all []vip.Connection
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		list, err := netlink.SocketDiagTCPInfo(family)
		if err != nil {
			return nil, fmt.Errorf("list TCP connections: %w", err)
		}
		for _, x := range list {
			s := x.InetDiagMsg
			if s == nil || s.State != netlink.TCP_ESTABLISHED && s.State != netlink.TCP_CLOSE_WAIT {
				continue
			}
			local, _ := netip.AddrFromSlice(s.ID.Source)
			remote, ok := netip.AddrFromSlice(s.ID.Destination)
			if !ok || remote.Unmap() != to {
				continue
			}
			c := vip.Connection{Local: netip.AddrPortFrom(local.Unmap(), s.ID.SourcePort), Remote: netip.AddrPortFrom(remote.Unmap(), s.ID.DestinationPort),
				Cookie: uint64(s.ID.Cookie[1])<<32 | uint64(s.ID.Cookie[0]), Ended: s.State == netlink.TCP_CLOSE_WAIT}
			if h.seen[c.Cookie].IsZero() {
				h.seen[c.Cookie] = now
			}
			c.First = h.seen[c.Cookie]
			if c.Ended && s.RQueue > 0 {
				if h.unread[c.Cookie].IsZero() {
					h.unread[c.Cookie] = now
				}
				c.UnreadFor = now.Sub(h.unread[c.Cookie])
			}
			if x.TCPInfo != nil {
				c.Backoff, c.Unacked = int(x.TCPInfo.Backoff), int(x.TCPInfo.Unacked)
			}
			all = append(all, c)
		}
	}
	return all, nil
}

// Forget drops what is known of sockets that are no more.
func (h *Hands) Forget(living []vip.Connection) {
	alive := map[uint64]bool{}
	for _, c := range living {
		alive[c.Cookie] = true
	}
	for cookie := range h.seen {
		if !alive[cookie] {
			delete(h.seen, cookie)
			delete(h.unread, cookie)
		}
	}
}

// Do carries one repair out.
func (h *Hands) Do(v vip.VIP, r vip.Repair) error {
	switch r.Kind {
	case vip.RepairNeighbour:
		return forgetNeighbour(v.Address)
	case vip.RepairConnection:
		return destroy(r.Connection)
	default:
		return fmt.Errorf("no repair %q", r.Kind)
	}
}

func forgetNeighbour(addr netip.Addr) error {
	n, link, err := neighbourOf(addr)
	if err != nil || n == nil {
		return err
	}
	family := unix.AF_INET
	if addr.Is6() {
		family = unix.AF_INET6
	}
	err = netlink.NeighDel(&netlink.Neigh{LinkIndex: link, Family: family, IP: addr.AsSlice()})
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("forget the neighbour %s: %w", addr, err)
	}
	// Ask anew at once, as a packet there would (rtnetlink(7), NTF_USE); the next
	// packet does it where this fails.
	_ = netlink.NeighAdd(&netlink.Neigh{LinkIndex: link, Family: family, IP: addr.AsSlice(), Flags: netlink.NTF_USE})
	return nil
}

// destroy ends exactly this socket, by SOCK_DESTROY with its cookie (struct
// inet_diag_req_v2, linux/inet_diag.h). One that has gone by itself is no error.
func destroy(c vip.Connection) error {
	b := make([]byte, 56)
	b[0], b[1] = unix.AF_INET, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(b[4:], 0xffffffff) // any state
	binary.BigEndian.PutUint16(b[8:], c.Local.Port())
	binary.BigEndian.PutUint16(b[10:], c.Remote.Port())
	if c.Local.Addr().Is6() {
		b[0] = unix.AF_INET6
	}
	copy(b[12:28], c.Local.Addr().AsSlice())
	copy(b[28:44], c.Remote.Addr().AsSlice())
	binary.NativeEndian.PutUint32(b[48:], uint32(c.Cookie))
	binary.NativeEndian.PutUint32(b[52:], uint32(c.Cookie>>32))
	request := nl.NewNetlinkRequest(nl.SOCK_DESTROY, unix.NLM_F_ACK)
	request.AddRawData(b)
	_, err := request.Execute(unix.NETLINK_INET_DIAG, 0)
	switch {
	case errors.Is(err, unix.ENOENT):
		return nil
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EPERM):
		return fmt.Errorf("%w: %w", ErrNoSweep, err)
	case err != nil:
		return fmt.Errorf("end the connection %s to %s: %w", c.Local, c.Remote, err)
	}
	return nil
}
