package mutants

// vip are the rules by which what ails the control plane's address fences nobody.
func vip() []Mutant {
	m := func(name, file, was, is string, tests ...string) Mutant {
		return Mutant{Name: name, Rule: "7", File: "detector/" + file, Old: was, New: is, Tests: append(tests, simulator)}
	}
	const matrix = "./detector/vip"
	return append([]Mutant{
		m("a host that does not reach the VIP is dead", "judge.go", "return PathFault, ReasonPathVIP,", "return Dead, ReasonPathVIP,", judge),
		m("what ails the VIP is no condition", "condition.go", "if c := s.Control; c.Condition == ControlPlaneFault || c.Condition == VIPSplit {", "if c := s.Control; c.Condition == LedgerReadOnly {", judge),
		m("half of the hosts without the VIP are single faults", "vip/matrix.go", "case 2*n >= len(votes):", "case false:", matrix),
		m("a rack without the VIP is many single faults", "vip/matrix.go", "if domain := only(failed); domain != \"\" && n > 1 {", "if domain := only(failed); false {", matrix),
		m("two owners of the VIP hold nobody", "vip/matrix.go", "case (f.Kind == Duplicate || f.Kind == RogueMAC) &&", "case false &&", matrix),
		m("nothing behind the VIP holds anything", "vip/matrix.go", "case f.Holds && c.Condition != detector.ControlPlaneFault:", "case false:", matrix),
		m("rows of long ago count", "vip/matrix.go", "Fresh: r.Row.Age <= fresh,", "Fresh: true,", matrix),
		m("connections are ended before the neighbour is right", "vip/repair.go", "if n := w.Neighbour; n != nil && n.MAC != (detector.MAC{}) && n.MAC != w.Holder.MAC {", "if n := w.Neighbour; n != nil && false {", matrix),
		m("connections to other ports are ended", "vip/repair.go", "why != \"\" && slices.Contains(ports, c.Remote.Port()) &&", "why != \"\" && (true || slices.Contains(ports, 0)) &&", matrix),
		m("a host goes another way though nobody else reaches the VIP", "vip/detour.go", "2*v.Peers <= v.PeersAsked ||", "", matrix),
		m("a host goes another way while two have the VIP", "vip/detour.go", "if !v.Settled || v.Asked", "if v.Asked", matrix),
		m("agents of hosts that nobody hears are restarted", "vip/wedged.go", "a.Kept || !heard ||", "a.Kept || !heard && false ||", matrix),
		m("agents are restarted while the cloud is ill", "vip/wedged.go", "if !v.Calm ||", "if ", matrix),
		m("agents are restarted though half of all are down", "vip/wedged.go", "|| 2*down[a.Binary] >= total[a.Binary] {", "{", matrix),
		m("another way stays when the usual one is well", "vip/detour.go", "case !d.well.IsZero() && v.UsualAt", "case false && v.UsualAt", matrix),
	}, owning()...)
}

// owning are the rules by which an address is on one kernel at a time.
func owning() []Mutant {
	m := func(name, file, was, is string, tests ...string) Mutant {
		return Mutant{Name: name, Rule: "VIP", File: file, Old: was, New: is, Tests: tests}
	}
	const rule, own, keep, want, record = "./detector/vip", "detector/vip/own.go", "detector/vip/own_keep.go", "detector/vip/own_want.go", "evacuate/viplease.go"
	const tokens = "evacuate/viprestart.go"
	return []Mutant{
		m("an agent is restarted while its host is recovered", tokens, "case r != nil:\n\t\treturn fmt.Errorf(\"recovery", "case false:\n\t\treturn fmt.Errorf(\"recovery", core),
		m("two of one failure domain are restarted at once", tokens, "if taken++; r.Domain == q.Domain {", "if taken++; false {", core),
		m("a restart that did not help is repeated", tokens, "r.Outcome == RestartDone && r.Up.IsZero() {", "false {", core),
		m("a token of before a freeze permits", tokens, "r.Taken(now) && s.restartHeld(host, r.Dry) == nil", "r.Taken(now)", core),
		m("an agent that somebody stopped is restarted", "cmd/app/restart.go", "!= service.Up:", "== \"\":", app),
		m("an address is taken before its lease has surely ended", want, "need, fit := LeaseWait+LeaseWait/100,", "need, fit := LeaseWait-1500*time.Millisecond,", rule),
		m("a holder counts from the answer", own, "t.count(x, p.Generation, of.Epoch, p.at)", "t.count(x, p.Generation, of.Epoch, t.now)", rule),
		m("a lease is taken whatever has happened to it", record, "if a.Epoch != l.Epoch || a.Seq != l.Seq {", "if a.Epoch != l.Epoch {", core, rule),
		m("a restored ledger gives addresses away", record, "*l = VIPLease{Epoch: l.Epoch, Seq: l.Seq, Why:", "*l = VIPLease{Epoch: l.Epoch, Seq: l.Seq, Free: true, Why:", core),
		m("a request from before a restore is taken", record, "if q.Generation != s.Generation {", "if false {", core),
		m("an address is given back that is still here", keep, "case g.Here && !g.Forever:\n\t\to.Drop", "case false:\n\t\to.Drop", rule),
		m("an address is claimed though somebody answers for it", want, "case len(p.heard) > 0:", "case false:", rule),
		m("VRRP for an address is no reason", keep, "case g.VRRP != \"\":", "case false:", rule),
		m("two voters own addresses", keep, "case v.Voters < LeastVoters:", "case false:", rule),
		m("clocks that contradict each other keep an address", own, "\tcase v.Jumped:\n\t\tx.lose(", "\tcase false:\n\t\tx.lose(", rule),
		m("the kernel is never late", own, "kernelLate = 1400 * time.Millisecond", "kernelLate = 0 * time.Millisecond", rule),
		m("an address of somebody else is removed", want, "if g.Here && !g.Forever {", "if g.Here {", rule),
		m("an orphan is taken off though nobody else has the address", "detector/vip/mend.go", "if master == \"\" || view.Now", "if view.Now", rule),
		m("an orphan is taken off on the leader's word alone", "detector/vip/mend.go", "return a.Holds && a.Listens && !own && other", "return a.Holds && a.Listens || own && other", rule, app),
		m("addresses are mended in modes that only watch", "cmd/app/vipmend.go", "return may && c.frozen() == \"\"", "return may || c.frozen() == \"\"", app),
		m("another that answers is no reason to ask anew", keep, "t.now.Most-x.rival.Most > rivalMost", "false", rule),
	}
}
