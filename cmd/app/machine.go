// Package app wires Lifeboat's processes: it maps configuration to the packages'
// options, starts them in order, and stops them in the reverse order. It is the
// only place that knows every package; it decides nothing itself.
package app

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/evacuate/ledger"
)

// machine is the replicated state behind a lock: Raft writes, everybody reads.
type machine struct {
	mu    sync.RWMutex
	state *evacuate.State

	copyMu sync.Mutex
	copied *evacuate.State // of index copied.Index, never changed again
	edits  uint64          // counts changes, for the copy
	at     uint64

	changed chan struct{} // one is there after a change
	// leased is the index of the entry that last changed each lease here.
	leased map[string]uint64

	roster   uint64 // version of the roster after rosterAt changes
	rosterAt uint64
}

func newMachine() *machine {
	return &machine{state: evacuate.NewState(), changed: make(chan struct{}, 1), leased: map[string]uint64{}}
}

func (m *machine) tell() {
	select {
	case m.changed <- struct{}{}:
	default:
	}
}

// Apply is called by Raft, entry by entry.
func (m *machine) Apply(index, term uint64, data []byte) any {
	e, err := evacuate.DecodeEntry(data)
	if err != nil {
		return fmt.Errorf("%w: %w", ledger.ErrCorrupt, err)
	}
	defer m.tell()
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.state.Routine(e) {
		m.edits++
	}
	err = m.state.Apply(index, term, e)
	switch {
	case errors.Is(err, evacuate.ErrCorrupt):
		return fmt.Errorf("%w: %w", ledger.ErrCorrupt, err)
	case err != nil:
		return err
	}
	if e.Kind == evacuate.KindVIPLease && e.Lease.Act != evacuate.LeaseWish && e.Lease.Act != evacuate.LeaseReady {
		for _, of := range e.Lease.Of {
			m.leased[of.VIP] = index
		}
	}
	return nil
}

// Snapshot gives the whole state.
func (m *machine) Snapshot() ([]byte, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.state.Marshal()
}

// Check judges a state before it is put in place.
func (m *machine) Check(data []byte) error {
	_, err := evacuate.UnmarshalState(data)
	return err
}

// Restore replaces the whole state.
func (m *machine) Restore(data []byte) error {
	s, err := evacuate.UnmarshalState(data)
	if err != nil {
		return err
	}
	defer m.tell()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state = s
	clear(m.leased)
	m.edits++
	return nil
}

// Leased is the index of the entry that last changed a lease; 0: not known.
func (m *machine) Leased(vip string) uint64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.leased[vip]
}

// Restored voids what a state of the past cannot know (rule 13). It gives the
// same result on every replica: no time of its own.
func (m *machine) Restored(index, term, generation uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.edits++
	if uint64(m.state.Generation) >= generation {
		return nil // this restore was seen to already
	}
	m.state.Generation = int(generation) - 1
	return m.state.Apply(index, term, evacuate.Entry{Kind: evacuate.KindClusterRestored, By: "restore", At: time.Unix(0, 0).UTC()})
}

// Locked calls f with the state held still. f must not keep pointers into it.
func (m *machine) Locked(f func(*evacuate.State)) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	f(m.state)
}

// RosterVersion is the state's, counted anew only after a change: every
// acknowledgement of a heartbeat carries it.
func (m *machine) RosterVersion() uint64 {
	m.copyMu.Lock()
	defer m.copyMu.Unlock()
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.roster == 0 || m.rosterAt != m.edits {
		m.roster, m.rosterAt = m.state.RosterVersion(), m.edits
	}
	return m.roster
}

// Copy gives a state that nobody changes, at most one copy a change.
func (m *machine) Copy() *evacuate.State {
	m.copyMu.Lock()
	defer m.copyMu.Unlock()
	m.mu.RLock()
	edits := m.edits
	if m.copied != nil && m.at == edits {
		m.mu.RUnlock()
		return m.copied
	}
	b, err := m.state.Marshal()
	m.mu.RUnlock()
	if err != nil {
		return evacuate.NewState()
	}
	s, err := evacuate.UnmarshalState(b)
	if err != nil {
		return evacuate.NewState()
	}
	m.copied, m.at = s, edits
	return s
}
