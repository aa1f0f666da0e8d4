package gossip

import (
	"context"
	"errors"
	"sync"
	"time"
)

var errRole = errors.New("gossip: name and role do not fit")

// EventKind is what an Event tells.
type EventKind string

// Kinds of events.
const (
	EventJoined   EventKind = "joined"   // is here, for the first time or again
	EventDied     EventKind = "died"     // held for dead; transient deaths of the healthy happen
	EventLeft     EventKind = "left"     // gone after it announced its stop
	EventUpdated  EventKind = "updated"  // says something new of itself
	EventRebooted EventKind = "rebooted" // is here with another boot id than before
)

// Event is a change in what this member sees of another.
type Event struct {
	Kind EventKind
	Peer
	Meta Meta
	// FormerBoot is the boot id before, "" if there was none.
	FormerBoot string
	At         time.Time
}

func changed(old, p *peer, now time.Time) Event {
	e := Event{Peer: p.Peer, Meta: p.meta, At: now}
	if old != nil {
		e.FormerBoot = old.meta.Boot
	}
	switch {
	case p.state == Dead:
		e.Kind = EventDied
	case p.state == Left:
		e.Kind = EventLeft
	case e.FormerBoot != "" && e.FormerBoot != p.meta.Boot:
		e.Kind = EventRebooted
	case old == nil || old.state != Alive:
		e.Kind = EventJoined
	default:
		e.Kind = EventUpdated
	}
	return e
}

// maxEvents is how many may wait. A ring of 2000 members that is lost and
// found again makes 4000.
const maxEvents = 16384

// events hands events from memberlist's delegates, which must not block, to
// OnEvent, which may.
type events struct {
	on   func(Event)
	wake chan struct{}

	mu      sync.Mutex
	waiting []Event
}

func newEvents(on func(Event)) *events {
	return &events{on: on, wake: make(chan struct{}, 1)}
}

func (e *events) tell(ev Event) {
	if e.on == nil {
		return
	}
	e.mu.Lock()
	if len(e.waiting) == maxEvents {
		e.waiting = e.waiting[1:] // Members still tells how it ended
	}
	e.waiting = append(e.waiting, ev)
	e.mu.Unlock()
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

func (e *events) run(ctx context.Context) {
	for {
		select {
		case <-e.wake:
		case <-ctx.Done():
			return
		}
		e.mu.Lock()
		all := e.waiting
		e.waiting = nil
		e.mu.Unlock()
		for _, ev := range all {
			e.on(ev)
		}
	}
}
