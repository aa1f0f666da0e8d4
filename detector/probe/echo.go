package probe

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// echoes is how many echo requests are sent within one timeout: one lost packet
// is no silence.
const echoes = 3

// echo asks for an ICMP echo and waits for a reply to just this question.
func (l linux) echo(ctx context.Context, a netip.Addr) error {
	conn, to, err := echoSocket(a)
	if err != nil {
		return err
	}
	defer conn.Close()
	q, err := newQuestion(a)
	if err != nil {
		return err
	}
	var failed error
	left := false
	for i := range echoes {
		if err := q.send(conn, to, i+1); err != nil && !unreachable(err) {
			failed = err
		} else {
			left = true
		}
		err := q.wait(ctx, conn, l.timeout/echoes)
		if !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
	}
	if !left {
		return failed // nothing ever left: that is no silence
	}
	return context.DeadlineExceeded
}

// echoSocket opens an unprivileged socket where net.ipv4.ping_group_range lets
// us, and a raw one else.
func echoSocket(a netip.Addr) (*icmp.PacketConn, net.Addr, error) {
	plain, raw, bind := "udp4", "ip4:icmp", "0.0.0.0"
	if a.Is6() {
		plain, raw, bind = "udp6", "ip6:ipv6-icmp", "::"
	}
	conn, err := icmp.ListenPacket(plain, bind)
	if err == nil {
		return conn, &net.UDPAddr{IP: a.AsSlice(), Zone: a.Zone()}, nil
	}
	conn, rawErr := icmp.ListenPacket(raw, bind)
	if rawErr == nil {
		return conn, &net.IPAddr{IP: a.AsSlice(), Zone: a.Zone()}, nil
	}
	return nil, nil, fmt.Errorf("open an ICMP socket: %w", errors.Join(err, rawErr))
}

// question is one echo request. The kernel replaces the id of an unprivileged
// one, so a nonce tells whose reply it is.
type question struct {
	to    netip.Addr
	id    int
	nonce []byte
}

func newQuestion(a netip.Addr) (question, error) {
	nonce := make([]byte, 16)
	if _, err := rand.Read(nonce); err != nil {
		return question{}, fmt.Errorf("make a nonce: %w", err)
	}
	return question{to: a.Unmap().WithZone(""), id: int(binary.BigEndian.Uint16(nonce)), nonce: nonce}, nil
}

func (q question) send(conn *icmp.PacketConn, to net.Addr, seq int) error {
	var kind icmp.Type = ipv4.ICMPTypeEcho
	if q.to.Is6() {
		kind = ipv6.ICMPTypeEchoRequest
	}
	m := icmp.Message{Type: kind, Body: &icmp.Echo{ID: q.id, Seq: seq, Data: q.nonce}}
	b, err := m.Marshal(nil)
	if err != nil {
		return fmt.Errorf("write an echo request: %w", err)
	}
	_, err = conn.WriteTo(b, to)
	return err
}

// wait returns nil once the reply is there.
func (q question) wait(ctx context.Context, conn *icmp.PacketConn, d time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	until, _ := ctx.Deadline()
	if err := conn.SetReadDeadline(until); err != nil {
		return fmt.Errorf("set a deadline: %w", err)
	}
	buf := make([]byte, 1500)
	reply := icmp.Type(ipv4.ICMPTypeEchoReply)
	if q.to.Is6() {
		reply = ipv6.ICMPTypeEchoReply
	}
	for {
		n, from, err := conn.ReadFrom(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return context.DeadlineExceeded
		}
		if unreachable(err) {
			continue // until the time is over: see connect
		}
		if err != nil {
			return err
		}
		m, err := icmp.ParseMessage(reply.Protocol(), buf[:n])
		if err != nil || m.Type != reply || address(from) != q.to {
			continue
		}
		if echo, ok := m.Body.(*icmp.Echo); ok && bytes.Equal(echo.Data, q.nonce) {
			return nil
		}
	}
}

func address(a net.Addr) netip.Addr {
	var ip net.IP
	switch a := a.(type) {
	case *net.UDPAddr:
		ip = a.IP
	case *net.IPAddr:
		ip = a.IP
	}
	addr, _ := netip.AddrFromSlice(ip)
	return addr.Unmap()
}
