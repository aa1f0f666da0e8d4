package nova

import "time"

// ServiceState is what Nova believes of a service's heartbeat.
type ServiceState string

// A service in a cell that cannot be reached is StateUnknown, never down
// (os-services from microversion 2.69 on lists it as UNKNOWN).
const (
	StateUp      ServiceState = "up"
	StateDown    ServiceState = "down"
	StateUnknown ServiceState = "unknown"
)

// Service is one nova-compute service of os-services.
type Service struct {
	ID             string
	Host           HostName
	Zone           string
	State          ServiceState
	Disabled       bool
	DisabledReason string
	ForcedDown     bool
	// UpdatedAt also moves when somebody enables, disables or forces down
	// the service: it is no measure of liveness by itself. Zero until the first
	// report of a service that has just been created, which Nova says is up.
	UpdatedAt time.Time
}

// ServiceUpdate is one PUT on a service. Nil fields are left alone. Nova saves
// the row before it asks the compute anything: a time-out does not mean that
// nothing was changed (compute/api.py, HostAPI.service_update).
type ServiceUpdate struct {
	Disabled       *bool
	DisabledReason string
	ForcedDown     *bool
}

// Names of the services that an evacuation passes through.
const (
	Conductor = "nova-conductor"
	Scheduler = "nova-scheduler"
)

// ControlService is one service of Nova's own control plane.
type ControlService struct {
	Binary    string
	Host      HostName
	State     ServiceState
	UpdatedAt time.Time
}

// Control is the list of Nova's conductors and schedulers.
type Control []ControlService

// Up counts the services of this name that heartbeat.
func (c Control) Up(binary string) int {
	n := 0
	for _, s := range c {
		if s.Binary == binary && s.State == StateUp {
			n++
		}
	}
	return n
}

// CanSchedule says whether an evacuation would find a conductor and a
// scheduler. Without them its row stays `accepted` for ever: nothing in Nova
// times it out.
func (c Control) CanSchedule() bool { return c.Up(Conductor) > 0 && c.Up(Scheduler) > 0 }
