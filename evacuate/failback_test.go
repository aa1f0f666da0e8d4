package evacuate

import (
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// TestStaysThere: whatever an owner, an operator or Nova has done with an instance since
// keeps it where it is; and what nova-compute would destroy is not sent home.
func TestStaysThere(t *testing.T) {
	e := &Evacuation{Server: "vm", State: EvacDone, Attempt: 1, Dest: "cmp2", Intent: t0}
	r := &Recovery{Host: "cmp1", Evacuations: []*Evacuation{e}}
	well := nova.Server{ID: "vm", Host: "cmp2", VMState: nova.VMActive}
	row := func(kind string, status nova.MigrationStatus, at time.Duration) nova.Migration {
		return nova.Migration{ID: 5, Server: "vm", Type: kind, Status: status, CreatedAt: t0.Add(at)}
	}
	for name, c := range map[string]struct {
		change func(s *nova.Server, o *Observation)
		why    string // "": it may go home
	}{
		"as it was left": {func(*nova.Server, *Observation) {}, ""},
		"its row is completed": {func(_ *nova.Server, o *Observation) {
			o.Rows = []nova.Migration{row("evacuation", nova.MigrationCompleted, 0)}
		}, ""},
		"a row of an earlier attempt": {func(_ *nova.Server, o *Observation) {
			o.Rows = []nova.Migration{row("evacuation", nova.MigrationFailed, 0)}
		}, ""},
		"another's row": {func(_ *nova.Server, o *Observation) {
			o.Rows = []nova.Migration{{ID: 9, Server: "other", Status: nova.MigrationDone}}
		}, ""},
		"a migration before": {func(_ *nova.Server, o *Observation) {
			o.Moves = []nova.Migration{row(nova.TypeLiveMigration, nova.MigrationCompleted, -time.Hour)}
		}, ""},
		"one that came to nothing": {func(_ *nova.Server, o *Observation) {
			o.Moves = []nova.Migration{row(nova.TypeLiveMigration, "cancelled", time.Hour)}
		}, ""},
		"deleted":   {func(_ *nova.Server, o *Observation) { o.Gone["vm"] = true }, "deleted"},
		"not read":  {func(_ *nova.Server, o *Observation) { o.Moved = nil }, "could not be read"},
		"elsewhere": {func(s *nova.Server, _ *Observation) { s.Host = "cmp3" }, "it is on cmp3"},
		"stopped":   {func(s *nova.Server, _ *Observation) { s.VMState = nova.VMStopped }, "it is stopped"},
		"busy":      {func(s *nova.Server, _ *Observation) { s.TaskState = "rebooting" }, "rebooting"},
		"locked":    {func(s *nova.Server, _ *Observation) { s.Locked = true }, "locked"},
		"moved there and back": {func(_ *nova.Server, o *Observation) {
			o.Moves = []nova.Migration{row(nova.TypeResize, "confirmed", time.Hour)}
		}, "somebody has moved it"},
		"not cleaned up": {func(_ *nova.Server, o *Observation) {
			o.Rows = []nova.Migration{row("evacuation", nova.MigrationDone, 0)}
		}, "would destroy it"},
		"an attempt hangs": {func(_ *nova.Server, o *Observation) {
			o.Rows = []nova.Migration{row("evacuation", nova.MigrationPreMigrating, 0)}
		}, "would destroy it"},
	} {
		s := well
		o := &Observation{Moved: map[nova.ServerID]nova.Server{}, Gone: map[nova.ServerID]bool{}}
		o.Moved["vm"] = s
		c.change(&s, o)
		if o.Moved != nil {
			o.Moved["vm"] = s
		}
		if why := StaysThere(r, e, o); (why == "") != (c.why == "") || !strings.Contains(why, c.why) {
			t.Errorf("%s: %q, want %q", name, why, c.why)
		}
	}
}

// TestFailsBack: the ledger takes one promise at a time in the whole cloud, of what was
// evacuated, to a host that is back, and none while anything is being recovered.
func TestFailsBack(t *testing.T) {
	intent := func(id nova.ServerID) FailbackMove {
		return FailbackMove{Server: id, Name: string(id), From: "cmp2", State: EvacIntent, Intent: t0}
	}
	for name, c := range map[string]struct {
		change func(s *State, r *Recovery)
		move   FailbackMove
		why    string // "": taken
	}{
		"the first": {func(*State, *Recovery) {}, intent("vm1"), ""},
		"a host that is gone": {func(s *State, _ *Recovery) {
			s.Recoveries["r2"] = &Recovery{ID: "r2", Host: "cmp9", Status: StatusRecovered}
		}, intent("vm1"), ""},
		"after another has stayed": {func(_ *State, r *Recovery) {
			r.Failback = &Failback{Moves: []FailbackMove{{Server: "vm2", State: EvacSkipped}}}
		}, intent("vm1"), ""},
		"not evacuated":       {func(*State, *Recovery) {}, intent("vm9"), "was not evacuated"},
		"it has not returned": {func(_ *State, r *Recovery) { r.Outcome = OutcomeForgotten }, intent("vm1"), "has not returned"},
		"it is over":          {func(_ *State, r *Recovery) { r.Failback = &Failback{Ended: t0} }, intent("vm1"), "has ended"},
		"it was sent already": {func(_ *State, r *Recovery) {
			r.Failback = &Failback{Moves: []FailbackMove{{Server: "vm1", State: EvacDone}}}
		}, intent("vm1"), "done already"},
		"another is on its way": {func(_ *State, r *Recovery) {
			r.Failback = &Failback{Moves: []FailbackMove{{Server: "vm2", Name: "vm2", State: EvacFollowing}}}
		}, intent("vm1"), "vm2 is on its way"},
		"another host's is on its way": {func(s *State, _ *Recovery) {
			s.Recoveries["r2"] = &Recovery{ID: "r2", Host: "cmp3", Status: StatusClosed, Failback: &Failback{Moves: []FailbackMove{{Server: "vm7", Name: "vm7", State: EvacIntent}}}}
		}, intent("vm1"), "vm7 is on its way to cmp3"},
		"something is recovered": {func(s *State, _ *Recovery) {
			s.Recoveries["r2"] = &Recovery{ID: "r2", Host: "cmp3", Status: StatusOpen}
		}, intent("vm1"), "is open"},
		"it has fallen again": {func(s *State, _ *Recovery) {
			s.Recoveries["r2"] = &Recovery{ID: "r2", Host: "cmp1", Opened: t0, Status: StatusClosed}
		}, intent("vm1"), "fallen again"},
		"in maintenance": {func(s *State, _ *Recovery) { s.Hosts["cmp1"].Maintenance = true }, intent("vm1"), "maintenance"},
		"in quarantine":  {func(s *State, _ *Recovery) { s.Hosts["cmp1"].Quarantine = &Quarantine{Until: t0.Add(time.Hour)} }, intent("vm1"), "quarantine"},
		"frozen":         {func(s *State, _ *Recovery) { s.Frozen = true }, intent("vm1"), "frozen"},
	} {
		s := NewState()
		s.Mode = ModeAuto
		s.Hosts["cmp1"] = &Host{Name: "cmp1"}
		r := &Recovery{ID: "r1", Host: "cmp1", Status: StatusClosed, Outcome: OutcomeReturned, Opened: t0.Add(-2 * time.Hour), Closed: t0.Add(-time.Hour),
			Evacuations: []*Evacuation{{Server: "vm1", State: EvacDone, Attempt: 1}, {Server: "vm2", State: EvacDone, Attempt: 1}}}
		s.Recoveries["r1"] = r
		c.change(s, r)
		err := s.apply(1, Entry{Kind: KindFailback, Recovery: "r1", At: t0, Failback: r.Failback.with(c.move)})
		if (err == nil) != (c.why == "") || err != nil && !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: %v, want %q", name, err, c.why)
		}
		if err != nil {
			continue
		}
		a := Action{Recovery: "r1", Host: "cmp1", Shield: "cmp1", Step: StepFailback, Server: c.move.Server}
		if err := s.Permits(a); err != nil {
			t.Errorf("%s: what was promised is not permitted: %v", name, err)
		}
		a.Server = "vm2"
		if s.Permits(a) == nil {
			t.Errorf("%s: another instance is permitted", name)
		}
		a.Server = c.move.Server
		s.Recoveries["r3"] = &Recovery{ID: "r3", Host: "cmp4", Status: StatusOpen}
		if s.Permits(a) == nil {
			t.Errorf("%s: permitted amid a recovery", name)
		}
		delete(s.Recoveries, "r3")
		if s.Frozen = true; s.Permits(a) == nil {
			t.Errorf("%s: permitted while frozen", name)
		}
	}
}
