package ledger

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
)

const (
	snapshotMagic  = "lifeboat-ledger-snapshot\n"
	snapshotFormat = 1
)

// Header stands before the state in every snapshot.
type Header struct {
	Format     int    `json:"format"`
	ClusterID  string `json:"cluster_id"`
	Generation uint64 `json:"generation"` // grows with every RestoreFrom
	Index      uint64 `json:"index"`
	Term       uint64 `json:"term"`
	Restored   bool   `json:"restored,omitempty"` // put in place by an operator
	// Admitted are the disks that the cluster was founded with.
	Admitted map[string]string `json:"admitted,omitempty"`
	Size     int               `json:"size"`
	SHA256   string            `json:"sha256"` // of the state
}

func encodeSnapshot(h Header, data []byte) ([]byte, error) {
	sum := sha256.Sum256(data)
	h.Size, h.SHA256 = len(data), hex.EncodeToString(sum[:])
	head, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("encode a snapshot's header: %w", err)
	}
	return bytes.Join([][]byte{[]byte(snapshotMagic), head, []byte("\n"), data}, nil), nil
}

func decodeSnapshot(blob []byte) (Header, []byte, error) {
	var h Header
	rest, ok := bytes.CutPrefix(blob, []byte(snapshotMagic))
	if !ok {
		return h, nil, fmt.Errorf("%w: this is no snapshot of a Lifeboat ledger", ErrCorrupt)
	}
	head, data, ok := bytes.Cut(rest, []byte("\n"))
	if !ok {
		return h, nil, fmt.Errorf("%w: the snapshot ends within its header", ErrCorrupt)
	}
	if err := json.Unmarshal(head, &h); err != nil {
		return h, nil, fmt.Errorf("%w: decode the snapshot's header: %w", ErrCorrupt, err)
	}
	if h.Format != snapshotFormat {
		return h, nil, fmt.Errorf("the snapshot is of format %d, this program knows %d", h.Format, snapshotFormat)
	}
	if sum := sha256.Sum256(data); h.Size != len(data) || h.SHA256 != hex.EncodeToString(sum[:]) {
		return h, nil, fmt.Errorf("%w: the snapshot of entry %d is cut short or changed", ErrCorrupt, h.Index)
	}
	return h, data, nil
}

// Inspect checks a snapshot and tells what it is.
func Inspect(blob []byte) (Header, error) {
	h, _, err := decodeSnapshot(blob)
	return h, err
}

// Snapshot gives a copy of this replica's state, fit for RestoreFrom. A
// follower's may lag behind the leader's.
func (l *Ledger) Snapshot(context.Context) ([]byte, error) { return l.replica.export() }

// RestoreFrom puts a state of the past in place on all replicas, by word of an
// operator, on the leader only. The Machine learns it (Restorer). A snapshot of
// another cluster is refused unless adopt says that this cluster, made anew,
// carries that one's name on: make sure that the old one is gone for good.
func (l *Ledger) RestoreFrom(ctx context.Context, blob []byte, adopt bool) error {
	h, data, err := decodeSnapshot(blob)
	if err != nil {
		return err
	}
	if mine := l.ClusterID(); h.ClusterID != mine && !adopt {
		return fmt.Errorf("the snapshot is of cluster %s, this is %s", h.ClusterID, mine)
	}
	if c, ok := l.replica.machine.(Checker); ok {
		if err := c.Check(data); err != nil {
			return fmt.Errorf("the snapshot's state is refused: %w", err)
		}
	}
	if err := l.Verify(ctx); err != nil {
		return fmt.Errorf("restore a snapshot: %w", err)
	}
	h.Restored = true
	h.Admitted = l.replica.shown.Load().Admitted // of this cluster's disks
	h.Generation = max(h.Generation, l.replica.shown.Load().Generation) + 1
	// Raft gives the state a new index, higher than any; what the Machine is
	// told must not be lower than what it has seen.
	h.Index, h.Term = max(h.Index, l.raft.LastIndex()), l.Term()
	marked, err := encodeSnapshot(h, data)
	if err != nil {
		return err
	}
	meta := &raft.SnapshotMeta{Version: 1, Index: h.Index, Term: h.Term, Size: int64(len(marked))}
	l.log.Warn("ledger: a state of the past is put in place", "index", h.Index, "generation", h.Generation)
	err = l.wait(ctx, func() raft.Future {
		return answer{l.raft.Restore(meta, bytes.NewReader(marked), l.opts.Timing.Network)}
	})
	if err != nil && !errors.Is(err, ErrFatal) {
		return fmt.Errorf("restore the snapshot of entry %d: %w", h.Index, err)
	}
	return err
}

// answer is a Future that is there already.
type answer struct{ err error }

// Error gives it.
func (a answer) Error() error { return a.err }

// keep looks after Raft: it asks for a state when entries come quickly (Raft's
// own timer does when they come slowly), and ends Raft after a fatal fault.
func (l *Ledger) keep() {
	failed := l.guard.failed
	for {
		select {
		case <-l.closing:
			return
		case <-failed:
			failed = nil
			l.raft.Shutdown()
		case <-l.replica.full:
			err := l.wait(context.Background(), func() raft.Future { return l.raft.Snapshot() })
			if err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) && !errors.Is(err, ErrClosed) {
				l.log.Warn("ledger: no state was saved", "reason", err)
			}
		}
	}
}
