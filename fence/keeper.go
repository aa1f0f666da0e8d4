package fence

import (
	"slices"
	"time"
)

// Phase is where a host's watchdog stands.
type Phase string

// Phases. Disarming goes on feeding by the lease until the ledger has noted that
// nobody may rely on the watchdog any more.
const (
	Idle      Phase = "idle"
	Armed     Phase = "armed"
	Disarming Phase = "disarming"
)

// mostTerms bounds how many lists of controllers and hosts are kept to at once.
const mostTerms = 4

// Promise is what a host has told or may have told of its watchdog in this boot. It
// is on the disk before it is told: an agent that starts anew keeps to it.
type Promise struct {
	Boot   string  `json:"boot"`
	Serial uint64  `json:"serial"`
	Armed  bool    `json:"armed"`
	Terms  []Terms `json:"terms"` // the newest last
}

// Wish is what a host is asked for, and what it knows of the cloud.
type Wish struct {
	// Allowed says that the mode in force permits a watchdog.
	Allowed bool
	// Leaving says that the agent is about to stop.
	Leaving bool
	// Noted is the newest serial of this run of the agent that the ledger holds.
	Noted uint64
	// Voters are the controllers, Ring the enrolled hosts.
	Voters, Ring []string
}

// Step is what is to be done now, in this order: save the promise, arm, feed, disarm.
type Step struct {
	Save, Arm, Feed, Disarm bool
	Grounds                 Grounds
	// Left is for how much longer feeding is permitted.
	Left time.Duration
	// Ask says that the lease runs out: other hosts are to be asked.
	Ask bool
}

// Keeper decides what an agent does with its watchdog, and what it tells of its
// lease. It is for one caller at a time.
type Keeper struct {
	self, boot     string
	lease, timeout time.Duration
	phase          Phase
	serial         uint64
	terms          []Terms
	voters, ring   []string
	unbroken       Clocks // since when it has held the lease and told nobody otherwise
	broken         bool
}

// NewKeeper gives a Keeper for one boot of a host. Without a timeout it has no
// watchdog: it only tells of its lease. former is what a former run of the agent
// has promised.
func NewKeeper(self, boot string, lease, timeout time.Duration, former Promise, now Clocks) *Keeper {
	k := &Keeper{self: self, boot: boot, lease: lease, timeout: timeout, phase: Idle, unbroken: now, broken: true}
	if former.Boot == boot {
		k.serial = former.Serial
		if former.Armed && len(former.Terms) > 0 {
			k.phase, k.terms = Armed, former.Terms
			k.serial++ // of a new run: it is told anew
		}
	}
	return k
}

// Phase is where the watchdog stands.
func (k *Keeper) Phase() Phase { return k.phase }

// Timeout is what the device is to be set to.
func (k *Keeper) Timeout() time.Duration {
	if n := len(k.terms); n > 0 {
		return k.terms[n-1].Timeout
	}
	return k.timeout
}

// Promise is what must be on the disk.
func (k *Keeper) Promise() Promise {
	return Promise{Boot: k.boot, Serial: k.serial, Armed: k.phase != Idle, Terms: slices.Clone(k.terms)}
}

// Report is what is told to the controllers; false: there is no watchdog.
func (k *Keeper) Report() (serial uint64, armed bool, t Terms, ok bool) {
	if k.timeout == 0 && k.phase == Idle {
		return 0, false, Terms{}, false
	}
	if n := len(k.terms); n > 0 {
		t = k.terms[n-1]
	}
	return k.serial, k.phase == Armed, t, true
}

// own are the terms that hold where there is no watchdog too.
func (k *Keeper) own() Terms {
	t := Terms{Lease: k.lease, Voters: k.voters}
	if n := len(k.terms); n > 0 {
		t = k.terms[n-1]
	}
	return t
}

// Tick looks at what is known and says what to do.
func (k *Keeper) Tick(s Sight, w Wish) Step {
	k.voters, k.ring = w.Voters, w.Ring
	k.look(s)
	var step Step
	switch k.phase {
	case Idle:
		t := Terms{Lease: k.lease, Timeout: k.timeout, Voters: w.Voters, Ring: w.Ring}
		step.Arm = k.timeout > 0 && w.Allowed && !w.Leaving && slices.Contains(w.Ring, k.self) && t.Check() == nil && t.Held(s) > k.lease/2
		return step
	case Armed:
		if w.Noted == k.serial {
			k.terms = k.terms[len(k.terms)-1:] // nobody goes by the former ones any more
		}
		if !w.Allowed || w.Leaving {
			k.phase = Disarming
			k.serial++
			step.Save = true
			break
		}
		step.Save = k.renew(w)
	case Disarming:
		switch {
		case w.Noted == k.serial:
			k.phase, k.terms = Idle, nil
			return Step{Save: true, Disarm: true}
		case w.Allowed && !w.Leaving:
			k.phase = Armed
			k.serial++
			step.Save = true
		}
	}
	step.Grounds, step.Left = MayFeed(k.terms, s)
	step.Feed = step.Grounds != ByNobody
	step.Ask = step.Grounds != ByControllers || step.Left < k.own().Lease/2
	return step
}

// renew adopts new lists of controllers and hosts. Until the ledger has noted
// them, the former ones bind too.
func (k *Keeper) renew(w Wish) bool {
	last := k.terms[len(k.terms)-1]
	if len(w.Voters) == 0 || len(k.terms) >= mostTerms || slices.Equal(last.Voters, w.Voters) && slices.Equal(last.Ring, w.Ring) {
		return false
	}
	next := last
	next.Voters, next.Ring = slices.Clone(w.Voters), slices.Clone(w.Ring)
	k.terms = append(slices.Clone(k.terms), next)
	k.serial++
	return true
}

// Arm notes that the device runs, and what it says of its timeout. The promise
// must be on the disk before anybody is told.
func (k *Keeper) Arm(timeout time.Duration) error {
	t := Terms{Lease: k.lease, Timeout: timeout, Voters: slices.Clone(k.voters), Ring: slices.Clone(k.ring)}
	if err := t.Check(); err != nil {
		return err
	}
	k.phase, k.terms = Armed, []Terms{t}
	k.serial++
	return nil
}

// look notes whether the lease holds.
func (k *Keeper) look(s Sight) (held bool) {
	held = k.own().Held(s) > 0
	if _, sane := s.Now.since(k.unbroken); !held || !sane {
		k.broken = true
	} else if k.broken {
		k.broken, k.unbroken = false, s.Now
	}
	return held
}

// Lost answers another host's question: have you lost the controllers? Whoever says
// so has not held its lease without a break.
func (k *Keeper) Lost(s Sight) bool {
	lost := !k.look(s)
	if lost {
		k.broken = true
	}
	return lost
}

// HeldFor is for how long the lease has been held without a break; 0: it is not.
func (k *Keeper) HeldFor(s Sight) time.Duration {
	if !k.look(s) || k.broken {
		return 0
	}
	age, sane := s.Now.since(k.unbroken)
	if !sane {
		return 0
	}
	return min(age, s.Now.Mono-k.unbroken.Mono) // the shorter claim
}

// Late says that a feed which was permitted for left at before was done when the
// permission had run out: the process stood still in between.
func Late(before, after Clocks, left time.Duration) bool {
	took, sane := after.since(before)
	return !sane || took >= left
}
