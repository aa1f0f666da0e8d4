package detector

import (
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// View is the evidence on one host at one instant, ages included: all that
// Judge may look at.
type View struct {
	Host   nova.HostName `json:"host"`
	Domain Domain        `json:"domain"`
	At     time.Time     `json:"at"`
	// Boot is the boot id last heard, KnownBoot the one that the ledger holds.
	Boot      string `json:"boot"`
	KnownBoot string `json:"known_boot"`
	// Voters is the number of controllers that there are.
	Voters int `json:"voters"`
	// HeardFor is for how long it has been heard without a gap: what was seen of
	// its networks before that is about another silence.
	HeardFor    time.Duration `json:"heard_for,omitempty"`
	Controllers []Hearing     `json:"controllers"`
	// Past is what the ledger knows of it, where no controller has heard it yet.
	Past   *Past        `json:"past,omitempty"`
	Votes  []Vote       `json:"votes"`
	Probes []ProbeSight `json:"probes"`
	Power  []PowerSight `json:"power"` // newest first
	// LastOn is how long ago its BMC last read on; 0: never.
	LastOn time.Duration `json:"last_on,omitempty"`
	// Nova is nil when Nova has not been asked.
	Nova *ServiceSight `json:"nova,omitempty"`
	// Maintenance is an operator's word; LeavingFor is how long ago the host
	// announced a stop, negative when it did not.
	Maintenance bool              `json:"maintenance"`
	LeavingFor  time.Duration     `json:"leaving_for"`
	Sensors     map[string]string `json:"sensors,omitempty"`
	// GivenUpFor is for how long a service of it has failed for good; 0: none has.
	GivenUpFor time.Duration `json:"given_up_for,omitempty"`
	// Networks are the host's own sights of its networks, and how the others
	// fare on them.
	Networks []NetworkSight `json:"networks,omitempty"`
	// Path is its way to the control plane beside that of the others; nil: nobody asks.
	Path *PathSight `json:"path,omitempty"`
}

// Hearing is what one controller says of the host's heartbeat.
type Hearing struct {
	Controller Observer `json:"controller"`
	// ReportAge is how old the controller's whole report is.
	ReportAge time.Duration `json:"report_age"`
	// HeardAge is how long ago it heard the host; negative means never.
	HeardAge time.Duration `json:"heard_age"`
	Boot     string        `json:"boot,omitempty"`
	// Listening is for how long the controller has been listening to anybody.
	Listening time.Duration `json:"listening,omitempty"`
	// Deaf says that it hears less than half of the hosts that any controller
	// hears: that it does not hear this one proves nothing.
	Deaf bool `json:"deaf,omitempty"`
}

// Vote is one ring member's opinion on the host.
type Vote struct {
	Observer Observer `json:"observer"`
	Domain   Domain   `json:"domain"`
	Dead     bool     `json:"dead"`
	// Unsaid: it holds more dead than it can name, so it has no opinion.
	Unsaid bool          `json:"unsaid,omitempty"`
	Age    time.Duration `json:"age"`
	// Ill is why the observer does not vote, empty if it does.
	Ill string `json:"ill,omitempty"`
}

// ProbeSight is a probe's result with its age.
type ProbeSight struct {
	Observer Observer      `json:"observer"`
	Network  string        `json:"network"`
	Kind     string        `json:"kind"`
	Answer   Answer        `json:"answer"`
	Age      time.Duration `json:"age"`
	// Countable says that the host answered this kind of probe on this
	// network within the last hour: only then is silence evidence.
	Countable bool `json:"countable"`
	// Domain is the observer's; Ill is why its silence counts for nothing.
	Domain Domain `json:"domain,omitempty"`
	Ill    string `json:"ill,omitempty"`
	// Answered is how long ago the host last answered anybody's probe of this kind
	// on this network; 0: never.
	Answered time.Duration `json:"answered,omitempty"`
}

// PowerSight is a BMC reading with its age.
type PowerSight struct {
	Power string        `json:"power"`
	Cause string        `json:"cause,omitempty"`
	Age   time.Duration `json:"age"`
}

// ServiceSight is Nova's view of the host's nova-compute.
type ServiceSight struct {
	State nova.ServiceState `json:"state"`
	Age   time.Duration     `json:"age"`
	// Reported says that the service's row moved after the host fell silent,
	// and not by our hand.
	Reported bool `json:"reported"`
	// DownFor is for how long Nova has called it down, as far as it was asked; 0: it does not.
	DownFor time.Duration `json:"down_for,omitempty"`
}
