package detector

// State is a verdict's word. The same string stands in log, metric, API and
// golden files.
type State string

// The verdicts on a host.
const (
	Healthy      State = "Healthy"
	Suspect      State = "Suspect"      // missed heartbeats or a ring's dead; under investigation
	Dead         State = "Dead"         // every independent witness agrees
	Unmanageable State = "Unmanageable" // answers on the network, no heartbeat: guests may run
	Degraded     State = "Degraded"     // alive, nova-compute ill
	Rebooted     State = "Rebooted"     // a new boot id: its instances are down
	Unknown      State = "Unknown"      // not enough evidence to say anything
	Maintenance  State = "Maintenance"
	Leaving      State = "Leaving" // announced its stop
)

// States lists every verdict, for metrics and documents.
var States = [...]State{Healthy, Suspect, Dead, Unmanageable, Degraded, Rebooted, Unknown, Maintenance, Leaving}

// Reason is why a verdict is what it is.
type Reason string

// Reasons of verdicts.
const (
	ReasonHeartbeat       Reason = "heartbeat-heard"
	ReasonHeartbeatVeto   Reason = "heartbeat-heard-by-a-minority"
	ReasonNeverHeard      Reason = "never-heard-from"
	ReasonNoMajority      Reason = "too-few-controllers-report"
	ReasonAnnounced       Reason = "stop-announced"
	ReasonLeaveExpired    Reason = "announced-stop-expired"
	ReasonOperator        Reason = "operator-maintenance"
	ReasonNetworkAnswers  Reason = "answers-on-the-network"
	ReasonNovaReports     Reason = "nova-compute-still-reports"
	ReasonPowerOff        Reason = "bmc-reads-off"
	ReasonNoBaseline      Reason = "no-probe-was-ever-answered"
	ReasonInvestigating   Reason = "investigation-not-finished"
	ReasonFewVotes        Reason = "too-few-ring-votes"
	ReasonHoldDown        Reason = "hold-down"
	ReasonSilent          Reason = "silent-to-all"
	ReasonNewBoot         Reason = "new-boot-id"
	ReasonComputeDown     Reason = "nova-compute-down"
	ReasonHeartbeatMissed Reason = "heartbeats-missed"
)
