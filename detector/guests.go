package detector

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// SensorGuests is how an agent tells of its host's hypervisor: Guests.Word, or
// GuestsUnknown and why.
const (
	SensorGuests  = "libvirt"
	GuestsUnknown = "unknown"
)

// SensorBoot is how an agent tells what starts guests as its host boots: one of the words
// below, and why.
const (
	SensorBoot  = "boot-guests"
	BootSafe    = "safe"
	BootUnsafe  = "unsafe"
	BootUnknown = "unknown"
)

// SensorService begins the name of a sensor that speaks of a service of the host; its
// word begins with its condition.
const SensorService = "service:"

// FailedServices are the services of a host that have failed, as its agent tells them,
// with its words, by name.
func (v Verdict) FailedServices() iter.Seq2[string, string] { return failedServices(v.View.Sensors) }

// FailedForGood begins the word on a service that its agent has given up.
const FailedForGood = "failed for good"

// GivenUp names a service of the host that has failed for good, "" if none has.
func (v Verdict) GivenUp() string { return givenUp(v.View.Sensors) }

func givenUp(sensors map[string]string) string {
	for unit, word := range failedServices(sensors) {
		if strings.HasPrefix(word, FailedForGood) {
			return unit
		}
	}
	return ""
}

// noteServices keeps since when a service has failed for good.
func (h *hostSeen) noteServices(sensors map[string]string, at time.Time) {
	if givenUp(sensors) == "" {
		h.givenUp = time.Time{}
	} else if h.givenUp.IsZero() {
		h.givenUp = at
	}
}

func failedServices(sensors map[string]string) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for _, name := range slices.Sorted(maps.Keys(sensors)) {
			word := sensors[name]
			if unit, is := strings.CutPrefix(name, SensorService); is && strings.HasPrefix(word, "failed") && !yield(unit, word) {
				return
			}
		}
	}
}

// TwinSettle is for how long an instance must be seen on two hosts at once before it is
// a finding: a host lists its guests every 5 s, and tells of a change within two.
const TwinSettle = 10 * time.Second

// Guests are the instances on a host as its hypervisor lists them, sorted. Nova gives
// an instance's UUID to its libvirt domain.
type Guests struct {
	// Running may write to their disks.
	Running []nova.ServerID `json:"running"`
	// Paused have a process that stands still: the end of a live migration that is not
	// in charge, an error of their storage.
	Paused []nova.ServerID `json:"paused,omitempty"`
	// Agents are those of Running whose guest agent has opened its channel.
	Agents []nova.ServerID `json:"agents,omitempty"`
}

// Clean is g in order, each once: what runs is not paused.
func (g Guests) Clean() Guests {
	order := func(ids []nova.ServerID) []nova.ServerID { return slices.Compact(slices.Sorted(slices.Values(ids))) }
	g.Running, g.Agents = order(g.Running), order(g.Agents)
	g.Paused = slices.DeleteFunc(order(g.Paused), func(id nova.ServerID) bool {
		_, runs := slices.BinarySearch(g.Running, id)
		return runs
	})
	return g
}

// Word names these very lists in few bytes: a heartbeat carries it, so that whoever has
// the lists knows each second whether they are those of now.
func (g Guests) Word() string {
	sum := sha256.New()
	lists := [][]nova.ServerID{g.Running, g.Paused}
	if len(g.Agents) > 0 { // agents of before tell of none, and give the word without
		lists = append(lists, g.Agents)
	}
	for _, list := range lists {
		for _, id := range list {
			sum.Write([]byte(id))
			sum.Write([]byte{0})
		}
		sum.Write([]byte{1})
	}
	return fmt.Sprintf("%d running, %d paused (%s)", len(g.Running), len(g.Paused), hex.EncodeToString(sum.Sum(nil)[:6]))
}

// Twin is an instance that runs on more than one host.
type Twin struct {
	Server nova.ServerID
	Hosts  []nova.HostName // sorted
	Since  time.Time
}

// GuestSight is where instances run, as the hypervisors of the hosts that tell say. It
// is never changed once given.
type GuestSight struct {
	// Told are the hosts whose lists are those of now. Of what runs on another nothing
	// is known.
	Told map[nova.HostName]bool
	// Running and Paused are sorted by name.
	Running, Paused map[nova.ServerID][]nova.HostName
	// Agents are the hosts on which an instance's guest agent is there.
	Agents map[nova.ServerID][]nova.HostName
	// Twins have run on two hosts for TwinSettle, by instance.
	Twins []Twin
}

// Elsewhere are the hosts other than one on which an instance runs.
func (g *GuestSight) Elsewhere(id nova.ServerID, but nova.HostName) []nova.HostName {
	if g == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(g.Running[id]), func(h nova.HostName) bool { return h == but })
}

// Tells says that a host's list is that of now.
func (g *GuestSight) Tells(host nova.HostName) bool { return g != nil && g.Told[host] }

// Has says that a host lists an instance, running or paused.
func (g *GuestSight) Has(host nova.HostName, id nova.ServerID) bool {
	return g != nil && (slices.Contains(g.Running[id], host) || slices.Contains(g.Paused[id], host))
}

// guestList is what one host's agent has told last.
type guestList struct {
	Guests
	word, boot string
	at         time.Time
}

// guestBook keeps the lists of all hosts.
type guestBook struct {
	lists map[nova.HostName]guestList
	// twins are since when an instance was seen on these hosts.
	twins map[nova.ServerID]Twin
	// sight is of the lists unless they are stale, double what runs twice in it.
	sight  *GuestSight
	stale  bool
	double []nova.ServerID
}

// Guests notes a host's list. One of before is not taken: two of them may overtake each
// other on their way.
func (t *Table) Guests(host nova.HostName, boot string, g Guests, at time.Time) {
	b := &t.guests
	if b.lists == nil {
		b.lists = map[nova.HostName]guestList{}
	}
	g = g.Clean()
	if old, ok := b.lists[host]; ok && old.at.After(at) {
		return
	}
	b.lists[host] = guestList{Guests: g, word: g.Word(), boot: boot, at: at}
	b.stale = true
}

// GuestSight is where instances run at now. A list counts while its host's heartbeats,
// of the same boot, carry its word.
func (t *Table) GuestSight(now time.Time) *GuestSight {
	b := &t.guests
	if len(b.lists) == 0 {
		return nil // no host has ever told
	}
	told := make(map[nova.HostName]bool, len(b.lists))
	for host, l := range b.lists {
		h := t.hosts[host]
		if h == nil {
			continue // its list came before its first heartbeat
		}
		_, boot, _ := t.LastHeard(host)
		fresh := now.Sub(t.voters[Observer(host)].at) <= t.policy.Silence()
		if fresh && boot == l.boot && h.sensors[SensorGuests] == l.word {
			told[host] = true
		}
	}
	if b.sight == nil || b.stale || !maps.Equal(told, b.sight.Told) {
		b.sight, b.stale = b.index(told), false
	}
	return b.withTwins(now)
}

// index says where what runs, by the hosts that tell.
func (b *guestBook) index(told map[nova.HostName]bool) *GuestSight {
	g := &GuestSight{Told: told, Running: map[nova.ServerID][]nova.HostName{}, Paused: map[nova.ServerID][]nova.HostName{}, Agents: map[nova.ServerID][]nova.HostName{}}
	for _, host := range slices.Sorted(maps.Keys(told)) {
		l := b.lists[host]
		for _, id := range l.Running {
			g.Running[id] = append(g.Running[id], host)
		}
		for _, id := range l.Paused {
			g.Paused[id] = append(g.Paused[id], host)
		}
		for _, id := range l.Agents {
			g.Agents[id] = append(g.Agents[id], host)
		}
	}
	b.double = nil
	for id, hosts := range g.Running {
		if len(hosts) > 1 {
			b.double = append(b.double, id)
		}
	}
	slices.Sort(b.double)
	return g
}

// withTwins times how long instances have run twice.
func (b *guestBook) withTwins(now time.Time) *GuestSight {
	seen := map[nova.ServerID]Twin{}
	var settled []Twin
	for _, id := range b.double {
		t := Twin{Server: id, Hosts: b.sight.Running[id], Since: now}
		if old, ok := b.twins[id]; ok {
			t.Since = old.Since
		}
		seen[id] = t
		if now.Sub(t.Since) >= TwinSettle {
			settled = append(settled, t)
		}
	}
	b.twins = seen
	if len(settled) == 0 && len(b.sight.Twins) == 0 {
		return b.sight
	}
	next := *b.sight
	next.Twins = settled
	b.sight = &next
	return b.sight
}
