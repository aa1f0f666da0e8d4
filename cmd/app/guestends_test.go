package app

import (
	"fmt"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/detector/guest"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// TestEndsHeard: a guest whose storage fails with each write is told once a minute; what
// lasts does not push out an instance that is gone.
func TestEndsHeard(t *testing.T) {
	var h endsHeard
	now := time.Unix(1000, 0)
	h.add("run", guest.Event{Server: "gone", Kind: detector.GuestFailed, At: now})
	for s := range 300 { // five minutes of a storage outage
		at := now.Add(time.Duration(s) * time.Second)
		for id := range 100 {
			h.add("run", guest.Event{Server: nova.ServerID(fmt.Sprint("vm", id)), Kind: detector.GuestIOError, At: at})
		}
	}
	at := now.Add(5 * time.Minute)
	ends, last := h.since(0, at)
	if last != 1+5*100 || len(ends) != mostEnds || ends[0].Server != "gone" || ends[0].Age != 5*time.Minute {
		t.Errorf("%d told of, %d kept, the first %+v", last, len(ends), ends[0])
	}
	if more, _ := h.since(last, at); len(more) > 0 {
		t.Errorf("%d are told again", len(more))
	}
	for range 2 { // its process can't end twice without a start, so each is one
		h.add("run", guest.Event{Server: "gone", Kind: detector.GuestFailed, At: at})
	}
	if _, n := h.since(0, at); n != last+2 {
		t.Errorf("%d ends of a process, want 2", n-last)
	}
}

// TestEndsTold: a controller takes each end once, bounds what it keeps of each host and of
// all, and drops the oldest that last first.
func TestEndsTold(t *testing.T) {
	var b endsTold
	now := time.Unix(1000, 0)
	tell := func(host nova.HostName, from, to int, kind detector.GuestEnd) {
		for i := from; i < to; i += 50 {
			var ends []guestEnd
			for n := i; n < min(i+50, to); n++ {
				ends = append(ends, guestEnd{Start: "run", Serial: uint64(n), Server: nova.ServerID(fmt.Sprint(host, n)), Kind: kind, Age: time.Second}) //nolint:gosec // small
			}
			b.take(host, ends, now)
		}
	}
	count := func(host nova.HostName, kind detector.GuestEnd) (n int) {
		for _, e := range b.lately(now) {
			if e.Host == host && e.Kind == kind {
				n++
			}
		}
		return n
	}
	tell("cmp1", 1, 11, detector.GuestFailed)
	tell("cmp1", 1, 11, detector.GuestFailed) // its answer was lost
	tell("cmp1", 11, 1011, detector.GuestIOError)
	tell("cmp1", 11, 1011, detector.GuestIOError)
	if f, e := count("cmp1", detector.GuestFailed), count("cmp1", detector.GuestIOError); f != 10 || e != mostEndsHost-10 {
		t.Errorf("%d failed, %d errors kept of one host", f, e)
	}
	tell("cmp2", 1, 100, "no such end")
	tell("liar", 1, 2*mostEndsKnown, detector.GuestIOError)
	if n := len(b.known["liar"]); n > mostEndsKnown {
		t.Errorf("%d ends of one host are known", n)
	}
	for h := range 30 {
		tell(nova.HostName(fmt.Sprint("host", h)), 1, 200, detector.GuestIOError)
	}
	if all, f := len(b.lately(now)), count("cmp1", detector.GuestFailed); all != mostEndsAll || f != 10 {
		t.Errorf("%d kept of all hosts, %d failed of them", all, f)
	}
	if n := len(b.lately(now.Add(endsKept))); n > 0 {
		t.Errorf("%d are told after %s", n, endsKept)
	}
}
