package mutants

// lease are the rules of a host's watchdog (docs/fencing.md).
func lease() []Mutant {
	m := func(name, file, was, is string) Mutant {
		return Mutant{Name: name, Rule: "1, 11", File: "fence/" + file, Old: was, New: is, Tests: []string{chain, simulator}}
	}
	return []Mutant{
		m("one controller renews a lease", "lease.go", "if 2*len(left) <= len(t.Voters) {", "if len(left) == 0 {"),
		m("nobody takes the controllers' place", "lease.go", "held, by = t.Orphaned(s), ByPeers", "held, by = 0, ByPeers"),
		m("one host takes the controllers' place", "lease.go", "if 2*len(left) < len(t.Ring) {", "if false {"),
		m("the bound has no margin and no timeout", "expiry.go", "return e.Lease + e.Timeout + e.Margin }", "return e.Lease }"),
	}
}
