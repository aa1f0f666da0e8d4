package ipmi_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/fence/fencetest"
	"github.com/lifeboat-ha/lifeboat/fence/ipmi"
)

const password = "s3cret-word"

// stub is a script in ipmitool's place. It notes its arguments, its environment
// and its process, and then does what the test says, as a shell would.
type stub struct{ dir string }

func newStub(t *testing.T, body string) stub {
	t.Helper()
	s := stub{t.TempDir()}
	s.does(t, body)
	return s
}

func (s stub) path() string { return filepath.Join(s.dir, "ipmitool") }

func (s stub) does(t *testing.T, body string) {
	t.Helper()
	script := fmt.Sprintf("#!/bin/sh\nprintf '%%s ' \"$@\" >>%[1]s/calls; echo >>%[1]s/calls\n/usr/bin/env >%[1]s/env\necho $$ >>%[1]s/pids\n%[2]s\n", s.dir, body)
	// A new file each time: one that is being written cannot be run.
	fresh := s.path() + ".new"
	fencetest.Write(t, fresh, script, 0o755)
	if err := os.Rename(fresh, s.path()); err != nil {
		t.Fatal(err)
	}
}

func (s stub) lines(t *testing.T, name string) []string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.FieldsFunc(string(data), func(r rune) bool { return r == '\n' })
}

func (s stub) forget(t *testing.T) {
	t.Helper()
	for _, name := range []string{"calls", "pids", "env"} {
		if err := os.Remove(filepath.Join(s.dir, name)); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
}

// gone says that no process of the stub runs any more.
func (s stub) gone(t *testing.T) bool {
	t.Helper()
	for _, line := range s.lines(t, "pids") {
		pid, err := strconv.Atoi(line)
		if err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(time.Minute); syscall.Kill(pid, 0) == nil; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				return false
			}
		}
	}
	return true
}

func (s stub) method(t *testing.T, change func(*ipmi.Options)) *ipmi.Method {
	t.Helper()
	o := ipmi.Options{Address: "192.0.2.1", Username: "admin", Password: password, Tool: s.path(), Now: time.Now}
	if change != nil {
		change(&o)
	}
	m, err := ipmi.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

const isOn, isOff = "echo 'Chassis Power is on'", "echo 'Chassis Power is off'"

// Off is commanded at once and always, whatever the machine reads.
func TestOffDoesNotLookFirst(t *testing.T) {
	for _, body := range []string{isOff, isOn} {
		s := newStub(t, `case "$*" in *status*) `+body+`;; *off*) echo 'Chassis Power Control: Down/Off';; *on*) echo 'Chassis Power Control: Up/On';; esac`)
		m := s.method(t, nil)
		if err := m.Off(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := m.On(t.Context()); err != nil {
			t.Fatal(err)
		}
		calls := s.lines(t, "calls")
		if len(calls) != 2 || !strings.HasSuffix(calls[0], "chassis power off ") || !strings.HasSuffix(calls[1], "chassis power on ") {
			t.Errorf("calls %q", calls)
		}
	}
}

func TestArguments(t *testing.T) {
	for _, test := range []struct{ address, host, port string }{
		{"192.0.2.1", "192.0.2.1", "623"},
		{"192.0.2.1:6230", "192.0.2.1", "6230"},
		{"2001:db8::1", "2001:db8::1", "623"},
		{"[2001:db8::1]", "2001:db8::1", "623"},
		{"[2001:db8::1]:6230", "2001:db8::1", "6230"},
		{"fe80::1%eth0", "fe80::1%eth0", "623"},
		{"bmc.example", "bmc.example", "623"},
		{"bmc.example:6230", "bmc.example", "6230"},
	} {
		s := newStub(t, isOn+`; echo 'Chassis Power Control: Down/Off'`)
		for privilege, level := range map[string]string{"admin": "ADMINISTRATOR", "operator": "OPERATOR"} {
			s.forget(t)
			m := s.method(t, func(o *ipmi.Options) { o.Address, o.Cipher, o.Privilege = test.address, "17", privilege })
			if r := m.Power(t.Context()); r.Power != fence.On {
				t.Fatalf("%+v", r)
			}
			if err := m.Off(t.Context()); err != nil {
				t.Fatal(err)
			}
			for i, call := range s.lines(t, "calls") {
				for _, want := range []string{"-I lanplus ", "-H " + test.host + " ", "-p " + test.port + " ", "-U admin ", "-E ", "-C 17 "} {
					if !strings.Contains(call, want) {
						t.Errorf("%q lacks %q", call, want)
					}
				}
				if (i == 1 || privilege == "operator") && (!strings.Contains(call, "-L "+level+" ") || !strings.Contains(call, "-N 2 -R 2 ")) {
					t.Errorf("%q lacks its level or its bounds", call)
				}
			}
		}
	}
}

// The password goes by the environment, which holds nothing else, and stands in
// no argument, reading, error or print.
func TestPasswordIsHidden(t *testing.T) {
	s := newStub(t, `echo "you said $IPMITOOL_PASSWORD"; exit 1`)
	o := ipmi.Options{Address: "192.0.2.1", Username: "admin", Password: password, Tool: s.path(), Now: time.Now}
	m := s.method(t, nil)
	var log strings.Builder
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	r := m.Power(t.Context())
	err := m.Off(t.Context())
	logger.Info("x", "options", o, "reading", r, "error", err)
	if data, readErr := os.ReadFile(filepath.Join(s.dir, "env")); readErr != nil || !strings.Contains(string(data), "IPMITOOL_PASSWORD="+password) {
		t.Errorf("environment %q, %v", data, readErr)
	}
	for _, line := range s.lines(t, "env") {
		name, _, _ := strings.Cut(line, "=")
		if !slices.Contains([]string{"IPMITOOL_PASSWORD", "PWD", "OLDPWD", "SHLVL", "_"}, name) { // the others are the shell's own
			t.Errorf("the child got %s", name)
		}
	}
	for what, text := range map[string]string{"arguments": strings.Join(s.lines(t, "calls"), "\n"), "log": log.String(), "raw": r.Raw, "error": err.Error(),
		"%v": fmt.Sprintf("%v", o), "%+v": fmt.Sprintf("%+v", o), "%#v": fmt.Sprintf("%#v", o), "%s": fmt.Sprintf("%s %v", o, &o)} {
		if strings.Contains(text, password) {
			t.Errorf("%s: the password shows in %q", what, text)
		}
	}
}

// What ipmitool writes, and what it means. Each is from ipmitool 1.8.19 against
// ipmi_sim, with -v where it failed.
func TestMeanings(t *testing.T) {
	const session = "Error: Unable to establish IPMI v2 / RMCP+ session"
	for _, test := range []struct {
		name, out string
		code      int
		power     fence.Power
		cause     fence.Cause
		refused   bool
	}{
		{"on", "Chassis Power is on", 0, fence.On, "", false},
		{"off", "Chassis Power is off", 0, fence.Off, "", false},
		{"off among warnings", "IANA PEN registry open failed\nChassis Power is off\nGet HPM.x Capabilities request failed, compcode = d4", 0, fence.Off, "", false},
		{"off and on", "Chassis Power is off\nChassis Power is on", 0, fence.Unknown, fence.CauseProtocol, true},
		{"off in a longer line", "Chassis Power is off-line", 0, fence.Unknown, fence.CauseProtocol, true},
		{"off quoted", "last state: Chassis Power is off", 0, fence.Unknown, fence.CauseProtocol, true},
		{"off in capitals", "Chassis power is OFF", 0, fence.Unknown, fence.CauseProtocol, true},
		{"nothing", "", 0, fence.Unknown, fence.CauseProtocol, true},
		{"off, but it failed", "Chassis Power is off", 1, fence.Unknown, fence.CauseProtocol, true},
		{"wrong password", "Loading IANA PEN Registry...\n> RAKP 2 HMAC is invalid\n" + session, 1, fence.Unknown, fence.CauseAuth, true},
		{"wrong user", "RAKP 2 message indicates an error : unauthorized name\n" + session, 1, fence.Unknown, fence.CauseAuth, true},
		{"privilege", "RAKP 2 message indicates an error : unauthorized role or privilege level requested\n" + session, 1, fence.Unknown, fence.CauseAuth, true},
		{"session table full", "RAKP 2 message indicates an error : insufficient resources for session\n" + session, 1, fence.Unknown, fence.CauseBusy, true},
		{"node busy", "Get Chassis Power Status failed: Node busy", 1, fence.Unknown, fence.CauseBusy, true},
		{"cipher", "Error in open session response message : invalid authentication algorithm\n\n" + session, 1, fence.Unknown, fence.CauseProtocol, true},
		{"silent", "Get Auth Capabilities error\nError issuing Get Channel Authentication Capabilities request\n" + session, 1, fence.Unknown, fence.CauseUnreachable, false},
		{"no such name", "Address lookup for nosuch.invalid failed\nCould not open socket!\n" + session, 1, fence.Unknown, fence.CauseUnreachable, false},
		{"lost on the way", "Unable to get Chassis Power Status", 1, fence.Unknown, fence.CauseUnreachable, false},
		{"off lost on the way", "Unable to set Chassis Power Control to Down/Off", 1, fence.Unknown, fence.CauseUnreachable, false},
		{"no power status", "Running Get VSO Capabilities my_addr 0x20, transit 0, target 0x20\nInvalid completion code received: Insufficient privilege level\nGet Chassis Power Status failed: Unspecified error", 1, fence.Unknown, fence.CauseProtocol, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newStub(t, fmt.Sprintf("cat <<'EOT'\n%s\nEOT\nexit %d", test.out, test.code))
			m := s.method(t, nil)
			r := m.Power(t.Context())
			if r.Power != test.power || r.Cause != test.cause || r.Method != "ipmi" || r.Ended.Before(r.Began) {
				t.Errorf("reading %+v", r)
			}
			if strings.Contains(r.Raw, "\n") || len(r.Raw) > 160 {
				t.Errorf("raw %q", r.Raw)
			}
			err := m.Off(t.Context())
			e, ok := errors.AsType[*fence.Error](err)
			want := test.cause
			if want == "" { // it did not say that off was accepted
				want, test.refused = fence.CauseProtocol, true
			}
			if !ok || e.Cause != want || e.Refused != test.refused || e.Method != "ipmi" {
				t.Errorf("off: %+v", err)
			}
		})
	}
}

// A BMC that refuses what is so already has accepted it; any other refusal, and a
// state that is another, are errors.
func TestRefusedAsItIsSo(t *testing.T) {
	const already = "echo 'Set Chassis Power Control to Down/Off failed: Command not supported in present state'; exit 1"
	for _, test := range []struct {
		name, says, state string
		ok                bool
	}{
		{"off already", already, isOff, true},
		{"but it is on", already, isOn, false},
		{"but it cannot tell", already, "exit 1", false},
		{"another refusal while off", "echo 'Set Chassis Power Control to Down/Off failed: Insufficient privilege level'; exit 1", isOff, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newStub(t, `case "$*" in *status) `+test.state+`;; *) `+test.says+`;; esac`)
			if err := s.method(t, nil).Off(t.Context()); (err == nil) != test.ok {
				t.Errorf("off: %v", err)
			}
		})
	}
}

// A refused login is looked at again with -v once; from then on each reading is
// one login, until one succeeds.
func TestFewLogins(t *testing.T) {
	s := newStub(t, `case "$*" in -v*) echo 'RAKP 2 HMAC is invalid';; esac; echo 'Error: Unable to establish IPMI v2 / RMCP+ session'; exit 1`)
	m := s.method(t, nil)
	for i, want := range []int{2, 1, 1} {
		s.forget(t)
		if r := m.Power(t.Context()); r.Cause != fence.CauseAuth || len(s.lines(t, "calls")) != want {
			t.Errorf("reading %d: %+v in %d logins, want %d", i+1, r, len(s.lines(t, "calls")), want)
		}
	}
	s.does(t, isOn)
	for range 2 {
		s.forget(t)
		if r := m.Power(t.Context()); r.Power != fence.On || len(s.lines(t, "calls")) != 1 {
			t.Errorf("%+v after %q", r, s.lines(t, "calls"))
		}
	}
	if calls := s.lines(t, "calls"); strings.HasPrefix(calls[0], "-v") {
		t.Errorf("still explains: %q", calls)
	}
}

// slack is what a machine that is busy may add to a time-out: less than what hangs lasts.
const slack = 30 * time.Second

// A hanging ipmitool ends with its context, and is gone then.
func TestHangs(t *testing.T) {
	s := newStub(t, "exec sleep 60")
	m := s.method(t, nil)
	for name, end := range map[string]func() (context.Context, context.CancelFunc){
		"deadline": func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(t.Context(), 300*time.Millisecond)
		},
		"cancel": func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(t.Context())
			return ctx, func() { time.AfterFunc(300*time.Millisecond, cancel) }
		},
	} {
		ctx, cancel := end()
		if name == "cancel" {
			cancel()
		}
		began := time.Now()
		r := m.Power(ctx)
		if r.Power != fence.Unknown || r.Cause != fence.CauseUnreachable || time.Since(began) > slack {
			t.Errorf("%s: %+v after %v", name, r, time.Since(began))
		}
		cancel()
		ctx, cancel = context.WithTimeout(t.Context(), 300*time.Millisecond)
		began = time.Now()
		err := m.Off(ctx)
		if e, ok := errors.AsType[*fence.Error](err); !ok || e.Cause != fence.CauseUnreachable || e.Refused || time.Since(began) > slack {
			t.Errorf("%s: %+v after %v", name, err, time.Since(began))
		}
		cancel()
	}
	if !s.gone(t) {
		t.Error("an ipmitool is left")
	}
}

// A reading ends in time even where a script's child holds the output.
func TestReadingOfAWrapper(t *testing.T) {
	s := newStub(t, "sleep 40; true")
	m := s.method(t, func(o *ipmi.Options) { o.Timeout = 300 * time.Millisecond })
	began := time.Now()
	if r := m.Power(t.Context()); r.Cause != fence.CauseUnreachable || time.Since(began) > slack {
		t.Errorf("%+v after %v", r, time.Since(began))
	}
}

// A command's children end with it, and it ends by its own time-out too.
func TestCommandsOfAWrapper(t *testing.T) {
	s := newStub(t, "sleep 60; true")
	m := s.method(t, func(o *ipmi.Options) { o.Timeout = 300 * time.Millisecond })
	began := time.Now()
	if err := m.Off(t.Context()); err == nil || time.Since(began) > slack {
		t.Errorf("%v after %v", err, time.Since(began))
	}
	if !s.gone(t) {
		t.Error("the wrapper is left")
	}
}

// A command does not outlive us: a power-on that comes late would undo the off of
// whoever fences next. The child of this test is killed while it commands.
func TestCommandDiesWithUs(t *testing.T) {
	if dir := os.Getenv("IPMI_TEST_DIR"); dir != "" {
		_ = stub{dir}.method(t, nil).On(t.Context())
		return
	}
	s := newStub(t, "exec sleep 60")
	us := exec.Command(os.Args[0], "-test.run=^TestCommandDiesWithUs$")
	us.Env = append(os.Environ(), "IPMI_TEST_DIR="+s.dir)
	if err := us.Start(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); len(s.lines(t, "pids")) == 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			us.Process.Kill()
			t.Fatal("it never commanded")
		}
	}
	us.Process.Kill()
	us.Wait()
	if !s.gone(t) {
		t.Error("the command is still under way")
	}
}

func TestValidate(t *testing.T) {
	good := ipmi.Options{Address: "192.0.2.1", Username: "admin", Password: password, Tool: "/bin/true", Now: time.Now}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for want, spoil := range map[string]func(*ipmi.Options){
		"host name or IP address": func(o *ipmi.Options) { o.Address = "" },
		"IP address":              func(o *ipmi.Options) { o.Address = "-f/etc/passwd" },
		"port must be":            func(o *ipmi.Options) { o.Address = "bmc:0" },
		"port must":               func(o *ipmi.Options) { o.Address = "bmc:65536" },
		"give host, host:port":    func(o *ipmi.Options) { o.Address = "bmc:623:623" },
		"username missing":        func(o *ipmi.Options) { o.Username = "" },
		"carries 16":              func(o *ipmi.Options) { o.Username = strings.Repeat("u", 17) },
		"password missing":        func(o *ipmi.Options) { o.Password = "" },
		"carries 20":              func(o *ipmi.Options) { o.Password = strings.Repeat("p", 21) },
		"zero byte":               func(o *ipmi.Options) { o.Password = "a\x00b" },
		"let anybody in":          func(o *ipmi.Options) { o.Cipher = "0" },
		"cipher \"x\"":            func(o *ipmi.Options) { o.Cipher = "x" },
		"privilege":               func(o *ipmi.Options) { o.Privilege = "callback" },
		"install the package":     func(o *ipmi.Options) { o.Tool = "/nonexistent/ipmitool" },
		"is negative":             func(o *ipmi.Options) { o.Timeout = -1 },
		"Now missing":             func(o *ipmi.Options) { o.Now = nil },
	} {
		o := good
		spoil(&o)
		err := o.Validate()
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("want one fault with %q, got %v", want, err)
		}
		if _, newErr := ipmi.New(o); newErr == nil {
			t.Errorf("%s: New takes it", want)
		}
	}
	if all := (ipmi.Options{Cipher: "0"}).Validate(); strings.Count(all.Error(), "\n") < 4 {
		t.Errorf("not all faults at once: %v", all)
	}
}
