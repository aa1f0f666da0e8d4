// Package runner carries out what the core decides: it calls BMCs and Nova,
// reads back what came of it, and answers with an outcome. It verifies
// leadership, term and deadline before each irreversible call and never decides
// what comes next.
package runner

import (
	"context"
	"net/netip"
	"time"

	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// Fencer commands and reads the power of hosts by name.
type Fencer interface {
	Off(ctx context.Context, host, boot string, guard fence.Guard) (fence.Proof, []fence.Attempt, error)
	Read(ctx context.Context, host string) fence.Reading
	On(ctx context.Context, host string, guard fence.Guard) error
}

// Hands has another controller power a host off. It returns only when nothing of it can
// be under way any more.
type Hands interface {
	Off(ctx context.Context, a evacuate.Action, guard fence.Guard) (fence.Proof, []fence.Attempt, error)
}

// Storage takes a host's storage away and gives it back, by a program of the operator's.
// Each returns nil only where that has been read back, and asks the guard as the last
// thing before it begins.
type Storage interface {
	Fence(ctx context.Context, host string, guard fence.Guard) error
	Unfence(ctx context.Context, host string, guard fence.Guard) error
}

// Services reads and changes nova-compute services.
type Services interface {
	Service(ctx context.Context, host nova.HostName) (nova.Service, error)
	UpdateService(ctx context.Context, id string, u nova.ServiceUpdate) (nova.Service, error)
	ComputeStatusDisabled(ctx context.Context, host nova.HostName) (bool, error)
	// Claims are those to whom Placement gives room on a host.
	Claims(ctx context.Context, host nova.HostName) ([]nova.ServerID, error)
}

// Aggregates are host aggregates and who is in them.
type Aggregates interface {
	Aggregates(ctx context.Context) ([]nova.Aggregate, error)
	JoinAggregate(ctx context.Context, id int, host nova.HostName) error
	LeaveAggregate(ctx context.Context, id int, host nova.HostName) error
}

// Servers reads servers, stops one that must not run, and starts one that must.
type Servers interface {
	Servers(ctx context.Context, host nova.HostName) ([]nova.Server, error)
	Server(ctx context.Context, id nova.ServerID) (nova.Server, error)
	// ServersSince are servers that changed since then by Nova's clock, as they are
	// now; it need not know all of them.
	ServersSince(ctx context.Context, since time.Time) ([]nova.Server, error)
	Stop(ctx context.Context, id nova.ServerID) (requestID string, err error)
	// Start starts one that is stopped, on its host.
	Start(ctx context.Context, id nova.ServerID) (requestID string, err error)
	// Moves are the live migrations and resizes away from a host, Nova's memory of
	// them whole.
	Moves(ctx context.Context, source nova.HostName) ([]nova.Migration, error)
}

// Devices are what Nova has attached to servers.
type Devices interface {
	Volumes(ctx context.Context, id nova.ServerID) ([]nova.Volume, error)
	Ports(ctx context.Context, id nova.ServerID) ([]nova.Port, error)
}

// Evacuator evacuates. It takes the proof itself: without one it cannot be
// called.
type Evacuator interface {
	// Reset puts a server into state error.
	Reset(ctx context.Context, proof fence.Proof, source nova.HostName, boot string, id nova.ServerID) (requestID string, err error)
	Evacuate(ctx context.Context, proof fence.Proof, source nova.HostName, boot string, id nova.ServerID, to nova.Target) (requestID string, err error)
	Evacuations(ctx context.Context, source nova.HostName) ([]nova.Migration, error)
	Actions(ctx context.Context, id nova.ServerID) ([]nova.InstanceAction, error)
}

// Ports connects to instances.
type Ports interface {
	// Connect says whether one of the addresses takes a TCP connection.
	Connect(ctx context.Context, addresses []netip.Addr, port int) error
}

// Quorum verifies that this controller leads.
type Quorum interface {
	Verify(ctx context.Context) error
	Term() uint64
}

// Deadline runs on every clock at once; a jump between them ends it.
type Deadline interface {
	Left() (time.Duration, bool)
}

// Clock is the one seam of time.
type Clock interface {
	Now() time.Time
	Sleep(ctx context.Context, d time.Duration) error
	Deadline(d time.Duration) Deadline
}

// Ledger takes entries.
type Ledger interface {
	Quorum
	Apply(ctx context.Context, e evacuate.Entry) error
}
