package cli

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/config"
	"github.com/lifeboat-ha/lifeboat/config/identity"
	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/evacuate/api"
	"github.com/lifeboat-ha/lifeboat/nova"
)

var update = flag.Bool("update", false, "write testdata/*.golden anew")

const token = "token-of-the-tests"

var start = time.Date(2026, 11, 21, 6, 0, 0, 0, time.UTC)

func TestMain(m *testing.M) {
	time.Local = time.UTC
	for _, name := range []string{"LIFEBOAT_API", "LIFEBOAT_TOKEN_FILE", "LIFEBOAT_CA"} {
		_ = os.Unsetenv(name)
	}
	_ = os.Setenv("SUDO_USER", "ann")
	os.Exit(m.Run())
}

// controller is what stands behind the API of the tests.
type controller struct {
	mu       sync.Mutex
	state    *evacuate.State
	frozen   string
	leader   string
	commands []api.Command
	err      error
}

func newController() *controller {
	s := evacuate.NewState()
	s.Controllers["ctl1"] = &evacuate.Controller{ID: "ctl1", Address: "10.0.0.11:7947"}
	s.Hosts["cmp1"] = &evacuate.Host{Name: "cmp1", Enrolled: start, Instances: []nova.ServerID{"s1", "s2"}}
	s.Hosts["cmp2"] = &evacuate.Host{Name: "cmp2", Enrolled: start, PoweredOn: start.Add(-48 * time.Hour)}
	s.Recoveries["r1"] = &evacuate.Recovery{ID: "r1", Host: "cmp2", Status: evacuate.StatusOpen, Opened: start, LastHeard: start.Add(-5 * time.Second),
		Hold:        &evacuate.Hold{Step: evacuate.StepFence, Reason: "unreachable: no answer", Since: start.Add(3 * time.Second)},
		Evacuations: []*evacuate.Evacuation{{Server: "s3", Name: "web", State: evacuate.EvacDone, Dest: "cmp1"}, {Server: "s4", Name: "db", State: evacuate.EvacPlanned}},
		Timeline:    []evacuate.Event{{At: start, By: "ctl1", Text: "Dead: silent to all"}, {At: start.Add(3 * time.Second), By: "ctl1", Text: "held at fence"}}}
	s.Recoveries["r0"] = &evacuate.Recovery{ID: "r0", Host: "cmp1", Status: evacuate.StatusClosed, Outcome: evacuate.OutcomeReturned, Opened: start.Add(-time.Hour),
		Timeline: []evacuate.Event{{At: start.Add(-time.Hour), By: "ctl1", Text: "Dead: once"}, {At: start.Add(time.Second), By: "ctl1", Text: "cmp1 is back in service"}}}
	s.Mode, s.ModeBy, s.ModeAt, s.ModeReason = evacuate.ModeApprove, "ann", start, "first month"
	s.AggregateModes = map[string]*evacuate.Setting{"gpu": {Mode: evacuate.ModeShadow, Mark: evacuate.Mark{By: "bob", Says: "root", At: start}}}
	p := &evacuate.Proposal{ID: "p1", Host: "cmp2", Boot: "b2", Status: evacuate.PlanWaiting, Prepared: start, Expires: start.Add(15 * time.Minute), Storm: "storm1", Down: 3,
		Why: "mode is approve: it asks", Verdict: detector.Dead, Detail: "silent to all", Evidence: []string{"last heard by: ctl1 9s ago"}, Methods: []string{"redfish", "ipmi"},
		Instances: []evacuate.PlannedInstance{{ID: "s3", Name: "web", VMState: "active", Move: true}, {ID: "s4", Name: "db", VMState: "paused", Reason: "state paused"}},
		Answers:   []evacuate.Answer{{Gate: evacuate.GateArmed, Reason: "mode is approve: it asks"}}}
	s.Plans = []*evacuate.Proposal{p}
	s.Shadow = []*evacuate.ShadowDecision{{ID: "s1", Host: "cmp1", At: start, Score: evacuate.ScoreWrong, Why: "heard again 14s later with the same boot id", Plan: p}, {ID: "s2", Host: "cmp2", At: start, Plan: p}}
	s.Journal = []evacuate.Event{{At: start.Add(-time.Minute), By: "ann", Text: "mode of the cloud: approve"}}
	return &controller{state: s, leader: "ctl1"}
}

func (c *controller) Status() api.Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	return api.Status{Cluster: "test", ClusterID: "c1", Controller: "ctl1", Leader: c.leader, Leads: c.leader == "ctl1", Term: 3, Voters: []string{"ctl1", "ctl2", "ctl3"},
		Writable: c.leader != "", Mode: evacuate.ModeAuto, Frozen: c.frozen, NovaAge: 1234 * time.Millisecond, Hosts: 2, Version: "1.2.3",
		Cloud: detector.Cloud{Condition: detector.SegmentFault, Reason: detector.ReasonDomainSilent, Detail: "5 of 5 hosts of rack2 fell silent within 1s", Domains: []detector.Domain{"rack2"}}, CloudFor: 42 * time.Second}
}

func (c *controller) State() *evacuate.State { return c.state }

func (c *controller) Verdicts() map[nova.HostName]detector.Verdict {
	return map[nova.HostName]detector.Verdict{
		"cmp1": {Host: "cmp1", State: detector.Healthy, Reason: detector.ReasonHeartbeat, Detail: "heard 200ms ago", View: detector.View{Domain: "rack1"}},
		"cmp2": {Host: "cmp2", State: detector.Dead, Reason: detector.ReasonSilent, Detail: "silent to all", View: detector.View{Domain: "rack2"}},
	}
}

func (c *controller) Explain(host nova.HostName) (evacuate.Explanation, bool) {
	v, ok := c.Verdicts()[host]
	return evacuate.Explain(c.state, evacuate.Decision{Point: evacuate.AtPowerOff, Answers: []evacuate.Answer{{Gate: evacuate.GateLeader, Pass: true, Reason: "leads for 1m"}}}, v, start), ok
}

func (c *controller) Alerts() []api.Alert {
	return []api.Alert{{Name: api.AlertNotFenceable, Host: "cmp2", Text: "its BMC was not seen to read on"}}
}

func (c *controller) Command(_ context.Context, q api.Command) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.commands = append(c.commands, q)
	if q.Verb == api.VerbSnapshot {
		return "bGVkZ2Vy", c.err // "ledger"
	}
	return "done: " + q.Verb, c.err
}

// rotating is a ring whose key is being replaced.
func rotating() api.RingStatus {
	old, next := evacuate.RingKeyName{}, evacuate.RingKeyName{Epoch: 1, Fingerprint: "51f0c5a3d2b49e87"}
	return api.RingStatus{Rotation: &evacuate.RingRotation{Phase: evacuate.RingDistribute, Old: old, New: next, By: "ann", Begun: start, Since: start},
		Waiting: []string{"cmp2 has 0:0"}}
}

// shellOf serves a controller and gives a function that runs the shell on it.
func shellOf(t *testing.T, c *controller, h Hooks) func(args ...string) (out, err string, code int) {
	t.Helper()
	return shellAt(t, serve(t, c, api.Options{Ring: rotating}), h)
}

// serve serves a controller's API, to whom may fence, and gives its address.
func serve(t *testing.T, c *controller, o api.Options) (url string) {
	t.Helper()
	o.Source, o.Commander, o.Tokens = c, c, map[string]api.Principal{token: {Name: "ann", Role: api.RoleFence}}
	o.Log, o.Now = slog.New(slog.DiscardHandler), time.Now
	handler, err := api.New(o)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(handler)
	t.Cleanup(srv.Close)
	return srv.URL
}

func shellAt(t *testing.T, url string, h Hooks) func(args ...string) (out, err string, code int) {
	file := secretFile(t, token)
	return func(args ...string) (string, string, int) {
		return run(t.Context(), h, append([]string{"--api", url, "--token-file", file}, args...)...)
	}
}

func run(ctx context.Context, h Hooks, args ...string) (out, errs string, code int) {
	var o, e bytes.Buffer
	if h.Version == "" {
		h.Version = "1.2.3"
	}
	if h.Now == nil {
		h.Now = func() time.Time { return start }
	}
	root := Root(h)
	root.SetOut(&o)
	root.SetErr(&e)
	root.SetArgs(args)
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(&e, err)
		code = exitCode(err)
	}
	return o.String(), e.String(), code
}

func secretFile(t *testing.T, secret string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestGolden(t *testing.T) {
	do := shellOf(t, newController(), Hooks{})
	for name, args := range map[string]string{
		"status": "status", "status-json": "status -o json", "hosts": "hosts", "hosts-json": "hosts -o json", "host": "host cmp1",
		"explain": "explain cmp2", "recoveries": "recoveries", "recovery": "recovery r1", "events": "events", "events-json": "events -o json",
		"ring": "ring status", "plans": "plans", "plan": "plan p1", "shadow": "shadow", "modes": "mode",
		"alerts": "alerts", "controllers": "controllers", "arm": "arm auto", "freeze-json": "freeze on -o json", "version": "version", "help": "",
	} {
		t.Run(name, func(t *testing.T) {
			out, errs, code := do(strings.Fields(args)...)
			if code != 0 || errs != "" {
				t.Fatalf("exit code %d: %s", code, errs)
			}
			golden(t, name, out)
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}

func TestStatusWithoutLeader(t *testing.T) {
	c := newController()
	c.leader, c.frozen = "", "by ann"
	out, _, _ := shellOf(t, c, Hooks{})("status")
	for _, want := range []string{"NONE", "NOT WRITABLE", "FROZEN", "by ann"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	if strings.Contains(out, " writable") { // scripts wait for that word
		t.Errorf("writable in\n%s", out)
	}
}

func TestCommands(t *testing.T) {
	c := newController()
	do := shellOf(t, c, Hooks{})
	snap := filepath.Join(t.TempDir(), "snap")
	if err := os.WriteFile(snap, []byte("saved"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, k := range []struct {
		args string
		want api.Command
	}{
		{"arm observe", api.Command{Verb: "arm", Word: "observe"}},
		{"freeze on --reason storm", api.Command{Verb: "freeze", Flag: true, Reason: "storm"}},
		{"freeze off", api.Command{Verb: "freeze"}},
		{"freeze", api.Command{Verb: "freeze", Flag: true}},
		{"unfreeze --reason over", api.Command{Verb: "freeze", Reason: "over"}},
		{"drain --reason upgrade", api.Command{Verb: "drain", Flag: true, Reason: "upgrade"}},
		{"undrain", api.Command{Verb: "drain"}},
		{"mode auto --reason ready", api.Command{Verb: "mode", Word: "auto", Reason: "ready"}},
		{"mode shadow --host cmp1", api.Command{Verb: "mode", Word: "shadow", Host: "cmp1"}},
		{"mode inherit --aggregate gpu", api.Command{Verb: "mode", Word: "inherit", Aggregate: "gpu"}},
		{"approve p1 --reason dark", api.Command{Verb: "approve", Word: "p1", Reason: "dark"}},
		{"approve --all-of storm1 --hosts 3", api.Command{Verb: "approve", Word: "storm1", Flag: true, Count: 3}},
		{"confirm-dead cmp2 --reason burnt --yes cmp2", api.Command{Verb: "confirm-dead", Host: "cmp2", Word: "cmp2", Flag: true, Reason: "burnt"}},
		{"reject p1 --reason alive", api.Command{Verb: "reject", Word: "p1", Reason: "alive"}},
		{"plan cmp1 --again", api.Command{Verb: "plan-again", Host: "cmp1"}},
		{"shadow score s1 right --reason seen", api.Command{Verb: "shadow-score", Word: "s1", Score: "right", Reason: "seen"}},
		{"cancel r1 --reason mistake", api.Command{Verb: "cancel", Word: "r1", Reason: "mistake"}},
		{"recovery r1 relist --reason mended", api.Command{Verb: "recovery-relist", Word: "r1", Reason: "mended"}},
		{"recovery r1 end --reason lost", api.Command{Verb: "recovery-end", Word: "r1", Reason: "lost"}},
		{"recovery r1 end --reason lost --force cmp2", api.Command{Verb: "recovery-end", Word: "r1", Reason: "lost", Flag: true, Host: "cmp2"}},
		{"maintenance cmp1 on --reason disk", api.Command{Verb: "maintenance", Host: "cmp1", Flag: true, Reason: "disk"}},
		{"release cmp2 --reason new-memory", api.Command{Verb: "release", Host: "cmp2", Reason: "new-memory"}},
		{"return cmp2", api.Command{Verb: "return", Host: "cmp2"}},
		{"token create cmp1", api.Command{Verb: "token", Host: "cmp1", Duration: time.Hour}},
		{"token create cmp1 --valid 10m", api.Command{Verb: "token", Host: "cmp1", Duration: 10 * time.Minute}},
		{"ring rotate --reason calendar", api.Command{Verb: "ring-rotate", Reason: "calendar"}},
		{"ring force", api.Command{Verb: "ring-force"}},
		{"ring abandon", api.Command{Verb: "ring-abandon"}},
		{"host-remove cmp1", api.Command{Verb: "host-remove", Host: "cmp1"}},
		{"controller add ctl4 10.0.0.14:7947", api.Command{Verb: "controller-add", Word: "ctl4", Address: "10.0.0.14:7947"}},
		{"controller remove ctl4", api.Command{Verb: "controller-remove", Word: "ctl4"}},
		{"ledger restore " + snap + " --adopt", api.Command{Verb: "restore", Data: []byte("saved"), Flag: true}},
	} {
		c.commands = nil
		out, errs, code := do(strings.Fields(k.args)...)
		k.want.By = "ann"
		if code != 0 || len(c.commands) != 1 || fmt.Sprint(c.commands[0]) != fmt.Sprint(k.want) {
			t.Errorf("%s: %d %s, sent %+v, want %+v", k.args, code, errs, c.commands, k.want)
		}
		if want := "done: " + k.want.Verb + "\n"; out != want { // a token alone goes into a file
			t.Errorf("%s printed %q, want %q", k.args, out, want)
		}
	}
}

func TestSnapshot(t *testing.T) {
	do := shellOf(t, newController(), Hooks{})
	file := filepath.Join(t.TempDir(), "ledger")
	if out, errs, code := do("ledger", "snapshot", file); code != 0 || out != file+": 6 bytes\n" {
		t.Fatalf("%d %s %s", code, out, errs)
	}
	b, err := os.ReadFile(file)
	info, _ := os.Stat(file)
	if err != nil || string(b) != "ledger" || info.Mode().Perm() != 0o600 {
		t.Errorf("%q %v %v", b, info.Mode(), err)
	}
	if _, errs, code := do("ledger", "snapshot", file); code != ExitRefused || !strings.Contains(errs, "is there already") {
		t.Errorf("it is replaced: %d %s", code, errs)
	}
}

func TestExitCodes(t *testing.T) {
	c := newController()
	do := shellOf(t, c, Hooks{})
	for _, k := range []struct {
		args string
		code int
		says string
	}{
		{"host nope", ExitNotFound, `no host "nope"`},
		{"host a/../b?c", ExitNotFound, `no host "a/../b?c"`},
		{"explain nope", ExitNotFound, `no host "nope"`},
		{"explain nope -o json", ExitNotFound, `no host "nope"`},
		{"recovery r9", ExitNotFound, `no recovery "r9"`},
		{"status x", ExitUsage, "lifeboat status"},
		{"host", ExitUsage, "accepts 1 arg(s)"},
		{"stauts", ExitUsage, "did you mean status?"},
		{"token crate cmp1", ExitUsage, "did you mean create?"},
		{"token", ExitUsage, "needs a command"},
		{"ledger save", ExitUsage, `no command "save"`},
		{"status --bogus", ExitUsage, "unknown flag"},
		{"status -o yaml", ExitUsage, "table or json"},
		{"arm all", ExitUsage, `unknown mode "all"`},
		{"freeze maybe", ExitUsage, "on or off"},
		{"maintenance cmp1 1", ExitUsage, "on or off"},
		{"token create cmp1 --valid -1h", ExitUsage, "--valid"},
		{"token create cmp1 --valid soon", ExitUsage, "--valid"},
		{"ledger restore /no/such/file", ExitUsage, "/no/such/file"},
		{"config check /no/such/file", ExitUsage, "/no/such/file"},
		{"ca init /tmp/x", ExitUsage, "cluster"},
		{"confirm-dead cmp2 --yes cmp2", ExitUsage, "give --reason"},
		{"confirm-dead cmp2 --reason burnt --yes cmp1", ExitRefused, "nothing was done"},
		{"status --token-file /no/such/file", ExitUsage, "/no/such/file"},
		{"status --ca /no/such/file", ExitUsage, "/no/such/file"},
		{"demo", ExitFailed, "no demo"},
	} {
		out, errs, code := do(strings.Fields(k.args)...)
		if code != k.code || !strings.Contains(errs, k.says) || out != "" {
			t.Errorf("%s: exit code %d, want %d; said %q and printed %q", k.args, code, k.code, errs, out)
		}
	}
	if len(c.commands) != 0 {
		t.Errorf("sent all the same: %+v", c.commands)
	}
	for err, want := range map[error]int{api.ErrNotFound: ExitNotFound, api.ErrRefused: ExitRefused, api.ErrNotLeader: ExitFailed, errors.New("disk full"): ExitFailed} {
		c.err = fmt.Errorf("%w: because", err)
		if out, errs, code := do("freeze", "on"); code != want || !strings.Contains(errs, "because") || strings.Count(errs, "\n") != 1 || out != "" {
			t.Errorf("%v: exit code %d, want %d: %q %q", err, code, want, errs, out)
		}
	}
}

func TestNoController(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	do := shellAt(t, srv.URL, Hooks{})
	if _, errs, code := do("host", "x"); code != ExitNotFound {
		t.Errorf("%d %s", code, errs)
	}
	srv.Close()
	if _, errs, code := do("status"); code != ExitFailed || !strings.Contains(errs, "no answer from the controller at "+srv.URL) {
		t.Errorf("%d %s", code, errs)
	}
	if _, errs, code := run(t.Context(), Hooks{}, "status"); code != ExitUsage || !strings.Contains(errs, "LIFEBOAT_TOKEN_FILE") {
		t.Errorf("without a token: %d %s", code, errs)
	}
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }))
	defer other.Close()
	if _, errs, code := shellAt(t, other.URL, Hooks{})("status"); code != ExitFailed || !strings.Contains(errs, "does not answer as a controller") {
		t.Errorf("%d %s", code, errs)
	}
}

func TestBestToken(t *testing.T) {
	for _, lines := range []string{"read " + token + "r\nfence " + token + "\noperate " + token + "o", "fence " + token + "\nread " + token + "r"} {
		c, err := newClient("http://x", secretFile(t, lines), "")
		if err != nil || c.token != token {
			t.Errorf("%v %v", c, err)
		}
	}
	open := secretFile(t, token)
	_ = os.Chmod(open, 0o644)
	if _, err := newClient("http://x", open, ""); err == nil || strings.Contains(err.Error(), token) {
		t.Errorf("a token that others read: %v", err)
	}
}

// TestFollow breaks the stream: the shell asks again and repeats nothing.
func TestFollow(t *testing.T) {
	streams := 0
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		streams++
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, `data: {"at":"2026-11-21T06:00:00Z","host":"cmp2","recovery":"r1","text":"dead"}`+"\n\n")
		if streams == 2 {
			_, _ = io.WriteString(w, `data: {"at":"2026-11-21T06:00:07Z","host":"cmp2","recovery":"r1","text":"proven off"}`+"\n\n")
		}
		if streams == 3 { // whoever asks again has read all that was before
			cancel()
			<-r.Context().Done()
		}
	}))
	defer srv.Close()
	out, errs, code := run(ctx, Hooks{}, "--api", srv.URL, "--token-file", secretFile(t, token), "events", "-f")
	want := "06:00:00.000  cmp2       r1     dead\n06:00:07.000  cmp2       r1     proven off\n"
	if out != want || code != 0 || streams != 3 || !strings.Contains(errs, "asking for it again") {
		t.Errorf("%d streams, exit code %d, said %q, printed\n%s", streams, code, errs, out)
	}
}

func TestEnroll(t *testing.T) {
	dir := t.TempDir()
	agent := filepath.Join(dir, "agent.yaml")
	body, err := os.ReadFile("../../deploy/agent.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(agent, body, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.LoadAgent(agent)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	h := Hooks{Enrol: func(_ context.Context, cfg *config.Agent, controller, token string) error {
		got = append(got, string(cfg.Host)+" "+controller+" "+token)
		return nil
	}}
	one, apis := secretFile(t, "one-time"), secretFile(t, token)
	t.Setenv("LIFEBOAT_TOKEN_FILE", apis)
	first := cfg.Controllers[0].String()
	for _, k := range []struct{ args, want string }{
		{"--enrol-token-file " + one, first + " one-time"},
		{"--token-file " + one + " --controller 10.0.0.9:7947", "10.0.0.9:7947 one-time"},
		{"--token-file " + apis + " --enrol-token-file " + one, first + " one-time"},
	} {
		got = nil
		out, errs, code := run(t.Context(), h, append([]string{"enroll", "--config", agent}, strings.Fields(k.args)...)...)
		if code != 0 || !slices.Equal(got, []string{string(cfg.Host) + " " + k.want}) || !strings.Contains(out, "is enrolled") {
			t.Errorf("%s: %d %s %s: %q", k.args, code, out, errs, got)
		}
	}
	got = nil
	if _, errs, code := run(t.Context(), h, "enroll", "--config", agent); code != ExitUsage || len(got) != 0 {
		t.Errorf("the API's token of the environment went to enrol: %d %s %q", code, errs, got)
	}
}

func TestFilesOfTheCA(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	for _, args := range []string{"ca init " + dir + " --cluster lab", "ca issue " + dir + " --id lbc1 --address 10.77.0.11,lbc1.example", "ring-key --out " + dir + "/ring.key"} {
		if _, errs, code := run(t.Context(), Hooks{}, strings.Fields(args)...); code != 0 {
			t.Fatalf("%s: %d %s", args, code, errs)
		}
		if _, errs, code := run(t.Context(), Hooks{}, strings.Fields(args)...); code != ExitRefused || strings.Count(errs, "\n") != 1 {
			t.Errorf("%s again: exit code %d: %s", args, code, errs)
		}
	}
	for name, mode := range map[string]os.FileMode{"ca.crt": 0o644, "ca.key": 0o600, "lbc1.crt": 0o644, "lbc1.key": 0o600, "ring.key": 0o600} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v %v", name, info, err)
		}
	}
	pem, _ := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if _, err := identity.Fingerprint(pem); err != nil {
		t.Error(err)
	}
	a, _, _ := run(t.Context(), Hooks{}, "ring-key")
	b, _, _ := run(t.Context(), Hooks{}, "ring-key")
	if len(a) != 45 || a == b {
		t.Errorf("keys %q and %q", a, b)
	}
}

func TestConfigCheck(t *testing.T) {
	if out, errs, code := run(t.Context(), Hooks{}, "config", "check", "../../deploy/agent.example.yaml"); code != 0 || !strings.Contains(out, "an agent's file") {
		t.Errorf("%d %s %s", code, out, errs)
	}
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("cluster: x\ncontroller:\n  idd: ctl1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, errs, code := run(t.Context(), Hooks{}, "config", "check", bad); code != ExitUsage || !strings.Contains(errs, "idd") {
		t.Errorf("%d %s", code, errs)
	}
}
