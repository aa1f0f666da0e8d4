package mutants

// storage are the rules of the program that takes a host's storage away (docs/fencing.md).
func storage() []Mutant {
	m := func(name, rule, file, was, is string, tests ...string) Mutant {
		return Mutant{Name: name, Rule: rule, File: file, Old: was, New: is, Tests: tests}
	}
	return []Mutant{
		m("storage that is not gone is not waited for", "storage", "evacuate/advance.go", "if !c.storageReady(r) {", "if false {", core, simulator),
		m("a host is powered on without its storage", "storage", "evacuate/returning.go", "if !c.storageBack(r) {", "if false {", core, simulator),
		m("a cancel leaves the storage shut", "storage", "evacuate/advance.go", "if !c.storageBack(r) {", "if false {", core, simulator),
		m("storage is given back while a call that takes it away may run", "2", "evacuate/storagefence.go", "if !c.underWay(r, StepFenceStorage) {\n\t\tc.begin(r, act(r, StepUnfenceStorage)", "if true {\n\t\tc.begin(r, act(r, StepUnfenceStorage)", core, simulator),
		m("storage is given back while instances are elsewhere", "storage", "evacuate/storagefence.go", "if _, proved := r.Proved(); r.Status == StatusRecovered || r.Status == StatusOpen && (proved || r.sent()) {", "if false {", core),
		m("storage that is gone stays gone when the host comes on", "storage", "evacuate/apply.go", "\tr.staleStorage()\n", "", core),
		m("storage that is not gone stands beside a word", "1", "evacuate/storagefence.go", "return r.StorageFence != nil && !r.StorageFence.Done.IsZero() }", "return r.StorageFence != nil }", core),
		m("the start gate opens without the storage", "8", "evacuate/startgate.go", "case r.Status == StatusReturning && r.StorageFence != nil:", "case false:", core),
		m("the program is called without a guard", "2", "cmd/app/storage.go", "if err := guard(ctx); err != nil {\n\t\treturn err\n\t}\n\treturn f(", "return f(", app),
		m("an exit code without words is believed", "storage", "fence/command/storage.go", "res.code != 0 || !says(res.stdout, saysGone) {", "res.code != 0 {", program),
		m("the status is not asked afterwards", "storage", "fence/command/storage.go", "return s.until(ctx, m, true)", "return nil", program),
	}
}
