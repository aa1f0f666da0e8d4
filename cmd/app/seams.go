package app

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/lifeboat-ha/lifeboat/config"
	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/detector/clock"
	"github.com/lifeboat-ha/lifeboat/detector/gossip"
	"github.com/lifeboat-ha/lifeboat/detector/guest"
	"github.com/lifeboat-ha/lifeboat/detector/heartbeat"
	"github.com/lifeboat-ha/lifeboat/detector/vip"
	"github.com/lifeboat-ha/lifeboat/evacuate/ledger"
	"github.com/lifeboat-ha/lifeboat/evacuate/ledger/peer"
	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/fence/watchdog"
)

// Seams are the parts that tests, the demo and the simulator replace. Zero values
// are real.
type Seams struct {
	Clock  clock.Clock
	Prober Prober
	Stores ledger.Stores
	// Network is where all sockets come from.
	Network Network
	// Signer signs and verifies heartbeats.
	Signer heartbeat.Signer
	// Nova carries the requests to Keystone, Nova and Placement.
	Nova http.RoundTripper
	// Method makes the fencing methods of a host.
	Method func(host string, b config.BMC, now func() time.Time) (fence.Method, error)
	// Storage makes what takes a host's storage away.
	Storage func(config.StorageFence) (StorageProgram, error)
	// Ask puts one question to a target of the control plane; nil asks on the real
	// network.
	Ask func(ctx context.Context, t vip.Target) detector.PathWord
	// VIP is a controller's sight of the VIPs; nil looks at the real machine.
	VIP func() vip.Sight
	// Behind is what services behind the VIPs say of themselves; nil asks on the real
	// network.
	Behind func() []vip.Check
	// Kernel places addresses; nil is the real one.
	Kernel func(most func() time.Duration) Kernel
	// Watchdog opens a host's watchdog device.
	Watchdog func(path string, timeout time.Duration) (watchdog.Device, error)
	// Guests watches a host's libvirt.
	Guests func(changed func(), heard func(guest.Event)) Guests
	// Program runs a program for the agent's services, such as systemctl.
	Program func(ctx context.Context, argv []string) (string, error)
	// Crash is called at named points; a process may end there.
	Crash func(point string)
	// Fatal is told that the process must not go on; it ends if nobody is.
	Fatal func(error)
}

// Network is a network as one process sees it.
type Network interface {
	ListenPacket(at netip.AddrPort) (net.PacketConn, error)
	Listen(at netip.AddrPort) (net.Listener, error)
	Dial(ctx context.Context, address string) (net.Conn, error)
}

func (s Seams) withDefaults() Seams {
	if s.Clock == nil {
		s.Clock = clock.System()
	}
	if s.Method == nil {
		s.Method = newMethod()
	}
	if s.Storage == nil {
		s.Storage = newStorage
	}
	return s
}

func (s Seams) listenPacket(at netip.AddrPort) (net.PacketConn, error) {
	if s.Network != nil {
		return s.Network.ListenPacket(at)
	}
	return net.ListenPacket("udp", at.String())
}

func (s Seams) listen(at netip.AddrPort) (net.Listener, error) {
	if s.Network != nil {
		return s.Network.Listen(at)
	}
	return net.Listen("tcp", at.String())
}

// dial is nil for the real network: the channel knows that one.
func (s Seams) dial() peer.Dial {
	if s.Network == nil {
		return nil
	}
	return s.Network.Dial
}

// ring is nil for the real network: the ring knows that one.
func (s Seams) ring() gossip.Sockets {
	if s.Network == nil {
		return nil
	}
	return s.Network
}

func (s Seams) watchdog(path string, timeout time.Duration) (watchdog.Device, error) {
	if s.Watchdog != nil {
		return s.Watchdog(path, timeout)
	}
	return watchdog.Open(path, timeout)
}
