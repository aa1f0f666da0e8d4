package mutants

// twice are the rules by which what may run elsewhere is not sent.
func twice() []Mutant {
	m := func(name, file, was, is string, tests ...string) Mutant {
		return Mutant{Name: name, Rule: "3", File: file, Old: was, New: is, Tests: append(tests, core, run, simulator)}
	}
	const ends, doubt = "evacuate/ends.go", "evacuate/doubt.go"
	return []Mutant{
		m("what may run at the other end of a migration is moved", ends, "case end == EndOff && live:", "case live:"),
		m("what was read before the proof tells of the other end", ends, "case c.readOff(host, obs):", "case func() bool { _, off := c.state.provenOff(host); return off }():"),
		m("what the other end's libvirt has is moved", ends, "case g.Has(host, id):", "case false:"),
		m("a list from before the guest began to run tells of the other end", ends, "case c.since(endsKey(r, id)) < detector.TwinSettle:", "case c.since(endsKey(r, id)) < 0*detector.TwinSettle:"),
		m("what was left is taken up again without a proof", "evacuate/relist.go", "if _, ok := r.Proved(); !ok || r.Status", "if r.Status"),
		m("a live migration that was too late to roll back has stayed", "nova/migration.go", "return m.Dest == \"\"", "return true"),
		m("what a live migration left in error is moved unread", "evacuate/choose.go", "if c.Do == DoMove && s.VMState == nova.VMError {", "if c.Do == DoMove && false {"),
		m("a failed evacuation has left nothing", doubt, "case left == nova.RemainsUnknown, left == nova.RemainsGuest:", "case false:"),
		m("what its owner asks for meanwhile hides what was left", doubt, "m.ID > 0 && s.VMState == nova.VMError {", "m.ID > 0 && s.VMState == nova.VMError && s.TaskState == \"\" {"),
		m("an older fault tells what was left", "nova/remains.go", "s.FaultAt.Before(ended.Add(-faultSlack))", "false", words),
		m("what libvirt refused as it went away was not started", "nova/remains.go", "(!has(inLaunch) || has(unstarted...))", "true", words),
		m("one that may run where it failed is sent anywhere", doubt, "if n.To.Host != d.Host || n.To.Force {", "if n.To.Force {"),
		m("a POST is sent on an old look", "evacuate/runner/alone.go", "spent(a.Looked, r.Clock.Now()) <= rowsFresh {", "a.Attempt > 0 {", run),
		{Name: "an ephemeral disk is made anew", Rule: "data", File: "evacuate/storage.go", Old: "if s.VolumeBooted && s.EphemeralGiB == 0 ||", New: "if s.VolumeBooted ||", Tests: []string{core}},
	}
}
