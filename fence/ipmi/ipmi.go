// Package ipmi reads and commands one machine's power over IPMI 2.0 (lanplus) by
// the program ipmitool. It never asks for a soft power-off, and never decides
// that a machine is off.
//
// Readings go through bmclib's ipmitool provider alone, made anew for each, and
// never through bmclib's Client: that one carries the credentials to seven
// providers. Commands run ipmitool by ourselves, because the provider (v2.3.5)
//   - reads before it commands off, spends the time on a BMC that hangs, and sends
//     nothing where it believes the machine to be off: off is always commanded;
//   - waits -N 5, 52 s for a BMC that is gone: should we die meanwhile, a late
//     power-on could undo the off of our successor;
//   - runs without -v, and then ipmitool 1.8.19 has one sentence for a wrong
//     password and a dead BMC, and knows no -L for users who are mere operators.
//
// Both give the password in IPMITOOL_PASSWORD to a child with no other
// environment, never as an argument.
package ipmi

import (
	"context"
	"errors"
	"net"
	"os/exec"
	"strings"
	"sync/atomic"

	"github.com/bmc-toolbox/bmclib/v2/providers/ipmitool"

	"github.com/lifeboat-ha/lifeboat/fence"
)

// Method is one machine's power over IPMI.
type Method struct {
	opts       Options
	path       string
	host, port string
	// explain makes the next reading run with -v at once: the last one was
	// refused, and each look costs a login.
	explain atomic.Bool
}

var (
	_ fence.Method     = (*Method)(nil)
	_ fence.Identifier = (*Method)(nil)
	_ fence.Checker    = (*Method)(nil)
)

// New makes a Method of valid options; it does not contact the BMC.
func New(o Options) (*Method, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	m := &Method{opts: o.fill()}
	m.explain.Store(m.opts.Privilege != "admin")
	var err error
	if m.host, m.port, err = m.opts.hostPort(); err != nil {
		return nil, err
	}
	m.path, err = exec.LookPath(m.opts.Tool)
	return m, err
}

// Name is the method's name in readings.
func (m *Method) Name() string { return m.opts.Name }

// Power reads the power once; where that fails for no clear reason, once more to
// learn why.
func (m *Method) Power(ctx context.Context) fence.Reading {
	ctx, cancel := context.WithTimeout(ctx, m.opts.Timeout)
	defer cancel()
	r := fence.Reading{Method: m.opts.Name, Began: m.opts.Now()}
	var out string
	var err error
	explain := m.explain.Load()
	if !explain {
		out, err = m.status(ctx)
	}
	if explain || (err != nil && ctx.Err() == nil) {
		r.Began = m.opts.Now() // the reading that counts
		out, err = m.run(ctx, "chassis", "power", "status")
	}
	r.Ended = m.opts.Now()
	if err != nil {
		f := m.fault(ctx, out, err)
		r.Power, r.Cause, r.Raw = fence.Unknown, f.cause, f.text
	} else {
		r.Power, r.Cause, r.Raw = power(out)
	}
	m.explain.Store(m.opts.Privilege != "admin" || r.Cause == fence.CauseAuth)
	return r
}

// status reads through bmclib's provider, which puts host and port together with
// a colon: an IPv6 address needs its brackets.
func (m *Method) status(ctx context.Context) (string, error) {
	host := strings.TrimSuffix(net.JoinHostPort(m.host, ""), ":")
	conn, err := ipmitool.New(host, m.opts.Username, m.opts.Password, ipmitool.WithPort(m.port),
		ipmitool.WithCipherSuite(m.opts.Cipher), ipmitool.WithIpmitoolPath(m.path))
	if err != nil {
		return "", err
	}
	// The provider kills ipmitool at the end of ctx, but waits for whoever else
	// holds its output; we do not.
	type answer struct {
		out string
		err error
	}
	got := make(chan answer, 1)
	go func() {
		out, err := conn.PowerStateGet(ctx)
		got <- answer{out, err}
	}()
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case a := <-got:
		return a.out, a.err
	}
}

// power believes one exact line, and nothing where both lines stand: ipmitool
// puts warnings of its own around them.
func power(out string) (fence.Power, fence.Cause, string) {
	var on, off bool
	for line := range strings.Lines(out) {
		switch strings.TrimRight(line, "\r\n") {
		case "Chassis Power is on":
			on = true
		case "Chassis Power is off":
			off = true
		}
	}
	switch {
	case on && !off:
		return fence.On, fence.CauseNone, "Chassis Power is on"
	case off && !on:
		return fence.Off, fence.CauseNone, "Chassis Power is off"
	}
	return fence.Unknown, fence.CauseProtocol, short(out)
}

// Off commands a hard power-off without looking first. Errors are *fence.Error.
func (m *Method) Off(ctx context.Context) error {
	return m.command(ctx, "power off", "off", "Chassis Power Control: Down/Off", fence.Off)
}

// On commands power-on. Errors are *fence.Error.
func (m *Method) On(ctx context.Context) error {
	return m.command(ctx, "power on", "on", "Chassis Power Control: Up/On", fence.On)
}

// command runs a power command once. A BMC may refuse what is so already (0xD5,
// "Command not supported in present state"): then the state decides.
func (m *Method) command(ctx context.Context, doing, verb, accepted string, want fence.Power) error {
	ctx, cancel := context.WithTimeout(ctx, m.opts.Timeout)
	defer cancel()
	out, err := m.run(ctx, "chassis", "power", verb)
	if err == nil {
		for line := range strings.Lines(out) {
			if strings.TrimRight(line, "\r\n") == accepted {
				return nil
			}
		}
		err = errors.New("ipmitool did not say that it was accepted")
	}
	f := m.fault(ctx, out, err)
	if f.refused && strings.Contains(out, "failed: Command not supported in present state") {
		out, err := m.run(ctx, "chassis", "power", "status")
		if is, _, _ := power(out); err == nil && is == want {
			return nil
		}
	}
	return &fence.Error{Method: m.opts.Name, Doing: doing, Cause: f.cause, Refused: f.refused, Err: f}
}
