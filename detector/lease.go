package detector

import (
	"cmp"
	"slices"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// LeaseHearing is one controller's word on a host, for a lease (docs/fencing.md).
// Times are this table's.
type LeaseHearing struct {
	Controller Observer
	// Boot and Start are of the last heartbeat it heard; empty: none.
	Boot, Start string
	// Heard is when that was, or when it began to listen where that is later.
	Heard time.Time
	// Reported is how new its word is.
	Reported time.Time
}

// LeaseClaim is a host's word that it held its own lease without a break.
type LeaseClaim struct {
	Host     nova.HostName
	From, To time.Time
}

// leaseSeen is what a host's last heartbeat said of lease and watchdog.
type leaseSeen struct {
	at          time.Time
	boot, start string
	watchdog    *Watchdog
	claim       LeaseClaim
}

// Listens notes since when this controller's own ears are open: what it has heard
// before is forgotten.
func (t *Table) Listens(c Observer, since time.Time) { t.controller(c).listens = since }

// lease takes a heartbeat's words. A claim ends when the heartbeat was sent, of
// which only the earliest is known, and begins so long before its arrival.
func (h *hostSeen) takeLease(hb Heartbeat, at time.Time) {
	h.lease = leaseSeen{at: at, boot: hb.Boot, start: hb.Start, watchdog: hb.Watchdog}
	if hb.Lease > 0 && !hb.Sent.IsZero() {
		h.lease.claim = LeaseClaim{Host: hb.Host, From: at.Add(-hb.Lease), To: hb.Sent}
	}
}

// Watchdog is what a host last said of its own watchdog, and when; nil: it has none.
func (t *Table) Watchdog(host nova.HostName) (w *Watchdog, boot, start string, at time.Time) {
	h := t.hosts[host]
	if h == nil {
		return nil, "", "", time.Time{}
	}
	return h.lease.watchdog, h.lease.boot, h.lease.start, h.lease.at
}

// LeaseClaims are all hosts' last.
func (t *Table) LeaseClaims() []LeaseClaim {
	var all []LeaseClaim
	for _, h := range t.hosts {
		if c := h.lease.claim; c.Host != "" && c.To.After(c.From) {
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(a, b LeaseClaim) int { return cmp.Compare(a.Host, b.Host) })
	return all
}

// LeaseHearings are what every controller says of a host. One that does not tell
// since when it listens began just now.
func (t *Table) LeaseHearings(host nova.HostName) []LeaseHearing {
	var all []LeaseHearing
	for id, c := range t.controllers {
		h := LeaseHearing{Controller: id, Heard: c.listens, Reported: c.reported}
		if c.listens.IsZero() {
			h.Heard = c.reported
		}
		if of, ok := c.hosts[host]; ok {
			h.Boot, h.Start = of.boot, of.start
			if of.at.After(h.Heard) {
				h.Heard = of.at
			}
		}
		all = append(all, h)
	}
	slices.SortFunc(all, func(a, b LeaseHearing) int { return cmp.Compare(a.Controller, b.Controller) })
	return all
}
