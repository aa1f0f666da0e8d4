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
	sight, ok := c.world.Watchdogs[r.Host]
	if !ok || sight.Expiry == nil || !r.unreachable() || c.underWay(r, StepFence) || c.answers(r) {
		return false
	}
	proof, err := fence.Expire(string(r.Host), r.Boot, *sight.Expiry)
	if err != nil || !c.pass(AtPowerOff, r) {
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

// releases says what would let a recovery go on whose host's BMC cannot be reached,
// and what it looks like: power lost by both is no proof, whatever it looks like.
func (c *Core) releases(r *Recovery) string {
	var parts []string
	if s := c.together(r); s != "" {
		parts = append(parts, s)
	}
	sight := c.world.Watchdogs[r.Host]
	switch {
	case sight.Expiry != nil:
		e := sight.Expiry
		text := fmt.Sprintf("its own watchdog has surely reset it by %s", e.Last().Add(e.Bound()).UTC().Format(time.TimeOnly))
		if 2*e.Holders <= e.Ring {
			text += fmt.Sprintf(", if more than half of the %d hosts hold their own lease until then: %d do", e.Ring, e.Holders)
		}
		parts = append(parts, text)
	default:
		lack := sight.Lack
		if lack == "" {
			lack = "it has no watchdog lease"
		}
		parts = append(parts, lack+": what releases it is an answer of its BMC, a PDU as second method, or a person who has looked: `lifeboat confirm-dead "+string(r.Host)+"`")
	}
	return strings.Join(parts, "; ")
}

// together recognises the loss of power of host and BMC together.
func (c *Core) together(r *Recovery) string {
	v := c.world.Verdicts[r.Host].View
	if v.Domain == "" {
		return ""
	}
	neighbours, dark := 0, 0
	for host, o := range c.world.Verdicts {
		if host == r.Host || o.View.Domain != v.Domain {
			continue
		}
		neighbours++
		if p := o.View.Power; o.Silent > 0 && !alive(o.State) && len(p) > 0 && p[0].Cause == string(fence.CauseUnreachable) {
			dark++
		}
	}
	text := "host and BMC are both silent: both may have lost power, which no time-out proves"
	if dark > 0 {
		text += fmt.Sprintf("; so are %d of its %d neighbours in %s", dark, neighbours, v.Domain)
	}
	return text
}
