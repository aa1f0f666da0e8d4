package vip_test

import (
	"cmp"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector/vip"
	"github.com/lifeboat-ha/lifeboat/evacuate"
)

var ownSeeds = flag.Int("own-seeds", 50, "random schedules of owning an address")

// TestOwnNeverTwice plays random schedules upon the real rule and the real ledger's
// state: clocks that run at different rates and jump, processes that stop and die
// anywhere, answers that are lost, replicas that lag, terms without a leader, ledgers
// restored, kernels that forget late. At no instant do two kernels have the address.
func TestOwnNeverTwice(t *testing.T) {
	held, moves := 0, 0
	for seed := range uint64(*ownSeeds) {
		w := newOwnWorld(seed)
		w.run(90 * time.Second)
		if w.broken != "" {
			t.Fatalf("seed %d: %s\n%s", seed, w.broken, w.tail())
		}
		held += w.held
		moves += w.moves
	}
	// A rule that never lets anybody hold would pass too.
	if held < *ownSeeds*300 || moves < *ownSeeds*2 {
		t.Errorf("in %d schedules it was held at %d looks and went elsewhere %d times: hardly anything was tried", *ownSeeds, held, moves)
	}
}

// ownWorld is true time, a ledger, and machines.
type ownWorld struct {
	r        *rand.Rand
	now      time.Duration
	index    uint64
	log      []logged
	past     []byte          // a state of the past
	state    *evacuate.State // of the leader: what is committed
	noLeader time.Duration   // until then nobody commits
	machines []*ownMachine
	flying   []flight
	broken   string
	lines    []string
	held     int
	moves    int
	last     string
}

// logged is an entry, or a state of the past put in place.
type logged struct {
	entry evacuate.Entry
	state []byte
	born  time.Duration // when a leader first had it; replicas may have had it then, too
}

func (l logged) apply(s *evacuate.State, index uint64) (*evacuate.State, error) {
	if l.state == nil {
		return s, s.Apply(index, 1, l.entry)
	}
	old, err := evacuate.UnmarshalState(l.state)
	if err != nil {
		return s, err
	}
	old.Generation = s.Generation
	return old, old.Apply(index, 1, evacuate.Entry{Kind: evacuate.KindClusterRestored, At: time.Unix(0, 0)})
}

// flight is a request on its way to the ledger, or its answer back.
type flight struct {
	at    time.Duration
	entry *evacuate.Entry
	from  *ownMachine
	life  int // of the process that asked
	nonce string
	lost  bool
	born  time.Duration
}

type ownMachine struct {
	w       *ownWorld
	name    string
	rate    float64
	tenant  *vip.Tenant
	life    int
	begun   time.Duration
	jump    bool
	skew    time.Duration // what a jump has added to the clock that claims the most
	applied int           // entries of the log that this replica has
	state   *evacuate.State
	lag     time.Duration
	stopped time.Duration // until then the process stands still
	dead    bool
	expires time.Duration // when the kernel forgets the address, in true time; 0: it has none
	doomed  *vip.Placing  // what the process was about to do when it was stopped
	cut     bool
	next    time.Duration
	probes  []probing
	deaf    bool
	born    time.Duration // of the entry that last changed the lease
}

type probing struct {
	at    time.Duration
	heard []string
}

func newOwnWorld(seed uint64) *ownWorld {
	w := &ownWorld{r: rand.New(rand.NewPCG(seed, 7)), state: evacuate.NewState()}
	for i := range 3 + 2*w.r.IntN(2) {
		m := &ownMachine{w: w, name: fmt.Sprintf("c%d", i+1), rate: 1 + (w.r.Float64()-0.5)*0.008, state: evacuate.NewState()}
		w.machines = append(w.machines, m)
		m.start()
	}
	return w
}

func (m *ownMachine) start() {
	m.life++
	m.dead, m.stopped, m.doomed, m.probes = false, 0, nil, nil
	m.begun, m.skew = m.w.now, 0
	m.tenant = vip.NewTenant(m.name, fmt.Sprint(m.life), []string{"v"})
}

func (m *ownMachine) clock() vip.Moment {
	d := time.Duration(float64(m.w.now-m.begun) * m.rate)
	return vip.Moment{Most: d + m.skew, Least: d}
}

func (w *ownWorld) say(format string, args ...any) {
	w.lines = append(w.lines, fmt.Sprintf("%8.3f ", w.now.Seconds())+fmt.Sprintf(format, args...))
}

func (w *ownWorld) tail() string {
	text := ""
	for _, l := range w.lines[max(0, len(w.lines)-60):] {
		text += l + "\n"
	}
	return text
}

func (w *ownWorld) some(most time.Duration) time.Duration {
	return time.Duration(w.r.Int64N(int64(most)))
}

func (w *ownWorld) run(until time.Duration) {
	for ; w.now < until && w.broken == ""; w.now += 5 * time.Millisecond {
		w.land()
		for _, m := range w.machines {
			if m.expires != 0 && w.now >= m.expires {
				w.say("%s: the kernel forgets it", m.name)
				m.expires = 0
			}
			m.catchUp()
			if !m.dead && w.now >= m.stopped && w.now >= m.next {
				m.look()
				m.next = w.now + 40*time.Millisecond + w.some(30*time.Millisecond)
			}
		}
		w.check()
		if w.r.IntN(500) == 0 {
			w.fault()
		}
	}
}

func (w *ownWorld) check() {
	var have []string
	for _, m := range w.machines {
		if m.expires != 0 {
			have = append(have, m.name)
		}
	}
	if len(have) > 1 {
		w.broken = fmt.Sprintf("%v have it at %s", have, w.now)
	}
	if len(have) == 1 {
		w.held++
		if w.last != have[0] {
			w.last = have[0]
			w.moves++
		}
	}
}

// land commits what has reached the ledger, and tells those who asked.
func (w *ownWorld) land() {
	flying := w.flying
	w.flying = nil
	for _, f := range flying {
		switch {
		case w.now < f.at:
			w.flying = append(w.flying, f)
		case f.entry == nil: // an answer
			if f.from.life == f.life && !f.from.dead && !f.lost {
				f.from.tenant.Committed(f.nonce)
			}
		case w.now < w.noLeader:
			if f.born == 0 {
				f.born = w.now // stored by some, committed by nobody
			}
			if w.r.IntN(2) == 0 { // it is kept somewhere and comes late, or never
				f.at = w.noLeader + w.some(3*time.Second)
				w.flying = append(w.flying, f)
			}
		default:
			e := *f.entry
			e.At = time.Unix(0, 0).Add(w.now)
			if w.apply(logged{entry: e, born: cmp.Or(f.born, w.now)}) == nil {
				w.say("%s: %s %s", f.from.name, e.Lease.Act, e.Lease.Nonce)
				back := w.some(60 * time.Millisecond)
				if w.r.IntN(8) == 0 || f.from.cut {
					back += w.some(3500 * time.Millisecond)
				}
				w.flying = append(w.flying, flight{at: w.now + back, from: f.from, life: f.life, nonce: f.nonce, lost: w.r.IntN(6) == 0})
			}
		}
	}
}

func (w *ownWorld) apply(l logged) (err error) {
	w.index++
	w.log = append(w.log, l)
	w.state, err = l.apply(w.state, w.index)
	if w.past == nil || w.r.IntN(200) == 0 {
		w.past, _ = w.state.Marshal()
	}
	return err
}

func (m *ownMachine) catchUp() {
	if m.w.now < m.lag || m.dead {
		return
	}
	for ; m.applied < len(m.w.log); m.applied++ {
		l, err := m.w.log[m.applied], error(nil)
		if m.state, err = l.apply(m.state, uint64(m.applied+1)); err == nil && l.born > 0 && l.entry.Lease.Act != evacuate.LeaseReady && l.entry.Lease.Act != evacuate.LeaseWish {
			m.born = max(m.born, l.born) // a log is stored in order
		} else if l.state != nil {
			m.born = 0
		}
	}
	m.lag = m.w.now + m.w.some(120*time.Millisecond)
	if m.cut {
		m.lag = m.w.now + m.w.some(8*time.Second)
		m.cut = m.w.r.IntN(3) != 0
	}
}

func (m *ownMachine) look() {
	w := m.w
	if d := m.doomed; d != nil { // it was stopped between its decision and its clock's reading
		m.doomed = nil
		m.place(*d)
	}
	m.hearProbes()
	v := vip.OwnView{Now: m.clock(), Jumped: m.jump, Generation: m.state.Generation, Leases: map[string]vip.Lease{}, Voters: len(w.machines), Votes: true,
		Ground: map[string]vip.Ground{"v": {Here: m.expires != 0}}, Fit: map[string]map[string]vip.Fitness{"v": {}}}
	m.jump = false
	for _, o := range w.machines {
		f := vip.Fitness{Score: int(w.now/(20*time.Second)+time.Duration(len(o.name)+int(o.name[1]))) % 3}
		v.Fit["v"][o.name] = f
	}
	if l := m.state.Leases["v"]; l != nil {
		v.Leases["v"] = vip.Lease{Holder: l.Holder, Epoch: l.Epoch, Seq: l.Seq, Nonce: l.Nonce, Free: l.Free, Adopting: l.Adopting, Wish: l.Wish, Ready: l.Ready}
		if known := v.Leases["v"]; m.born > m.begun {
			known.Age = time.Duration(float64(w.now-m.born) * m.rate)
			v.Leases["v"] = known
		}
	}
	o := m.tenant.Step(v)
	for range o.Drop {
		w.say("%s: dropped", m.name)
		m.expires = 0
	}
	for _, p := range o.Place {
		if w.r.IntN(40) == 0 {
			m.doomed = &p
			m.stopped = w.now + w.some(10*time.Second)
			w.say("%s: stopped before it places, until %s", m.name, m.stopped)
			return
		}
		m.place(p)
	}
	for range o.Probe {
		p := probing{at: w.now + 200*time.Millisecond}
		for _, other := range w.machines {
			if other != m && other.expires != 0 && !m.deaf {
				p.heard = append(p.heard, other.name)
			}
		}
		m.probes = append(m.probes, p)
	}
	for _, q := range o.Ask {
		m.send(q)
	}
}

func (m *ownMachine) hearProbes() {
	m.probes = slices.DeleteFunc(m.probes, func(p probing) bool {
		if m.w.now >= p.at {
			m.tenant.Probed("v", p.heard, "")
		}
		return m.w.now >= p.at
	})
}

// place does what the adapter does: the clock is read right before the kernel is told,
// and the kernel forgets late.
func (m *ownMachine) place(p vip.Placing) {
	w := m.w
	if n := vip.KernelLife(p.Until - m.clock().Most); n > 0 {
		if m.expires == 0 {
			w.say("%s: placed for %d s", m.name, n)
		}
		m.expires = w.now + time.Duration(n)*time.Second + w.some(1250*time.Millisecond)
	}
}

func (m *ownMachine) send(q vip.LeaseAsk) {
	w := m.w
	e := &evacuate.Entry{Kind: evacuate.KindVIPLease, By: m.name, Lease: &evacuate.VIPLeaseStep{Act: evacuate.LeaseAct(q.Act), Node: m.name, Generation: q.Generation, Nonce: q.Nonce}}
	for _, of := range q.Of {
		e.Lease.Of = append(e.Lease.Of, evacuate.VIPLeaseAsk{VIP: of.VIP, Epoch: of.Epoch, Seq: of.Seq, Placed: of.Placed, Adopted: of.Adopted, To: of.To, Why: of.Why})
	}
	delay := 5*time.Millisecond + w.some(40*time.Millisecond)
	switch w.r.IntN(20) {
	case 0:
		delay += w.some(6 * time.Second)
	case 1:
		return
	}
	if m.cut {
		delay += w.some(8 * time.Second)
	}
	w.flying = append(w.flying, flight{at: w.now + delay, entry: e, from: m, life: m.life, nonce: q.Nonce})
}

func (w *ownWorld) fault() {
	m := w.machines[w.r.IntN(len(w.machines))]
	if w.r.IntN(2) == 0 { // rather somebody whom it concerns
		for _, x := range w.machines {
			if x.expires != 0 {
				m = x
			}
		}
	}
	switch k := w.r.IntN(11); {
	case k <= 1:
		m.stopped = w.now + w.some(8*time.Second)
		w.say("%s: stopped until %s", m.name, m.stopped)
	case k == 2 && !m.dead:
		m.dead = true
		w.say("%s: killed", m.name)
	case k == 3 && m.dead:
		m.start()
		w.say("%s: started", m.name)
	case k == 4:
		w.noLeader = w.now + w.some(4*time.Second)
		w.say("no leader until %s", w.noLeader)
	case k == 5:
		m.cut = true
		w.say("%s: cut off", m.name)
	case k == 6:
		m.jump, m.skew = true, m.skew+w.some(time.Minute)
		w.say("%s: its clock jumps", m.name)
	case k == 7:
		m.deaf = !m.deaf // its questions to the network say nothing: the lease alone must do
	case k == 8 && w.past != nil:
		w.say("the ledger is restored")
		_ = w.apply(logged{state: w.past})
	case k >= 9:
		if l := w.state.Leases["v"]; l != nil {
			e := evacuate.Entry{Kind: evacuate.KindVIPLease, Lease: &evacuate.VIPLeaseStep{Act: evacuate.LeaseWish, Generation: w.state.Generation, Of: []evacuate.VIPLeaseAsk{{VIP: "v", Epoch: l.Epoch, To: m.name}}}}
			w.say("wished at %s: %v", m.name, w.apply(logged{entry: e}))
		}
	}
	if w.r.IntN(4) == 0 {
		for _, x := range w.machines {
			if x.dead && w.now > 5*time.Second {
				x.start()
				w.say("%s: started", x.name)
			}
		}
	}
}
