package runner_test

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/nova"
	"github.com/lifeboat-ha/lifeboat/nova/novatest"
)

func TestObserve(t *testing.T) {
	onStage(t, func(s *stage) {
		s.evacuable()
		s.do(s.action(evacuate.StepEvacuate, s.promised(0)))
		s.cloud.Delete(s.servers[2])
		look := func(source bool) *evacuate.Observation {
			t.Helper()
			o := s.do(s.action(evacuate.StepObserve, func(a *evacuate.Action) { a.Servers, a.Source = s.servers, source }))
			if !o.OK || o.Seen == nil {
				t.Fatalf("%+v", o)
			}
			return o.Seen
		}
		seen := look(true)
		if len(seen.Rows) != 1 || len(seen.Source) != 2 || len(seen.Moved) != 0 || !seen.Gone[s.servers[2]] {
			t.Errorf("under way: %+v", seen)
		}
		time.Sleep(20 * time.Second)
		seen = look(true)
		if m := seen.Moved[s.servers[0]]; len(seen.Source) != 1 || m.Host == "cmp1" || m.VMState != nova.VMActive {
			t.Errorf("moved: %+v", seen)
		}
		if seen = look(false); len(seen.Source) != 0 || len(seen.Moved) != 1 {
			t.Errorf("without the source's list: %+v", seen)
		}
		s.cloud.Inject(novatest.Fault{Match: "/servers/" + string(s.servers[0]), Status: 503})
		o := s.do(s.action(evacuate.StepObserve, func(a *evacuate.Action) { a.Servers = s.servers }))
		if o.OK || o.Seen != nil {
			t.Errorf("half a look was taken for a whole one: %+v", o.Seen)
		}
	})
}

// What ended together is read in one list, and one by one where Nova gives none or not all.
func TestObserveMany(t *testing.T) {
	for name, c := range map[string]struct {
		fault  novatest.Fault
		delete bool
		alone  int
	}{
		"one list":       {alone: 0},
		"no list":        {fault: novatest.Fault{Match: "changes-since", Status: 500}, alone: 3},
		"one is deleted": {delete: true, alone: 1},
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, func(s *stage) {
				s.evacuable()
				for i := range 3 {
					s.do(s.action(evacuate.StepEvacuate, s.promised(i)))
				}
				time.Sleep(20 * time.Second)
				if c.delete {
					s.cloud.Delete(s.servers[2])
				}
				if c.fault.Match != "" {
					s.cloud.Inject(c.fault)
				}
				one := &oneByOne{port: port{s, s.client}}
				s.runner.Servers = one
				seen := s.do(s.action(evacuate.StepObserve, func(a *evacuate.Action) { a.Servers = s.servers })).Seen
				if seen == nil || len(seen.Moved)+len(seen.Gone) != 3 || seen.Gone[s.servers[2]] != c.delete || one.asked != c.alone {
					t.Errorf("%d read alone, want %d: %+v", one.asked, c.alone, seen)
				}
			})
		})
	}
}

type oneByOne struct {
	port
	mu    sync.Mutex
	asked int
}

func (o *oneByOne) Server(ctx context.Context, id nova.ServerID) (nova.Server, error) {
	o.mu.Lock()
	o.asked++
	o.mu.Unlock()
	return o.port.Server(ctx, id)
}

// A look at a host that comes back reads Placement too; that it does not tell loses
// nothing of what Nova says.
func TestObserveClaims(t *testing.T) {
	onStage(t, func(s *stage) {
		s.evacuable()
		for i := range s.servers {
			s.do(s.action(evacuate.StepEvacuate, s.promised(i)))
		}
		time.Sleep(time.Minute)
		look := s.action(evacuate.StepObserve, func(a *evacuate.Action) { a.Claims = true })
		if o := s.do(look); !o.OK || len(o.Seen.Claims) != 3 || !o.Seen.Claims[s.servers[0]] {
			t.Errorf("before it cleaned up: %+v", o.Seen)
		}
		s.cloud.Inject(novatest.Fault{Match: "/placement/", Status: http.StatusServiceUnavailable})
		if o := s.do(look); !o.OK || o.Seen.Claims != nil || o.Seen.ClaimsErr == "" || len(o.Seen.Rows) != 3 {
			t.Errorf("without Placement: %+v", o.Seen)
		}
		s.cloud.Heal()
		s.cloud.PowerOn("cmp1")
		s.cloud.RestartCompute("cmp1")
		if o := s.do(look); !o.OK || o.Seen.Claims == nil || len(o.Seen.Claims) != 0 {
			t.Errorf("after it cleaned up: %+v", o.Seen)
		}
	})
}
