package vip

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// The lease rule, by which an address is on one kernel at a time: a holder counts from
// the instant before it asked for what the ledger then took, and its kernel forgets the
// address before LeaseWait from there has passed by any clock; whoever wants it next
// waits LeaseWait from when its own replica first showed the record as it still is, and
// takes it on that condition. What it waited from lies behind what the holder counts from.
const (
	// LeaseWait is how long the record must have stood still before another takes it.
	LeaseWait = 4000 * time.Millisecond
	// LeaseHold is for how long its holder keeps the address itself.
	LeaseHold = 2800 * time.Millisecond
	// leaseKernel is by when the kernel must have forgotten it: 1 % for clocks that run
	// at different rates, and a moment.
	leaseKernel = LeaseWait - LeaseWait/100 - 20*time.Millisecond
	// renewEvery is how often a holder asks anew.
	renewEvery = 500 * time.Millisecond
	// probeTime is how long the network is asked before an address is claimed, and
	// probeFresh for how long its silence counts.
	probeTime  = 250 * time.Millisecond
	probeFresh = time.Second
	// stagger keeps controllers that want an address from asking all at once.
	stagger = 300 * time.Millisecond
	// askAgain is after how long a request without an answer is repeated.
	askAgain = 600 * time.Millisecond
	// wishMost is how long a holder waits for the word of who is wished.
	wishMost = 10 * time.Second
	// rivalMost is how soon a holder who hears another answer must have its lease
	// confirmed anew: it may have been stopped together with its clocks.
	rivalMost = 800 * time.Millisecond
	// betterFor is how long another must be fitter before it is wished, and settleFor
	// how long an address stays where it went.
	betterFor = 3 * time.Second
	settleFor = time.Minute
	// adoptMost is how long keepalived may take to be stopped.
	adoptMost = 10 * time.Minute
	// LeastVoters is how many voters are needed to own: with two, one that is cut off
	// cannot tell it from the other's death.
	LeastVoters = 3
)

// announceAt is when a new holder announces itself: kernels may ignore what comes
// within a second of a change, and switches lose what comes at once.
var announceAt = []time.Duration{0, 200 * time.Millisecond, time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second}

// announceEvery is how often it does so later on.
const announceEvery = 30 * time.Second

// kernelLate is how late Linux may remove an expired address: a quarter of a second, for
// its timer is rounded, and a second more, for that is the least between two of its looks:
// any address that somebody adds is the reason of a look (check_lifetime in
// net/ipv4/devinet.c, addrconf_verify_rtnl in net/ipv6/addrconf.c).
const kernelLate = 1400 * time.Millisecond

// KernelLife is how many whole seconds of life may be given to an address whose kernel
// must have forgotten it after left; 0: none.
func KernelLife(left time.Duration) int { return max(0, int((left-kernelLate)/time.Second)) }

// topUp is how long after a request that nothing has followed the address is given what
// life is left: one second more, counted from then.
const topUp = leaseKernel - kernelLate - time.Second - 150*time.Millisecond

// Moment is an instant on one machine: for how long it has been running since it
// began to count, by the clock that claims the most and by the one that claims the
// least. Whoever holds believes the first, whoever waits the second.
type Moment struct{ Most, Least time.Duration }

// Lease is the ledger's record of one address, as this controller's replica shows it.
type Lease struct {
	Holder         string
	Epoch, Seq     uint64
	Nonce          string
	Free, Adopting bool
	Wish, Ready    string
	// Age is for how long this replica has had the entry that made it so, at least; it
	// may have been applied later. 0: not known.
	Age time.Duration
}

// LeaseAct is what is asked of the ledger. The strings are evacuate.LeaseAct's.
type LeaseAct string

// What may be asked.
const (
	LeaseClaim   LeaseAct = "claim"
	LeaseRenew   LeaseAct = "renew"
	LeaseRelease LeaseAct = "release"
	LeaseWish    LeaseAct = "wish"
	LeaseReady   LeaseAct = "ready"
)

// LeaseAsk is one request to the ledger.
type LeaseAsk struct {
	Act        LeaseAct
	Nonce      string
	Generation int
	Of         []LeaseOf
}

// LeaseOf is its part about one address.
type LeaseOf struct {
	VIP             string
	Epoch, Seq      uint64
	Placed, Adopted bool
	To, Why         string
	// Gap is how long nobody had the address while it was adopted.
	Gap time.Duration
}

// Ground is what a controller sees of one address at an instant.
type Ground struct {
	// Here says that the address is on this machine, Forever that it has no end of its
	// own there: then it is not Lifeboat's.
	Here, Forever bool
	// Link says why it could not be here, Blind why nobody can be asked who has it.
	Link, Blind string
	// VRRP is who else advertises it, OwnVRRP that this machine does.
	VRRP    string
	OwnVRRP bool
	// Rival is another machine that has just answered for it.
	Rival string
}

// Fitness is how fit a controller is to have an address.
type Fitness struct {
	// Not says why it cannot have it, Score what ails it: the least is the fittest.
	Not   string `json:"not,omitempty"`
	Score int    `json:"score,omitempty"`
}

// OwnView is all that a controller knows at one instant.
type OwnView struct {
	Now Moment
	// Jumped says that its clocks have contradicted each other since the last look.
	Jumped     bool
	Generation int
	Leases     map[string]Lease
	// Voters is how many the ledger has, Votes whether this is one.
	Voters int
	Votes  bool
	Ground map[string]Ground
	// Fit is how fit each controller is of which that is known, by address.
	Fit map[string]map[string]Fitness
	// Leaving says that this process ends.
	Leaving bool
}

// Placing puts an address on this kernel, or lets it live on there.
type Placing struct {
	VIP string
	// Until is by when the kernel must have forgotten it, on Moment.Most.
	Until time.Duration
}

// OwnOrders are what is to be done, in this order.
type OwnOrders struct {
	Drop     []string // take these off this kernel
	Place    []Placing
	Announce []string
	Probe    []string // ask the network who has these; tell Probed
	Ask      []LeaseAsk
}

// Tenant is one controller's part in owning addresses. It is not safe for concurrent
// use. Two of one controller must not live at a time.
type Tenant struct {
	me, start string
	serial    int
	vips      []string
	of        map[string]*tenancy
	pending   map[string]pending
	now       Moment
}

// pending is a request whose outcome is not known yet.
type pending struct {
	LeaseAsk
	at Moment
}

// tenancy is what a tenant remembers of one address.
type tenancy struct {
	key  leaseKey
	seen Moment // since when the record is as it is
	// hold is the lease that this process has; epoch is that in which it last had it.
	hold  *hold
	epoch uint64
	// giving is how it gives it away; never more of that epoch.
	giving *giving
	given  uint64 // of this generation

	placed   bool
	placedBy Moment // the t0 of the hold by which it was last placed
	topped   bool   // and placed again by it, when nothing had followed
	tells    uint64 // the epoch in which the ledger was told that it is placed
	told     int
	toldAt   Moment

	asked  time.Duration // when a claim, release, ready or wish was last asked, on Most
	probed probed
	rival  *Moment       // since when another answers
	after  time.Duration // no request from before this counts, on Most
	better *Moment       // since when another is fitter
	since  Moment        // since when it is held
	wished Moment        // since when the wish stands
	here   Moment        // when it was last seen on this kernel
	gap    time.Duration
	wish   string
	why    string
}

type leaseKey struct {
	generation int
	epoch, seq uint64
	holder     string
	free       bool
}

type hold struct {
	generation int
	epoch      uint64
	t0         Moment
}

type giving struct {
	epoch   uint64
	to, why string
}

// probed is the last question to the network.
type probed struct {
	asked   *Moment
	running bool
	heard   []string
	err     string
}

// NewTenant begins to count for a controller. start names this process, for ever.
func NewTenant(me, start string, vips []string) *Tenant {
	t := &Tenant{me: me, start: start, vips: slices.Sorted(slices.Values(vips)), of: map[string]*tenancy{}, pending: map[string]pending{}}
	for _, v := range t.vips {
		t.of[v] = &tenancy{asked: -askAgain}
	}
	return t
}

// Step looks once and says what to do. Whoever calls it carries the orders out before
// the next look, and lets Ground show what they came to.
func (t *Tenant) Step(v OwnView) OwnOrders {
	t.now = v.Now
	var o OwnOrders
	for n, p := range t.pending {
		if v.Jumped || v.Now.Most-p.at.Most > LeaseWait {
			delete(t.pending, n) // whatever it comes to, its time is over
		}
	}
	for _, name := range t.vips {
		x, l := t.of[name], v.Leases[name]
		t.watch(x, v, l)
		switch {
		case x.giving != nil:
			t.give(name, x, v, &o)
		case x.hold != nil:
			t.keep(name, x, v, &o)
		default:
			t.want(name, x, v, &o)
		}
	}
	t.renew(v, &o)
	return o
}

// watch learns from the record, and ends what has ended.
func (t *Tenant) watch(x *tenancy, v OwnView, l Lease) {
	key := leaseKey{v.Generation, l.Epoch, l.Seq, l.Holder, l.Free}
	if v.Generation != x.key.generation {
		x.given, x.epoch, x.giving = 0, 0, nil
	}
	switch {
	case v.Jumped:
		x.key, x.seen = key, v.Now
	case x.key != key:
		x.key, x.seen = key, Moment{v.Now.Most, max(x.seen.Least, v.Now.Least-l.Age)}
	}
	if x.wish != l.Wish {
		x.wish, x.wished = l.Wish, v.Now
	}
	if p, ok := t.pending[l.Nonce]; ok && l.Holder == t.me {
		t.count(x, v.Generation, l.Epoch, p.at)
	}
	if g := x.giving; g != nil && (l.Holder != t.me || l.Epoch != g.epoch) && l.Epoch >= g.epoch {
		x.giving = nil
	}
	h := x.hold
	switch {
	case h == nil:
	case v.Jumped:
		x.lose("the clocks of this machine contradict each other")
		x.epoch = 0
	case v.Generation > h.generation || l.Epoch > h.epoch || l.Epoch == h.epoch && l.Holder != t.me:
		x.lose("the lease is " + cmp.Or(l.Holder, "nobody") + "'s")
	case t.left(h) <= 0:
		x.lose("the lease could not be renewed in time")
	}
}

// left is for how long a lease may still be used.
func (t *Tenant) left(h *hold) time.Duration { return LeaseHold - (t.now.Most - h.t0.Most) }

func (x *tenancy) lose(why string) { x.hold, x.why, x.rival, x.better = nil, why, nil, nil }

// count takes what the ledger has confirmed. The time runs from before it was asked.
func (t *Tenant) count(x *tenancy, generation int, epoch uint64, t0 Moment) {
	if epoch <= x.given || generation != x.key.generation || t0.Most < x.after {
		return // given away, or about to be; of a ledger of the past; doubted since
	}
	h := x.hold
	switch {
	case h == nil || h.epoch != epoch || h.generation != generation:
		if h != nil && epoch < h.epoch {
			return
		}
		fresh := &hold{generation, epoch, t0}
		if t.left(fresh) <= 0 {
			return
		}
		if x.epoch != epoch {
			x.since = t.now
		}
		x.hold, x.epoch, x.why = fresh, epoch, ""
	case t0.Most > h.t0.Most:
		h.t0 = t0
	}
}

// Committed says that the ledger took a request.
func (t *Tenant) Committed(nonce string) {
	p, ok := t.pending[nonce]
	if !ok {
		return
	}
	for _, of := range p.Of {
		switch x := t.of[of.VIP]; p.Act {
		case LeaseClaim:
			t.count(x, p.Generation, of.Epoch+1, p.at)
		case LeaseRenew:
			t.count(x, p.Generation, of.Epoch, p.at)
		case LeaseRelease, LeaseReady, LeaseWish: // the record says what came of it
		}
	}
}

// Refused says that the ledger took it not, or that nobody knows.
func (t *Tenant) Refused(nonce string, why string) {
	for _, of := range t.pending[nonce].Of {
		if x := t.of[of.VIP]; x.hold == nil && t.pending[nonce].Act == LeaseClaim {
			x.why = why
		}
	}
}

// Probed says what a question to the network came to, which began when it was ordered.
func (t *Tenant) Probed(name string, heard []string, err string) {
	x := t.of[name]
	x.probed.running, x.probed.heard, x.probed.err = false, heard, err
}

// ask makes a request and remembers when. Nobody may count from later than this.
func (t *Tenant) ask(v OwnView, act LeaseAct, of ...LeaseOf) LeaseAsk {
	t.serial++
	q := LeaseAsk{Act: act, Nonce: fmt.Sprintf("%s-%s-%d", t.me, t.start, t.serial), Generation: v.Generation, Of: of}
	t.pending[q.Nonce] = pending{q, v.Now}
	if act != LeaseRenew {
		for _, a := range of {
			t.of[a.VIP].asked = v.Now.Most
		}
	}
	return q
}

func (t *Tenant) mayAsk(x *tenancy) bool { return t.now.Most-x.asked >= askAgain }
