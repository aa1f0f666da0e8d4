package evacuate

import (
	"fmt"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// noLiveMove says why no live migration is sent to a host or off it now, "" if nothing of
// the cloud speaks against it.
func (c *Core) noLiveMove(host nova.HostName) string {
	switch cond := c.world.Cloud.Condition; {
	case c.halted(host) || c.mode(host).Mode != ModeAuto:
		return "the mode is not auto"
	case !c.world.Leader.Writable:
		return "the ledger takes no entries"
	case cond != "" && cond != detector.Normal:
		return "the cloud's condition is " + string(cond)
	case c.world.Nova.Err != "" || c.world.Now.Sub(c.world.Nova.At) > c.policy.NovaFresh:
		return "Nova does not answer"
	}
	return ""
}

// immovable says why an instance on a host can't be moved by live migration, or is not.
func immovable(id nova.ServerID, host nova.HostName, obs *Observation) string {
	s, seen := obs.Moved[id]
	switch {
	case obs.Gone[id]:
		return deletedMeanwhile
	case !seen:
		return "it could not be read"
	case s.Host != host:
		return fmt.Sprintf("it is on %s by now, somebody has moved it", orWord(string(s.Host), "no host"))
	case s.VMState != nova.VMActive:
		return fmt.Sprintf("it is %s: live migration moves what runs", s.VMState)
	case s.TaskState != "":
		return "something is being done with it: " + s.TaskState
	case s.Locked:
		return "it is locked"
	}
	return ""
}

// answered is a move after the answer to its POST, false if its row has to tell, or time.
func (m FailbackMove) answered(o Outcome, now time.Time) (FailbackMove, bool) {
	m.RequestID = o.RequestID
	switch {
	case o.OK:
		m.State = EvacFollowing
	case o.Definite:
		m.State, m.Reason, m.Ended = EvacFailed, o.Detail, now
	default:
		return m, false
	}
	return m, true
}

// ended judges a move by its row and by where the instance is, false while it goes on. It
// is sent once: what is not known for too long, since it was sent, is an error. there says
// of a host that it is where it was to go.
func (c *Core) ended(m FailbackMove, obs *Observation, sent time.Duration, there func(nova.HostName) bool) (FailbackMove, bool) {
	row, s := newestLive(obs, m), obs.Moved[m.Server]
	m.Ended = c.world.Now
	switch {
	case obs.Gone[m.Server]:
		m.State, m.Reason = EvacSkipped, deletedMeanwhile
	case there(s.Host) && well(s) && (row.ID == 0 || row.Status == nova.MigrationCompleted):
		m.State = EvacDone
	case row.Status.Fruitless():
		m.State, m.Reason = EvacFailed, fmt.Sprintf("its live migration %d ended as %s%s", row.ID, row.Status, because(s.Fault))
	case sent > failbackMost:
		m.State, m.Reason = EvacFailed, fmt.Sprintf("its live migration %d takes more than %s", row.ID, failbackMost)
	case row.ID == 0 && sent > c.policy.QuietPeriod:
		m.State, m.Reason = EvacFailed, "whether Nova took its live migration is not known"
	default:
		return m, false
	}
	return m, true
}

// newestLive is the newest live migration of a move, its zero value if there is none.
func newestLive(obs *Observation, m FailbackMove) (row nova.Migration) {
	for _, x := range obs.Moves {
		if x.Server == m.Server && x.Type == nova.TypeLiveMigration && x.ID > m.AfterRow && x.ID > row.ID {
			row = x
		}
	}
	return row
}

// newestRow is the greatest id of a server's rows.
func newestRow(obs *Observation, id nova.ServerID) (newest int) {
	for _, row := range obs.Moves {
		if row.Server == id {
			newest = max(newest, row.ID)
		}
	}
	return newest
}
