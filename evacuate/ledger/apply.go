package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

// maxEntry keeps one entry from holding up heartbeats.
const maxEntry = 4 << 20

// Apply commits one entry and gives what the Machine answered on this replica.
// Where the Machine answered with an error the entry is committed all the same.
// Errors: NotLeaderError and ErrTimeout mean that nothing was done,
// ErrOutcomeUnknown that it may have been, or will be.
func (l *Ledger) Apply(ctx context.Context, data []byte) (any, error) {
	if len(data) > maxEntry {
		return nil, fmt.Errorf("an entry of %d bytes is too long: at most %d", len(data), maxEntry)
	}
	return l.apply(ctx, entryApplication, data)
}

func (l *Ledger) apply(ctx context.Context, kind byte, data []byte) (any, error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("%w: %w", ErrTimeout, context.Cause(ctx))
	}
	var future raft.ApplyFuture
	err := l.wait(ctx, func() raft.Future {
		future = l.raft.Apply(wrap(kind, data), l.enqueue(ctx))
		return future
	})
	if err != nil {
		return nil, l.translate(err)
	}
	return future.Response(), nil
}

// enqueue is how long Raft may take until it takes a request up.
func (l *Ledger) enqueue(ctx context.Context) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return max(time.Millisecond, deadline.Sub(l.opts.Now()))
	}
	return 10 * time.Second
}

// Verify makes sure that this replica led at some moment after the call began,
// and that its Machine has seen all that was committed before. It says nothing
// about the next moment. It commits an empty entry: Raft's own VerifyLeader
// takes the answers to heartbeats that were sent before it was asked, and so
// can confirm a leader that has been cut off already.
func (l *Ledger) Verify(ctx context.Context) error {
	if err := l.Barrier(ctx); err != nil {
		return fmt.Errorf("verify leadership: %w", err)
	}
	return nil
}

// Barrier waits until this replica, which must lead, has applied all that was
// committed before.
func (l *Ledger) Barrier(ctx context.Context) error {
	if err := l.wait(ctx, func() raft.Future { return l.raft.Barrier(l.enqueue(ctx)) }); err != nil {
		return fmt.Errorf("wait for the ledger's barrier: %w", err)
	}
	return nil
}

// Transfer hands leadership over to the replica that lags least.
func (l *Ledger) Transfer(ctx context.Context) error {
	if err := l.wait(ctx, func() raft.Future { return l.raft.LeadershipTransfer() }); err != nil {
		return fmt.Errorf("hand leadership over: %w", err)
	}
	return nil
}

// Leader tells who leads as far as this replica knows, and whether it does so
// itself. Cached: for an act use Verify.
func (l *Ledger) Leader() (id, address string, isSelf bool) {
	a, i := l.raft.LeaderWithID()
	return string(i), string(a), l.raft.State() == raft.Leader
}

// Term is Raft's current term. It grows with every election.
func (l *Ledger) Term() uint64 { return l.raft.CurrentTerm() }

// ID is this replica's.
func (l *Ledger) ID() string { return l.opts.ID }

// ClusterID names the cluster for all time; empty before its founding entry.
func (l *Ledger) ClusterID() string { return l.replica.shown.Load().ClusterID }
