package heartbeat

import (
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
)

// Flags of an acknowledgement, beside flagLeaving.
const (
	flagCounted = 1 << (iota + 1)
	flagWatch
	flagMend
)

// Flags of a host's word on its watchdog.
const (
	flagWatched = 1 << iota
	flagArmed
	flagSoftware
	flagNoWayOut
)

// Word is what a controller's acknowledgement tells one host of its watchdog, as the
// ledger has it.
type Word struct {
	// Watch says that the mode in force permits a watchdog.
	Watch bool
	// Noted is the serial of its word that the ledger holds of this run; 0: none.
	Noted uint64
	// Owners are the machines that have each VIP, in the roster's order; nil: the
	// controller that says this does not know, or nothing is watched.
	Owners []Owner
	// Mend says that the mode in force permits repairs on the host.
	Mend bool
	// Restart is the token by which the host may restart an agent of OpenStack; 0: none.
	Restart uint64
}

// Owner is the only machine that has a VIP, and for how long; none: a zero MAC.
type Owner struct {
	MAC detector.MAC
	For time.Duration
}

// Instant is one look at two clocks: Mono stands still while the machine is
// suspended, Boot does not.
type Instant struct{ Mono, Boot time.Duration }

// mostVoters bounds the list of controllers in a heartbeat.
const mostVoters = 9

// maxLease is beyond what any evidence needs.
const maxLease = 24 * time.Hour

func putLease(w *writer, hb detector.Heartbeat) {
	w.number(uint64(min(max(hb.Lease, 0), maxLease) / time.Millisecond))
	d := hb.Watchdog
	if d == nil || len(d.Voters) > mostVoters {
		w.byte(0)
		return
	}
	flags := byte(flagWatched)
	for bit, set := range map[byte]bool{flagArmed: d.Armed, flagSoftware: d.Software, flagNoWayOut: d.NoWayOut} {
		if set {
			flags |= bit
		}
	}
	w.byte(flags)
	w.number(d.Serial)
	w.number(uint64(d.Lease / time.Millisecond))
	w.number(uint64(d.Timeout / time.Millisecond))
	w.text(d.Ring)
	w.number(uint64(len(d.Voters)))
	for _, v := range d.Voters {
		w.text(v)
	}
}

// getLease reads what a sender before watchdogs does not write.
func getLease(r *reader, hb *detector.Heartbeat) {
	if len(r.b) == 0 {
		return
	}
	hb.Lease = milliseconds(r, maxLease)
	flags := r.byte()
	if r.bad || flags&flagWatched == 0 {
		return
	}
	d := &detector.Watchdog{Armed: flags&flagArmed != 0, Software: flags&flagSoftware != 0, NoWayOut: flags&flagNoWayOut != 0}
	d.Serial = r.number()
	d.Lease = milliseconds(r, time.Hour)
	d.Timeout = milliseconds(r, time.Hour)
	d.Ring = r.text(maxID)
	n := r.count()
	if n > mostVoters {
		r.bad = true
		return
	}
	for range n {
		d.Voters = append(d.Voters, r.text(maxID))
	}
	if !r.bad {
		hb.Watchdog = d
	}
}

func milliseconds(r *reader, most time.Duration) time.Duration {
	n := r.number()
	if n > uint64(most/time.Millisecond) {
		r.bad = true
		return 0
	}
	return time.Duration(n) * time.Millisecond
}
