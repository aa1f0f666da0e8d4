package config

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
)

// Secret is a reference to a secret and, once loaded, its value, which no print,
// log or encoding shows.
type Secret struct {
	// File is the path of a file that only its owner may read.
	File string `yaml:"file,omitempty"`
	// Env names a variable of the process's environment.
	Env string `yaml:"env,omitempty"`
	// Credential names a file that systemd's LoadCredential hands over.
	Credential string `yaml:"credential,omitempty"`
	// Command is a program, by its whole path, and its arguments: it prints the secret.
	Command []string `yaml:"command,omitempty"`

	value string
}

const redacted = "[redacted]"

// Plain makes a Secret of a value that came from elsewhere.
func Plain(value string) Secret { return Secret{value: value} }

// Reveal gives the value, for the one call that needs it.
func (s Secret) Reveal() string { return s.value }

// Given says that the secret refers to something.
func (s Secret) Given() bool {
	return s.File != "" || s.Env != "" || s.Credential != "" || len(s.Command) > 0 || s.value != ""
}

// String says where the secret stands, never what it is.
func (s Secret) String() string {
	switch {
	case s.File != "":
		return "file " + s.File
	case s.Env != "":
		return "environment variable " + s.Env
	case s.Credential != "":
		return "credential " + s.Credential
	case len(s.Command) > 0:
		return "output of " + s.Command[0]
	case s.value != "":
		return redacted
	}
	return "none"
}

// GoString keeps the value out of %#v.
func (s Secret) GoString() string { return s.String() }

// LogValue keeps the value out of logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalJSON keeps the value out of JSON.
func (s Secret) MarshalJSON() ([]byte, error) { return fmt.Appendf(nil, "%q", s.String()), nil }

// load reads the value. Its error says how to mend it.
func (s *Secret) load(by *commands) error {
	value := ""
	switch {
	case s.File != "":
		data, err := readPrivate(s.File)
		if err != nil {
			return err
		}
		value = string(data)
	case s.Env != "":
		v, ok := os.LookupEnv(s.Env)
		if !ok {
			return fmt.Errorf("the environment has no variable %s: set it for this process", s.Env)
		}
		value = v
	case s.Credential != "":
		dir := os.Getenv("CREDENTIALS_DIRECTORY")
		if dir == "" {
			return fmt.Errorf("systemd hands this process no credentials: add LoadCredential=%s:PATH to its unit, or refer to a file", s.Credential)
		}
		data, err := os.ReadFile(filepath.Join(dir, s.Credential))
		if err != nil {
			return fmt.Errorf("systemd hands over no credential %s: add LoadCredential=%s:PATH to the unit", s.Credential, s.Credential)
		}
		value = string(data)
	case len(s.Command) > 0:
		v, err := by.run(s.Command)
		if err != nil {
			return err
		}
		value = v
	}
	s.value = strings.TrimRight(value, "\r\n")
	if s.value == "" {
		return fmt.Errorf("%s is empty", s)
	}
	return nil
}

// readPrivate reads a file that must be its owner's alone.
func readPrivate(path string) ([]byte, error) {
	if err := private(path); err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, unreadable(path, err)
	}
	return data, nil
}

func private(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return unreadable(path, err)
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is no file", path)
	case info.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("%s may be read by others than its owner (mode %04o): chmod 600 %s", path, info.Mode().Perm(), path)
	}
	return nil
}

// present checks a file that is no secret.
func present(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return unreadable(path, err)
	}
	return f.Close()
}

func unreadable(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no file %s: make it, or correct the path", path)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s may not be read by this user: chown it to the user that runs this process", path)
	}
	return fmt.Errorf("read %s: %w", path, err)
}

// ReadSecretFile reads a secret from a file that must be its owner's alone.
func ReadSecretFile(path string) (Secret, error) {
	s := Secret{File: path}
	err := s.load(newCommands())
	return s, err
}

// LoadSecrets reads every secret that the file refers to, and checks that the
// other files it names can be read. The error, if any, is a Faults.
func (c *Controller) LoadSecrets() error {
	var faults Faults
	by := newCommands()
	by.prepare(c.secrets())
	check := func(path string, err error) {
		if err != nil {
			faults = append(faults, c.source.fault(path, "%v", err))
		}
	}
	file := func(path, name string, look func(string) error) {
		if name != "" {
			check(path, look(name))
		}
	}
	file("tls.ca", c.TLS.CA, present)
	file("tls.certificate", c.TLS.Certificate, present)
	file("tls.key", c.TLS.Key, private)
	file("ring.key_file", c.Ring.KeyFile, private)
	file("api.token_file", c.API.TokenFile, private)
	file("api.certificate", c.API.Certificate, present)
	file("api.key", c.API.Key, private)
	file("nova.clouds_file", c.Nova.CloudsFile, private)
	file("nova.ca", c.Nova.CA, present)
	for i := range c.Notify {
		n, at := &c.Notify[i], item("notify", i)
		file(key(at, "template_file"), n.TemplateFile, present)
		file(key(at, "ca"), n.CA, present)
		if n.Secret.Given() {
			check(key(at, "secret"), n.Secret.load(by))
		}
		if n.URLFrom.Given() {
			check(key(at, "url_from"), n.URLFrom.load(by))
		}
	}
	if p := &c.VIP.Checks.RabbitMQ.Password; p.Given() {
		check("vip.checks.rabbitmq.password", p.load(by))
	}
	file("vip.checks.rabbitmq.ca", c.VIP.Checks.RabbitMQ.CA, present)
	c.loadStorageFence(by, check)
	for i := range c.Hosts {
		for j := range c.Hosts[i].BMC {
			b, at := &c.Hosts[i].BMC[j], item(key(item("hosts", i), "bmc"), j)
			file(key(at, "ca"), b.CA, present)
			b.loadAgents(at, by, check)
			if !b.Password.Given() {
				continue
			}
			if err := b.Password.load(by); err != nil {
				check(key(at, "password"), err)
			} else if n := len(b.Password.value); b.Method == MethodIPMI && n > 20 {
				check(key(at, "password"), fmt.Errorf("%d characters: IPMI 2.0 carries 20 at most, change it on the BMC", n))
			}
		}
	}
	return faults.orNil()
}
