package ledgertest

import (
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/lifeboat-ha/lifeboat/evacuate/ledger"
)

// Slow is a disk whose writes of the log take longer by what by says at each.
func Slow(disk ledger.Stores, by func() time.Duration) ledger.Stores { return slow{disk, by} }

type slow struct {
	ledger.Stores
	by func() time.Duration
}

// Open implements ledger.Stores.
func (s slow) Open(log hclog.Logger) (*ledger.Store, error) {
	st, err := s.Stores.Open(log)
	if err != nil {
		return nil, err
	}
	st.Log = slowLog{st.Log, s.by}
	return st, nil
}

type slowLog struct {
	raft.LogStore
	by func() time.Duration
}

// StoreLog implements raft.LogStore.
func (s slowLog) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// StoreLogs implements raft.LogStore.
func (s slowLog) StoreLogs(ls []*raft.Log) error {
	if d := s.by(); d > 0 {
		time.Sleep(d)
	}
	return s.LogStore.StoreLogs(ls)
}
