package ledger_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lifeboat-ha/lifeboat/evacuate/ledger"
	"github.com/lifeboat-ha/lifeboat/evacuate/ledger/ledgertest"
)

// list is a Machine that remembers every entry.
type list struct {
	mu       sync.Mutex
	entries  []string
	restored uint64
}

func (m *list) Apply(_, _ uint64, data []byte) any {
	m.mu.Lock()
	defer m.mu.Unlock()
	if string(data) == "poison" {
		return fmt.Errorf("entry not understood: %w", ledger.ErrCorrupt)
	}
	m.entries = append(m.entries, string(data))
	return len(m.entries)
}

func (m *list) Snapshot() ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return json.Marshal(m.entries)
}

func (m *list) Restore(data []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entries = nil
	return json.Unmarshal(data, &m.entries)
}

func (m *list) Restored(_, _, generation uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.restored = generation
	m.entries = append(m.entries, fmt.Sprintf("restored %d", generation))
	return nil
}

func (m *list) Check(data []byte) error { return json.Unmarshal(data, &[]string{}) }

func (m *list) all() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.entries)
}

// cluster is some replicas in one process.
type cluster struct {
	t       *testing.T
	network *ledgertest.Network
	peers   []ledger.Peer
	stores  map[string]ledger.Stores
	ledgers map[string]*ledger.Ledger
	lists   map[string]*list
	every   uint64
	fatal   func(error)
}

func peers(n int) []ledger.Peer {
	var ps []ledger.Peer
	for i := range n {
		ps = append(ps, ledger.Peer{ID: fmt.Sprintf("c%d", i+1), Address: fmt.Sprintf("10.0.0.%d:7000", i+1)})
	}
	return ps
}

func newCluster(t *testing.T, n int) *cluster {
	c := &cluster{t: t, network: ledgertest.New(), peers: peers(n), stores: map[string]ledger.Stores{},
		ledgers: map[string]*ledger.Ledger{}, lists: map[string]*list{}}
	t.Cleanup(c.close)
	return c
}

func (c *cluster) close() {
	for _, l := range c.ledgers {
		l.Abandon()
	}
	c.ledgers = nil
}

func testLog() *slog.Logger {
	if os.Getenv("LEDGER_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// open starts one replica and lets it say hello.
func (c *cluster) open(p ledger.Peer) *ledger.Ledger {
	c.t.Helper()
	if c.stores[p.ID] == nil {
		c.stores[p.ID] = ledger.Memory()
	}
	m := &list{}
	ps := c.peers
	if !slices.Contains(ps, p) {
		ps = append(slices.Clone(ps), p)
	}
	fatal := c.fatal
	if fatal == nil {
		fatal = func(err error) { c.t.Errorf("%s: fatal: %v", p.ID, err) }
	}
	l, err := ledger.Open(c.t.Context(), ledger.Options{ID: p.ID, Cluster: "test", Peers: ps,
		Streams: c.network.Streams(p), Hello: c.network.Hello(p.ID), Stores: c.stores[p.ID],
		SnapshotEntries: c.every, OnFatal: fatal, Log: testLog().With("id", p.ID), Now: time.Now}, m)
	if err != nil {
		c.t.Fatal(err)
	}
	c.ledgers[p.ID], c.lists[p.ID] = l, m
	c.network.Greets(p.ID, l.Greeting)
	return l
}

// start opens all and founds the cluster.
func (c *cluster) start() {
	c.t.Helper()
	for _, p := range c.peers {
		c.open(p)
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	var fresh []string
	for id, l := range c.ledgers {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			f, err := l.Bootstrap(ctx)
			if err != nil {
				c.t.Errorf("%s: %v", id, err)
			}
			if f {
				mu.Lock()
				fresh = append(fresh, id)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if len(fresh) != 1 || fresh[0] != c.peers[0].ID {
		c.t.Fatalf("founded by %v, want the first by id alone", fresh)
	}
}

// leader waits for a verified leader among those named, or all.
func (c *cluster) leader(among ...string) *ledger.Ledger {
	c.t.Helper()
	for range 600 {
		for id, l := range c.ledgers {
			if len(among) > 0 && !slices.Contains(among, id) {
				continue
			}
			if _, _, self := l.Leader(); self {
				ctx, cancel := context.WithTimeout(context.Background(), time.Second)
				err := errors.Join(l.Barrier(ctx), l.Verify(ctx))
				cancel()
				if err == nil && l.ClusterID() != "" {
					return l
				}
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	c.t.Fatal("no leader within a minute")
	return nil
}

func (c *cluster) others(id string) []string {
	var ids []string
	for o := range c.ledgers {
		if o != id {
			ids = append(ids, o)
		}
	}
	return ids
}

func (c *cluster) apply(l *ledger.Ledger, data string) any {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	got, err := l.Apply(ctx, []byte(data))
	if err != nil {
		c.t.Fatalf("apply %q on %s: %v", data, l.ID(), err)
	}
	return got
}

// agree waits until every machine holds exactly these entries.
func (c *cluster) agree(want ...string) {
	c.t.Helper()
	for range 300 {
		same := true
		for id := range c.ledgers {
			same = same && slices.Equal(c.lists[id].all(), want)
		}
		if same {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	for id := range c.ledgers {
		c.t.Errorf("%s holds %s\nwant %s", id, strings.Join(c.lists[id].all(), ","), strings.Join(want, ","))
	}
	c.t.FailNow()
}

func bubble(t *testing.T, n int, run func(*testing.T, *cluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, n)
		run(t, c)
		c.close()
		time.Sleep(time.Minute) // goroutines of Raft's that wait for a timer end
	})
}

func TestFoundApplyAndAgree(t *testing.T) {
	for _, n := range []int{1, 3, 5} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			bubble(t, n, func(t *testing.T, c *cluster) {
				c.start()
				l := c.leader()
				if got := c.apply(l, "one"); got != 1 {
					t.Errorf("the machine's answer is %v, want 1", got)
				}
				c.apply(l, "two")
				c.agree("one", "two")
				for id, o := range c.ledgers {
					if o.ClusterID() == "" || o.ClusterID() != l.ClusterID() {
						t.Errorf("%s: cluster id %q, the leader's %q", id, o.ClusterID(), l.ClusterID())
					}
					if h := o.Health(); !h.Writable || h.Voters != n {
						t.Errorf("%s: %+v", id, h)
					}
				}
			})
		})
	}
}
