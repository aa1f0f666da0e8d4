package gossip

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/lifeboat-ha/lifeboat/detector"
)

// Member is this process's member of the ring. It outlives the memberlist
// objects beneath it, which it replaces after a stall or when cut off: their
// timers would accuse the healthy.
type Member struct {
	o      Options
	keys   *Keys
	origin time.Time
	stop   context.CancelFunc
	owned  sync.WaitGroup
	events *events
	poke   chan struct{} // the guard saw a stall
	join   chan struct{} // join now

	beat atomic.Int64 // uptime of the watch's last round

	// Never held while memberlist is called: its delegates take it.
	mu       sync.Mutex
	meta     Meta
	now      *generation // nil while the sockets cannot be opened
	peers    map[string]*peer
	known    []Peer // as Known last said
	standing standing
	left     bool // Leave was called: no renewal any more
	closed   bool
	stats    Stats
}

// generation is one memberlist object.
type generation struct {
	list  *memberlist.Memberlist
	guard *guard
	acked atomic.Int64 // uptime of the last direct answer to a ping

	// Guarded by Member.mu.
	why     Renewal // why its predecessor was given up; "" for the first
	joined  bool
	whole   bool // has seen at least half of the known members
	dipped  bool // was ill: what it suspects may be its own fault
	dipAt   time.Duration
	counted time.Duration // when it last counted who is here
	checked time.Duration // when it last asked whether it is cut off
	alone   int           // checks in a row that nobody answered
	cure    bool          // exchange states with a member that is here
}

// standing is how this member stands with the ring.
type standing struct {
	stalledUntil time.Duration // uptime
	curedAt      time.Duration
}

// Renewal is why a memberlist object was replaced.
type Renewal string

// Renewals.
const (
	Stalled   Renewal = "stalled"   // this process stood still
	Isolated  Renewal = "isolated"  // nobody answered any more
	Collapsed Renewal = "collapsed" // fewer than half of the known members are left
)

// Stats counts since Open.
type Stats struct {
	Renewals    map[Renewal]int
	Joins       int
	JoinsFailed int
	Refused     int // members of another make, or whose name does not fit
}

// Open joins the ring. It does not wait for it: without anybody to join it
// keeps trying. ctx bounds the start only; Close ends the member.
func Open(ctx context.Context, o Options) (*Member, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	keys, err := newKeys(o.Keys)
	if err != nil {
		return nil, err
	}
	m := &Member{
		o: o, keys: keys, origin: o.Now(), events: newEvents(o.OnEvent), meta: o.Meta, peers: map[string]*peer{},
		poke: make(chan struct{}, 1), join: make(chan struct{}, 1), known: o.Known(), stats: Stats{Renewals: map[Renewal]int{}},
	}
	m.beat.Store(int64(m.uptime()))
	if err := m.create(""); err != nil {
		return nil, err
	}
	ctx, m.stop = context.WithCancel(context.WithoutCancel(ctx))
	m.owned.Go(func() { m.events.run(ctx) })
	m.owned.Go(func() { m.watch(ctx) })
	m.owned.Go(func() { m.rejoin(ctx) })
	return m, nil
}

// Close ends the member without a word: to the others it is dead. Call
// SetLeaving and Leave before a planned stop.
func (m *Member) Close() error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return nil
	}
	m.closed = true
	m.mu.Unlock()
	m.stop()
	err := m.retire()
	m.owned.Wait()
	return err
}

// retire gives the present memberlist object up. What its timers still say is
// not listened to.
func (m *Member) retire() error {
	m.mu.Lock()
	g, list := m.now, m.list()
	m.now = nil
	m.mu.Unlock()
	if g == nil || list == nil {
		return nil
	}
	g.guard.close()
	return list.Shutdown()
}

// Keys is the ring's key ring, for rotation.
func (m *Member) Keys() *Keys { return m.keys }

// SetLeaving tells the ring that a stop is planned, so that its silence is no
// death. It returns once the rumour has left for at least one member.
func (m *Member) SetLeaving(ctx context.Context) error {
	m.mu.Lock()
	m.meta.Leaving = true
	list := m.list()
	m.mu.Unlock()
	if list == nil {
		return errors.New("tell the ring of a planned stop: not in it")
	}
	if err := list.UpdateNode(m.patience(ctx)); err != nil {
		return fmt.Errorf("tell the ring of a planned stop: %w", err)
	}
	return nil
}

// Leave takes this member out of the ring. Close must follow: it cannot join
// again.
func (m *Member) Leave(ctx context.Context) error {
	m.mu.Lock()
	list := m.list()
	m.left = true
	m.mu.Unlock()
	if list == nil {
		return nil
	}
	if err := list.Leave(m.patience(ctx)); err != nil {
		return fmt.Errorf("leave the ring: %w", err)
	}
	return nil
}

// patience is what memberlist understands of a context.
func (m *Member) patience(ctx context.Context) time.Duration {
	const most = 5 * time.Second
	if deadline, ok := ctx.Deadline(); ok {
		return max(time.Millisecond, min(most, deadline.Sub(m.o.Now())))
	}
	return most
}

// list must be called with mu held. It is nil between two generations.
func (m *Member) list() *memberlist.Memberlist {
	if m.now == nil {
		return nil
	}
	return m.now.list
}

// uptime only grows. Where it is known, the time of a suspend is in it.
func (m *Member) uptime() time.Duration {
	if m.o.Boottime != nil {
		return m.o.Boottime()
	}
	return m.o.Now().Sub(m.origin)
}

// create makes a memberlist object that knows nobody yet.
func (m *Member) create(why Renewal) error {
	var t memberlist.Transport
	var err error
	switch {
	case m.o.Transport != nil:
		t, err = m.o.Transport()
	case m.o.Sockets != nil:
		t, err = Over(m.o.Sockets, m.o.Bind, m.o.advertise(), m.o.Now)
	default:
		t, err = sockets(m.o)
	}
	if err != nil {
		return fmt.Errorf("open the ring's sockets at %s: %w", m.o.Bind, err)
	}
	g := &generation{why: why, guard: newGuard(t, m.overdue)}
	g.acked.Store(int64(m.uptime()))
	m.mu.Lock()
	c := m.o.config(m.keys.ring, len(m.known))
	m.now = g
	m.mu.Unlock()
	d := &delegate{m: m, g: g}
	c.Transport, c.Delegate, c.Events, c.Alive, c.Ping, c.Conflict = g.guard, d, d, d, d, d
	c.Logger = logger(m.o.Log)
	list, err := memberlist.Create(c)
	if err != nil {
		g.guard.close()
		_ = t.Shutdown()
		m.mu.Lock()
		m.now = nil
		m.mu.Unlock()
		return fmt.Errorf("open the ring at %s: %w", m.o.Bind, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	g.list = list
	return nil
}

func sockets(o Options) (memberlist.Transport, error) {
	return memberlist.NewNetTransport(&memberlist.NetTransportConfig{
		BindAddrs: []string{o.Bind.Addr().String()}, BindPort: int(o.Bind.Port()), Logger: logger(o.Log),
	})
}

// View is this member's opinion, as it may be told to the controllers.
func (m *Member) View() detector.RingView {
	up := m.uptime()
	m.mu.Lock()
	g, list := m.now, m.list()
	v := detector.RingView{Alive: 1, Known: m.countKnown(), Stalled: up < m.standing.stalledUntil || m.overdue()}
	if g != nil && g.alone == 0 {
		v.Alive = max(1, m.countAlive())
		v.Dead, v.DeadCount = m.dead()
	}
	// Who lost sight of the others, and until it has joined and looked again.
	if g != nil {
		cut := g.why == Collapsed || g.why == Isolated
		v.Muted = g.alone > 0 || cut && up < m.standing.stalledUntil
	}
	m.mu.Unlock()
	if list == nil {
		v.Stalled = true
		return v
	}
	v.Score = list.GetHealthScore()
	return v
}

// Sight is what this member knows of one other.
type Sight struct {
	Peer
	Meta  Meta
	State State
	Since time.Time
}

// Members lists everybody that this member has ever seen and not forgotten.
func (m *Member) Members() []Sight {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make([]Sight, 0, len(m.peers))
	for _, p := range m.peers {
		all = append(all, Sight{Peer: p.Peer, Meta: p.meta, State: p.state, Since: p.since})
	}
	sortSights(all)
	return all
}

// Stats counts what happened so far.
func (m *Member) Stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.stats
	s.Renewals = make(map[Renewal]int, len(m.stats.Renewals))
	for k, n := range m.stats.Renewals {
		s.Renewals[k] = n
	}
	return s
}

func addrOf(n *memberlist.Node) netip.AddrPort {
	a, _ := netip.AddrFromSlice(n.Addr)
	return netip.AddrPortFrom(a.Unmap(), n.Port)
}
