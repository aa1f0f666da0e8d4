package evacuate

// GateDrain is shut while what is open is finished and nothing new is opened.
const GateDrain GateName = "drain"

// freeze halts all work, or lets it go on. It is never refused, whatever is open.
func (s *State) freeze(e Entry) {
	s.Frozen, s.FrozenBy, s.FrozenSays, s.FrozenAt, s.FrozenReason = e.Flag, e.By, e.Says, e.At, e.Text
	s.journal(e, "%s%s", map[bool]string{true: "frozen", false: "not frozen any more"}[e.Flag], because(e.Text))
}

func (s *State) frozenBy() string {
	return Mark{By: s.FrozenBy, Says: s.FrozenSays, Reason: s.FrozenReason}.String()
}

// drain opens nothing new, or lets recoveries open again.
func (s *State) drain(e Entry) {
	s.Drain = nil
	if e.Flag {
		m := e.mark()
		s.Drain = &m
	}
	s.journal(e, "%s%s", map[bool]string{true: "drained: what is open is finished, nothing new is opened", false: "not drained any more"}[e.Flag], because(e.Text))
}

// Halt says who froze the whole and why, "" if nobody did by the ledger.
func (s *State) Halt() string {
	if !s.Frozen {
		return ""
	}
	return s.frozenBy()
}

func askFreeze(q question) (Standing, string) {
	switch {
	case q.world.Frozen != "":
		return Held, "frozen by a local file: " + q.world.Frozen
	case q.state.Frozen:
		return Held, "frozen by " + q.state.frozenBy()
	}
	return Met, "not frozen"
}

func askDrain(q question) (Standing, string) {
	if d := q.state.Drain; d != nil {
		return Held, "drained by " + d.String()
	}
	return Met, "not drained"
}
