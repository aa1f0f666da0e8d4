package nova

import (
	"net/netip"
	"time"
)

// ServerID is a server's UUID.
type ServerID string

// Power states as Nova numbers them (nova/compute/power_state.py).
const (
	PowerNoState   = 0
	PowerRunning   = 1
	PowerPaused    = 3
	PowerShutdown  = 4
	PowerCrashed   = 6
	PowerSuspended = 7
)

// States of a server that decide what may be done with it, in Nova's spelling.
const (
	VMActive   = "active"
	VMStopped  = "stopped"
	VMError    = "error"
	VMBuilding = "building"
	VMDeleted  = "deleted"

	VMPaused    = "paused"
	VMSuspended = "suspended"
	VMRescued   = "rescued"
	VMResized   = "resized" // VERIFY_RESIZE

	TaskRebuilding   = "rebuilding"
	TaskMigrating    = "migrating"
	TaskResizePrep   = "resize_prep" // nothing of its disk has moved yet
	TaskDeleting     = "deleting"
	TaskSoftDeleting = "soft-deleting"
)

// Server is what Lifeboat reads of an instance. VMState and TaskState carry
// Nova's own words in lower case; an empty TaskState is none.
type Server struct {
	ID         ServerID
	Name       string
	Project    string
	Host       HostName
	Status     string
	VMState    string
	TaskState  string
	PowerState int
	// LaunchedAt is zero for a server that never booted.
	LaunchedAt   time.Time
	Locked       bool
	VolumeBooted bool
	Volumes      int
	// VolumeIDs are Cinder's of what is attached, MACs those of its ports.
	VolumeIDs []string
	MACs      []string
	RAMMiB    int
	VCPUs     int
	DiskGiB   int // on the host; a root disk on a volume is none
	// EphemeralGiB is what of that is neither root nor swap.
	EphemeralGiB int
	Metadata     map[string]string
	Fault        string
	// FaultCode is 500 where Nova has no better one; FaultTrace is then the traceback, for
	// administrators.
	FaultCode  int
	FaultTrace string
	FaultAt    time.Time
	// Groups are the UUIDs of the server groups it belongs to.
	Groups []string
	// Apart are those of them whose members must not share a host, Together those
	// whose members must.
	Apart, Together []string
	Flavor          string
	// FlavorExtra are the flavor's extra specs as they were at boot; nil where
	// the account may not see them.
	FlavorExtra map[string]string
	Image       string // empty when it boots from a volume
	// ImageProperties are its image's of today; nil where they were not read.
	ImageProperties map[string]string
	Zone            string // of the host that it is on
	// Pinned is the zone that it was asked for in, which Nova keeps it in. "": none, or Nova
	// is older than 2024.1 and does not tell.
	Pinned string
	Node   string // the hypervisor's hostname, which may differ from Host
	// Addresses are its own, floating ones first.
	Addresses []netip.Addr
}

// ServerGroup is a scheduling group of servers.
type ServerGroup struct {
	ID      string
	Name    string
	Policy  string
	Members []ServerID
}

// Policies of server groups. The soft ones may be violated by the scheduler.
const (
	PolicyAffinity         = "affinity"
	PolicyAntiAffinity     = "anti-affinity"
	PolicySoftAffinity     = "soft-affinity"
	PolicySoftAntiAffinity = "soft-anti-affinity"
)
