package ipmi

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/fence"
)

// Options says which BMC and how to log in. It prints without the password.
type Options struct {
	// Name is the method's name in readings, proofs and metrics; "ipmi" if empty.
	Name string
	// Address is host, host:port or [IPv6]:port; the port is 623 if not given.
	Address string
	// Username has at most 16 bytes, Password at most 20: IPMI 2.0 carries no more.
	Username string
	Password string
	// Cipher is the cipher suite, "1" to "17"; "3" if empty. Never left to
	// ipmitool: asking the BMC costs ten seconds where it does not answer that.
	Cipher string
	// Privilege is the level asked for, admin or operator; admin if empty.
	Privilege string
	// Tool is ipmitool's path; it is looked up in PATH if empty. A script in its
	// place should exec it: bmclib does not kill a script's children.
	Tool string
	// Timeout bounds one operation; fence.CallTimeout if zero.
	Timeout time.Duration
	// Now is the clock that readings are stamped with.
	Now func() time.Time
}

// Limits of IPMI 2.0 (section 13.20 and 22.30).
const (
	maxUsername = 16
	maxPassword = 20
)

var privileges = []string{"admin", "operator"}

// String names the BMC and hides the password.
func (o Options) String() string {
	return fmt.Sprintf("ipmi %s@%s cipher %s privilege %s", o.Username, o.Address, o.Cipher, o.Privilege)
}

// GoString hides it from %#v.
func (o Options) GoString() string { return o.String() }

// LogValue hides it from slog.
func (o Options) LogValue() slog.Value { return slog.StringValue(o.String()) }

func (o Options) fill() Options {
	for _, f := range []struct {
		field *string
		value string
	}{{&o.Name, "ipmi"}, {&o.Cipher, "3"}, {&o.Privilege, "admin"}, {&o.Tool, "ipmitool"}} {
		if *f.field == "" {
			*f.field = f.value
		}
	}
	if o.Timeout == 0 {
		o.Timeout = fence.CallTimeout
	}
	return o
}

// Validate joins everything that is wrong with o, a missing ipmitool included.
func (o Options) Validate() error {
	o = o.fill()
	var faults []error
	fault := func(format string, a ...any) { faults = append(faults, fmt.Errorf("ipmi: "+format, a...)) }
	if _, _, err := o.hostPort(); err != nil {
		faults = append(faults, err)
	}
	switch {
	case o.Username == "":
		fault("username missing")
	case len(o.Username) > maxUsername:
		fault("username has %d bytes: IPMI 2.0 carries %d", len(o.Username), maxUsername)
	}
	switch {
	case o.Password == "":
		fault("password missing")
	case len(o.Password) > maxPassword:
		fault("password has %d bytes: IPMI 2.0 carries %d", len(o.Password), maxPassword)
	}
	if strings.ContainsRune(o.Username+o.Password, 0) {
		fault("username and password must not hold a zero byte")
	}
	if n, err := strconv.Atoi(o.Cipher); err != nil || n < 1 || n > 17 {
		fault("cipher %q: use \"3\" or \"17\" (0 would let anybody in)", o.Cipher)
	}
	if !slices.Contains(privileges, o.Privilege) {
		fault("privilege %q: use one of %s", o.Privilege, strings.Join(privileges, ", "))
	}
	if _, err := exec.LookPath(o.Tool); err != nil {
		fault("%w: install the package ipmitool", err)
	}
	if o.Timeout < 0 {
		fault("timeout %v is negative", o.Timeout)
	}
	if o.Now == nil {
		fault("Now missing")
	}
	return errors.Join(faults...)
}

// hostPort takes Address apart; host has no brackets.
func (o Options) hostPort() (host, port string, err error) {
	host, port = strings.Trim(o.Address, "[]"), "623"
	if _, err := netip.ParseAddr(host); err != nil && strings.Contains(o.Address, ":") {
		if host, port, err = net.SplitHostPort(o.Address); err != nil {
			return "", "", fmt.Errorf("ipmi: address %q: give host, host:port or [IPv6]:port", o.Address)
		}
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", "", fmt.Errorf("ipmi: address %q: port must be 1 to 65535", o.Address)
	}
	// A leading dash would be an option to ipmitool.
	if host == "" || strings.HasPrefix(host, "-") || strings.ContainsAny(host, "/@ \t\x00") {
		return "", "", fmt.Errorf("ipmi: address %q: give the BMC's host name or IP address", o.Address)
	}
	return host, port, nil
}
