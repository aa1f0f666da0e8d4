package runner_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/nova"
	"github.com/lifeboat-ha/lifeboat/nova/novatest"
)

// What each answer to a live migration tells the ledger, and what a look at it shows.
func TestFailback(t *testing.T) {
	for name, c := range map[string]struct {
		fault        *novatest.Fault
		before       func(s *stage, id nova.ServerID)
		ok, definite bool
		status       nova.MigrationStatus // of its row, afterwards
		home         bool
	}{
		"goes home":               {ok: true, status: nova.MigrationCompleted, home: true},
		"the scheduler says no":   {before: func(s *stage, _ nova.ServerID) { s.cloud.SetService("cmp1", true, "x", false) }, ok: true, status: nova.MigrationError},
		"it ends as error":        {before: func(s *stage, _ nova.ServerID) { s.cloud.FailMigrations(1) }, ok: true, status: nova.MigrationError},
		"stopped meanwhile":       {before: func(s *stage, id nova.ServerID) { s.cloud.SetState(id, nova.VMStopped) }, definite: true},
		"refused":                 {fault: &novatest.Fault{Status: http.StatusForbidden}, definite: true},
		"lost":                    {fault: &novatest.Fault{Reset: true}},
		"its answer was lost":     {fault: &novatest.Fault{Reset: true, After: true}, status: nova.MigrationCompleted, home: true},
		"deleted in the meantime": {before: func(s *stage, id nova.ServerID) { s.cloud.Delete(id) }, definite: true},
	} {
		onStage(t, func(s *stage) {
			id := s.cloud.Boot("cmp2", 1)[0]
			r := s.state.Recoveries["r1"]
			r.Status, r.Outcome = evacuate.StatusClosed, evacuate.OutcomeReturned
			r.Failback = &evacuate.Failback{Moves: []evacuate.FailbackMove{{Server: id, From: "cmp2", State: evacuate.EvacIntent}}}
			if c.before != nil {
				c.before(s, id)
			}
			if c.fault != nil {
				c.fault.Match = "os-migrateLive"
				s.cloud.Inject(*c.fault)
			}
			aim := func(a *evacuate.Action) {
				a.Server, a.Shield, a.From, a.To = id, "cmp1", "cmp2", nova.Target{Host: "cmp1"}
			}
			o := s.do(s.action(evacuate.StepFailback, aim))
			if o.OK != c.ok || o.Definite != c.definite || o.OK != (o.RequestID != "" && !o.Definite) {
				t.Errorf("%s: %+v", name, o)
			}
			time.Sleep(10 * time.Second)
			look := s.do(s.action(evacuate.StepTrace, aim))
			if !look.OK || look.Seen.Gone[id] != (name == "deleted in the meantime") {
				t.Fatalf("%s: %+v", name, look)
			}
			var status nova.MigrationStatus
			for _, m := range look.Seen.Moves {
				status = m.Status
			}
			if home := look.Seen.Moved[id].Host == "cmp1"; status != c.status || home != c.home {
				t.Errorf("%s: row %q, home %t", name, status, home)
			}
			if v := s.cloud.Violations(); len(v) > 0 {
				t.Error(v)
			}
		})
	}
}
