package evacuate

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// StateVersion is the format of State in snapshots.
const StateVersion = 1

// State is everything that the ledger remembers. It changes only by Apply.
type State struct {
	Version    int    `json:"version"`
	ClusterID  string `json:"cluster_id"`
	Cluster    string `json:"cluster"`
	Generation int    `json:"generation"` // grows with every restore
	Index      uint64 `json:"index"`

	Mode       Mode      `json:"mode"`
	ModeBy     string    `json:"mode_by,omitempty"`
	ModeSays   string    `json:"mode_says,omitempty"`
	ModeAt     time.Time `json:"mode_at,omitzero"`
	ModeReason string    `json:"mode_reason,omitempty"`
	// AggregateModes are those set by command; others stand in files.
	AggregateModes map[string]*Setting `json:"aggregate_modes,omitempty"`

	Frozen       bool      `json:"frozen"`
	FrozenBy     string    `json:"frozen_by,omitempty"`
	FrozenSays   string    `json:"frozen_says,omitempty"`
	FrozenAt     time.Time `json:"frozen_at,omitzero"`
	FrozenReason string    `json:"frozen_reason,omitempty"`
	Drain        *Mark     `json:"drain,omitempty"`
	// Journal is what was done to the whole: modes, freezes, plans.
	Journal []Event `json:"journal,omitempty"`
	// RingEpoch and RingPrint name the ring key in force, never the key itself;
	// RingSerial counts the steps of all rotations.
	RingEpoch  int           `json:"ring_epoch"`
	RingPrint  string        `json:"ring_print,omitempty"`
	RingSerial int           `json:"ring_serial,omitempty"`
	Rotation   *RingRotation `json:"ring_rotation,omitempty"`

	Controllers map[string]*Controller  `json:"controllers"`
	Hosts       map[nova.HostName]*Host `json:"hosts"`
	Tokens      map[string]*Token       `json:"tokens"`
	// Rings are the lists of hosts that watchdogs' leases count on, by name.
	Rings      map[string][]nova.HostName `json:"rings,omitempty"`
	Recoveries map[RecoveryID]*Recovery   `json:"recoveries"`
	Serial     int                        `json:"serial"`

	// Plans are in the order of preparing.
	Plans       []*Proposal `json:"plans,omitempty"`
	PlanSerial  int         `json:"plan_serial,omitempty"`
	StormSerial int         `json:"storm_serial,omitempty"`
	// Shadow is what would have been done, in order; ShadowScores counts the
	// scores that were ever given.
	Shadow       []*ShadowDecision `json:"shadow,omitempty"`
	ShadowSerial int               `json:"shadow_serial,omitempty"`
	ShadowScores map[Score]int     `json:"shadow_scores,omitempty"`
	// VIP is what was last found of the control plane's address; nil: nothing is
	// watched.
	VIP *VIPRecord `json:"vip,omitempty"`
	// Leases say who may have an address of the control plane, by its name, where
	// Lifeboat moves it itself.
	Leases map[string]*VIPLease `json:"vip_leases,omitempty"`
	// Guests is what the hypervisors have shown that Nova does not know.
	Guests *GuestRecord `json:"guests,omitempty"`
	// Restarts are those of OpenStack agents that hung, in order.
	Restarts      []*VIPRestart `json:"vip_restarts,omitempty"`
	RestartSerial uint64        `json:"vip_restart_serial,omitempty"`
	// GuestRestarts are instances that ended by themselves, in the order of their telling;
	// GuestRestartCounts counts what ever became of them.
	GuestRestarts      []GuestRestart            `json:"guest_restarts,omitempty"`
	GuestRestartCounts map[GuestRestartState]int `json:"guest_restart_counts,omitempty"`
	// EndsDecided is when each of their events was decided on, EndsLasting when a trouble
	// that may last was told of an instance: for a quarter of an hour.
	EndsDecided map[string]time.Time `json:"ends_decided,omitempty"`
	EndsLasting map[string]time.Time `json:"ends_lasting,omitempty"`
	// Ailing are the hosts that we disabled for a service of theirs.
	Ailing map[nova.HostName]*Ailing `json:"ailing,omitempty"`
}

// Controller is a voter as agents know it.
type Controller struct {
	ID        string `json:"id"`
	Address   string `json:"address"`
	Ring      string `json:"ring,omitempty"` // where its gossip listens
	PublicKey []byte `json:"public_key"`
	// Machine is what it reads of the machine that it runs on.
	Machine fence.Identity `json:"machine,omitzero"`
}

// Host is an enrolled compute host, or one that Nova lists.
type Host struct {
	Name     nova.HostName `json:"name"`
	Enrolled time.Time     `json:"enrolled,omitzero"`
	Keys     []HostKey     `json:"keys,omitempty"`
	Boot     string        `json:"boot,omitempty"`
	// Ring is where its gossip was last seen to listen.
	Ring string `json:"ring,omitempty"`

	Mode *Setting `json:"mode,omitempty"` // nil: the cloud's or its aggregates'

	// Watchdog is its word on its own; MayWatch permits one.
	Watchdog *Watchdog `json:"watchdog,omitempty"`
	MayWatch bool      `json:"may_watch,omitempty"`

	Maintenance   bool   `json:"maintenance,omitempty"`
	MaintenanceBy string `json:"maintenance_by,omitempty"`

	// PoweredOn is when its BMC last read on while its agent was heard: the
	// gate fenceable asks for one within a day.
	PoweredOn time.Time `json:"powered_on,omitzero"`
	// ReadOff is when its BMC last read off while its agent was heard: it lies,
	// or belongs to another machine, until it reads on again.
	ReadOff time.Time `json:"read_off,omitzero"`
	// Machine is what its agent reads of the machine that it runs on, Checks what
	// preflight found of its fencing methods.
	Machine fence.Identity `json:"machine,omitzero"`
	Checks  []FenceCheck   `json:"checks,omitempty"`
	Drills  []Drill        `json:"drills,omitempty"`
	// Drilling is the drill under way, or how the last one ended.
	Drilling *Drilling `json:"drilling,omitempty"`
	// Heard is when it was last noted as heard, some minutes behind; Answers are the
	// probes that it answered then (detector.Memory).
	Heard   time.Time `json:"heard,omitzero"`
	Answers []string  `json:"answers,omitempty"`
	// Fenced is when the last recovery's proof was given.
	Fenced time.Time `json:"fenced,omitzero"`
	// Upsets are what counts towards a quarantine.
	Upsets     []Upset     `json:"upsets,omitempty"`
	Quarantine *Quarantine `json:"quarantine,omitempty"`
	// Confirmed is the last person's word that it is dead, whatever that is worth by
	// now.
	Confirmed *Confirmation `json:"confirmed,omitempty"`
	// Instances is the last list of servers seen while Nova answered.
	Instances []nova.ServerID `json:"instances,omitempty"`
}

// HostKey is a host's public key; the one before the last renewal stays valid
// for an hour, so that a lost answer locks nobody out.
type HostKey struct {
	ID      string    `json:"id"`
	Public  []byte    `json:"public"`
	Added   time.Time `json:"added"`
	Expires time.Time `json:"expires,omitzero"`
}

// Token is a one-time permission to enrol; only the hash of its secret is kept.
type Token struct {
	ID      string        `json:"id"`
	Hash    []byte        `json:"hash"`
	Host    nova.HostName `json:"host"`
	Expires time.Time     `json:"expires"`
}

// NewState gives the empty state.
func NewState() *State {
	return &State{Version: StateVersion, Mode: ModeObserve, Controllers: map[string]*Controller{},
		Hosts: map[nova.HostName]*Host{}, Tokens: map[string]*Token{}, Recoveries: map[RecoveryID]*Recovery{}}
}

// Marshal writes a snapshot.
func (s *State) Marshal() ([]byte, error) {
	b, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode the ledger's state: %w", err)
	}
	return b, nil
}

// UnmarshalState reads a snapshot; a version that is newer than this program
// is refused rather than half understood.
func UnmarshalState(b []byte) (*State, error) {
	s := NewState()
	if err := json.Unmarshal(b, s); err != nil {
		return nil, fmt.Errorf("decode the ledger's state: %w", err)
	}
	if s.Version > StateVersion {
		return nil, fmt.Errorf("the ledger's state is of format %d, this program knows up to %d: upgrade it", s.Version, StateVersion)
	}
	return s, nil
}

// Open gives the recovery of host that is not closed, nil if there is none.
func (s *State) Open(host nova.HostName) *Recovery {
	for _, r := range s.Recoveries {
		if r.Host == host && r.Status != StatusClosed {
			return r
		}
	}
	return nil
}

// Last gives the newest recovery of host that is remembered, nil if there is none.
func (s *State) Last(host nova.HostName) (last *Recovery) {
	for _, r := range s.Sorted() {
		if r.Host == host {
			last = r
		}
	}
	return last
}

// Permits says whether the ledger as it stands still allows an action that was
// decided a moment ago: its recovery is open, its proof was not voided, and its
// promise is the one in force, and neither freeze nor mode halts it. Whoever writes to the world asks it last.
func (s *State) Permits(a Action) error {
	if a.Step.guestStep() {
		return s.permitsRestart(a)
	}
	if a.Step.ailingStep() {
		return s.permitsAiling(a)
	}
	r := s.Recoveries[a.Recovery]
	if r == nil || (r.Status == StatusClosed && a.Shield == "") {
		return fmt.Errorf("recovery %s is closed", a.Recovery)
	}
	if err := s.halts(a, r); err != nil {
		return err
	}
	if a.Step == StepFailback {
		return s.permitsFailback(r, a)
	}
	if a.Step == StepStop {
		return r.permitsStop(a)
	}
	if _, ok := r.Proved(); (a.Step == StepForceDown || a.Step == StepEvacuate || a.Step == StepReset) && (!ok || a.Boot != r.Boot) {
		return fmt.Errorf("%w: it was voided: %s", fence.ErrNoProof, r.Void)
	}
	if e := r.Evacuation(a.Server); a.Step == StepReset && (e == nil || e.State != EvacReset || e.Resets != a.Attempt) {
		return fmt.Errorf("reset %d of %s is not the one that was promised", a.Attempt, a.Server)
	}
	if e := r.Evacuation(a.Server); a.Step == StepEvacuate && (e == nil || e.State != EvacIntent || e.Attempt != a.Attempt) {
		return fmt.Errorf("attempt %d of %s is not the one that was promised", a.Attempt, a.Server)
	} else if a.Step == StepEvacuate {
		for _, l := range e.Losses {
			if err := s.gone(l); err != nil {
				return err
			}
		}
	}
	return nil
}

// Sorted lists the recoveries in the order of their opening.
func (s *State) Sorted() []*Recovery {
	rs := make([]*Recovery, 0, len(s.Recoveries))
	for _, r := range s.Recoveries {
		rs = append(rs, r)
	}
	slices.SortFunc(rs, func(a, b *Recovery) int {
		if c := a.Opened.Compare(b.Opened); c != 0 {
			return c
		}
		return strings.Compare(string(a.ID), string(b.ID))
	})
	return rs
}

// HostNames lists the hosts by name.
func (s *State) HostNames() []nova.HostName {
	names := make([]nova.HostName, 0, len(s.Hosts))
	for n := range s.Hosts {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

func (s *State) host(name nova.HostName) *Host {
	h := s.Hosts[name]
	if h == nil {
		h = &Host{Name: name}
		s.Hosts[name] = h
	}
	return h
}

// newer takes what was seen, unless something newer is known. What a wrong clock
// dated into the future is not newer: it would close a gate until then.
func newer(at, seen, known time.Time) time.Time {
	if seen.After(known) || !seen.IsZero() && known.After(at.Add(ClockSlack)) {
		return seen
	}
	return known
}

func (s *State) seen(at time.Time, seen HostSeen) {
	h := s.host(seen.Host)
	if seen.Boot != "" {
		if h.Boot != "" && h.Boot != seen.Boot && !h.Maintenance && s.Open(seen.Host) == nil {
			s.upset(seen.Host, at, UpsetReboot)
		}
		h.Boot = seen.Boot
	}
	h.PoweredOn, h.ReadOff = newer(at, seen.PoweredOn, h.PoweredOn), newer(at, seen.ReadOff, h.ReadOff)
	if !seen.Heard.IsZero() {
		h.Heard, h.Answers = newer(at, seen.Heard, h.Heard), seen.Answers
	}
	if seen.Ring != "" {
		h.Ring = seen.Ring
	}
	if seen.MayWatch != nil {
		h.MayWatch = *seen.MayWatch
	}
	if seen.Watchdog != nil {
		s.watch(h, seen.Watchdog, at)
	}
	if seen.Machine != nil {
		h.Machine = *seen.Machine
	}
	if len(seen.Checks) > 0 {
		h.Checks = seen.Checks
	}
	if seen.Listed {
		h.Instances = seen.Instances
	}
}

// dropTokens forgets those that have expired.
func (s *State) dropTokens(now time.Time) {
	for id, t := range s.Tokens {
		if now.After(t.Expires) {
			delete(s.Tokens, id)
		}
	}
}
