package ledger

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
)

var (
	// ErrCorrupt marks an entry or a state that no replica may survive: a
	// Machine wraps it to stop the replica.
	ErrCorrupt = errors.New("corrupt ledger")
	// ErrOutcomeUnknown means that the entry may be committed, now or later,
	// or never: read the state, or repeat an entry that may be repeated.
	ErrOutcomeUnknown = errors.New("outcome unknown")
	// ErrTimeout means that the entry was never taken up.
	ErrTimeout = errors.New("timed out before the ledger took it up")
	// ErrClosed means that this replica was closed.
	ErrClosed = errors.New("the ledger is closed")
	// ErrFatal means that this replica has stopped: its disk failed or an
	// entry was corrupt.
	ErrFatal = errors.New("the ledger has stopped")
)

// NotLeaderError says that another replica leads, and which, if it is known.
// Nothing was done.
type NotLeaderError struct{ Leader Peer }

// Error names the leader.
func (e *NotLeaderError) Error() string {
	if e.Leader.ID == "" {
		return "not the leader, and no leader is known"
	}
	return fmt.Sprintf("not the leader: that is %s at %s", e.Leader.ID, e.Leader.Address)
}

// IsNotLeader tells a NotLeaderError.
func IsNotLeader(err error) bool {
	_, ok := errors.AsType[*NotLeaderError](err)
	return ok
}

// translate turns Raft's errors about an entry into this package's. An entry
// that Raft may have stored has an unknown outcome, whatever Raft calls it.
func (l *Ledger) translate(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrFatal), errors.Is(err, ErrClosed), IsNotLeader(err):
		return err
	case errors.Is(err, raft.ErrEnqueueTimeout):
		return ErrTimeout
	}
	return fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
}

// wait waits for a future no longer than ctx allows. Raft's futures know no
// context, so a goroutine waits on; Close waits for all of these.
func (l *Ledger) wait(ctx context.Context, start func() raft.Future) error {
	if err := l.begin(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { // owned by l.pending, which begin has raised
		defer l.pending.Done()
		done <- start().Error()
	}()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if fatal := l.guard.Err(); err != nil && fatal != nil {
		return fmt.Errorf("%w: %w", ErrFatal, fatal)
	}
	if errors.Is(err, raft.ErrNotLeader) || errors.Is(err, raft.ErrLeadershipTransferInProgress) || errors.Is(err, raft.ErrNotVoter) {
		id, address, self := l.Leader()
		if self { // in the middle of handing over
			id, address = "", ""
		}
		return &NotLeaderError{Leader: Peer{ID: id, Address: address}}
	}
	return err
}

// begin counts a call in, unless the ledger is closed or has stopped.
func (l *Ledger) begin() error {
	if fatal := l.guard.Err(); fatal != nil {
		return fmt.Errorf("%w: %w", ErrFatal, fatal)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	l.pending.Add(1)
	return nil
}
