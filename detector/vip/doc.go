// Package vip says what ails the control plane's address: who holds it, as three
// independent sources tell, whether what stands behind it answers, and which hosts
// reach it; and where Lifeboat moves it itself, who may have it when (own.go). It is pure: detector/vip/watch looks, this judges. What it finds can
// hold fencing and never causes it; its words go up through detector.Control and
// detector.PathSight.
package vip

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// VIP is one address of the control plane.
type VIP struct {
	Name    string     `json:"name"`
	Address netip.Addr `json:"address"`
	// Allowed are MACs that may answer for it and are no controller's: a proxy's.
	Allowed []detector.MAC `json:"allowed,omitempty"`
	// Vias are controllers' own addresses that accept its traffic without having it:
	// hosts whose way is broken may go by them.
	Vias []netip.Addr `json:"vias,omitempty"`
}

// Kind is what is wrong with a VIP. The same string stands in log, metric, API and
// ledger.
type Kind string

// Kinds of findings.
const (
	NoOwner        Kind = "no-owner"        // nobody holds it and nobody answers for it
	Duplicate      Kind = "duplicate"       // two machines have it at one time
	Orphan         Kind = "orphan"          // held by a controller whose VRRP is dead or hung
	RogueMAC       Kind = "rogue-mac"       // a machine answers that is no controller
	OwnerMismatch  Kind = "owner-mismatch"  // the sources name different owners
	Hollow         Kind = "hollow"          // held, and what stands behind it is dead
	Flapping       Kind = "flapping"        // it moves again and again
	StaleNeighbour Kind = "stale-neighbour" // hosts send to a machine that has lost it
	HalfOpen       Kind = "half-open"       // hosts have connections that hang since it moved
)

// Kinds lists them, the gravest first.
var Kinds = [...]Kind{NoOwner, Duplicate, Orphan, RogueMAC, OwnerMismatch, Hollow, Flapping, StaleNeighbour, HalfOpen}

// Finding is one thing that is wrong with one VIP.
type Finding struct {
	Kind Kind   `json:"kind"`
	VIP  string `json:"vip"`
	// Nodes are whom it is about: controllers, hosts, MACs that nobody knows.
	Nodes []string `json:"nodes,omitempty"`
	// Evidence is who saw what, for a person.
	Evidence []string  `json:"evidence"`
	Since    time.Time `json:"since"`
	// Holds says that it holds everything, beside the kinds that always do.
	Holds bool `json:"holds,omitempty"`
	// Do is what to do about it, Runbook where that is told at length.
	Do      string `json:"do"`
	Runbook string `json:"runbook"`
}

// Text is the finding on one line.
func (f Finding) Text() string {
	return string(f.Kind) + " of " + f.VIP + ": " + strings.Join(f.Evidence, "; ")
}

// remedies say in a line what docs/vip.md says at length.
var remedies = map[Kind]string{
	NoOwner:        "start keepalived (or the cluster's resource) on a controller whose HAProxy works; where Lifeboat owns it, `lifeboat vip status` says what keeps each controller from having it",
	Duplicate:      "find which one clients reach; stop keepalived on the other, see that its address goes, mend the path between them",
	Orphan:         "delete the address there, then start its keepalived again",
	RogueMAC:       "find the machine behind the MAC in the switches and take the address off it",
	OwnerMismatch:  "let the holder announce itself (arping -U -S VIP -I interface VIP); look at the switch's and hosts' tables",
	Hollow:         "start what is dead behind HAProxy there, or stop keepalived there so that another controller takes over",
	Flapping:       "look at the reasons of the moves in keepalived's log before anything else: load, link, track scripts",
	StaleNeighbour: "delete the entry on the hosts (ip neigh del) or let the holder announce itself again",
	HalfOpen:       "close the connections on the hosts (ss -K dst VIP) once a new one works",
}

// finding fills in what is the same for all of a kind.
func finding(k Kind, v string, nodes []string, evidence ...string) Finding {
	slices.Sort(nodes)
	return Finding{Kind: k, VIP: v, Nodes: slices.Compact(nodes), Evidence: evidence, Do: remedies[k], Runbook: "docs/vip.md#" + string(k)}
}

// Sight is what one controller sees of the VIPs. Ages travel, not times.
type Sight struct {
	Controller detector.Observer `json:"controller"`
	// Age is how old it is at most, as its receiver reckons.
	Age time.Duration `json:"age,omitempty"`
	// MACs and Addresses are this controller's own, Addresses without VIPs.
	MACs      []detector.MAC `json:"macs"`
	Addresses []netip.Addr   `json:"addresses,omitempty"`
	VIPs      []AddressSight `json:"vips"`
	// Proxy is what its own HAProxy says; nil: not asked, or it does not answer.
	Proxy *Proxy `json:"proxy,omitempty"`
	// Cannot lists what it cannot look at, and why.
	Cannot []string `json:"cannot,omitempty"`
}

// AddressSight is what one controller sees of one VIP.
type AddressSight struct {
	Name string `json:"name"`
	// Holds says that the address is on an interface of this controller's, HeldFor
	// for how long without a break, MAC is the interface's.
	Holds   bool          `json:"holds,omitempty"`
	HeldFor time.Duration `json:"held_for,omitempty"`
	MAC     detector.MAC  `json:"mac,omitzero"`
	// Asks says that it takes a census; Answers are who answered lately.
	Asks    bool     `json:"asks,omitempty"`
	Answers []Answer `json:"answers,omitempty"`
	// Listens says that it hears VRRP; Adverts are the last of each sender.
	Listens bool     `json:"listens,omitempty"`
	Adverts []Advert `json:"adverts,omitempty"`
	// Outside is its own question to a service at the VIP; nil: none asked lately.
	Outside *detector.PathWord `json:"outside,omitempty"`
	// Own is where it stands with it, where Lifeboat moves it itself.
	Own *OwnWord `json:"own,omitempty"`
	// Mended is what it has done for it since it started.
	Mended *MendWord `json:"mended,omitempty"`
}

// OwnWord is a controller's word on an address that Lifeboat moves.
type OwnWord struct {
	OwnState
	Fit Fitness `json:"fit"`
}

// Answer is one machine that answers for a VIP.
type Answer struct {
	MAC detector.MAC  `json:"mac"`
	Age time.Duration `json:"age"`
	// For is how long it had been answering each question by then.
	For time.Duration `json:"for"`
}

// Advert is the last advertisement of one VRRP sender for a VIP.
type Advert struct {
	Source   netip.Addr    `json:"source"`
	Router   int           `json:"router"`
	Priority int           `json:"priority"`
	Every    time.Duration `json:"every"`
	Age      time.Duration `json:"age"`
	// Own says that this controller sent it itself.
	Own bool `json:"own,omitempty"`
}

// Proxy is what one HAProxy says of its backends.
type Proxy struct {
	Up int `json:"up"`
	// Down names the backends none of whose servers are up.
	Down []string `json:"down,omitempty"`
}

// View is all that a look may use.
type View struct {
	Now  time.Time
	VIPs []VIP
	// Controllers are all that should report.
	Controllers []detector.Observer
	Sights      []Sight
	// Checks are what services behind the addresses say of themselves.
	Checks []Check
	// Hosts are the hosts' rows, for what they say of neighbours and connections.
	Hosts []HostRow
}

// HostRow is a host's sight of the control plane.
type HostRow struct {
	Host   nova.HostName
	Domain detector.Domain
	Row    detector.PathRow
	// Told is how long ago it said so: its neighbours and connections are of then, its
	// words as old as the row.
	Told time.Duration
}

// Limits of what is fresh, and of what must last before it is said.
const (
	// SightFresh is the greatest age of a controller's sight: they come each 500 ms.
	SightFresh = 3 * time.Second
	// answerFresh is the greatest age of an answer: the census asks each 400 ms.
	answerFresh = 1500 * time.Millisecond
	// overlap is for how long two must have had the address at one time: more than
	// the ages of two reports can err by.
	overlap = 300 * time.Millisecond
	// rowFresh is the greatest age of a host's row.
	rowFresh = 8 * time.Second
	// moves within movesWithin are flapping.
	moves       = 3
	movesWithin = 10 * time.Minute
)
