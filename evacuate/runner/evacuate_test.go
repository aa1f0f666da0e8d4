package runner_test

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/nova"
	"github.com/lifeboat-ha/lifeboat/nova/novatest"
)

func faultOn(match string, after bool, times int) novatest.Fault {
	return novatest.Fault{Match: match, After: after, Times: times, Reset: true}
}

const post = `{"evacuate":{}}`

// Where the core names a destination, Nova is asked for that one, by force if it says
// so, and the row bears it; one that Nova does not know is a definite no.
func TestEvacuateTo(t *testing.T) {
	for to, want := range map[nova.Target]struct {
		ok   bool
		dest nova.HostName
	}{
		{Host: "cmp3"}: {true, "cmp3"}, {Host: "cmp2", Force: true}: {true, "cmp2"}, {Host: "cmp9"}: {false, ""},
	} {
		onStage(t, func(s *stage) {
			s.evacuable()
			o := s.do(s.action(evacuate.StepEvacuate, s.promised(0), func(a *evacuate.Action) { a.To = to }))
			rows, err := s.client.Evacuations(s.Context(), "cmp1")
			switch {
			case err != nil:
				t.Fatal(err)
			case o.OK != want.ok || !o.OK && (!o.Definite || o.Cause != string(nova.FaultNotFound)):
				t.Errorf("to %+v: %+v", to, o)
			case want.ok && (len(rows) != 1 || rows[0].Dest != want.dest || rows[0].Claimed() != ""):
				t.Errorf("to %+v: rows %+v", to, rows)
			}
			time.Sleep(10 * time.Second)
			if server, err := s.client.Server(s.Context(), s.servers[0]); err != nil || want.ok && server.Host != want.dest {
				t.Errorf("to %+v: it is on %s, %v", to, server.Host, err)
			}
		})
	}
}

// What each answer to a reset tells the ledger: Nova has written it by the time it
// answers, and nothing is repeated here.
func TestResetAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		fault               *novatest.Fault
		gone                bool
		ok, definite, reset bool
	}{
		"done":                    {ok: true, reset: true},
		"deleted meanwhile":       {gone: true, definite: true},
		"refused":                 {fault: &novatest.Fault{Status: http.StatusForbidden}, definite: true},
		"lost":                    {fault: &novatest.Fault{Reset: true}},
		"its answer was lost":     {fault: &novatest.Fault{Reset: true, After: true}, reset: true},
		"no answer, but it is so": {fault: &novatest.Fault{Hang: true, After: true}, reset: true},
	} {
		onStage(t, func(s *stage) {
			s.cloud.SetState(s.servers[0], nova.VMPaused)
			s.evacuable()
			if c.fault != nil {
				c.fault.Match = "os-resetState"
				s.cloud.Inject(*c.fault)
			}
			if c.gone {
				s.cloud.Delete(s.servers[0])
			}
			r := s.state.Recoveries["r1"]
			r.Evacuations = append(r.Evacuations, &evacuate.Evacuation{Server: s.servers[0], State: evacuate.EvacReset, Resets: 1})
			o := s.do(s.action(evacuate.StepReset, s.proven, func(a *evacuate.Action) { a.Server = s.servers[0] }))
			if o.OK != c.ok || o.Definite != c.definite {
				t.Errorf("%s: %+v", name, o)
			}
			if server, err := s.client.Server(s.Context(), s.servers[0]); !c.gone && (err != nil || (server.VMState == nova.VMError) != c.reset) {
				t.Errorf("%s: it is %s, %v", name, server.VMState, err)
			}
			if sent := len(s.writes()); sent > 1 {
				t.Errorf("%s: %d writes", name, sent)
			}
		})
	}
}

// What each answer to the one POST tells the ledger.
func TestEvacuateAnswers(t *testing.T) {
	type want struct {
		ok, definite bool
		cause        nova.Fault
		accepted     bool // by Nova, whoever knows it
		requestID    bool
	}
	for _, c := range []struct {
		name  string
		fault *novatest.Fault
		set   func(*stage, *evacuate.Action)
		want  want
	}{
		{"accepted", nil, nil, want{ok: true, accepted: true, requestID: true}},
		{"deleted meanwhile", nil, func(s *stage, a *evacuate.Action) { s.cloud.Delete(a.Server) }, want{definite: true, cause: nova.FaultNotFound, requestID: true}},
		{"the host is up", nil, func(s *stage, _ *evacuate.Action) {
			s.set("cmp1", nova.ServiceUpdate{ForcedDown: no()})
			s.cloud.PowerOn("cmp1")
			time.Sleep(20 * time.Second)
		}, want{definite: true, cause: nova.FaultRefused, requestID: true}},
		{"forbidden", nil, func(s *stage, _ *evacuate.Action) { s.cloud.SetPolicy(novatest.Policy{Forbid: true}) }, want{definite: true, cause: nova.FaultRefused, requestID: true}},
		{"conflict", &novatest.Fault{Status: http.StatusConflict}, nil, want{definite: true, cause: nova.FaultConflict}},
		{"503 of a proxy", &novatest.Fault{Status: http.StatusServiceUnavailable}, nil, want{cause: nova.FaultUnknown}},
		{"504 of a proxy, Nova took it", &novatest.Fault{Status: http.StatusGatewayTimeout, After: true}, nil, want{cause: nova.FaultUnknown, accepted: true}},
		{"500", &novatest.Fault{Status: http.StatusInternalServerError}, nil, want{cause: nova.FaultUnknown}},
		{"reset before", &novatest.Fault{Reset: true}, nil, want{cause: nova.FaultUnknown}},
		{"reset after Nova took it", &novatest.Fault{Reset: true, After: true}, nil, want{cause: nova.FaultUnknown, accepted: true}},
		{"no answer", &novatest.Fault{Hang: true}, nil, want{cause: nova.FaultTimeout}},
		{"no answer after Nova took it", &novatest.Fault{Hang: true, After: true}, nil, want{cause: nova.FaultTimeout, accepted: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			onStage(t, func(s *stage) {
				s.evacuable()
				a := s.action(evacuate.StepEvacuate, s.promised(0))
				if c.set != nil {
					c.set(s, &a)
				}
				if c.fault != nil {
					c.fault.Match = post
					s.cloud.Inject(*c.fault)
				}
				began := time.Now()
				o := s.do(a)
				got := want{o.OK, o.Definite, nova.Fault(o.Cause), len(s.cloud.Migrations(a.Server)) > 0, o.RequestID != ""}
				if got != c.want {
					t.Errorf("got %+v, want %+v: %s", got, c.want, o.Detail)
				}
				if n := s.cloud.EvacuatePosts(a.Server); n > 1 {
					t.Errorf("%d POSTs", n)
				}
				if took := time.Since(began); took > a.Deadline {
					t.Errorf("took %s of a step of %s", took, a.Deadline)
				}
			})
		})
	}
}

// The call is cut to what is left of the step when it is sent, not begun.
func TestEvacuateIsCutToTheStep(t *testing.T) {
	onStage(t, func(s *stage) {
		s.evacuable()
		s.cloud.Inject(novatest.Fault{Match: post, Hang: true})
		s.quorum.during = func(context.Context) error { time.Sleep(1500 * time.Millisecond); return nil }
		began := time.Now()
		o := s.do(s.action(evacuate.StepEvacuate, s.promised(0), func(a *evacuate.Action) { a.Deadline = 4 * time.Second }))
		if took := time.Since(began); took > 4*time.Second || o.Definite {
			t.Errorf("took %s, definite %t", took, o.Definite)
		}
	})
}

// Lanes bound the POSTs on the wire; who waits for one is asked by the guard
// afterwards, and gives up with the process.
func TestLanes(t *testing.T) {
	onStage(t, func(s *stage) {
		s.evacuable()
		s.runner.Lanes = make(chan struct{}, 1)
		s.cloud.Inject(novatest.Fault{Match: post, Delay: 5 * time.Second})
		ctx, cancel := context.WithCancel(s.Context())
		out := make(chan evacuate.Outcome, 3)
		var wg sync.WaitGroup
		var actions []evacuate.Action
		for i := range 3 {
			actions = append(actions, s.action(evacuate.StepEvacuate, s.promised(i), func(a *evacuate.Action) { a.Deadline = 8 * time.Second }))
		}
		for _, a := range actions {
			wg.Go(func() { out <- s.runner.Do(ctx, a) })
		}
		time.Sleep(7 * time.Second) // one has its answer, one is on the wire, one waits
		synctest.Wait()
		if n := len(out); n != 1 || s.posts() != 2 {
			t.Errorf("%d answers, %d POSTs", n, s.posts())
		}
		cancel()
		wg.Wait()
		close(out)
		definite := 0
		for o := range out {
			if o.Definite {
				definite++
			}
		}
		if definite != 1 || s.posts() != 2 {
			t.Errorf("%d definite, %d POSTs", definite, s.posts())
		}
	})
	onStage(t, func(s *stage) { // the lane is taken for longer than the step lasts
		s.evacuable()
		s.runner.Lanes = make(chan struct{}, 1)
		s.runner.Lanes <- struct{}{}
		began := time.Now()
		o := s.do(s.action(evacuate.StepEvacuate, s.promised(0), func(a *evacuate.Action) { a.Deadline = 3 * time.Second }))
		if took := time.Since(began); !o.Definite || s.posts() != 0 || took > 3*time.Second {
			t.Errorf("definite %t, %d POSTs after %s", o.Definite, s.posts(), took)
		}
	})
}

func (s *stage) posts() (n int) {
	for _, id := range s.servers {
		n += s.cloud.EvacuatePosts(id)
	}
	return n
}

// flicker drops servers from the first lists, as a cell that drops out does.
type flicker struct {
	port
	mu    sync.Mutex
	lists [][]nova.Server // then the true one
	asked int
}

func (f *flicker) Servers(ctx context.Context, host nova.HostName) ([]nova.Server, error) {
	all, err := f.port.Servers(ctx, host)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	if f.asked <= len(f.lists) {
		return f.lists[f.asked-1], err
	}
	return all, err
}

func TestListAgrees(t *testing.T) {
	for _, c := range []struct {
		name   string
		before int   // how many were listed while it lived
		cut    []int // how many servers the first lists show
		asked  int
		ok     bool
		found  int
	}{
		{"at once", 0, nil, 2, true, 3},
		{"one list is short", 0, []int{2}, 3, true, 3},
		{"every list differs from the last", 0, []int{2, 1, 0, 2, 1, 0}, 6, false, 0},
		{"empty and then whole", 0, []int{0}, 3, true, 3},
		{"as it was before", 3, nil, 1, true, 3},
		{"shorter than before", 3, []int{2}, 3, true, 3},
		{"more than before", 2, nil, 2, true, 3},
		{"empty, and before unknown", 0, []int{0, 0}, 2, true, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			onStage(t, func(s *stage) {
				s.evacuable()
				f := &flicker{port: port{s, s.client}}
				all, err := s.client.Servers(s.Context(), "cmp1")
				if err != nil {
					t.Fatal(err)
				}
				for _, n := range c.cut {
					f.lists = append(f.lists, all[:n])
				}
				s.runner.Servers = f
				a := s.action(evacuate.StepList, s.proven)
				a.Servers = s.servers[:c.before]
				o := s.do(a)
				if o.OK != c.ok || len(o.Servers) != c.found || f.asked != c.asked {
					t.Errorf("ok %t, %d servers in %d lists: %s", o.OK, len(o.Servers), f.asked, o.Detail)
				}
			})
		})
	}
	onStage(t, func(s *stage) { // it came on again by a button
		s.evacuable()
		a := s.action(evacuate.StepList, s.proven)
		s.bmc.machine.Power(true)
		if o := s.do(a); o.OK || !strings.Contains(o.Detail, "reads on again") {
			t.Errorf("%t %s", o.OK, o.Detail)
		}
	})
	for _, c := range []struct {
		name   string
		after  time.Duration
		again  bool
		silent bool
		ok     bool
	}{
		{"a BMC that is silent by now does not undo the proof", time.Minute, true, true, true},
		{"nor of one of long ago while its recovery is open", 16 * time.Minute, false, true, true},
		{"but where its recovery was over", 16 * time.Minute, true, true, false},
		{"unless it reads off still", 16 * time.Minute, true, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			onStage(t, func(s *stage) {
				s.evacuable()
				a, look := s.action(evacuate.StepList, s.proven), s.action(evacuate.StepObserve, s.proven)
				time.Sleep(c.after)
				a.Again, look.Again = c.again, c.again
				s.bmc.silent = c.silent
				if o := s.do(a); o.OK != c.ok {
					t.Errorf("list: %t %s", o.OK, o.Detail)
				}
				if o := s.do(look); !o.OK || (o.Seen.Power == "") != c.ok {
					t.Errorf("look: %+v", o)
				}
			})
		})
	}
}

// The two quiet reads of rule 3 see rows, tasks and the action log.
func TestResolve(t *testing.T) {
	resolve := func(s *stage, since time.Time) evacuate.Outcome {
		return s.do(s.action(evacuate.StepResolve, func(a *evacuate.Action) { a.Server, a.Since = s.servers[0], since }))
	}
	onStage(t, func(s *stage) {
		s.evacuable()
		o := resolve(s, time.Now())
		if !o.OK || o.Actions != 0 || len(o.Seen.Rows) != 0 || len(o.Servers) != 1 {
			t.Errorf("nothing was sent: %+v", o)
		}
		intent := time.Now()
		s.do(s.action(evacuate.StepEvacuate, s.promised(0)))
		if o = resolve(s, intent); !o.OK || o.Actions != 1 || len(o.Seen.Rows) != 1 {
			t.Errorf("sent: %d actions, %d rows", o.Actions, len(o.Seen.Rows))
		}
		if o = resolve(s, time.Now().Add(10*time.Second)); o.Actions != 0 {
			t.Errorf("an action of a former attempt is counted: %d", o.Actions)
		}
	})
	onStage(t, func(s *stage) {
		s.evacuable()
		s.cloud.SetTask(s.servers[0], "powering-off")
		if o := resolve(s, time.Now()); len(o.Servers) != 1 || o.Servers[0].TaskState != "powering-off" {
			t.Errorf("its task is not told: %+v", o.Servers)
		}
		s.cloud.Inject(novatest.Fault{Match: "os-instance-actions", Status: 503})
		if o := resolve(s, time.Now()); o.OK {
			t.Error("a look without the action log is no look")
		}
	})
}

func TestVerifyStep(t *testing.T) {
	moved := func(s *stage) {
		s.evacuable()
		for i := range s.servers {
			s.do(s.action(evacuate.StepEvacuate, s.promised(i)))
		}
		time.Sleep(30 * time.Second)
		s.before = len(s.writes()) + s.before
	}
	verify := func(s *stage) evacuate.Outcome {
		return s.do(s.action(evacuate.StepVerify, func(a *evacuate.Action) { a.Servers = s.servers }))
	}
	onStage(t, func(s *stage) {
		moved(s)
		o := verify(s)
		if !o.OK || len(o.Reads) != 3 || len(s.writes()) != 0 {
			t.Errorf("%t %s %q", o.OK, o.Detail, s.writes())
		}
		for id, in := range o.Reads {
			if in.Server.ID != id || len(in.Ports) != 1 || in.Ports[0].State != nova.PortActive || in.PortsErr+in.VolumesErr != "" {
				t.Errorf("%s: %+v", id, in)
			}
		}
	})
	onStage(t, func(s *stage) { // what can't be read is said to be so, and is no failure
		moved(s)
		s.cloud.NeutronDown(true)
		if o := verify(s); !o.OK || o.Reads[s.servers[0]].PortsErr == "" || o.Reads[s.servers[0]].Ports != nil {
			t.Errorf("%t %+v", o.OK, o.Reads)
		}
		s.cloud.NeutronDown(false)
		s.cloud.Inject(novatest.Fault{Match: "os-interface", Hang: true})
		began := time.Now()
		if o := verify(s); !o.OK || o.Reads[s.servers[0]].PortsErr == "" || time.Since(began) > 45*time.Second {
			t.Errorf("%t after %s: %+v", o.OK, time.Since(began), o.Reads)
		}
	})
	onStage(t, func(s *stage) { // never moved
		if o := verify(s); o.OK || !strings.Contains(o.Detail, "is on cmp1 again") {
			t.Errorf("%t %s", o.OK, o.Detail)
		}
	})
}

// A process that ends says what is known, and nothing is written any more.
func TestDoAfterCancel(t *testing.T) {
	for _, step := range irreversible {
		t.Run(step.name, func(t *testing.T) {
			onStage(t, func(s *stage) {
				a := step.begin(s)
				ctx, cancel := context.WithCancel(s.Context())
				s.quorum.during = func(ctx context.Context) error { cancel(); return ctx.Err() }
				if o := s.runner.Do(ctx, a); o.OK || len(s.writes()) != 0 {
					t.Errorf("ok %t, written %q", o.OK, s.writes())
				}
			})
		})
	}
	onStage(t, func(s *stage) {
		if o := s.do(s.action("teleport")); o.OK || !strings.Contains(o.Detail, "no such step") {
			t.Errorf("%+v", o)
		}
	})
}

// A port is asked at the addresses that Nova has of the instance, the floating one first.
func TestProbe(t *testing.T) {
	onStage(t, func(s *stage) {
		id := s.cloud.Boot("cmp2", 1, novatest.BootOptions{Floating: "203.0.113.5"})[0]
		asked := &connected{}
		s.runner.Ports = asked
		probe := func(id nova.ServerID) evacuate.Outcome {
			return s.do(s.action(evacuate.StepProbe, func(a *evacuate.Action) { a.Server, a.Port = id, 5432 }))
		}
		if o := probe(id); !o.OK || len(asked.at) != 2 || asked.at[0].String() != "203.0.113.5" || asked.port != 5432 {
			t.Errorf("%+v, asked %v", o, asked)
		}
		asked.err = errors.New("refused")
		if o := probe(id); o.OK {
			t.Errorf("%+v", o)
		}
		if o := probe("gone"); o.OK {
			t.Errorf("%+v", o)
		}
	})
}

type connected struct {
	at   []netip.Addr
	port int
	err  error
}

func (c *connected) Connect(_ context.Context, at []netip.Addr, port int) error {
	c.at, c.port = at, port
	return c.err
}
