package app

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/detector/guest"
	"github.com/lifeboat-ha/lifeboat/nova"
)

const (
	// endsKept is for how long an end is told and remembered. mostEnds is how many an agent
	// keeps, mostEndsHost and mostEndsAll how many a controller does of one and of all hosts.
	endsKept     = 10 * time.Minute
	mostEnds     = 200
	mostEndsHost = 100
	mostEndsAll  = 2000
	// mostEndsKnown bounds what one host may have told in all of that time.
	mostEndsKnown = 5000
	// sameTrouble is for how long the same trouble of an instance that goes on is told once:
	// a guest whose storage fails is told of with each write.
	sameTrouble = time.Minute
)

// guestEnd is the end of one instance. Its age travels, not its time: clocks differ.
type guestEnd struct {
	Start  string            `json:"start"` // the agent's run
	Serial uint64            `json:"serial"`
	Server nova.ServerID     `json:"server"`
	Kind   detector.GuestEnd `json:"kind"`
	Detail string            `json:"detail,omitempty"`
	Age    time.Duration     `json:"age"`
	at     time.Time
}

// thin drops what is too many of those that count: the oldest that last first, so that they
// do not push out an instance that is gone.
func thin[T any](all []T, most int, counts, lasts func(T) bool) []T {
	excess := -most
	for _, x := range all {
		if counts(x) {
			excess++
		}
	}
	for _, whichever := range []bool{false, true} {
		if excess <= 0 {
			break
		}
		all = slices.DeleteFunc(all, func(x T) bool {
			if excess <= 0 || !counts(x) || !whichever && !lasts(x) {
				return false
			}
			excess--
			return true
		})
	}
	return all
}

// endsHeard are what an agent's libvirt has told of ends.
type endsHeard struct {
	mu     sync.Mutex
	serial uint64
	all    []guestEnd
	// again is until when a trouble is the same.
	again map[trouble]time.Time
}

type trouble struct {
	server nova.ServerID
	kind   detector.GuestEnd
}

// add keeps one; false if it is another word for one that was just heard.
func (h *endsHeard) add(start string, e guest.Event) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for k, until := range h.again {
		if !e.At.Before(until) {
			delete(h.again, k)
		}
	}
	k := trouble{e.Server, e.Kind}
	if _, same := h.again[k]; same {
		return false
	}
	if e.Kind.Lasts() {
		if h.again == nil {
			h.again = map[trouble]time.Time{}
		}
		h.again[k] = e.At.Add(sameTrouble)
	}
	h.serial++
	h.all = append(h.all, guestEnd{Start: start, Serial: h.serial, Server: e.Server, Kind: e.Kind, Detail: e.Detail, at: e.At})
	h.all = thin(h.all, mostEnds, func(guestEnd) bool { return true }, func(e guestEnd) bool { return e.Kind.Lasts() })
	return true
}

// since are the ends after a serial, with their ages.
func (h *endsHeard) since(serial uint64, now time.Time) (ends []guestEnd, last uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.all {
		if e.Age = now.Sub(e.at); e.Serial > serial && e.Age < endsKept {
			ends = append(ends, e)
		}
	}
	return ends, h.serial
}

// heard keeps an end to be told.
func (t *teller) heard(e guest.Event) {
	if t.ends.add(t.a.start, e) {
		t.a.log.Warn("an instance ended by itself", "server", e.Server, "reason", e.Kind, "detail", e.Detail)
		t.poke()
	}
}

// endsTold are the ends that agents told a controller of lately.
type endsTold struct {
	mu  sync.Mutex
	all []detector.GuestEvent // by their time
	// known is when each was taken, by host: what was dropped is not taken again.
	known map[nova.HostName]map[string]time.Time
}

// take keeps what a host tells, each once.
func (b *endsTold) take(host nova.HostName, ends []guestEnd, now time.Time) {
	if len(ends) == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.known == nil {
		b.known = map[nova.HostName]map[string]time.Time{}
	}
	known := b.known[host]
	if known == nil {
		known = map[string]time.Time{}
		b.known[host] = known
	}
	maps.DeleteFunc(known, func(_ string, at time.Time) bool { return now.Sub(at).Abs() > 2*endsKept })
	for _, e := range ends[:min(len(ends), mostEnds)] {
		id := fmt.Sprintf("%s/%s/%d", host, e.Start, e.Serial)
		_, is := known[id]
		if is || len(known) >= mostEndsKnown || e.Age < 0 || e.Age > endsKept || len(e.Server) > 64 || len(e.Detail) > 255 || len(id) > 400 || !slices.Contains(detector.GuestEnds, e.Kind) {
			continue
		}
		known[id] = now
		b.all = append(b.all, detector.GuestEvent{ID: id, Host: host, Server: e.Server, Kind: e.Kind, Detail: e.Detail, At: now.Add(-e.Age)})
	}
	slices.SortStableFunc(b.all, func(x, y detector.GuestEvent) int { return x.At.Compare(y.At) })
	b.all = slices.DeleteFunc(b.all, func(e detector.GuestEvent) bool { return now.Sub(e.At) > endsKept })
	lasts := func(e detector.GuestEvent) bool { return e.Kind.Lasts() }
	b.all = thin(b.all, mostEndsHost, func(e detector.GuestEvent) bool { return e.Host == host }, lasts)
	b.all = thin(b.all, mostEndsAll, func(detector.GuestEvent) bool { return true }, lasts)
}

// lately are those of the last minutes, oldest first.
func (b *endsTold) lately(now time.Time) []detector.GuestEvent {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(b.all), func(e detector.GuestEvent) bool { return now.Sub(e.At) > endsKept })
}
