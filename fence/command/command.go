package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/lifeboat-ha/lifeboat/fence"
)

// Method is one machine's power by a fence agent.
type Method struct {
	agent *Agent
	opts  Options
}

var _ fence.Method = (*Method)(nil)

// New makes a Method of valid options; it contacts nobody.
func New(a *Agent, o Options) (*Method, error) {
	o, err := a.place(o)
	if err != nil {
		return nil, err
	}
	if o.Name == "" {
		o.Name = a.Name
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	return &Method{agent: a, opts: o}, nil
}

// String names the agent and hides the secrets, as do GoString and LogValue.
func (m *Method) String() string { return m.agent.Name + " " + m.opts.String() }

// GoString hides them from %#v.
func (m *Method) GoString() string { return m.String() }

// LogValue hides them from slog.
func (m *Method) LogValue() slog.Value { return slog.StringValue(m.String()) }

// Name is the method's name in readings.
func (m *Method) Name() string { return m.opts.Name }

// Power asks for the status once.
func (m *Method) Power(ctx context.Context) fence.Reading {
	r := fence.Reading{Method: m.opts.Name, Began: m.opts.Now()}
	res := m.call(ctx, "status")
	r.Ended = m.opts.Now()
	said := status(res.stdout)
	switch {
	case res.err == nil && res.code == exitOn && said == fence.On:
		r.Power, r.Raw = fence.On, "Status: ON"
	case res.err == nil && res.code == exitOff && said == fence.Off:
		r.Power, r.Raw = fence.Off, "Status: OFF"
	default:
		f := m.fault(res)
		r.Power, r.Cause, r.Raw = fence.Unknown, f.cause, f.Error()
	}
	return r
}

// Exit codes of the action status.
const (
	exitOn  = 0
	exitOff = 2
)

// status is what the agent says in words; unknown where it says nothing, or both.
func status(out string) fence.Power {
	is := fence.Unknown
	for line := range strings.Lines(out) {
		var p fence.Power
		switch strings.TrimSpace(line) {
		case "Status: ON":
			p = fence.On
		case "Status: OFF":
			p = fence.Off
		default:
			continue
		}
		if is != fence.Unknown && is != p {
			return fence.Unknown
		}
		is = p
	}
	return is
}

// Off commands a power-off. An agent of the suite reads the power before it, sends
// nothing where that is off already, and waits after it until it reads off: its
// word counts for nothing, the Chain reads back. Errors are *fence.Error.
func (m *Method) Off(ctx context.Context) error { return m.command(ctx, "off") }

// On commands power-on. Errors are *fence.Error.
func (m *Method) On(ctx context.Context) error { return m.command(ctx, "on") }

func (m *Method) command(ctx context.Context, action string) error {
	res := m.call(ctx, action)
	if res.err == nil && res.code == 0 {
		return nil
	}
	f := m.fault(res)
	return &fence.Error{Method: m.opts.Name, Doing: "power " + action, Cause: f.cause, Err: f}
}

// call runs the agent for one action. All parameters travel on its standard input.
func (m *Method) call(ctx context.Context, action string) result {
	ctx, cancel := context.WithTimeout(ctx, m.opts.Timeout)
	defer cancel()
	var in bytes.Buffer
	fmt.Fprintf(&in, "action=%s\n", action)
	for _, values := range []map[string]string{m.opts.Parameters, m.opts.Secrets} {
		for _, k := range slices.Sorted(maps.Keys(values)) {
			fmt.Fprintf(&in, "%s=%s\n", k, values[k])
		}
	}
	return run(ctx, m.agent.path, in.Bytes())
}

// fault is what an agent said of a failure, in our words.
type fault struct {
	cause fence.Cause
	text  string
	err   error
}

// Error is short and free of secrets.
func (f *fault) Error() string { return f.text }

// Unwrap gives the context's error, if that ended it.
func (f *fault) Unwrap() error { return f.err }

// meanings of what agents write on standard error (lib/fencing.py.py, and of what
// they call). The first that is found counts. The suite has one sentence for a
// wrong password and a device that does not answer: that one is unreachable, for
// nobody's account is locked by it, unless the agent says more.
var meanings = []struct {
	text  string
	cause fence.Cause
}{
	{"waiting to power off", fence.CauseNotHonoured},
	{"waiting to power on", fence.CauseNotHonoured},
	{"rakp 2 hmac is invalid", fence.CauseAuth},
	{"rakp 2 message indicates an error", fence.CauseAuth},
	{"unauthorized", fence.CauseAuth},
	{"authentication fail", fence.CauseAuth},
	{"invalid user", fence.CauseAuth},
	{"incorrect password", fence.CauseAuth},
	{"login denied", fence.CauseAuth},
	{"correct privileges", fence.CauseAuth},
	{"set login password", fence.CauseAuth},
	{"permission denied", fence.CauseAuth},
	{"connection timed out", fence.CauseUnreachable},
	{"connection lost", fence.CauseUnreachable},
	{"connection refused", fence.CauseUnreachable},
	{"no route to host", fence.CauseUnreachable},
	{"unable to establish", fence.CauseUnreachable},
	{"unable to connect", fence.CauseUnreachable},
	{"failed to connect", fence.CauseUnreachable},
}

func (m *Method) fault(res result) *fault {
	if errors.Is(res.err, context.Canceled) || errors.Is(res.err, context.DeadlineExceeded) {
		return &fault{cause: fence.CauseUnreachable, text: "no answer in time: " + res.err.Error(), err: res.err}
	}
	text := res.stderr
	if strings.TrimSpace(text) == "" {
		text = res.stdout
	}
	f := &fault{cause: fence.CauseProtocol, text: short(m.scrub(fmt.Sprintf("code %d: %s", res.code, text)))}
	if res.err != nil {
		f.text = short(m.scrub(res.err.Error() + ": " + text))
	}
	low := strings.ToLower(text)
	for _, x := range meanings {
		if strings.Contains(low, x.text) {
			f.cause = x.cause
			break
		}
	}
	return f
}

// scrub takes the secrets out, should a program print them.
func (m *Method) scrub(s string) string { return scrub(s, m.opts.Secrets) }

func scrub(s string, secrets map[string]string) string {
	for _, secret := range secrets {
		if len(secret) > 3 { // a shorter one would only reveal itself by the holes
			s = strings.ReplaceAll(s, secret, "redacted")
		}
	}
	return s
}
