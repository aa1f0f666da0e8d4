package evacuate

import (
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// Observation is one read of a recovery's migrations and servers.
type Observation struct {
	At    time.Time
	Began time.Time // not later than any of its reads
	// Rows are all evacuation rows of the source, Source the servers that
	// Nova still places there, Moved those looked at one by one.
	Rows   []nova.Migration
	Source map[nova.ServerID]nova.Server
	Listed bool // Source was read
	Moved  map[nova.ServerID]nova.Server
	Gone   map[nova.ServerID]bool // asked for, and Nova knows them no more
	// Moves are the live migrations and resizes from the source, where Ends says that
	// they were read.
	Moves []nova.Migration
	Ends  bool
	// Claims are those to whom Placement gives room on the source; nil: not read, and
	// ClaimsErr why.
	Claims    map[nova.ServerID]bool
	ClaimsErr string
	// Power says why the proof of the source is not enough to begin anew, "" if it is.
	Power string
}

// row finds the migration row of e's present attempt: the one it follows, or
// the newest after the intent's baseline.
func row(e *Evacuation, obs *Observation) (nova.Migration, bool) {
	var found nova.Migration
	for _, m := range obs.Rows {
		if m.Server != e.Server {
			continue
		}
		if e.Row != 0 && m.ID == e.Row {
			return m, true
		}
		if e.Row == 0 && m.ID > e.AfterRow && m.ID > found.ID {
			found = m
		}
	}
	return found, found.ID != 0
}

func newest(id nova.ServerID, obs *Observation) int {
	return nova.NewestOf(obs.Rows, id).ID
}
