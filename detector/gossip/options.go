// Package gossip is a member of the ring in which all hosts and controllers
// watch each other. It keeps one member of hashicorp/memberlist alive, heals
// what memberlist leaves broken (splits, stalls, collapsed views), and says
// what this member sees. It never decides that a host is dead: what it says is
// an opinion that any holder of the ring's key could have forged.
package gossip

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/hashicorp/memberlist"
)

// Profile is a set of timings.
type Profile string

// Profiles. Default finds a death in 11 to 14 s at 200 members; Fast in about
// half of that, for about twice the packets and less patience with stalls.
const (
	ProfileDefault Profile = "default"
	ProfileFast    Profile = "fast"
)

// Peer is a member that there should be.
type Peer struct {
	Name string
	// Addr is where its ring listens; the zero value says that only the ring
	// itself can know.
	Addr netip.AddrPort
}

// Options are what a member is made of.
type Options struct {
	// Name is the host's name in Nova, or ControllerName of a controller.
	Name string
	Bind netip.AddrPort
	// Advertise is what others are told; Bind if it is zero.
	Advertise netip.AddrPort
	// Keys encrypt the ring: 16, 24 or 32 bytes each. The first one encrypts,
	// all of them decrypt.
	Keys [][]byte
	// Label is the cluster's id. Rings of different labels do not mix.
	Label   string
	Profile Profile // ProfileDefault if empty
	Meta    Meta
	// Known lists every member that there should be, controllers included, from
	// configuration and the persisted roster; itself may stand among them. It
	// is asked often and must not block.
	Known func() []Peer
	// Transport makes a transport, again after each stall; nil makes UDP and
	// TCP sockets at Bind.
	Transport func() (memberlist.Transport, error)
	// Sockets are where UDP and TCP come from instead of the machine, if there is
	// no Transport.
	Sockets Sockets
	// OnEvent is told what changes, one after the other; nil tells nobody.
	OnEvent func(Event)
	// OnMessage gets what other members have sent; it must not block. nil takes none.
	OnMessage func(message []byte)
	Now       func() time.Time
	// Boottime is CLOCK_BOOTTIME. With it a suspended machine counts as
	// stalled; nil counts by Now alone.
	Boottime func() time.Duration
	Log      *slog.Logger
}

const maxName = 255

// Validate says all that is wrong. It never repeats a key.
func (o *Options) Validate() error {
	errs := []error{o.Meta.Validate()}
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf("gossip: "+format, args...)) }
	if o.Name == "" || o.Name == ControllerPrefix || len(o.Name) > maxName {
		wrong("a name of 1 to %d bytes is needed", maxName)
	} else if !roleFits(o.Name, o.Meta.Role) {
		wrong("name %q does not fit role %s: controllers are called %s<id>, hosts are not", o.Name, o.Meta.Role, ControllerPrefix)
	}
	if !o.Bind.IsValid() || o.Bind.Port() == 0 {
		wrong("an address and port to bind is needed")
	} else if o.Bind.Addr().IsUnspecified() && !o.Advertise.IsValid() {
		wrong("advertise is needed where bind is %s", o.Bind.Addr())
	}
	if o.Advertise.IsValid() && (o.Advertise.Addr().IsUnspecified() || o.Advertise.Port() == 0) {
		wrong("advertise must be one address and port")
	}
	if len(o.Keys) == 0 {
		wrong("a key is needed: the ring is always encrypted")
	}
	for i, k := range o.Keys {
		if memberlist.ValidateKey(k) != nil {
			wrong("key %d has %d bytes; 16, 24 or 32 are needed", i+1, len(k))
		}
	}
	if o.Label == "" || len(o.Label) > memberlist.LabelMaxSize {
		wrong("a label of 1 to %d bytes is needed", memberlist.LabelMaxSize)
	}
	if _, ok := profiles[o.profile()]; !ok {
		wrong("profile %q is neither %s nor %s", o.Profile, ProfileDefault, ProfileFast)
	}
	if o.Known == nil || o.Now == nil || o.Log == nil {
		wrong("known, now and log are needed")
	}
	return errors.Join(errs...)
}

func (o *Options) profile() Profile {
	if o.Profile == "" {
		return ProfileDefault
	}
	return o.Profile
}

func (o *Options) advertise() netip.AddrPort {
	if o.Advertise.IsValid() {
		return o.Advertise
	}
	return o.Bind
}

type timings struct {
	probe, timeout, gossip time.Duration
	suspicion              int // memberlist's SuspicionMult
}

// Why not faster: the least suspicion, mult × log10(members) × probe, is the
// longest stall that a host survives unaccused (facts: 500 ms and mult 3 kills
// hosts that stall for 4 s again and again).
var profiles = map[Profile]timings{
	ProfileDefault: {probe: time.Second, timeout: 500 * time.Millisecond, gossip: 200 * time.Millisecond, suspicion: 4},
	ProfileFast:    {probe: 500 * time.Millisecond, timeout: 250 * time.Millisecond, gossip: 100 * time.Millisecond, suspicion: 5},
}

const (
	// manyMembers is from where a lost packet meets a fourth helper.
	manyMembers = 500
	// streamTime bounds a state exchange, dialTime its connection.
	streamTime = 5 * time.Second
	dialTime   = 2 * time.Second
	// reclaim is after how long a dead member's name may move to another
	// address: a host that was installed anew.
	reclaim = time.Minute
	// keepDead is for how long the dead are still gossiped to. It heals splits
	// that last less, and lets the dead refute.
	keepDead = 10 * time.Minute
)

func (o *Options) config(ring *memberlist.Keyring, known int) *memberlist.Config {
	t := profiles[o.profile()]
	c := memberlist.DefaultLANConfig()
	c.Name, c.Label, c.Keyring = o.Name, o.Label, ring
	c.BindAddr, c.BindPort = o.Bind.Addr().String(), int(o.Bind.Port())
	c.AdvertiseAddr, c.AdvertisePort = o.advertise().Addr().String(), int(o.advertise().Port())
	c.ProbeInterval, c.ProbeTimeout, c.SuspicionMult, c.GossipInterval = t.probe, t.timeout, t.suspicion, t.gossip
	c.GossipToTheDeadTime, c.DeadNodeReclaimTime = keepDead, reclaim
	c.TCPTimeout = streamTime
	// A ping gets no shorter, and each attempt costs 80 KiB of memory.
	c.EnableCompression = false
	if known >= manyMembers {
		c.IndirectChecks = 4
	}
	return c
}
