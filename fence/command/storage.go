package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// StorageOptions says how the operator's program that takes a host's storage away is
// called. It prints without the secrets.
type StorageOptions struct {
	// Program is its path.
	Program string
	// Parameters and Secrets are given to it with each call.
	Parameters, Secrets map[string]string
	// Timeout bounds one call; DefaultTimeout if zero.
	Timeout time.Duration
}

// String hides the secrets, as do GoString and LogValue.
func (o StorageOptions) String() string {
	return shown([]string{o.Program}, o.Parameters, o.Secrets)
}

// GoString hides them from %#v.
func (o StorageOptions) GoString() string { return o.String() }

// LogValue hides them from slog.
func (o StorageOptions) LogValue() slog.Value { return slog.StringValue(o.String()) }

var (
	parameterName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	// ours are parameters that are ours to give.
	ours = regexp.MustCompile(`^(action|host|address(_.*)?)$`)
)

// Validate joins all faults of o.
func (o StorageOptions) Validate() error {
	var faults []error
	if !filepath.IsAbs(o.Program) {
		faults = append(faults, fmt.Errorf("program %q: give its whole path; no shell reads it", o.Program))
	}
	if o.Timeout < 0 {
		faults = append(faults, fmt.Errorf("timeout %v is negative", o.Timeout))
	}
	for secret, values := range map[bool]map[string]string{false: o.Parameters, true: o.Secrets} {
		for _, k := range slices.Sorted(maps.Keys(values)) {
			_, twice := o.Secrets[k]
			switch v := values[k]; {
			case !parameterName.MatchString(k):
				faults = append(faults, fmt.Errorf("%q is no name of a parameter: use small letters, digits and underscores", k))
			case ours.MatchString(k):
				faults = append(faults, fmt.Errorf("%s: remove it: it is ours to give", k))
			case !secret && twice:
				faults = append(faults, fmt.Errorf("%s is given as a parameter and as a secret", k))
			case v == "" || strings.ContainsAny(v, "\n\r\x00"):
				faults = append(faults, fmt.Errorf("%s: it is empty, or has a line break or a zero byte, which a line can't carry", k))
			}
		}
	}
	return errors.Join(faults...)
}

// Machine is a host whose storage is meant.
type Machine struct {
	Host string
	// Addresses by network, as its agent would reach the storage from.
	Addresses map[string]netip.Addr
}

// Storage takes hosts' storage away and gives it back, by the operator's program. It is
// no fence.Method: guests that run on answer from memory, so nothing of it is a Reading.
type Storage struct{ o StorageOptions }

// NewStorage makes one of valid options; nothing is called for it.
func NewStorage(o StorageOptions) (*Storage, error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("storage: %w", err)
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	return &Storage{o}, nil
}

// Name is the program's, for people.
func (s *Storage) Name() string { return filepath.Base(s.o.Program) }

// What the program says, and the exit codes that go with it: neither counts without the
// other, for shells and Python exit with 2 for mistakes of their own, and with 0 where
// a script has come to its end without doing anything.
const (
	saysGone = "Status: FENCED"
	saysOpen = "Status: OPEN"
)

// Fence has the storage taken away, and asks until the program says that it is, and that
// no watcher is left, or ctx ends.
func (s *Storage) Fence(ctx context.Context, m Machine) error {
	if res := s.call(ctx, "fence", m); res.err != nil || res.code != 0 || !says(res.stdout, saysGone) {
		return s.fault("fence", res)
	}
	return s.until(ctx, m, true)
}

// Unfence has it given back, and asks until the program says so.
func (s *Storage) Unfence(ctx context.Context, m Machine) error {
	if res := s.call(ctx, "unfence", m); res.err != nil || res.code != 0 || !says(res.stdout, saysOpen) {
		return s.fault("unfence", res)
	}
	return s.until(ctx, m, false)
}

// statusEvery is the pause between two questions: a client's watch may outlive it by some
// seconds.
const statusEvery = 2 * time.Second

func (s *Storage) until(ctx context.Context, m Machine, gone bool) error {
	for {
		is, err := s.Gone(ctx, m)
		if err == nil && is == gone {
			return nil
		}
		t := time.NewTimer(statusEvery)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			if err == nil {
				err = fmt.Errorf("%s: it said that it is done, and its status says %s", s.Name(), map[bool]string{true: "FENCED", false: "OPEN"}[is])
			}
			return err
		}
	}
}

// Gone asks for the status once: the storage is taken away and no watcher is left, or
// the host has access. Anything else is an error.
func (s *Storage) Gone(ctx context.Context, m Machine) (bool, error) {
	res := s.call(ctx, "status", m)
	switch {
	case res.err == nil && res.code == 0 && says(res.stdout, saysGone):
		return true, nil
	case res.err == nil && res.code == exitOff && says(res.stdout, saysOpen):
		return false, nil
	}
	return false, s.fault("status", res)
}

// says looks for the one line with a status.
func says(out, want string) bool {
	found := ""
	for line := range strings.Lines(out) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "Status:") {
			if found != "" && found != line {
				return false
			}
			found = line
		}
	}
	return found == want
}

// call runs the program once. Everything travels on its standard input.
func (s *Storage) call(ctx context.Context, action string, m Machine) result {
	ctx, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	var in bytes.Buffer
	fmt.Fprintf(&in, "action=%s\nhost=%s\n", action, m.Host)
	for _, network := range slices.Sorted(maps.Keys(m.Addresses)) {
		fmt.Fprintf(&in, "address_%s=%s\n", network, m.Addresses[network])
	}
	for _, values := range []map[string]string{s.o.Parameters, s.o.Secrets} {
		for _, k := range slices.Sorted(maps.Keys(values)) {
			fmt.Fprintf(&in, "%s=%s\n", k, values[k])
		}
	}
	return run(ctx, s.o.Program, in.Bytes())
}

func (s *Storage) fault(action string, res result) error {
	text := res.stderr
	if strings.TrimSpace(text) == "" {
		text = res.stdout
	}
	text = short(scrub(text, s.o.Secrets))
	switch {
	case errors.Is(res.err, context.Canceled) || errors.Is(res.err, context.DeadlineExceeded):
		return fmt.Errorf("%s %s: no answer in time: %w", s.Name(), action, res.err)
	case res.err != nil:
		return fmt.Errorf("%s %s: %s: %s", s.Name(), action, short(scrub(res.err.Error(), s.o.Secrets)), text)
	}
	return fmt.Errorf("%s %s: code %d: %s", s.Name(), action, res.code, text)
}
