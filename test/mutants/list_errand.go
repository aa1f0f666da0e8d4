package mutants

// errands are the rules of a power-off by another controller's hand (docs/fencing.md).
func errands() []Mutant {
	m := func(name, rule, file, was, is string, tests ...string) Mutant {
		return Mutant{Name: name, Rule: rule, File: file, Old: was, New: is, Tests: tests}
	}
	return []Mutant{
		m("a hand acts for whoever asks", "2", "cmd/app/errand.go", "case f.Leader != from || f.Term != q.Term:", "case false:", app),
		m("a hand that leads acts for another", "2", "cmd/app/errand.go", "case f.Leads:", "case false:", app),
		m("a hand acts for a leader that is silent", "2", "cmd/app/errand.go", "case f.Contact < 0 || f.Contact > errandContact:", "case false:", app),
		m("a hand's ledger may lag", "2", "cmd/app/errand.go", "if n := h.applied(); n < q.Index {", "if n := h.applied(); false {", app),
		m("a hand does not ask its ledger", "1, 2", "cmd/app/errand.go", "\treturn h.permits(", "\treturn nil\n\treturn h.permits(", app),
		m("a ticket is good twice", "2", "cmd/app/errand.go", "\tdelete(h.tickets, q.Host)\n", "", app),
		m("a ticket is good for ever", "2", "cmd/app/errand.go", "Left(h.clock.Read()); !ok {\n\t\treturn fmt.Errorf(\"the ticket", "Left(h.clock.Read()); !ok && false {\n\t\treturn fmt.Errorf(\"the ticket", app),
		m("a ticket is good for another attempt", "2", "cmd/app/errand.go", "o.Boot != q.Boot || o.Attempt != q.Attempt ||", "", app),
		m("a hand does not look again before it writes", "2", "cmd/app/errand.go", "errors.Join(h.fresh(t.given), h.check(from, q))", "error(nil)", app),
		m("a hand that never reached a host switches it off", "right machine", "cmd/app/errand.go", "!ok || age < 0 || age > evacuate.HandFresh {", "!ok && age < -1 {", app),
		m("what the machine says to the hand is not compared", "right machine", "cmd/app/errand.go", "func(said fence.Identity) error { return h.own(q, said) }", "func(fence.Identity) error { return nil }", app),
		m("a reading of a dead host shows that it is reached", "right machine", "cmd/app/errand.go", "if !h.heard(q.Host) {", "if false {", app),
		m("a hand switches off what it hears", "5 (a)", "cmd/app/reach.go", "if err != nil || !c.hears(a.Host) {", "if true {", app),
		m("what may be under way is not waited out", "2", "cmd/app/hands.go", "\tdefer s.waitOut()\n", "", app),
		m("two processes of a hand make one proof", "1", "cmd/app/hands.go", "case s.run != \"\" && ans.Run != s.run:", "case false:", app),
		m("another's reading mends one of our own", "right machine", "cmd/app/byothers.go", "if p.causes[linkOf{host, i}] == fence.CauseUnreachable {", "if true {", app),
		m("another leader's errand is not waited out", "2", "evacuate/errand.go", "if old == nil || a.Hand == \"\" && old.Hand == \"\" ||", "if true ||", core),
		m("a hand is not among those who commanded", "2, 8", "evacuate/apply.go", "r.commandedBy(term, e.By, rec.Hand)", "r.commandedBy(term, e.By)", core),
		m("anybody's hand proves", "1", "evacuate/errand.go", "old.Hand != e.Proof.By ||", "", core),
		m("an attempt that was not promised is carried out", "2", "evacuate/errand.go", "rec.Attempt != a.Attempt || rec.Term != a.Term || rec.Hand != a.Hand:", "false:", core),
		m("a hand does not know of a cancel", "10", "evacuate/errand.go", "case r.Cancel != nil || r.Steps[StepCancel] != nil:", "case false:", core),
		m("a hand is asked where the leader reaches the host", "2", "evacuate/errand.go", "!f.Unreached || v.State", "v.State", core),
	}
}
