package ledger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"time"
)

// Machine is the replicated state. Its calls never overlap. Apply must be
// deterministic: no clock, no configuration, no map order, no randomness.
type Machine interface {
	// Apply changes the state by one committed entry; its result is given to
	// the caller of Ledger.Apply on the leader. An error that wraps ErrCorrupt
	// stops this replica for good.
	Apply(index, term uint64, data []byte) any
	// Snapshot gives the whole state. Entries wait meanwhile: be quick.
	Snapshot() ([]byte, error)
	// Restore replaces the whole state.
	Restore(data []byte) error
}

// Restorer is a Machine that wants to know when an operator put a state of the
// past in place: right after Restore, before any other call, on every replica,
// and again whenever a replica starts from that same snapshot. What it does
// must be as deterministic as Apply: void proofs, withdraw the permission to act.
type Restorer interface {
	Restored(index, term, generation uint64) error
}

// Checker is a Machine that can judge a state before it is put in place.
// Raft panics when Restore fails, so RestoreFrom asks this first.
type Checker interface {
	Check(data []byte) error
}

// Peer is one replica.
type Peer struct {
	ID      string `json:"id"`
	Address string `json:"address"` // host:port that the others dial
}

// Streams carries Raft between replicas, each end sure of the other's identity.
type Streams interface {
	net.Listener
	// Dial connects to a replica and makes sure that it is this one.
	Dial(id, address string, timeout time.Duration) (net.Conn, error)
}

// Hello asks a replica who it is and what it remembers.
type Hello interface {
	Hello(ctx context.Context, to Peer) (Greeting, error)
}

// Timing is Raft's. The zero value is the default.
type Timing struct {
	Heartbeat time.Duration // a follower waits this long for its leader: 1 s
	Election  time.Duration // a candidate waits this long for votes: 1 s
	Lease     time.Duration // a leader without a quorum steps down after: 500 ms
	Network   time.Duration // one exchange of messages, or one dial: 3 s
}

// Options say who this replica is, where it remembers and whom it talks to.
type Options struct {
	ID string
	// Cluster is the name of the cluster in the configuration; replicas of
	// another one are refused.
	Cluster string
	// DataDir is the controller's state directory; this package uses "ledger"
	// in it. Not needed with Stores.
	DataDir string
	// Peers are the voters of the first start, this replica among them. Later
	// the ledger itself knows them.
	Peers   []Peer
	Streams Streams
	// Hello is needed by Bootstrap and AddVoter.
	Hello Hello
	// Stores is where it remembers: Disk(DataDir) unless given.
	Stores Stores
	Timing Timing
	// A snapshot is taken at every SnapshotEvery (3 min) that brought entries,
	// and after every SnapshotEntries (8192).
	SnapshotEvery   time.Duration
	SnapshotEntries uint64
	// OnFatal is called once when this replica must not go on: its disk failed,
	// or an entry is corrupt. It should end the process; if it returns, the
	// replica answers nothing but that error.
	OnFatal func(error)
	// OnStore is called right before this replica stores entries, by their indices: they
	// were asked for before. It must be quick.
	OnStore func(first, last uint64)
	Log     *slog.Logger
	Now     func() time.Time
}

func (o Options) withDefaults() Options {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&o.Timing.Heartbeat, time.Second)
	def(&o.Timing.Election, o.Timing.Heartbeat)
	def(&o.Timing.Lease, o.Timing.Heartbeat/2)
	def(&o.Timing.Network, 3*time.Second)
	def(&o.SnapshotEvery, 3*time.Minute)
	if o.SnapshotEntries == 0 {
		o.SnapshotEntries = 8192
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Validate names all that is wrong.
func (o Options) Validate() error {
	var errs []error
	bad := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf("ledger: "+format, args...))
		}
	}
	bad(o.ID == "", "no id")
	bad(o.DataDir == "" && o.Stores == nil, "no data directory")
	bad(o.Streams == nil, "no streams to other replicas")
	bad(o.OnFatal == nil, "OnFatal is missing: a replica that cannot store must end its process")
	bad(o.Now == nil, "no clock")
	bad(!slices.ContainsFunc(o.Peers, func(p Peer) bool { return p.ID == o.ID }), "the list of peers lacks this replica, %q", o.ID)
	ids, addresses := map[string]bool{}, map[string]bool{}
	for _, p := range o.Peers {
		bad(p.ID == "" || p.Address == "", "peer %+v lacks its id or address", p)
		bad(ids[p.ID], "peer %s is listed twice", p.ID)
		bad(addresses[p.Address], "address %s is listed twice", p.Address)
		ids[p.ID], addresses[p.Address] = true, true
	}
	t := o.Timing
	bad(t.Lease > t.Heartbeat, "lease %s is longer than heartbeat %s", t.Lease, t.Heartbeat)
	bad(t.Election < t.Heartbeat, "election %s is shorter than heartbeat %s", t.Election, t.Heartbeat)
	return errors.Join(errs...)
}

func (o Options) self() Peer {
	i := slices.IndexFunc(o.Peers, func(p Peer) bool { return p.ID == o.ID })
	return o.Peers[i]
}
