package config_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lifeboat-ha/lifeboat/config"
)

// cloud writes a controller's file whose every reference can be loaded.
func cloud(t *testing.T) (path, dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, content := range map[string]string{
		"ca.pem": "ca", "ctl1.pem": "certificate", "ctl1.key": "key", "ring.key": "ring", "api.tokens": "token",
		"clouds.yaml": "clouds: {}", "bmc.password": "hunter2\n",
	} {
		write(t, filepath.Join(dir, name), content)
	}
	path = filepath.Join(dir, "controller.yaml")
	write(t, path, fmt.Sprintf(`cluster: region-one
controller: {id: ctl1, single: true, data_dir: %[1]s/state, peers: [{id: ctl1, address: "127.0.0.1:7947"}]}
tls: {ca: %[1]s/ca.pem, certificate: %[1]s/ctl1.pem, key: %[1]s/ctl1.key}
ring: {key_file: %[1]s/ring.key}
api: {token_file: %[1]s/api.tokens}
nova: {clouds_file: %[1]s/clouds.yaml}
defaults: {bmc: {method: ipmi, username: admin, password: {file: %[1]s/bmc.password}}}
hosts:
  - {name: cmp01, addresses: {management: 127.0.0.1}, bmc: [{address: "127.0.0.1:6301"}]}
  - {name: cmp02, addresses: {management: 127.0.0.1}, bmc: [{address: "127.0.0.1:6302", password: {env: LIFEBOAT_TEST_BMC}}]}
  - {name: cmp03, addresses: {management: 127.0.0.1}, bmc: [{address: "127.0.0.1:6303", password: {credential: bmc}}]}
`, dir))
	t.Setenv("LIFEBOAT_TEST_BMC", "from-the-environment")
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	write(t, filepath.Join(dir, "bmc"), "from-systemd\r\n")
	return path, dir
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestSecretsAreLoadedAndNeverShown(t *testing.T) {
	path, _ := cloud(t)
	c, err := config.LoadController(path)
	if err != nil {
		t.Fatal(err)
	}
	var shown bytes.Buffer
	for i, value := range []string{"hunter2", "from-the-environment", "from-systemd"} {
		s := c.Hosts[i].BMC[0].Password
		if s.Reveal() != value {
			t.Errorf("host %d: %q", i, s.Reveal())
		}
		encoded, err := json.Marshal(c.Hosts[i])
		if err != nil {
			t.Error(err)
		}
		shown.Write(encoded)
		fmt.Fprintf(&shown, "%v %+v %#v %s %q", s, c.Hosts[i], c.Hosts[i], s, s)
		slog.New(slog.NewJSONHandler(&shown, nil)).Info("host", "password", s, "host", c.Hosts[i])
		slog.New(slog.NewTextHandler(&shown, nil)).Info("host", "password", s, "host", c.Hosts[i])
	}
	fmt.Fprint(&shown, config.Plain("from-systemd"), c.Effective(), c.Warnings())
	for _, value := range []string{"hunter2", "from-the-environment", "from-systemd"} {
		if strings.Contains(shown.String(), value) {
			t.Errorf("%s is shown:\n%s", value, shown.String())
		}
	}
}

func TestSecretsMistakes(t *testing.T) {
	for _, test := range []struct {
		name string
		do   func(dir string)
		want string
	}{
		{"missing file", func(dir string) { os.Remove(dir + "/ring.key") }, ":4:18: ring.key_file: there is no file DIR/ring.key: make it, or correct the path"},
		{"world-readable", func(dir string) { os.Chmod(dir+"/ctl1.key", 0o644) }, "tls.key: DIR/ctl1.key may be read by others than its owner (mode 0644): chmod 600 DIR/ctl1.key"},
		{"group-readable", func(dir string) { os.Chmod(dir+"/bmc.password", 0o640) }, "hosts[0].bmc[0].password: DIR/bmc.password may be read by others than its owner (mode 0640): chmod 600 DIR/bmc.password"},
		{"a folder", func(dir string) { os.Remove(dir + "/api.tokens"); os.Mkdir(dir+"/api.tokens", 0o700) }, "DIR/api.tokens is no file"},
		{"empty", func(dir string) { os.WriteFile(dir+"/bmc.password", []byte("\n"), 0o600) }, "file DIR/bmc.password is empty"},
		{"no variable", func(string) { os.Unsetenv("LIFEBOAT_TEST_BMC") }, "hosts[1].bmc[0].password: the environment has no variable LIFEBOAT_TEST_BMC: set it for this process"},
		{"no credential", func(dir string) { os.Remove(dir + "/bmc") }, "systemd hands over no credential bmc: add LoadCredential=bmc:PATH to the unit"},
		{"no systemd", func(string) { os.Unsetenv("CREDENTIALS_DIRECTORY") }, "systemd hands this process no credentials: add LoadCredential=bmc:PATH to its unit, or refer to a file"},
		{"too long for IPMI", func(string) { os.Setenv("LIFEBOAT_TEST_BMC", "123456789012345678901") }, "21 characters: IPMI 2.0 carries 20 at most, change it on the BMC"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path, dir := cloud(t)
			test.do(dir)
			_, err := config.LoadController(path)
			if err == nil {
				t.Fatal("not found")
			}
			if want := strings.ReplaceAll(test.want, "DIR", dir); !strings.Contains(err.Error(), want) {
				t.Errorf("got %v\nwant %s", err, want)
			}
		})
	}
}

func TestSecretsAllAtOnce(t *testing.T) {
	path, dir := cloud(t)
	for _, name := range []string{"ca.pem", "ring.key", "bmc"} {
		os.Remove(filepath.Join(dir, name))
	}
	_, err := config.LoadController(path)
	faults, ok := errors.AsType[config.Faults](err)
	if !ok || len(faults) != 3 {
		t.Fatalf("%d faults: %v", len(faults), err)
	}
	if f, ok := errors.AsType[config.Fault](err); !ok || f.Path != "tls.ca" || f.Line != 3 {
		t.Errorf("%+v", f)
	}
}

func TestNoSuchFile(t *testing.T) {
	if _, err := config.LoadController("/nowhere.yaml"); err == nil || !strings.Contains(err.Error(), "/nowhere.yaml") {
		t.Error(err)
	}
	if _, err := config.LoadAgent("/nowhere.yaml"); err == nil || !strings.Contains(err.Error(), "/nowhere.yaml") {
		t.Error(err)
	}
}

func TestWarnings(t *testing.T) {
	path, _ := cloud(t)
	c, err := config.LoadController(path)
	if err != nil {
		t.Fatal(err)
	}
	before := strings.Join(c.Warnings(), "\n")
	c.Hosts[0].Cell = "cell1"
	all := strings.Join(c.Warnings(), "\n")
	for _, want := range []string{":2:32: controller.single: one controller", "hosts[2]: cmp03 declares no storage", "hosts[1]: cmp02 names no cell"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is missing in\n%s", want, all)
		}
	}
	if strings.Contains(before, "cell") || strings.Contains(all, "cmp01 names no cell") {
		t.Errorf("where no host names a cell:\n%s\nwhere one does:\n%s", before, all)
	}
}

// TestSecretCommand: a program's output is a secret like the others; its failures say
// nothing of what it printed, and it is called once however many hosts share it.
func TestSecretCommand(t *testing.T) {
	for _, test := range []struct {
		name, script, value, want string
		mode                      os.FileMode
	}{
		{"prints", "echo w0rd-of-$1", "w0rd-of-vault", "", 0o700},
		{"no line break", "printf w0rd", "w0rd", "", 0o700},
		{"empty", "true", "", "output of DIR/get is empty", 0o700},
		{"fails", "echo w0rd-of-$1; echo w0rd-of-$1 >&2; exit 3", "", "DIR/get failed (exit status 3)", 0o700},
		{"too much", "i=0; while [ $i -lt 600 ]; do echo w0rd-of-$1; i=$((i+1)); done", "", "more than 4096 bytes", 0o700},
		{"others may change it", "echo w0rd", "", "may be changed by others than its owner (mode 0722): chmod go-w DIR/get", 0o722},
		{"no program", "echo w0rd", "", "DIR/get is no program", 0o600},
		{"reads nothing of ours", "cat; echo w0rd", "w0rd", "", 0o700},
	} {
		t.Run(test.name, func(t *testing.T) {
			path, dir := cloud(t)
			get := filepath.Join(dir, "get")
			write(t, get, "#!/bin/sh\necho call >>"+dir+"/calls\n"+test.script+"\n")
			if err := os.Chmod(get, test.mode); err != nil {
				t.Fatal(err)
			}
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			text := string(data)
			for _, old := range []string{"{env: LIFEBOAT_TEST_BMC}", "{credential: bmc}"} {
				text = strings.Replace(text, old, "{command: ["+get+", vault]}", 1)
			}
			write(t, path, text)
			c, err := config.LoadController(path)
			if test.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if got := c.Hosts[1].BMC[0].Password.Reveal(); got != test.value || c.Hosts[2].BMC[0].Password.Reveal() != got {
					t.Errorf("%q", got)
				}
				if shown := fmt.Sprintf("%v %#v %s", c.Hosts, c.Hosts, c.Effective()); strings.Contains(shown, test.value) {
					t.Errorf("shown in %s", shown)
				}
			} else if err == nil || !strings.Contains(err.Error(), strings.ReplaceAll(test.want, "DIR", dir)) || strings.Contains(err.Error(), "w0rd") {
				t.Errorf("got %v\nwant %s", err, test.want)
			}
			if calls, _ := os.ReadFile(filepath.Join(dir, "calls")); test.mode == 0o700 && string(calls) != "call\n" {
				t.Errorf("called %q", calls)
			}
		})
	}
}
