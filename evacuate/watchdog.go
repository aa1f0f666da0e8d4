package evacuate

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// Watchdog is a host's word on its own watchdog, as it stands in the ledger: only
// then may anybody rely on it.
type Watchdog struct {
	detector.Watchdog
	Boot  string    `json:"boot"`
	Start string    `json:"start"`
	At    time.Time `json:"at"`
}

// WatchdogSight is what the leader knows of a silent host's watchdog.
type WatchdogSight struct {
	// Expiry is the evidence as far as it goes; nil: there can be none, for Lack.
	Expiry *fence.Expiry
	Lack   string
}

// RingName names a list of hosts, whatever its order.
func RingName(hosts []nova.HostName) string {
	h := sha256.New()
	for _, name := range slices.Sorted(slices.Values(hosts)) {
		h.Write([]byte(name))
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// Enrolled lists the hosts that have a key, by name.
func (s *State) Enrolled() []nova.HostName {
	var names []nova.HostName
	for name, h := range s.Hosts {
		if len(h.Keys) > 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Watched says that some host has a watchdog.
func (s *State) Watched() bool {
	for _, h := range s.Hosts {
		if h.Watchdog != nil {
			return true
		}
	}
	return false
}

// Covered is a host's watchdog as fence judges it.
func (s *State) Covered(host nova.HostName) fence.Covered {
	h := s.Hosts[host]
	if h == nil || h.Watchdog == nil {
		return fence.Covered{}
	}
	w := h.Watchdog
	c := fence.Covered{Boot: w.Boot, Start: w.Start, Serial: w.Serial, Armed: w.Armed,
		Terms: fence.Terms{Lease: w.Lease, Timeout: w.Timeout, Voters: w.Voters}}
	for _, name := range s.Rings[w.Ring] {
		c.Ring = append(c.Ring, string(name))
	}
	return c
}

// WatchdogOf is a host's own watchdog, nil if it has reported none, and why it would
// prove nothing if the host fell silent now.
func (s *State) WatchdogOf(host nova.HostName) (w *Watchdog, lack string) {
	h := s.Hosts[host]
	if h == nil || h.Watchdog == nil {
		return nil, ""
	}
	if err := s.Covered(host).Covers(h.Boot); err != nil {
		lack = err.Error()
	}
	return h.Watchdog, lack
}

// Bound is from a host's last heartbeat to the surest reset by its watchdog.
func (w *Watchdog) Bound() time.Duration {
	return fence.Terms{Lease: w.Lease, Timeout: w.Timeout}.Bound()
}

// Text is a line for a person.
func (w *Watchdog) Text(lack string) string {
	text := fmt.Sprintf("armed: resets the host within %s of its last heartbeat (lease %s, timeout %s; controllers %s)", round(w.Bound()), w.Lease, w.Timeout, strings.Join(w.Voters, ", "))
	if !w.Armed {
		text = "not armed"
	}
	if w.Software {
		text += ", softdog"
	}
	if w.NoWayOut {
		text += ", nowayout"
	}
	if lack != "" {
		text += "; proves nothing now: " + lack
	}
	return text + fmt.Sprintf(" (reported %s)", w.At.UTC().Format(time.DateTime))
}

// watch takes a host's word on its watchdog. The list of hosts that it counts on is
// kept where it is the ledger's of that moment; another one covers nothing.
func (s *State) watch(h *Host, w *Watchdog, at time.Time) {
	w.At = at
	h.Watchdog = w
	enrolled := s.Enrolled()
	if name := RingName(enrolled); w.Ring == name {
		if s.Rings == nil {
			s.Rings = map[string][]nova.HostName{}
		}
		s.Rings[name] = enrolled
	}
	s.dropRings()
}

func (s *State) dropRings() {
	used := map[string]bool{}
	for _, h := range s.Hosts {
		if h.Watchdog != nil {
			used[h.Watchdog.Ring] = true
		}
	}
	for name := range s.Rings {
		if !used[name] {
			delete(s.Rings, name)
		}
	}
}

// unwatch: a ledger of the past cannot know which watchdogs were disarmed since.
func (s *State) unwatch() {
	for _, h := range s.Hosts {
		h.Watchdog, h.MayWatch = nil, false
	}
	s.Rings = nil
}

// reported refuses a proof by a watchdog whose terms are not those that the ledger
// holds of this host and boot.
func (s *State) reported(r *Recovery, rec *fence.Record) error {
	if rec == nil || rec.Expiry == nil {
		return nil
	}
	e, c := rec.Expiry, s.Covered(r.Host)
	if !c.Armed || c.Boot != r.Boot || c.Start != e.Start || c.Serial != e.Serial || c.Lease != e.Lease || c.Timeout != e.Timeout ||
		!slices.Equal(c.Voters, e.Voters) || len(c.Ring) != e.Ring {
		return fmt.Errorf("%w: the watchdog of %s is not what its agent has reported", fence.ErrNoProof, r.Host)
	}
	return nil
}

// MayWatch says whether a host's watchdog may be armed: in a mode that acts, and not
// in maintenance, where networks are cut on purpose (rule 12).
func MayWatch(host nova.HostName, s *State, w World, p Policy) bool {
	h := s.Hosts[host]
	return h != nil && !h.Maintenance && s.EffectiveMode(host, w.Membership(host), p.AggregateModes).Mode.Acts()
}

// unreachable says that no method of the host's chain got an answer, in the last
// attempt at the step fence.
func (r *Recovery) unreachable() bool {
	old := r.Steps[StepFence]
	return old != nil && old.Phase == PhaseFailed && old.Cause == string(fence.CauseUnreachable)
}

// byWatchdog proves a host off whose own watchdog has surely reset it, where its
// BMC cannot be reached; never where a BMC answers, whatever it says.
func (c *Core) byWatchdog(r *Recovery) bool {
	worth := c.policy.Proofs.Watchdog
	proof, expired := c.expired(r)
	switch {
	case !expired || worth == Never || c.underWay(r, StepFence):
		return false
	case worth == Together && c.state.word(r.Host, r.Boot, c.world.Now) == nil && !r.StorageGone():
		return false
	case !c.pass(AtPowerOff, r):
		return false
	}
	rec := proof.Record()
	e := rec.Expiry
	c.commit(Entry{Kind: KindStep, Recovery: r.ID, Step: StepFence, Proof: &rec,
		Text: fmt.Sprintf("fence: its watchdog has reset it: no heartbeat can have been acknowledged since %s, a lease of %s and a timeout of %s have passed with %s to spare, and %d of %d hosts held their lease all the while",
			e.Last().UTC().Format(time.TimeOnly), e.Lease, e.Timeout, e.Margin, e.Holders, e.Ring),
		Record: &StepRecord{Phase: PhaseDone, Attempt: r.Steps[StepFence].Attempt + 1, Term: c.term, By: c.world.Leader.ID, Intent: c.world.Now, Ended: c.world.Now}})
	return true
}

// answers says that the host's BMC has answered anything since the host fell silent.
func (c *Core) answers(r *Recovery) bool {
	v := c.world.Verdicts[r.Host].View
	return slices.ContainsFunc(v.Power, func(p detector.PowerSight) bool {
		return v.At.Add(-p.Age).After(r.LastHeard) && (p.Power != string(fence.Unknown) || p.Cause != string(fence.CauseUnreachable))
	})
}
