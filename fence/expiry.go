package fence

import (
	"fmt"
	"slices"
	"time"
)

// MethodWatchdog is the method of a proof by a watchdog that was not fed.
const MethodWatchdog = "watchdog"

// Silence is one controller's: it acknowledged no heartbeat of the host that it
// heard after Heard and until Until. Both are on the leader's clock and err on the
// careful side: Heard is not earlier than it was, Until not later.
type Silence struct {
	Controller string    `json:"controller"`
	Heard      time.Time `json:"heard"`
	Until      time.Time `json:"until"`
}

// Expiry is the evidence that a host's watchdog was not fed for long enough to
// have reset it. Why it is enough stands in docs/fencing.md.
type Expiry struct {
	// Start and Serial name the host's report of its terms, as the ledger holds it.
	Start  string `json:"start"`
	Serial uint64 `json:"serial"`
	// Lease, Timeout and Voters are those of the report.
	Lease    time.Duration `json:"lease"`
	Timeout  time.Duration `json:"timeout"`
	Margin   time.Duration `json:"margin"`
	Voters   []string      `json:"voters"`
	Silences []Silence     `json:"silences"`
	// Ring is how many hosts the report counted. Holders of them, this host not
	// among them, had the controllers' lease without a break from HeldFrom to HeldTo
	// and so told nobody that they had lost the controllers.
	Ring     int       `json:"ring"`
	Holders  int       `json:"holders"`
	HeldFrom time.Time `json:"held_from"`
	HeldTo   time.Time `json:"held_to"`
	// At is when all this was looked at.
	At time.Time `json:"at"`
}

// Expire makes a Proof of a watchdog's expiry.
func Expire(host, boot string, e Expiry) (Proof, error) {
	return Prove(Record{Host: host, Boot: boot, Method: MethodWatchdog, Expiry: &e})
}

// Bound is from the last heartbeat to the surest reset.
func (e Expiry) Bound() time.Duration { return e.Lease + e.Timeout + e.Margin }

// Last is the last moment at which a heartbeat may have been acknowledged.
func (e Expiry) Last() time.Time {
	var last time.Time
	for _, s := range e.Silences {
		if s.Heard.After(last) {
			last = s.Heard
		}
	}
	return last
}

// Left is how long it takes until e can prove anything, if all stays as it is.
func (e Expiry) Left() time.Duration { return max(0, e.Last().Add(e.Bound()).Sub(e.seen())) }

// seen is until when all of the controllers are known to have been silent, and the
// holders to have held.
func (e Expiry) seen() time.Time {
	seen := e.HeldTo
	for _, s := range e.Silences {
		if s.Until.Before(seen) {
			seen = s.Until
		}
	}
	return seen
}

// Check says what e lacks to be a proof.
func (e Expiry) Check() error {
	lacks := func(format string, args ...any) error {
		return fmt.Errorf("%w: the watchdog's lease: %s", ErrNoProof, fmt.Sprintf(format, args...))
	}
	if err := (Terms{Lease: e.Lease, Timeout: e.Timeout, Voters: e.Voters}).Check(); err != nil {
		return lacks("%v", err)
	}
	var spoke []string
	for _, s := range e.Silences {
		switch {
		case !slices.Contains(e.Voters, s.Controller) || slices.Contains(spoke, s.Controller):
			return lacks("%s is no controller that the host knew, or speaks twice", s.Controller)
		case s.Heard.IsZero() || s.Until.Before(s.Heard):
			return lacks("%s does not say from when to when it was silent", s.Controller)
		case s.Until.After(e.At):
			return lacks("%s speaks of the future", s.Controller)
		}
		spoke = append(spoke, s.Controller)
	}
	last := e.Last()
	end := last.Add(e.Bound())
	switch {
	case e.Start == "" || e.Serial == 0:
		return lacks("the host has reported none")
	case e.Margin < margin(e.Lease, e.Timeout):
		return lacks("a margin of %s, %s is the least", e.Margin, margin(e.Lease, e.Timeout))
	case 2*len(spoke) <= len(e.Voters):
		return lacks("%d of the %d controllers that the host knew have spoken, more than half must", len(spoke), len(e.Voters))
	case e.Ring < 1 || 2*e.Holders <= e.Ring:
		return lacks("%d of %d hosts are heard with a lease of their own, more than half must be", e.Holders, e.Ring)
	case e.HeldFrom.IsZero() || e.HeldFrom.After(last):
		return lacks("the other hosts' leases are younger than this host's silence")
	case e.seen().Before(end):
		return lacks("it takes %s more", end.Sub(e.seen()).Round(time.Second))
	}
	return nil
}

func proveExpiry(rec Record) (Proof, error) {
	if rec.Method != MethodWatchdog || len(rec.Readings) > 0 || !rec.Commanded.IsZero() {
		return Proof{}, fmt.Errorf("%w: a watchdog's expiry and readings of %s in one", ErrNoProof, rec.Method)
	}
	if err := rec.Expiry.Check(); err != nil {
		return Proof{}, err
	}
	rec.Expiry = rec.Expiry.clone()
	return Proof{rec: rec}, nil
}

func (e Expiry) clone() *Expiry {
	e.Voters, e.Silences = slices.Clone(e.Voters), slices.Clone(e.Silences)
	return &e
}
