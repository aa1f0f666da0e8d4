// Package heartbeat carries signed datagrams between agents and controllers:
// heartbeats and probe results one way, acknowledgements and probe orders the
// other. It proves who spoke and that it is no recording; it never judges what
// a missing heartbeat means.
//
// Every datagram is signed with Ed25519 by its sender, for one receiver. Two
// things keep a recording from counting as a sign of life. Within one run of
// the sender, each sequence number counts once. And a run that the receiver does
// not know yet (a restarted agent, or any agent after the receiver's restart)
// counts only once it repeats the receiver's own start id, which it learns from
// the answer to its first datagram: no clock is compared.
package heartbeat

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// MaxDatagram is the greatest datagram that is ever sent: it fits an Ethernet
// frame with a tunnel's header to spare.
const MaxDatagram = 1400

// Limits of the strings in a datagram. A host's name may be a whole FQDN.
const (
	maxHost = 255
	maxID   = 64
)

// Address is one address of a host on a named network.
type Address struct {
	Network string // management, storage, tenant
	Addr    netip.Addr
}

// Order asks an agent to probe another host.
type Order struct {
	Host      nova.HostName
	Addresses []Address
	Ports     []uint16 // for TCP; none asks by ICMP and neighbour only
}

// Limits of an order.
const (
	MaxOrderAddresses = 8
	MaxOrderPorts     = 8
)

// Status is what a controller's acknowledgements tell the agents.
type Status struct {
	Leader string // id of the leading controller, "" if there is none
	Term   uint64
	Roster uint64 // version of the list of hosts and controllers
}

// Contact is what an agent knows of its way to one controller.
type Contact struct {
	ID string
	// Heard is when the newest heartbeat left that this controller has
	// acknowledged: the controller lived and heard us then. Zero: never.
	Heard time.Time
	// Counted is when the newest heartbeat left that it acknowledged as a sign of life:
	// a controller that only introduces itself has not noted that we live.
	Counted Instant
	Status
	Word
}

// KeyID names a public key in logs and datagrams: the start of its hash.
func KeyID(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:8])
}
