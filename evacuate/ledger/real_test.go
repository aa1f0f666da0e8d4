package ledger_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/config/identity"
	"github.com/lifeboat-ha/lifeboat/evacuate/ledger"
	"github.com/lifeboat-ha/lifeboat/evacuate/ledger/peer"
)

// node is one replica with real sockets, TLS and disk.
type node struct {
	*ledger.Ledger
	list    *list
	channel *peer.Channel
}

func (n *node) stop() error { return errors.Join(n.Ledger.Close(), n.channel.Close()) }

// realPeers finds free ports and issues certificates in dir.
func realPeers(t testing.TB, dir string, n int) []ledger.Peer {
	t.Helper()
	if _, err := identity.InitCA(dir, "test", time.Now()); err != nil {
		t.Fatal(err)
	}
	var ps []ledger.Peer
	for i := range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		p := ledger.Peer{ID: fmt.Sprintf("c%d", i+1), Address: l.Addr().String()}
		l.Close()
		if _, err := identity.IssueController(dir, p.ID, []string{"127.0.0.1"}, 1, time.Now()); err != nil {
			t.Fatal(err)
		}
		ps = append(ps, p)
	}
	return ps
}

// startReal starts one replica as cmd/app would.
func startReal(dir, id string, ps []ledger.Peer, timing ledger.Timing) (*node, error) {
	self := ps[slices.IndexFunc(ps, func(p ledger.Peer) bool { return p.ID == id })]
	creds, err := peer.Load(peer.Files{CA: filepath.Join(dir, "ca.crt"), Certificate: filepath.Join(dir, id+".crt"),
		Key: filepath.Join(dir, id+".key")}, nil, time.Now)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	ch, err := peer.Listen(peer.Options{ID: id, Cluster: "test", Address: self.Address, Credentials: creds,
		Known:   func(id string) bool { return slices.ContainsFunc(ps, func(p ledger.Peer) bool { return p.ID == id }) },
		Host:    func(ed25519.PublicKey) (string, bool) { return "", false },
		Handler: mux, Log: testLog().With("id", id), Now: time.Now})
	if err != nil {
		return nil, err
	}
	m := &list{}
	l, err := ledger.Open(context.Background(), ledger.Options{ID: id, Cluster: "test", DataDir: filepath.Join(dir, id), Peers: ps,
		Streams: ch.StreamLayer(), Hello: ledger.HTTPHello(ch.Client), Timing: timing, SnapshotEntries: 500,
		OnFatal: func(err error) { panic(err) }, Log: testLog().With("id", id), Now: time.Now}, m)
	if err != nil {
		return nil, errors.Join(err, ch.Close())
	}
	mux.Handle(ledger.HelloPath, peer.OnlyControllers(l.HelloHandler()))
	return &node{l, m, ch}, nil
}

// quick is for those that outlive a change of leader, calm for those that need one to last,
// though the machine stalls for a second.
var (
	quick = ledger.Timing{Heartbeat: 200 * time.Millisecond, Lease: 150 * time.Millisecond, Network: time.Second}
	calm  = ledger.Timing{Heartbeat: 2 * time.Second, Lease: 1500 * time.Millisecond, Network: 10 * time.Second}
)

// startAll starts and founds a cluster.
func startAll(t testing.TB, dir string, ps []ledger.Peer, timing ledger.Timing) map[string]*node {
	t.Helper()
	nodes := map[string]*node{}
	var founding sync.WaitGroup
	for _, p := range ps {
		n, err := startReal(dir, p.ID, ps, timing)
		if err != nil {
			t.Fatal(err)
		}
		nodes[p.ID] = n
		founding.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
			defer cancel()
			if _, err := n.Bootstrap(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	founding.Wait()
	t.Cleanup(func() {
		for _, n := range nodes {
			if err := n.stop(); err != nil {
				t.Error(err)
			}
		}
	})
	return nodes
}

func realLeader(t testing.TB, nodes map[string]*node) *node {
	t.Helper()
	for range 12000 {
		for _, n := range nodes {
			if _, _, self := n.Leader(); self && n.ClusterID() != "" {
				ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
				err := n.Verify(ctx)
				cancel()
				if err == nil {
					return n
				}
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("no leader")
	return nil
}

// TestOverTLSAndDisk: the whole stack, restarted, restored, and its files.
func TestOverTLSAndDisk(t *testing.T) {
	dir := t.TempDir()
	ps := realPeers(t, dir, 3)
	nodes := startAll(t, dir, ps, calm)
	l := realLeader(t, nodes)
	for i := range 1200 { // past two snapshots
		if _, err := l.Apply(t.Context(), fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	blob, err := l.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	checkModes(t, dir)
	if err := l.stop(); err != nil {
		t.Error(err)
	}
	id := l.ID()
	delete(nodes, id)
	l = realLeader(t, nodes)
	if _, err := l.Apply(t.Context(), []byte("while away")); err != nil {
		t.Error(err)
	}
	back, err := startReal(dir, id, ps, calm)
	if err != nil {
		t.Fatal(err)
	}
	nodes[id] = back
	want := append(slices.Clone(l.list.all()[:1200]), "while away")
	awaitAll(t, nodes, want)

	if err := realLeader(t, nodes).RestoreFrom(t.Context(), blob, false); err != nil {
		t.Fatal(err)
	}
	want = append(want[:1200:1200], "restored 1")
	awaitAll(t, nodes, want)
	if _, err := realLeader(t, nodes).Apply(t.Context(), []byte("after")); err != nil {
		t.Fatal(err)
	}
	awaitAll(t, nodes, append(want, "after"))
}

func awaitAll(t *testing.T, nodes map[string]*node, want []string) {
	t.Helper()
	for range 6000 {
		if !slices.ContainsFunc(slices.Collect(func(yield func(*node) bool) {
			for _, n := range nodes {
				if !yield(n) {
					return
				}
			}
		}), func(n *node) bool { return !slices.Equal(n.list.all(), want) }) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	for id, n := range nodes {
		got := n.list.all()
		t.Errorf("%s has %d entries, want %d; the last are %v", id, len(got), len(want), got[max(0, len(got)-3):])
	}
	t.FailNow()
}

// checkModes: nobody but the owner may read the ledger.
func checkModes(t *testing.T, dir string) {
	t.Helper()
	states := 0
	err := filepath.WalkDir(filepath.Join(dir, "c1", "ledger"), func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if strings.HasSuffix(p, "state.bin") {
			states++
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %o", p, info.Mode().Perm())
		}
		return nil
	})
	if err != nil || states == 0 {
		t.Errorf("%d states, %v", states, err)
	}
}

// TestSecondProcessIsKeptOut: it is told who is in its way, and does not hang.
func TestSecondProcessIsKeptOut(t *testing.T) {
	t.Parallel() // it waits
	dir := t.TempDir()
	stores := ledger.Disk(dir)
	open := func() (*ledger.Store, error) { return stores.Open(nil) }
	first, err := open()
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if _, err := open(); !errors.Is(err, syscall.EWOULDBLOCK) || !strings.Contains(err.Error(), fmt.Sprint("process ", os.Getpid())) {
		t.Errorf("the second: %v", err)
	}
	if took := time.Since(start); took > time.Minute {
		t.Errorf("it waited %s", took)
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	for range 3 { // and the same process may come back
		again, err := open()
		if err != nil {
			t.Fatal(err)
		}
		if err := again.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestHalfTheDiskIsLost: with the states but without the votes a replica does
// not start: it might vote twice.
func TestHalfTheDiskIsLost(t *testing.T) {
	dir := t.TempDir()
	ps := realPeers(t, dir, 1)
	n, err := startReal(dir, "c1", ps, quick)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Bootstrap(t.Context()); err != nil {
		t.Fatal(err)
	}
	realLeader(t, map[string]*node{"c1": n})
	for i := range 600 {
		if _, err := n.Apply(t.Context(), fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	for n.Stats()["last_snapshot_index"] == "0" {
		time.Sleep(10 * time.Millisecond)
	}
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "c1", "ledger", "ledger.db")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if n, err := startReal(dir, "c1", ps, quick); err == nil || !strings.Contains(err.Error(), "remove the whole directory") {
		t.Errorf("got %v", err)
		if err == nil {
			n.stop()
		}
	}
}
