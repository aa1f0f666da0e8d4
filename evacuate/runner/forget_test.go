package runner_test

import (
	"errors"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/evacuate/runner"
	"github.com/lifeboat-ha/lifeboat/nova"
	"github.com/lifeboat-ha/lifeboat/nova/novatest"
)

// Forgetting takes the host out of Placement and Nova; what fails on the way is done by
// asking again; nothing is written that the guard does not let through.
func TestForget(t *testing.T) {
	for name, c := range map[string]struct {
		fault   *novatest.Fault
		refused bool // by the ledger
		fails   bool // the first time
	}{
		"at once":                {},
		"the provider is stuck":  {fault: &novatest.Fault{Match: "DELETE /placement/resource_providers", Status: http.StatusServiceUnavailable, Times: 1}, fails: true},
		"an answer is lost":      {fault: &novatest.Fault{Match: "DELETE /compute/v2.1/os-services", After: true, Reset: true, Times: 1}, fails: true},
		"the ledger forbids it":  {refused: true, fails: true},
		"an allocation is stuck": {fault: &novatest.Fault{Match: "PUT /placement/allocations", Status: http.StatusForbidden, Times: 1}, fails: true},
	} {
		onStage(t, func(s *stage) {
			s.evacuable()
			for i := range s.servers {
				s.do(s.action(evacuate.StepEvacuate, s.promised(i)))
			}
			time.Sleep(time.Minute)
			s.before = len(s.writes()) + s.before
			found := evacuate.Forgetting{Host: "cmp1", Service: s.service("cmp1")}
			var err error
			if found.Providers, err = s.client.Providers(s.Context(), "cmp1"); err != nil || len(found.Providers) != 1 {
				t.Fatal(found.Providers, err)
			}
			for _, id := range s.servers {
				server, _ := s.client.Server(s.Context(), id)
				found.Elsewhere = append(found.Elsewhere, server)
			}
			forbid := c.refused
			f := &runner.Forget{Found: found, Term: term, Cleaner: s.client, Quorum: s.quorum, Clock: s.clock, Log: slog.New(slog.DiscardHandler), Permits: func() error {
				if forbid {
					return errors.New("no")
				}
				return nil
			}}
			if c.fault != nil {
				s.cloud.Inject(*c.fault)
			}
			if err := f.Do(s.Context()); (err != nil) != c.fails {
				t.Errorf("%s: %v", name, err)
			}
			if c.refused && len(s.writes()) > 0 {
				t.Errorf("%s: written all the same: %v", name, s.writes())
			}
			forbid = false
			if c.fails {
				if err := f.Do(s.Context()); err != nil {
					t.Errorf("%s: again: %v", name, err)
				}
			}
			_, err = s.client.Service(s.Context(), "cmp1")
			if claims, cerr := s.client.Claims(s.Context(), "cmp1"); nova.FaultOf(err) != nova.FaultNotFound || cerr != nil || len(claims) != 0 {
				t.Errorf("%s: service %v, allocations %v %v", name, err, claims, cerr)
			}
			for _, id := range s.servers {
				if server, err := s.client.Server(s.Context(), id); err != nil || server.Host == "cmp1" || server.VMState != nova.VMActive {
					t.Errorf("%s: %+v, %v", name, server, err)
				}
			}
		})
	}
}
