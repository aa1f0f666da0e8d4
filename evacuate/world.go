package evacuate

import (
	"slices"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// World is what the leader knows outside the ledger at one instant. Absent
// knowledge is a zero value, and a gate that needs it stays closed.
type World struct {
	Now    time.Time
	Leader Leadership

	Verdicts map[nova.HostName]detector.Verdict
	// Heard is each host's last heartbeat, whichever controller heard it.
	Heard map[nova.HostName]Heard
	Nova  NovaSight
	// Servers were listed while Nova answered, by host.
	Servers map[nova.HostName][]nova.Server
	// Guests is where instances run as the hosts' own libvirt says; nil: none says.
	Guests *detector.GuestSight
	// Ends are those that agents told of lately, oldest first.
	Ends []detector.GuestEvent
	// Rooms is what Placement would still give out.
	Rooms RoomSight
	// Reserved are the hosts that are kept for failures, in the order of their use.
	Reserved []nova.HostName
	// Cells are the hosts' own words of Nova's cells: no API of Nova tells them.
	Cells   map[nova.HostName]string
	Network NetworkSight
	// Cloud is the condition of the whole; the zero value is none.
	Cloud   detector.Cloud
	Fencing map[nova.HostName]Fencing
	Storage map[nova.HostName]Storage
	// Domains are those of the configuration, and Nova's where the policy limits
	// zones or aggregates.
	Domains map[nova.HostName][]Domain
	// Aggregates lists the host aggregates of each host; nil: Nova has not told.
	Aggregates map[nova.HostName][]string
	// Kdump is what was heard of crashed kernels.
	Kdump KdumpSight
	// Capacity is room for each host's instances elsewhere; nil if nobody asks.
	Capacity map[nova.HostName]Capacity
	// Frozen is the reason of a freeze by a local file, "" if there is none.
	Frozen string
	// Watchdogs are those of hosts that are being fenced.
	Watchdogs map[nova.HostName]WatchdogSight
	// Terms is the newest Raft term that each controller has acknowledged.
	Terms map[string]uint64

	// register is the state's, made once a tick; nil: make it anew.
	register *fence.Register
	// fallen is the toll but for the host in question, counted once a tick: every
	// host asks for it. nil: count anew.
	fallen *fallen
	// sieve is what is known of Nova's questions, made by the first that asks in a tick.
	sieve *filters
}

// Leadership is this controller's standing.
type Leadership struct {
	ID   string
	Is   bool
	Term uint64
	// Since is when it became leader in this term.
	Since time.Time
	// Writable says that the ledger took an entry or a verification lately.
	Writable bool
}

// Heard is a host's last heartbeat.
type Heard struct {
	At    time.Time
	Boot  string
	Start string
}

// NovaSight is the last look at Nova.
type NovaSight struct {
	// At is when Nova last answered in full.
	At         time.Time
	Err        string
	Services   map[nova.HostName]nova.Service
	Schedulers int // up
	Conductors int // up
	// Aggregates were last read at AggregatesAt.
	Aggregates    []nova.Aggregate
	AggregatesAt  time.Time
	AggregatesErr string
}

// Groups lists the host aggregates of each host, sorted.
func (n NovaSight) Groups() map[nova.HostName][]string {
	out := map[nova.HostName][]string{}
	for _, a := range n.Aggregates {
		for _, h := range a.Hosts {
			out[h] = append(out[h], a.Name)
		}
	}
	for _, names := range out {
		slices.Sort(names)
	}
	return out
}

// NetworkSight is how sane this controller's own network looks.
type NetworkSight struct {
	Voters int
	Fresh  int // controllers that report, this one included
	// Reporting are these, by id, in order.
	Reporting []string
	Known     int // enrolled hosts
	Heard     int // of these, heard within the last intervals
	// Skew says that this controller's clock differs from most others'; "" is well.
	Skew string
}

// KdumpSight is what all controllers have heard of dumps.
type KdumpSight struct {
	Listening bool
	Dumps     map[nova.HostName]Dump
}

// Fencing is a host's fencing as configured and checked.
type Fencing struct {
	Methods []string
	// Within is how long all methods together may take to a proof.
	Within time.Duration
	// Refused says why the host must not be fenced, "" if it may.
	Refused string
	// PoweredOn is when the BMC last read on while the agent was heard.
	PoweredOn time.Time
	// ReadOff is when the BMC last read off while the agent was heard.
	ReadOff time.Time
	Last    string // the last reading, for explain
	// Links are the methods in order.
	Links []FenceLink
	// Controller is the id of the one that runs on this host, as declared.
	Controller string
	// Storage names the program that takes the host's storage away; "" is none.
	Storage string
	// StorageCheck is what it said of the host last, while that lived; nil: nothing yet.
	StorageCheck *StorageTest
	// Unreached says that this controller reached none of the methods when it last
	// tried; Hands are the others that did.
	Unreached bool
	Hands     []Hand
}

// Policy is what the operator decides.
type Policy struct {
	// Voters is unused by the core and fixed by the ledger.
	LeaderGrace  time.Duration `json:"leader_grace"`
	StormCount   int           `json:"storm_count"` // 0: by size
	StormPercent int           `json:"storm_percent"`
	StormWindow  time.Duration `json:"storm_window"` // how long a fenced host counts
	// StormPerHour is how many hosts may be fenced in an hour. 0: by size.
	StormPerHour int `json:"storm_per_hour,omitempty"`
	// StormDomains limits each domain of a kind.
	StormDomains map[string]DomainLimit `json:"storm_domains,omitempty"`
	// CliffPercent of the hosts falling silent within CliffWindow of each other
	// are a question too. 0: not asked.
	CliffPercent int           `json:"cliff_percent,omitempty"`
	CliffWindow  time.Duration `json:"cliff_window,omitempty"`
	// Aggregates asks the limits that stand in the metadata of Nova's aggregates.
	Aggregates  bool `json:"aggregates,omitempty"`
	Concurrency int  `json:"concurrency"`
	InFlight    int  `json:"in_flight"`
	// PerDestination bounds the evacuations in flight towards one host. 0: not.
	PerDestination int `json:"per_destination,omitempty"`
	// PerBackend bounds those whose disks are on one storage (Backend). 0: not.
	PerBackend int `json:"per_backend,omitempty"`
	// Destinations says who chooses where instances go, Affinity what is done with hard
	// affinity groups, Order what comes first.
	Destinations Destinations  `json:"destinations,omitempty"`
	Affinity     Affinity      `json:"affinity,omitempty"`
	Order        Order         `json:"order,omitzero"`
	QuietPeriod  time.Duration `json:"quiet_period"`
	HealthyDelay time.Duration `json:"healthy_delay"`
	// FlapLimit points within FlapWindow put a returned host into quarantine. 0:
	// none does.
	FlapLimit  int           `json:"flap_limit,omitempty"`
	FlapWindow time.Duration `json:"flap_window,omitempty"`
	Quarantine time.Duration `json:"quarantine,omitempty"`
	Protect    Protect       `json:"protect,omitempty"`
	// ProtectKey is read beside lifeboat:protected. "": Masakari's HA_Enabled.
	ProtectKey string `json:"protect_key,omitempty"`
	// JoinReserves has reserved hosts join the aggregates of the dead host that they are
	// enabled for.
	JoinReserves bool `json:"join_reserves,omitempty"`
	// Restart are the states that are reset to error to be evacuated (Restartable).
	Restart []string `json:"restart,omitempty"`
	// Proofs says which proofs count beside readings of off.
	Proofs Proofs `json:"proofs,omitzero"`
	// KdumpQuiet without a message ends a dump, KdumpMost is how long one is
	// waited for. 0: nobody listens.
	KdumpQuiet time.Duration `json:"kdump_quiet,omitempty"`
	KdumpMost  time.Duration `json:"kdump_most,omitempty"`
	// Restarts is what is done with instances that end while their host lives.
	Restarts Restarts `json:"restarts,omitzero"`
	// Services says what is done about a host of which a service has failed for good.
	Services Services `json:"services,omitempty"`
	// Failback is how long a host must be back and well before its instances are moved
	// home. 0: they are not.
	Failback time.Duration `json:"failback,omitempty"`
	// PowerOn lets a recovered host be powered on without an operator.
	PowerOn bool `json:"power_on"`
	// NovaFresh is the greatest age of Nova's last answer.
	NovaFresh time.Duration `json:"nova_fresh"`
	// Fenceable is how long a BMC's on, read while the agent lived, is good.
	Fenceable time.Duration `json:"fenceable"`
	// Errands lets another controller carry a power-off out whose methods the leader
	// does not reach.
	Errands bool `json:"errands,omitempty"`
	// EvidenceFresh is the greatest age of a verdict.
	EvidenceFresh time.Duration `json:"evidence_fresh"`
	// AggregateModes are the modes of aggregates by configuration.
	AggregateModes map[string]Mode `json:"aggregate_modes,omitempty"`
	// PlanExpiry is how long a plan waits for a person's answer.
	PlanExpiry time.Duration `json:"plan_expiry"`
	// ShadowWindow is how long what shadow would have done waits for its score.
	ShadowWindow time.Duration `json:"shadow_window"`
	// Stuck is how long an accepted row without a destination is waited for.
	Stuck time.Duration `json:"stuck"`
}

// DefaultPolicy holds the documented defaults.
func DefaultPolicy() Policy {
	return Policy{
		LeaderGrace: 15 * time.Second, StormPercent: 10, StormWindow: 10 * time.Minute, CliffPercent: 5, CliffWindow: 5 * time.Second,
		Services:  ServicesReport,
		Restarts:  Restarts{Crashed: RestartReport, Rebooted: RestartOff, Kinds: []detector.GuestEnd{detector.GuestFailed, detector.GuestCrashed, detector.GuestPanicked}, Limit: 3, Within: time.Hour},
		FlapLimit: 4, FlapWindow: 24 * time.Hour, Quarantine: 24 * time.Hour,
		Destinations: DestinationsSpread, Affinity: AffinityAsk, Order: Order{Owners: true},
		Concurrency: 2, InFlight: 40, QuietPeriod: 180 * time.Second, HealthyDelay: 60 * time.Second,
		NovaFresh: 15 * time.Second, Fenceable: 24 * time.Hour, EvidenceFresh: 3 * time.Second, Stuck: 15 * time.Minute,
		PlanExpiry: 15 * time.Minute, ShadowWindow: time.Hour,
	}
}

// StormLimit is how many hosts may be dead at once: max(1, min(count, ⌊% × N⌋)),
// where count is by size unless configured (rule 6).
func (p Policy) StormLimit(hosts int) int {
	count := p.StormCount
	switch {
	case count > 0 && p.StormPercent <= 0:
		return count
	case count > 0:
		return max(1, min(count, hosts*p.StormPercent/100))
	case hosts <= 10:
		return 1
	case hosts <= 20:
		return 2
	}
	return max(1, hosts*p.StormPercent/100)
}

// PerHour is how many hosts may be fenced within an hour: unless configured
// twice the limit of a storm, and at least 3.
func (p Policy) PerHour(hosts int) int {
	if p.StormPerHour > 0 {
		return p.StormPerHour
	}
	return max(3, 2*p.StormLimit(hosts))
}
