package ledger

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// Kinds of entries. Each entry is one byte of kind, four of CRC-32C over the
// rest, and the rest: a bit that fell over on the way from the leader's memory
// to one replica's machine must not make that one diverge.
const (
	entryApplication = 'a'
	entryFound       = 'f' // a foundation
)

const envelope = 5

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func wrap(kind byte, data []byte) []byte {
	b := make([]byte, envelope, envelope+len(data))
	b[0] = kind
	binary.BigEndian.PutUint32(b[1:], crc32.Checksum(data, castagnoli))
	return append(b, data...)
}

func unwrap(b []byte) (kind byte, data []byte, err error) {
	if len(b) < envelope {
		return 0, nil, fmt.Errorf("%w: entry of %d bytes", ErrCorrupt, len(b))
	}
	if crc32.Checksum(b[envelope:], castagnoli) != binary.BigEndian.Uint32(b[1:]) {
		return 0, nil, fmt.Errorf("%w: checksum of an entry does not match", ErrCorrupt)
	}
	return b[0], b[envelope:], nil
}

// foundation is the cluster's first entry.
type foundation struct {
	ClusterID string `json:"cluster_id"`
	// Admitted are the disks that the founder saw, by id of replica: whoever
	// was slow to join can ask any other, if the founder dies.
	Admitted map[string]string `json:"admitted,omitempty"`
}

// replica stands between Raft and the Machine. It holds what the ledger itself
// replicates: the cluster's id and how often a state of the past was restored.
type replica struct {
	guard *guard

	mu      sync.Mutex // one call of machine at a time
	machine Machine
	header  Header

	shown atomic.Pointer[Header] // a copy, for those that hold no lock
	// since counts entries since the last snapshot; full asks for one.
	since uint64
	every uint64
	full  chan struct{}
}

func newReplica(m Machine, g *guard, every uint64) *replica {
	r := &replica{machine: m, guard: g, every: every, full: make(chan struct{}, 1)}
	r.header.Format = snapshotFormat
	r.publish()
	return r
}

func (r *replica) publish() {
	h := r.header
	r.shown.Store(&h)
}

// Apply is called by Raft for each committed entry.
func (r *replica) Apply(log *raft.Log) any {
	if err := r.guard.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrFatal, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	kind, data, err := unwrap(log.Data)
	if err != nil {
		return r.stop(log.Index, err)
	}
	var result any
	switch kind {
	case entryApplication:
		result = r.machine.Apply(log.Index, log.Term, data)
	case entryFound:
		result = r.found(data)
	default:
		result = fmt.Errorf("%w: unknown kind of entry %q: this program is older than the leader's", ErrCorrupt, kind)
	}
	if err, ok := result.(error); ok && errors.Is(err, ErrCorrupt) {
		return r.stop(log.Index, err)
	}
	r.header.Index, r.header.Term = log.Index, log.Term
	r.publish()
	if r.since++; r.since >= r.every {
		r.since = 0
		select {
		case r.full <- struct{}{}:
		default: // asked already
		}
	}
	return result
}

func (r *replica) stop(index uint64, err error) error {
	err = fmt.Errorf("apply entry %d: %w", index, err)
	r.guard.fail(err)
	return err
}

// found names the cluster once; a second one (two leaders in a row, each of
// whom found no name) changes nothing.
func (r *replica) found(data []byte) error {
	var f foundation
	if err := json.Unmarshal(data, &f); err != nil {
		return fmt.Errorf("%w: decode the entry that names the cluster: %w", ErrCorrupt, err)
	}
	if f.ClusterID == "" {
		return fmt.Errorf("%w: the entry that names the cluster has no name", ErrCorrupt)
	}
	if r.header.ClusterID == "" {
		r.header.ClusterID, r.header.Admitted = f.ClusterID, f.Admitted
	}
	return nil
}

// Snapshot is called by Raft between entries.
func (r *replica) Snapshot() (raft.FSMSnapshot, error) {
	blob, err := r.export()
	if err != nil {
		return nil, err
	}
	return snapshot(blob), nil
}

func (r *replica) export() ([]byte, error) {
	if err := r.guard.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFatal, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	data, err := r.machine.Snapshot()
	if err != nil {
		return nil, fmt.Errorf("take a snapshot at entry %d: %w", r.header.Index, err)
	}
	r.since = 0
	return encodeSnapshot(r.header, data)
}

// Restore is called by Raft at its start, for a replica that lags, and for
// RestoreFrom.
func (r *replica) Restore(source io.ReadCloser) error {
	defer source.Close()
	blob, err := io.ReadAll(source)
	if err != nil {
		return fmt.Errorf("read the snapshot: %w", err)
	}
	h, data, err := decodeSnapshot(blob)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.machine.Restore(data); err != nil {
		return fmt.Errorf("restore the snapshot of entry %d: %w", h.Index, err)
	}
	if m, ok := r.machine.(Restorer); ok && h.Restored {
		if err := m.Restored(h.Index, h.Term, h.Generation); err != nil {
			return fmt.Errorf("mark the state as restored: %w", err)
		}
	}
	// The mark has done its work; the next snapshot holds a state that knows.
	h.Restored = false
	r.header, r.since = h, 0
	r.publish()
	return nil
}

// snapshot is a state on its way to the snapshot store.
type snapshot []byte

// Persist writes it.
func (s snapshot) Persist(sink raft.SnapshotSink) error {
	if _, err := sink.Write(s); err != nil {
		return errors.Join(fmt.Errorf("write snapshot: %w", err), sink.Cancel())
	}
	return sink.Close()
}

// Release has nothing to release.
func (s snapshot) Release() {}
