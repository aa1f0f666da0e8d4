package evacuate

import "time"

// waits says of an open recovery that nothing of it can be sent or is being done: its host
// is proven off and listed, and whatever is left waits for room, for a group, for Nova or
// for a person. It may do so for days, and must not keep others from theirs.
func (s *State) waits(r *Recovery, now time.Time, p Policy) bool {
	_, proved := r.Proved()
	switch {
	case r.Status != StatusOpen || !proved || !r.Done(StepList):
		return false
	case r.Settled(): // what is left is to verify
		return r.Hold != nil && r.Hold.Step == StepVerify
	case r.Hold != nil && r.Hold.Gate == GateArmed: // its mode only watches by now
		return r.Terminal()
	}
	for _, e := range r.Evacuations {
		if e.State != EvacDone && e.State != EvacSkipped && !s.stalls(e, now, p) {
			return false
		}
	}
	return true
}

// stalls says that an instance can't be sent, or was and nothing comes of it.
func (s *State) stalls(e *Evacuation, now time.Time, p Policy) bool {
	switch e.State {
	case EvacHeld:
		return true
	case EvacPlanned:
		return e.Waits != ""
	case EvacFailed:
		return e.Waits != "" || e.Attempt >= manyFailures && e.Last != ""
	case EvacIntent, EvacFollowing:
		return e.Attempt > manyFailures && e.Last != "" || now.Sub(e.Intent) >= p.Stuck || s.deadEnd(e)
	default:
		return false
	}
}

// deadEnd says that an attempt went to a host that is proven off: nobody works at it.
func (s *State) deadEnd(e *Evacuation) bool {
	dest := e.heading()
	if dest == "" {
		return false
	}
	_, off := s.provenOff(dest)
	return off
}

// blocked says of an open recovery that it takes up nobody's time: it waits, or it has
// been held before its list for as long as a fenced host counts.
func (s *State) blocked(r *Recovery, now time.Time, p Policy) bool {
	held := r.Hold != nil && r.Hold.Step != StepEvacuate && now.Sub(r.Opened) >= p.StormWindow
	return held || s.waits(r, now, p)
}
