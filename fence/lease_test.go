package fence

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// leaseRuns is how many random schedules are played; 100 is what a release is held to.
var leaseRuns = flag.Int("lease-runs", 30, "random schedules of TestLeaseProperty")

// A world in steps of 100 ms: hosts whose devices reset them, controllers that
// forget, networks that are cut one way, processes that stand still, clocks that drift.
type leaseWorld struct {
	rng    *rand.Rand
	now    time.Duration // true time
	origin time.Time
	hosts  []*leaseHost
	ctls   []*leaseCtl
	cut    map[[2]string]time.Duration // until when nothing passes from one to the other
	mail   []letter
	ledger map[string]Covered
	t      *testing.T

	calm           bool // nobody stands still
	proofs, resets int
}

type letter struct {
	at       time.Duration
	from, to string
	deliver  func()
}

type leaseHost struct {
	w           *leaseWorld
	name        string
	drift       float64
	k           *Keeper
	disk        Promise
	acked, lost map[string]Clocks
	noted       uint64
	start       int
	allowed     bool
	paused      time.Duration // until
	dead        bool          // for good: power or device
	armed       bool
	fed         time.Duration // true time of the last feed
	timeout     time.Duration
	intend      *Step // a feed that was decided and is not written yet
	intentAt    Clocks
}

type leaseCtl struct {
	w      *leaseWorld
	name   string
	drift  float64
	since  time.Duration
	heard  map[string]heardAt
	issued time.Duration // the leader's time in its last answer
}

type heardAt struct {
	at    time.Duration // by this controller's clock
	start string
}

const step = 100 * time.Millisecond

func (h *leaseHost) clocks() Clocks {
	d := time.Duration(float64(h.w.now) * (1 + h.drift))
	return Clocks{d, d}
}

func (c *leaseCtl) clock() time.Duration { return time.Duration(float64(c.w.now) * (1 + c.drift)) }

func (h *leaseHost) sight() Sight {
	return Sight{Self: h.name, Now: h.clocks(), Acked: h.acked, Lost: h.lost}
}

func (h *leaseHost) run() string { return fmt.Sprintf("start-%d", h.start) }

func (w *leaseWorld) passes(from, to string) bool { return w.now >= w.cut[[2]string{from, to}] }

// post carries something in up to 1.5 s, if the way is open at both ends of it.
func (w *leaseWorld) post(from, to string, deliver func()) {
	if !w.passes(from, to) {
		return
	}
	w.mail = append(w.mail, letter{w.now + step + time.Duration(w.rng.IntN(1400))*time.Millisecond, from, to, deliver})
}

func (w *leaseWorld) deliver() {
	var later []letter
	due := w.mail
	w.mail = nil
	for _, l := range due {
		switch {
		case l.at > w.now:
			later = append(later, l)
		case w.passes(l.from, l.to):
			l.deliver()
		}
	}
	w.mail = append(w.mail, later...)
}

func newLeaseWorld(t *testing.T, seed uint64) *leaseWorld {
	rng := rand.New(rand.NewPCG(seed, 17))
	w := &leaseWorld{rng: rng, origin: time.Unix(1e9, 0), cut: map[[2]string]time.Duration{}, ledger: map[string]Covered{}, t: t}
	for i := range 3 + 2*rng.IntN(2) {
		w.ctls = append(w.ctls, &leaseCtl{w: w, name: fmt.Sprintf("ctl%d", i+1), drift: w.drift(), heard: map[string]heardAt{}})
	}
	for i := range 3 + rng.IntN(5) {
		h := &leaseHost{w: w, name: fmt.Sprintf("host%d", i+1), drift: w.drift(), allowed: true}
		w.hosts = append(w.hosts, h)
	}
	for _, h := range w.hosts {
		h.begin()
	}
	return w
}

func (w *leaseWorld) drift() float64 { return (w.rng.Float64() - 0.5) * 400e-6 }

// begin is a new run of the agent.
func (h *leaseHost) begin() {
	h.start++
	h.acked, h.lost, h.noted, h.intend = map[string]Clocks{}, map[string]Clocks{}, 0, nil
	h.k = NewKeeper(h.name, "boot", DefaultLease, 15*time.Second, h.disk, h.clocks())
}

func (w *leaseWorld) names() (voters, ring []string) {
	for _, c := range w.ctls {
		voters = append(voters, c.name)
	}
	for _, h := range w.hosts {
		ring = append(ring, h.name)
	}
	return voters, ring
}

// tick is the agent's loop. A pause may come between a decision and its write.
func (h *leaseHost) tick() {
	if h.intend != nil {
		h.write()
		return
	}
	voters, ring := h.w.names()
	s := h.k.Tick(h.sight(), Wish{Allowed: h.allowed, Noted: h.noted, Voters: voters, Ring: ring})
	switch {
	case s.Arm:
		if err := h.k.Arm(15 * time.Second); err != nil {
			h.w.t.Fatal(err)
		}
		h.armed, h.fed, h.timeout, h.disk = true, h.w.now, 15*time.Second, h.k.Promise()
		return
	case s.Save:
		h.disk = h.k.Promise()
	}
	if s.Disarm {
		h.armed = false
	}
	if s.Ask {
		h.ask()
	}
	if !s.Feed {
		return
	}
	h.intend, h.intentAt = &s, h.clocks()
	if !h.w.calm && h.w.rng.IntN(400) == 0 {
		h.paused = h.w.now + time.Duration(h.w.rng.IntN(30_000))*time.Millisecond
		return
	}
	h.write()
}

func (h *leaseHost) write() {
	s := h.intend
	h.intend = nil
	if h.fed, h.timeout = h.w.now, h.k.Timeout(); Late(h.intentAt, h.clocks(), s.Left) {
		h.timeout = time.Second
	}
}

func (h *leaseHost) ask() {
	asked := h.clocks()
	start := h.start
	for _, p := range h.w.hosts {
		if p == h {
			continue
		}
		h.w.post(h.name, p.name, func() {
			if p.dead || p.paused > h.w.now || !p.k.Lost(p.sight()) {
				return
			}
			h.w.post(p.name, h.name, func() {
				if h.start == start {
					h.lost[p.name] = asked
				}
			})
		})
	}
}

// beat sends a heartbeat to every controller.
func (h *leaseHost) beat() {
	sent, run, held := h.clocks(), h.run(), h.k.HeldFor(h.sight())
	serial, armed, terms, ok := h.k.Report()
	trueSent := h.w.now
	for i, c := range h.w.ctls {
		h.w.post(h.name, c.name, func() {
			c.heard[h.name] = heardAt{c.clock(), run}
			if i == 0 { // the leader
				leader := func(d time.Duration) time.Time { return h.w.origin.Add(d) }
				claims[h] = Claim{h.name, leader(c.clock() - held), leader(time.Duration(float64(trueSent) * (1 + c.drift)))}
				if held == 0 {
					delete(claims, h)
				}
				if old := h.w.ledger[h.name]; ok && (old.Serial < serial || old.Start != run) && run == h.run() {
					h.w.ledger[h.name] = Covered{Boot: "boot", Start: run, Serial: serial, Armed: armed, Terms: terms}
				}
			}
			noted := uint64(0)
			if l := h.w.ledger[h.name]; l.Start == run {
				noted = l.Serial
			}
			h.w.post(c.name, h.name, func() {
				if h.run() == run {
					if h.acked[c.name].Mono < sent.Mono {
						h.acked[c.name] = sent
					}
					h.noted = max(h.noted, noted)
				}
			})
		})
	}
}

// claims are what the leader has heard of each host's own lease.
var claims map[*leaseHost]Claim

// judge is the leader's look at every silent host.
func (w *leaseWorld) judge(reports map[string]report) {
	leader := w.ctls[0]
	at := func(d time.Duration) time.Time { return w.origin.Add(d) }
	now := at(leader.clock())
	var all []Claim
	for _, c := range claims {
		all = append(all, c)
	}
	for _, h := range w.hosts {
		var hearings []Hearing
		for _, c := range w.ctls {
			r, ok := reports[c.name]
			if c == leader {
				r, ok = c.report(leader.clock()), true
				r.received = leader.clock()
			}
			if !ok {
				continue
			}
			x := Hearing{Controller: c.name, Until: at(r.issued)}
			age := r.up
			if of, heard := r.heard[h.name]; heard {
				age, x.Boot, x.Start = min(age, of.age), "boot", of.start
			}
			x.Heard = at(r.received - age)
			if !x.Until.After(x.Heard) {
				x.Until = x.Heard
			}
			hearings = append(hearings, x)
		}
		e, err := w.ledger[h.name].Expiry(h.name, "boot", hearings, all, now)
		if err != nil {
			continue
		}
		if _, err = Expire(h.name, "boot", e); err == nil {
			w.proofs++
			if !h.dead {
				w.t.Fatalf("at %s: %s is proven reset and lives: phase %s, fed %s ago, armed %t; %+v", w.now, h.name, h.k.Phase(), w.now-h.fed, h.armed, e)
			}
		} else if !errors.Is(err, ErrNoProof) {
			w.t.Fatal(err)
		}
	}
}

type report struct {
	up, issued, received time.Duration
	heard                map[string]aged
}

type aged struct {
	age   time.Duration
	start string
}

func (c *leaseCtl) report(issued time.Duration) report {
	r := report{up: c.clock() - c.since, issued: issued, heard: map[string]aged{}}
	for h, x := range c.heard {
		r.heard[h] = aged{c.clock() - x.at, x.start}
	}
	return r
}

// advance is one step of everybody.
func (w *leaseWorld) advance(reports map[string]report) {
	w.now += step
	w.deliver()
	for i, h := range w.hosts {
		if h.armed && !h.dead && w.now >= h.fed+h.timeout {
			h.dead, w.resets = true, w.resets+1
		}
		if h.dead || w.now < h.paused {
			continue
		}
		if h.intend != nil || (w.now/step+time.Duration(i))%5 == 0 {
			h.tick()
		}
		if (w.now/step+time.Duration(i))%10 == 0 {
			h.beat()
		}
	}
	if w.now%(500*time.Millisecond) == 0 {
		leader := w.ctls[0]
		for _, c := range w.ctls[1:] {
			r := c.report(c.issued)
			since := c.since
			w.post(c.name, leader.name, func() {
				r.received = leader.clock()
				reports[c.name] = r
				issued := leader.clock()
				w.post(leader.name, c.name, func() {
					if c.since == since {
						c.issued = max(c.issued, issued)
					}
				})
			})
		}
		w.judge(reports)
	}
}

// upset does something random to somebody.
func (w *leaseWorld) upset() {
	h := w.hosts[w.rng.IntN(len(w.hosts))]
	c := w.ctls[w.rng.IntN(len(w.ctls))]
	until := w.now + time.Duration(1000+w.rng.IntN(60_000))*time.Millisecond
	between := func(a, b string, way int) {
		if way != 1 {
			w.cut[[2]string{a, b}] = until
		}
		if way != 2 {
			w.cut[[2]string{b, a}] = until
		}
	}
	way := w.rng.IntN(3)
	switch w.rng.IntN(10) {
	case 0, 1: // cut off from the controllers
		for _, c := range w.ctls {
			between(h.name, c.name, way)
		}
	case 2: // and from the ring
		for _, c := range w.ctls {
			between(h.name, c.name, way)
		}
		for _, p := range w.hosts {
			between(h.name, p.name, 0)
		}
	case 3:
		between(h.name, c.name, way)
	case 4: // one controller from every host
		for _, p := range w.hosts {
			between(p.name, c.name, way)
		}
	case 5: // all controllers from some hosts
		for _, p := range w.hosts[:1+w.rng.IntN(len(w.hosts))] {
			for _, c := range w.ctls {
				between(p.name, c.name, way)
			}
		}
	case 6:
		h.paused = until
	case 7:
		if !h.dead {
			h.begin()
		}
	case 8: // a controller starts anew; its successor as leader knows no claims
		c.heard, c.since, c.issued = map[string]heardAt{}, c.clock(), 0
		if c == w.ctls[0] {
			clear(claims)
		}
	case 9:
		h.allowed = !h.allowed
	}
}

// TestLeaseProperty: whatever is cut, stands still, starts anew or drifts, a proof
// by a watchdog is given only of a host that its device has reset before.
func TestLeaseProperty(t *testing.T) {
	proofs, resets := 0, 0
	for seed := range uint64(*leaseRuns) {
		w := newLeaseWorld(t, seed)
		claims = map[*leaseHost]Claim{}
		reports := map[string]report{}
		for w.now < 5*time.Minute {
			w.advance(reports)
			if w.now > 30*time.Second && w.rng.IntN(40) == 0 {
				w.upset()
			}
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		}
		proofs, resets = proofs+w.proofs, resets+w.resets
	}
	t.Logf("%d resets, %d proofs", resets, proofs)
	if resets == 0 || proofs == 0 {
		t.Errorf("%d resets and %d proofs: the schedules show nothing", resets, proofs)
	}
}

// TestControllersGone: our own absence harms nobody.
func TestControllersGone(t *testing.T) {
	for seed := range uint64(8) {
		w := newLeaseWorld(t, seed)
		w.calm = true
		claims = map[*leaseHost]Claim{}
		reports := map[string]report{}
		for w.now < 12*time.Minute {
			w.advance(reports)
			if w.now == 30*time.Second {
				for _, h := range w.hosts {
					if h.k.Phase() != Armed {
						t.Fatalf("seed %d: %s is not armed after 30 s", seed, h.name)
					}
					for _, c := range w.ctls {
						w.cut[[2]string{h.name, c.name}], w.cut[[2]string{c.name, h.name}] = 11*time.Minute, 11*time.Minute
					}
				}
			}
		}
		if w.resets > 0 {
			t.Errorf("seed %d: %d of %d hosts reset themselves while all controllers were gone", seed, w.resets, len(w.hosts))
		}
	}
}
