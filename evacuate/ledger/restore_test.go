package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/evacuate/ledger"
)

func restore(t *testing.T, l *ledger.Ledger, blob []byte, adopt bool) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return l.RestoreFrom(ctx, blob, adopt)
}

// TestRestore: an operator puts a state of the past in place. All replicas have
// it, all are told, a replica that restarts or joins has it too.
func TestRestore(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		c.start()
		l := c.leader()
		c.apply(l, "one")
		c.apply(l, "two")
		blob, err := l.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if h, err := ledger.Inspect(blob); err != nil || h.ClusterID != l.ClusterID() || h.Index == 0 || h.Term == 0 || h.Generation != 0 {
			t.Errorf("%+v, %v", h, err)
		}
		c.apply(l, "undone")
		if err := restore(t, l, blob, false); err != nil {
			t.Fatal(err)
		}
		c.agree("one", "two", "restored 1")
		c.apply(c.leader(), "three")
		c.agree("one", "two", "restored 1", "three")

		follower := c.others(c.leader().ID())[0]
		c.ledgers[follower].Abandon()
		for _, p := range c.peers {
			if p.ID == follower {
				c.open(p)
			}
		}
		c.agree("one", "two", "restored 1", "three")

		// Once more: the generation grows, also beyond the blob's.
		if err := restore(t, c.leader(), blob, false); err != nil {
			t.Fatal(err)
		}
		c.agree("one", "two", "restored 2")
		again, err := c.leader().Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if h, err := ledger.Inspect(again); err != nil || h.Generation != 2 || h.Restored {
			t.Errorf("%+v, %v", h, err)
		}
		for _, id := range []string{"c1", "c2", "c3"} {
			if n := c.lists[id].restored; n != 2 {
				t.Errorf("%s was told generation %d", id, n)
			}
		}
	})
}

// TestRestoreElsewhere: all controllers were lost. A cluster made anew takes the
// old one's state, and its name, by the operator's word only.
func TestRestoreElsewhere(t *testing.T) {
	var blob []byte
	var old string
	bubble(t, 3, func(t *testing.T, c *cluster) {
		c.start()
		l := c.leader()
		c.apply(l, "one")
		old = l.ClusterID()
		var err error
		if blob, err = l.Snapshot(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	bubble(t, 3, func(t *testing.T, c *cluster) {
		c.start()
		l := c.leader()
		if l.ClusterID() == old {
			t.Fatal("two clusters of one name")
		}
		if err := restore(t, l, blob, false); err == nil || !strings.Contains(err.Error(), "is of cluster "+old) {
			t.Errorf("another cluster's: %v", err)
		}
		if err := restore(t, l, blob, true); err != nil {
			t.Fatal(err)
		}
		c.agree("one", "restored 1")
		for id, o := range c.ledgers {
			if o.ClusterID() != old {
				t.Errorf("%s is of cluster %s", id, o.ClusterID())
			}
		}
	})
}

func TestRestoreRefuses(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		c.start()
		l := c.leader()
		c.apply(l, "one")
		blob, err := l.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		changed := slices.Clone(blob)
		changed[len(changed)-3] ^= 1
		for name, test := range map[string]struct {
			blob []byte
			want string
		}{
			"rubbish":   {[]byte("hello"), "no snapshot"},
			"cut short": {blob[:len(blob)-1], "cut short or changed"},
			"changed":   {changed, "cut short or changed"},
			"nothing":   {nil, "no snapshot"},
		} {
			if err := restore(t, l, test.blob, true); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s: got %v, want %q", name, err, test.want)
			}
		}
		if err := restore(t, c.ledgers[c.others(l.ID())[0]], blob, false); !ledger.IsNotLeader(err) {
			t.Errorf("on a follower: %v", err)
		}
		c.agree("one")
	})
}

// TestSnapshotsKeepTheLogShort: with many entries the states come, and one who
// was away for long gets one instead of the entries.
func TestSnapshotsKeepTheLogShort(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		c.every = 100
		c.start()
		l := c.leader()
		var want []string
		add := func(n int) {
			for range n {
				want = append(want, fmt.Sprint(len(want)))
				c.apply(c.leader(), want[len(want)-1])
			}
		}
		add(350)
		time.Sleep(time.Second)
		if index := l.Stats()["last_snapshot_index"]; index == "0" {
			t.Error("no state was saved after 350 entries")
		}
		c.agree(want...)
		// A quiet ledger saves what little came, too.
		add(1)
		before := l.Stats()["last_snapshot_index"]
		time.Sleep(7 * time.Minute)
		if after := l.Stats()["last_snapshot_index"]; after == before {
			t.Errorf("no state was saved in 7 minutes after one entry: at %s still", after)
		}
		for id := range c.ledgers { // restart from state and log
			c.ledgers[id].Abandon()
		}
		for _, p := range c.peers {
			c.open(p)
		}
		add(1)
		c.agree(want...)
	})
}

// TestCorruptEntryStopsTheReplica: who does not understand an entry must not go
// on as if it were not there.
func TestCorruptEntryStopsTheReplica(t *testing.T) {
	bubble(t, 1, func(t *testing.T, c *cluster) {
		fatal := make(chan error, 10)
		c.fatal = func(err error) { fatal <- err }
		c.start()
		l := c.leader()
		c.apply(l, "one")
		got, err := l.Apply(t.Context(), []byte("poison"))
		if e, ok := got.(error); err == nil && (!ok || !errors.Is(e, ledger.ErrCorrupt)) {
			t.Errorf("got %v, %v", got, err)
		}
		if err := <-fatal; !errors.Is(err, ledger.ErrCorrupt) {
			t.Errorf("fatal: %v", err)
		}
		time.Sleep(time.Second)
		if _, err := l.Apply(t.Context(), []byte("two")); !errors.Is(err, ledger.ErrFatal) || !errors.Is(err, ledger.ErrCorrupt) {
			t.Errorf("afterwards: %v", err)
		}
		if err := l.Verify(t.Context()); !errors.Is(err, ledger.ErrFatal) {
			t.Errorf("afterwards: %v", err)
		}
		if _, err := l.Snapshot(t.Context()); !errors.Is(err, ledger.ErrFatal) {
			t.Errorf("afterwards: %v", err)
		}
		if h := l.Health(); h.Writable || h.Fatal == nil {
			t.Errorf("%+v", h)
		}
		if got := c.lists["c1"].all(); !slices.Equal(got, []string{"one"}) {
			t.Errorf("the machine has %v", got)
		}
		if len(fatal) != 0 {
			t.Error("it was told more than once")
		}
	})
}
