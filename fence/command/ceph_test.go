package command_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lifeboat-ha/lifeboat/fence/fencetest"
)

// Ceph in a few lines: who is shut out stands in a file, watchers in one for each image.
const (
	fakeCeph = `#!/bin/sh
cd "$(dirname "$0")" || exit 9
[ ! -e dead ] || exit 1
case "$*" in
*"blocklist add"*) echo "${10} 2027-01-01T00:00:00" >>out; [ "${11}" -gt 3600 ] ;;
*"blocklist rm"*) grep -vF "${10} " out >new; mv new out ;;
*"blocklist ls"*) cat out; echo "listed entries" >&2 ;;
esac
`
	fakeRBD = `#!/bin/sh
cd "$(dirname "$0")" || exit 9
[ ! -e dead ] || exit 1
case "$*" in
*" ls vms") echo disk1; echo disk2 ;;
*" ls volumes") ;;
*" status vms/disk1") echo "Watchers: none" ;;
*" status vms/disk2") echo "Watchers:"; cat watchers ;;
*) exit 1 ;;
esac
`
)

// TestCephExample plays deploy/storage/ceph-blocklist against it.
func TestCephExample(t *testing.T) {
	script, err := filepath.Abs("../../deploy/storage/ceph-blocklist")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	fencetest.Write(t, filepath.Join(dir, "ceph"), fakeCeph, 0o700)
	fencetest.Write(t, filepath.Join(dir, "rbd"), fakeRBD, 0o700)
	write := func(name, text string) { fencetest.Write(t, filepath.Join(dir, name), text, 0o600) }
	write("out", "10.1.0.211:0/0 2027-01-01T00:00:00\n10.1.0.21:0/3853293677 2027-01-01T00:00:00\n")
	write("watchers", "\twatcher=10.1.0.211:0/7 client.4 cookie=1\n")
	call := func(action, address string) (string, int) {
		cmd := exec.Command(script)
		cmd.Env = []string{"PATH=" + dir + ":/usr/bin:/bin"}
		cmd.Stdin = strings.NewReader("action=" + action + "\nhost=cmp1\naddress_management=10.0.0.21\naddress_storage=" + address + "\npools=vms volumes\nkeyring=/k\n")
		out, _ := cmd.CombinedOutput()
		return strings.TrimSpace(string(out)), cmd.ProcessState.ExitCode()
	}
	for i, step := range []struct {
		action, address string
		do              func()
		says            string
		code            int
	}{
		{"status", "10.1.0.21", nil, "Status: OPEN", 2}, // neighbours with a longer address, and one old client, are not it
		{"fence", "10.1.0.21", nil, "Status: FENCED", 0},
		{"fence", "10.1.0.21", nil, "Status: FENCED", 0},
		{"status", "10.1.0.21", nil, "Status: FENCED", 0},
		{"status", "10.1.0.21", func() { write("watchers", "\twatcher=10.1.0.21:0/9 client.5 cookie=1\n") }, "10.1.0.21 still watches an image", 1},
		{"status", "10.1.0.21", func() { write("watchers", "") }, "Status: FENCED", 0},
		{"status", "10.1.0.21", func() { write("dead", "") }, "the monitors do not list who is shut out", 1},
		{"fence", "10.1.0.21", nil, "the monitors did not take 10.1.0.21:0/0", 1},
		{"unfence", "10.1.0.21", nil, "the monitors do not list who is shut out", 1},
		{"unfence", "10.1.0.21", func() { _ = os.Remove(filepath.Join(dir, "dead")) }, "Status: OPEN", 0},
		{"status", "10.1.0.21", nil, "Status: OPEN", 2},
		{"status", "", nil, "the host has no address on network storage: give it one in hosts[].addresses", 1},
		{"fence", "2001:db8::7", nil, "Status: FENCED", 0},
		{"status", "2001:db8::7", nil, "Status: FENCED", 0},
		{"reboot", "10.1.0.21", nil, "no action reboot", 1},
	} {
		if step.do != nil {
			step.do()
		}
		if says, code := call(step.action, step.address); says != step.says || code != step.code {
			t.Errorf("%d, %s: %q, code %d; want %q, %d", i, step.action, says, code, step.says, step.code)
		}
	}
}
