package evacuate

import (
	"fmt"
	"strings"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// InDoubt says that a power-off was sent, or may have been, and that neither a
// proof nor a reading says what came of it.
func (r *Recovery) InDoubt() bool {
	if _, ok := r.Proved(); ok || r.Status != StatusOpen {
		return false
	}
	old := r.Steps[StepFence]
	return !r.OffSent.IsZero() && r.OffSent.After(r.ProvedAt()) || old != nil && old.Phase == PhaseIntent
}

// Leftovers lists what stays as it is when a recovery is ended by hand.
func (r *Recovery) Leftovers() []string {
	var out []string
	reason := r.ID.DisabledReason()
	switch {
	case r.Done(StepEnable) || r.Done(StepCancel) || !r.Service.Ours():
	case r.Done(StepForceDown) || r.Steps[StepDisable] != nil:
		out = append(out, fmt.Sprintf("the nova-compute of %s is disabled (%q): enable it when the host is well", r.Host, reason))
	}
	if (r.Done(StepForceDown) || r.Steps[StepForceDown] != nil) && !r.Done(StepUnforce) && !r.Done(StepCancel) && !r.Service.ForcedDown {
		out = append(out, fmt.Sprintf("the nova-compute of %s is forced down: Nova takes it for dead until it is un-forced", r.Host))
	}
	if _, ok := r.Proved(); ok {
		out = append(out, fmt.Sprintf("%s is powered off", r.Host))
	}
	if r.StorageFence != nil {
		out = append(out, fmt.Sprintf("the storage of %s is taken away, or was asked to be: give it back by hand", r.Host))
	}
	if r.InDoubt() {
		out = append(out, fmt.Sprintf("a power-off of %s was sent and its effect is not known: read its BMC", r.Host))
	}
	for _, e := range r.Evacuations {
		switch e.State {
		case EvacDone:
		case EvacIntent, EvacFollowing, EvacReset:
			out = append(out, fmt.Sprintf("%s (%s): an evacuation may still be on its way: see that it runs only once", e.Name, e.Server))
		default:
			out = append(out, fmt.Sprintf("%s (%s): not moved: %s", e.Name, e.Server, orWord(e.Reason, string(e.State))))
		}
	}
	for _, sh := range r.Shielded {
		if !sh.Lifted {
			out = append(out, fmt.Sprintf("%s is disabled as a suspect; that is undone by itself when it is well", sh.Host))
		}
	}
	return out
}

// forget ends a recovery by a person's word. Without the host's name, typed
// again, it is refused while something irreversible may be on its way.
func (s *State) forget(r *Recovery, e Entry) error {
	typed := e.Flag && e.Host == r.Host
	switch {
	case e.Flag && !typed:
		return fmt.Errorf("to force it, type the name of the host of %s: not %q", r.ID, e.Host)
	case !typed && !r.Terminal():
		return fmt.Errorf("evacuations of %s are on their way: end it when they have ended, or force it by the host's name", r.Host)
	case !typed && r.InDoubt():
		return fmt.Errorf("a power-off of %s was sent and its effect is not known: read its BMC, or force it by the host's name", r.Host)
	}
	r.Left = r.Leftovers()
	s.handsOff(r, e, "ended by hand")
	if len(r.Left) > 0 {
		r.note(e, "left behind: "+strings.Join(r.Left, "; "))
	}
	s.journal(e, "recovery %s of %s ended by hand%s", r.ID, r.Host, because(e.Text))
	return nil
}

// askCancel notes that an operator wants a recovery undone: possible until the
// host is proven off.
func (s *State) askCancel(r *Recovery, e Entry) error {
	if _, ok := r.Proved(); ok || r.Status != StatusOpen {
		return fmt.Errorf("recovery %s can't be cancelled: %s is proven off or back; `lifeboat recovery %s end` forgets it", r.ID, r.Host, r.ID)
	}
	if r.sent() {
		return fmt.Errorf("recovery %s can't be cancelled: evacuations were sent", r.ID)
	}
	m := e.mark()
	r.Cancel = &m
	s.unsay(r.Host, "the recovery is being cancelled")
	s.handsOff(r, e, "cancelled")
	return nil
}

// tooLate drops a wish to cancel: its power-off was on the way and has been proven.
func (r *Recovery) tooLate(e Entry) {
	if r.Cancel != nil {
		r.Cancel = nil
		r.note(e, "the wish to cancel came too late: the host is off")
	}
}

// handsOff puts a host into maintenance, so that what a person ended does not
// open again a moment later.
func (s *State) handsOff(r *Recovery, e Entry, how string) {
	h := s.host(r.Host)
	if !h.Maintenance {
		h.Maintenance, h.MaintenanceBy = true, fmt.Sprintf("%s: recovery %s was %s", e.By, r.ID, how)
	}
}

// OpenOf finds a recovery that is not closed by its id or by its host.
func (s *State) OpenOf(word string) *Recovery {
	if r := s.Recoveries[RecoveryID(word)]; r != nil {
		return r
	}
	return s.Open(nova.HostName(word))
}

// prune forgets the oldest of what is closed.
func (s *State) prune() {
	var closed []*Recovery
	for _, r := range s.Sorted() {
		if r.Status == StatusClosed {
			closed = append(closed, r)
		}
	}
	for len(closed) > keepClosed {
		delete(s.Recoveries, closed[0].ID)
		closed = closed[1:]
	}
}
