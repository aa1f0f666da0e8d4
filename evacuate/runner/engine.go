package runner

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// Executor carries out one action; Runner is one.
type Executor interface {
	Do(ctx context.Context, a evacuate.Action) evacuate.Outcome
}

// Mind is what the engine thinks with: the replicated state, held still while
// f runs, and the world of this instant.
type Mind interface {
	Locked(f func(*evacuate.State))
	World() evacuate.World
}

// Engine drives the core: ticks and outcomes in, entries and actions out, in
// the order that Ready's contract demands.
type Engine struct {
	Core     *evacuate.Core
	Ledger   Ledger
	Mind     Mind
	Executor Executor
	// Every is the tick; 250 ms if zero.
	Every time.Duration
	// Leads, if set, says whether this controller may decide anything. Where it may
	// not, the engine thinks at every idleTicks-th tick only.
	Leads func() bool
	// Crash, if set, is called around every commit and action, for tests that
	// end the process at a named point.
	Crash func(point string)
	Log   *slog.Logger

	mu        sync.Mutex
	decisions map[nova.HostName]evacuate.Decision
	gates     map[nova.HostName]string
	notes     map[string]bool
}

// applyTimeout bounds one entry's commit.
const applyTimeout = 5 * time.Second

// idleTicks: a follower decides nothing, and its page may be a second old.
const idleTicks = 4

// Run drives the core until ctx ends, and waits for its actions.
func (e *Engine) Run(ctx context.Context) {
	every := e.Every
	if every <= 0 {
		every = 250 * time.Millisecond
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	outcomes := make(chan evacuate.Outcome)
	var wg sync.WaitGroup
	defer wg.Wait()
	for ticks := 0; ; {
		var o *evacuate.Outcome
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if ticks++; ticks%idleTicks != 0 && e.Leads != nil && !e.Leads() {
				continue
			}
		case out := <-outcomes:
			o = &out
		}
		// One step's end is the next one's beginning: think again at once after
		// an outcome, and while there is something to record.
		for range chain {
			outcome := o != nil
			ready, entries := e.think(o)
			o = nil
			if !e.commit(ctx, ready, entries) {
				break
			}
			for _, a := range ready.Actions {
				e.crash("intent:" + string(a.Step))
				wg.Go(func() {
					out := e.Executor.Do(ctx, a)
					e.crash("call:" + string(a.Step))
					select {
					case outcomes <- out:
					case <-ctx.Done():
					}
				})
			}
			if len(entries) == 0 && !outcome {
				break
			}
		}
	}
}

// chain bounds how often one tick may think.
const chain = 8

// think runs the core on a state that stands still; the entries are encoded
// before it moves on, for they may point into it.
func (e *Engine) think(o *evacuate.Outcome) (ready evacuate.Ready, encoded []evacuate.Entry) {
	w := e.Mind.World()
	e.Mind.Locked(func(s *evacuate.State) {
		if o != nil {
			ready = e.Core.Done(s, w, *o)
		} else {
			ready = e.Core.Tick(s, w)
		}
		for _, entry := range ready.Commit {
			encoded = append(encoded, entry.Clone())
		}
		e.publish()
	})
	e.tell(ready.Notes)
	return ready, encoded
}

// publish copies the decisions for explain and metrics.
func (e *Engine) publish() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.decisions = map[nova.HostName]evacuate.Decision{}
	for h, d := range e.Core.Decisions() {
		e.decisions[h] = d
	}
	e.gates = e.Core.Gates()
}

// Gate gives what Nova has against the start gate of a host that returns, "" if nothing;
// where that is not known, it says so.
func (e *Engine) Gate(host nova.HostName) (why string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	why, known := e.gates[host]
	if !known {
		why = evacuate.Untold
	}
	return why
}

// Decisions are the last decisions by host.
func (e *Engine) Decisions() map[nova.HostName]evacuate.Decision {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.decisions
}

// tell logs each note once until it is gone for a tick.
func (e *Engine) tell(notes []string) {
	now := map[string]bool{}
	for _, n := range notes {
		now[n] = true
		if !e.notes[n] {
			e.Log.Info("waiting", "reason", n)
		}
	}
	e.notes = now
}

// commit writes the entries in order; if one fails, the actions are dropped
// and the core looks again.
func (e *Engine) commit(ctx context.Context, ready evacuate.Ready, entries []evacuate.Entry) bool {
	for _, entry := range entries {
		actx, cancel := context.WithTimeout(ctx, applyTimeout)
		err := e.Ledger.Apply(actx, entry)
		cancel()
		if err != nil {
			e.Log.Warn("entry not committed", "recovery", entry.Recovery, "host", entry.Host, "kind", entry.Kind, "step", entry.Step, "reason", err)
			e.Core.Drop(ready.Actions)
			return false
		}
		e.Log.Info("committed", "recovery", entry.Recovery, "host", entry.Host, "kind", entry.Kind, "step", entry.Step, "text", entry.Text)
		if entry.Record != nil && entry.Record.Phase == evacuate.PhaseDone {
			e.crash("done:" + string(entry.Step))
		}
		if entry.Kind == evacuate.KindOpen {
			e.crash("done:" + string(evacuate.StepOpen))
		}
	}
	return true
}

func (e *Engine) crash(point string) {
	if e.Crash != nil {
		e.Crash(point)
	}
}
