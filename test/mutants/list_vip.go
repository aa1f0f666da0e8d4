package mutants

// vip are the rules by which what ails the control plane's address fences nobody.
func vip() []Mutant {
	m := func(name, file, was, is string, tests ...string) Mutant {
		return Mutant{Name: name, Rule: "7", File: "detector/" + file, Old: was, New: is, Tests: append(tests, simulator)}
	}
	const matrix = "./detector/vip"
	return []Mutant{
		m("a host that does not reach the VIP is dead", "judge.go", "return PathFault, ReasonPathVIP,", "return Dead, ReasonPathVIP,", judge),
		m("what ails the VIP is no condition", "condition.go", "if c := s.Control; c.Condition == ControlPlaneFault || c.Condition == VIPSplit {", "if c := s.Control; c.Condition == LedgerReadOnly {", judge),
		m("half of the hosts without the VIP are single faults", "vip/matrix.go", "case 2*n >= len(votes):", "case false:", matrix),
		m("a rack without the VIP is many single faults", "vip/matrix.go", "if domain := only(failed); domain != \"\" && n > 1 {", "if domain := only(failed); false {", matrix),
		m("two owners of the VIP hold nobody", "vip/matrix.go", "case (f.Kind == Duplicate || f.Kind == RogueMAC) &&", "case false &&", matrix),
		m("rows of long ago count", "vip/matrix.go", "Fresh: r.Row.Age <= fresh,", "Fresh: true,", matrix),
		m("connections are ended before the neighbour is right", "vip/repair.go", "if n := w.Neighbour; n != nil && n.MAC != (detector.MAC{}) && n.MAC != w.Holder.MAC {", "if n := w.Neighbour; n != nil && false {", matrix),
		m("connections to other ports are ended", "vip/repair.go", "why != \"\" && slices.Contains(ports, c.Remote.Port()) &&", "why != \"\" && (true || slices.Contains(ports, 0)) &&", matrix),
	}
}
