package heartbeat

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// Defaults.
const (
	DefaultInterval = time.Second
	// announceFor is how long Announce waits for an acknowledgement.
	announceFor = 2 * time.Second
	// announceEvery is how often it repeats itself meanwhile.
	announceEvery = 200 * time.Millisecond
	// DefaultOrders is how many orders an agent performs at once.
	DefaultOrders = 4
	// orderRate and orderBurst bound the orders of all controllers together.
	orderRate  = 5.0 // a second
	orderBurst = 10
	// orderTime bounds one order's probes.
	orderTime = 5 * time.Second
)

// Peer is a controller as an agent knows it.
type Peer struct {
	ID        string
	Address   netip.AddrPort
	PublicKey ed25519.PublicKey
}

// SenderOptions are what an agent's end is made of.
type SenderOptions struct {
	Host      nova.HostName
	Key       ed25519.PrivateKey
	KeyID     string // KeyID of Key if empty
	Signer    Signer // Ed25519 if nil
	ClusterID string
	// Controllers may be replaced later by SetControllers.
	Controllers []Peer
	// Conn is closed by Close.
	Conn     net.PacketConn
	Interval time.Duration // DefaultInterval if zero
	// Boot is the kernel's boot id, Start an id of this run of the agent that
	// was never used before.
	Boot, Start string
	// Ring, Sensors, Networks and Leaving are asked once an interval and must not block;
	// nil says nothing.
	Ring    func() detector.RingView
	Sensors func() map[string]string
	// Networks are the host's own sights of its networks, ages and all.
	Networks func() []detector.Reach
	// Paths is the host's own sight of the control plane; nil says nothing.
	Paths   func() *detector.PathRow
	Leaving func() bool
	// Probe performs an order; nil refuses all of them. Began of its results is
	// by Now. At most Orders run at once (DefaultOrders if zero).
	Probe  func(ctx context.Context, o Order) []detector.Probe
	Orders int
	// Listed says whether a host belongs to this cloud: no controller makes
	// agents probe others.
	Listed func(nova.HostName) bool
	Now    func() time.Time
	// Clocks are those of Contact.Counted; nil leaves it out.
	Clocks func() Instant
	// Lease and Watchdog are for how long this host has held the controllers' lease, and
	// its word on its watchdog.
	Lease func() (held time.Duration, own *detector.Watchdog)
	Log   *slog.Logger
}

// Validate says all that is wrong.
func (o *SenderOptions) Validate() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	errs = append(errs, common(o.Key, o.KeyID, o.ClusterID, o.Conn != nil, o.Now != nil, o.Log != nil)...)
	if o.Host == "" || len(o.Host) > maxHost {
		wrong("heartbeat: host must have 1 to %d bytes", maxHost)
	}
	if o.Boot == "" || len(o.Boot) > maxID {
		wrong("heartbeat: boot must have 1 to %d bytes", maxID)
	}
	if o.Start == "" || len(o.Start) > maxID {
		wrong("heartbeat: start must have 1 to %d bytes", maxID)
	}
	if o.Interval < 0 || o.Orders < 0 {
		wrong("heartbeat: interval and orders must not be negative")
	}
	if o.Probe != nil && o.Listed == nil {
		wrong("heartbeat: probe needs listed")
	}
	return errors.Join(append(errs, checkPeers(o.Controllers))...)
}

func checkPeers(peers []Peer) error {
	seen := map[string]bool{}
	for _, p := range peers {
		switch {
		case p.ID == "" || len(p.ID) > maxID:
			return fmt.Errorf("heartbeat: a controller's id must have 1 to %d bytes", maxID)
		case seen[p.ID]:
			return fmt.Errorf("heartbeat: controller %s stands twice", p.ID)
		case !p.Address.IsValid():
			return fmt.Errorf("heartbeat: controller %s has no address", p.ID)
		case len(p.PublicKey) != ed25519.PublicKeySize:
			return fmt.Errorf("heartbeat: controller %s has no Ed25519 public key", p.ID)
		}
		seen[p.ID] = true
	}
	return nil
}

// ReceiverOptions are what a controller's end is made of.
type ReceiverOptions struct {
	ID        string
	Key       ed25519.PrivateKey
	KeyID     string // KeyID of Key if empty
	Signer    Signer // Ed25519 if nil
	ClusterID string
	// Conn is closed by Close.
	Conn net.PacketConn
	// Hosts gives a host's public keys: more than one while they are rotated.
	Hosts func(nova.HostName) ([]ed25519.PublicKey, bool)
	// OnHeartbeat gets each heartbeat once, the newest only; OnProbes the
	// results of our own orders. Both must not block: nobody else is heard
	// meanwhile.
	OnHeartbeat func(hb detector.Heartbeat, from netip.AddrPort, at time.Time)
	OnProbes    func([]detector.Probe)
	// OnUnproven, if not nil, is told of hosts that are heard but do not repeat
	// our start id: they have just begun, do not hear us, or are a recording.
	OnUnproven func(host nova.HostName, at time.Time)
	// Status goes into acknowledgements; nil says nothing. Word is what each tells its
	// host, of the run of its agent that was heard; it must not block.
	Status func() Status
	Word   func(host nova.HostName, start string) Word
	Now    func() time.Time
	Log    *slog.Logger
}

// Validate says all that is wrong.
func (o *ReceiverOptions) Validate() error {
	errs := common(o.Key, o.KeyID, o.ClusterID, o.Conn != nil, o.Now != nil, o.Log != nil)
	if o.ID == "" || len(o.ID) > maxID {
		errs = append(errs, fmt.Errorf("heartbeat: id must have 1 to %d bytes", maxID))
	}
	if o.Hosts == nil || o.OnHeartbeat == nil || o.OnProbes == nil {
		errs = append(errs, errors.New("heartbeat: hosts, onHeartbeat and onProbes are needed"))
	}
	return errors.Join(errs...)
}

func common(key ed25519.PrivateKey, keyID, clusterID string, conn, now, log bool) (errs []error) {
	if len(key) != ed25519.PrivateKeySize {
		errs = append(errs, errors.New("heartbeat: no Ed25519 private key"))
	}
	if len(keyID) > maxID {
		errs = append(errs, fmt.Errorf("heartbeat: key id must have at most %d bytes", maxID))
	}
	if clusterID == "" {
		errs = append(errs, errors.New("heartbeat: no cluster id"))
	}
	if !conn || !now || !log {
		errs = append(errs, errors.New("heartbeat: conn, now and log are needed"))
	}
	return errs
}

func orEdwards(s Signer) Signer {
	if s == nil {
		return edwards{}
	}
	return s
}

func publicKeyID(given string, key ed25519.PrivateKey) string {
	if given != "" {
		return given
	}
	return KeyID(key.Public().(ed25519.PublicKey))
}
