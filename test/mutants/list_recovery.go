package mutants

func recovery() []Mutant {
	m := func(name, rule, file, was, is string) Mutant {
		return Mutant{Name: name, Rule: rule, File: "evacuate/" + file, Old: was, New: is, Tests: []string{core, run, simulator}}
	}
	return []Mutant{
		m("a deposed leader's entries are taken", "2", "apply.go", "if e.Term != 0 && e.Term != term {", "if false {"),
		m("a step needs no proof", "1", "apply.go", "rec.Phase == PhaseIntent && needsProof[e.Step] && !ok {", "rec.Phase == PhaseIntent && needsProof[e.Step] && !ok && false {"),
		m("a promise needs no proof", "1", "apply.go", "if _, ok := r.Proved(); !ok {\n\t\t\treturn fmt.Errorf(\"evacuation of %s without", "if _, ok := r.Proved(); !ok && false {\n\t\t\treturn fmt.Errorf(\"evacuation of %s without"),
		m("a proof of another boot is taken", "1", "apply.go", "if !proof.Covers(string(r.Host), r.Boot) {", "if false {"),
		m("an attempt may be promised twice", "3", "apply.go", "if old != nil && !old.promisable(n) {", "if false {"),
		m("power-on leaves POSTs open", "8", "apply.go", "if !r.Terminal() {", "if false {"),
		m("a restored ledger keeps its proofs", "13", "apply.go", "\t\tif r.Proof != nil {\n\t\t\tr.Void = \"the ledger was restored from a snapshot\"\n\t\t}\n", ""),
		m("a second cluster may be founded", "13", "apply.go", "if s.ClusterID != \"\" {", "if false {"),
		m("a token is good twice", "13", "apply.go", "delete(s.Tokens, e.Word)\n\t\th := s.host(e.Host)", "h := s.host(e.Host)"),
		m("a proven recovery may be cancelled", "10", "apply.go", "return fmt.Errorf(\"recovery %s has a proof: it can't be cancelled\", r.ID)", "_ = r"),
		m("a heartbeat after the proof is ignored", "5 (a)", "advance.go", "case heard.At.After(after) && heard.Boot == r.Boot:", "case false:"),
		m("a new boot after the proof is ignored", "5 (a)", "advance.go", "case heard.At.After(after):", "case false:"),
		m("a BMC's on after the proof is ignored", "5 (a)", "advance.go", "case c.readsOn(r.Host, after):", "case false:"),
		m("a host that healed is fenced", "5 (a)", "advance.go", "if !again && (c.healed(r) || r.Cancel != nil) {", "if false {"),
		m("gates are not asked before the off", "gates", "advance.go", "if again && !c.mayRefence(r) || !again && !c.pass(AtPowerOff, r) {", "if false {"),
		m("gates are not asked before the POST", "gates", "advance.go", "if !c.pass(AtEvacuate, r) {", "if false {"),
		m("the host's services are not forced down first", "6", "advance.go", "case !r.Done(StepForceDown):", "case false:"),
		m("a cancel does not wait for the off", "10", "advance.go", "if c.underWay(r, StepFence) || c.underWay(r, StepDisable) {", "if false {"),
		m("an older leader's deadline is not waited out", "2", "core.go", "undoing[a.Step] && c.world.Now.Before(old.Intent.Add(old.Deadline))", "false"),
		m("an unknown outcome is repeated at once", "3", "evacuations.go", "if c.world.Now.Sub(e.Intent) >= c.policy.QuietPeriod &&", "if c.world.Now.Sub(e.Intent) >= 0 &&"),
		m("one quiet read is enough", "3", "evacuations.go", "case e.Quiet.IsZero():", "case false:"),
		m("a foreign evacuation is not looked for", "3", "evacuations.go", "if n := c.foreign(r.Host, e, obs); n != nil {", "if n := c.foreign(r.Host, e, obs); false {"),
		m("a POST needs no fresh look", "3", "evacuations.go", "if obs == nil || c.world.Now.Sub(obs.At) > lookFresh {", "if obs == nil {"),
		m("a POST for what is not there", "3", "evacuations.go", "if _, here := obs.Source[e.Server]; !here || room <= 0", "if here := true; !here || room <= 0"),
		m("no limit to what is in flight", "concurrency", "evacuations.go", "room := c.room()", "room := 1 << 20"),
		m("done is believed before the server is elsewhere", "6", "evacuations.go", "case moved && well(s) && (m.Status == nova.MigrationDone", "case well(s) && (m.Status == nova.MigrationDone"),
		m("local disks are rebuilt from images", "data", "choose.go", "if s.VolumeBooted || storage == StorageShared {", "if true {"),
		m("migrating servers are evacuated", "data", "choose.go", "case nova.TaskMigrating:", "case \"never\":"),
		m("suspects are not shielded", "6", "advance.go", "if c.shieldSuspects(r) {", "if true {"),
		m("a host is enabled while a power step may be open", "2, 8", "returning.go", "if c.world.Terms[id] <= term {", "if false {"),
		m("a host is enabled at once", "8", "returning.go", "case c.healthy[r.Host].IsZero() || c.world.Now.Sub(c.healthy[r.Host]) < c.policy.HealthyDelay:", "case false:"),
		m("un-force does not wait for the cleaning", "8", "returning.go", "case nova.MigrationDone, nova.MigrationAccepted, nova.MigrationPreMigrating:", "case \"never\":"),
		m("an operator's disabling is taken for ours", "9", "recovery.go", "return !s.Disabled || IsOurReason(s.Reason)", "return true"),
		m("a person's word needs no listening before it", "1", "confirm.go", "w.Leader.Since.IsZero() || listened < wordListens {", "false {"),
		m("a person's word is good for every boot", "1", "confirm.go", " || h.Confirmed.Boot != boot", ""),
		m("a word that nobody gave proves", "1", "confirm.go", "if c == nil || !sameWord(c.Word, *e.Proof.Word) {", "if c == nil {\n\t\treturn r.step(term, e)\n\t}\n\tif false {"),
		m("a word is used twice", "1", "confirm.go", "\tc.Recovery = r.ID\n", ""),
		m("a sign of life does not void a word that waits", "5", "confirm.go", "\t\tcase life.at.After(after):\n\t\t\twhy = life.what\n", ""),
		m("a sign of life does not void the proof by a word", "5", "confirm.go", "\tcase life.at.After(after):\n\tcase life.on", "\tcase life.on"),
		m("a word answers for the control plane", "7", "confirm.go", "GateStorm, GateFenceable, GateKdump}", "GateStorm, GateFenceable, GateKdump, GateControlPlane, GateMaintenance, GateArmed}"),
		m("a restored ledger keeps a person's word", "13", "approve.go", "\t\ts.unsay(host, why)\n", "\t\t_ = host\n"),
		m("a voided proof permits what was decided on it", "1", "state.go", "&& (!ok || a.Boot != r.Boot) {", "&& false {"),
	}
}

func acts() []Mutant {
	m := func(name, rule, file, was, is string, tests ...string) Mutant {
		return Mutant{Name: name, Rule: rule, File: file, Old: was, New: is, Tests: append(tests, simulator)}
	}
	return []Mutant{
		m("one reading of off proves", "1", "fence/proof.go", "MinReadings = 2", "MinReadings = 1", chain),
		m("two readings at once prove", "1", "fence/proof.go", "MinSpacing = time.Second", "MinSpacing = 0", chain),
		m("readings before the command prove", "1", "fence/proof.go", "case !r.Began.After(rec.Commanded):", "case false:", chain),
		m("any power state proves", "1", "fence/proof.go", "case r.Power != Off:\n\t\t\treturn", "case false:\n\t\t\treturn", chain),
		m("off is not commanded where it reads off", "1", "fence/proof.go", "if rec.Commanded.IsZero() {", "if false {", chain),
		m("a proof covers every boot", "1", "fence/proof.go", "&& p.rec.Boot == boot", "", chain),
		m("a person's word needs no name typed again", "1", "fence/word.go", "case w.Typed != host:", "case false:", chain),
		m("a sign of life does not refuse a person's word", "1", "fence/word.go", "case !w.LastSign.IsZero() && w.At.Sub(w.LastSign) < MinSilence:", "case false:", chain, core),
		m("a BMC's on does not refuse a person's word", "1", "fence/word.go", "case !w.LastOn.IsZero() && w.At.Sub(w.LastOn) < MinSilence:", "case false:", chain, core),
		m("a feed that was not read proves", "1", "fence/proof.go", "if len(r.Parts) != n {", "if false {", chain),
		m("a feed that reads on proves", "1", "fence/proof.go", "if p.Power != Off || p.Began", "if p.Began", chain),
		m("an agent's exit code is believed without a word", "1", "fence/command/command.go", "res.code == exitOff && said == fence.Off:", "res.code == exitOff:", "./fence/command"),
		m("an agent's word is believed without its exit code", "1", "fence/command/command.go", "res.code == exitOff && said == fence.Off:", "said == fence.Off:", "./fence/command"),
		m("parameters that an agent does not know are given to it", "1", "fence/command/options.go", "case !known:", "case !known && false:", "./fence/command"),
		m("one feed that is off proves", "1", "fence/pdu/pdu.go", "case p.Power == fence.On:", "case false:", "./fence/pdu"),
		m("a feed that tells nothing counts as off", "1", "fence/pdu/pdu.go", "if r.Power == fence.Off {", "if false {", "./fence/pdu"),
		m("fewer feeds than declared are switched", "1", "fence/pdu/pdu.go", "case o.Declared != len(o.Feeds):", "case false:", "./fence/pdu"),
		m("the guard is asked once a chain", "2", "fence/chain.go", "if err := guard(ctx); err != nil {\n\t\t\t\treturn Proof{}", "if err := guard(ctx); err != nil && a.Commands == 0 {\n\t\t\t\treturn Proof{}", chain),
		m("on is taken for an end of the run", "1", "fence/chain.go", "case r.Power != Off:\n\t\treturn nil\n", "case r.Power != Off:\n\t\treturn run\n", chain),
		m("deadline is not asked", "2", "evacuate/runner/runner.go", "if !ok {\n\t\t\treturn fmt.Errorf(\"%w: the step's deadline", "if false {\n\t\t\treturn fmt.Errorf(\"%w: the step's deadline", run),
		m("term is not asked", "2", "evacuate/runner/runner.go", "if term := r.Quorum.Term(); term != a.Term {", "if term := r.Quorum.Term(); false {", run),
		m("leadership is not verified", "2", "evacuate/runner/runner.go", "if err := r.Quorum.Verify(vctx); err != nil {", "if err := r.Quorum.Verify(vctx); false {", run),
		m("time that verifying takes is not seen", "2", "evacuate/runner/runner.go", "if _, ok := dl.Left(); !ok || r.Quorum.Term() != a.Term {", "if false {", run),
		m("the ledger is not asked last", "1, 2", "evacuate/runner/runner.go", "return r.Permits(a)", "_ = r.Permits(a)", run),
		m("force-down needs no proof for this boot", "1", "evacuate/runner/runner.go", "if !p.Covers(string(a.Host), a.Boot) {", "if false {", run),
		m("actions start before their entries are committed", "2", "evacuate/runner/engine.go", "if !e.commit(ctx, ready, entries) {\n\t\t\t\tbreak\n\t\t\t}", "defer e.commit(ctx, ready, entries)", run),
		m("actions start although an entry was refused", "2", "evacuate/runner/engine.go", "if !e.commit(ctx, ready, entries) {\n\t\t\t\tbreak\n\t\t\t}", "e.commit(ctx, ready, entries)", run),
		m("a host that is heard is powered off", "5 (a)", "cmd/app/engine.go", "age <= time.Duration(c.observer.judge.Missed)*c.observer.judge.Interval {", "age < 0 {", app),
	}
}
