package gossip

import (
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// State is what this member holds another for.
type State string

// States. A member that memberlist merely suspects is Alive.
const (
	Alive State = "alive"
	Dead  State = "dead"
	Left  State = "left" // it had announced its stop
	// Unseen: its state was forgotten together with our own former
	// memberlist object, and nobody has told it anew.
	Unseen State = "unseen"
)

type peer struct {
	Peer
	meta  Meta
	state State
	since time.Time
}

func isController(name string) bool { return strings.HasPrefix(name, ControllerPrefix) }

func sortSights(all []Sight) {
	slices.SortFunc(all, func(a, b Sight) int { return strings.Compare(a.Name, b.Name) })
}

// All functions below must be called with Member.mu held.

func (m *Member) countAlive() (n int) {
	for _, p := range m.peers {
		if p.state == Alive {
			n++
		}
	}
	return n
}

// countKnown counts who there should be: the roster and whoever is here, but
// not those who announced their stop, lest a cloud in maintenance look like a
// collapsed ring.
func (m *Member) countKnown() int {
	n := 0
	if p := m.peers[m.o.Name]; p == nil || p.state != Alive {
		n++ // ourselves
	}
	for _, k := range m.known {
		if p := m.peers[k.Name]; k.Name != m.o.Name && (p == nil || p.state != Left && p.state != Alive) {
			n++
		}
	}
	for name, p := range m.peers {
		// Without a roster, all whom we have seen should be there.
		if p.state == Alive || len(m.known) == 0 && p.state != Left && name != m.o.Name {
			n++
		}
	}
	return n
}

// dead lists hosts that are held for dead, as many as a heartbeat carries. Half
// of them are the newest deaths, the other half is drawn anew each time: when
// many die at once, all observers together name every one of them. count is how
// many there are.
func (m *Member) dead() (names []nova.HostName, count int) {
	var all []*peer
	for _, p := range m.peers {
		if p.state == Dead && !isController(p.Name) {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b *peer) int {
		if c := b.since.Compare(a.since); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	count = len(all)
	if len(all) > detector.MaxDead {
		older := all[detector.MaxDead/2:]
		rand.Shuffle(len(older), func(i, j int) { older[i], older[j] = older[j], older[i] })
		all = all[:detector.MaxDead]
	}
	for _, p := range all {
		names = append(names, nova.HostName(p.Name))
	}
	return names, count
}

// forget drops what a former memberlist object knew. Addresses and boot ids
// stay: who comes back with another boot id has restarted.
func (m *Member) forget(now time.Time) {
	for _, p := range m.peers {
		if p.state != Left {
			p.state, p.since = Unseen, now
		}
	}
}

// prune drops who is neither listed nor here for a day.
func (m *Member) prune(now time.Time) {
	if len(m.known) == 0 {
		return
	}
	listed := make(map[string]bool, len(m.known))
	for _, k := range m.known {
		listed[k.Name] = true
	}
	for name, p := range m.peers {
		if !listed[name] && p.state != Alive && now.Sub(p.since) > 24*time.Hour {
			delete(m.peers, name)
		}
	}
}

// A delegate listens to one memberlist object, with memberlist's own lock held:
// it must neither block nor call memberlist.
type delegate struct {
	m *Member
	g *generation
}

func (d *delegate) NotifyJoin(n *memberlist.Node)   { d.note(n, Alive) }
func (d *delegate) NotifyUpdate(n *memberlist.Node) { d.note(n, Alive) }

func (d *delegate) NotifyLeave(n *memberlist.Node) {
	if m, err := decodeMeta(n.Meta); err == nil && m.Leaving {
		d.note(n, Left)
		return
	}
	d.note(n, Dead)
}

func (d *delegate) note(n *memberlist.Node, s State) {
	meta, err := decodeMeta(n.Meta)
	if err != nil {
		return // NotifyAlive keeps such members out
	}
	now := d.m.o.Now()
	d.m.mu.Lock()
	defer d.m.mu.Unlock()
	if d.m.now != d.g {
		return // a timer of an object that was given up
	}
	old := d.m.peers[n.Name]
	p := &peer{Peer: Peer{Name: n.Name, Addr: addrOf(n)}, meta: meta, state: s, since: now}
	if old != nil && old.state == s {
		p.since = old.since
	}
	d.m.peers[n.Name] = p
	if n.Name != d.m.o.Name {
		d.m.events.tell(changed(old, p, now))
	}
}

// NotifyAlive keeps members of another make out of the ring's books.
func (d *delegate) NotifyAlive(n *memberlist.Node) error {
	meta, err := decodeMeta(n.Meta)
	if err == nil && !roleFits(n.Name, meta.Role) {
		err = errRole
	}
	if err != nil {
		d.m.mu.Lock()
		d.m.stats.Refused++
		d.m.mu.Unlock()
	}
	return err
}

func (d *delegate) NotifyConflict(existing, other *memberlist.Node) {
	d.m.o.Log.Warn("two members of the ring use one name", "host", existing.Name,
		"address", existing.Address(), "other", other.Address())
}

// NodeMeta is what we say of ourselves.
func (d *delegate) NodeMeta(int) []byte {
	d.m.mu.Lock()
	defer d.m.mu.Unlock()
	return d.m.meta.encode()
}

// NotifyPingComplete is a direct answer to one of our pings.
func (d *delegate) NotifyPingComplete(*memberlist.Node, time.Duration, []byte) {
	d.g.acked.Store(int64(d.m.uptime()))
}

// The rest of memberlist's interfaces is not used.

func (d *delegate) AckPayload() []byte              { return nil }
func (d *delegate) GetBroadcasts(int, int) [][]byte { return nil }
func (d *delegate) LocalState(bool) []byte          { return nil }
func (d *delegate) MergeRemoteState([]byte, bool)   {}
