package service

import (
	"os"
	"path/filepath"
	"testing"
)

func TestProcess(t *testing.T) {
	proc := t.TempDir()
	add := func(pid, net, cmdline string) {
		dir := filepath.Join(proc, pid, "ns")
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(net, filepath.Join(dir, "net")); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(proc, pid, "cmdline"), []byte(cmdline), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := Process(proc, "nova-compute"); got != Unknown {
		t.Errorf("without /proc: %s, want %s", got, Unknown)
	}
	add("self", "net:[1]", "")
	add("7", "net:[2]", "/usr/bin/python3\x00/usr/bin/nova-compute\x00")
	add("8", "net:[1]", "vi\x00/etc\x00x\x00nova-compute\x00")
	if got := Process(proc, "nova-compute"); got != Down {
		t.Errorf("only another host's: %s, want %s", got, Down)
	}
	add("9", "net:[1]", "/usr/bin/python3\x00/usr/bin/nova-compute\x00--config-file\x00x\x00")
	if got := Process(proc, "nova-compute"); got != Up {
		t.Errorf("its own runs: %s, want %s", got, Up)
	}
}
