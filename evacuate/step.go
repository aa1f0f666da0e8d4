// Package evacuate decides what happens to a dead host's instances: which gates
// stand open, which step comes next, what was promised and what was done. It is
// pure: State changes only by Apply, time and evidence come in as values, and
// what is to be done goes out as Actions that a runner carries out.
package evacuate

import (
	"slices"
	"time"
)

// Step is one stage of a recovery. Its string stands in the ledger, logs,
// metrics and the API.
type Step string

// The steps, in the order of docs/recovery.md. Disable and fence run side by
// side; everything after fence needs its proof.
const (
	StepOpen    Step = "open"
	StepDisable Step = "disable"
	StepFence   Step = "fence"
	// StepFenceStorage and StepUnfenceStorage call the operator's program, where there
	// is one: beside the power-off, and before the host returns.
	StepFenceStorage   Step = "fence-storage"
	StepUnfenceStorage Step = "unfence-storage"

	StepForceDown Step = "force-down"
	StepList      Step = "list"
	StepEvacuate  Step = "evacuate"
	StepVerify    Step = "verify"
	StepReport    Step = "report"
	StepPowerOn   Step = "power-on"
	StepUnforce   Step = "un-force-down"
	StepEnable    Step = "enable"
	StepCancel    Step = "cancel"

	// StepReset writes one instance's state before its evacuation; its journal is
	// the instance's own.
	StepReset Step = "reset"
	// StepStop stops one that was stopped before its evacuation, and runs after it.
	StepStop Step = "stop"
	// StepReserve enables a reserved host, or puts it back; its journal is the
	// recovery's Reserves.
	StepReserve Step = "reserve"
	// StepFailback sends one instance home; its journal is the recovery's Failback.
	StepFailback Step = "failback"

	// StepStopGuest and StepStartGuest are of an instance that ended by itself, and of no
	// recovery; their journal is the state's Restarts. StepLookGuest reads it.
	StepStopGuest  Step = "stop-guest"
	StepStartGuest Step = "start-guest"
	StepLookGuest  Step = "look-guest"

	// StepDisableAiling and StepEnableAiling are of a host whose services fail, and of no
	// recovery.
	StepDisableAiling Step = "disable-ailing"
	StepEnableAiling  Step = "enable-ailing"
	// StepMoveAway sends one instance of such a host elsewhere; its journal is the
	// Ailing's Away. StepTraceAway reads it.
	StepMoveAway  Step = "move-away"
	StepTraceAway Step = "trace-away"

	// StepObserve, StepResolve, StepProbe, StepTrace and StepRelist only read: they are never recorded.
	StepObserve Step = "observe"
	StepResolve Step = "resolve"
	StepProbe   Step = "probe"  // does a port of an instance answer
	StepRelist  Step = "relist" // what has turned up on a host since its list
	StepTrace   Step = "trace"  // where is an instance that may go home, or is on its way
)

// Steps lists the recorded steps in order.
var Steps = [...]Step{
	StepOpen, StepDisable, StepFenceStorage, StepFence, StepForceDown, StepList, StepEvacuate,
	StepVerify, StepReport, StepUnfenceStorage, StepPowerOn, StepUnforce, StepEnable, StepCancel,
}

// order is a step's place among Steps; no step is before all of them.
func (s Step) order() int { return slices.Index(Steps[:], s) }

// deadline bounds one attempt at a step: the runner refuses to start its
// irreversible call later than that after the intent, and a new leader waits
// it out before it resumes a step of an older term.
func (s Step) deadline() time.Duration {
	switch s {
	case StepFence:
		return 90 * time.Second // two links of the longest default budget and slack
	case StepPowerOn, StepFenceStorage, StepUnfenceStorage, StepVerify:
		return 60 * time.Second
	case StepEvacuate, StepEnable:
		return 30 * time.Second // a burst of POSTs on a busy API
	case StepDisable:
		return 5 * time.Second
	default:
		return 15 * time.Second
	}
}

// Phase is how far a step has come.
type Phase string

// Phases. PhaseDoubt is an outside call whose effect is not known.
const (
	PhaseIntent Phase = "intent"
	PhaseDone   Phase = "done"
	PhaseFailed Phase = "failed"
	PhaseDoubt  Phase = "in-doubt"
)

// StepRecord is a step in the ledger.
type StepRecord struct {
	Phase    Phase         `json:"phase"`
	Attempt  int           `json:"attempt"`
	Term     uint64        `json:"term"`
	By       string        `json:"by"`
	Intent   time.Time     `json:"intent"`
	Deadline time.Duration `json:"deadline"`
	Ended    time.Time     `json:"ended,omitzero"`
	Cause    string        `json:"cause,omitempty"`
	Detail   string        `json:"detail,omitempty"`
	// Hand is the other controller that carries it out; "": the leader itself.
	Hand string `json:"hand,omitempty"`
}
