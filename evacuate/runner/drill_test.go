package runner_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/evacuate/runner"
	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/fence/fencetest"
	"github.com/lifeboat-ha/lifeboat/fence/redfish"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// rangeOf is a host with its agent and an emulated BMC, for one drill.
type rangeOf struct {
	machine *fencetest.Machine
	bmc     *fencetest.Redfish
	method  fence.Method
	off, on time.Time // when power went and came
	boots   time.Duration
	stays   bool // its agent does not notice that power went
	same    bool // it comes back with the boot of before
	few     bool
	term    uint64
	entries []evacuate.Entry
	permits error
}

func (r *rangeOf) Read(ctx context.Context) fence.Reading { return r.method.Power(ctx) }

// chain has no budget that ends in the instant of a command: which came first would be
// chance.
func (r *rangeOf) chain() fence.Chain {
	return fence.Chain{Clock: fencetest.Clock{}, Links: []fence.Link{{Method: r.method, Budget: 18 * time.Second}}}
}

func (r *rangeOf) Off(ctx context.Context, boot string, guard fence.Guard) (fence.Proof, []fence.Attempt, error) {
	return r.chain().Off(ctx, "cmp1", boot, guard)
}

func (r *rangeOf) On(ctx context.Context, guard fence.Guard) error { return r.chain().On(ctx, guard) }

// Heard is each second while the host runs.
func (r *rangeOf) Heard() (time.Time, string) {
	now := time.Now()
	switch {
	case r.off.IsZero() || r.stays:
		return now, "b1"
	case r.on.IsZero() || now.Sub(r.on) < r.boots:
		return r.off, "b1"
	case r.same:
		return now, "b1"
	}
	return now, "b2"
}

func (r *rangeOf) Whole() bool { return !r.few }

func (r *rangeOf) Silenced(time.Time) []nova.HostName { return []nova.HostName{"cmp7"} }

func (r *rangeOf) Apply(_ context.Context, e evacuate.Entry) error {
	r.entries = append(r.entries, e)
	return nil
}

func (r *rangeOf) Verify(context.Context) error {
	if r.term != term {
		return errors.New("another leads")
	}
	return nil
}

func (r *rangeOf) Term() uint64 { return r.term }

func (r *rangeOf) stages() (out []evacuate.DrillStage) {
	for _, e := range r.entries {
		if e.Drill != nil {
			out = append(out, evacuate.DrillDone)
		} else {
			out = append(out, e.Drilling.Stage)
		}
	}
	return out
}

func TestDrill(t *testing.T) {
	whole := []evacuate.DrillStage{evacuate.DrillOn, evacuate.DrillBoot, evacuate.DrillDone}
	failed := []evacuate.DrillStage{evacuate.DrillFailed}
	for _, tt := range []struct {
		name   string
		set    func(r *rangeOf)
		stages []evacuate.DrillStage
		says   string
		runs   bool // the machine runs at the end
		offs   int
	}{
		{"well", func(*rangeOf) {}, whole, "", true, 1},
		{"a slow BMC", func(r *rangeOf) { r.bmc.Set(func(k *fencetest.Knobs) { k.Delay = 3 * time.Second }) }, whole, "", true, 1},
		{"another machine is switched", func(r *rangeOf) { r.stays = true }, failed, "that switches another machine, and cmp7 fell silent; switched on again", true, 1},
		{"it never was off", func(r *rangeOf) { r.same = true }, append(whole[:2:2], evacuate.DrillFailed), "boot id of before", true, 1},
		{"it reads off before", func(r *rangeOf) { r.bmc.Set(func(k *fencetest.Knobs) { k.LyingOff = true }) }, failed, "it reads off", true, 0},
		{"off is not honoured", func(r *rangeOf) { r.bmc.Set(func(k *fencetest.Knobs) { k.NotHonoured = true }) }, failed, "not-honoured", true, 4},
		{"nobody listens", func(r *rangeOf) { r.few = true }, failed, "too few controllers report", true, 1},
		{"it does not come back", func(r *rangeOf) { r.boots = time.Hour }, append(whole[:2:2], evacuate.DrillFailed), "was not heard within 20m", true, 1},
		{"frozen before it", func(r *rangeOf) { r.permits = errors.New("frozen by ann") }, failed, "frozen by ann", true, 0},
		{"deposed before it", func(r *rangeOf) { r.term = term + 1 }, nil, "", true, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRange(t)
				tt.set(r)
				r.drill().Do(t.Context())
				if got := r.stages(); !slices.Equal(got, tt.stages) {
					t.Fatalf("%v, want %v: %+v", got, tt.stages, r.entries)
				}
				offs := 0
				for _, c := range r.bmc.Commands() {
					if c.Reset == "ForceOff" {
						offs++
					}
				}
				if r.machine.On() != tt.runs || offs != tt.offs {
					t.Errorf("runs %t after %d power-offs, want %t after %d", r.machine.On(), offs, tt.runs, tt.offs)
				}
				if tt.says != "" && !strings.Contains(r.entries[len(r.entries)-1].Drilling.Text, tt.says) {
					t.Errorf("%q, want %q", r.entries[len(r.entries)-1].Drilling.Text, tt.says)
				}
				if tt.stages == nil || tt.says != "" {
					return
				}
				d := r.entries[len(r.entries)-1].Drill
				if d.Boot != "b1" || d.Next != "b2" || d.Off < fence.MinSpacing || d.On < r.boots || d.Silent > d.Off || d.Machine.Serial != "S1" {
					t.Errorf("%+v", d)
				}
			})
		})
	}
}

// A drill that a former leader began is ended: the host may be off, and nobody listened.
func TestDrillResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRange(t)
		r.machine.Power(false)
		r.drill().Resume(t.Context())
		if !r.machine.On() || !slices.Equal(r.stages(), []evacuate.DrillStage{evacuate.DrillFailed}) || !strings.Contains(r.entries[0].Drilling.Text, "the leader changed at its stage power-off; switched on again") {
			t.Errorf("on %t: %+v", r.machine.On(), r.entries)
		}
	})
}

func newRange(t *testing.T) *rangeOf {
	r := &rangeOf{machine: fencetest.NewMachine(true), boots: time.Minute, term: term}
	r.machine.OnPower = func(on bool) {
		if on {
			r.on = time.Now()
		} else {
			r.off = time.Now()
		}
	}
	r.bmc = &fencetest.Redfish{Now: time.Now, Username: "admin", Password: "secret", Systems: []fencetest.System{{ID: "1", Machine: r.machine}}}
	var err error
	r.method, err = redfish.New(redfish.Options{Address: "https://bmc.example", System: fencetest.SystemPath("1"), Username: "admin", Password: "secret", Now: time.Now, Client: &http.Client{Transport: r.bmc.Transport()}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rangeOf) drill() *runner.Drill {
	return &runner.Drill{Host: "cmp1", Run: evacuate.Drilling{Mark: evacuate.Mark{By: "ann"}, Method: "redfish", Boot: "b1", Stage: evacuate.DrillOff, Term: term},
		Switch: r, Ears: r, Ledger: r, Clock: &clocks{began: time.Now()}, Permits: func() error { return r.permits }, By: "ctl1", Log: slog.New(slog.DiscardHandler),
		Known: func() (bmc, machine fence.Identity) { return fence.Identity{}, fence.Identity{Serial: "S1"} }}
}
