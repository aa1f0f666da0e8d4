package detector

// State is a verdict's word. The same string stands in log, metric, API and
// golden files.
type State string

// The verdicts on a host.
const (
	Healthy      State = "Healthy"
	Suspect      State = "Suspect"      // missed heartbeats or a ring's dead; under investigation
	Dead         State = "Dead"         // every independent witness agrees
	Isolated     State = "Isolated"     // alive, but a network of it is gone
	Unmanageable State = "Unmanageable" // answers on the network, no heartbeat: guests may run
	PathFault    State = "PathFault"    // alive, but cut off from the control plane
	Degraded     State = "Degraded"     // alive, nova-compute ill
	Rebooted     State = "Rebooted"     // a new boot id: its instances are down
	Unknown      State = "Unknown"      // not enough evidence to say anything
	Maintenance  State = "Maintenance"
	Leaving      State = "Leaving" // announced its stop
)

// Lives says that a host is heard, and that nothing ails it but its nova-compute.
func (s State) Lives() bool { return s == Healthy || s == Degraded }

// States lists every verdict, for metrics and documents.
var States = [...]State{Healthy, Suspect, Dead, Isolated, Unmanageable, PathFault, Degraded, Rebooted, Unknown, Maintenance, Leaving}

// Reason is why a verdict is what it is.
type Reason string

// Reasons of verdicts.
const (
	ReasonHeartbeat          Reason = "heartbeat-heard"
	ReasonNetworkUnconfirmed Reason = "reaches-nobody-not-confirmed"
	ReasonHeartbeatVeto      Reason = "heartbeat-heard-by-a-minority"
	ReasonNeverHeard         Reason = "never-heard-from"
	ReasonNoMajority         Reason = "too-few-controllers-report"
	ReasonWitnessLost        Reason = "last-witness-does-not-report"
	ReasonAnnounced          Reason = "stop-announced"
	ReasonLeaveExpired       Reason = "announced-stop-expired"
	ReasonOperator           Reason = "operator-maintenance"
	ReasonNetworkAnswers     Reason = "answers-on-the-network"
	ReasonNovaReports        Reason = "nova-compute-still-reports"
	ReasonMinorityPath       Reason = "heard-by-a-minority-reached-by-peers"
	ReasonNoPath             Reason = "reached-by-peers-not-by-controllers"
	ReasonPathVIP            Reason = "control-plane-reached-by-others-only"
	ReasonRingAlive          Reason = "alive-in-the-ring-without-heartbeat"
	ReasonManagementGone     Reason = "management-network-gone"
	ReasonStorageGone        Reason = "storage-network-gone"
	ReasonTenantGone         Reason = "tenant-network-gone"
	ReasonNetworksGone       Reason = "several-networks-gone"
	ReasonPowerOff           Reason = "bmc-reads-off"
	ReasonNoBaseline         Reason = "no-probe-was-ever-answered"
	ReasonInvestigating      Reason = "investigation-not-finished"
	ReasonNetworkNotAsked    Reason = "a-network-was-not-asked"
	ReasonFewVotes           Reason = "too-few-votes"
	ReasonHoldDown           Reason = "hold-down"
	ReasonSilent             Reason = "silent-to-all"
	ReasonNewBoot            Reason = "new-boot-id"
	ReasonComputeDown        Reason = "nova-compute-down"
	ReasonServiceFailed      Reason = "service-failed-for-good"
	ReasonUnwatched          Reason = "silent-since-before-the-controllers"
)

// Reasons lists every reason, for documents.
var Reasons = [...]Reason{
	ReasonHeartbeat, ReasonNetworkUnconfirmed, ReasonHeartbeatVeto, ReasonNeverHeard, ReasonNoMajority, ReasonWitnessLost,
	ReasonAnnounced, ReasonLeaveExpired, ReasonOperator, ReasonNetworkAnswers, ReasonNovaReports, ReasonMinorityPath,
	ReasonNoPath, ReasonPathVIP, ReasonRingAlive, ReasonManagementGone, ReasonStorageGone, ReasonTenantGone, ReasonNetworksGone, ReasonPowerOff,
	ReasonNoBaseline, ReasonInvestigating, ReasonNetworkNotAsked, ReasonFewVotes, ReasonHoldDown, ReasonSilent, ReasonNewBoot, ReasonComputeDown, ReasonServiceFailed, ReasonUnwatched,
}
