package mutants

// afterwards are the rules of what is verified, and of the host that comes back.
func afterwards() []Mutant {
	m := func(name, rule, file, was, is string) Mutant {
		return Mutant{Name: name, Rule: rule, File: "evacuate/" + file, Old: was, New: is, Tests: []string{core, run, simulator}}
	}
	return []Mutant{
		m("the row of an attempt that died with its destination is not waited for", "8", "cleaning.go", "if !uncleaned(m.Status) {", "if e := r.Evacuation(m.Server); !uncleaned(m.Status) || e != nil && e.lost(m.ID) && e.State == EvacDone {"),
		m("what was stopped before stays running", "9", "stopping.go", "if e.VMState == nova.VMStopped && s.VMState == nova.VMActive && e.Stop == \"\" {", "if false {"),
		m("a stop that may come late is repeated", "9", "stopping.go", "case e.Stop == StopSent && c.since(stopKey(r, e)) < c.policy.QuietPeriod:", "case false:"),
		m("what its owner may use by now is stopped", "9", "stopping.go", "ran > stopLate {", "ran > 99*stopLate {"),
		m("a stop is kept for a host that died", "9", "stopping.go", "if next == nil || next.ID == r.ID {", "if true {"),
		m("the ledger takes a stop beside another", "9", "stopping.go", "old.State != EvacDone || old.Stop != StopNeeded || ", ""),
		m("what an earlier recovery has put into error is taken for its state", "9", "stopping.go", "out[i].VMState = e.VMState", "_ = e"),
		m("what could not be read is called wrong", "10", "check.go", "if in.PortsErr != \"\" {", "if false {"),
		m("a host is forced up beside copies of what lives elsewhere", "8", "cleaning.go", "if e.State != EvacDone || e.Dest == r.Host {", "if true {"),
		m("a host is powered on amid somebody else's evacuation", "8", "foreignrow.go", "if _, here := obs.Source[m.Server]; here && !m.Status.Terminal() {", "if false {"),
	}
}
