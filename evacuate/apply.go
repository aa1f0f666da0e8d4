package evacuate

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lifeboat-ha/lifeboat/fence"
)

// ErrCorrupt marks an entry that no replica may survive.
var ErrCorrupt = errors.New("ledger entry not understood")

// maxTimeline bounds a recovery's timeline in the state.
const maxTimeline = 500

// keepClosed is how many closed recoveries the state remembers.
const keepClosed = 200

// Apply changes the state by one committed entry. It is deterministic: no
// clock, no configuration, no map order. An error refuses the entry and leaves
// the state as it was; an error that wraps ErrCorrupt must stop the replica.
func (s *State) Apply(index, term uint64, e Entry) error {
	if err := s.apply(term, e); err != nil {
		return fmt.Errorf("%s: %w", e.Kind, err)
	}
	s.Index = index
	return nil
}

func (s *State) apply(term uint64, e Entry) error {
	if e.Term != 0 && e.Term != term {
		return fmt.Errorf("decided in term %d, committed in term %d", e.Term, term)
	}
	if missing := e.missing(); missing != "" {
		return fmt.Errorf("refused: the entry has no %s", missing)
	}
	switch e.Kind {
	case KindClusterInit:
		return s.found(e)
	case KindClusterRestored:
		return s.restored(e)
	case KindMode:
		return s.setMode(e)
	case KindFreeze:
		s.freeze(e)
	case KindDrain:
		s.drain(e)
	case KindRing:
		return s.rotate(e)
	case KindVIP, KindVIPLease, KindVIPRestart:
		return s.applyVIP(e)
	case KindTwins, KindRestart, KindAiling:
		return s.applyGuest(e)
	case KindControllerJoin:
		s.Controllers[e.Controller.ID] = e.Controller
	case KindControllerLeave:
		delete(s.Controllers, e.Word)
	case KindTokenCreate:
		s.dropTokens(e.At)
		s.Tokens[e.Token.ID] = e.Token
	case KindHostEnrol, KindHostRenew, KindHostRemove, KindHostMaintenance, KindHostSeen:
		return s.applyHost(e)
	case KindPlan, KindPlanApprove, KindPlanEnd:
		return s.applyPlan(e)
	case KindShadow, KindShadowScore:
		return s.applyShadow(e)
	case KindHostForget:
		return s.forgets(e)
	case KindHostDrilling, KindHostDrill:
		return s.applyDrill(term, e)
	case KindHostQuarantine, KindHostRelease:
		return s.applyQuarantine(e)
	case KindConfirmDead, KindConfirmVoid:
		return s.applyWord(e)
	default:
		return s.applyRecovery(term, e)
	}
	return nil
}

func (s *State) found(e Entry) error {
	if s.ClusterID != "" {
		return fmt.Errorf("refused: this is cluster %s already", s.ClusterID)
	}
	s.ClusterID, s.Cluster = e.Cluster.ID, e.Cluster.Name
	s.Mode, s.ModeBy, s.ModeAt = e.Cluster.Mode, e.By, e.At
	return nil
}

// restored voids what a ledger of the past cannot know: proofs, promises, and
// the permission to act.
func (s *State) restored(e Entry) error {
	s.Generation++
	s.Mode, s.ModeBy, s.ModeSays, s.ModeAt, s.ModeReason = ModeObserve, e.By, "", e.At, "the ledger was restored"
	s.unask(e)
	s.unhold()
	s.stopDrills("the ledger was restored")
	for _, r := range s.Recoveries {
		if r.Status == StatusClosed {
			continue
		}
		r.Approval = nil
		if r.Proof != nil {
			r.Void = "the ledger was restored from a snapshot"
		}
		r.note(e, "ledger restored: proofs void, mode observe")
	}
	return nil
}

// keyOverlap is how long a host's former key stays valid after a renewal.
const keyOverlap = time.Hour

func (s *State) applyHost(e Entry) error {
	if err := s.disturbs(e); err != nil {
		return err
	}
	switch e.Kind {
	case KindHostEnrol:
		t := s.Tokens[e.Word]
		if t == nil || t.Host != e.Host || e.At.After(t.Expires) {
			return fmt.Errorf("host %s: the token is unknown, used, expired or for another host", e.Host)
		}
		delete(s.Tokens, e.Word)
		h := s.host(e.Host)
		h.Enrolled, h.Keys = e.At, []HostKey{*e.Key}
	case KindHostRenew:
		h := s.Hosts[e.Host]
		if h == nil || len(h.Keys) == 0 {
			return fmt.Errorf("host %s is not enrolled", e.Host)
		}
		old := h.Keys[len(h.Keys)-1]
		old.Expires = e.At.Add(keyOverlap)
		h.Keys = []HostKey{old, *e.Key}
	case KindHostRemove:
		if r := s.Open(e.Host); r != nil {
			return fmt.Errorf("host %s has recovery %s open: let it end first", e.Host, r.ID)
		}
		delete(s.Hosts, e.Host)
		s.dropRings()
	case KindHostMaintenance:
		h := s.host(e.Host)
		h.Maintenance, h.MaintenanceBy = e.Flag, e.By
		s.journal(e, "maintenance of %s %s%s", e.Host, map[bool]string{true: "on", false: "off"}[e.Flag], because(e.Text))
	case KindHostSeen:
		for _, seen := range e.Seen {
			s.seen(e.At, seen)
		}
	default:
		return fmt.Errorf("%w: kind %q", ErrCorrupt, e.Kind)
	}
	return nil
}

// ofRecovery lists the kinds that change a recovery there is.
var ofRecovery = []Kind{KindStep, KindEvacuations, KindHold, KindVoid, KindShield, KindReserve, KindReturn, KindFailback, KindClose, KindCancel, KindRelist}

func (s *State) applyRecovery(term uint64, e Entry) error {
	if e.Kind == KindOpen {
		return s.open(term, e)
	}
	if !slices.Contains(ofRecovery, e.Kind) {
		return fmt.Errorf("%w: kind %q", ErrCorrupt, e.Kind)
	}
	r := s.Recoveries[e.Recovery]
	if r == nil {
		return fmt.Errorf("no recovery %q", e.Recovery)
	}
	if r.Status == StatusClosed && e.Kind != KindShield && e.Kind != KindReserve && e.Kind != KindFailback {
		return fmt.Errorf("recovery %s is closed", r.ID)
	}
	var err error
	switch e.Kind {
	case KindStep:
		err = s.stepOf(r, term, e)
	case KindEvacuations:
		err = s.evacuated(r, term, e)
	case KindHold:
		r.Hold = e.Hold
	case KindVoid:
		s.disown(r, e.Word)
		r.void(e)
	case KindShield:
		r.shield(*e.Shield)
	case KindReserve:
		r.reserve(*e.Reserve)
	case KindReturn:
		err = r.returns(e)
	case KindFailback:
		err = s.failsBack(r, e)
	case KindClose:
		err = s.close(r, e)
	case KindCancel:
		err = s.askCancel(r, e)
	case KindRelist:
		err = r.asksList(e)
	default:
		err = fmt.Errorf("%w: kind %q", ErrCorrupt, e.Kind)
	}
	if err == nil {
		r.note(e, e.Text)
		if e.Proof != nil {
			s.upset(r.Host, e.At, UpsetFence)
		}
	}
	return err
}

func (s *State) open(term uint64, e Entry) error {
	if r := s.Open(e.Host); r != nil {
		return fmt.Errorf("host %s has recovery %s open already", e.Host, r.ID)
	}
	if s.Frozen || s.Drain != nil {
		return fmt.Errorf("host %s: frozen %t, drained %t", e.Host, s.Frozen, s.Drain != nil)
	}
	r := e.Open
	r.Host = e.Host
	if err := s.openedBy(e, r); err != nil {
		return err
	}
	s.Serial++
	r.ID = RecoveryID(fmt.Sprintf("r%d", s.Serial))
	r.Host, r.Status, r.Opened, r.Term = e.Host, StatusOpen, e.At, term
	r.Steps = map[Step]*StepRecord{StepOpen: {Phase: PhaseDone, Attempt: 1, Term: term, By: e.By, Intent: e.At, Ended: e.At}}
	r.note(e, e.Text)
	s.settlePlan(e, r)
	s.Recoveries[r.ID] = r
	s.upset(e.Host, e.At, UpsetRecovery)
	return nil
}

func (r *Recovery) note(e Entry, text string) {
	if text == "" {
		return
	}
	r.Timeline = append(r.Timeline, Event{At: e.At, By: e.By, Says: e.Says, Text: text})
	if n := len(r.Timeline); n > maxTimeline {
		r.Timeline = slices.Delete(r.Timeline, maxTimeline/2, maxTimeline/2+n-maxTimeline)
	}
}

// commands lists the steps that a deposed leader's late command may undo or overtake.
var commands = map[Step]bool{StepFence: true, StepPowerOn: true, StepFenceStorage: true, StepUnfenceStorage: true}

// needsProof lists the steps that only a valid proof permits.
var needsProof = map[Step]bool{StepForceDown: true, StepList: true, StepEvacuate: true}

func (r *Recovery) step(term uint64, e Entry) error {
	rec := e.Record
	if _, ok := r.Proved(); rec.Phase == PhaseIntent && needsProof[e.Step] && !ok {
		return fmt.Errorf("step %s without a proof that %s is off", e.Step, r.Host)
	}
	if e.Step == StepPowerOn && rec.Phase == PhaseIntent {
		if err := r.revoke("powered on again"); err != nil {
			return err
		}
	}
	if err := r.ofStorage(e); err != nil {
		return err
	}
	if !e.OffSent.IsZero() {
		r.OffSent = e.OffSent
	}
	if rec.Phase == PhaseIntent && e.Step == StepCancel {
		delete(r.Steps, StepDisable) // it is being undone
	}
	if rec.Phase == PhaseIntent && commands[e.Step] {
		r.commandedBy(term, e.By, rec.Hand)
	}
	if e.Proof != nil {
		proof, err := fence.Prove(*e.Proof)
		if err != nil {
			return err
		}
		if !proof.Covers(string(r.Host), r.Boot) {
			return fmt.Errorf("%w: the proof is for %s boot %s", fence.ErrNoProof, e.Proof.Host, e.Proof.Boot)
		}
		if err := r.ofErrand(e); err != nil {
			return err
		}
		r.Proof, r.Void, r.Refence, r.Hold = e.Proof, "", false, nil
		r.tooLate(e)
	}
	if e.Service != nil {
		forced := r.Service.ForcedDown
		if r.Service = *e.Service; r.Steps[StepForceDown] != nil {
			r.Service.ForcedDown = forced // by now that is our own doing
		}
	}
	r.Steps[e.Step], r.Term = rec, term
	if rec.Phase == PhaseDone && r.Hold != nil && r.Hold.Gate == "" && r.Hold.Step.order() <= e.Step.order() {
		r.Hold = nil // what comes after a step shows that the step is held no more
	}
	if e.Step == StepReport && rec.Phase == PhaseDone && r.Status == StatusOpen {
		r.Status, r.Recovered = StatusRecovered, e.At
	}
	return nil
}

// void ends a proof's worth. A new boot id means that the machine was switched
// on since: it is the new boot that must be proven off.
func (r *Recovery) void(e Entry) {
	r.Void = e.Word
	delete(r.Steps, StepFence)
	r.staleStorage()
	if e.Boot != "" {
		r.Boot = e.Boot
	}
	r.Refence = e.Flag
}

// revoke voids the proof and closes all POSTs in the same entry (rule 8).
func (r *Recovery) revoke(why string) error {
	if !r.Terminal() {
		return fmt.Errorf("%s: evacuations of %s are still on their way", why, r.Host)
	}
	r.Void = why
	return nil
}

func (r *Recovery) evacuations(term uint64, e Entry) error {
	for _, n := range e.Evacuations {
		if err := r.promises(n); err != nil {
			return err
		}
		if n.State != EvacIntent {
			continue
		}
		old := r.Evacuation(n.Server)
		if old != nil && old.State == EvacIntent && n.Attempt == old.Attempt && n.Intent.Equal(old.Intent) {
			continue // a remark on the same promise
		}
		if _, ok := r.Proved(); !ok {
			return fmt.Errorf("evacuation of %s without a proof that %s is off", n.Server, r.Host)
		}
		if old != nil && !old.promisable(n) {
			return fmt.Errorf("evacuation of %s is %s already (attempt %d)", n.Server, old.State, old.Attempt)
		}
	}
	for _, n := range e.Evacuations {
		if n.State == EvacIntent {
			n.Term = term
		}
		if i := slices.IndexFunc(r.Evacuations, func(o *Evacuation) bool { return o.Server == n.Server }); i >= 0 {
			r.Evacuations[i] = n
		} else {
			r.Evacuations = append(r.Evacuations, n)
		}
	}
	r.Term = term
	return nil
}

// promisable says that n may be promised after e: as the next attempt where
// nothing is on its way.
func (e *Evacuation) promisable(n *Evacuation) bool {
	return (e.State == EvacPlanned || e.State == EvacFailed) && n.Attempt == e.Attempt+1
}

func (r *Recovery) shield(sh Shield) {
	for i := range r.Shielded {
		if r.Shielded[i].Host == sh.Host {
			r.Shielded[i] = sh
			return
		}
	}
	r.Shielded = append(r.Shielded, sh)
}

func (r *Recovery) returns(e Entry) error {
	if r.Status == StatusOpen {
		return fmt.Errorf("%s is still being recovered", r.Host)
	}
	if err := r.revoke("the host returns: " + e.Return.Reason); err != nil {
		return err
	}
	r.Status, r.Return, r.Hold, r.Relist = StatusReturning, e.Return, nil, nil
	return nil
}

func (s *State) close(r *Recovery, e Entry) error {
	if e.Word == OutcomeCancelled {
		if _, ok := r.Proved(); ok {
			return fmt.Errorf("recovery %s has a proof: it can't be cancelled", r.ID)
		}
	}
	if e.Word == OutcomeForgotten {
		if err := s.forget(r, e); err != nil {
			return err
		}
	}
	r.Status, r.Outcome, r.Closed, r.Hold = StatusClosed, e.Word, e.At, nil
	s.unsay(r.Host, fmt.Sprintf("recovery %s was closed", r.ID))
	s.prune()
	return nil
}
