package identity

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func mode(t *testing.T, path string) os.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

func TestCA(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ca")
	ca, err := InitCA(dir, "east", noon)
	if err != nil {
		t.Fatal(err)
	}
	if mode(t, ca.Key) != 0o600 || mode(t, ca.Certificate) != 0o644 || mode(t, dir) != 0o700 {
		t.Error("modes of the CA's files are wrong")
	}
	c1, err := IssueController(dir, "c1", []string{"10.0.0.1", "ctl1.example.org", "fd00::1"}, 365, noon)
	if err != nil {
		t.Fatal(err)
	}
	if mode(t, c1.Key) != 0o600 || mode(t, c1.Certificate) != 0o644 {
		t.Error("modes of the controller's files are wrong")
	}
	pair, err := tls.LoadX509KeyPair(c1.Certificate, c1.Key)
	if err != nil {
		t.Fatal(err)
	}
	caPEM, _ := os.ReadFile(ca.Certificate)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(caPEM)
	for _, name := range []string{"10.0.0.1", "fd00::1", "ctl1.example.org", "c1.controller.lifeboat"} {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name, CurrentTime: noon}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(pair.Leaf.URIs) != 1 || pair.Leaf.URIs[0].String() != "spiffe://lifeboat/east/controller/c1" {
		t.Errorf("URIs %v", pair.Leaf.URIs)
	}
	if len(pair.Certificate) != 2 {
		t.Error("the CA is not in the chain: a host that enrols cannot check the fingerprint")
	}
	if want := noon.AddDate(0, 0, 365); !pair.Leaf.NotAfter.Equal(want) || !c1.Until.Equal(want) {
		t.Errorf("ends %s", pair.Leaf.NotAfter)
	}
	if fp, err := Fingerprint(caPEM); err != nil || len(fp) != 64 {
		t.Errorf("fingerprint %q, %v", fp, err)
	}
}

func TestCARefuses(t *testing.T) {
	dir := t.TempDir()
	if _, err := InitCA(dir, "east", noon); err != nil {
		t.Fatal(err)
	}
	if _, err := IssueController(dir, "c1", nil, 10, noon); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(filepath.Join(dir, caKey))
	issue := func(dir, id string, days int) error {
		_, err := IssueController(dir, id, nil, days, noon)
		return err
	}
	initCA := func(dir, cluster string) error {
		_, err := InitCA(dir, cluster, noon)
		return err
	}
	open := t.TempDir()
	if err := initCA(open, "east"); err != nil {
		t.Fatal(err)
	}
	os.Chmod(filepath.Join(open, caKey), 0o640)
	for name, test := range map[string]struct {
		err  error
		want string
	}{
		"a second CA":           {initCA(dir, "east"), "not replaced"},
		"cluster's name":        {initCA(t.TempDir(), "my cloud"), "no name for a cluster"},
		"a second certificate":  {issue(dir, "c1", 10), "not replaced"},
		"id with a slash":       {issue(dir, "a/b", 10), "no id"},
		"id that climbs":        {issue(dir, "..", 10), "no id"},
		"the CA's own name":     {issue(dir, "ca", 10), "no id"},
		"no days":               {issue(dir, "c2", 0), "one day"},
		"longer than the CA":    {issue(dir, "c2", 3660), "the CA ends on 2036-11-21"},
		"no CA":                 {issue(t.TempDir(), "c2", 10), "lifeboat ca init"},
		"key readable by group": {issue(open, "c2", 10), "chmod 600"},
	} {
		if test.err == nil || !strings.Contains(test.err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", name, test.err, test.want)
		}
	}
	after, _ := os.ReadFile(filepath.Join(dir, caKey))
	if !slices.Equal(before, after) {
		t.Error("the CA's key was changed")
	}
	if _, err := os.Stat(filepath.Join(dir, "c2.key")); err == nil {
		t.Error("a refused certificate left a key behind")
	}
}

func TestFingerprintRefuses(t *testing.T) {
	dir := t.TempDir()
	if _, err := InitCA(dir, "east", noon); err != nil {
		t.Fatal(err)
	}
	leaf, err := IssueController(dir, "c1", nil, 1, noon)
	if err != nil {
		t.Fatal(err)
	}
	leafPEM, _ := os.ReadFile(leaf.Certificate)
	keyPEM, _ := os.ReadFile(leaf.Key)
	for name, test := range map[string]struct {
		pem  []byte
		want string
	}{
		"nothing":     {nil, "no certificate"},
		"a key":       {keyPEM, "no certificate"},
		"rubbish":     {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}), "read the CA"},
		"a leaf's":    {leafPEM, "not that of a CA"},
		"a word only": {[]byte("hello"), "no certificate"},
	} {
		if _, err := Fingerprint(test.pem); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
	}
}
