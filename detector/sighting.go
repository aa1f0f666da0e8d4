// Package detector turns sightings into a verdict on each host. It is pure: it
// keeps evidence and judges it, but never asks a host, a BMC or Nova anything;
// its subfolders do. A verdict is an opinion with its evidence, never an act.
package detector

import (
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// Observer is who saw something: a controller's id or a host's name.
type Observer string

// Domain is a failure domain (a rack, a PSU, a switch). ControllerDomain is
// that of all controllers.
type Domain string

// ControllerDomain holds every controller: where none is configured, they
// count as one domain beside the hosts.
const ControllerDomain Domain = "controllers"

// Heartbeat is one signed heartbeat as a controller heard it.
type Heartbeat struct {
	Host nova.HostName `json:"host"`
	// Boot is the kernel's boot id, Start the agent's own start id.
	Boot  string `json:"boot"`
	Start string `json:"start"`
	Seq   uint64 `json:"seq"`
	// Leaving announces a planned stop.
	Leaving bool `json:"leaving,omitempty"`
	// Ring is the sender's own view of the gossip ring.
	Ring RingView `json:"ring"`
	// Sensors are the host's local findings by name ("nova-compute": "up").
	Sensors map[string]string `json:"sensors,omitempty"`
	// Networks are what its own probes of others came to.
	Networks []Reach `json:"networks,omitempty"`
	// Paths is its sight of the control plane; nil: it was given nothing to ask.
	Paths *PathRow `json:"paths,omitempty"`
	// Lease is for how long it has held the controllers' lease without a break; 0: it
	// holds none, or is of a version that knows none.
	Lease time.Duration `json:"lease,omitempty"`
	// Watchdog is what it says of its own; nil: it has none.
	Watchdog *Watchdog `json:"watchdog,omitempty"`
	// Sent is the earliest that it can have been sent: it answers what left then. On
	// the receiver's clock; zero: not known.
	Sent time.Time `json:"-"`
}

// Watchdog is a host's word on its watchdog (docs/fencing.md).
type Watchdog struct {
	// Serial grows with each change within a boot.
	Serial uint64 `json:"serial"`
	Armed  bool   `json:"armed"`
	// Lease and Timeout are what it keeps to, Timeout as the device says it.
	Lease   time.Duration `json:"lease"`
	Timeout time.Duration `json:"timeout"`
	// Voters are the controllers that renew its lease, Ring names the list of hosts
	// that may take their place.
	Voters []string `json:"voters,omitempty"`
	Ring   string   `json:"ring,omitempty"`
	// Software and NoWayOut are of the device.
	Software bool `json:"software,omitempty"`
	NoWayOut bool `json:"no_way_out,omitempty"`
}

// SensorVIP names the sensor that speaks of the control plane's address, and
// SensorVIPTwin is its word for "more than one machine answers for it". Until an
// agent fills it, there is no input and never a VIPSplit.
const (
	SensorVIP     = "vip"
	SensorVIPTwin = "duplicate"
)

// RingView is what one member of the gossip ring makes of the others. It
// travels inside signed messages, so that nobody votes in another's name.
type RingView struct {
	// Score is memberlist's health score: 0 is well, 7 is ill.
	Score int `json:"score"`
	// Alive and Known count members as this member sees them, itself included.
	Alive int `json:"alive"`
	Known int `json:"known"`
	// Stalled says that the member has just resumed from a stall.
	Stalled bool `json:"stalled,omitempty"`
	// Muted says that it has muted itself: its own view had collapsed.
	Muted bool `json:"muted,omitempty"`
	// Dead names hosts that this member holds for dead (capped at MaxDead),
	// DeadCount is how many there are: zero is no more than are named.
	Dead      []nova.HostName `json:"dead,omitempty"`
	DeadCount int             `json:"dead_count,omitempty"`
}

// unsaid says that the member holds more dead than it names: on a host that it
// does not name it has no opinion. A full list without a count is an older
// member's.
func (r RingView) unsaid() bool {
	return r.DeadCount > len(r.Dead) || r.DeadCount == 0 && len(r.Dead) >= MaxDead
}

// MaxDead caps RingView.Dead so that a heartbeat fits one datagram.
const MaxDead = 16

// Answer is a probe's three-valued result.
type Answer string

// Answers. Refused connections are answers: a kernel sent them.
const (
	Answered Answer = "answered"
	Silent   Answer = "silent"
	// Failed means that the prober itself could not ask (no route, no
	// permission): it is no evidence at all.
	Failed Answer = "failed"
)

// Began is when a probe began that was asked for at one time and, as its result
// arrived, seemed to be so old. The way back takes time too: it began in between.
// Silence is dated by the earliest, so that it never speaks of later than it saw.
func (a Answer) Began(asked, seems time.Time) time.Time {
	if a == Silent || seems.Before(asked) {
		return asked
	}
	return seems
}

// Probe kinds.
const (
	ProbeICMP      = "icmp"
	ProbeTCP       = "tcp"       // any answer of the kernel, refusal included
	ProbeNeighbour = "neighbour" // ARP or ND confirmed the address anew
)

// Probe is one question put to one address of a host.
type Probe struct {
	Observer Observer      `json:"observer"`
	Host     nova.HostName `json:"host"`
	Network  string        `json:"network"` // management, storage, tenant
	Kind     string        `json:"kind"`
	Answer   Answer        `json:"answer"`
	// Began is on the leader's clock: an answer carries its age, not a time.
	Began  time.Time `json:"began"`
	Detail string    `json:"detail,omitempty"`
}

// PowerReading is a BMC's word on a host's power.
type PowerReading struct {
	Host  nova.HostName `json:"host"`
	Power string        `json:"power"` // on, off, unknown: fence.Power
	Cause string        `json:"cause,omitempty"`
	Began time.Time     `json:"began"`
}
