package vip

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"time"
)

// VRRP is one advertisement, of version 2 (RFC 3768) or 3 (RFC 5798).
type VRRP struct {
	Version, Router, Priority int
	Every                     time.Duration
	Source                    netip.Addr
	Addresses                 []netip.Addr
}

const (
	protocolVRRP = 112 // IP protocol of VRRP, assigned by IANA
	protocolAH   = 51  // keepalived's auth_type AH wraps VRRP in it
)

var errNoVRRP = errors.New("no VRRP advertisement")

// ParseVRRP reads an IP packet. Its checksum is the kernel's and the receiver's
// business: a passive listener only needs to know who speaks.
func ParseVRRP(packet []byte) (VRRP, error) {
	if len(packet) < 20 {
		return VRRP{}, errNoVRRP
	}
	if packet[0]>>4 == 6 {
		if len(packet) < 40 || packet[6] != protocolVRRP {
			return VRRP{}, errNoVRRP
		}
		return parseAdvert(packet[40:], netip.AddrFrom16([16]byte(packet[8:24])))
	}
	head := int(packet[0]&0x0f) * 4
	if packet[0]>>4 != 4 || head < 20 || len(packet) < head {
		return VRRP{}, errNoVRRP
	}
	source, body, protocol := netip.AddrFrom4([4]byte(packet[12:16])), packet[head:], packet[9]
	if total := int(binary.BigEndian.Uint16(packet[2:])); total >= head && total <= len(packet) {
		body = packet[head:total] // behind it may be the frame's padding
	}
	if protocol == protocolAH && len(body) >= 2 {
		protocol = body[0]
		if n := (int(body[1]) + 2) * 4; n <= len(body) {
			body = body[n:]
		}
	}
	if protocol != protocolVRRP {
		return VRRP{}, errNoVRRP
	}
	return parseAdvert(body, source)
}

func parseAdvert(b []byte, source netip.Addr) (VRRP, error) {
	if len(b) < 8 || b[0]&0x0f != 1 {
		return VRRP{}, errNoVRRP
	}
	v := VRRP{Version: int(b[0] >> 4), Router: int(b[1]), Priority: int(b[2]), Source: source}
	switch v.Version {
	case 2:
		v.Every = time.Duration(b[5]) * time.Second
	case 3:
		v.Every = time.Duration(binary.BigEndian.Uint16(b[4:])&0x0fff) * 10 * time.Millisecond
	default:
		return VRRP{}, errNoVRRP
	}
	size := 4
	if source.Is6() {
		size = 16
	}
	rest := b[8:]
	for range int(b[3]) {
		if len(rest) < size {
			return VRRP{}, errNoVRRP
		}
		addr, _ := netip.AddrFromSlice(rest[:size])
		v.Addresses, rest = append(v.Addresses, addr), rest[size:]
	}
	return v, nil
}
