package ledger

import (
	"time"

	"github.com/hashicorp/raft"
)

// Health is what the gates and the page ask of this replica.
type Health struct {
	Leads  bool
	Leader Peer // empty: nobody is known to lead
	Term   uint64
	Voters int
	// Contact is the age of the last word of the leader; 0 on the leader
	// itself, whose lease ends without a quorum; -1 where there was none.
	Contact time.Duration
	Applied uint64 // last entry the machine has seen
	Commit  uint64 // last entry this replica knows to be committed
	Last    uint64 // last entry on disk
	// Writable says that an entry applied now would, as far as this replica
	// knows, be committed; otherwise Reason says why not.
	Writable bool
	Reason   string
	Fatal    error // this replica has stopped for good
}

// Health tells how this replica is. It asks nobody.
func (l *Ledger) Health() Health {
	h := Health{Term: l.Term(), Voters: len(l.Voters()), Applied: l.replica.shown.Load().Index, Commit: l.raft.CommitIndex(),
		Last: l.raft.LastIndex(), Contact: -1, Fatal: l.guard.Err()}
	h.Leader.ID, h.Leader.Address, h.Leads = l.Leader()
	if last := l.raft.LastContact(); h.Leads {
		h.Contact = 0
	} else if !last.IsZero() {
		h.Contact = l.opts.Now().Sub(last)
	}
	switch {
	case h.Fatal != nil:
		h.Reason = "this replica has stopped: " + h.Fatal.Error()
	case l.raft.State() == raft.Shutdown:
		h.Reason = "this replica is closed"
	case h.Voters == 0:
		h.Reason = "this replica is not part of a cluster yet"
	case h.Leader.ID == "":
		h.Reason = "no leader is known: a majority of the controllers is out of reach"
	case h.Contact > 2*l.opts.Timing.Heartbeat:
		h.Reason = "the leader " + h.Leader.ID + " was last heard " + h.Contact.Round(time.Millisecond).String() + " ago"
	default:
		h.Writable = true
	}
	return h
}

// Stats are Raft's own figures, for people.
func (l *Ledger) Stats() map[string]string { return l.raft.Stats() }
