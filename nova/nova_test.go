package nova

import (
	"errors"
	"fmt"
	"testing"
)

// A fault is definite exactly when the write certainly changed nothing.
func TestFaults(t *testing.T) {
	for fault, definite := range map[Fault]bool{
		FaultNotFound: true, FaultConflict: true, FaultRefused: true, FaultUnsent: true, FaultAuth: true, FaultBusy: true,
		FaultTimeout: false, FaultUnknown: false, "": false,
	} {
		if fault.Definite() != definite {
			t.Errorf("%q: definite is %v", fault, !definite)
		}
	}
	inner := &Error{Doing: "evacuate server x", Fault: FaultConflict, Status: 409, RequestID: "req-1", Err: errors.New("paused")}
	wrapped := fmt.Errorf("step evacuate: %w", inner)
	if FaultOf(wrapped) != FaultConflict || RequestIDOf(wrapped) != "req-1" || !errors.Is(wrapped, inner.Err) {
		t.Errorf("lost in wrapping: %v", wrapped)
	}
	if got, want := inner.Error(), "evacuate server x: conflict (HTTP 409): paused"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	// An error that is not ours leaves everything open.
	if foreign := errors.New("eof"); FaultOf(foreign) != FaultUnknown || FaultOf(foreign).Definite() || RequestIDOf(foreign) != "" {
		t.Error("a foreign error must not be definite")
	}
	if FaultOf(nil) != "" || RequestIDOf(nil) != "" {
		t.Error("no error has no fault")
	}
}

func TestTerminal(t *testing.T) {
	for status, terminal := range map[MigrationStatus]bool{
		MigrationAccepted: false, MigrationPreMigrating: false, "queued": false, "": false,
		MigrationDone: true, MigrationCompleted: true, MigrationFailed: true, MigrationError: true,
	} {
		if status.Terminal() != terminal {
			t.Errorf("%q: terminal is %v", status, !terminal)
		}
	}
}

func TestControl(t *testing.T) {
	up := func(binary string) ControlService { return ControlService{Binary: binary, State: StateUp} }
	for name, row := range map[string]struct {
		control Control
		want    bool
	}{
		"both":                 {Control{up(Conductor), up(Scheduler)}, true},
		"one of two is enough": {Control{up(Conductor), up(Scheduler), {Binary: Conductor, State: StateDown}}, true},
		"no scheduler":         {Control{up(Conductor), up(Conductor)}, false},
		"conductor down":       {Control{{Binary: Conductor, State: StateDown}, up(Scheduler)}, false},
		"conductor unknown":    {Control{{Binary: Conductor, State: StateUnknown}, up(Scheduler)}, false},
		"nothing":              {nil, false},
	} {
		if row.control.CanSchedule() != row.want {
			t.Errorf("%s: %v", name, !row.want)
		}
	}
}
