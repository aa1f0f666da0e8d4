package runner_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/evacuate/runner"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// engine is an Engine over a ledger in memory. Its core is the real one; two
// hosts are being asked back, so each of the first ticks commits and powers on.
type engine struct {
	*testing.T
	*runner.Engine

	mu     sync.Mutex
	log    []string
	looks  []time.Time // at the world
	state  *evacuate.State
	term   uint64
	index  uint64
	refuse func(e evacuate.Entry) error
	do     func(ctx context.Context, a evacuate.Action) evacuate.Outcome
	stop   context.CancelFunc
	ended  chan struct{}
}

func withEngine(t *testing.T, hosts int, f func(*engine)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		e := &engine{T: t, state: evacuate.NewState(), term: term, ended: make(chan struct{})}
		e.state.Mode = evacuate.ModeAuto
		for i := range hosts {
			id := evacuate.RecoveryID(fmt.Sprintf("r%d", i+1))
			e.state.Recoveries[id] = &evacuate.Recovery{ID: id, Host: nova.HostName(fmt.Sprintf("cmp%d", i+1)), Boot: boot, Status: evacuate.StatusReturning,
				Opened: time.Now().Add(time.Duration(i)), Steps: map[evacuate.Step]*evacuate.StepRecord{}, Return: &evacuate.Return{Asked: time.Now(), By: "ann"}}
		}
		e.Engine = &runner.Engine{Core: evacuate.NewCore(evacuate.DefaultPolicy()), Ledger: memory{e}, Mind: e, Executor: e, Log: slog.New(slog.DiscardHandler),
			Crash: func(point string) { e.note("at %s", point) }}
		e.do = func(_ context.Context, a evacuate.Action) evacuate.Outcome {
			return evacuate.Outcome{Action: a, OK: true}
		}
		for _, a := range e.Core.Tick(e.state, e.World()).Actions {
			e.Core.Done(e.state, e.World(), nobodyElse(a))
		}
		e.looks = nil
		f(e)
		e.stop()
		<-e.ended
	})
}

// nobodyElse is the look before a power-on: nobody evacuates from the host.
func nobodyElse(a evacuate.Action) evacuate.Outcome {
	return evacuate.Outcome{Action: a, OK: true, Seen: &evacuate.Observation{Listed: true}}
}

func (e *engine) run() {
	ctx, cancel := context.WithCancel(e.Context())
	e.stop = cancel
	go func() {
		e.Engine.Run(ctx)
		close(e.ended)
	}()
}

func (e *engine) note(format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.log = append(e.log, fmt.Sprintf(format, args...))
}

func (e *engine) notes() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.log)
}

func (e *engine) with(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f()
}

// powerOn is the record of a recovery's power-on.
func (e *engine) powerOn(id evacuate.RecoveryID) (rec evacuate.StepRecord) {
	e.with(func() {
		if r := e.state.Recoveries[id].Steps[evacuate.StepPowerOn]; r != nil {
			rec = *r
		}
	})
	return rec
}

// Locked and World are the engine's mind.
func (e *engine) Locked(f func(*evacuate.State)) { e.with(func() { f(e.state) }) }

func (e *engine) World() evacuate.World {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.looks = append(e.looks, time.Now())
	return evacuate.World{Now: time.Now(), Leader: evacuate.Leadership{ID: "ctl1", Is: true, Term: e.term, Since: time.Now().Add(-time.Hour), Writable: true}}
}

// Do is the executor.
func (e *engine) Do(ctx context.Context, a evacuate.Action) evacuate.Outcome {
	if a.Step == evacuate.StepObserve {
		time.Sleep(50 * time.Millisecond)
		return nobodyElse(a)
	}
	e.note("do %s %s", a.Recovery, a.Step)
	return e.do(ctx, a)
}

type memory struct{ *engine }

func (m memory) Verify(context.Context) error { return nil }
func (m memory) Term() uint64                 { return m.term }

func (m memory) Apply(_ context.Context, entry evacuate.Entry) error {
	what := fmt.Sprintf("%s %s", entry.Recovery, entry.Kind)
	if entry.Record != nil {
		what = fmt.Sprintf("%s %s %s", entry.Recovery, entry.Step, entry.Record.Phase)
	}
	m.mu.Lock()
	refuse := m.refuse
	m.mu.Unlock()
	if refuse != nil {
		if err := refuse(entry); err != nil {
			m.note("refused %s", what)
			return err
		}
	}
	m.note("commit %s", what)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.index++
	return m.state.Apply(m.index, m.term, entry)
}

func since(log []string, first string) []string {
	return log[max(slices.Index(log, first), 0):]
}

// All entries of one Ready are committed, in order, before the first of its
// actions starts.
func TestEntriesBeforeActions(t *testing.T) {
	withEngine(t, 3, func(e *engine) {
		e.run()
		time.Sleep(300 * time.Millisecond)
		synctest.Wait()
		log := e.notes()
		want := []string{"commit r1 power-on intent", "commit r2 power-on intent", "commit r3 power-on intent"}
		if len(log) < 4 || !slices.Equal(log[:3], want) || !strings.HasPrefix(log[3], "at intent:") {
			t.Errorf("log %q", log)
		}
	})
}

// If one entry is refused none of the actions starts, and each is begun anew,
// once, when the ledger takes entries again.
func TestRefusedEntryStartsNothing(t *testing.T) {
	withEngine(t, 2, func(e *engine) {
		e.refuse = func(entry evacuate.Entry) error {
			if entry.Recovery == "r2" {
				return errors.New("no quorum")
			}
			return nil
		}
		e.run()
		time.Sleep(600 * time.Millisecond)
		synctest.Wait()
		if log := e.notes(); slices.ContainsFunc(log, func(l string) bool { return strings.HasPrefix(l, "do ") }) || !slices.Contains(log, "refused r2 power-on intent") {
			t.Errorf("while r2's intent is refused: %q", log)
		}
		e.with(func() { e.refuse = nil })
		time.Sleep(300 * time.Millisecond)
		synctest.Wait()
		for _, id := range []string{"r1", "r2"} {
			n := 0
			for _, l := range e.notes() {
				if l == "do "+id+" power-on" {
					n++
				}
			}
			if n != 1 {
				t.Errorf("%s was powered on %d times: %q", id, n, e.notes())
			}
		}
		if n := e.powerOn("r1").Attempt; n < 2 {
			t.Errorf("r1's first intent is not counted: attempt %d", n)
		}
	})
}

// The outcome of an older term is dropped: a successor reads the world for
// itself.
func TestOldTermsOutcomeIsDropped(t *testing.T) {
	withEngine(t, 1, func(e *engine) {
		release := make(chan struct{})
		e.do = func(_ context.Context, a evacuate.Action) evacuate.Outcome {
			<-release
			return evacuate.Outcome{Action: a, OK: true}
		}
		e.run()
		time.Sleep(300 * time.Millisecond)
		e.with(func() { e.term++ })
		time.Sleep(300 * time.Millisecond)
		release <- struct{}{}
		time.Sleep(300 * time.Millisecond)
		synctest.Wait()
		if rec := e.powerOn("r1"); rec.Phase != evacuate.PhaseIntent || rec.Term != term {
			t.Errorf("recorded by an outcome of an old term: %+v", rec)
		}
		// The new term waits the old deadline out, and then does it itself.
		time.Sleep(61 * time.Second)
		close(release)
		time.Sleep(300 * time.Millisecond)
		synctest.Wait()
		if rec := e.powerOn("r1"); rec.Phase != evacuate.PhaseDone || rec.Term != term+1 || rec.Attempt != 2 {
			t.Errorf("not resumed: %+v: %q", rec, e.notes())
		}
	})
}

// What a look has found is acted on when it arrives, not at the next tick: an
// outcome that leaves nothing to record is thought about too.
func TestOutcomeIsThoughtAboutAtOnce(t *testing.T) {
	withEngine(t, 1, func(e *engine) {
		var answered time.Time
		e.do = func(_ context.Context, a evacuate.Action) evacuate.Outcome {
			time.Sleep(110 * time.Millisecond) // between two ticks
			e.with(func() { answered, e.term = time.Now(), e.term+1 })
			return evacuate.Outcome{Action: a, OK: true} // of an old term: nothing is recorded
		}
		e.run()
		time.Sleep(time.Second)
		synctest.Wait()
		n := 0
		e.with(func() {
			for _, at := range e.looks {
				if at.Equal(answered) {
					n++
				}
			}
		})
		if answered.IsZero() || n != 2 {
			t.Errorf("at the answer the world was looked at %d times, want 2: for the outcome, and for what comes next: %q", n, e.notes())
		}
	})
}

// Where a test may end the process: after the intents, after the call, after the
// step's end is committed.
func TestCrashPoints(t *testing.T) {
	withEngine(t, 1, func(e *engine) {
		e.run()
		time.Sleep(400 * time.Millisecond)
		synctest.Wait()
		want := []string{"commit r1 power-on intent", "at intent:power-on", "do r1 power-on", "at call:power-on", "commit r1 power-on done", "at done:power-on"}
		if log := e.notes(); len(log) < len(want) || !slices.Equal(log[:len(want)], want) {
			t.Errorf("log %q, want %q", log, want)
		}
	})
	withEngine(t, 1, func(e *engine) { // a failed step is not done
		e.do = func(_ context.Context, a evacuate.Action) evacuate.Outcome {
			return evacuate.Outcome{Action: a, Detail: "no answer"}
		}
		e.run()
		time.Sleep(400 * time.Millisecond)
		synctest.Wait()
		log := since(e.notes(), "at call:power-on")
		if len(log) < 2 || log[1] != "commit r1 power-on failed" || slices.Contains(log, "at done:power-on") {
			t.Errorf("log %q", log)
		}
	})
}

// Run ends when the last of its actions has, and leaves nobody behind: the
// bubble would not end.
func TestStopWaitsForActions(t *testing.T) {
	withEngine(t, 2, func(e *engine) {
		const slow = 7 * time.Second
		e.do = func(ctx context.Context, a evacuate.Action) evacuate.Outcome {
			<-ctx.Done() // as every call does
			time.Sleep(slow)
			e.note("ended %s", a.Recovery)
			return evacuate.Outcome{Action: a, Detail: "cut short"}
		}
		e.run()
		time.Sleep(300 * time.Millisecond)
		began := time.Now()
		e.stop()
		<-e.ended
		log := e.notes()
		if took := time.Since(began); took < slow || !slices.Contains(log, "ended r1") || !slices.Contains(log, "ended r2") {
			t.Errorf("ended after %s: %q", took, log)
		}
		if slices.ContainsFunc(log, func(l string) bool { return strings.Contains(l, "power-on failed") }) {
			t.Errorf("an engine that is stopping still records: %q", log)
		}
	})
}

// A ledger that is slow to answer holds up the actions, and costs no outcome.
func TestOutcomeWaitsForTheLedger(t *testing.T) {
	withEngine(t, 1, func(e *engine) {
		e.refuse = func(evacuate.Entry) error { time.Sleep(3 * time.Second); return nil }
		e.run()
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if rec := e.powerOn("r1"); rec.Phase != evacuate.PhaseDone || rec.Attempt != 1 {
			t.Errorf("%+v: %q", rec, e.notes())
		}
	})
}

// What the core decided is there for explain while it thinks on.
func TestDecisions(t *testing.T) {
	withEngine(t, 0, func(e *engine) {
		e.state.Hosts["cmp9"] = &evacuate.Host{Name: "cmp9"}
		if len(e.Decisions()) != 0 {
			t.Error("decided before the first tick")
		}
		e.run()
		time.Sleep(300 * time.Millisecond)
		if d, ok := e.Decisions()["cmp9"]; !ok || len(d.Answers) == 0 || d.Point != evacuate.AtDecide {
			t.Errorf("decision %+v", d)
		}
	})
}
