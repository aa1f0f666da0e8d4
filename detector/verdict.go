package detector

import (
	"slices"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// Policy is what Judge measures evidence against. All times are durations on
// one clock.
type Policy struct {
	// Interval of heartbeats; Missed of them make a host suspect.
	Interval time.Duration `json:"interval"`
	Missed   int           `json:"missed"`
	// HoldDown is the least silence before the ring's word may make a host
	// Dead: a returning member falsely kills healthy ones for up to 1.2 s.
	HoldDown time.Duration `json:"hold_down"`
	// Rounds is how many intervals evidence stays evidence.
	Rounds int `json:"rounds"`
	// ProbeFresh is the greatest age of a probe or power reading that counts.
	ProbeFresh time.Duration `json:"probe_fresh"`
	// Observers and Domains are how many must agree on a ring's dead.
	Observers int `json:"observers"`
	Domains   int `json:"domains"`
	// LeaveExpires is how long an announced stop is believed.
	LeaveExpires time.Duration `json:"leave_expires"`
	// NetworkFresh is the greatest age of a host's own sight of its networks.
	NetworkFresh time.Duration `json:"network_fresh"`
	// PathFresh is the greatest age of a host's sight of the control plane: three
	// rounds of its questions and the way here.
	PathFresh time.Duration `json:"path_fresh"`
	// RingSettles is how long a host must be silent before the ring's alive
	// tells a cut path from an agent that was killed: a ring is as slow.
	RingSettles time.Duration `json:"ring_settles"`
	// IsolatedFor is how long a host that lives must have lost a network before
	// the matrix may have it fenced: switches come back within a minute. So long must
	// a service have failed for good, too.
	IsolatedFor time.Duration `json:"isolated_for"`
	// FenceAiling says that a host that lives may be fenced for a service that has failed
	// for good, where its nova-compute is down by it.
	FenceAiling bool `json:"fence_ailing,omitempty"`
	// Matrix is what the loss of networks means; nil is DefaultMatrix.
	Matrix Matrix `json:"matrix,omitempty"`
}

// Silence is how long a host may be without a heartbeat before it is suspect.
func (p Policy) Silence() time.Duration { return time.Duration(p.Missed) * p.Interval }

// DefaultPolicy is design's: 1 s heartbeats, three missed, 5 s hold-down.
func DefaultPolicy() Policy {
	return Policy{
		Interval: time.Second, Missed: 3, HoldDown: 5 * time.Second, Rounds: 3,
		ProbeFresh: 6 * time.Second, Observers: 2, Domains: 2, LeaveExpires: 10 * time.Minute,
		NetworkFresh: 15 * time.Second, RingSettles: 20 * time.Second, IsolatedFor: time.Minute, PathFresh: 8 * time.Second,
	}
}

// Verdict is the judgement on one host with its evidence.
type Verdict struct {
	Host   nova.HostName `json:"host"`
	State  State         `json:"state"`
	Reason Reason        `json:"reason"`
	// Detail is one sentence for a person, naming who saw what.
	Detail string    `json:"detail"`
	At     time.Time `json:"at"`
	// Silent is for how long nobody has heard the host.
	Silent time.Duration `json:"silent"`
	// Means is what the operator's matrix says of the networks that are lost, or his
	// policy of a service that has failed for good; empty where neither is.
	Means Meaning `json:"means,omitempty"`
	// Networks is what is known of each network of the host.
	Networks []NetworkState `json:"networks,omitempty"`
	// Signs are the signs of life that there are, the strongest first.
	Signs []Sign `json:"signs,omitempty"`
	View  View   `json:"view"`
}

// Condemned says that the verdict asks for fencing: Dead, or Isolated or Degraded where
// the operator has said fence. Any other verdict never does.
func (v Verdict) Condemned() bool {
	switch v.State {
	case Dead:
		return v.Means == "" || v.Means == MeansFence
	case Isolated, Degraded:
		return v.Means == MeansFence
	default:
		return false
	}
}

// CondemnedAlive says that the host is heard, and is to be fenced all the same.
func (v Verdict) CondemnedAlive() bool { return v.State != Dead && v.Condemned() }

// Down says that the host counts when it is asked how many died at once: nobody
// hears it and nothing explains that, or it is to be fenced.
func (v Verdict) Down() bool {
	return v.State == Dead || v.Reason == ReasonUnwatched || v.Condemned() || v.State == Suspect && v.Reason != ReasonHeartbeatVeto
}

// Nearness orders verdicts by how near they are to fencing: 0 is far, 5 is
// Dead. A sign of life never raises it (under the default matrix: where an
// operator has Isolated fenced, being heard is part of that evidence).
func (v Verdict) Nearness() int {
	switch v.State {
	case Healthy, Rebooted, Maintenance:
		return 0
	case Isolated, Degraded:
		if v.Condemned() {
			return 4
		}
		return 0
	case PathFault:
		if v.Reason == ReasonPathVIP {
			return 0 // it is heard
		}
		return 1
	case Unmanageable, Leaving:
		return 1
	case Suspect:
		if v.Reason == ReasonHeartbeatVeto {
			return 1
		}
		return 3
	case Unknown:
		if v.Reason == ReasonLeaveExpired {
			return 1
		}
		return 2
	default:
		return 5
	}
}

// Wanted says what should be found out about the host: whether to probe it, and
// whether to read its BMC.
func (v Verdict) Wanted() (probe, power bool) {
	switch v.State {
	case Suspect, Dead, Unmanageable:
		return true, v.Reason != ReasonHeartbeatVeto
	case Unknown:
		return v.Reason != ReasonNeverHeard, v.Reason != ReasonNeverHeard
	case Leaving, PathFault:
		return v.Reason != ReasonPathVIP, v.Reason != ReasonMinorityPath && v.Reason != ReasonPathVIP
	case Isolated:
		return true, false
	default:
		return v.State != Maintenance && slices.ContainsFunc(v.Networks, func(n NetworkState) bool { return n.Confirm || n.Alone && n.Word == NetworkDown }), false
	}
}
