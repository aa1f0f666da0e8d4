// Package pdu makes one method of all the power feeds of a machine, each read and
// commanded by a method of its own. The machine is off only where every feed that
// it was declared to have reads off; one that reads on, or nothing, keeps it from
// that. It talks to nobody itself, and never decides that a machine is off.
package pdu

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/lifeboat-ha/lifeboat/fence"
)

// Options says which feeds a machine has.
type Options struct {
	// Name is the method's name in readings, proofs and metrics; "pdu" if empty.
	Name string
	// Declared is how many feeds the machine has: a feed that was forgotten would
	// keep it running.
	Declared int
	// Feeds are the ways to them, each with a name of its own.
	Feeds []fence.Method
	// Now is the clock that readings are stamped with.
	Now func() time.Time
}

// Validate joins everything that is wrong with o.
func (o Options) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf("pdu: "+format, args...)) }
	switch {
	case o.Declared < 1:
		fault("how many feeds the machine has is not declared")
	case o.Declared != len(o.Feeds):
		fault("%d feeds are declared, %d are given: all of them must be switched", o.Declared, len(o.Feeds))
	}
	names := map[string]bool{}
	for _, f := range o.Feeds {
		if names[f.Name()] {
			fault("two feeds are called %s: is one of them given twice?", f.Name())
		}
		names[f.Name()] = true
	}
	if o.Now == nil {
		fault("Now missing")
	}
	return errors.Join(faults...)
}

// Method is one machine's power by all of its feeds.
type Method struct{ opts Options }

var (
	_ fence.Method  = (*Method)(nil)
	_ fence.Grouped = (*Method)(nil)
)

// New makes a Method of valid options; it contacts nobody.
func New(o Options) (*Method, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Name == "" {
		o.Name = "pdu"
	}
	return &Method{o}, nil
}

// Name is the method's name in readings.
func (m *Method) Name() string { return m.opts.Name }

// Feeds is how many feeds must read off.
func (m *Method) Feeds() int { return m.opts.Declared }

// Power reads all feeds side by side: off if all are off, on if any is on, else
// unknown for the first reason given.
func (m *Method) Power(ctx context.Context) fence.Reading {
	r := fence.Reading{Method: m.opts.Name, Power: fence.Off, Began: m.opts.Now(), Parts: make([]fence.Reading, len(m.opts.Feeds))}
	each(m.opts.Feeds, func(i int, f fence.Method) { r.Parts[i] = f.Power(ctx) })
	r.Ended = m.opts.Now()
	said := make([]string, 0, len(r.Parts))
	for _, p := range r.Parts {
		text := fmt.Sprintf("%s %s", p.Method, p.Power)
		switch {
		case p.Power == fence.On:
			r.Power, r.Cause = fence.On, fence.CauseNone
		case p.Power != fence.Off:
			text += fmt.Sprintf(" (%s: %s)", p.Cause, p.Raw)
			if r.Power == fence.Off {
				r.Power, r.Cause = fence.Unknown, p.Cause
			}
		}
		said = append(said, text)
	}
	r.Raw = strings.Join(said, "; ")
	return r
}

// Off commands every feed off, whatever comes of the others.
func (m *Method) Off(ctx context.Context) error {
	return m.command(ctx, "power off", fence.Method.Off)
}

// On commands every feed on.
func (m *Method) On(ctx context.Context) error {
	return m.command(ctx, "power on", fence.Method.On)
}

func (m *Method) command(ctx context.Context, doing string, f func(fence.Method, context.Context) error) error {
	errs := make([]error, len(m.opts.Feeds))
	each(m.opts.Feeds, func(i int, feed fence.Method) { errs[i] = f(feed, ctx) })
	all := errors.Join(errs...)
	if all == nil {
		return nil
	}
	out := &fence.Error{Method: m.opts.Name, Doing: doing, Cause: fence.CauseProtocol, Err: all}
	for _, err := range errs {
		if e, ok := errors.AsType[*fence.Error](err); ok {
			out.Cause = e.Cause
			break
		}
	}
	return out
}

func each(feeds []fence.Method, f func(i int, feed fence.Method)) {
	var wg sync.WaitGroup
	for i, feed := range feeds {
		wg.Go(func() { f(i, feed) })
	}
	wg.Wait()
}
