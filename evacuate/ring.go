package evacuate

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"time"
)

// RingPhase is how far a rotation of the ring's key has come. In each, two members
// of the ring understand each other whether or not both have come so far.
type RingPhase string

// Phases. RingDone and RingAbandoned end a rotation and are never in force.
const (
	RingDistribute RingPhase = "distribute" // everybody is given the new key and decrypts with it
	RingUse        RingPhase = "use"        // everybody encrypts with the new key
	RingRetire     RingPhase = "retire"     // everybody forgets the old key
	RingDone       RingPhase = "done"
	RingAbandoned  RingPhase = "abandoned"
)

// RingKeyName names a key of the ring: the key itself never stands in the ledger.
// An empty fingerprint is the key of the controllers' files, of epoch 0.
type RingKeyName struct {
	Epoch       int    `json:"epoch"`
	Fingerprint string `json:"fingerprint,omitempty"`
}

// RingRotation is a rotation under way.
type RingRotation struct {
	Phase RingPhase   `json:"phase"`
	Old   RingKeyName `json:"old"`
	New   RingKeyName `json:"new"`
	Since time.Time   `json:"since"` // in this phase
	By    string      `json:"by"`
	Begun time.Time   `json:"begun"`
}

// RingStep is an entry's next phase of a rotation.
type RingStep struct {
	Phase RingPhase   `json:"phase"`
	Key   RingKeyName `json:"key"` // the new one
}

// RingKeys are the keys that everybody holds as the ledger stands, and the one to
// encrypt with.
type RingKeys struct {
	Hold []RingKeyName
	Use  RingKeyName
}

// RingKeys says which keys are good now.
func (s *State) RingKeys() RingKeys {
	now := RingKeyName{Epoch: s.RingEpoch, Fingerprint: s.RingPrint}
	r := s.Rotation
	if r == nil || r.Phase == RingRetire {
		return RingKeys{Hold: []RingKeyName{now}, Use: now}
	}
	return RingKeys{Hold: []RingKeyName{r.Old, r.New}, Use: now}
}

// ringNext lists what may follow each phase; "" is no rotation.
var ringNext = map[RingPhase][]RingPhase{
	"":             {RingDistribute},
	RingDistribute: {RingUse, RingAbandoned},
	RingUse:        {RingRetire},
	RingRetire:     {RingDone},
}

// Next is the phase that follows, "" where there is none.
func (p RingPhase) Next() RingPhase {
	if next := ringNext[p]; p != "" && len(next) > 0 {
		return next[0]
	}
	return ""
}

func (s *State) rotate(e Entry) error {
	var now RingPhase
	if s.Rotation != nil {
		now = s.Rotation.Phase
	}
	step := *e.Ring
	if !slices.Contains(ringNext[now], step.Phase) {
		if now == "" {
			return fmt.Errorf("no rotation of the ring's key is under way")
		}
		return fmt.Errorf("a rotation of the ring's key is in phase %s: %s does not follow", now, step.Phase)
	}
	if step.Phase == RingDistribute {
		if step.Key.Epoch != s.RingEpoch+1 || step.Key.Fingerprint == "" || step.Key.Fingerprint == s.RingPrint {
			return fmt.Errorf("key %d does not follow key %d", step.Key.Epoch, s.RingEpoch)
		}
		s.Rotation = &RingRotation{Old: RingKeyName{Epoch: s.RingEpoch, Fingerprint: s.RingPrint}, New: step.Key, By: e.By, Begun: e.At}
	} else if step.Key != s.Rotation.New {
		return fmt.Errorf("key %d is not the one of the rotation under way, %d", step.Key.Epoch, s.Rotation.New.Epoch)
	}
	s.Rotation.Phase, s.Rotation.Since = step.Phase, e.At
	switch step.Phase {
	case RingUse:
		s.RingEpoch, s.RingPrint = step.Key.Epoch, step.Key.Fingerprint
	case RingDone, RingAbandoned:
		s.Rotation = nil
	case RingDistribute, RingRetire:
	}
	s.RingSerial++
	s.journal(e, "ring key %d: %s%s", step.Key.Epoch, step.Phase, because(e.Text))
	return nil
}

// RosterVersion changes with all that hosts are told of each other, of the
// controllers and of the ring's key, and is the same on every replica.
func (s *State) RosterVersion() uint64 {
	sum := fnv.New64a()
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(sum, format+"\n", args...) }
	for _, id := range slices.Sorted(maps.Keys(s.Controllers)) {
		c := s.Controllers[id]
		say("controller %q %q %q %x", c.ID, c.Address, c.Ring, c.PublicKey)
	}
	for _, name := range s.HostNames() {
		say("host %q %q %t", name, s.Hosts[name].Ring, s.Hosts[name].Enrolled.IsZero())
	}
	if s.Watched() { // then hosts need each other's keys
		for _, name := range s.Enrolled() {
			say("keys %q %x", name, s.Hosts[name].Keys[len(s.Hosts[name].Keys)-1].Public)
		}
	}
	say("ring %d %d", s.Generation, s.RingSerial)
	return sum.Sum64()
}
