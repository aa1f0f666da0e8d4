// Package mutants switches safety rules off, one at a time, and looks which test
// notices. A mutant is a change of the source that only the build of the tests
// sees (go test -overlay): no switch stands in what is shipped.
package mutants

// Mutant is one rule switched off.
type Mutant struct {
	Name string
	// Rule is what it takes away, by the number in docs/safety.md or the gate.
	Rule string
	File string
	// Old stands exactly once in File, and becomes New.
	Old, New string
	// Tests are the packages that must notice, tried in this order.
	Tests []string
}

const (
	core      = "./evacuate"
	judge     = "./detector"
	run       = "./evacuate/runner"
	chain     = "./fence"
	app       = "./cmd/app"
	simulator = "./test/sim"
	program   = "./fence/command"
	words     = "./nova"
)

// open is what a gate that is switched off asks.
const open = `func(question) (Standing, string) { return Met, "" }`

func gateOff(name, old, ask string, tests ...string) Mutant {
	return Mutant{Name: "gate " + name, Rule: "gate " + name, File: "evacuate/gate.go", Old: old + ask + "},", New: old + open + "},", Tests: append(tests, core, simulator)}
}

// List is every mutant.
func List() []Mutant {
	all := append(gates(), verdicts()...)
	all = append(all, recovery()...)
	all = append(all, lease()...)
	all = append(all, storage()...)
	all = append(all, errands()...)
	all = append(all, vip()...)
	all = append(all, evacuation()...)
	all = append(all, relists()...)
	all = append(all, afterwards()...)
	all = append(all, twice()...)
	return append(all, acts()...)
}

func gates() []Mutant {
	return []Mutant{
		gateOff("leader", `{GateLeader, always, Held, "", `, "askLeader"),
		gateOff("ledger", `{GateLedger, always, Held, "", `, "askLedger"),
		gateOff("freeze", `{GateFreeze, always, Held, "", `, "askFreeze"),
		gateOff("drain", `{GateDrain, []Point{AtDecide}, Held, "", `, "askDrain"),
		gateOff("armed", `{GateArmed, always, Held, "", `, "askArmed"),
		gateOff("maintenance", `{GateMaintenance, untilProof, Held, "", `, "askMaintenance"),
		gateOff("verdict", `{GateVerdict, untilProof, Held, "", `, "askVerdict"),
		gateOff("fresh", `{GateFresh, untilProof, Held, "", `, "askFresh"),
		gateOff("control-plane", `{GateControlPlane, always, Held, "", `, "askControlPlane"),
		gateOff("storm", `{GateStorm, untilProof, Held, "", `, "askStorm"),
		gateOff("flap", `{GateFlap, []Point{AtEnable}, Held, NotConfigured, `, "askFlap"),
		gateOff("protected", `{GateProtected, untilProof, Held, NotConfigured, `, "askProtected"),
		gateOff("fenceable", `{GateFenceable, untilProof, Held, Held, `, "askFenceable"),
		gateOff("kdump", `{GateKdump, []Point{AtPowerOff}, Held, NotConfigured, `, "askKdump"),
		gateOff("capacity", `{GateCapacity, untilProof, Warns, NotConfigured, `, "askCapacity"),
		gateOff("concurrency", `{GateConcurrency, []Point{AtDecide}, Held, "", `, "askConcurrency"),
		gateOff("proof", `{GateProof, []Point{AtEvacuate}, Held, "", `, "askProof"),
	}
}

func verdicts() []Mutant {
	m := func(name, rule, file, was, is string) Mutant {
		return Mutant{Name: name, Rule: rule, File: "detector/" + file, Old: was, New: is, Tests: []string{judge, simulator}}
	}
	return []Mutant{
		m("an answer on the network is no sign of life", "5 (b)", "judge.go", "if p, ok := j.answering(); ok {", "if p, ok := j.answering(); ok && false {"),
		m("a report of nova-compute is no sign of life", "5 (b)", "judge.go", "if j.v.Nova != nil && j.v.Nova.Reported {", "if false {"),
		m("a heartbeat at a minority is no veto", "5 (a), 7", "judge.go", "\tcase len(j.hearing) > 0:\n", "\tcase len(j.hearing) >= j.majority():\n"),
		m("silence counts without a majority of controllers", "7", "judge.go", "\tcase j.fresh < j.majority():\n", "\tcase j.fresh < 1:\n"),
		m("the lost witness is forgotten", "7", "judge.go", "\tcase j.witness != \"\":\n", "\tcase false:\n"),
		m("silence counts without an answer before", "5", "judge.go", "case !countable && len(j.v.Probes) > 0:", "case !countable && false:"),
		m("controllers need not have probed", "4", "judge.go", "case len(silentTo) < j.majority():", "case false:"),
		m("a network that answered is not asked again", "5", "judge.go", "if n := j.unasked(); n != \"\" {", "if n := j.unasked(); false {"),
		m("no votes are needed", "4", "judge.go", "if len(votes) < j.p.Observers || domains < j.p.Domains {", "if false {"),
		m("votes of one failure domain are enough", "4", "judge.go", "if len(votes) < j.p.Observers || domains < j.p.Domains {", "if len(votes) < j.p.Observers {"),
		m("no hold-down", "4", "judge.go", "if j.silent < j.p.HoldDown {", "if false {"),
		m("unwatched, off alone is a death", "5", "past.go", "if len(missing) > 0 {", "if !j.powerOff() {"),
		m("unwatched, a BMC that reads on is a death", "5", "past.go", "if !j.powerOff() {", "if false {"),
		m("a controller that has just started is silent too", "7", "past.go", "j.watched() >= j.p.HoldDown", "true"),
		m("answers of long ago make silence count", "5", "past.go", "p.Age+AnswersWithin <= Baseline &&", "true &&"),
		m("an overtaken report counts", "4", "table.go", "c != nil && c.reported.After(sent) {", "c != nil && false {"),
		m("an announced stop is a death", "verdict Leaving", "judge.go", "if j.v.LeavingFor >= 0 && !off {", "if false {"),
		m("a new boot id is not seen", "verdict Rebooted", "judge.go", "if j.v.KnownBoot != \"\" && j.boot != \"\" && j.boot != j.v.KnownBoot {", "if false {"),
		m("one reading of off is enough for a verdict", "verdict Dead", "evidence.go", "if r.Age-newest.Age >= time.Second {", "if true {"),
		m("a reading of on in between does not matter", "verdict Dead", "evidence.go", "if r.Power != \"off\" || r.Age > j.silent {", "if false {"),
		m("ill observers vote", "4", "evidence.go", "if v.Dead && v.Ill == \"\" && v.Age <= j.stale()", "if v.Dead && v.Age <= j.stale()"),
		m("stale votes count", "4", "evidence.go", "if v.Dead && v.Ill == \"\" && v.Age <= j.stale()", "if v.Dead && v.Ill == \"\""),
		m("stale probes count", "4", "evidence.go", "return p.Age <= j.p.ProbeFresh && p.Age < j.silent }", "return true }"),
		m("stale reports count", "4", "judge.go", "case h.ReportAge > j.stale():", "case false:"),
		m("the muted vote", "4", "observer.go", "case r.Muted:", "case false:"),
		m("the stalled vote", "4", "observer.go", "case r.Stalled:", "case false:"),
		m("members with an ill health score vote", "4", "observer.go", "case r.Score > median+2:", "case false:"),
		m("members whose view collapsed vote", "4", "observer.go", "case 2*r.Alive < max(r.Known, known):", "case false:"),
		m("a failure domain that falls as one is no condition", "condition SegmentFault", "condition.go", "return slices.Contains(c.Domains, v.View.Domain) && (v.State != Dead || v.Reason != ReasonPowerOff)", "return false"),
		m("our own illness is no condition", "7", "condition.go", "if r, detail := s.ourselves(); r != \"\" {", "if r, detail := s.ourselves(); false {"),
		m("one network gone is Dead by the matrix", "verdict Isolated", "judge.go", "case heard && len(guests) > 0:", "case heard && len(guests) > 0 && true:\n\t\treturn MeansFence\n\tcase false:"),
	}
}
