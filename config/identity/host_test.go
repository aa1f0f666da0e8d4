package identity

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func sample(t *testing.T) *Identity {
	t.Helper()
	dir := t.TempDir()
	ca, err := InitCA(dir, "east", noon)
	if err != nil {
		t.Fatal(err)
	}
	caPEM, err := os.ReadFile(ca.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	i := &Identity{ClusterID: "one", Host: "compute-1", Key: key, RingKey: []byte("0123456789abcdef"), CAPEM: caPEM,
		Controllers: []Controller{{ID: "c1", Address: "10.0.0.1:7000"}}, IssuedAt: noon}
	i.KeyID = KeyID(i.Public())
	return i
}

func TestIdentityKeepsAndReplaces(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "agent")
	if _, err := Load(dir); !errors.Is(err, ErrNotEnrolled) {
		t.Errorf("before enrolment: %v", err)
	}
	i := sample(t)
	for range 2 { // the second replaces the first
		if err := i.Save(dir); err != nil {
			t.Fatal(err)
		}
		got, err := Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		if !got.Key.Equal(i.Key) || got.Host != i.Host || string(got.RingKey) != string(i.RingKey) || !got.IssuedAt.Equal(noon) ||
			len(got.Controllers) != 1 || got.ClusterID != "one" || string(got.CAPEM) != string(i.CAPEM) {
			t.Errorf("read %v, want %v", got, i)
		}
		i.ClusterID = "one"
	}
	if mode(t, filepath.Join(dir, fileName)) != 0o600 {
		t.Error("the file is not private")
	}
	files, _ := os.ReadDir(dir)
	if len(files) != 1 {
		t.Errorf("left behind: %v", files)
	}
}

func TestIdentityRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		change func(path string)
		want   string
	}{
		"readable by the group": {func(p string) { os.Chmod(p, 0o640) }, "chmod 600 "},
		"readable by all":       {func(p string) { os.Chmod(p, 0o604) }, "chmod 600 "},
		"a directory":           {func(p string) { os.Remove(p); os.Mkdir(p, 0o700) }, "no file"},
		"rubbish":               {func(p string) { os.WriteFile(p, []byte(`{"ring_key": secret}`), 0o600) }, "no JSON at byte"},
		"cut short":             {func(p string) { os.Truncate(p, 100) }, "no JSON"},
		"empty":                 {func(p string) { os.Truncate(p, 0) }, "no JSON"},
		"another format":        {func(p string) { os.WriteFile(p, []byte(`{"format": 2}`), 0o600) }, "format 2"},
		"nothing in it":         {func(p string) { os.WriteFile(p, []byte(`{"format": 1}`), 0o600) }, "private_key is no Ed25519 key"},
		"another type":          {func(p string) { os.WriteFile(p, []byte(`{"format": 1, "host": 5}`), 0o600) }, "field host"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := sample(t).Save(dir); err != nil {
				t.Fatal(err)
			}
			test.change(filepath.Join(dir, fileName))
			_, err := Load(dir)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the error shows what stands in the file: %v", err)
			}
		})
	}
}

func TestIdentityIsNotSavedIncomplete(t *testing.T) {
	for name, change := range map[string]func(*Identity){
		"cluster_id":  func(i *Identity) { i.ClusterID = "" },
		"host":        func(i *Identity) { i.Host = "" },
		"private_key": func(i *Identity) { i.Key = nil },
		"ring_key":    func(i *Identity) { i.RingKey = []byte("short") },
		"controllers": func(i *Identity) { i.Controllers = nil },
		"ca_pem":      func(i *Identity) { i.CAPEM = nil },
		"key_id":      func(i *Identity) { i.KeyID = "other" },
	} {
		i, dir := sample(t), t.TempDir()
		change(i)
		if err := i.Save(dir); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
		if files, _ := os.ReadDir(dir); len(files) != 0 {
			t.Errorf("%s: left behind %v", name, files)
		}
	}
}

func TestHostCertificate(t *testing.T) {
	i := sample(t)
	c, err := i.TLSCertificate()
	if err != nil {
		t.Fatal(err)
	}
	if pub, ok := c.Leaf.PublicKey.(ed25519.PublicKey); !ok || !pub.Equal(i.Public()) {
		t.Error("the certificate is not of the host's key")
	}
	if err := c.Leaf.CheckSignature(c.Leaf.SignatureAlgorithm, c.Leaf.RawTBSCertificate, c.Leaf.Signature); err != nil {
		t.Error(err)
	}
	if c.Leaf.IsCA || c.Leaf.NotAfter.Year() != 9999 {
		t.Error("a host's certificate signs nothing and has no end")
	}
}

func TestNothingShowsSecrets(t *testing.T) {
	i := sample(t)
	token, err := NewToken(strings.Repeat("ab", 32))
	if err != nil {
		t.Fatal(err)
	}
	secret := Plain("hunter2")
	hidden := []string{"hunter2", token.secret, base64.StdEncoding.EncodeToString(i.Key.Seed()), fmt.Sprintf("%v", i.RingKey), string(i.RingKey),
		base64.StdEncoding.EncodeToString(i.RingKey)}
	var out strings.Builder
	log := slog.New(slog.NewJSONHandler(&out, nil))
	for _, v := range []any{i, token, &token, secret, &secret, struct {
		I *Identity
		T Token
		S Secret
	}{i, token, secret}} {
		fmt.Fprintf(&out, "%v %+v %#v %s\n", v, v, v, v)
		log.Info("x", "v", v)
		b, err := json.Marshal(v)
		if err != nil {
			t.Error(err)
		}
		out.Write(b)
	}
	for _, h := range hidden {
		if strings.Contains(out.String(), h) {
			t.Errorf("%q is shown in %s", h, out.String())
		}
	}
}
