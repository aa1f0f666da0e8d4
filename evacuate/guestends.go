package evacuate

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

const (
	// endRemembered is how long the ledger knows that an end was decided on: agents and
	// controllers tell one for 10 minutes.
	endRemembered = 15 * time.Minute
	// lastingTold is for how long the same trouble of an instance that may go on is one.
	lastingTold = 10 * time.Minute
	// leftSingly is how many ends are left one by one in leftWithin; what comes beyond is
	// summed up, once in that time: a storage that fails is told of by each instance on it.
	leftSingly = 20
	leftWithin = time.Minute
	// mostSummed bounds the ends in one entry, mostOthers those that are named later.
	mostSummed = 500
	mostOthers = 20
	// keepLeft is how many ends that were left are remembered. Restarts are for a day,
	// which is the longest that a limit on them counts (policy.guests.within), and at most
	// keepActed of them.
	keepLeft     = 300
	keepActed    = 2000
	actedMatters = 24 * time.Hour
)

// SameEnd is an end that another's journal tells of too.
type SameEnd struct {
	Event  string        `json:"event"`
	Server nova.ServerID `json:"server"`
	Host   nova.HostName `json:"host"`
}

// troubleOf names a trouble that an instance may have for long.
func troubleOf(id nova.ServerID, kind detector.GuestEnd) string {
	return string(id) + " " + string(kind)
}

// decided says that an end was decided on. Snapshots of before know the journals alone.
func (s *State) decided(event string) bool {
	if s.EndsDecided == nil {
		return s.guestRestart(event) != nil
	}
	_, is := s.EndsDecided[event]
	return is
}

// lasts says that an instance had this trouble a while ago too.
func (s *State) lasts(end detector.GuestEvent) bool {
	at, told := s.EndsLasting[troubleOf(end.Server, end.Kind)]
	return told && end.Kind.Lasts() && end.At.Sub(at) < lastingTold
}

// remember notes that an end, and those that it sums up, were decided on, and forgets
// what nobody tells any more.
func (s *State) remember(x GuestRestart, now time.Time) {
	if s.EndsDecided == nil {
		s.EndsDecided, s.EndsLasting = map[string]time.Time{}, map[string]time.Time{}
		for _, old := range s.GuestRestarts {
			s.EndsDecided[old.Event] = now
		}
	}
	for _, known := range []map[string]time.Time{s.EndsDecided, s.EndsLasting} {
		for k, at := range known {
			if now.Sub(at).Abs() > endRemembered { // a wrong clock's dates may lie ahead
				delete(known, k)
			}
		}
	}
	for _, o := range append([]SameEnd{{x.Event, x.Server, x.Host}}, x.Others...) {
		s.EndsDecided[o.Event] = now
		if x.Cause.Lasts() && x.State == GuestLeftEnd {
			s.EndsLasting[troubleOf(o.Server, x.Cause)] = x.At
		}
	}
}

// thinRestarts forgets the oldest of too many journals: what was left never drives out
// what was restarted, which limits count.
func (s *State) thinRestarts(now time.Time) {
	for _, may := range []func(x GuestRestart) (counts, goes bool){
		func(x GuestRestart) (bool, bool) { return !x.acted(), true },
		func(x GuestRestart) (bool, bool) { return x.acted(), now.Sub(x.At).Abs() > actedMatters },
	} {
		excess := -keepLeft
		for _, x := range s.GuestRestarts {
			if counts, _ := may(x); counts && !x.Open() {
				excess++
			}
		}
		s.GuestRestarts = slices.DeleteFunc(s.GuestRestarts, func(x GuestRestart) bool {
			counts, goes := may(x)
			if excess <= 0 || !counts || x.Open() || !goes && excess <= keepActed-keepLeft {
				return false
			}
			excess--
			return true
		})
	}
}

// decideEnds decides on each end that was told, once.
func (c *Core) decideEnds() {
	p := c.policy.Restarts.Crashed
	if p == "" || p == RestartOff {
		return
	}
	var left []GuestRestart
	var journals map[nova.ServerID][]GuestRestart
	taken := map[nova.ServerID]bool{} // one of each in a tick
	for _, e := range c.ready.Commit {
		if e.GuestRestart != nil {
			taken[e.GuestRestart.Server] = true
		}
	}
	for _, end := range c.world.Ends {
		if taken[end.Server] || c.state.decided(end.ID) || c.state.lasts(end) {
			continue
		}
		if journals == nil {
			journals = c.journals()
		}
		if c.toldBefore(end, journals[end.Server]) {
			continue
		}
		if why := c.undecided(end); why != "" {
			c.note("the end of %s on %s: %s", end.Server, end.Host, why)
			continue
		}
		taken[end.Server] = true
		if x := c.sentence(end); x.State == GuestLeftEnd {
			left = append(left, x)
		} else {
			c.restartTo(x)
		}
	}
	singly := leftSingly
	for _, x := range c.state.GuestRestarts {
		if x.State == GuestLeftEnd && x.Cause != detector.GuestRebooted && c.world.Now.Sub(x.Ended).Abs() < leftWithin {
			if singly--; x.Count > 1 {
				return // what is to be summed up next waits
			}
		}
	}
	c.leave(left, max(0, singly))
}

// journals are those that are remembered, by instance.
func (c *Core) journals() map[nova.ServerID][]GuestRestart {
	out := map[nova.ServerID][]GuestRestart{}
	for _, x := range c.state.GuestRestarts {
		out[x.Server] = append(out[x.Server], x)
	}
	return out
}

// sentence says what becomes of an end.
func (c *Core) sentence(end detector.GuestEvent) GuestRestart {
	x := GuestRestart{Event: end.ID, Server: end.Server, Host: end.Host, Cause: end.Kind, Detail: end.Detail, At: end.At, State: GuestPlannedEnd, Name: c.nameOf(end.Server)}
	if s, ok := c.listedAt(end.Host, end.Server); ok {
		x.Priority, x.RAMMiB = c.policy.Order.Priority(s), s.RAMMiB
	}
	if x.Reason = c.leftAlone(x); x.Reason != "" {
		x.State = GuestLeftEnd
	}
	return x
}

// errorsMost is of how many instances the storage may fail within a minute: more are an
// illness of the storage.
const errorsMost = 5

// manyErrors says that an instance is one of many whose storage fails.
func (c *Core) manyErrors(x GuestRestart) bool {
	if x.Cause != detector.GuestIOError {
		return false
	}
	these := map[nova.ServerID]bool{}
	for _, e := range c.world.Ends {
		if e.Kind == detector.GuestIOError && c.world.Now.Sub(e.At) < time.Minute {
			these[e.Server] = true
		}
	}
	return len(these) > errorsMost
}

// leave notes what is left, so many one by one and the rest together, by their cause.
func (c *Core) leave(left []GuestRestart, singly int) {
	singly = min(singly, len(left))
	for _, x := range left[:singly] {
		c.restartTo(x)
	}
	sums := map[detector.GuestEnd]*GuestRestart{}
	var causes []detector.GuestEnd
	for _, x := range left[singly:] {
		sum := sums[x.Cause]
		switch {
		case sum == nil:
			sums[x.Cause], causes = &x, append(causes, x.Cause)
		case len(sum.Others) < mostSummed:
			if sum.Others = append(sum.Others, SameEnd{x.Event, x.Server, x.Host}); sum.Reason != x.Reason && !strings.HasSuffix(sum.Reason, otherReasons) {
				sum.Reason += otherReasons
			}
		}
	}
	for _, cause := range causes {
		sum := *sums[cause]
		sum.Count, sum.Detail = 1+len(sum.Others), sum.where()
		c.restartTo(sum)
	}
}

const otherReasons = "; others for other reasons"

// where names the hosts of what one journal sums up.
func (x GuestRestart) where() string {
	hosts := []nova.HostName{x.Host}
	for _, o := range x.Others {
		hosts = append(hosts, o.Host)
	}
	slices.Sort(hosts)
	hosts = slices.Compact(hosts)
	const most = 5
	words := "on " + named(hosts[:min(len(hosts), most)])
	if len(hosts) > most {
		words += fmt.Sprintf(" and %d more", len(hosts)-most)
	}
	return words
}
