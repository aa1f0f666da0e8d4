package evacuate

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// EntryVersion is the format of entries. An entry of a newer format stops the
// replica: it must not diverge by skipping what it does not understand.
const EntryVersion = 1

// Kind is what an Entry records.
type Kind string

// Kinds of entries.
const (
	KindClusterInit     Kind = "cluster.init"
	KindClusterRestored Kind = "cluster.restored"
	KindMode            Kind = "cluster.mode"
	KindFreeze          Kind = "cluster.freeze"
	KindRing            Kind = "cluster.ring"
	KindDrain           Kind = "cluster.drain"
	KindControllerJoin  Kind = "controller.join"
	KindControllerLeave Kind = "controller.leave"
	KindTokenCreate     Kind = "token.create"
	KindHostEnrol       Kind = "host.enrol"
	KindHostRenew       Kind = "host.renew"
	KindHostRemove      Kind = "host.remove"
	KindHostMaintenance Kind = "host.maintenance"
	KindHostSeen        Kind = "host.seen"
	KindHostForget      Kind = "host.forget" // word: a stage
	KindHostDrilling    Kind = "host.drilling"
	KindHostDrill       Kind = "host.drill"
	KindHostQuarantine  Kind = "host.quarantine"
	KindHostRelease     Kind = "host.release"
	KindConfirmDead     Kind = "host.confirm-dead"
	KindConfirmVoid     Kind = "host.confirm-void"
	KindOpen            Kind = "recovery.open"
	KindStep            Kind = "recovery.step"
	KindEvacuations     Kind = "recovery.evacuations"
	KindHold            Kind = "recovery.hold"
	KindVoid            Kind = "recovery.void"
	KindShield          Kind = "recovery.shield"
	KindReserve         Kind = "recovery.reserve"
	KindReturn          Kind = "recovery.return"
	KindFailback        Kind = "recovery.failback"
	KindClose           Kind = "recovery.close"
	KindCancel          Kind = "recovery.cancel"
	KindRelist          Kind = "recovery.relist" // flag: it was done
	KindPlan            Kind = "plan.prepare"
	KindPlanApprove     Kind = "plan.approve"
	KindPlanEnd         Kind = "plan.end"
	KindShadow          Kind = "shadow.decide"
	KindShadowScore     Kind = "shadow.score"
	KindVIP             Kind = "vip.found"
	KindTwins           Kind = "guest.twins"
	KindRestart         Kind = "guest.restart"
	KindAiling          Kind = "host.ailing"
	KindVIPLease        Kind = "vip.lease"
	KindVIPRestart      Kind = "vip.restart"
)

// Entry is one record of the ledger. At and every policy value used stand in
// the entry, so that replicas with other clocks or configuration agree.
type Entry struct {
	V    int       `json:"v"`
	Kind Kind      `json:"kind"`
	At   time.Time `json:"at"`
	By   string    `json:"by"` // controller id, or the operator's name
	// Term is the leader's term when it decided; Apply refuses an entry of
	// the engine that was committed in another.
	Term uint64 `json:"term,omitempty"`
	Text string `json:"text,omitempty"` // one line for the timeline
	// Says is whom a client calls its user: a remark beside By, checked by nobody.
	Says string `json:"says,omitempty"`

	Host     nova.HostName `json:"host,omitempty"`
	Recovery RecoveryID    `json:"recovery,omitempty"`
	Flag     bool          `json:"flag,omitempty"`
	Word     string        `json:"word,omitempty"`
	Boot     string        `json:"boot,omitempty"`
	// Aggregate is the one whose mode is set.
	Aggregate string `json:"aggregate,omitempty"`

	Cluster      *ClusterInit   `json:"cluster,omitempty"`
	Controller   *Controller    `json:"controller,omitempty"`
	Token        *Token         `json:"token,omitempty"`
	Key          *HostKey       `json:"key,omitempty"`
	Seen         []HostSeen     `json:"seen,omitempty"`
	Open         *Recovery      `json:"open,omitempty"`
	Step         Step           `json:"step,omitempty"`
	Record       *StepRecord    `json:"record,omitempty"`
	Proof        *fence.Record  `json:"proof,omitempty"`
	OffSent      time.Time      `json:"off_sent,omitzero"`
	Evacuations  []*Evacuation  `json:"evacuations,omitempty"`
	Before       []Instance     `json:"before,omitempty"` // as those were that turned up late
	Service      *ServiceBefore `json:"service,omitempty"`
	Hold         *Hold          `json:"hold,omitempty"`
	Shield       *Shield        `json:"shield,omitempty"`
	Reserve      *Reserve       `json:"reserve,omitempty"`
	Return       *Return        `json:"return,omitempty"`
	Failback     *Failback      `json:"failback,omitempty"`
	Ring         *RingStep      `json:"ring,omitempty"`
	Quarantine   *Quarantine    `json:"quarantine,omitempty"`
	Confirm      *Confirmation  `json:"confirm,omitempty"`
	Drill        *Drill         `json:"drill,omitempty"`
	Drilling     *Drilling      `json:"drilling,omitempty"`
	VIP          *VIPRecord     `json:"vip,omitempty"`
	Lease        *VIPLeaseStep  `json:"lease,omitempty"`
	Guests       *GuestRecord   `json:"guests,omitempty"`
	GuestRestart *GuestRestart  `json:"guest_restart,omitempty"`
	Ailing       *Ailing        `json:"ailing,omitempty"`

	Restart *VIPRestartStep `json:"restart,omitempty"`

	Plan    *Proposal       `json:"plan,omitempty"`
	PlanIDs []PlanID        `json:"plans,omitempty"`
	Shadow  *ShadowDecision `json:"shadow,omitempty"`
}

// ClusterInit founds a cluster.
type ClusterInit struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Mode Mode   `json:"mode"`
}

// HostSeen is what the leader saw of a host, written when it changed.
type HostSeen struct {
	Host      nova.HostName   `json:"host"`
	Boot      string          `json:"boot,omitempty"`
	PoweredOn time.Time       `json:"powered_on,omitzero"`
	ReadOff   time.Time       `json:"read_off,omitzero"`
	Instances []nova.ServerID `json:"instances,omitempty"`
	// Listed says that Instances was read (an empty list is a list).
	Listed bool `json:"listed,omitempty"`
	// Ring is where its gossip listens.
	Ring string `json:"ring,omitempty"`
	// Watchdog is its word on its own, MayWatch whether it may be armed.
	Watchdog *Watchdog `json:"watchdog,omitempty"`
	MayWatch *bool     `json:"may_watch,omitempty"`
	// Machine is what its agent says of its machine; Checks replaces all of them.
	Machine *fence.Identity `json:"machine,omitempty"`
	Checks  []FenceCheck    `json:"checks,omitempty"`
	// Heard is when it was heard, Answers what it answered to by then.
	Heard   time.Time `json:"heard,omitzero"`
	Answers []string  `json:"answers,omitempty"`
}

// missing names what an entry of its kind cannot be without.
func (e Entry) missing() string {
	need := map[Kind]struct {
		name  string
		given bool
	}{
		KindClusterInit:    {"cluster", e.Cluster != nil},
		KindControllerJoin: {"controller", e.Controller != nil},
		KindTokenCreate:    {"token", e.Token != nil},
		KindHostEnrol:      {"key", e.Key != nil},
		KindHostRenew:      {"key", e.Key != nil},
		KindOpen:           {"recovery", e.Open != nil && e.Host != ""},
		KindStep:           {"record", e.Record != nil},
		KindShield:         {"shield", e.Shield != nil},
		KindReserve:        {"reserve", e.Reserve != nil},
		KindReturn:         {"return", e.Return != nil},
		KindFailback:       {"failback", e.Failback != nil},
		KindRing:           {"ring", e.Ring != nil},
		KindHostQuarantine: {"quarantine", e.Quarantine != nil},
		KindConfirmDead:    {"confirmation", e.Confirm != nil},
		KindHostDrill:      {"drill", e.Drill != nil},
		KindHostDrilling:   {"drill", e.Drilling != nil},
		KindPlan:           {"plan", e.Plan != nil},
		KindPlanApprove:    {"plans", len(e.PlanIDs) > 0},
		KindPlanEnd:        {"plans", len(e.PlanIDs) > 0},
		KindShadow:         {"shadow", e.Shadow != nil},
		KindShadowScore:    {"shadow", e.Shadow != nil},
		KindVIP:            {"vip", e.VIP != nil},
		KindTwins:          {"guests", e.Guests != nil},
		KindVIPRestart:     {"restart", e.Restart != nil && e.Restart.Host != ""},
		KindAiling:         {"ailing", e.Ailing != nil && e.Ailing.Host != ""},
		KindRestart:        {"guest restart", e.GuestRestart != nil && e.GuestRestart.Event != ""},
		KindVIPLease:       {"lease", e.Lease != nil && len(e.Lease.Of) > 0},
		KindEvacuations:    {"evacuations", len(e.Evacuations) > 0 && !slices.Contains(e.Evacuations, nil)},
	}[e.Kind]
	if need.given {
		return ""
	}
	return need.name
}

// Encode writes e for the ledger.
func (e Entry) Encode() ([]byte, error) {
	e.V = EntryVersion
	b, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encode ledger entry %s: %w", e.Kind, err)
	}
	return b, nil
}

// DecodeEntry reads an entry.
func DecodeEntry(b []byte) (Entry, error) {
	var e Entry
	if err := json.Unmarshal(b, &e); err != nil {
		return e, fmt.Errorf("decode ledger entry: %w", err)
	}
	if e.V > EntryVersion {
		return e, fmt.Errorf("ledger entry %s is of format %d, this program knows up to %d", e.Kind, e.V, EntryVersion)
	}
	return e, nil
}

// Clone gives a copy that shares nothing with the state.
func (e Entry) Clone() Entry {
	b, err := e.Encode()
	if err != nil {
		return e
	}
	c, err := DecodeEntry(b)
	if err != nil {
		return e
	}
	return c
}
