package vip

import (
	"encoding/binary"
	"net/netip"

	"github.com/lifeboat-ha/lifeboat/detector"
)

// Ethernet types.
const (
	etherARP  = 0x0806
	etherIPv6 = 0x86dd
)

var broadcast = detector.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// Foreign makes the sender's MAC of a census out of one's own: locally administered
// and unicast. A question with a host's own MAC would make its kernel take every
// answer, and where two machines answer its neighbour entry flips between them.
func Foreign(own detector.MAC) detector.MAC {
	m := own
	m[0] = 0x02
	m[1], m[2] = 'l', 'b'
	if m == own {
		m[1] = 'L'
	}
	return m
}

// Question is a frame that asks who has an address, from a foreign MAC. An IPv4 one
// is an ARP request without a sender's address (the probe of RFC 5227), which no
// receiver puts into its table. An IPv6 one is a neighbour solicitation from the
// foreign MAC's own link-local address: without a sender's address the answer would
// go to all nodes, and change their tables.
func Question(who netip.Addr, foreign detector.MAC) []byte {
	if who.Is4() {
		f := ethernet(broadcast, foreign, etherARP, 28)
		b := f[14:]
		copy(b, []byte{0, 1, 8, 0, 6, 4, 0, 1}) // Ethernet, IPv4, request
		copy(b[8:], foreign[:])
		addr := who.As4()
		copy(b[24:], addr[:])
		return f
	}
	return solicitation(who, foreign)
}

func ethernet(to, from detector.MAC, kind uint16, size int) []byte {
	f := make([]byte, 14+size)
	copy(f, to[:])
	copy(f[6:], from[:])
	binary.BigEndian.PutUint16(f[12:], kind)
	return f
}

// linkLocal is the address that a MAC gives itself (RFC 4291, appendix A).
func linkLocal(m detector.MAC) [16]byte {
	return [16]byte{0: 0xfe, 1: 0x80, 8: m[0] ^ 2, 9: m[1], 10: m[2], 11: 0xff, 12: 0xfe, 13: m[3], 14: m[4], 15: m[5]}
}

const (
	nextICMPv6   = 58
	solicits     = 135 // RFC 4861 4.3
	advertises   = 136 // RFC 4861 4.4
	sourceOption = 1
	targetOption = 2
)

func solicitation(who netip.Addr, foreign detector.MAC) []byte {
	target := who.As16()
	group := [16]byte{0: 0xff, 1: 0x02, 11: 1, 12: 0xff, 13: target[13], 14: target[14], 15: target[15]}
	f := ethernet(detector.MAC{0x33, 0x33, 0xff, target[13], target[14], target[15]}, foreign, etherIPv6, 40+32)
	ip, body := f[14:54], f[54:]
	ip[0] = 0x60
	binary.BigEndian.PutUint16(ip[4:], uint16(len(body)))
	ip[6], ip[7] = nextICMPv6, 255
	source := linkLocal(foreign)
	copy(ip[8:], source[:])
	copy(ip[24:], group[:])
	body[0] = solicits
	copy(body[8:], target[:])
	body[24], body[25] = sourceOption, 1
	copy(body[26:], foreign[:])
	binary.BigEndian.PutUint16(body[2:], checksum(source, group, body))
	return f
}

// checksum is that of ICMPv6 (RFC 4443 2.3), over a body whose own is zero.
func checksum(from, to [16]byte, body []byte) uint16 {
	var sum uint32
	add := func(b []byte) {
		for i := 0; i+1 < len(b); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(b[i:]))
		}
	}
	add(from[:])
	add(to[:])
	add(body)
	sum += uint32(len(body)) + nextICMPv6
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// Owner reads a frame in which a machine says that it has an address: an ARP answer
// or announcement, or a neighbour advertisement. Questions of others say nothing.
func Owner(frame []byte) (addr netip.Addr, mac detector.MAC, ok bool) {
	if len(frame) < 42 {
		return addr, mac, false
	}
	switch binary.BigEndian.Uint16(frame[12:]) {
	case etherARP:
		return arpOwner(frame[14:])
	case etherIPv6:
		return advertised(frame)
	}
	return addr, mac, false
}

func arpOwner(b []byte) (addr netip.Addr, mac detector.MAC, ok bool) {
	if b[0] != 0 || b[1] != 1 || b[2] != 8 || b[3] != 0 || b[4] != 6 || b[5] != 4 || b[6] != 0 {
		return addr, mac, false
	}
	copy(mac[:], b[8:14])
	sender, target := netip.AddrFrom4([4]byte(b[14:18])), netip.AddrFrom4([4]byte(b[24:28]))
	answer := b[7] == 2
	announcement := b[7] == 1 && sender == target
	return sender, mac, (answer || announcement) && sender != netip.IPv4Unspecified()
}

func advertised(f []byte) (addr netip.Addr, mac detector.MAC, ok bool) {
	if len(f) < 54+24 || f[14+6] != nextICMPv6 || f[54] != advertises {
		return addr, mac, false
	}
	copy(mac[:], f[6:12])
	addr = netip.AddrFrom16([16]byte(f[62:78]))
	for o := f[78:]; len(o) >= 8 && o[1] > 0; {
		n := int(o[1]) * 8
		if o[0] == targetOption && o[1] == 1 {
			copy(mac[:], o[2:8])
		}
		if n > len(o) {
			break
		}
		o = o[n:]
	}
	return addr, mac, true
}

// Announcements are frames by which a machine tells everybody that an address is at
// its MAC: an ARP request and an ARP answer about oneself, for some equipment takes only
// the one and some only the other (RFC 5227 3), or an unsolicited neighbour advertisement
// that overrides (RFC 4861 7.2.6).
func Announcements(addr netip.Addr, own detector.MAC) [][]byte {
	if addr.Is4() {
		var all [][]byte
		for _, kind := range []byte{1, 2} {
			f := ethernet(broadcast, own, etherARP, 28)
			b, a := f[14:], addr.As4()
			copy(b, []byte{0, 1, 8, 0, 6, 4, 0, kind})
			copy(b[8:], own[:])
			copy(b[14:], a[:])
			if kind == 2 {
				copy(b[18:], broadcast[:])
			}
			copy(b[24:], a[:])
			all = append(all, f)
		}
		return all
	}
	f := ethernet(detector.MAC{0x33, 0x33, 0, 0, 0, 1}, own, etherIPv6, 40+32)
	ip, body, source := f[14:54], f[54:], addr.As16()
	group := [16]byte{0: 0xff, 1: 0x02, 15: 1}
	ip[0] = 0x60
	binary.BigEndian.PutUint16(ip[4:], uint16(len(body)))
	ip[6], ip[7] = nextICMPv6, 255
	copy(ip[8:], source[:])
	copy(ip[24:], group[:])
	body[0], body[4] = advertises, 0x20 // override
	copy(body[8:], source[:])
	body[24], body[25] = targetOption, 1
	copy(body[26:], own[:])
	binary.BigEndian.PutUint16(body[2:], checksum(source, group, body))
	return [][]byte{f}
}
