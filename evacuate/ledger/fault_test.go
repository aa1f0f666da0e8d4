package ledger_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/lifeboat-ha/lifeboat/evacuate/ledger"
)

var errDisk = errors.New("no space left on device")

// faulty is a disk that fails from some moment on, and works again after the
// first failure: fsync may, after having lost the pages.
type faulty struct {
	ledger.Stores
	broken atomic.Bool
	stores atomic.Int64 // that were let through after the failure
	failed atomic.Bool
}

func (f *faulty) Open(log hclog.Logger) (*ledger.Store, error) {
	s, err := f.Stores.Open(log)
	if err == nil {
		s.Log = &faultyLog{s.Log, f}
	}
	return s, err
}

type faultyLog struct {
	raft.LogStore
	f *faulty
}

func (s *faultyLog) StoreLogs(logs []*raft.Log) error {
	if s.f.broken.CompareAndSwap(true, false) {
		s.f.failed.Store(true)
		return errDisk
	}
	if s.f.failed.Load() {
		s.f.stores.Add(1)
	}
	return s.LogStore.StoreLogs(logs)
}

// TestDiskFailsOnce: after one failed write nothing is stored or promised by
// this replica, although its disk would take it; the others go on.
func TestDiskFailsOnce(t *testing.T) {
	for _, where := range []string{"leader", "follower"} {
		t.Run(where, func(t *testing.T) {
			bubble(t, 3, func(t *testing.T, c *cluster) {
				disks := map[string]*faulty{}
				for _, p := range c.peers {
					disks[p.ID] = &faulty{Stores: ledger.Memory()}
					c.stores[p.ID] = disks[p.ID]
				}
				fatal := make(chan error, 10)
				c.fatal = func(err error) { fatal <- err }
				c.start()
				l := c.leader()
				c.apply(l, "one")
				c.agree("one")
				victim := l.ID()
				if where == "follower" {
					victim = c.others(l.ID())[0]
				}
				disks[victim].broken.Store(true)
				_, err := l.Apply(t.Context(), []byte("two"))
				if where == "leader" && !errors.Is(err, ledger.ErrFatal) && !errors.Is(err, ledger.ErrOutcomeUnknown) {
					t.Errorf("the leader's answer: %v", err)
				}
				if where == "follower" && err != nil {
					t.Errorf("two of three are enough: %v", err)
				}
				if err := <-fatal; !errors.Is(err, errDisk) {
					t.Errorf("fatal: %v", err)
				}
				others := c.others(victim)
				c.apply(c.leader(others...), "three")
				time.Sleep(10 * time.Second)
				if n := disks[victim].stores.Load(); n != 0 {
					t.Errorf("%d writes after the failure", n)
				}
				if h := c.ledgers[victim].Health(); h.Writable || !errors.Is(h.Fatal, errDisk) {
					t.Errorf("%+v", h)
				}
				// Its process ends and begins anew, on a disk that was mended.
				c.ledgers[victim].Abandon()
				for _, p := range c.peers {
					if p.ID == victim {
						disks[victim].failed.Store(false)
						c.open(p)
					}
				}
				c.leader()
				if where == "follower" {
					c.agree("one", "two", "three")
				} else {
					c.agree("one", "three")
				}
				if len(fatal) != 0 {
					t.Errorf("told again: %v", <-fatal)
				}
			})
		})
	}
}
