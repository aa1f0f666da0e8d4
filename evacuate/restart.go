package evacuate

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// Restarting is what is done with instances that ended by themselves.
type Restarting string

// Words of it. The zero value is off.
const (
	RestartOff    Restarting = "off"
	RestartReport Restarting = "report"
	RestartDo     Restarting = "restart"
)

// Restarts is the policy for instances that end while their host lives.
type Restarts struct {
	// Crashed is for those that libvirt tells of, Rebooted for those of a host that was
	// booted anew before anybody took it for dead.
	Crashed  Restarting `json:"crashed,omitempty"`
	Rebooted Restarting `json:"rebooted,omitempty"`
	// Kinds are the ends that are followed by a restart; the others are reported.
	Kinds []detector.GuestEnd `json:"kinds,omitempty"`
	// All restarts those that do not say no; else only those that say yes.
	All bool `json:"all,omitempty"`
	// Limit is how often one instance is restarted in Within.
	Limit  int           `json:"limit,omitempty"`
	Within time.Duration `json:"within,omitempty"`
	// Key is read beside lifeboat:restart. "": Masakari's HA_Enabled.
	Key string `json:"key,omitempty"`
}

// GuestRestartState is how far one has come.
type GuestRestartState string

// States of a restart. Left says that nothing is done, and Reason why.
const (
	GuestPlannedEnd  GuestRestartState = "planned"
	GuestStoppingEnd GuestRestartState = "stopping" // the stop is promised
	GuestStartingEnd GuestRestartState = "starting" // the start is promised
	GuestDoneEnd     GuestRestartState = "done"
	GuestFailedEnd   GuestRestartState = "failed"
	GuestLeftEnd     GuestRestartState = "left"
)

// GuestRestart is one instance that ended by itself, and what became of it.
type GuestRestart struct {
	// Event names what was told; there is one journal for each.
	Event  string            `json:"event"`
	Server nova.ServerID     `json:"server"`
	Name   string            `json:"name,omitempty"`
	Host   nova.HostName     `json:"host"`
	Cause  detector.GuestEnd `json:"cause"`
	Detail string            `json:"detail,omitempty"`
	State  GuestRestartState `json:"state"`
	Reason string            `json:"reason,omitempty"`
	At     time.Time         `json:"at"`
	// Stop and Start are when these were promised: each is sent once, or never.
	Stop      time.Time `json:"stop,omitzero"`
	Start     time.Time `json:"start,omitzero"`
	Ended     time.Time `json:"ended,omitzero"`
	RequestID string    `json:"request_id,omitempty"`
	Priority  int       `json:"priority,omitempty"`
	RAMMiB    int       `json:"ram_mib,omitempty"`
	// Count is how many ends this one stands for, where it sums several up that were left;
	// 0: one. Others are the first of these.
	Count  int       `json:"count,omitempty"`
	Others []SameEnd `json:"others,omitempty"`
}

// Open says that something is still to come of it.
func (x GuestRestart) Open() bool {
	return x.State == GuestPlannedEnd || x.State == GuestStoppingEnd || x.State == GuestStartingEnd
}

// acted says that Nova was or may have been asked for something.
func (x GuestRestart) acted() bool { return !x.Stop.IsZero() || !x.Start.IsZero() }

// Text is the line for people.
func (x GuestRestart) Text() string {
	if x.Count > 1 {
		return fmt.Sprintf("%d instances ended: %s, %s; they are left: %s", x.Count, x.Cause, x.Detail, x.Reason)
	}
	s := fmt.Sprintf("instance %s (%s) on %s ended: %s", orWord(x.Name, "?"), x.Server, x.Host, x.Cause)
	if x.Detail != "" {
		s += " (" + x.Detail + ")"
	}
	switch x.State {
	case GuestPlannedEnd:
		return s + "; it is started again"
	case GuestStoppingEnd, GuestStartingEnd:
		return fmt.Sprintf("instance %s (%s) on %s: %s", orWord(x.Name, "?"), x.Server, x.Host, x.State)
	case GuestDoneEnd:
		return fmt.Sprintf("instance %s (%s) on %s runs again, %s after its end (%s)", orWord(x.Name, "?"), x.Server, x.Host, round(x.Ended.Sub(x.At)), x.Cause)
	case GuestFailedEnd:
		return fmt.Sprintf("instance %s (%s) on %s was NOT restarted: %s", orWord(x.Name, "?"), x.Server, x.Host, x.Reason)
	case GuestLeftEnd:
		return s + "; it is left: " + x.Reason
	}
	return s
}

// guestRestart finds the journal of an event, nil if there is none.
func (s *State) guestRestart(event string) *GuestRestart {
	for i := range s.GuestRestarts {
		if s.GuestRestarts[i].Event == event {
			return &s.GuestRestarts[i]
		}
	}
	return nil
}

// noteRestart takes a stage in. A promise needs that the one before it led there, that
// no other of the same instance is under way, and that nothing else is done with its host.
func (s *State) noteRestart(e Entry) error {
	n := *e.GuestRestart
	old := s.guestRestart(n.Event)
	switch {
	case old != nil && !old.Open():
		return fmt.Errorf("restart %s is %s already", n.Event, old.State)
	case old == nil && s.decided(n.Event):
		return fmt.Errorf("restart %s was decided on already", n.Event)
	case old != nil && !old.Stop.IsZero() && !n.Stop.Equal(old.Stop), old != nil && !old.Start.IsZero() && !n.Start.Equal(old.Start):
		return fmt.Errorf("restart %s: a request is promised once", n.Event)
	}
	if n.Open() {
		if why := s.noRestart(n, e.At); why != "" && (old == nil || n.Stop != old.Stop || n.Start != old.Start) {
			return fmt.Errorf("restart of %s: %s", n.Server, why)
		}
	}
	if old == nil || old.State != n.State {
		s.journal(Entry{At: e.At, By: e.By, Host: n.Host}, "%s", n.Text())
	}
	if !n.Open() {
		if s.GuestRestartCounts == nil {
			s.GuestRestartCounts = map[GuestRestartState]int{}
		}
		s.GuestRestartCounts[n.State] += max(1, n.Count)
	}
	if old != nil {
		*old = n
		return nil
	}
	s.remember(n, e.At)
	n.Others = slices.Clone(n.Others[:min(len(n.Others), mostOthers)])
	s.GuestRestarts = append(s.GuestRestarts, n)
	s.thinRestarts(e.At)
	return nil
}

// noRestart is what the ledger says against a request for an instance, "" if nothing.
func (s *State) noRestart(x GuestRestart, now time.Time) string {
	h := s.Hosts[x.Host]
	switch r := s.Open(x.Host); {
	case s.Frozen:
		return "frozen by " + s.frozenBy()
	case h == nil:
		return "the ledger does not know " + string(x.Host)
	case h.Maintenance:
		return string(x.Host) + " is in maintenance"
	case r != nil:
		return fmt.Sprintf("recovery %s of %s is %s", r.ID, r.Host, r.Status)
	case s.twin(x.Server) != nil:
		return "it runs twice"
	}
	for _, o := range s.GuestRestarts {
		if o.Server == x.Server && o.Event != x.Event && o.Open() {
			return "another restart of it is under way"
		}
	}
	for _, r := range s.Recoveries {
		if e := r.Evacuation(x.Server); r.Status != StatusClosed && e != nil && (e.State == EvacIntent || e.State == EvacFollowing || e.State == EvacReset) {
			return fmt.Sprintf("it is being evacuated from %s (%s)", r.Host, r.ID)
		}
	}
	return ""
}

// permitsRestart says, last before the write, that it is the one which was promised.
func (s *State) permitsRestart(a Action) error {
	x := s.guestRestart(a.Reason)
	if x == nil || x.Server != a.Server || a.Step == StepStopGuest && x.State != GuestStoppingEnd || a.Step == StepStartGuest && x.State != GuestStartingEnd {
		return fmt.Errorf("the %s of %s is not the one that was promised", a.Step, a.Server)
	}
	if why := s.noRestart(*x, a.Decided); why != "" {
		return fmt.Errorf("%s of %s: %s", a.Step, a.Server, why)
	}
	return nil
}

// OfGuest says that a step writes to an instance on a host that lives.
func (s Step) OfGuest() bool { return s == StepStopGuest || s == StepStartGuest || s == StepMoveAway }

// guestStep says that a step is of a restart, and of no recovery.
func (s Step) guestStep() bool {
	return s == StepLookGuest || s == StepStopGuest || s == StepStartGuest
}

// keyRestart opts an instance in, or out: in its own metadata or its flavor's extra specs.
// Masakari's key counts too, or Restarts.Key in its place.
const keyRestart = "lifeboat:restart"

// Restartable says whether an instance that ended by itself is to be restarted, and why.
func (p Policy) restartable(s nova.Server, aggregates []nova.Aggregate) (yes bool, why string) {
	if yes, why := p.Protected(s, aggregates); !yes {
		return false, "not protected: " + why
	}
	for _, level := range []struct {
		name  string
		words map[string]string
	}{{"it", s.Metadata}, {"its flavor", s.FlavorExtra}} {
		for _, key := range []string{keyRestart, cmp.Or(p.Restarts.Key, keyMasakari)} {
			if yes, ok := truth(level.words[key]); ok {
				return yes, fmt.Sprintf("%s says %s=%s", level.name, key, level.words[key])
			}
		}
	}
	return p.Restarts.All, "nothing says anything, and policy.guests.instances is " + map[bool]string{true: "all", false: "opt-in"}[p.Restarts.All]
}

// restartNotices tell of each end, and of what became of it.
func restartNotices(s *State, add func(Notice)) {
	for _, x := range s.GuestRestarts {
		n := Notice{Kind: NoticeGuest, Host: x.Host, ID: fmt.Sprintf("restart/%s/%s", x.Event, x.State), Event: string(x.State), At: x.At, Text: x.Text()}
		switch x.State {
		case GuestDoneEnd, GuestFailedEnd:
			n.At = x.Ended
			add(n)
		case GuestLeftEnd:
			add(n)
		case GuestPlannedEnd, GuestStoppingEnd, GuestStartingEnd:
		}
	}
}
