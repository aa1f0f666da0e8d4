package mutants

// evacuation are the rules of which instances move, where to, and what waits for them.
func evacuation() []Mutant {
	m := func(name, rule, file, was, is string) Mutant {
		return Mutant{Name: name, Rule: rule, File: file, Old: was, New: is, Tests: []string{core, run, simulator}}
	}
	return []Mutant{
		m("local disks are rebuilt from images", "data", "evacuate/storage.go", "if s.VolumeBooted && s.EphemeralGiB == 0 || storage == StorageShared || storage == StorageReimage {", "if true {"),
		m("migrating servers are evacuated", "data", "evacuate/choose.go", "case s.TaskState == nova.TaskMigrating:", "case false:"),
		m("a host that was only named has claimed", "3", "nova/migration.go", "if m.Status == MigrationAccepted {", "if false {"),
		m("a reset without an answer is resolved at once", "3", "evacuate/reset.go", "obs.Began.Sub(c.sawFirst(resetKey(r, e))) < c.policy.QuietPeriod", "false"),
		m("the ledger takes a reset beside an evacuation", "3", "evacuate/reset.go", "old.State != EvacPlanned || old.Attempt > 0 ||", ""),
		m("a reset needs no proof", "1", "evacuate/reset.go", "if _, ok := r.Proved(); !ok {", "if _, ok := r.Proved(); !ok && false {"),
		m("siblings of an anti-affinity group go together", "3", "evacuate/target.go", "k.inFlight = k.inFlight || flying &&", "k.inFlight = k.inFlight || false &&"),
		m("a host is forced up while Placement keeps room on it for others", "8", "evacuate/returning.go", "if why := r.unclean(obs); why != \"\" {", "if why := r.unclean(obs); false {"),
		m("a host is forgotten without a proof", "1", "evacuate/forget.go", "if _, ok := r.Proved(); !ok {", "if _, ok := r.Proved(); !ok && false {"),
		m("what nova-compute would destroy is sent home", "8", "evacuate/failback.go", "if m.Server == e.Server && m.Status != nova.MigrationCompleted && !m.Status.Fruitless() {", "if false {"),
		m("two instances are sent home at once", "3", "evacuate/failback.go", "if m := o.Failback.moving(); m != nil {\n\t\t\treturn fmt.Sprintf(\"%s is on its way to %s\"", "if m := o.Failback.moving(); m != nil && false {\n\t\t\treturn fmt.Sprintf(\"%s is on its way to %s\""),
		m("a stop is promised twice", "3", "evacuate/restart.go", "case old != nil && !old.Stop.IsZero() && !n.Stop.Equal(old.Stop), old", "case old"),
		m("an instance is restarted amid its host's recovery", "3", "evacuate/restart.go", "case r != nil:", "case r != nil && false:"),
		m("what runs is stopped to be started", "data", "evacuate/restarting.go", "!c.guestDown(x, s) && !x.Cause.Lasts() {", "false {"),
		m("what still runs is started again", "data", "evacuate/restarting.go", "case down && why == \"\" && c.guestDown(x, s):", "case down && why == \"\":"),
		m("what was restarted is forgotten in a flood", "flap", "evacuate/guestends.go", "return !x.acted(), true", "return true, true"),
		m("an instance is started on a host that may be dying", "3", "evacuate/restarting.go", "case !v.Lives() && v != detector.Rebooted:", "case false:"),
		m("hosts are disabled for services that fail everywhere", "6", "evacuate/ailing.go", "case len(c.state.Ailing)+coming >= limit:", "case false:"),
		m("a host that lives is fenced for a service though it was not disabled", "verdict", "evacuate/gate.go", "q.recovery == nil && !q.state.Ailing[q.host].settled():", "false:"),
		m("a live migration is promised beside another", "3", "evacuate/away.go", "len(under) > 1 {", "len(under) > 9 {"),
		m("instances are moved away amid a recovery", "3", "evacuate/away.go", "if r.Status == StatusOpen {", "if false {"),
		m("an instance is sent away twice", "3", "evacuate/away.go", "if was != nil {\n\t\t\treturn fmt.Errorf(\"the live", "if false {\n\t\t\treturn fmt.Errorf(\"the live"),
		{Name: "a host that lives is fenced for a service in any policy", Rule: "verdict", File: "detector/judge.go", Old: "p.FenceAiling && ", New: "", Tests: []string{judge}},
		{Name: "a host that lives is fenced once Nova calls its nova-compute down", Rule: "verdict", File: "detector/judge.go", Old: "min(v.GivenUpFor, v.Nova.DownFor) >= p.IsolatedFor", New: "v.GivenUpFor >= p.IsolatedFor", Tests: []string{judge}},
		m("a host that lives is fenced though others' nova-computes are not heard either", "7", "evacuate/gate_controlplane.go", "if why := unheardComputes(q); why != \"\" {", "if why := unheardComputes(q); why != \"\" && false {"),
		m("an instance is restarted without end", "flap", "evacuate/restarting.go", "case its >= c.policy.Restarts.Limit:", "case false:"),
		m("an instance that runs elsewhere is evacuated", "3", "evacuate/guests.go", "if hosts := g.Elsewhere(id, source); len(hosts) > 0 {", "if hosts := g.Elsewhere(id, source); len(hosts) > 99 {"),
		m("what runs twice is verified", "3", "evacuate/guests.go", "case t != nil:", "case t != nil && false:"),
		m("what ran twice is forgotten as a host falls silent", "3", "evacuate/guests.go", "!told && !off &&", "false && !told && !off &&"),
		{Name: "a list that is not that of now counts", Rule: "3", File: "detector/guests.go", Old: "h.sensors[SensorGuests] == l.word", New: "l.word != \"\"", Tests: []string{judge}},
		m("the start gate opens amid evacuations", "8", "evacuate/startgate.go", "case !r.Terminal():", "case false:"),
		m("a what-if that is wrong keeps an instance down for good", "capacity", "evacuate/filters.go", "return c.since(fmt.Sprintf(\"%s lacks %s %d\", r.ID, e.Server, e.Attempt)) >= patience", "return c.since(fmt.Sprintf(\"%s lacks %s %d\", r.ID, e.Server, e.Attempt)) >= 999*patience"),
		m("a what-if that is not certain shuts the gate", "capacity", "evacuate/gate_capacity.go", "case c.Fits+c.Lacking == 0 && c.Of > 0:", "case c.Fits == 0 && c.Of > 0:"),
		m("what Placement refuses is sent", "capacity", "evacuate/filters.go", "if room.Classes[class]-taken[class] < amount {", "if amount < 0 {"),
		m("the start gate opens before the host is asked back", "8", "evacuate/startgate.go", "case r.Status == StatusReturning:", "case r.Status != StatusOpen:"),
	}
}
