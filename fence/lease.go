package fence

import (
	"fmt"
	"slices"
	"time"
)

// Limits of a watchdog lease. A watchdog that fires sooner than a lease can be
// renewed would reset healthy hosts; one that fires much later proves nothing in time.
const (
	MinLease        = 5 * time.Second
	MaxLease        = 2 * time.Minute
	DefaultLease    = 10 * time.Second
	MinTimeout      = 10 * time.Second
	MaxTimeout      = 5 * time.Minute
	DefaultTimeout  = 30 * time.Second
	clockTolerance  = 500 * time.Millisecond
	leastMargin     = 5 * time.Second
	marginPerCent   = 1
	answersPerLease = 2
)

// Clocks is one look at the two clocks that no person sets: Mono stands still
// while the machine is suspended, Boot does not.
type Clocks struct{ Mono, Boot time.Duration }

// since is the time that has passed, the longest that either clock claims. false:
// they contradict each other, or one ran backwards, and nobody knows.
func (c Clocks) since(then Clocks) (time.Duration, bool) {
	mono, boot := c.Mono-then.Mono, c.Boot-then.Boot
	return max(mono, boot), mono >= 0 && boot >= 0 && (mono-boot).Abs() <= clockTolerance
}

// Terms are what a host's lease is measured by. They are reported to the
// controllers before they may rely on them, and the host keeps to them for as
// long as the ledger may hold them.
type Terms struct {
	// Lease is how long an acknowledged heartbeat permits feeding, from its sending.
	Lease time.Duration `json:"lease"`
	// Timeout is what the device itself says: fed for the last time, it resets the
	// host so much later.
	Timeout time.Duration `json:"timeout"`
	// Voters are the controllers of whom more than half renew the lease.
	Voters []string `json:"voters"`
	// Ring are the hosts, this one included, of which half may take their place.
	Ring []string `json:"ring,omitempty"`
}

// Check says what is wrong with t.
func (t Terms) Check() error {
	switch {
	case t.Lease < MinLease || t.Lease > MaxLease:
		return fmt.Errorf("a lease of %s: %s to %s are possible", t.Lease, MinLease, MaxLease)
	case t.Timeout < MinTimeout || t.Timeout > MaxTimeout:
		return fmt.Errorf("a watchdog's timeout of %s: %s to %s are possible", t.Timeout, MinTimeout, MaxTimeout)
	case len(t.Voters) == 0 || twice(t.Voters):
		return fmt.Errorf("controllers %v: each must stand there once", t.Voters)
	}
	return nil
}

func twice(names []string) bool {
	sorted := slices.Sorted(slices.Values(names))
	return len(slices.Compact(sorted)) != len(names)
}

// Bound is how long after the last heartbeat that a quorum can have acknowledged
// the host has surely been reset: the lease, the device's time, and a margin for
// clocks that drift (200 ppm each), for devices that count in whole seconds, and
// for a feed that a stopped process completed late.
func (t Terms) Bound() time.Duration { return t.Lease + t.Timeout + t.Margin() }

// Margin is the least margin of Bound.
func (t Terms) Margin() time.Duration { return margin(t.Lease, t.Timeout) }

func margin(lease, timeout time.Duration) time.Duration {
	return leastMargin + (lease+timeout)*marginPerCent/100
}

// Sight is all that a host knows of the others at one instant.
type Sight struct {
	Self string
	Now  Clocks
	// Acked is when the newest heartbeat was SENT that each controller has
	// acknowledged: an answer shows nothing about what was sent after it was asked.
	Acked map[string]Clocks
	// Lost is when each other host was last ASKED, of those that answered that they
	// have lost the controllers too.
	Lost map[string]Clocks
}

// Grounds is why a watchdog may be fed.
type Grounds string

// Grounds. By peers it is fed while our own absence is what they all see.
const (
	ByControllers Grounds = "controllers"
	ByPeers       Grounds = "peers"
	ByNobody      Grounds = ""
)

// Held says for how much longer the controllers' lease holds under t; 0: it does not.
func (t Terms) Held(s Sight) time.Duration {
	var left []time.Duration
	for _, v := range t.Voters {
		sent, ok := s.Acked[v]
		if !ok {
			continue
		}
		if age, sane := s.Now.since(sent); sane && age < t.Lease {
			left = append(left, t.Lease-age)
		}
	}
	if 2*len(left) <= len(t.Voters) {
		return 0
	}
	slices.SortFunc(left, func(a, b time.Duration) int { return int(b - a) })
	return left[len(t.Voters)/2]
}

// Orphaned says for how much longer at least half of the ring, this host counted,
// are known to have lost the controllers too; 0: they are not.
func (t Terms) Orphaned(s Sight) time.Duration {
	if !slices.Contains(t.Ring, s.Self) {
		return 0
	}
	left := []time.Duration{t.Lease / answersPerLease} // our own word
	for _, peer := range t.Ring {
		asked, ok := s.Lost[peer]
		if !ok || peer == s.Self {
			continue
		}
		if age, sane := s.Now.since(asked); sane && age < t.Lease/answersPerLease {
			left = append(left, t.Lease/answersPerLease-age)
		}
	}
	if 2*len(left) < len(t.Ring) {
		return 0
	}
	slices.SortFunc(left, func(a, b time.Duration) int { return int(b - a) })
	return left[(len(t.Ring)+1)/2-1]
}

// MayFeed says whether the watchdog may be fed now, on which grounds, and for how
// much longer. All terms that the ledger may hold must permit it.
func MayFeed(all []Terms, s Sight) (Grounds, time.Duration) {
	grounds, left := ByControllers, MaxLease
	for _, t := range all {
		held, by := t.Held(s), ByControllers
		if held <= 0 {
			held, by = t.Orphaned(s), ByPeers
		}
		if held <= 0 {
			return ByNobody, 0
		}
		if by == ByPeers {
			grounds = ByPeers
		}
		left = min(left, held)
	}
	if len(all) == 0 {
		return ByNobody, 0
	}
	return grounds, left
}
