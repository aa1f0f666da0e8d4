package app

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/config"
	"github.com/lifeboat-ha/lifeboat/detector/clock"
	"github.com/lifeboat-ha/lifeboat/evacuate"
)

// TestMain lets the test's own program be the gate of a container.
func TestMain(m *testing.M) {
	if len(os.Args) > 3 && os.Args[1] == "gate" && os.Args[2] == "--socket" {
		os.Exit(Exit(RunGate(GateOptions{Socket: os.Args[3], Command: os.Args[5:]})))
	}
	os.Exit(m.Run())
}

// answers serves a gate's socket that says these words in turn, the last for ever.
func answers(t *testing.T, path string, words ...gateWord) {
	t.Helper()
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o666); err != nil { //nolint:gosec // as the agent's
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for i := 0; ; i++ {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			_ = json.NewEncoder(conn).Encode(words[min(i, len(words)-1)])
			_ = conn.Close()
		}
	}()
}

// kollaStart stands for kolla's start script: the command of config.json is split at its
// spaces and takes the script's place; no shell reads it.
const kollaStart = "#!/bin/bash\nset -o errexit\nset -o pipefail\nset -o nounset\nCMD=$(cat \"$1\")\nARGS=\"\"\nexec ${CMD} ${ARGS}\n"

// TestGateInContainer: the command of deploy/containers, started as kolla starts it and not
// by root, waits at the socket without key or configuration, and becomes nova-compute.
func TestGateInContainer(t *testing.T) {
	dir, err := os.MkdirTemp("", "lb") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // another user enters it
		t.Fatal(err)
	}
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil { //nolint:gosec // it is run
			t.Fatal(err)
		}
		return path
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	write("lifeboat-agent", string(program))
	write("nova-compute", "#!/bin/sh\necho nova-compute runs as $(id -u) with $#\n")
	raw, err := os.ReadFile("../../deploy/containers/nova-compute.config.json")
	if err != nil {
		t.Fatal(err)
	}
	var container struct{ Command string }
	if err := json.Unmarshal(raw, &container); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "gate.sock")
	run := func(command string) (string, error) {
		cmd := exec.CommandContext(t.Context(), write("kolla_start", kollaStart), write("run_command", command))
		cmd.Env = []string{"PATH=" + dir + ":/usr/bin:/bin"}
		if os.Getuid() == 0 {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	answers(t, socket, gateWord{State: gateClosed, Reason: "recovery r9"}, gateWord{State: gateOpen, Reason: "no recovery"})
	out, err := run(strings.Replace(container.Command, "/run/lifeboat/gate.sock", socket, 1))
	shut, runs := strings.Index(out, "recovery r9"), strings.Index(out, "nova-compute runs as")
	if err != nil || shut < 0 || runs < shut || os.Getuid() == 0 && !strings.Contains(out, "runs as 65534 with 0") {
		t.Errorf("%v: %s", err, out)
	}
	if out, err := run("lifeboat-agent gate --socket " + socket + " -- no-such-program"); err == nil || !strings.Contains(out, "no-such-program") {
		t.Errorf("what is not there was run: %s", out)
	}
}

// TestGateDirectory: what the container mounts is there at boot before the agent: podman
// starts no container whose mount is missing, and does not try again.
func TestGateDirectory(t *testing.T) {
	for file, words := range map[string]string{
		"containers/kolla-globals.yml":    `"/run/lifeboat:/run/lifeboat:ro"`,
		"package/lifeboat-agent.tmpfiles": "\nd /run/lifeboat 0755 root root -\n",
		"package/lifeboat-agent.yaml":     "{src: deploy/package/lifeboat-agent.tmpfiles, dst: /usr/lib/tmpfiles.d/lifeboat-agent.conf}",
		"package/postinstall":             "systemd-tmpfiles --create lifeboat-agent.conf",
		"systemd/lifeboat-agent.service":  "\nRuntimeDirectoryPreserve=yes\n",
	} {
		if text, err := os.ReadFile(filepath.Join("../../deploy", file)); err != nil || !strings.Contains(string(text), words) {
			t.Errorf("deploy/%s does not say %q, %v", file, words, err)
		}
	}
}

// TestGateSocketShut: where nobody answers, or the gate is closed, it is not passed.
func TestGateSocketShut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "g")
	o := GateOptions{Socket: path, Once: true}
	if err := waitAtSocket(t.Context(), o); err == nil || !strings.Contains(err.Error(), "ask the agent") {
		t.Errorf("nobody answers: %v", err)
	}
	answers(t, path, gateWord{State: gateClosed, Reason: "not asked back"}, gateWord{State: gateOverridden}, gateWord{State: "ajar"})
	if err := waitAtSocket(t.Context(), o); err == nil || !strings.Contains(err.Error(), "not asked back") {
		t.Errorf("closed: %v", err)
	}
	if err := waitAtSocket(t.Context(), o); err != nil {
		t.Errorf("overridden: %v", err)
	}
	if err := waitAtSocket(t.Context(), o); err == nil {
		t.Error("a word that is not understood has opened it")
	}
	for _, o := range []GateOptions{{Socket: path, Override: true, Reason: "x"}, {Command: []string{"true"}}} {
		if err := RunGate(o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
}

// TestGateSocket: the agent answers at its socket what the leader says, and notes that it
// was asked in this boot.
func TestGateSocket(t *testing.T) {
	onSite(t, func(s *site) {
		a := s.enrolled(1)
		defer func() { _ = a.Kill() }()
		s.must("mode", "", "auto")
		k := &doorkeeper{a: a, g: &gatekeeper{agent: a, boot: a.boot, dir: a.cfg.DataDir}}
		if a.gateAsked() {
			t.Error("asked before it was")
		}
		if w := k.word(s.Context()); w.State != gateOpen || !a.gateAsked() {
			t.Errorf("nothing is under way: %+v, asked %t", w, a.gateAsked())
		}
		s.change(func(st *evacuate.State) {
			st.Recoveries["r9"] = &evacuate.Recovery{ID: "r9", Host: "cmp1", Boot: "before", Status: evacuate.StatusRecovered, Steps: map[evacuate.Step]*evacuate.StepRecord{},
				Evacuations: []*evacuate.Evacuation{{Server: "vm", State: evacuate.EvacFollowing, Attempt: 1}}}
		})
		time.Sleep(2 * time.Second)
		if w := k.word(s.Context()); w.State != gateClosed || !strings.Contains(w.Reason, "r9") {
			t.Errorf("an evacuation is on its way: %+v", w)
		}
		s.change(func(st *evacuate.State) { delete(st.Recoveries, "r9") })
		a.boot = "another"
		if a.gateAsked() {
			t.Error("a former boot's question counts")
		}
	})
}

// TestGateSocketServes: at a real socket, left there by an agent that was killed, whoever asks
// is answered; a mode that was told to a former boot is named as such; the socket goes with
// its agent.
func TestGateSocketServes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "g")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	_ = stale.Close()
	a := &Agent{cfg: &config.Agent{GateSocket: path, DataDir: t.TempDir(), Controllers: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:1")}},
		clock: clock.System(), log: slog.New(slog.DiscardHandler), stop: newStopper(), boot: "b2", caller: &http.Client{}}
	if err := a.openGate(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o666 {
		t.Errorf("the socket: %v %v", info, err)
	}
	if w, err := askSocket(t.Context(), path); err != nil || w.State != gateClosed || !w.Alone {
		t.Errorf("no controller answers: %+v %v", w, err)
	}
	a.mu.Lock()
	a.roster = roster{Watches: true, Boot: "b1"}
	a.mu.Unlock()
	var w gateWord
	for range 100 {
		if w, err = askSocket(t.Context(), path); err != nil || w.State == gateOpen {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err != nil || w.State != gateOpen || !strings.Contains(w.Reason, "former boot") {
		t.Errorf("the mode only watched: %+v %v", w, err)
	}
	if err := a.stop.stop(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the socket outlives its agent")
	}
}

// TestGateCries: a gate that no controller answers for is told on the host itself after a
// minute, once, and taken back as it opens; one that a controller closes is the controllers'.
func TestGateCries(t *testing.T) {
	motd := filepath.Join(t.TempDir(), "motd.d", "gate")
	var out bytes.Buffer
	c := &crier{motd: motd, out: &out}
	t0 := time.Unix(1000, 0)
	shown := func() bool { _, err := os.Stat(motd); return err == nil }
	for s := range 300 {
		c.heed(gateWord{State: gateClosed, Reason: "recovery r9", At: t0.Add(time.Duration(s) * time.Second)})
	}
	if shown() || out.Len() > 0 {
		t.Error("a controller's no is told")
	}
	for s := range 300 {
		c.heed(gateWord{State: gateClosed, Alone: true, At: t0.Add(time.Duration(s) * time.Second)})
		if want := s >= 60; shown() != want {
			t.Fatalf("after %d s: shown %t", s, shown())
		}
	}
	if n := strings.Count(out.String(), "<0>Lifeboat"); n != 1 {
		t.Errorf("cried %d times: %s", n, out.String())
	}
	c.heed(gateWord{State: gateOverridden, Alone: true, At: t0.Add(time.Hour)})
	if shown() {
		t.Error("it is open, and told as closed")
	}
	c = &crier{out: io.Discard}
	for s := range 90 {
		c.heed(gateWord{State: gateClosed, Alone: true, At: t0.Add(time.Duration(s) * time.Second)})
	}
}

// TestRosterLeaves: who debugs a service of a host in maintenance, or of a frozen cloud, does
// not fight its agent.
func TestRosterLeaves(t *testing.T) {
	onSite(t, func(s *site) {
		a := s.enrolled(1)
		defer func() { _ = a.Kill() }()
		s.must("mode", "", "auto")
		told := func(when, want string) {
			r, err := a.askRoster(s.Context(), ctlAt)
			a.adopt(r)
			if err != nil || !strings.HasPrefix(r.Leave, want) || (r.Leave == "") != (want == "") || a.untouched() != (want != "") {
				t.Errorf("%s: %q, untouched %t, %v", when, r.Leave, a.untouched(), err)
			}
		}
		told("in service", "")
		s.change(func(st *evacuate.State) { st.Hosts["cmp1"].Maintenance = true })
		told("in maintenance", "in maintenance")
		s.change(func(st *evacuate.State) { st.Hosts["cmp1"].Maintenance, st.Frozen = false, true })
		told("frozen", "frozen by")
		s.change(func(st *evacuate.State) { st.Frozen = false })
		told("again", "")
		if r := a.savedRoster(); r.Boot != a.boot {
			t.Errorf("told to boot %q", r.Boot)
		}
	})
}
