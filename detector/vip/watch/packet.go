package watch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/lifeboat-ha/lifeboat/detector"
)

// packets is a raw socket on one interface (packet(7)). It needs CAP_NET_RAW.
type packets struct {
	file *os.File
	buf  []byte
}

// bigEndian turns a protocol number as the kernel wants it.
func bigEndian(n uint16) uint16 { return n<<8 | n>>8 }

// openPackets takes frames that pass the filter, those to the given multicast or
// unicast MACs included: a card drops what is for others.
func openPackets(link int, protocol uint16, filter []bpf.Instruction, also ...detector.MAC) (*packets, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open a raw socket (CAP_NET_RAW): %w", err)
	}
	p := &packets{file: os.NewFile(uintptr(fd), "raw socket"), buf: make([]byte, 2048)}
	if err := p.begin(fd, link, protocol, filter, also); err != nil {
		return nil, errors.Join(err, p.file.Close())
	}
	return p, nil
}

func (p *packets) begin(fd, link int, protocol uint16, filter []bpf.Instruction, also []detector.MAC) error {
	if len(filter) > 0 {
		raw, err := bpf.Assemble(filter)
		if err != nil {
			return fmt.Errorf("make the filter: %w", err)
		}
		program := make([]unix.SockFilter, 0, len(raw))
		for _, r := range raw {
			program = append(program, unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K})
		}
		if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}); err != nil {
			return fmt.Errorf("attach the filter: %w", err)
		}
	}
	for _, mac := range also {
		kind := uint16(unix.PACKET_MR_UNICAST)
		if mac[0]&1 == 1 {
			kind = unix.PACKET_MR_MULTICAST
		}
		m := unix.PacketMreq{Ifindex: int32(link), Type: kind, Alen: uint16(len(mac))}
		copy(m.Address[:], mac[:])
		if err := unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &m); err != nil {
			return fmt.Errorf("take frames to %s: %w", mac, err)
		}
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: bigEndian(protocol), Ifindex: link}); err != nil {
		return fmt.Errorf("bind to the interface: %w", err)
	}
	return nil
}

// read gives the next frame, valid until the next call, and whether this machine
// sent it.
func (p *packets) read() (frame []byte, own bool, err error) {
	raw, err := p.file.SyscallConn()
	if err != nil {
		return nil, false, err
	}
	var n int
	var from unix.Sockaddr
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		n, from, failed = unix.Recvfrom(int(fd), p.buf, 0)
		return !errors.Is(failed, unix.EAGAIN)
	})
	if err = errors.Join(err, failed); err != nil {
		return nil, false, err
	}
	at, ok := from.(*unix.SockaddrLinklayer)
	return p.buf[:n], ok && at.Pkttype == unix.PACKET_OUTGOING, nil
}

func (p *packets) write(frame []byte) error {
	_, err := p.file.Write(frame)
	return err
}

// until closes the socket when ctx ends, so that read returns.
func (p *packets) until(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() { _ = p.file.SetDeadline(time.Unix(1, 0)) })
}

// onlyVRRP passes IPv4 packets of protocol 112, or 51 which may hold one, and IPv6
// ones whose first header is 112.
var onlyVRRP = []bpf.Instruction{
	bpf.LoadAbsolute{Off: 12, Size: 2},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.ETH_P_IP, SkipFalse: 3},
	bpf.LoadAbsolute{Off: 23, Size: 1},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: 112, SkipTrue: 4},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: 51, SkipTrue: 3, SkipFalse: 4},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.ETH_P_IPV6, SkipFalse: 3},
	bpf.LoadAbsolute{Off: 20, Size: 1},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: 112, SkipFalse: 1},
	bpf.RetConstant{Val: 2048},
	bpf.RetConstant{Val: 0},
}

// onlyAdvertisements passes ICMPv6 neighbour advertisements.
var onlyAdvertisements = []bpf.Instruction{
	bpf.LoadAbsolute{Off: 20, Size: 1},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: 58, SkipFalse: 3},
	bpf.LoadAbsolute{Off: 54, Size: 1},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: 136, SkipFalse: 1},
	bpf.RetConstant{Val: 2048},
	bpf.RetConstant{Val: 0},
}

// gone says that a socket's interface or the wait for it has ended.
func gone(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrClosed)
}
