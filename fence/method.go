// Package fence decides when a host counts as powered off: it orders methods in
// a chain, commands off, reads the power back, and alone makes a Proof. It is
// pure: the methods that touch BMCs stand in its subfolders.
package fence

import (
	"context"
	"fmt"
	"time"
)

// Power is a three-valued reading: a BMC that cannot be reached, that refuses
// us, or that says anything but a plain on or off is Unknown, never Off.
type Power string

// The three powers.
const (
	On      Power = "on"
	Off     Power = "off"
	Unknown Power = "unknown"
)

// Cause says why a reading is Unknown or a command failed, for reasons, metrics
// and runbooks.
type Cause string

// Causes.
const (
	CauseNone        Cause = ""
	CauseUnreachable Cause = "unreachable"   // no answer in time
	CauseAuth        Cause = "auth"          // answered, refused our credentials
	CauseBusy        Cause = "busy"          // 503, session cap, not ready
	CauseTransition  Cause = "transition"    // PoweringOn, PoweringOff, Paused
	CauseProtocol    Cause = "protocol"      // answered nonsense or an error
	CauseNotHonoured Cause = "not-honoured"  // said ok to off and still reads on
	CauseIdentity    Cause = "wrong-machine" // answers for another system than declared
)

// Reading is one look at a host's power.
type Reading struct {
	Method string `json:"method"`
	Power  Power  `json:"power"`
	// Began is when the request was about to be sent, Ended when its answer
	// was in: only a reading that began after our command speaks about it.
	Began time.Time `json:"began"`
	Ended time.Time `json:"ended"`
	Cause Cause     `json:"cause,omitempty"`
	// Raw is the BMC's own word, short and free of secrets.
	Raw string `json:"raw,omitempty"`
	// Parts are the readings of each feed, where the machine has several.
	Parts []Reading `json:"parts,omitempty"`
}

// Error is a failed command to a BMC. Outcome unknown is assumed unless
// Refused.
type Error struct {
	Method  string
	Doing   string
	Cause   Cause
	Refused bool // the BMC answered and did not accept the command
	Err     error
}

// Error says which method failed doing what.
func (e *Error) Error() string {
	return fmt.Sprintf("%s via %s: %s: %v", e.Doing, e.Method, e.Cause, e.Err)
}

// Unwrap gives the adapter's own error.
func (e *Error) Unwrap() error { return e.Err }

// Method is one way to read and command one host's power. Implementations
// bound every call by ctx's deadline, are safe for one caller at a time, and
// return an error that is an *Error.
//
// Off commands a hard power-off and returns nil when the BMC accepted it or
// refused it because the machine is off already; the Chain reads back what
// really happened. Power reports failure inside the Reading (Unknown + Cause).
type Method interface {
	Name() string
	Power(ctx context.Context) Reading
	Off(ctx context.Context) error
	On(ctx context.Context) error
}

// Grouped is a Method whose machine has several feeds, all of which must read off.
type Grouped interface {
	Feeds() int
}
