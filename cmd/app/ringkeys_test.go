package app

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector/gossip"
	"github.com/lifeboat-ha/lifeboat/detector/gossip/gossiptest"
	"github.com/lifeboat-ha/lifeboat/evacuate"
)

func keyOf(n int) []byte { return bytes.Repeat([]byte{byte(n + 1)}, 32) }

// ringMember is a member of the ring with its key ring.
type ringMember struct {
	name   string
	at     netip.AddrPort
	saved  []byte // the key that it starts with
	member *gossip.Member
	keys   *keyRing
}

// keyedRing is a ring of which each member takes what it is told of keys some time
// later, as agents fetch their rosters.
type keyedRing struct {
	*testing.T
	net     *gossiptest.Network
	members []*ringMember
	known   []gossip.Peer
	state   *evacuate.State
	wg      sync.WaitGroup
}

func withKeyedRing(t *testing.T, n int, f func(*keyedRing)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &keyedRing{T: t, net: gossiptest.New(1), state: evacuate.NewState()}
		r.net.SetDelay(200 * time.Microsecond)
		for i := range n {
			m := &ringMember{name: fmt.Sprintf("cmp%02d", i), at: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}), 7946), saved: keyOf(0)}
			r.members = append(r.members, m)
			r.known = append(r.known, gossip.Peer{Name: m.name, Addr: m.at})
		}
		for _, m := range r.members {
			r.open(m)
			time.Sleep(20 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		f(r)
		r.wg.Wait()
		for _, m := range r.members {
			_ = m.member.Close()
		}
		time.Sleep(2 * time.Minute)
	})
}

func (r *keyedRing) open(m *ringMember) {
	r.Helper()
	member, err := gossip.Open(r.Context(), gossip.Options{Name: m.name, Bind: m.at, Keys: [][]byte{m.saved}, Label: "cloud", Known: func() []gossip.Peer { return r.known },
		Meta: gossip.Meta{Role: gossip.RoleAgent, Boot: "b", Start: "s", Version: "1"}, Transport: r.net.Transport(m.at), Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		r.Fatal(err)
	}
	m.member, m.keys = member, newKeyRing(member.Keys(), m.saved)
}

// step commits a step, and gives what a controller of that ledger tells.
func (r *keyedRing) step(p evacuate.RingPhase) ringGrant {
	r.Helper()
	e := evacuate.Entry{Kind: evacuate.KindRing, At: time.Now(), Ring: &evacuate.RingStep{Phase: p, Key: evacuate.RingKeyName{Epoch: 1, Fingerprint: ringPrint(keyOf(1))}}}
	if err := r.state.Apply(1, 1, e); err != nil {
		r.Fatal(err)
	}
	return r.grant()
}

func (r *keyedRing) grant() ringGrant {
	plan := r.state.RingKeys()
	g := ringGrant{Serial: r.state.RingSerial, Use: plan.Use.Epoch}
	for _, k := range plan.Hold {
		g.Keys = append(g.Keys, ringKey{k.Epoch, keyOf(k.Epoch)})
	}
	return g
}

// tell lets each member hear of a grant within a roster's period.
func (r *keyedRing) tell(g ringGrant, members ...*ringMember) {
	for _, m := range members {
		r.wg.Go(func() {
			time.Sleep(rand.N(rosterEvery))
			r.take(m, g)
		})
	}
}

func (r *keyedRing) take(m *ringMember, g ringGrant) {
	key, changed, err := m.keys.take(g)
	if err != nil {
		r.Errorf("%s: %v", m.name, err)
	}
	if changed {
		m.saved = key
	}
}

// watch looks for d at all members, for one that another holds dead.
func (r *keyedRing) watch(d time.Duration, except ...*ringMember) {
	r.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(250 * time.Millisecond) {
		for _, m := range r.members {
			if slices.Contains(except, m) {
				continue
			}
			for _, dead := range m.member.View().Dead {
				if !slices.ContainsFunc(except, func(e *ringMember) bool { return e.name == string(dead) }) {
					r.Fatalf("%s holds %s dead (%v of %d)", m.name, dead, m.member.View(), len(r.members))
				}
			}
		}
	}
}

func (r *keyedRing) whole() bool {
	return !slices.ContainsFunc(r.members, func(m *ringMember) bool { return m.member.View().Alive != len(r.members) })
}

var allPhases = []evacuate.RingPhase{evacuate.RingDistribute, evacuate.RingUse, evacuate.RingRetire, evacuate.RingDone}

func TestRotationOfTwenty(t *testing.T) {
	withKeyedRing(t, 20, func(r *keyedRing) {
		r.tell(r.grant(), r.members...)
		r.watch(ringPhaseMin)
		for _, p := range allPhases {
			r.tell(r.step(p), r.members...)
			r.watch(ringPhaseMin)
			if held, ok := r.members[7].keys.held(); !ok || r.state.Rotation != nil && !held.cameTo(r.state.Rotation) {
				t.Errorf("in phase %s a member holds %s", p, held)
			}
		}
		r.watch(2 * time.Minute)
		if !r.whole() {
			t.Error("the ring is not whole")
		}
		for _, m := range r.members {
			if held, _ := m.keys.held(); m.member.Keys().Count() != 1 || held.String() != "1:1" || !bytes.Equal(m.saved, keyOf(1)) {
				t.Errorf("%s has %d keys, %s", m.name, m.member.Keys().Count(), held)
			}
		}
	})
}

// Why the phases: with the old way, each member using the new key as soon as it
// has it, the ring falls apart.
func TestKeyUsedAtOnceSplitsTheRing(t *testing.T) {
	withKeyedRing(t, 20, func(r *keyedRing) {
		for _, m := range r.members {
			r.wg.Go(func() {
				time.Sleep(rand.N(2 * time.Minute)) // a lost answer costs some of them rounds
				r.take(m, ringGrant{Use: 1, Keys: []ringKey{{0, keyOf(0)}, {1, keyOf(1)}}})
			})
		}
		split := false
		for range 480 {
			time.Sleep(250 * time.Millisecond)
			split = split || slices.ContainsFunc(r.members, func(m *ringMember) bool { return len(m.member.View().Dead) > 0 })
		}
		if !split {
			t.Error("nobody was held dead: then the phases are not needed")
		}
	})
}

// One that is away for the whole rotation comes back with the old key, is told,
// and is in the ring again.
func TestRotationWithOneAway(t *testing.T) {
	withKeyedRing(t, 20, func(r *keyedRing) {
		away := r.members[11]
		rest := slices.DeleteFunc(slices.Clone(r.members), func(m *ringMember) bool { return m == away })
		r.net.Kill(away.at.Addr())
		_ = away.member.Close()
		for _, p := range allPhases {
			r.tell(r.step(p), rest...)
			r.watch(ringPhaseMin, away)
		}
		r.net.Revive(away.at.Addr())
		r.open(away)
		r.watch(3*time.Second, away) // with the old key it is nobody, and disturbs nobody
		if v := away.member.View(); v.Alive != 1 {
			t.Errorf("with the retired key it sees %+v", v)
		}
		r.take(away, r.grant())
		for range 240 {
			if r.whole() {
				break
			}
			time.Sleep(250 * time.Millisecond)
		}
		r.watch(time.Minute)
		if !r.whole() || !bytes.Equal(away.saved, keyOf(1)) {
			t.Errorf("it is not back: %+v", away.member.View())
		}
	})
}

// A controller that lags behind tells of an older phase: nobody goes back, for
// the key that it names may be gone elsewhere. After a restore everybody does.
func TestKeyRingNeverGoesBack(t *testing.T) {
	withKeyedRing(t, 3, func(r *keyedRing) {
		m := r.members[0]
		if _, ok := m.keys.held(); ok {
			t.Error("it tells of keys before it was told")
		}
		distribute, use := r.step(evacuate.RingDistribute), r.step(evacuate.RingUse)
		retire := r.step(evacuate.RingRetire)
		for _, g := range []ringGrant{distribute, use, retire, use, distribute} {
			r.take(m, g)
		}
		if held, _ := m.keys.held(); held.String() != "1:1" {
			t.Errorf("it holds %s", held)
		}
		restored := ringGrant{Generation: 1, Serial: 0, Use: 0, Keys: []ringKey{{0, keyOf(0)}}}
		r.take(m, restored)
		if held, _ := m.keys.held(); held.String() != "0:0" || m.member.Keys().Count() != 1 {
			t.Errorf("after a restore it holds %s", held)
		}
		if _, _, err := m.keys.take(ringGrant{Generation: 1, Serial: 1, Use: 5}); err == nil {
			t.Error("a grant without the key in force was taken")
		}
		if held, _ := m.keys.held(); held.String() != "0:0" {
			t.Errorf("a refused grant left %s", held)
		}
	})
}

func TestKeysHeld(t *testing.T) {
	for _, s := range []string{"0:0", "1:0,1", "12:12"} {
		if k, ok := parseKeysHeld(s); !ok || k.String() != s {
			t.Errorf("%q reads as %q, %t", s, k, ok)
		}
	}
	for _, s := range []string{"", "1", ":", "1:", "x:1", "1:x"} {
		if _, ok := parseKeysHeld(s); ok {
			t.Errorf("%q is taken", s)
		}
	}
}

func TestRingStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), ringKeysFile)
	s, err := openRingStore(path, keyOf(0))
	if err != nil {
		t.Fatal(err)
	}
	named := []evacuate.RingKeyName{{Epoch: 1, Fingerprint: ringPrint(keyOf(1))}}
	for i := 1; i < 12; i++ {
		if err := s.put(keyOf(i), named); err != nil {
			t.Fatal(err)
		}
	}
	if s, err = openRingStore(path, keyOf(0)); err != nil {
		t.Fatal(err)
	}
	for i, want := range map[int]bool{1: true, 2: false, 11: true} {
		if _, ok := s.key(evacuate.RingKeyName{Epoch: i, Fingerprint: ringPrint(keyOf(i))}); ok != want {
			t.Errorf("key %d is kept: %t", i, ok)
		}
	}
	if k, ok := s.key(evacuate.RingKeyName{}); !ok || !bytes.Equal(k, keyOf(0)) {
		t.Error("the operator's key is gone")
	}
	if s.put([]byte("short"), nil) == nil {
		t.Error("a key of 5 bytes is taken")
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v %v", info.Mode(), err)
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openRingStore(path, keyOf(0)); err == nil {
		t.Error("a damaged file is read")
	}
}
