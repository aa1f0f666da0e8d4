package evacuate

import (
	"slices"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// RecoveryID names a recovery: "r1", "r2", ... in the order of opening.
type RecoveryID string

// Status is a recovery's place in its life.
type Status string

// Statuses. A recovered host stays fenced until it returns.
const (
	StatusOpen      Status = "open"      // being fenced or evacuated
	StatusRecovered Status = "recovered" // instances are up elsewhere, the host is down
	StatusReturning Status = "returning" // powered on, not yet enabled
	StatusClosed    Status = "closed"
)

// Outcomes of a closed recovery.
const (
	OutcomeReturned  = "returned"
	OutcomeCancelled = "cancelled"
	OutcomeForgotten = "forgotten"
)

// Recovery is one dead host's way back, as the ledger holds it.
type Recovery struct {
	ID     RecoveryID    `json:"id"`
	Host   nova.HostName `json:"host"`
	Boot   string        `json:"boot"`
	Status Status        `json:"status"`
	Opened time.Time     `json:"opened"`
	// LastHeard is the host's last heartbeat: the best estimate of its death.
	LastHeard time.Time `json:"last_heard"`
	Term      uint64    `json:"term"`

	Verdict detector.State  `json:"verdict"`
	Reason  detector.Reason `json:"reason"`
	Detail  string          `json:"detail"`

	// Aggregates are those of its host at the opening: their modes halt it.
	Aggregates []string `json:"aggregates,omitempty"`
	// Approval is a person's word where the mode or a storm asks for one.
	Approval *Approval `json:"approval,omitempty"`
	// Cancel is an operator's wish to undo it while there is no proof.
	Cancel *Mark `json:"cancel,omitempty"`
	// Relist is an operator's wish to have its host listed once more, until it was.
	Relist *Mark `json:"relist,omitempty"`
	// Left lists what a recovery that was ended by hand left behind.
	Left []string `json:"left,omitempty"`

	Service ServiceBefore        `json:"service"`
	Before  []Instance           `json:"before"`
	Steps   map[Step]*StepRecord `json:"steps"`

	Proof *fence.Record `json:"proof,omitempty"`
	// Void says why Proof is worth nothing any more.
	Void string `json:"void,omitempty"`
	// Refence says that the host came on by itself after its proof: it is
	// fenced again without asking for a verdict.
	Refence bool `json:"refence,omitempty"`
	// PowerBy lists the controllers that began a step of its power or its storage, or
	// were asked to carry it out, with the term.
	PowerBy map[string]uint64 `json:"power_by,omitempty"`
	// StorageFence is nil where the host's storage was never taken away, or was given back.
	StorageFence *StorageFence `json:"storage_fence,omitempty"`
	// OffSent is when off was last commanded, proof or not.
	OffSent time.Time `json:"off_sent,omitzero"`

	Evacuations []*Evacuation `json:"evacuations"`
	Hold        *Hold         `json:"hold,omitempty"`
	Return      *Return       `json:"return,omitempty"`
	Failback    *Failback     `json:"failback,omitempty"`
	Shielded    []Shield      `json:"shielded,omitempty"`
	Reserves    []Reserve     `json:"reserves,omitempty"`

	// Progress is filled in where a recovery is shown; the ledger has none.
	Progress *Progress `json:"progress,omitempty"`

	Recovered time.Time `json:"recovered,omitzero"`
	Closed    time.Time `json:"closed,omitzero"`
	Outcome   string    `json:"outcome,omitempty"`
	Timeline  []Event   `json:"timeline"`
}

// ServiceBefore is the nova-compute service as it was before we touched it.
type ServiceBefore struct {
	ID         string `json:"id"`
	Disabled   bool   `json:"disabled"`
	Reason     string `json:"reason,omitempty"`
	ForcedDown bool   `json:"forced_down"`
}

// Ours says that the disabling is ours to undo.
func (s ServiceBefore) Ours() bool { return !s.Disabled || IsOurReason(s.Reason) }

// Instance is a server as it was before anything was done.
type Instance struct {
	ID      nova.ServerID `json:"id"`
	Name    string        `json:"name"`
	VMState string        `json:"vm_state"`
	Task    string        `json:"task,omitempty"`
	Locked  bool          `json:"locked,omitempty"`
	RAMMiB  int           `json:"ram_mib,omitempty"`
	// Volumes are those that were attached, MACs its ports'.
	Volumes []string `json:"volumes,omitempty"`
	MACs    []string `json:"macs,omitempty"`
}

// Hold says why a recovery waits, and since when.
type Hold struct {
	Gate   GateName  `json:"gate,omitempty"`
	Step   Step      `json:"step,omitempty"`
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
}

// Return is the way back of a recovered host.
type Return struct {
	Asked  time.Time `json:"asked"`
	By     string    `json:"by"`
	Reason string    `json:"reason"`
	// Boot is the boot id with which it came back, Healthy since when.
	Boot    string    `json:"boot,omitempty"`
	Healthy time.Time `json:"healthy,omitzero"`
}

// Shield is a suspect host that was disabled so that no evacuee lands on it.
type Shield struct {
	Host nova.HostName `json:"host"`
	// Set says that the disabling was seen done, Lifted that it was undone.
	Set    bool `json:"set,omitempty"`
	Lifted bool `json:"lifted,omitempty"`
}

// Event is one line of a recovery's timeline.
type Event struct {
	At   time.Time `json:"at"`
	By   string    `json:"by"`
	Says string    `json:"says,omitempty"` // the client's word for By
	Text string    `json:"text"`
	// Host is of the journal's events; a timeline's are all of one.
	Host nova.HostName `json:"host,omitempty"`
}

// EvacState is how far one instance has come.
type EvacState string

// States of an evacuation. Skipped is final but for Revisit, and for a list that a person
// asks for: Reason says why nothing is done.
const (
	EvacPlanned   EvacState = "planned"
	EvacIntent    EvacState = "intent" // POST promised; its outcome is not known yet
	EvacFollowing EvacState = "following"
	EvacDone      EvacState = "done"
	EvacFailed    EvacState = "failed" // will be tried again at NotBefore
	EvacSkipped   EvacState = "skipped"
	EvacHeld      EvacState = "held"  // was on its way elsewhere: both ends are read
	EvacReset     EvacState = "reset" // its state is being reset; what came of it is not known yet
)

// deletedMeanwhile is the reason of one that Nova knows no more.
const deletedMeanwhile = "deleted meanwhile"

// Evacuation is one instance's journal.
type Evacuation struct {
	Server    nova.ServerID `json:"server"`
	Name      string        `json:"name"`
	VMState   string        `json:"vm_state"` // before anything
	State     EvacState     `json:"state"`
	Attempt   int           `json:"attempt"`
	Intent    time.Time     `json:"intent,omitzero"`
	Term      uint64        `json:"term,omitempty"`
	AfterRow  int           `json:"after_row"` // newest migration row before the intent
	Row       int           `json:"row,omitempty"`
	RequestID string        `json:"request_id,omitempty"`
	Dest      nova.HostName `json:"dest,omitempty"`
	Ended     time.Time     `json:"ended,omitzero"`
	NotBefore time.Time     `json:"not_before,omitzero"`
	Reason    string        `json:"reason,omitempty"`
	// Quiet is when the first of the two quiet reads of rule 3 was made.
	Quiet time.Time `json:"quiet,omitzero"`
	// Losses are the attempts that died with their destination.
	Losses []Loss `json:"losses,omitempty"`
	// Reset is that of its state to error, Resets how often that was sent.
	Reset  Reset `json:"reset,omitempty"`
	Resets int   `json:"resets,omitempty"`
	// Stop is that of one that was stopped before and came up running, Stops how often it
	// was asked for, StopWhy what stands against it.
	Stop    Stopping `json:"stop,omitempty"`
	Stops   int      `json:"stops,omitempty"`
	StopWhy string   `json:"stop_why,omitempty"`
	// Priority, Size and what its groups ask for order it among others; Odd: it asks for
	// more of a host than room.
	Priority int       `json:"priority,omitempty"`
	Size     nova.Size `json:"size,omitzero"`
	Odd      bool      `json:"odd,omitempty"`
	// Asks is that more, as far as it is looked at.
	Asks nova.Asks `json:"asks,omitzero"`
	// Zone is the one that Nova keeps it in; "": none that is known.
	Zone string `json:"zone,omitempty"`
	// Backend is the storage that it has its disks on.
	Backend  string   `json:"backend,omitempty"`
	Apart    []string `json:"apart,omitempty"`
	Together []string `json:"together,omitempty"`
	// Group is its own, After the one before it, both within Project; Port is the one that
	// must answer, and Ready how long after that it counts as up.
	Project string        `json:"project,omitempty"`
	Group   string        `json:"group,omitempty"`
	After   string        `json:"after,omitempty"`
	Port    int           `json:"port,omitempty"`
	Agent   bool          `json:"agent,omitempty"`
	Ready   time.Duration `json:"ready,omitempty"`
	// To is where the attempt was asked to go; Avoid failed earlier ones, and Free says
	// that a host that was named was refused: the scheduler chooses.
	To    nova.Target     `json:"to,omitzero"`
	Avoid []nova.HostName `json:"avoid,omitempty"`
	Free  bool            `json:"free,omitempty"`
	// Doubts are where failed attempts may have left it running; Judged is the newest row
	// of which that was said.
	Doubts []Doubt `json:"doubts,omitempty"`
	Judged int     `json:"judged,omitempty"`
	// Revisit: it was left because it may run at the other end of what was moving it, or
	// for its state, and is looked at again while its host is off.
	Revisit bool `json:"revisit,omitempty"`
	// NoHost says that the scheduler found none when it was last asked for one, Elsewhere
	// that it chose a host twice at which it failed.
	NoHost    bool `json:"no_host,omitempty"`
	Elsewhere bool `json:"elsewhere,omitempty"`
	// Unclaimed is the host that was named to it and died before it had claimed Row.
	Unclaimed nova.HostName `json:"unclaimed,omitempty"`
	// Waits says why it is not sent yet.
	Waits string `json:"waits,omitempty"`
	// Remark says what was asked for it to no effect.
	Remark string `json:"remark,omitempty"`
	// Twin names the hosts on which it runs at once, while it does.
	Twin string `json:"twin,omitempty"`
	// Check is what was read of it once it was moved; nil: not yet.
	Check *Check `json:"check,omitempty"`
	// Last is why the last attempt that failed did, kept while the next is under way.
	Last string `json:"last,omitempty"`
	// Refusals is how often in a row Nova's API refused it with the words of Last, and no
	// host named.
	Refusals int `json:"refusals,omitempty"`
}

// ReasonPrefix starts every disabled_reason of ours.
const ReasonPrefix = "lifeboat:"

// DisabledReason is the owner mark on a service: "lifeboat:r1".
func (id RecoveryID) DisabledReason() string { return ReasonPrefix + string(id) }

// IsOurReason says that a disabled_reason was written by Lifeboat.
func IsOurReason(s string) bool {
	return len(s) > len(ReasonPrefix) && s[:len(ReasonPrefix)] == ReasonPrefix
}

// Proved gives the proof if there is one that holds.
func (r *Recovery) Proved() (fence.Proof, bool) {
	if r.Proof == nil || r.Void != "" {
		return fence.Proof{}, false
	}
	p, err := fence.Prove(*r.Proof)
	return p, err == nil && p.Covers(string(r.Host), r.Boot)
}

// ProvedAt is when the host was last proven off, whatever the proof is worth
// by now; zero if it never was.
func (r *Recovery) ProvedAt() time.Time {
	if r.Proof == nil {
		return time.Time{}
	}
	p, _ := fence.Prove(*r.Proof)
	return p.At()
}

// Done says that step s has been done.
func (r *Recovery) Done(s Step) bool {
	rec := r.Steps[s]
	return rec != nil && rec.Phase == PhaseDone
}

// Terminal says that no evacuation of r can move any more: every one is done,
// skipped, or was never promised.
func (r *Recovery) Terminal() bool {
	for _, e := range r.Evacuations {
		if e.State == EvacIntent || e.State == EvacFollowing || e.State == EvacReset {
			return false
		}
	}
	return true
}

// sent says that an evacuation was promised at some time.
func (r *Recovery) sent() bool {
	return slices.ContainsFunc(r.Evacuations, func(e *Evacuation) bool { return e.Attempt > 0 || e.Resets > 0 })
}

// planned says that something is still to be sent.
func (r *Recovery) planned() bool {
	return slices.ContainsFunc(r.Evacuations, func(e *Evacuation) bool { return e.State == EvacPlanned || e.State == EvacFailed })
}

// Settled says that nothing is left to do for any instance.
func (r *Recovery) Settled() bool {
	for _, e := range r.Evacuations {
		if e.State != EvacDone && e.State != EvacSkipped {
			return false
		}
	}
	return true
}

// Count gives how many evacuations are in each state.
func (r *Recovery) Count() map[EvacState]int {
	n := map[EvacState]int{}
	for _, e := range r.Evacuations {
		n[e.State]++
	}
	return n
}

// Evacuation finds a server's journal, nil if there is none.
func (r *Recovery) Evacuation(id nova.ServerID) *Evacuation {
	for _, e := range r.Evacuations {
		if e.Server == id {
			return e
		}
	}
	return nil
}
