package ledger

import (
	"fmt"
	"sync"

	"github.com/hashicorp/raft"
)

// guard remembers the first fault after which this replica must not act. Raft
// goes on after a failed StoreLogs, and a second fsync may succeed although the
// first one's pages are lost: hence nothing is stored after a failure.
type guard struct {
	onFatal func(error)
	failed  chan struct{} // closed at the fault

	mu  sync.Mutex
	err error
}

func newGuard(onFatal func(error)) *guard {
	return &guard{onFatal: onFatal, failed: make(chan struct{})}
}

// Err gives the fault, nil while there is none.
func (g *guard) Err() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

func (g *guard) fail(err error) {
	g.mu.Lock()
	first := g.err == nil
	if first {
		g.err = err
	}
	g.mu.Unlock()
	if first {
		close(g.failed)
		g.onFatal(err)
	}
}

// check runs one write, unless one has failed before.
func (g *guard) check(what string, write func() error) error {
	if err := g.Err(); err != nil {
		return err
	}
	err := write()
	if err != nil {
		err = fmt.Errorf("%s: %w", what, err)
		g.fail(err)
	}
	return err
}

// guardedLog ends the process when the log cannot be written.
type guardedLog struct {
	raft.LogStore
	guard *guard
	// stores is told before entries are stored; nil: nobody asks.
	stores func(first, last uint64)
}

// IsMonotonic passes the store's property on: Raft asks for it by type.
func (s guardedLog) IsMonotonic() bool {
	m, ok := s.LogStore.(raft.MonotonicLogStore)
	return ok && m.IsMonotonic()
}

// StoreLog stores one entry.
func (s guardedLog) StoreLog(log *raft.Log) error { return s.StoreLogs([]*raft.Log{log}) }

// StoreLogs stores entries.
func (s guardedLog) StoreLogs(logs []*raft.Log) error {
	if s.stores != nil && len(logs) > 0 {
		s.stores(logs[0].Index, logs[len(logs)-1].Index)
	}
	return s.guard.check("store the ledger's entries", func() error { return s.LogStore.StoreLogs(logs) })
}

// DeleteRange drops entries: those a snapshot holds, or those another leader
// has overruled. Were the latter to stay, this replica would diverge.
func (s guardedLog) DeleteRange(low, high uint64) error {
	return s.guard.check("drop entries of the ledger", func() error { return s.LogStore.DeleteRange(low, high) })
}

// guardedStable ends the process when a vote or a term cannot be written: it
// might be given twice.
type guardedStable struct {
	raft.StableStore
	guard *guard
}

// Set stores a value.
func (s guardedStable) Set(key, value []byte) error {
	return s.guard.check("store the ledger's vote", func() error { return s.StableStore.Set(key, value) })
}

// SetUint64 stores a number.
func (s guardedStable) SetUint64(key []byte, value uint64) error {
	return s.guard.check("store the ledger's term", func() error { return s.StableStore.SetUint64(key, value) })
}

// get reads a value that may be missing: stores differ in how they say so.
func (s guardedStable) get(key string) ([]byte, error) {
	b, err := s.Get([]byte(key))
	if err != nil && err.Error() != "not found" {
		return nil, fmt.Errorf("read %s from the ledger's store: %w", key, err)
	}
	return b, nil
}
