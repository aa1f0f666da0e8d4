package vip

import (
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
)

// Holder is whom a host is told that a VIP is at. The controllers tell it of a single
// owner only: while there are several, or none, there is nothing to repair towards.
type Holder struct {
	MAC detector.MAC
	// Since is when it got the VIP, on this host's clock.
	Since time.Time
}

// Neighbour is what a host's kernel believes of a VIP.
type Neighbour struct {
	MAC detector.MAC
	// Fixed entries are somebody's will: they are left alone.
	Fixed bool
}

// Connection is one TCP connection of a host to a VIP.
type Connection struct {
	Local, Remote netip.AddrPort
	// Cookie is the kernel's name for the socket (sock_diag(7)).
	Cookie uint64
	// First is when it was first seen.
	First time.Time
	// Ended says that the other side closed it and this one did not (CLOSE-WAIT),
	// UnreadFor for how long there has been something to read since.
	Ended     bool
	UnreadFor time.Duration
	// Backoff counts the doublings of the retransmission's wait, Unacked the segments
	// that wait for an acknowledgement.
	Backoff, Unacked int
}

// Way is what a host knows of its way to one VIP at one instant.
type Way struct {
	Holder      *Holder // nil: nobody, or not told
	Neighbour   *Neighbour
	Connections []Connection
	// Answered is when a service at the VIP last answered a new question.
	Answered time.Time
}

// RepairKind is what is done for a host's way.
type RepairKind string

// Repairs, in the order in which they are done: a connection that is closed while the
// neighbour is stale is opened to the wrong machine again.
const (
	RepairNeighbour  RepairKind = "neighbour"  // forget the entry; the kernel asks anew
	RepairConnection RepairKind = "connection" // end it; its owner gets ECONNABORTED
	RepairRoute      RepairKind = "route"      // go by another controller (Detour)
)

// Repair is one thing to do on a host.
type Repair struct {
	Kind       RepairKind
	Connection Connection // of RepairConnection
	Why        string
}

const (
	// repairSpread is over how long hosts' reconnections are spread.
	repairSpread = 3 * time.Second
	// unreadMost is how long an ended connection may leave something unread.
	unreadMost = 5 * time.Second
	// deadBackoff is from which doubling on a peer is taken for gone.
	deadBackoff = 2
	// repairMost bounds the connections of one look.
	repairMost = 64
)

// Spread is by how much a host waits before it ends connections, so that not all
// hosts reconnect to one machine at one instant.
func Spread(host string) time.Duration {
	sum := fnv.New32a()
	_, _ = sum.Write([]byte(host))
	return time.Duration(sum.Sum32()%uint32(repairSpread/time.Millisecond)) * time.Millisecond
}

// Repairs says what to do about a way: nothing while the owner is not known, the
// neighbour first, and only connections that are older than the owner's tenure. ports
// are those that may be touched: no other connection ever is.
func Repairs(w Way, ports []uint16, now time.Time, spread time.Duration) []Repair {
	if w.Holder == nil || w.Holder.MAC == (detector.MAC{}) {
		return nil
	}
	if n := w.Neighbour; n != nil && n.MAC != (detector.MAC{}) && n.MAC != w.Holder.MAC {
		if n.Fixed {
			return nil
		}
		return []Repair{{Kind: RepairNeighbour, Why: fmt.Sprintf("the kernel sends to %s, the owner is %s", n.MAC, w.Holder.MAC)}}
	}
	if now.Sub(w.Holder.Since) < spread {
		return nil
	}
	var all []Repair
	for _, c := range w.Connections {
		if why := Hangs(c, w); why != "" && slices.Contains(ports, c.Remote.Port()) && len(all) < repairMost {
			all = append(all, Repair{Kind: RepairConnection, Connection: c, Why: why})
		}
	}
	return all
}

// Hangs says why a connection cannot work any more, "" where it may. TCP's state does
// not move with the address, so one from before the move is dead even where it looks
// idle; but an idle one is ended only once a new one has worked.
func Hangs(c Connection, w Way) string {
	if w.Holder == nil || !c.First.Before(w.Holder.Since) {
		return ""
	}
	switch {
	case c.Ended && c.UnreadFor > unreadMost:
		return fmt.Sprintf("the other side has closed it and nobody has read that for %s", round(c.UnreadFor))
	case c.Unacked > 0 && c.Backoff >= deadBackoff:
		return fmt.Sprintf("%d segments unacknowledged after %d doublings", c.Unacked, c.Backoff)
	case !c.Ended && c.Unacked == 0 && w.Answered.After(w.Holder.Since):
		return "it is from before the VIP moved, and a new one works"
	}
	return ""
}

// Mended is what a host has done for its ways since its agent started, and how it goes
// now.
type Mended struct{ Neighbours, Connections, Routes, Detours int }

// MendedBy reads a row.
func MendedBy(r detector.PathRow) Mended {
	return Mended{r.Neighbours, r.Connections, r.Routes, r.Detours}
}

// Since says what is new in it, "" where nothing is. Fewer than before is an agent that
// has started again.
func (m Mended) Since(before Mended) string {
	n, c, r := m.Neighbours-before.Neighbours, m.Connections-before.Connections, m.Routes-before.Routes
	var all []string
	if n >= 0 && c >= 0 && n+c > 0 {
		all = append(all, fmt.Sprintf("has mended its way: %d neighbour entries forgotten, %d connections ended", n, c))
	}
	switch {
	case r > 0:
		all = append(all, fmt.Sprintf("goes to the control plane by another controller: %d other ways taken", r))
	case m.Detours < before.Detours:
		all = append(all, "goes to the control plane the usual way again")
	}
	return strings.Join(all, "; ")
}
