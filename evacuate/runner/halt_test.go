package runner

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// world is a fencer and a Nova that count what is written to them.
type world struct {
	writes  []string
	service nova.Service
	server  nova.Server
}

func (w *world) Off(ctx context.Context, _, _ string, guard fence.Guard) (fence.Proof, []fence.Attempt, error) {
	if err := guard(ctx); err != nil {
		return fence.Proof{}, nil, err
	}
	w.writes = append(w.writes, "off")
	return fence.Proof{}, nil, errors.New("no proof in this test")
}

// shelf is the operator's program for storage.
type shelf struct{ w *world }

func (s shelf) Fence(ctx context.Context, host string, guard fence.Guard) error {
	return s.w.On(ctx, host, guard)
}

func (s shelf) Unfence(ctx context.Context, host string, guard fence.Guard) error {
	return s.w.On(ctx, host, guard)
}

func (w *world) On(ctx context.Context, _ string, guard fence.Guard) error {
	if err := guard(ctx); err != nil {
		return err
	}
	w.writes = append(w.writes, "on")
	return nil
}

func (w *world) Read(context.Context, string) fence.Reading { return fence.Reading{} }

func (w *world) Service(context.Context, nova.HostName) (nova.Service, error) { return w.service, nil }

func (w *world) UpdateService(_ context.Context, _ string, u nova.ServiceUpdate) (nova.Service, error) {
	w.writes = append(w.writes, "service")
	if u.Disabled != nil {
		w.service.Disabled, w.service.DisabledReason = *u.Disabled, u.DisabledReason
	}
	return w.service, nil
}

func (w *world) ComputeStatusDisabled(context.Context, nova.HostName) (bool, error) {
	return false, nil
}

func (w *world) Claims(context.Context, nova.HostName) ([]nova.ServerID, error) { return nil, nil }

func (w *world) Servers(context.Context, nova.HostName) ([]nova.Server, error) { return nil, nil }

func (w *world) Server(context.Context, nova.ServerID) (nova.Server, error) { return w.server, nil }

func (w *world) ServersSince(context.Context, time.Time) ([]nova.Server, error) {
	return []nova.Server{w.server}, nil
}

func (w *world) Stop(context.Context, nova.ServerID) (string, error) {
	w.writes = append(w.writes, "stop")
	return "req-1", nil
}

func (w *world) Start(context.Context, nova.ServerID) (string, error) {
	w.writes = append(w.writes, "start")
	return "req-5", nil
}

func (w *world) Evacuate(context.Context, fence.Proof, nova.HostName, string, nova.ServerID, nova.Target) (string, error) {
	w.writes = append(w.writes, "evacuate")
	return "req-2", nil
}

func (w *world) Reset(context.Context, fence.Proof, nova.HostName, string, nova.ServerID) (string, error) {
	w.writes = append(w.writes, "reset")
	return "req-3", nil
}

func (w *world) LiveMigrate(context.Context, nova.ServerID, nova.HostName) (string, error) {
	w.writes = append(w.writes, "live-migrate")
	return "req-4", nil
}

func (w *world) Moves(context.Context, nova.HostName) ([]nova.Migration, error) { return nil, nil }

func (w *world) Evacuations(context.Context, nova.HostName) ([]nova.Migration, error) {
	return nil, nil
}

func (w *world) Actions(context.Context, nova.ServerID) ([]nova.InstanceAction, error) {
	return nil, nil
}

type quorum struct{}

func (quorum) Verify(context.Context) error { return nil }
func (quorum) Term() uint64                 { return 7 }

type stopped struct{}

func (stopped) Now() time.Time                             { return time.Unix(1e9, 0) }
func (stopped) Sleep(context.Context, time.Duration) error { return nil }
func (stopped) Deadline(d time.Duration) Deadline          { return left(d) }

type left time.Duration

func (l left) Left() (time.Duration, bool) { return time.Duration(l), true }

// TestHaltReachesEveryWrite asks for every step, once permitted and once not:
// whatever halts the ledger (a freeze, a mode that only watches) is the last
// thing asked before each write, and nothing is written past it.
func TestHaltReachesEveryWrite(t *testing.T) {
	proof := &fence.Record{Host: "cmp1", Boot: "b1", Method: "ipmi", Commanded: time.Unix(1e9-10, 0),
		Readings: []fence.Reading{{Method: "ipmi", Power: fence.Off, Began: time.Unix(1e9-8, 0), Ended: time.Unix(1e9-8, 0)}, {Method: "ipmi", Power: fence.Off, Began: time.Unix(1e9-6, 0), Ended: time.Unix(1e9-6, 0)}}}
	ours := nova.Service{ID: "s1", Host: "cmp1", Disabled: true, DisabledReason: "lifeboat:r1", ForcedDown: true, State: nova.StateUp}
	fresh := nova.Service{ID: "s1", Host: "cmp1", State: nova.StateUp}
	for _, tt := range []struct {
		name    string
		step    evacuate.Step
		service nova.Service
		change  func(a *evacuate.Action)
	}{
		{"disable", evacuate.StepDisable, fresh, nil},
		{"shield", evacuate.StepDisable, fresh, func(a *evacuate.Action) { a.Shield = "cmp2" }},
		{"lift a shield", evacuate.StepDisable, ours, func(a *evacuate.Action) { a.Shield, a.Lift = "cmp2", true }},
		{"fence", evacuate.StepFence, fresh, nil},
		{"fence storage", evacuate.StepFenceStorage, fresh, nil},
		{"give storage back", evacuate.StepUnfenceStorage, fresh, nil},
		{"force-down", evacuate.StepForceDown, fresh, nil},
		{"evacuate", evacuate.StepEvacuate, fresh, nil},
		{"reset", evacuate.StepReset, fresh, nil},
		{"send home", evacuate.StepFailback, fresh, func(a *evacuate.Action) { a.Shield, a.To = "cmp1", nova.Target{Host: "cmp1"} }},
		{"enable a reserved host", evacuate.StepReserve, nova.Service{ID: "s1", Host: "cmp9", Disabled: true, DisabledReason: "reserved", State: nova.StateUp}, func(a *evacuate.Action) { a.Shield, a.Reason = "cmp9", "reserved" }},
		{"put a reserved host back", evacuate.StepReserve, fresh, func(a *evacuate.Action) { a.Shield, a.Reason, a.Lift = "cmp9", "reserved", true }},
		{"stop what was stopped before", evacuate.StepStop, fresh, nil},
		{"stop an instance that ended", evacuate.StepStopGuest, fresh, nil},
		{"start one", evacuate.StepStartGuest, fresh, nil},
		{"send away", evacuate.StepMoveAway, fresh, nil},
		{"disable an ailing host", evacuate.StepDisableAiling, fresh, nil},
		{"enable it again", evacuate.StepEnableAiling, ours, nil},
		{"power-on", evacuate.StepPowerOn, ours, nil},
		{"un-force-down", evacuate.StepUnforce, ours, nil},
		{"enable", evacuate.StepEnable, ours, nil},
		{"cancel", evacuate.StepCancel, ours, nil},
		{"cancel by an operator", evacuate.StepCancel, ours, func(a *evacuate.Action) { a.Asked = true }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, halted := range []bool{false, true} {
				w := &world{service: tt.service, server: nova.Server{ID: "vm1", Host: "cmp2", VMState: nova.VMActive}}
				r := &Runner{Fencer: w, Storage: shelf{w}, Services: w, Migrator: w, Servers: w, Evacuator: w, Quorum: quorum{}, Clock: stopped{}, Log: slog.New(slog.DiscardHandler),
					Permits: func(evacuate.Action) error {
						if halted {
							return errors.New("frozen by ann")
						}
						return nil
					}}
				a := evacuate.Action{Recovery: "r1", Host: "cmp1", Boot: "b1", Step: tt.step, Term: 7, Attempt: 1, Deadline: 30 * time.Second, Proof: proof, Reason: "lifeboat:r1", Server: "vm1"}
				if tt.change != nil {
					tt.change(&a)
				}
				o := r.Do(t.Context(), a)
				switch {
				case halted && len(w.writes) > 0:
					t.Errorf("halted, and yet %v", w.writes)
				case halted && o.OK:
					t.Error("halted, and yet done")
				case !halted && len(w.writes) == 0:
					t.Errorf("permitted, and nothing was written: this row tests nothing: %s", o.Detail)
				}
			}
		})
	}
}
