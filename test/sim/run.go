package sim

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// Result is what came of a scenario.
type Result struct {
	Scenario  *Scenario
	Events    []Event
	Decisions string   // the golden log
	Broken    []string // invariants
	Lack      []string // expectations that were not met
	Err       error    // the cloud did not come up
	Offs      int
}

// OK says that everything is as it must be, but for the golden log.
func (r *Result) OK() bool { return r.Err == nil && len(r.Broken) == 0 && len(r.Lack) == 0 }

// Options of a run.
type Options struct {
	Seed uint64
	Dir  string // what is written; the caller removes it
	Logs slog.Handler
}

// Play runs a scenario, in a bubble of testing/synctest.
func (s *Scenario) Play(ctx context.Context, o Options) *Result {
	if o.Logs == nil {
		o.Logs = slog.DiscardHandler
	}
	r := &Result{Scenario: s}
	c, err := Open(ctx, s.Cloud, s.Policy, o.Seed, o.Dir, o.Logs)
	if err != nil {
		r.Err = err
		if c != nil {
			r.Events = c.Events()
			c.Close()
		}
		return r
	}
	defer c.Close()
	j := &judge{s: s, c: c}
	todo := j.checks()
	for i, f := range s.Faults {
		if f.When != "" {
			c.arm(f.When, s.orders[i])
			continue
		}
		todo = append(todo, check{f.At, func() { c.perform(s.orders[i]) }})
	}
	slices.SortStableFunc(todo, func(a, b check) int { return cmp.Compare(a.at, b.at) })
	for _, t := range todo {
		time.Sleep(t.at - c.now())
		t.look()
	}
	time.Sleep(s.Run - c.now())
	if s.Expect.OnlyInvariants {
		j.settled()
	} else {
		j.end()
		for _, p := range c.waiting() {
			j.miss("nobody came to the point %s", p)
		}
	}
	c.watch.look()
	r.Decisions = c.decisions()
	r.Events, r.Broken, r.Lack, r.Offs = c.Events(), c.watch.broke(), j.lack, len(c.watch.offs)
	return r
}

// Timeline prints what happened.
func (r *Result) Timeline() string {
	var b strings.Builder
	for _, e := range r.Events {
		if e.At < 0 {
			continue
		}
		fmt.Fprintf(&b, "%9s  %-8s  %s\n", fmt.Sprintf("%.2fs", e.At.Seconds()), e.Kind, e.Text)
	}
	return b.String()
}

// Faults prints what is wrong, one a line.
func (r *Result) Faults() string {
	var lines []string
	if r.Err != nil {
		lines = append(lines, r.Err.Error())
	}
	for _, t := range r.Broken {
		lines = append(lines, "INVARIANT BROKEN "+t)
	}
	lines = append(lines, r.Lack...)
	return strings.Join(lines, "\n")
}
