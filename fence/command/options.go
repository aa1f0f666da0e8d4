package command

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Options says which machine, and how its agent is to be called. It prints without
// the secrets.
type Options struct {
	// Name is the method's name in readings, proofs and metrics; the agent's if empty.
	Name string
	// Address (IP, IP:port or [IPv6]:port), Username, Password and Plug are given
	// under whichever name the agent has for them.
	Address, Username, Password, Plug string
	// Parameters and Secrets are the agent's others, by the names in its metadata.
	Parameters map[string]string
	Secrets    map[string]string
	// Timeout bounds one call: an agent logs in, commands, and waits for what
	// comes of it. DefaultTimeout if zero.
	Timeout time.Duration
	// Now is the clock that readings are stamped with.
	Now func() time.Time
}

// DefaultTimeout is for an agent's call.
const DefaultTimeout = 20 * time.Second

// reserved are parameters that are ours to give, or that would make an agent say
// what is not so.
var reserved = map[string]string{
	"action":         "it is ours to give",
	"option":         "it is ours to give",
	"delay":          "the chain has its own order and its own time",
	"missing_as_off": "a plug that is not there would read off",
	"debug":          "an agent would write its secrets down",
	"debug_file":     "an agent would write its secrets down",
	"verbose":        "an agent would write its secrets down",
	"verbose_level":  "an agent would write its secrets down",
}

// String names the agent's parameters and hides the secrets.
func (o Options) String() string {
	parts := make([]string, 0, 2+len(o.Parameters)+len(o.Secrets))
	for name, v := range map[string]string{"address": o.Address, "plug": o.Plug} {
		if v != "" {
			parts = append(parts, name+"="+v)
		}
	}
	slices.Sort(parts)
	return shown(parts, o.Parameters, o.Secrets)
}

// shown adds parameters, and the names of secrets, to what is printed.
func shown(parts []string, parameters, secrets map[string]string) string {
	for _, k := range slices.Sorted(maps.Keys(parameters)) {
		parts = append(parts, k+"="+parameters[k])
	}
	for _, k := range slices.Sorted(maps.Keys(secrets)) {
		parts = append(parts, k+"=[redacted]")
	}
	return strings.Join(parts, " ")
}

// GoString hides them from %#v.
func (o Options) GoString() string { return o.String() }

// LogValue hides them from slog.
func (o Options) LogValue() slog.Value { return slog.StringValue(o.String()) }

// Validate holds o against what the agent says of itself and joins all faults: an
// agent only warns of a parameter that it does not know, and goes on without it.
func (a *Agent) Validate(o Options) error {
	_, err := a.place(o)
	return err
}

// names are those that agents have had for what each of them needs, the newest
// first.
var names = map[string][]string{
	"address": {"ip", "ipaddr"}, "port": {"ipport"}, "username": {"username", "login"}, "password": {"password", "passwd"}, "plug": {"plug", "port"},
}

// place gives o with everything under the agent's own names, or all faults.
func (a *Agent) place(o Options) (Options, error) {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf(a.Name+": "+format, args...))
	}
	o.Parameters, o.Secrets = maps.Clone(o.Parameters), maps.Clone(o.Secrets)
	if o.Parameters == nil {
		o.Parameters = map[string]string{}
	}
	if o.Secrets == nil {
		o.Secrets = map[string]string{}
	}
	host, port := o.Address, ""
	if ap, err := netip.ParseAddrPort(o.Address); err == nil {
		host, port = ap.Addr().String(), strconv.Itoa(int(ap.Port()))
	}
	for _, g := range []struct {
		what, value string
		into        map[string]string
	}{{"address", host, o.Parameters}, {"port", port, o.Parameters}, {"username", o.Username, o.Parameters}, {"password", o.Password, o.Secrets}, {"plug", o.Plug, o.Parameters}} {
		i := slices.IndexFunc(names[g.what], func(n string) bool { _, known := a.parameters[n]; return known })
		switch {
		case g.value == "":
		case i < 0:
			fault("it takes no %s: remove it", g.what)
		case slices.ContainsFunc(names[g.what], o.has):
			fault("%s is given twice, once as a parameter", g.what)
		default:
			g.into[names[g.what][i]] = g.value
		}
	}
	a.check(o, fault)
	slices.SortFunc(faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return o, errors.Join(faults...)
}

func (a *Agent) check(o Options, fault func(format string, args ...any)) {
	for _, k := range slices.Sorted(maps.Keys(o.Secrets)) {
		if _, twice := o.Parameters[k]; twice {
			fault("%s is given as a parameter and as a secret", k)
		}
	}
	for secret, values := range map[bool]map[string]string{false: o.Parameters, true: o.Secrets} {
		for _, k := range slices.Sorted(maps.Keys(values)) {
			if err := a.allows(k, values[k], secret); err != nil {
				fault("%s: %w", k, err)
			}
		}
	}
	for _, k := range slices.Sorted(maps.Keys(a.parameters)) {
		if p := a.parameters[k]; p.Required && !p.Given && reserved[k] == "" && !o.has(k) && !o.has(p.Obsoletes) && !a.newer(o, k) {
			fault("%s is missing: its metadata requires it", k)
		}
	}
	if o.Timeout < 0 {
		fault("timeout %v is negative", o.Timeout)
	}
	if o.Now == nil {
		fault("Now missing")
	}
}

// newer says that a parameter is given under the name that has replaced it.
func (a *Agent) newer(o Options, name string) bool {
	for k, p := range a.parameters {
		if p.Obsoletes == name && o.has(k) {
			return true
		}
	}
	return false
}

func (o Options) has(name string) bool {
	_, p := o.Parameters[name]
	_, s := o.Secrets[name]
	return name != "" && (p || s)
}

// allows checks one parameter. A secret's value stands in no error.
func (a *Agent) allows(name, value string, secret bool) error {
	p, known := a.parameters[name]
	shown := strconv.Quote(value)
	if secret {
		shown = "the value"
	}
	switch {
	case reserved[name] != "":
		return fmt.Errorf("remove it: %s", reserved[name])
	case !known:
		return fmt.Errorf("the agent has no such parameter%s", a.like(name))
	case name == "method" && value != "onoff":
		return fmt.Errorf("%s: a cycle can't be verified: use onoff, or leave it out", shown)
	case value == "":
		return errors.New("it is empty")
	case strings.ContainsAny(value, "\n\r\x00") || strings.TrimSpace(value) != value:
		return errors.New("it has a line break, a zero byte, or blanks around it, which the contract can't carry")
	case len(value) > 1 && value[0] == '"' && value[len(value)-1] == '"':
		return errors.New("it stands in quotes, which agents take off")
	}
	switch p.Type {
	case "integer", "second":
		if n, err := strconv.Atoi(value); err != nil || n < 0 {
			return fmt.Errorf("%s is no number", shown)
		}
	case "boolean":
		if !slices.Contains([]string{"0", "1", "true", "false", "yes", "no", "on", "off"}, strings.ToLower(value)) {
			return fmt.Errorf("%s: use 1 or 0", shown)
		}
	case "select":
		if !slices.Contains(p.Options, value) {
			return fmt.Errorf("%s: use one of %s", shown, strings.Join(p.Options, ", "))
		}
	}
	return nil
}

// like names the parameters that somebody may have meant.
func (a *Agent) like(name string) string {
	var near []string
	for _, k := range slices.Sorted(maps.Keys(a.parameters)) {
		if len(name) > 2 && (strings.Contains(k, name) || strings.Contains(name, k)) && reserved[k] == "" {
			near = append(near, k)
		}
	}
	if len(near) == 0 {
		return fmt.Sprintf(": see `%s -o metadata`", a.Name)
	}
	return ": did you mean " + strings.Join(near, " or ") + "?"
}
