package peer

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// Credentials are a controller's certificate and the CA it trusts. They may
// change while it runs.
type Credentials interface {
	Certificate() (*tls.Certificate, error)
	Roots() (*x509.CertPool, error)
}

// Files are the PEM files of a controller.
type Files struct {
	CA          string
	Certificate string
	Key         string
}

// lookEvery is how often files are looked at, at most.
const lookEvery = 5 * time.Second

// Reloader reads Files again when they change. While what they hold does not
// fit together (one is replaced before the other) it keeps what it has.
type Reloader struct {
	files Files
	log   *slog.Logger
	now   func() time.Time

	mu     sync.Mutex
	looked time.Time
	stamp  string
	cert   *tls.Certificate
	roots  *x509.CertPool
}

// Load reads the files.
func Load(f Files, log *slog.Logger, now func() time.Time) (*Reloader, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	r := &Reloader{files: f, log: log, now: now}
	return r, r.Reload()
}

// Reload reads the files now; on an error what was read before stays in force.
func (r *Reloader) Reload() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.load()
}

// Expires is when the certificate in force ends.
func (r *Reloader) Expires() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.cert.Leaf.NotAfter
}

// Certificate gives the certificate in force, with its CA for those who know
// nothing but the CA's fingerprint.
func (r *Reloader) Certificate() (*tls.Certificate, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.look()
	return r.cert, nil
}

// Roots gives the CA in force.
func (r *Reloader) Roots() (*x509.CertPool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.look()
	return r.roots, nil
}

func (r *Reloader) look() {
	now := r.now()
	if since := now.Sub(r.looked); since >= 0 && since < lookEvery {
		return
	}
	r.looked = now
	if stamp := r.files.stamp(); stamp == r.stamp {
		return
	}
	if err := r.load(); err != nil {
		r.log.Warn("peer: the changed certificate is not used, the former one stays", "reason", err)
		return
	}
	r.log.Info("peer: a new certificate is used", "until", r.cert.Leaf.NotAfter)
}

// stamp changes when a file does.
func (f Files) stamp() string {
	var b bytes.Buffer
	for _, p := range []string{f.CA, f.Certificate, f.Key} {
		if s, err := os.Stat(p); err == nil {
			fmt.Fprint(&b, s.ModTime().UnixNano(), " ", s.Size(), " ", s.Sys(), ";")
		}
	}
	return b.String()
}

func (r *Reloader) load() error {
	stamp := r.files.stamp()
	caPEM, err := os.ReadFile(r.files.CA)
	if err != nil {
		return fmt.Errorf("read the CA: %w", err)
	}
	certPEM, err := os.ReadFile(r.files.Certificate)
	if err != nil {
		return fmt.Errorf("read the certificate: %w", err)
	}
	if info, err := os.Stat(r.files.Key); err == nil && info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s may be read by others than its owner (mode %04o): chmod 600 %[1]s", r.files.Key, info.Mode().Perm())
	}
	keyPEM, err := os.ReadFile(r.files.Key)
	if err != nil {
		return fmt.Errorf("read the certificate's key: %w", err)
	}
	roots := x509.NewCertPool()
	var cas []*x509.Certificate
	for rest := caPEM; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		ca, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return fmt.Errorf("read the CA in %s: %w", r.files.CA, err)
		}
		roots.AddCert(ca)
		cas = append(cas, ca)
	}
	if len(cas) == 0 {
		return fmt.Errorf("%s holds no certificate", r.files.CA)
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return fmt.Errorf("the certificate %s and the key %s: %w", r.files.Certificate, r.files.Key, err)
	}
	r.cert, r.roots, r.stamp = withCA(&cert, cas), roots, stamp
	return nil
}

// withCA adds the CA to the chain that is shown.
func withCA(cert *tls.Certificate, cas []*x509.Certificate) *tls.Certificate {
	last := cert.Leaf
	for _, raw := range cert.Certificate[1:] {
		if c, err := x509.ParseCertificate(raw); err == nil {
			last = c
		}
	}
	if bytes.Equal(last.RawIssuer, last.RawSubject) {
		return cert // the file holds the CA already
	}
	for _, ca := range cas {
		if bytes.Equal(ca.RawSubject, last.RawIssuer) {
			cert.Certificate = append(cert.Certificate, ca.Raw)
		}
	}
	return cert
}
