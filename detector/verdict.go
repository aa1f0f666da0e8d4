package detector

import (
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
}

// DefaultPolicy is design's: 1 s heartbeats, three missed, 5 s hold-down.
func DefaultPolicy() Policy {
	return Policy{
		Interval: time.Second, Missed: 3, HoldDown: 5 * time.Second, Rounds: 3,
		ProbeFresh: 6 * time.Second, Observers: 2, Domains: 2, LeaveExpires: 10 * time.Minute,
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
	View   View          `json:"view"`
}
