package identity

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
)

const redacted = "redacted"

// Secret is a value that no print, log or encoding shows.
type Secret struct{ value string }

// Plain makes a Secret.
func Plain(value string) Secret { return Secret{value} }

// Reveal gives the value, for the one call that needs it.
func (s Secret) Reveal() string { return s.value }

// Empty says that there is no value.
func (s Secret) Empty() bool { return s.value == "" }

// String shows nothing.
func (Secret) String() string { return redacted }

// GoString shows nothing.
func (Secret) GoString() string { return redacted }

// LogValue shows nothing.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON shows nothing.
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalText shows nothing.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Source says where a secret stands: in exactly one of these.
type Source struct {
	File       string // readable by its owner alone
	Env        string // a variable of the environment
	Credential string // a file that systemd's LoadCredential hands over
}

// LoadSecret reads a secret. Its error says how to mend it, never the value.
func LoadSecret(from Source) (Secret, error) {
	given := 0
	for _, s := range []string{from.File, from.Env, from.Credential} {
		if s != "" {
			given++
		}
	}
	if given != 1 {
		return Secret{}, fmt.Errorf("a secret stands in one of file, environment and credential, not in %d of them", given)
	}
	data, err := from.read()
	if err != nil {
		return Secret{}, err
	}
	value := strings.TrimRight(string(data), "\r\n")
	if value == "" {
		return Secret{}, fmt.Errorf("%s is empty", from)
	}
	return Secret{value}, nil
}

// String says where, never what.
func (s Source) String() string {
	switch {
	case s.File != "":
		return "file " + s.File
	case s.Env != "":
		return "environment variable " + s.Env
	case s.Credential != "":
		return "credential " + s.Credential
	}
	return "nothing"
}

func (s Source) read() ([]byte, error) {
	switch {
	case s.File != "":
		return readPrivate(s.File)
	case s.Env != "":
		v, ok := os.LookupEnv(s.Env)
		if !ok {
			return nil, fmt.Errorf("the environment has no variable %s: set it for this process", s.Env)
		}
		return []byte(v), nil
	}
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	if dir == "" {
		return nil, fmt.Errorf("systemd hands this process no credentials: add LoadCredential=%s:PATH to its unit, or refer to a file", s.Credential)
	}
	if s.Credential != filepath.Base(s.Credential) || s.Credential == ".." {
		return nil, fmt.Errorf("%q is no name of a credential: give it without a path", s.Credential)
	}
	data, err := os.ReadFile(filepath.Join(dir, s.Credential))
	if err != nil {
		return nil, fmt.Errorf("systemd hands over no credential %s: add LoadCredential=%[1]s:PATH to the unit", s.Credential)
	}
	return data, nil
}

// readPrivate reads a file that must be its owner's alone. The file that was
// checked is the one that is read.
func readPrivate(path string) ([]byte, error) {
	f, err := os.Open(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("there is no file %s: make it, or correct the path: %w", path, fs.ErrNotExist)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%s may not be read by this user: chown it to the user that runs this process", path)
	case err != nil:
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", path, err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no file", path)
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("%s may be read by others than its owner (mode %04o): chmod 600 %[1]s", path, info.Mode().Perm())
	case info.Size() > 1<<20:
		return nil, fmt.Errorf("%s is longer than a secret may be", path)
	}
	data := make([]byte, info.Size())
	n, err := f.Read(data)
	if err != nil && n == 0 && len(data) > 0 {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return data[:n], nil
}
