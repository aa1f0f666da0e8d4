package ipmi

import (
	"context"
	"strings"

	"github.com/lifeboat-ha/lifeboat/fence"
)

// fault is what ipmitool said of a failure, in our words.
type fault struct {
	cause   fence.Cause
	refused bool // the BMC answered, and no
	text    string
	ctx     error // the context's error, if that ended it
}

// Error is short and free of secrets.
func (f *fault) Error() string { return f.text }

// Unwrap gives the context's error.
func (f *fault) Unwrap() error { return f.ctx }

// meanings of what ipmitool -v writes (1.8.19, src/plugins/lanplus/lanplus.c and
// lib/ipmi_chassis.c). The first that is found counts: a full session table comes
// as a RAKP error too, and each failed login ends in "Unable to establish".
var meanings = []struct {
	text  string
	cause fence.Cause
}{
	{"insufficient resources", fence.CauseBusy},
	{"node busy", fence.CauseBusy},
	{"out of space", fence.CauseBusy},
	{"initialization in progress", fence.CauseBusy},
	{"rakp 2 hmac is invalid", fence.CauseAuth},
	{"rakp 4 message has invalid integrity check value", fence.CauseAuth},
	{"unauthorized name", fence.CauseAuth},
	{"unauthorized role or privilege", fence.CauseAuth},
	{"insufficient privilege", fence.CauseAuth},
	{"invalid user name", fence.CauseAuth},
	{"no matching cipher suite", fence.CauseProtocol},
	{"error in open session response message", fence.CauseProtocol},
	{"message indicates an error", fence.CauseProtocol},
	{"get auth capabilities error", fence.CauseUnreachable},
	{"address lookup for", fence.CauseUnreachable},
	{"could not open socket", fence.CauseUnreachable},
	{"no response", fence.CauseUnreachable},
	{"unable to set chassis power control", fence.CauseUnreachable}, // sent, and no answer: it may have obeyed
	{"unable to get chassis power status", fence.CauseUnreachable},
	{"timeout", fence.CauseUnreachable},
}

// fault sorts a failed run. Its text leaves out what -v writes of runs that
// succeed too.
func (m *Method) fault(ctx context.Context, out string, err error) *fault {
	if ctx.Err() != nil {
		return &fault{cause: fence.CauseUnreachable, text: "no answer in time: " + ctx.Err().Error(), ctx: ctx.Err()}
	}
	var said []string
	for line := range strings.Lines(out) {
		line = strings.TrimLeft(strings.TrimSpace(line), "> ")
		if line != "" && !chatter(line) {
			said = append(said, line)
		}
	}
	text := strings.Join(said, "; ")
	if text == "" {
		text = err.Error()
	}
	f := &fault{cause: fence.CauseProtocol, refused: true, text: m.scrub(text)}
	low := strings.ToLower(text)
	for _, x := range meanings {
		if strings.Contains(low, x.text) {
			f.cause, f.refused = x.cause, x.cause != fence.CauseUnreachable
			break
		}
	}
	return f
}

// chatter is what -v writes of any run: some of it speaks of privileges and
// invalid commands, and means nothing.
func chatter(line string) bool {
	for _, start := range []string{"Loading IANA", "Running Get ", "Invalid completion code received", "Discovered IPMB",
		"Get HPM.x Capabilities", "Using best available cipher", "IANA PEN registry"} {
		if strings.HasPrefix(line, start) {
			return true
		}
	}
	return false
}

// scrub shortens s and takes the password out, should a program in ipmitool's
// place print it.
func (m *Method) scrub(s string) string {
	if len(m.opts.Password) > 3 { // a shorter one would only reveal itself by the holes
		s = strings.ReplaceAll(s, m.opts.Password, "redacted")
	}
	return short(s)
}
