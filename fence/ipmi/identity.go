package ipmi

import (
	"context"
	"encoding/hex"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/fence"
)

// guidTime bounds the look before an off: what it takes is taken from the off.
const guidTime = 2 * time.Second

// Identity asks for the system GUID (IPMI 2.0, 20.8) and, where there is one, for
// the serial numbers of the built-in FRU. A BMC that refuses both says nothing;
// errors are *fence.Error.
func (m *Method) Identity(ctx context.Context) (fence.Identity, error) {
	ctx, cancel := context.WithTimeout(ctx, m.opts.Timeout)
	defer cancel()
	var id fence.Identity
	uuid, err := m.guid(ctx)
	if err != nil {
		return id, &fence.Error{Method: m.opts.Name, Doing: "read identity", Cause: err.cause, Refused: true, Err: err}
	}
	id.UUID, id.Guess = uuid, true
	// Not every BMC has a FRU, and one that hangs over it has told its GUID.
	if out, err := m.run(ctx, "fru", "print", "0"); err == nil {
		id.Serial, id.Board, id.Chassis = serials(out)
	}
	return id.Clean(), nil
}

// OffIf commands off unless accept refuses the machine's GUID. A BMC that does not
// tell it in time is not worse than one that has none: its preflight has the word.
func (m *Method) OffIf(ctx context.Context, accept func(fence.Identity) error) error {
	look, cancel := context.WithTimeout(ctx, guidTime)
	uuid, _ := m.guid(look)
	cancel()
	if err := accept(fence.Identity{UUID: uuid, Guess: true}.Clean()); err != nil {
		return &fence.Error{Method: m.opts.Name, Doing: "power off", Cause: fence.CauseIdentity, Refused: true, Err: err}
	}
	return m.Off(ctx)
}

// guid is the GUID in the order of the wire, "" where the BMC answers and has none.
func (m *Method) guid(ctx context.Context) (string, *fault) {
	out, err := m.run(ctx, "raw", "0x06", "0x37")
	if err != nil {
		f := m.fault(ctx, out, err)
		if f.refused && f.cause == fence.CauseProtocol { // it knows no such command
			return "", nil
		}
		return "", f
	}
	return hexBytes(out), nil
}

// hexBytes finds the lines of an answer of `ipmitool raw` among what -v writes.
func hexBytes(out string) string {
	var all strings.Builder
	for line := range strings.Lines(out) {
		digits := strings.Join(strings.Fields(line), "")
		if _, err := hex.DecodeString(digits); err == nil && strings.HasPrefix(line, " ") {
			all.WriteString(digits)
		}
	}
	return all.String()
}

// serials reads what `ipmitool fru print` says of the system, its board and its
// chassis.
func serials(out string) (system, board, chassis string) {
	for line := range strings.Lines(out) {
		name, value, ok := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		if !ok {
			continue
		}
		switch strings.TrimSpace(name) {
		case "Product Serial":
			system = value
		case "Board Serial":
			board = value
		case "Chassis Serial":
			chassis = value
		}
	}
	return system, board, chassis
}
