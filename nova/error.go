package nova

import (
	"errors"
	"fmt"
	"time"
)

// Fault is what an adapter's error means to a caller. Library errors never
// cross into a pure package.
type Fault string

// Faults. FaultUnknown and FaultTimeout leave open whether a write took
// effect; FaultUnsent says that nothing left this machine.
const (
	FaultNotFound Fault = "not-found"
	FaultConflict Fault = "conflict"
	FaultRefused  Fault = "refused"
	FaultTimeout  Fault = "timeout"
	FaultUnsent   Fault = "unsent"
	FaultAuth     Fault = "auth"
	FaultBusy     Fault = "busy" // turned away for the moment, HTTP 429
	FaultUnknown  Fault = "unknown"
)

// Error is a failed call to OpenStack.
type Error struct {
	Doing     string
	Fault     Fault
	Status    int // HTTP status, 0 if there was no answer
	RequestID string
	// Wait is how long the answer asks to be left alone (Retry-After). 0: it does not say.
	Wait time.Duration
	Err  error
}

// Error says what was being done and why it failed.
func (e *Error) Error() string {
	s := fmt.Sprintf("%s: %s", e.Doing, e.Fault)
	if e.Status != 0 {
		s += fmt.Sprintf(" (HTTP %d)", e.Status)
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap gives the adapter's own error.
func (e *Error) Unwrap() error { return e.Err }

// FaultOf is the fault of err: FaultUnknown for a foreign error, "" for nil.
func FaultOf(err error) Fault {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Fault
	}
	return FaultUnknown
}

// RequestIDOf is the request id that Nova gave the failed call, if any.
func RequestIDOf(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.RequestID
	}
	return ""
}

// AnswerOf is the HTTP status of the answer behind err, 0 if there was none, and how long it
// asks to be left alone.
func AnswerOf(err error) (status int, wait time.Duration) {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Status, e.Wait
	}
	return 0, 0
}

// Definite says that a failed write certainly changed nothing: it was refused
// by an answer or never sent.
func (f Fault) Definite() bool {
	switch f {
	case FaultNotFound, FaultConflict, FaultRefused, FaultUnsent, FaultAuth, FaultBusy:
		return true
	case FaultTimeout, FaultUnknown:
	}
	return false
}
