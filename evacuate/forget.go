package evacuate

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// Forgetting is what a host that never returns has left behind in Nova and Placement, as
// read just now, and so what forgetting it would clean.
type Forgetting struct {
	Host     nova.HostName
	Recovery RecoveryID
	// Service is its nova-compute; without an id it is gone already.
	Service nova.Service
	// Servers are on it by Nova, Rows the evacuations from it.
	Servers []nova.Server
	Rows    []nova.Migration
	// Providers are its resource providers, nested ones before those that hold them.
	Providers []string
	// Elsewhere are servers of other hosts to which it still gives room, Strangers
	// consumers that no server is.
	Elsewhere []nova.Server
	Strangers []nova.ServerID
	// Power is what its fencing method read.
	Power fence.Power
}

// ErrForget says why a host can't be forgotten now.
var ErrForget = errors.New("not forgotten")

// mayForget is what the ledger alone says of it: its last recovery proved it off, and
// nothing has been begun with it since.
func (s *State) mayForget(host nova.HostName) (*Recovery, error) {
	refused := func(format string, args ...any) (*Recovery, error) {
		return nil, fmt.Errorf("%w: %s", ErrForget, fmt.Sprintf(format, args...))
	}
	r := s.Last(host)
	if r == nil {
		return refused("no recovery of %s is remembered: nothing proves that it is off", host)
	}
	if h := s.Hosts[host]; h != nil && h.Drilling.UnderWay() {
		return refused("%s is being drilled: `lifeboat fence drill %s --status`", host, host)
	}
	if r.Status == StatusOpen || r.Status == StatusReturning {
		return refused("recovery %s of %s is %s: let it end, or `lifeboat recovery %s end`", r.ID, host, r.Status, r.ID)
	}
	if _, ok := r.Proved(); !ok {
		return refused("the proof that %s is off does not hold: %s", host, orWord(r.Void, "there is none"))
	}
	if !r.Terminal() {
		return refused("evacuations of %s are on their way", host)
	}
	if to := s.inbound(host); len(to) > 0 {
		return refused("%s is on its way to %s", strings.Join(to, ", "), host)
	}
	for _, o := range s.Sorted() {
		for _, e := range o.Evacuations {
			if o.Status == StatusOpen && e.State != EvacDone && slices.ContainsFunc(e.Losses, func(l Loss) bool { return l.Proof == r.ID }) {
				return refused("%s is evacuated again because %s is proven off: wait for recovery %s", e.Name, host, o.ID)
			}
		}
	}
	return r, nil
}

// CheckForget says whether a host may be forgotten, of which f was read just now: nothing
// runs there, and nothing would start to.
func CheckForget(f Forgetting, s *State, w World) error {
	refused := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrForget, fmt.Sprintf(format, args...))
	}
	r, err := s.mayForget(f.Host)
	if err != nil {
		return err
	}
	if s.Frozen || w.Frozen != "" {
		return refused("frozen: `lifeboat unfreeze`")
	}
	life := vitals(f.Host, &w)
	proved := r.ProvedAt().Add(proofSlack)
	switch {
	case f.Power == fence.On:
		return refused("its BMC reads on")
	case life.at.After(proved):
		return refused("it was proven off, and after that %s", life.what)
	case life.on.After(proved):
		return refused("it was proven off, and after that its BMC read on")
	case f.Service.State == nova.StateUp:
		return refused("its nova-compute is up")
	case len(f.Servers) > 0:
		return refused("%d instances are on it by Nova (%s): evacuate or delete them first", len(f.Servers), nameFew(f.Servers))
	case len(f.Strangers) > 0:
		return refused("Placement gives room on it to %s, which no server is: a migration that did not end? `openstack resource provider allocation show`, then `delete`", f.Strangers[0])
	}
	for _, m := range f.Rows {
		if e := r.Evacuation(m.Server); !m.Status.Terminal() && (e == nil || !e.lost(m.ID)) {
			return refused("evacuation %d of %s is %s: it may still be on its way", m.ID, m.Server, m.Status)
		}
	}
	return nil
}

func nameFew(servers []nova.Server) string {
	names := make([]string, 0, len(servers))
	for _, s := range servers[:min(len(servers), 3)] {
		names = append(names, s.Name)
	}
	if len(servers) > len(names) {
		names = append(names, "...")
	}
	return strings.Join(names, ", ")
}

// Text says what would be done, for a person to read before they type its name.
func (f Forgetting) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Forgetting %s, which recovery %s proved off, for good:\n", f.Host, f.Recovery)
	for _, s := range f.Elsewhere {
		fmt.Fprintf(&b, "  Placement: takes the room on it from %s (%s), which is on %s\n", s.Name, s.ID, s.Host)
	}
	for _, p := range f.Providers {
		fmt.Fprintf(&b, "  Placement: deletes its resource provider %s\n", p)
	}
	if f.Service.ID != "" {
		fmt.Fprintf(&b, "  Nova:      deletes its nova-compute service %s, and takes it out of its aggregates\n", f.Service.ID)
	} else {
		b.WriteString("  Nova:      has no nova-compute of it any more\n")
	}
	for _, m := range f.Rows {
		if !m.Status.Terminal() {
			fmt.Fprintf(&b, "  Nova:      WILL REFUSE while evacuation %d of %s is %s: its destination died. Set it to failed in Nova's database\n", m.ID, m.Server, m.Status)
		}
	}
	b.WriteString("  Lifeboat:  ends its recovery, forgets its key, its name and its history\n")
	fmt.Fprintf(&b, "By hand: take it out of `hosts` of the controllers' files; `openstack network agent list --host %s` and delete what is there; volumes it served are Cinder's.\n", f.Host)
	b.WriteString("If the machine ever starts again, what was evacuated from it must not: wipe its disks.")
	return b.String()
}

// Stages of forgetting a host, as entries name them.
const (
	ForgetBegins = "begins"
	ForgetFailed = "failed"
	ForgetDone   = "done"
)

// forgets takes a stage in. Its recovery ends with the first: what is cleaned after that
// is no way back.
func (s *State) forgets(e Entry) error {
	switch e.Word {
	case ForgetBegins:
		r, err := s.mayForget(e.Host)
		if err != nil {
			return err
		}
		if r.Status != StatusClosed {
			r.Left = nil
			r.Status, r.Outcome, r.Closed, r.Hold = StatusClosed, OutcomeForgotten, e.At, nil
			r.note(e, "ended: its host is forgotten")
		}
		s.handsOff(r, e, "ended, its host is forgotten")
		s.journal(e, "forgetting %s begins: %s", e.Host, e.Text)
	case ForgetFailed:
		s.journal(e, "forgetting %s failed, and can be asked for again: %s", e.Host, e.Text)
	case ForgetDone:
		r, err := s.mayForget(e.Host)
		if err != nil {
			return err
		}
		r.Void = "its host is forgotten" // whoever bears its name next is another
		r.note(e, "its host is forgotten")
		delete(s.Hosts, e.Host)
		s.dropRings()
		s.prune()
		s.journal(e, "%s is forgotten: %s", e.Host, e.Text)
	default:
		return fmt.Errorf("%w: stage %q of forgetting", ErrCorrupt, e.Word)
	}
	return nil
}

// PermitsForget says, between what is cleaned, that the ledger still allows it.
func (s *State) PermitsForget(host nova.HostName) error {
	if s.Frozen {
		return fmt.Errorf("frozen by %s", s.Halt())
	}
	r, err := s.mayForget(host)
	if err == nil && r.Status != StatusClosed {
		return fmt.Errorf("%w: it was not begun", ErrForget)
	}
	return err
}

// Sum is what f comes to, for the journal.
func (f Forgetting) Sum() string {
	return fmt.Sprintf("allocations of %d instances, resource providers [%s], compute service %s", len(f.Elsewhere), strings.Join(f.Providers, " "), orWord(f.Service.ID, "none"))
}
