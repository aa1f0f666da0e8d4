package probe

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"github.com/lifeboat-ha/lifeboat/detector"
)

// echo sends ICMP echo requests: by a raw socket with CAP_NET_RAW, else by the
// kernel's ping socket where net.ipv4.ping_group_range permits it.
type echo struct{}

const (
	protoICMP   = 1  // IANA protocol number
	protoICMPv6 = 58 // IANA protocol number
)

// Ask sends up to three requests within ctx, for one may be lost.
func (echo) Ask(ctx context.Context, addr netip.Addr) (detector.Answer, string) {
	conn, raw, err := listen(addr)
	if err != nil {
		return detector.Failed, "no socket for ICMP: " + err.Error()
	}
	defer conn.Close()
	end, ok := ctx.Deadline()
	if !ok {
		return detector.Failed, "no deadline"
	}
	id := rand.IntN(1 << 16)
	var to net.Addr = &net.UDPAddr{IP: addr.AsSlice(), Zone: addr.Zone()}
	if raw {
		to = &net.IPAddr{IP: addr.AsSlice(), Zone: addr.Zone()}
	}
	nonce := rand.Uint64()
	step := time.Until(end) / 3 //nolint:forbidigo // a share of ctx's own deadline
	for seq := 1; seq <= 3 && ctx.Err() == nil; seq++ {
		if _, err := conn.WriteTo(request(addr, id, seq, nonce), to); err != nil {
			if errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.EHOSTDOWN) {
				return detector.Silent, "no neighbour answers"
			}
			return detector.Failed, err.Error()
		}
		if wait(conn, addr, nonce, end.Add(-time.Duration(3-seq)*step)) {
			return detector.Answered, "echo reply"
		}
	}
	return detector.Silent, "no echo reply"
}

func listen(addr netip.Addr) (conn *icmp.PacketConn, raw bool, err error) {
	network, ping, any := "ip4:icmp", "udp4", "0.0.0.0"
	if addr.Is6() && !addr.Is4In6() {
		network, ping, any = "ip6:ipv6-icmp", "udp6", "::"
	}
	if conn, err = icmp.ListenPacket(network, any); err == nil {
		return conn, true, nil
	}
	conn, err = icmp.ListenPacket(ping, any)
	return conn, false, err
}

func request(addr netip.Addr, id, seq int, nonce uint64) []byte {
	m := icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{ID: id, Seq: seq, Data: binary.BigEndian.AppendUint64(nil, nonce)}}
	if addr.Is6() && !addr.Is4In6() {
		m.Type = ipv6.ICMPTypeEchoRequest
	}
	b, _ := m.Marshal(nil)
	return b
}

// wait reads until our own reply is here; a raw socket hears everybody's.
func wait(conn *icmp.PacketConn, addr netip.Addr, nonce uint64, until time.Time) bool {
	buf := make([]byte, 1500)
	proto := protoICMP
	if addr.Is6() && !addr.Is4In6() {
		proto = protoICMPv6
	}
	for {
		if conn.SetReadDeadline(until) != nil {
			return false
		}
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			return false
		}
		m, err := icmp.ParseMessage(proto, buf[:n])
		if err != nil || (m.Type != ipv4.ICMPTypeEchoReply && m.Type != ipv6.ICMPTypeEchoReply) {
			continue
		}
		body, ok := m.Body.(*icmp.Echo)
		if ok && len(body.Data) == 8 && binary.BigEndian.Uint64(body.Data) == nonce && sameAddr(from, addr) {
			return true
		}
	}
}

func sameAddr(from net.Addr, want netip.Addr) bool {
	var ip net.IP
	switch a := from.(type) {
	case *net.IPAddr:
		ip = a.IP
	case *net.UDPAddr:
		ip = a.IP
	}
	got, ok := netip.AddrFromSlice(ip)
	return ok && got.Unmap() == want.Unmap().WithZone("")
}
