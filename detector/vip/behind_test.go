package vip

import (
	"bytes"
	"encoding/hex"
	"flag"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
)

var update = flag.Bool("update", false, "write the messages of today into testdata")

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.NewReplacer(" ", "", "\n", "").Replace(s))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParseVRRP(t *testing.T) {
	const v4head = "45c0 0028 0001 0000 ff70 0000 0a09000b e0000012 "
	for name, test := range map[string]struct {
		packet string
		want   VRRP
		fails  bool
	}{
		"version 2": {v4head + "2133 9601 0001 0000 0a090064 0000000000000000", VRRP{Version: 2, Router: 51, Priority: 150, Every: time.Second,
			Source: netip.MustParseAddr("10.9.0.11"), Addresses: []netip.Addr{netip.MustParseAddr("10.9.0.100")}}, false},
		"version 3": {"45c0 0020 0001 0000 ff70 0000 0a09000b e0000012 3133 ff01 0064 0000 0a090064", VRRP{Version: 3, Router: 51, Priority: 255, Every: time.Second,
			Source: netip.MustParseAddr("10.9.0.11"), Addresses: []netip.Addr{netip.MustParseAddr("10.9.0.100")}}, false},
		"version 3 by IPv6": {"60000000 0018 70 ff fe800000000000000000000000000001 ff020000000000000000000000000012 3101 6401 0032 0000 fd000009000000000000000000000100",
			VRRP{Version: 3, Router: 1, Priority: 100, Every: 500 * ms, Source: netip.MustParseAddr("fe80::1"), Addresses: []netip.Addr{netip.MustParseAddr("fd00:9::100")}}, false},
		"within AH": {"45c0 0040 0001 0000 ff33 0000 0a09000b e0000012 7004 0000 00000001 00000001 000000000000000000000000 2133 0001 0001 0000 0a090064 0000000000000000",
			VRRP{Version: 2, Router: 51, Every: time.Second, Source: netip.MustParseAddr("10.9.0.11"), Addresses: []netip.Addr{netip.MustParseAddr("10.9.0.100")}}, false},
		"another protocol":   {"45c0 0028 0001 0000 ff06 0000 0a09000b e0000012 2133 9601 0001 0000 0a090064", VRRP{}, true},
		"fewer than it says": {"45c0 0020 0001 0000 ff70 0000 0a09000b e0000012 3133 ff02 0064 0000 0a090064", VRRP{}, true},
		"cut":                {"45c0 0028", VRRP{}, true},
	} {
		got, err := ParseVRRP(unhex(t, test.packet))
		if (err != nil) != test.fails || got.Version != test.want.Version || got.Router != test.want.Router || got.Priority != test.want.Priority ||
			got.Every != test.want.Every || got.Source != test.want.Source || len(got.Addresses) != len(test.want.Addresses) {
			t.Errorf("%s: %+v (%v), want %+v", name, got, err, test.want)
		}
		for i, a := range test.want.Addresses {
			if err == nil && got.Addresses[i] != a {
				t.Errorf("%s: address %s, want %s", name, got.Addresses[i], a)
			}
		}
	}
}

// FuzzFrames: whatever comes by does no harm.
func FuzzFrames(f *testing.F) {
	f.Add(Question(netip.MustParseAddr("10.9.0.100"), stranger))
	f.Add(Question(netip.MustParseAddr("fd00:9::100"), stranger))
	f.Fuzz(func(_ *testing.T, b []byte) {
		_, _, _ = Owner(b)
		_, _ = ParseVRRP(b)
	})
}

func TestFrames(t *testing.T) {
	own := detector.MAC{0x52, 0x54, 0, 1, 2, 3}
	foreign := Foreign(own)
	if foreign == own || foreign[0]&3 != 2 || Foreign(foreign) == foreign {
		t.Errorf("%s is no locally administered unicast MAC of somebody else's than %s", foreign, own)
	}
	q := Question(netip.MustParseAddr("10.9.0.100"), foreign)
	if len(q) != 42 || !bytes.Equal(q[:6], broadcast[:]) || !bytes.Equal(q[6:12], foreign[:]) || !bytes.Equal(q[22:28], foreign[:]) || !bytes.Equal(q[28:32], make([]byte, 4)) {
		t.Errorf("the ARP request is % x", q)
	}
	if _, _, ok := Owner(q); ok {
		t.Error("a question is taken for an owner's word")
	}
	answer := func(op byte, sha, spa, tpa string) []byte {
		return unhex(t, "020000000001 "+sha+" 0806 0001 0800 06 04 00"+hex.EncodeToString([]byte{op})+sha+spa+"020000000001"+tpa)
	}
	for name, test := range map[string]struct {
		frame []byte
		ok    bool
	}{
		"an answer":                {answer(2, "02000000000b", "0a090064", "00000000"), true},
		"an announcement":          {answer(1, "02000000000b", "0a090064", "0a090064"), true},
		"a question of its holder": {answer(1, "02000000000b", "0a090064", "0a090001"), false},
	} {
		addr, mac, ok := Owner(test.frame)
		if ok != test.ok || ok && (addr != internal.Address || mac != mac1) {
			t.Errorf("%s: %s %s %t", name, addr, mac, ok)
		}
	}
	six := netip.MustParseAddr("fd00:9::100")
	n := Question(six, foreign)
	source, group := [16]byte(n[22:38]), [16]byte(n[38:54])
	if sum := checksum(source, group, n[54:]); sum != 0 && sum != 0xffff {
		t.Errorf("the checksum of the solicitation is wrong by %x", sum)
	}
	if netip.AddrFrom16(source).IsUnspecified() || netip.AddrFrom16(group).String() != "ff02::1:ff00:100" {
		t.Errorf("from %s to %s", netip.AddrFrom16(source), netip.AddrFrom16(group))
	}
	adv := unhex(t, "020000000001 02000000000b 86dd 60000000 0020 3a ff fd000009000000000000000000000011 fe800000000000000000000000000001 8800 0000 60000000 fd000009000000000000000000000100 0201 02000000000b")
	if addr, mac, ok := Owner(adv); !ok || addr != six || mac != mac1 {
		t.Errorf("advertised: %s %s %t", addr, mac, ok)
	}
}

func TestParseStats(t *testing.T) {
	const head = "# pxname,svname,qcur,status,weight,\n"
	p, err := ParseStats(head + "api,FRONTEND,,OPEN,,\napi,b1,0,DOWN,1,\napi,BACKEND,0,DOWN,0,\nweb,b1,0,UP,1,\nweb,BACKEND,0,UP,1,\nstats,FRONTEND,,OPEN,,\nstats,BACKEND,0,DOWN,0,\n\n")
	if err != nil || p.Up != 1 || strings.Join(p.Down, " ") != "api" {
		t.Errorf("%+v %v", p, err)
	}
	for _, wrong := range []string{"", "Unknown command. Please enter one of the following commands", "# a,b\n1,2\n"} {
		if p, err := ParseStats(wrong); err == nil {
			t.Errorf("%q is read as %+v", wrong, p)
		}
	}
}

func way(change func(*Way)) Way {
	since := begin.Add(-10 * time.Second)
	c := Connection{Local: netip.MustParseAddrPort("10.9.0.13:40000"), Remote: netip.MustParseAddrPort("10.9.0.100:8774"), Cookie: 1, First: since.Add(-time.Minute)}
	w := Way{Holder: &Holder{MAC: mac2, Since: since}, Neighbour: &Neighbour{MAC: mac2}, Connections: []Connection{c}, Answered: begin.Add(-time.Second)}
	if change != nil {
		change(&w)
	}
	return w
}

func TestRepairs(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*Way)
		want   RepairKind
	}{
		"idle, of before, and a new one works": {nil, RepairConnection},
		"nobody knows the owner":               {func(w *Way) { w.Holder = nil }, ""},
		"there is none":                        {func(w *Way) { w.Holder.MAC = detector.MAC{} }, ""},
		"the neighbour is wrong":               {func(w *Way) { w.Neighbour.MAC = mac1 }, RepairNeighbour},
		"the neighbour is wrong by will":       {func(w *Way) { w.Neighbour.MAC, w.Neighbour.Fixed = mac1, true }, ""},
		"no neighbour, as behind a router":     {func(w *Way) { w.Neighbour = nil }, RepairConnection},
		"no new one has worked yet":            {func(w *Way) { w.Answered = begin.Add(-time.Minute) }, ""},
		"opened after the move":                {func(w *Way) { w.Connections[0].First = begin.Add(-5 * time.Second) }, ""},
		"to another port":                      {func(w *Way) { w.Connections[0].Remote = netip.MustParseAddrPort("10.9.0.100:22") }, ""},
		"the move is just now":                 {func(w *Way) { w.Holder.Since = begin.Add(-time.Second); w.Answered = begin }, ""},
		"sends and hears nothing": {func(w *Way) {
			w.Answered = time.Time{}
			w.Connections[0].Unacked, w.Connections[0].Backoff = 3, 2
		}, RepairConnection},
		"sends, and once again": {func(w *Way) { w.Connections[0].Unacked, w.Connections[0].Backoff = 3, 1 }, ""},
		"closed, and nobody reads": {func(w *Way) {
			w.Answered = time.Time{}
			w.Connections[0].Ended, w.Connections[0].UnreadFor = true, 6*time.Second
		}, RepairConnection},
		"closed, and perhaps read": {func(w *Way) { w.Connections[0].Ended, w.Connections[0].UnreadFor = true, 4*time.Second }, ""},
	} {
		rs := Repairs(way(test.change), []uint16{8774, 8778}, begin, 2*time.Second)
		got := RepairKind("")
		if len(rs) > 0 {
			got = rs[0].Kind
		}
		if got != test.want || len(rs) > 1 || len(rs) == 1 && rs[0].Why == "" {
			t.Errorf("%s: %+v, want %q", name, rs, test.want)
		}
	}
}

// TestRepairsTouchNothingElse: over random ways, no connection to another port, of
// after the move, or while the neighbour is wrong or no owner is known.
func TestRepairsTouchNothingElse(t *testing.T) {
	for seed := range uint64(1000) {
		r := rand.New(rand.NewPCG(seed, 9))
		some := func() time.Time { return begin.Add(-time.Duration(r.IntN(20)) * time.Second) }
		w := Way{Answered: some()}
		if r.IntN(4) > 0 {
			w.Holder = &Holder{MAC: []detector.MAC{mac1, mac2, {}}[r.IntN(3)], Since: some()}
		}
		if r.IntN(4) > 0 {
			w.Neighbour = &Neighbour{MAC: []detector.MAC{mac1, mac2, {}}[r.IntN(3)], Fixed: r.IntN(5) == 0}
		}
		for range r.IntN(200) {
			w.Connections = append(w.Connections, Connection{Remote: netip.AddrPortFrom(internal.Address, uint16(8774+r.IntN(3))), First: some(),
				Ended: r.IntN(3) == 0, UnreadFor: time.Duration(r.IntN(10)) * time.Second, Backoff: r.IntN(4), Unacked: r.IntN(3)})
		}
		rs := Repairs(w, []uint16{8774}, begin, Spread("cmp1"))
		if len(rs) > repairMost {
			t.Fatalf("seed %d: %d at once", seed, len(rs))
		}
		for _, x := range rs {
			wrong := w.Neighbour != nil && w.Neighbour.MAC != (detector.MAC{}) && w.Neighbour.MAC != w.Holder.MAC
			if x.Kind == RepairConnection && (wrong || x.Connection.Remote.Port() != 8774 || !x.Connection.First.Before(w.Holder.Since) || begin.Sub(w.Holder.Since) < Spread("cmp1")) ||
				x.Kind == RepairNeighbour && (!wrong || w.Neighbour.Fixed) {
				t.Fatalf("seed %d: %+v of %+v", seed, x, w)
			}
		}
	}
}

// TestLint holds each file of testdata against the messages beside it.
func TestLint(t *testing.T) {
	files, err := filepath.Glob("testdata/lint/*.txt")
	if err != nil || len(files) < 8 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	rules := map[string]bool{}
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text, want, _ := strings.Cut(string(b), "-- found --\n")
		got := ""
		for _, m := range Lint([]File{{Name: "file", Text: text}}) {
			got += m.String() + "\n"
			rules[m.Rule] = true
			if m.Text == "" || m.Do == "" {
				t.Errorf("%s: %s does not say what follows and what to write", path, m.Rule)
			}
		}
		if *update {
			if err := os.WriteFile(path, []byte(text+"-- found --\n"+got), 0o600); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if got != want {
			t.Errorf("%s: got\n%swant\n%s", path, got, want)
		}
	}
	if len(rules) < 24 {
		t.Errorf("only %d rules are met: %v", len(rules), rules)
	}
}

func FuzzLint(f *testing.F) {
	f.Add(keepalivedSample)
	f.Fuzz(func(_ *testing.T, s string) { _ = Lint([]File{{Name: "file", Text: s}}) })
}

const keepalivedSample = "vrrp_instance a {\n virtual_ipaddress {\n 10.0.0.1\n }\n}\n"
