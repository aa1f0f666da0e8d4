package command_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/fence/command"
	"github.com/lifeboat-ha/lifeboat/fence/fencetest"
)

const password = "r1ght-word"

// metadata is as the suite's agents write it, shortened.
const metadata = `<?xml version="1.0" ?>
<resource-agent name="fence_stub" shortdesc="a stub">
<parameters>
	<parameter name="action" unique="0" required="1"><content type="string" default="reboot" /></parameter>
	<parameter name="auth" unique="0" required="0"><content type="select"><option value="md5" /><option value="none" /></content></parameter>
	<parameter name="ip" unique="0" required="1" obsoletes="ipaddr"><content type="string" /></parameter>
	<parameter name="ipaddr" unique="0" required="0" deprecated="1"><content type="string" /></parameter>
	<parameter name="lanplus" unique="0" required="0"><content type="boolean" default="0" /></parameter>
	<parameter name="method" unique="0" required="0"><content type="select" default="onoff"><option value="onoff" /><option value="cycle" /></content></parameter>
	<parameter name="missing_as_off" unique="0" required="0"><content type="boolean" /></parameter>
	<parameter name="password" unique="0" required="0" obsoletes="passwd"><content type="string" /></parameter>
	<parameter name="plug" unique="0" required="1" obsoletes="port"><content type="string" /></parameter>
	<parameter name="port" unique="0" required="0" deprecated="1"><content type="string" /></parameter>
	<parameter name="power_timeout" unique="0" required="0"><content type="second" default="20" /></parameter>
	<parameter name="verbose" unique="0" required="0"><content type="boolean" /></parameter>
</parameters>
<actions>
	<action name="on" automatic="0"/><action name="off" /><action name="reboot" /><action name="status" />
	<action name="monitor" /><action name="metadata" />
</actions>
</resource-agent>
`

// stub is an agent made of a few lines of shell.
type stub struct{ dir string }

// newStub makes an agent that notes what it is given and then runs body, with the
// action in $action.
func newStub(t *testing.T, body string) stub {
	t.Helper()
	s := stub{t.TempDir()}
	s.write(t, "metadata", metadata, 0o600)
	s.write(t, "fence_stub", fmt.Sprintf(`#!/bin/sh
cd %q
action=
while IFS= read -r line; do
  printf '%%s\n' "$line" >>stdin
  case "$line" in action=*) action=${line#action=} ;; esac
done
[ "$action" != metadata ] || { cat metadata; exit 0; }
tr '\0' ' ' </proc/$$/cmdline >>argv; tr '\0' '\n' </proc/$$/environ >>environ
echo $$ >>pids
%s
`, s.dir, body), 0o700)
	return s
}

func (s stub) write(t *testing.T, name, content string, mode os.FileMode) {
	t.Helper()
	fencetest.Write(t, filepath.Join(s.dir, name), content, mode)
}

func (s stub) read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func (s stub) agent(t *testing.T) *command.Agent {
	t.Helper()
	a, err := command.Load(t.Context(), filepath.Join(s.dir, "fence_stub"))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func options() command.Options {
	return command.Options{Address: "192.0.2.1", Parameters: map[string]string{"plug": "n1", "lanplus": "1"},
		Secrets: map[string]string{"password": password}, Timeout: 30 * time.Second, Now: time.Now}
}

func (s stub) method(t *testing.T) *command.Method {
	t.Helper()
	m, err := command.New(s.agent(t), options())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestPower: an exit code counts where the agent says the same in words.
func TestPower(t *testing.T) {
	for name, tt := range map[string]struct {
		body  string
		power fence.Power
		cause fence.Cause
		raw   string
	}{
		"on":                            {"echo 'Status: ON'; exit 0", fence.On, "", "Status: ON"},
		"off":                           {"echo 'Status: OFF'; exit 2", fence.Off, "", "Status: OFF"},
		"off, with a warning":           {"echo careful >&2; echo 'Status: OFF'; exit 2", fence.Off, "", "Status: OFF"},
		"code 2 without a word":         {"exit 2", fence.Unknown, fence.CauseProtocol, "code 2"},
		"a mistake of the shell":        {"if then", fence.Unknown, fence.CauseProtocol, "code 2"},
		"off with code 0":               {"echo 'Status: OFF'; exit 0", fence.Unknown, fence.CauseProtocol, "code 0"},
		"off with code 1":               {"echo 'Status: OFF'; exit 1", fence.Unknown, fence.CauseProtocol, "code 1"},
		"on with code 2":                {"echo 'Status: ON'; exit 2", fence.Unknown, fence.CauseProtocol, "code 2"},
		"both":                          {"echo 'Status: OFF'; echo 'Status: ON'; exit 2", fence.Unknown, fence.CauseProtocol, "code 2"},
		"says nothing, code 0":          {"exit 0", fence.Unknown, fence.CauseProtocol, "code 0"},
		"half a word":                   {"echo 'Status: OFFLINE'; exit 2", fence.Unknown, fence.CauseProtocol, "code 2"},
		"on standard error":             {"echo 'Status: OFF' >&2; exit 2", fence.Unknown, fence.CauseProtocol, "code 2"},
		"code 3":                        {"exit 3", fence.Unknown, fence.CauseProtocol, "code 3"},
		"killed":                        {"kill -9 $$", fence.Unknown, fence.CauseProtocol, "killed"},
		"off, killed after it":          {"echo 'Status: OFF'; kill -9 $$", fence.Unknown, fence.CauseProtocol, "killed"},
		"no login":                      {"echo 'Failed: Unable to connect/login to fencing device' >&2; exit 1", fence.Unknown, fence.CauseUnreachable, "Unable to connect"},
		"a wrong password":              {"echo '401 Unauthorized' >&2; exit 1", fence.Unknown, fence.CauseAuth, "Unauthorized"},
		"an agent that tells secrets":   {"cat stdin >&2; exit 1", fence.Unknown, fence.CauseProtocol, "redacted"},
		"a flood":                       {"i=0; while [ $i -lt 9000 ]; do echo aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; i=$((i+1)); done; echo 'Status: OFF'; exit 2", fence.Unknown, fence.CauseProtocol, "aaa..."},
		"a child that holds its output": {"sleep 30 & echo 'Status: ON'; exit 0", fence.Unknown, fence.CauseProtocol, "WaitDelay"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newStub(t, tt.body).method(t).Power(t.Context())
			if r.Power != tt.power || r.Cause != tt.cause || !strings.Contains(r.Raw, tt.raw) || strings.Contains(r.Raw, password) || len(r.Raw) > 200 {
				t.Errorf("%+v", r)
			}
			if r.Method != "fence_stub" || r.Began.IsZero() || r.Ended.Before(r.Began) {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestCommands(t *testing.T) {
	s := newStub(t, `echo "$action" >>done; [ "$action" = on ] || { echo "Failed: Timed out waiting to power OFF" >&2; exit 1; }`)
	m := s.method(t)
	if err := m.On(t.Context()); err != nil {
		t.Error(err)
	}
	err := m.Off(t.Context())
	e, ok := errors.AsType[*fence.Error](err)
	if !ok || e.Cause != fence.CauseNotHonoured || e.Method != "fence_stub" || e.Doing != "power off" {
		t.Errorf("%#v", err)
	}
	if got := s.read(t, "done"); got != "on\noff\n" {
		t.Errorf("called for %q", got)
	}
}

// TestSecretsOnStandardInputOnly looks at what the agent's process was given, and
// at whatever prints a method.
func TestSecretsOnStandardInputOnly(t *testing.T) {
	s := newStub(t, "echo 'Status: ON'")
	m := s.method(t)
	m.Power(t.Context())
	_ = m.Off(t.Context())
	want := "action=metadata\naction=status\nip=192.0.2.1\nlanplus=1\nplug=n1\npassword=" + password + "\naction=off\nip=192.0.2.1\nlanplus=1\nplug=n1\npassword=" + password + "\n"
	if got := s.read(t, "stdin"); got != want {
		t.Errorf("it was given %q", got)
	}
	if argv := s.read(t, "argv"); strings.Contains(argv, password) || strings.Contains(argv, "192.0.2.1") {
		t.Errorf("arguments: %q", argv)
	}
	for _, line := range strings.Fields(s.read(t, "environ")) {
		if !strings.HasPrefix(line, "PATH=") && !strings.HasPrefix(line, "LC_ALL=") && !strings.HasPrefix(line, "PWD=") {
			t.Errorf("environment: %q", line)
		}
	}
	var b strings.Builder
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "options", options(), "method", m)
	for _, text := range []string{fmt.Sprint(m), fmt.Sprintf("%+v", m), fmt.Sprintf("%#v", m), fmt.Sprint(options()), fmt.Sprintf("%+v", options()), fmt.Sprintf("%#v", options()), b.String()} {
		if strings.Contains(text, password) || !strings.Contains(text, "192.0.2.1") {
			t.Error(text)
		}
	}
}

// TestDeadline: at the end of its time an agent is killed with all that it started.
func TestDeadline(t *testing.T) {
	s := newStub(t, "sh -c 'echo $$ >>pids; exec sleep 60' & wait")
	m := s.method(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second) // it starts within that
	defer cancel()
	began := time.Now()
	if r := m.Power(ctx); r.Power != fence.Unknown || r.Cause != fence.CauseUnreachable {
		t.Errorf("%+v", r)
	}
	err := m.Off(ctx)
	if e, ok := errors.AsType[*fence.Error](err); !ok || e.Cause != fence.CauseUnreachable || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("took %v", took)
	}
	for _, pid := range strings.Fields(s.read(t, "pids")) {
		for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
			stat, err := os.ReadFile("/proc/" + pid + "/stat")
			if err != nil || strings.Contains(string(stat), ") Z ") {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("process %s is left: %s", pid, stat)
			}
		}
	}
}

func TestValidate(t *testing.T) {
	a := newStub(t, "").agent(t)
	if err := a.Validate(options()); err != nil {
		t.Fatal(err)
	}
	for want, spoil := range map[string]func(*command.Options){
		"ip is missing":                  func(o *command.Options) { o.Address = "" },
		"plug is given twice":            func(o *command.Options) { o.Plug = "n2" },
		"address is given twice":         func(o *command.Options) { o.Parameters["ipaddr"] = "192.0.2.2" },
		"it takes no username":           func(o *command.Options) { o.Username = "admin" },
		"it takes no port":               func(o *command.Options) { o.Address = "192.0.2.1:161" },
		"plug is missing":                func(o *command.Options) { delete(o.Parameters, "plug") },
		"did you mean plug":              func(o *command.Options) { o.Parameters["plugs"] = "2" },
		"no such parameter":              func(o *command.Options) { o.Secrets["passwort"] = "x" },
		"action: remove it":              func(o *command.Options) { o.Parameters["action"] = "reboot" },
		"would read off":                 func(o *command.Options) { o.Parameters["missing_as_off"] = "1" },
		"write its secrets down":         func(o *command.Options) { o.Parameters["verbose"] = "1" },
		"can't be verified":              func(o *command.Options) { o.Parameters["method"] = "cycle" },
		"use one of md5, none":           func(o *command.Options) { o.Parameters["auth"] = "sha" },
		"use 1 or 0":                     func(o *command.Options) { o.Parameters["lanplus"] = "maybe" },
		"\"soon\" is no number":          func(o *command.Options) { o.Parameters["power_timeout"] = "soon" },
		"it is empty":                    func(o *command.Options) { o.Secrets["password"] = "" },
		"line break":                     func(o *command.Options) { o.Secrets["password"] = "a\naction=on" },
		"blanks around it":               func(o *command.Options) { o.Secrets["password"] = " a" },
		"stands in quotes":               func(o *command.Options) { o.Secrets["password"] = `"a"` },
		"as a parameter and as a secret": func(o *command.Options) { o.Parameters["password"] = "x" },
		"is negative":                    func(o *command.Options) { o.Timeout = -1 },
		"Now missing":                    func(o *command.Options) { o.Now = nil },
	} {
		o := options()
		spoil(&o)
		err := a.Validate(o)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), password) {
			t.Errorf("want one fault with %q, got %v", want, err)
		}
		if _, newErr := command.New(a, o); newErr == nil {
			t.Errorf("%s: New takes it", want)
		}
	}
	o := options() // a former name is enough, or the newer one
	delete(o.Parameters, "plug")
	o.Parameters["port"] = "n1"
	if err := a.Validate(o); err != nil {
		t.Error(err)
	}
}

func TestLoad(t *testing.T) {
	good := newStub(t, "")
	for want, spoil := range map[string]func(s stub){
		"it has no action off": func(s stub) { s.write(t, "metadata", strings.Replace(metadata, `name="off"`, `name="of"`, 1), 0o600) },
		"metadata is not":      func(s stub) { s.write(t, "metadata", "usage: fence_stub", 0o600) },
		"ended with code 127":  func(s stub) { s.write(t, "fence_stub", "#!/bin/sh\nno-such-program", 0o700) },
		"is no program": func(s stub) {
			s.write(t, "fence_stub", "", 0o600)
			_ = os.Chmod(filepath.Join(s.dir, "fence_stub"), 0o600)
		},
		"written by others":         func(s stub) { _ = os.Chmod(filepath.Join(s.dir, "fence_stub"), 0o777) },
		"no such file":              func(s stub) { _ = os.Remove(filepath.Join(s.dir, "fence_stub")) },
		"no such file or directory": func(s stub) { _ = os.Remove(filepath.Join(s.dir, "fence_stub")) },
	} {
		s := newStub(t, "")
		spoil(s)
		if _, err := command.Load(t.Context(), filepath.Join(s.dir, "fence_stub")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	if _, err := command.Load(t.Context(), "fence_that_is_not_there"); err == nil || !strings.Contains(err.Error(), "install the package fence-agents") {
		t.Error(err)
	}
	good.write(t, "metadata", "warning: deprecated\n"+metadata, 0o600)
	var agents command.Agents
	for range 2 {
		if a, err := agents.Get(t.Context(), filepath.Join(good.dir, "fence_stub")); err != nil || a.Name != "fence_stub" {
			t.Error(a, err)
		}
	}
	if n := strings.Count(good.read(t, "stdin"), "metadata"); n != 1 {
		t.Errorf("asked %d times for its metadata", n)
	}
}
