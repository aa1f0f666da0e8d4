package ledger

import (
	"errors"
	"strings"
	"testing"
)

// TestDecide is the rule of bootstrapping, line by line. The replica that asks
// is c2 of c1, c2, c3 unless said otherwise; all others are blank.
func TestDecide(t *testing.T) {
	all := []string{"c1", "c2", "c3"}
	me := Greeting{ID: "c2", Cluster: "east", Disk: "d2", Peers: all}
	first := Greeting{ID: "c1", Cluster: "east", Disk: "d1", Peers: all}
	blank := func(id string) answered {
		return answered{Greeting: Greeting{ID: id, Cluster: "east", Disk: "d" + id, Peers: all}}
	}
	with := func(a answered, change func(*answered)) answered {
		change(&a)
		return a
	}
	remembers := func(a *answered) { a.Remembers, a.ClusterID = true, "one" }
	leads := func(ms ...Member) func(*answered) {
		return func(a *answered) {
			remembers(a)
			a.Leads, a.Members = true, ms
		}
	}
	voter := func(id string) Member { return Member{Peer{ID: id}, true} }
	silent := answered{err: errors.New("no answer")}
	for name, test := range map[string]struct {
		self   Greeting
		a, b   answered // c1 and c3; or c2 and c3, asked by c1
		want   move
		reason string
	}{
		"all blank, not the first": {me, blank("c1"), blank("c3"), moveAwait, "c1 founds the cluster"},
		"all blank, the first":     {first, blank("c2"), blank("c3"), moveFound, "nobody remembers"},

		"one missing":        {me, blank("c1"), silent, moveAsk, "waiting for c3 (no answer)"},
		"first, one missing": {first, blank("c2"), silent, moveAsk, "waiting for c3"},
		"all missing":        {first, silent, silent, moveAsk, "waiting for c2 (no answer), c3 (no answer)"},

		"one lists others": {first, blank("c2"), with(blank("c3"), func(a *answered) { a.Peers = []string{"c1", "c3", "c4"} }),
			moveRefuse, "c3 lists the peers c1, c3, c4, this controller c1, c2, c3"},
		"one lists fewer": {first, blank("c2"), with(blank("c3"), func(a *answered) { a.Peers = []string{"c3"} }), moveRefuse, "make them the same"},
		"another's name":  {first, blank("c2"), with(blank("c3"), func(a *answered) { a.Cluster = "west" }), moveRefuse, `c3 belongs to cluster "west"`},
		"another's id":    {first, blank("c2"), blank("c4"), moveRefuse, `at the address of c3 answers "c4"`},

		"one remembers":             {first, blank("c2"), with(blank("c3"), remembers), moveRefuse, "c3 remember a cluster"},
		"one remembers, one silent": {first, silent, with(blank("c3"), remembers), moveRefuse, "waits for the word of that cluster's leader"},
		"one has voted but no id": {first, blank("c2"), with(blank("c3"), func(a *answered) { a.Remembers = true }),
			moveRefuse, "c3 remember a cluster"},
		"two clusters": {me, with(blank("c1"), remembers), with(blank("c3"), func(a *answered) {
			remembers(a)
			a.ClusterID = "two"
		}), moveRefuse, "different clusters"},
		"two clusters, one leads": {me, with(blank("c1"), leads()), with(blank("c3"), func(a *answered) {
			remembers(a)
			a.ClusterID = "two"
		}), moveRefuse, "different clusters"},

		"the leader knows me as a voter": {me, with(blank("c1"), leads(voter("c1"), voter("c2"))), silent, moveRefuse, "its disk was lost"},
		"the leader has removed me":      {me, with(blank("c1"), leads(voter("c1"), voter("c3"))), silent, moveAwait, "waits to be added"},
		"the leader has just added me": {me, with(blank("c1"), leads(voter("c1"), Member{Peer{ID: "c2"}, false})), silent,
			moveAwait, "waits to be added"},
		"a follower lacks me": {me, with(blank("c1"), func(a *answered) {
			remembers(a)
			a.Members = []Member{voter("c1")}
		}), blank("c3"), moveRefuse, "leader"},

		"the founder was quicker": {me, with(blank("c1"), func(a *answered) {
			leads(voter("c1"), voter("c2"), voter("c3"))(a)
			a.Admitted = map[string]string{"c2": "d2"}
		}), silent, moveAwait, "founded with this controller"},
		"the founder, before it leads": {me, with(blank("c1"), func(a *answered) {
			a.Remembers, a.Admitted = true, map[string]string{"c2": "d2"}
		}), blank("c3"), moveAwait, "founded with this controller"},
		"the founder knew another disk": {me, with(blank("c1"), func(a *answered) {
			leads(voter("c1"), voter("c2"), voter("c3"))(a)
			a.Admitted = map[string]string{"c2": "lost"}
		}), silent, moveRefuse, "its disk was lost"},
	} {
		t.Run(name, func(t *testing.T) {
			answers := map[string]answered{"c1": test.a, "c3": test.b}
			if test.self.ID == "c1" {
				answers = map[string]answered{"c2": test.a, "c3": test.b}
			}
			got, why := decide(test.self, answers)
			if got != test.want || !strings.Contains(why, test.reason) {
				t.Errorf("got %s: %s\nwant %s: …%s…", got, why, test.want, test.reason)
			}
		})
	}
	if got, _ := decide(Greeting{ID: "c1", Peers: []string{"c1"}}, nil); got != moveFound {
		t.Errorf("alone: %s", got)
	}
}

func TestEnvelope(t *testing.T) {
	b := wrap(entryApplication, []byte("data"))
	kind, data, err := unwrap(b)
	if kind != entryApplication || string(data) != "data" || err != nil {
		t.Errorf("%c %q %v", kind, data, err)
	}
	for i := 1; i < len(b); i++ { // the kind is judged by Apply
		bad := append([]byte(nil), b...)
		bad[i] ^= 0x10
		if _, _, err := unwrap(bad); !errors.Is(err, ErrCorrupt) {
			t.Errorf("byte %d changed: %v", i, err)
		}
	}
	if _, _, err := unwrap(b[:4]); !errors.Is(err, ErrCorrupt) {
		t.Errorf("cut short: %v", err)
	}
}

func TestSnapshotForm(t *testing.T) {
	h := Header{Format: snapshotFormat, ClusterID: "one", Generation: 2, Index: 7, Term: 3}
	blob, err := encodeSnapshot(h, []byte("line\nline"))
	if err != nil {
		t.Fatal(err)
	}
	got, data, err := decodeSnapshot(blob)
	if err != nil || string(data) != "line\nline" || got.ClusterID != "one" || got.Index != 7 || got.Size != 9 {
		t.Errorf("%+v %q %v", got, data, err)
	}
	for i := range blob {
		bad := append([]byte(nil), blob...)
		bad[i] ^= 0x01
		if h2, d2, err := decodeSnapshot(bad); err == nil && (string(d2) != "line\nline") {
			t.Errorf("byte %d changed unnoticed: %+v", i, h2)
		}
		if _, _, err := decodeSnapshot(blob[:i]); err == nil {
			t.Errorf("cut at %d unnoticed", i)
		}
	}
	newer, err := encodeSnapshot(Header{Format: 2}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Inspect(newer); err == nil || !strings.Contains(err.Error(), "format 2") {
		t.Errorf("a newer format: %v", err)
	}
}

func FuzzDecodeSnapshot(f *testing.F) {
	blob, err := encodeSnapshot(Header{Format: snapshotFormat, ClusterID: "one"}, []byte("state"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(blob)
	f.Add([]byte(snapshotMagic + "{}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, data, err := decodeSnapshot(b)
		if err == nil && h.Size != len(data) {
			t.Errorf("%+v with %d bytes", h, len(data))
		}
	})
}

func FuzzUnwrap(f *testing.F) {
	f.Add(wrap(entryFound, []byte("{}")))
	f.Fuzz(func(t *testing.T, b []byte) {
		if kind, data, err := unwrap(b); err == nil && string(wrap(kind, data)) != string(b) {
			t.Errorf("%q does not come back", b)
		}
	})
}
