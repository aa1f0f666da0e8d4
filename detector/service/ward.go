package service

import (
	"fmt"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
)

// Condition is what was read of a service.
type Condition string

// Conditions. Stopped was ended in order: somebody wants it so, and it is left. Waiting
// runs what comes before its start, such as the start gate.
const (
	Active   Condition = "active"
	Waiting  Condition = "waiting"
	Starting Condition = "starting"
	Failed   Condition = "failed"
	Stopped  Condition = "stopped"
	Stopping Condition = "stopping"
	Unread   Condition = "unknown"
)

const (
	// believed is how long a service must have failed before it is restarted: systemd's
	// own Restart= comes first.
	believed = 10 * time.Second
	// firstPause and mostPause bound the pause before the next restart, which doubles.
	firstPause = 10 * time.Second
	mostPause  = 5 * time.Minute
	// stopMost is how long a stop may take: three of systemd's TimeoutStopSec, after each of
	// which it kills what is left (systemd.service(5)). What is left then can't be killed.
	stopMost = 5 * time.Minute
	// startMost is how long a start may take, systemd's own repetitions of it included;
	// settled is how long it must be up to have started.
	startMost = 10 * time.Minute
	settled   = time.Minute
	// healed is how long it must be active before its restarts are forgotten.
	healed = 10 * time.Minute
)

// Ward is what is known of one service that is watched. It decides, and does nothing.
type Ward struct {
	Name string
	// After names one that must be active before this one is restarted; "" none.
	After string
	// Limit is how many restarts in a row are tried.
	Limit int

	condition Condition
	why       string
	since     time.Time // of the condition
	troubled  time.Time // since when it tries to start
	hopeless  string    // why no restart can help
	tries     int
	next      time.Time // not before
}

// See notes what was read, and why it could not be.
func (w *Ward) See(c Condition, why string, now time.Time) {
	if c != w.condition {
		w.condition, w.since = c, now
	}
	w.why, w.hopeless = why, ""
	switch in := now.Sub(w.since); {
	case c == Failed, c != Starting && in >= settled:
		w.troubled = time.Time{}
	case c == Starting && w.troubled.IsZero():
		w.troubled = now
	}
	switch {
	case c == Stopping && now.Sub(w.since) >= stopMost:
		w.hopeless = "its stop does not end"
	case !w.troubled.IsZero() && now.Sub(w.troubled) >= startMost:
		w.hopeless = "it does not start"
	}
	if c == Active && now.Sub(w.since) >= healed {
		w.tries = 0
	}
}

// Due says that it is to be restarted now. active says that the one it comes after is.
func (w *Ward) Due(active func(name string) bool, now time.Time) bool {
	return w.condition == Failed && now.Sub(w.since) >= believed && w.tries < w.Limit && !now.Before(w.next) && (w.After == "" || active(w.After))
}

// Spared notes a restart that would have been made, and was not permitted.
func (w *Ward) Spared(now time.Time) { w.next = now.Add(mostPause) }

// Tried notes a restart.
func (w *Ward) Tried(now time.Time) {
	w.tries++
	pause := firstPause
	for range w.tries - 1 {
		pause = min(2*pause, mostPause)
	}
	w.next = now.Add(pause)
}

// Active says that it was read so.
func (w *Ward) Active() bool { return w.condition == Active }

// Word is what a heartbeat says of it: its condition first.
func (w *Ward) Word() string {
	word := string(w.condition)
	switch {
	case w.condition == "":
		return string(Unread)
	case w.condition == Failed && w.tries >= w.Limit:
		word = fmt.Sprintf("%s: %d restarts did not help", detector.FailedForGood, w.tries)
	case w.hopeless != "":
		word = detector.FailedForGood + ": " + w.hopeless
	case w.condition == Failed && w.tries > 0:
		word += fmt.Sprintf(": restarted %d of %d times", w.tries, w.Limit)
	case w.condition == Active && w.tries > 0:
		word += fmt.Sprintf(" after %d restarts", w.tries)
	case w.why != "":
		word += ": " + w.why
	}
	return word
}
