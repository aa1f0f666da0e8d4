package service

import (
	"io/fs"
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

// TestProcessOfAnotherUser: without CAP_SYS_PTRACE nobody is told whose namespace it is.
func TestProcessOfAnotherUser(t *testing.T) {
	proc := t.TempDir()
	for _, pid := range []string{"self", "7"} {
		if err := os.MkdirAll(filepath.Join(proc, pid), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(proc, "7", "cmdline"), []byte("/usr/bin/nova-compute\x00"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, refusal := range map[string]error{Up: fs.ErrPermission, Down: fs.ErrNotExist} {
		got := process(proc, "nova-compute", func(path string) (string, error) {
			if path == filepath.Join(proc, "self", "ns", "net") {
				return "net:[1]", nil
			}
			return "", &fs.PathError{Op: "readlink", Path: path, Err: refusal}
		})
		if got != want {
			t.Errorf("%v: %s, want %s", refusal, got, want)
		}
	}
}
