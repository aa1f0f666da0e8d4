package evacuate

import (
	"fmt"
	"slices"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// VIPRestart is one restart of an OpenStack agent that hangs (docs/vip.md#wedged-agents):
// the token that permits it, and what came of it.
type VIPRestart struct {
	ID     uint64        `json:"id"`
	Host   nova.HostName `json:"host"`
	Binary string        `json:"binary"`
	Domain string        `json:"domain,omitempty"`
	// Dry says that the host shall only tell what it would do.
	Dry bool      `json:"dry,omitempty"`
	At  time.Time `json:"at"`
	// Until is when the token is free whatever became of the host: no command begins
	// later, and each is ended before.
	Until   time.Time      `json:"until"`
	Why     string         `json:"why,omitempty"`
	Outcome RestartOutcome `json:"outcome,omitempty"`
	Says    string         `json:"says,omitempty"`
	Ended   time.Time      `json:"ended,omitzero"`
	// Up is when the service was seen up again; it is what permits the next one.
	Up time.Time `json:"up,omitzero"`
}

// RestartOutcome is what became of a restart.
type RestartOutcome string

// Outcomes.
const (
	RestartDone    RestartOutcome = "done"    // the command ended well
	RestartFailed  RestartOutcome = "failed"  // it did not
	RestartDryRun  RestartOutcome = "dry-run" // it was only told of
	RestartRefused RestartOutcome = "refused" // the host had a reason against it
)

// RestartAct is what an entry does.
type RestartAct string

// Acts.
const (
	RestartTake RestartAct = "take" // take a token
	RestartEnd  RestartAct = "end"  // give it back, with an outcome
	RestartUp   RestartAct = "up"   // the service is up again
)

// VIPRestartStep is one step. Limits stand in it, so that replicas agree.
type VIPRestartStep struct {
	Act RestartAct `json:"act"`
	VIPRestart
	// AtOnce and PerHour are the most tokens of the whole cloud.
	AtOnce  int `json:"at_once,omitempty"`
	PerHour int `json:"per_hour,omitempty"`
}

const (
	// restartLife is how long a token is taken where its host says nothing.
	restartLife = 2 * time.Minute
	// restartAgain is how often at most anything of one host is restarted.
	restartAgain = 30 * time.Minute
	// keepRestarts is how many are remembered.
	keepRestarts = 50
)

// Taken says that the token is in force.
func (r *VIPRestart) Taken(now time.Time) bool { return r.Ended.IsZero() && now.Before(r.Until) }

// restart carries out one step.
func (s *State) restart(e Entry) error {
	q := e.Restart
	if q.Act == RestartTake {
		if err := s.MayRestart(e.At, *q); err != nil {
			return fmt.Errorf("refused: restart of %s on %s: %w", q.Binary, q.Host, err)
		}
		r := q.VIPRestart
		s.RestartSerial++
		r.ID, r.At, r.Until, r.Outcome, r.Ended, r.Up = s.RestartSerial, e.At, e.At.Add(restartLife), "", time.Time{}, time.Time{}
		s.Restarts = append(s.Restarts, &r)
		s.Restarts = slices.Delete(s.Restarts, 0, max(0, len(s.Restarts)-keepRestarts))
		s.journalOf(e, r.Host, "%s hangs there and may be restarted (token %d%s)%s", r.Binary, r.ID, map[bool]string{true: ", dry run"}[r.Dry], because(r.Why))
		return nil
	}
	i := slices.IndexFunc(s.Restarts, func(r *VIPRestart) bool { return r.ID == q.ID && r.Host == q.Host })
	if i < 0 {
		return fmt.Errorf("refused: no restart %d of %s", q.ID, q.Host)
	}
	r := *s.Restarts[i]
	switch {
	case q.Act == RestartEnd && r.Ended.IsZero():
		r.Outcome, r.Says, r.Ended = q.Outcome, q.Says, e.At
		s.journalOf(e, r.Host, "the restart of %s (token %d): %s%s", r.Binary, r.ID, r.Outcome, because(r.Says))
	case q.Act == RestartUp && r.Up.IsZero():
		r.Up = e.At
		s.journalOf(e, r.Host, "%s is up again %s after its restart was permitted", r.Binary, round(e.At.Sub(r.At)))
	case q.Act != RestartEnd && q.Act != RestartUp:
		return fmt.Errorf("%w: nothing known of %q", ErrCorrupt, q.Act)
	}
	s.Restarts[i] = &r
	return nil
}

func (s *State) journalOf(e Entry, host nova.HostName, format string, args ...any) {
	e.Host = host
	s.journal(e, format, args...)
}

// MayRestart says why a token may not be taken. A clock that went back permits nothing
// that it would not have permitted before.
func (s *State) MayRestart(now time.Time, q VIPRestartStep) error {
	if err := s.restartHeld(q.Host, q.Dry); err != nil {
		return err
	}
	taken, hour := 0, 0
	for _, r := range s.Restarts {
		if now.Sub(r.At) < time.Hour {
			hour++
		}
		if r.Host == q.Host && now.Sub(r.At) < restartAgain {
			return fmt.Errorf("%s was restarted there %s ago", r.Binary, round(now.Sub(r.At)))
		}
		if r.Host == q.Host && r.Binary == q.Binary && r.Outcome == RestartDone && r.Up.IsZero() {
			return fmt.Errorf("the restart of %s did not help: a person is needed", r.At.UTC().Format("2006-01-02 15:04"))
		}
		if !r.Taken(now) {
			continue
		}
		if taken++; r.Domain == q.Domain {
			return fmt.Errorf("%s of %s, of the same failure domain, has the token", r.Binary, r.Host)
		}
	}
	if taken >= q.AtOnce {
		return fmt.Errorf("%d are restarted now: at_once is %d", taken, q.AtOnce)
	}
	if hour >= q.PerHour {
		return fmt.Errorf("%d were restarted within an hour: per_hour is %d", hour, q.PerHour)
	}
	return nil
}

// restartHeld says what of the ledger forbids a restart, the moment it is taken and the
// moment it is done.
func (s *State) restartHeld(host nova.HostName, dry bool) error {
	h := s.Hosts[host]
	switch r := s.Open(host); {
	case h == nil || h.Enrolled.IsZero():
		return fmt.Errorf("%s is not enrolled", host)
	case r != nil:
		return fmt.Errorf("recovery %s of it is under way", r.ID)
	case s.Frozen:
		return fmt.Errorf("frozen by %s", s.frozenBy())
	case s.Drain != nil:
		return fmt.Errorf("drained by %s", s.Drain)
	case h.Maintenance:
		return fmt.Errorf("%s is in maintenance", host)
	case h.Quarantine != nil:
		return fmt.Errorf("%s is in quarantine", host)
	case !dry && !s.Mode.Acts():
		return fmt.Errorf("the mode is %s", s.Mode)
	}
	return nil
}

// RestartFor is the token that a host may use now, nil where there is none.
func (s *State) RestartFor(host nova.HostName, now time.Time) *VIPRestart {
	for _, r := range s.Restarts {
		if r.Host == host && r.Taken(now) && s.restartHeld(host, r.Dry) == nil {
			return r
		}
	}
	return nil
}
