package mutants

// relists are the rules of what turns up on a host after its list, and of what was left.
func relists() []Mutant {
	m := func(name, rule, file, was, is string) Mutant {
		return Mutant{Name: name, Rule: rule, File: file, Old: was, New: is, Tests: []string{core}}
	}
	return []Mutant{
		m("what turns up after the list is not looked for", "none lost", "evacuate/advance.go", "\t\tc.relist(r, true)\n", "\t\tc.finish(r, StepEvacuate, c.summary(r))\n"),
		m("nothing is looked for on a recovered host", "none lost", "evacuate/ends.go", "if c.lookLate(r); len(left) == 0 {", "if len(left) == 0 {"),
		m("a list is not asked for again once it failed", "none lost", "evacuate/relist.go", "if !o.OK {\n\t\tpause", "if !o.OK && !o.Action.Settled {\n\t\tpause"),
		m("the ledger takes what a list brought of a host that is asked back", "8", "evacuate/relist.go", "!ok || r.Status != StatusOpen && r.Status != StatusRecovered {\n\t\treturn false", "!ok {\n\t\treturn false"),
		m("a list of a host that was heard counts", "1", "evacuate/relist.go", "!proved || r.Status != StatusOpen && r.Status != StatusRecovered {\n\t\treturn\n", "!proved && r.Status == StatusClosed {\n\t\treturn\n"),
		m("what was sent is planned again by a list", "3", "evacuate/relist.go", "e == nil || asked && e.State == EvacSkipped && !e.Revisit", "e == nil || e.State == EvacDone || asked && e.State == EvacSkipped && !e.Revisit"),
		m("what was left is chosen anew though nobody asked", "9", "evacuate/relist.go", "asked && e.State == EvacSkipped", "e.State == EvacSkipped"),
		m("a list from before a person asked answers him", "9", "evacuate/relist.go", " && r.Relist.At.Equal(o.Action.Since)", ""),
		m("a new choice forgets what was done before", "3", "evacuate/relist.go", "n := *e\n\tn.State, n.Reason, n.Reset, n.Revisit =", "n := *fresh\n\tn.State, n.Reason, n.Reset, n.Revisit ="),
		m("a recovery that is taken up again reads no power", "1", "evacuate/relist.go", "r.Status == StatusRecovered && down != nil", "false && down != nil"),
		m("a list of a host whose recovery is over takes a proof of long ago", "1", "evacuate/relist.go", "settled, r.Status == StatusRecovered", "settled, false"),
		m("what was left is moved on a proof of long ago that no BMC confirms", "1", "evacuate/ends.go", `n == nil || obs.Power == "" ||`, `n == nil || obs.Power != "" ||`),
		{Name: "a proof of long ago stands though its BMC is silent", Rule: "1", File: "evacuate/runner/instances.go", Old: "age > proofAge", New: "age > 1000*proofAge", Tests: []string{run}},
	}
}
