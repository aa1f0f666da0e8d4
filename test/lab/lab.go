// Package lab drives the lab of this folder (the command `lab`) from Go tests: a real
// OpenStack with powered hosts in network namespaces. Every helper runs that command,
// so whatever a test does, one can do by hand as well.
//
// The tests carry the build tag "lab"; they need root, Debian 12 and `lab install`:
//
//	go test -tags lab -count 1 -timeout 30m ./test/lab
package lab

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Dir is the lab's state directory.
func Dir() string {
	if d := os.Getenv("LAB"); d != "" {
		return d
	}
	return "/tmp/lifeboat-lab"
}

func command() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "lab")
}

// Try runs `lab ARGS...` and returns what it printed.
func Try(timeout time.Duration, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, command(), args...)
	cmd.WaitDelay = time.Second // daemons which it starts must not keep us
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if err != nil {
		return out.String() + errs.String(), err
	}
	return out.String(), nil
}

// Lab runs `lab ARGS...`, which must succeed.
func Lab(t testing.TB, args ...string) string {
	t.Helper()
	out, err := Try(5*time.Minute, args...)
	if err != nil {
		t.Fatalf("lab %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// lines splits the output of a command into the fields of its lines, at least n each.
func lines(t testing.TB, out string, n int) [][]string {
	t.Helper()
	var all [][]string
	for _, line := range strings.Split(out, "\n") {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if len(f) < n {
			t.Fatalf("lab printed %q: want %d fields", line, n)
		}
		all = append(all, f)
	}
	return all
}

// Up starts the lab with six computes if it does not run, and brings it back to a clean
// state: all hosts on and up, no servers, no faults, empty logs. At the end of the test
// it looks for second copies and heals what the test has broken.
func Up(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("the lab needs root")
	}
	Lab(t, "up", "6")
	Lab(t, "reset")
	t.Cleanup(func() {
		AssertNoSecondCopy(t)
		Lab(t, "reset")
	})
}

// Fault breaks something: see `lab` for the verbs. Up heals it in the end.
func Fault(t testing.TB, verb string, args ...string) {
	t.Helper()
	Lab(t, append([]string{"fault", verb}, args...)...)
}

// Heal undoes Fault.
func Heal(t testing.TB, verb string, args ...string) {
	t.Helper()
	Lab(t, append([]string{"heal", verb}, args...)...)
}

// Run runs a command in a namespace: lbctl, lbc1, lbbmc, cmp01...
func Run(namespace string, args ...string) (string, error) {
	return Try(time.Minute, append([]string{"run", namespace}, args...)...)
}

// Ping tells whether host answers lbc1's ping.
func Ping(host string) bool {
	_, err := Run("lbc1", "ping", "-c", "1", "-W", "1", Address(host))
	return err == nil
}

// Address is the address of a compute.
func Address(host string) string {
	n, _ := strconv.Atoi(strings.TrimPrefix(host, "cmp"))
	return "10.77.0." + strconv.Itoa(20+n)
}

// PowerOn tells whether host's machine is on: the truth, past its BMC.
func PowerOn(t testing.TB, host string) bool {
	t.Helper()
	return strings.TrimSpace(Lab(t, "power", host, "status")) == "on"
}

// BMC speaks to host's BMC as a controller would: on, off, status, reset, soft.
func BMC(t testing.TB, host, verb string) string {
	t.Helper()
	return strings.TrimSpace(Lab(t, "bmc", host, verb))
}

// Boot starts count servers on host and returns their ids once they are ACTIVE. More is
// what `lab boot` takes: a prefix for their names, then KEY=VALUE.
func Boot(t testing.TB, host string, count int, more ...string) []string {
	t.Helper()
	old := map[string]bool{}
	for _, s := range Servers(t) {
		old[s.ID] = true
	}
	Lab(t, append([]string{"boot", host, strconv.Itoa(count)}, more...)...)
	var ids []string
	for _, s := range Servers(t) {
		if !old[s.ID] {
			ids = append(ids, s.ID)
		}
	}
	if len(ids) != count {
		t.Fatalf("%d new servers on %s, want %d", len(ids), host, count)
	}
	return ids
}

// Server is one server as Nova shows it. Host and Task are "-" when there is none.
type Server struct{ ID, Name, Status, Host, Task string }

// Servers asks Nova for all servers.
func Servers(t testing.TB) []Server {
	t.Helper()
	var all []Server
	for _, f := range lines(t, Lab(t, "servers"), 5) {
		all = append(all, Server{f[0], f[1], f[2], f[3], f[4]})
	}
	return all
}

// Service is one nova-compute as Nova shows it.
type Service struct {
	Host, Status, State string
	ForcedDown          bool
	Reason              string
}

// Services asks Nova for its computes, by host.
func Services(t testing.TB) map[string]Service {
	t.Helper()
	all := map[string]Service{}
	for _, f := range lines(t, Lab(t, "services"), 5) {
		all[f[0]] = Service{f[0], f[1], f[2], f[3] == "true", strings.Join(f[4:], " ")}
	}
	return all
}

// Migration is one evacuation as Nova recorded it.
type Migration struct{ ID, Server, Source, Dest, Status string }

// Migrations asks Nova for the evacuations away from host.
func Migrations(t testing.TB, host string) []Migration {
	t.Helper()
	var all []Migration
	for _, f := range lines(t, Lab(t, "migrations", host), 5) {
		all = append(all, Migration{f[0], f[1], f[2], f[3], f[4]})
	}
	return all
}

// Wait asks until condition holds, and fails the test if it never does.
func Wait(t testing.TB, what string, timeout time.Duration, condition func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	for !condition() {
		if time.Since(began) > timeout {
			t.Fatalf("after %v still waiting for %s", timeout, what)
		}
		time.Sleep(200 * time.Millisecond)
	}
	return time.Since(began)
}

// WaitEvacuated waits until n servers are at work elsewhere, with none left on the host
// they came from. One process asks: one for each question would take a core from Nova.
func WaitEvacuated(t testing.TB, from string, n int, timeout time.Duration) {
	t.Helper()
	out, err := Try(timeout+10*time.Second, "left", from, strconv.Itoa(n), strconv.Itoa(int(timeout/time.Second)))
	if err != nil {
		t.Fatalf("lab left %s: %v\n%s", from, err, out)
	}
}

// Copies counts the running guests of each server over all hosts, and the violations:
// how often a guest was started while it ran elsewhere, even if only for a moment.
func Copies(t testing.TB) (copies map[string]int, violations int) {
	t.Helper()
	copies = map[string]int{}
	for _, f := range lines(t, Lab(t, "copies"), 2) {
		n, err := strconv.Atoi(f[1])
		if err != nil {
			t.Fatal(err)
		}
		if f[0] == "violations" {
			violations = n
		} else {
			copies[f[0]] = n
		}
	}
	return copies, violations
}

// AssertNoSecondCopy fails the test if any server runs twice, or ever did.
func AssertNoSecondCopy(t testing.TB) {
	t.Helper()
	copies, violations := Copies(t)
	if violations > 0 {
		text, _ := os.ReadFile(filepath.Join(Dir(), "violations"))
		t.Errorf("%d times a guest was started while it ran elsewhere:\n%s", violations, text)
	}
	for id, n := range copies {
		if n > 1 {
			t.Errorf("%s runs %d times", id, n)
		}
	}
}

// EvacuatePosts tells how many evacuate POSTs Nova's API got for each server, whatever
// it answered.
func EvacuatePosts(t testing.TB) map[string]int {
	t.Helper()
	posts := map[string]int{}
	for _, f := range lines(t, Lab(t, "evacuations"), 2) {
		posts[f[0]], _ = strconv.Atoi(f[1])
	}
	return posts
}

// FirstPosts tells when each server was first POSTed an evacuation.
func FirstPosts(t testing.TB) map[string]time.Time {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(Dir(), "actions.log"))
	if err != nil {
		t.Fatal(err)
	}
	first := map[string]time.Time{}
	for _, f := range lines(t, string(text), 4) {
		seconds, err := strconv.ParseFloat(f[0], 64)
		if err != nil {
			t.Fatal(err)
		}
		if at := time.UnixMilli(int64(seconds * 1000)); f[2] == "evacuate" && (first[f[1]].IsZero() || at.Before(first[f[1]])) {
			first[f[1]] = at
		}
	}
	return first
}

// PowerCommand is a command that a BMC got: on, off, reset, soft or nmi.
type PowerCommand struct {
	Time time.Time
	Host string
	Verb string
}

// PowerLog is every power command that the BMCs got since Up. Commands to `lab power`
// do not go through a BMC and are not among them.
func PowerLog(t testing.TB) []PowerCommand {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(Dir(), "power.log"))
	if err != nil {
		t.Fatal(err)
	}
	var all []PowerCommand
	for _, f := range lines(t, string(text), 3) {
		seconds, err := strconv.ParseFloat(f[0], 64)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, PowerCommand{time.UnixMilli(int64(seconds * 1000)), f[1], f[2]})
	}
	return all
}

// Floor evacuates host by hand as quickly as this Nova can, and returns the times.
func Floor(t testing.TB, host string) string {
	t.Helper()
	return strings.TrimSpace(Lab(t, "floor", host))
}
