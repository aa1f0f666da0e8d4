package command_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/fence/command"
	"github.com/lifeboat-ha/lifeboat/fence/fencetest"
)

// shelf is a program in the place of the operator's. It notes what it is given, and does
// and says what stands in the files of its directory: for each action its exit code and
// its words, and what the status is.
const shelf = `#!/bin/sh
cd "%s" || exit 9
tr '\0' '\n' <"/proc/$$/cmdline" >>argv
tr '\0' '\n' <"/proc/$$/environ" >>environ
while IFS= read -r line; do
  echo "$line" >>stdin
  case "$line" in action=*) action=${line#action=} ;; esac
done
%s
`

// behaves is one that keeps the contract.
const behaves = `case $action in
fence) touch gone; echo "Status: FENCED" ;;
unfence) rm -f gone; echo "Status: OPEN" ;;
status) if [ -e gone ]; then echo "Status: FENCED"; else echo "Status: OPEN"; exit 2; fi ;;
*) exit 1 ;;
esac`

var machine = command.Machine{Host: "cmp1", Addresses: map[string]netip.Addr{"storage": netip.MustParseAddr("10.2.0.7"), "management": netip.MustParseAddr("2001:db8::7")}}

func newShelf(t *testing.T, body string) (*command.Storage, string) {
	t.Helper()
	dir := t.TempDir()
	fencetest.Write(t, filepath.Join(dir, "cut"), fmt.Sprintf(shelf, dir, body), 0o700)
	s, err := command.NewStorage(command.StorageOptions{Program: filepath.Join(dir, "cut"), Parameters: map[string]string{"pool": "vms"},
		Secrets: map[string]string{"key": password}, Timeout: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return s, dir
}

func TestStorage(t *testing.T) {
	s, dir := newShelf(t, behaves)
	if gone, err := s.Gone(t.Context(), machine); gone || err != nil {
		t.Error(gone, err)
	}
	for range 2 { // again is as good
		if err := s.Fence(t.Context(), machine); err != nil {
			t.Error(err)
		}
	}
	if gone, err := s.Gone(t.Context(), machine); !gone || err != nil {
		t.Error(gone, err)
	}
	for range 2 {
		if err := s.Unfence(t.Context(), machine); err != nil {
			t.Error(err)
		}
	}
	if gone, err := s.Gone(t.Context(), machine); gone || err != nil {
		t.Error(gone, err)
	}
	given, _ := os.ReadFile(filepath.Join(dir, "stdin"))
	for _, action := range []string{"status", "fence", "unfence"} {
		want := "action=" + action + "\nhost=cmp1\naddress_management=2001:db8::7\naddress_storage=10.2.0.7\npool=vms\nkey=" + password + "\n"
		if !strings.Contains(string(given), want) {
			t.Errorf("%s was not given as %q:\n%s", action, want, given)
		}
	}
	for _, name := range []string{"argv", "environ"} {
		if text, err := os.ReadFile(filepath.Join(dir, name)); err != nil || strings.Contains(string(text), password) || strings.Contains(string(text), "cmp1") {
			t.Errorf("%s: %s, %v", name, text, err)
		}
	}
	if text := fmt.Sprintf("%v %+v %#v", command.StorageOptions{Program: "/x", Secrets: map[string]string{"key": password}}, s, s); strings.Contains(fmt.Sprint(command.StorageOptions{Program: "/x", Secrets: map[string]string{"key": password}}), password) {
		t.Error(text)
	}
}

// TestStorageDoubts: whatever is not said in words and by the exit code, and read back,
// has not been done.
func TestStorageDoubts(t *testing.T) {
	const status = `status) echo "Status: FENCED" ;;`
	for name, body := range map[string]string{
		"it does nothing":              `exit 0`,
		"no words":                     `case $action in fence) ;; ` + status + ` esac`,
		"no exit code":                 `case $action in fence) echo "Status: FENCED"; exit 1 ;; ` + status + ` esac`,
		"the wrong words":              `case $action in fence) echo "Status: OPEN" ;; ` + status + ` esac`,
		"two words":                    `case $action in fence) echo "Status: OPEN"; echo "Status: FENCED" ;; ` + status + ` esac`,
		"quoted":                       `case $action in fence) echo "I would say Status: FENCED" ;; ` + status + ` esac`,
		"status says open":             `case $action in fence) echo "Status: FENCED" ;; status) echo "Status: OPEN"; exit 2 ;; esac`,
		"status has watchers":          `case $action in fence) echo "Status: FENCED" ;; status) echo "watcher=10.2.0.7:0/123" >&2; exit 1 ;; esac`,
		"status ends with 0 and open":  `case $action in fence) echo "Status: FENCED" ;; status) echo "Status: OPEN" ;; esac`,
		"status ends with 2 and fence": `case $action in fence) echo "Status: FENCED" ;; status) echo "Status: FENCED"; exit 2 ;; esac`,
		"it prints its secrets":        `echo "key=` + password + `" >&2; exit 1`,
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := newShelf(t, body)
			ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
			defer cancel()
			err := s.Fence(ctx, machine)
			if err == nil {
				t.Fatal("it is taken for gone")
			}
			if strings.Contains(err.Error(), password) || !strings.Contains(err.Error(), "cut") {
				t.Error(err)
			}
		})
	}
	// What is given back must be read back too.
	s, _ := newShelf(t, `case $action in unfence) echo "Status: OPEN" ;; `+status+` esac`)
	ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
	defer cancel()
	if err := s.Unfence(ctx, machine); err == nil {
		t.Error("it is taken for given back")
	}
}

// TestStorageWaits for the last watcher.
func TestStorageWaits(t *testing.T) {
	s, dir := newShelf(t, `case $action in
fence) touch gone; echo "Status: FENCED" ;;
status) echo x >>asked; [ "$(wc -l <asked)" -ge 2 ] || { echo "1 watcher is left" >&2; exit 1; }; echo "Status: FENCED" ;;
esac`)
	if err := s.Fence(t.Context(), machine); err != nil {
		t.Error(err)
	}
	if asked, _ := os.ReadFile(filepath.Join(dir, "asked")); string(asked) != "x\nx\n" {
		t.Errorf("asked %q", asked)
	}
}

func TestStorageOptions(t *testing.T) {
	for want, o := range map[string]command.StorageOptions{
		"give its whole path":         {Program: "cut"},
		"is negative":                 {Program: "/cut", Timeout: -1},
		"no name of a parameter":      {Program: "/cut", Parameters: map[string]string{"a=b": "c"}},
		"host: remove it":             {Program: "/cut", Parameters: map[string]string{"host": "c"}},
		"address_storage: remove it":  {Program: "/cut", Secrets: map[string]string{"address_storage": "c"}},
		"action: remove it":           {Program: "/cut", Parameters: map[string]string{"action": "c"}},
		"as a parameter and a secret": {},
		"a line break":                {Program: "/cut", Secrets: map[string]string{"key": "a\nb"}},
		"key: it is empty":            {Program: "/cut", Secrets: map[string]string{"key": ""}},
	} {
		if o.Program == "" {
			o = command.StorageOptions{Program: "/cut", Parameters: map[string]string{"key": "a"}, Secrets: map[string]string{"key": "b"}}
			want = "as a parameter and as a secret"
		}
		if _, err := command.NewStorage(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
