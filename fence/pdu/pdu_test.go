package pdu_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/fence/fencetest"
	"github.com/lifeboat-ha/lifeboat/fence/pdu"
)

// feed is one outlet of a PDU: off may be obeyed, or not, or not be answered.
type feed struct {
	name   string
	power  fence.Power
	cause  fence.Cause
	ignore bool
	err    error
	offs   int
}

func (f *feed) Name() string { return f.name }

func (f *feed) Power(context.Context) fence.Reading {
	began := time.Now()
	time.Sleep(10 * time.Millisecond)
	return fence.Reading{Method: f.name, Power: f.power, Cause: f.cause, Began: began, Ended: time.Now(), Raw: "as it is"}
}

func (f *feed) Off(context.Context) error {
	f.offs++
	if f.err == nil && !f.ignore {
		f.power = fence.Off
	}
	return f.err
}

func (f *feed) On(context.Context) error {
	if f.err == nil {
		f.power = fence.On
	}
	return f.err
}

func machine(t *testing.T, feeds ...*feed) *pdu.Method {
	t.Helper()
	o := pdu.Options{Declared: len(feeds), Now: time.Now}
	for i, f := range feeds {
		f.name = fmt.Sprintf("feed-%d", i+1)
		if f.power == "" {
			f.power = fence.On
		}
		o.Feeds = append(o.Feeds, f)
	}
	m, err := pdu.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestProof: only all feeds together prove, whatever keeps one of them from it.
func TestProof(t *testing.T) {
	gone := &fence.Error{Method: "feed-2", Doing: "power off", Cause: fence.CauseUnreachable, Err: errors.New("no answer")}
	for name, tt := range map[string]struct {
		second feed
		cause  fence.Cause // "" where there is a proof
	}{
		"both obey":                     {feed{}, ""},
		"one is off already":            {feed{power: fence.Off}, ""},
		"one ignores":                   {feed{ignore: true}, fence.CauseNotHonoured},
		"one is not reached":            {feed{power: fence.Unknown, cause: fence.CauseUnreachable, err: gone}, fence.CauseUnreachable},
		"one reads nothing":             {feed{power: fence.Unknown, cause: fence.CauseProtocol, ignore: true}, fence.CauseProtocol},
		"one reads off and refuses off": {feed{power: fence.Off, err: gone}, fence.CauseUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				first, second := &feed{}, &tt.second
				m := machine(t, first, second)
				chain := fence.Chain{Clock: fencetest.Clock{}, Links: []fence.Link{{Method: m, Budget: 6 * time.Second}}}
				proof, attempts, err := chain.Off(t.Context(), "h", "b", func(context.Context) error { return nil })
				if first.offs == 0 || second.offs == 0 {
					t.Errorf("not every feed was commanded: %d, %d", first.offs, second.offs)
				}
				if tt.cause == "" {
					rec := proof.Record()
					if err != nil || rec.Feeds != 2 || len(rec.Readings) < fence.MinReadings || len(rec.Readings[0].Parts) != 2 {
						t.Fatalf("%v, %+v", err, rec)
					}
					return
				}
				if !errors.Is(err, fence.ErrNoProof) || attempts[0].Cause != tt.cause {
					t.Errorf("%v, %+v, want %s", err, attempts, tt.cause)
				}
			})
		})
	}
}

func TestPower(t *testing.T) {
	for name, tt := range map[string]struct {
		a, b  fence.Power
		power fence.Power
	}{
		"both on": {fence.On, fence.On, fence.On}, "one on": {fence.Off, fence.On, fence.On}, "on and unknown": {fence.Unknown, fence.On, fence.On},
		"off and unknown": {fence.Off, fence.Unknown, fence.Unknown}, "both off": {fence.Off, fence.Off, fence.Off},
	} {
		cause := map[fence.Power]fence.Cause{fence.Unknown: fence.CauseBusy}
		r := machine(t, &feed{power: tt.a, cause: cause[tt.a]}, &feed{power: tt.b, cause: cause[tt.b]}).Power(t.Context())
		if r.Power != tt.power || len(r.Parts) != 2 || (r.Power == fence.Unknown) != (r.Cause == fence.CauseBusy) || !strings.Contains(r.Raw, "feed-2 "+string(tt.b)) {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestOn(t *testing.T) {
	a, b := &feed{power: fence.Off}, &feed{power: fence.Off}
	if err := machine(t, a, b).On(t.Context()); err != nil || a.power != fence.On || b.power != fence.On {
		t.Error(err, a.power, b.power)
	}
}

func TestValidate(t *testing.T) {
	a, b := &feed{name: "a"}, &feed{name: "b"}
	for want, o := range map[string]pdu.Options{
		"not declared":                {Feeds: []fence.Method{a}, Now: time.Now},
		"2 feeds are declared, 1 are": {Declared: 2, Feeds: []fence.Method{a}, Now: time.Now},
		"1 feeds are declared, 2 are": {Declared: 1, Feeds: []fence.Method{a, b}, Now: time.Now},
		"given twice":                 {Declared: 2, Feeds: []fence.Method{a, a}, Now: time.Now},
		"Now missing":                 {Declared: 1, Feeds: []fence.Method{a}},
	} {
		if _, err := pdu.New(o); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("want one fault with %q, got %v", want, err)
		}
	}
}
