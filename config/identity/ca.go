// Package identity makes and reads the proofs of who is who: the CA and the
// certificates of controllers, the file of an enrolled host, enrolment tokens,
// and secrets. It touches files and nothing else; it never connects to anybody
// and never prints a secret.
package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"time"
)

const (
	caCert   = "ca.crt"
	caKey    = "ca.key"
	caYears  = 10
	backdate = time.Hour // clocks of controllers may differ
)

var word = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?$`)

// Issued are the files of a new certificate.
type Issued struct {
	Certificate string // 0644: the certificate, then the CA's
	Key         string // 0600
	Until       time.Time
}

// InitCA makes a CA for one cluster: ca.crt and ca.key in dir. It replaces
// nothing. Keep ca.key away from the controllers: they do not need it.
func InitCA(dir, cluster string, now time.Time) (Issued, error) {
	made := Issued{Certificate: filepath.Join(dir, caCert), Key: filepath.Join(dir, caKey), Until: now.AddDate(caYears, 0, 0)}
	if !word.MatchString(cluster) {
		return made, fmt.Errorf("%q is no name for a cluster: use letters, digits, '.', '_' and '-'", cluster)
	}
	if err := absent(made); err != nil {
		return made, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return made, fmt.Errorf("make the CA's key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{CommonName: "Lifeboat CA of " + cluster, Organization: []string{cluster}},
		NotBefore:    now.Add(-backdate), NotAfter: made.Until,
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return made, fmt.Errorf("make the CA's certificate: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return made, fmt.Errorf("make the CA's directory: %w", err)
	}
	return made, write(made, key, der)
}

// IssueController makes the certificate of one controller, signed by the CA in
// dir: <id>.crt and <id>.key beside it. Addresses are those that agents, the
// CLI and browsers may name; controllers know each other by id.
func IssueController(dir, id string, addresses []string, days int, now time.Time) (Issued, error) {
	made := Issued{Certificate: filepath.Join(dir, id+".crt"), Key: filepath.Join(dir, id+".key"), Until: now.AddDate(0, 0, days)}
	switch {
	case !word.MatchString(id) || id == "ca":
		return made, fmt.Errorf("%q is no id for a controller: use letters, digits, '.', '_' and '-'", id)
	case days < 1:
		return made, fmt.Errorf("%d days: a certificate is valid for one day at least", days)
	}
	if err := absent(made); err != nil {
		return made, err
	}
	ca, signer, err := readCA(dir)
	if err != nil {
		return made, err
	}
	if made.Until.After(ca.NotAfter) {
		return made, fmt.Errorf("the CA ends on %s, before %d days are over: ask for fewer days, or make a new CA", ca.NotAfter.Format(time.DateOnly), days)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return made, fmt.Errorf("make the key of %s: %w", id, err)
	}
	template := controllerTemplate(ca.Subject.Organization[0], id, addresses)
	template.NotBefore, template.NotAfter = now.Add(-backdate), made.Until
	der, err := x509.CreateCertificate(rand.Reader, template, ca, key.Public(), signer)
	if err != nil {
		return made, fmt.Errorf("make the certificate of %s: %w", id, err)
	}
	return made, write(made, key, der, ca.Raw)
}

// controllerTemplate names the controller: see ControllerID in ledger/peer.
func controllerTemplate(cluster, id string, addresses []string) *x509.Certificate {
	t := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{CommonName: "Lifeboat controller " + id, Organization: []string{cluster}},
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		URIs:         []*url.URL{{Scheme: "spiffe", Host: "lifeboat", Path: "/" + cluster + "/controller/" + id}},
		DNSNames:     []string{id + ".controller.lifeboat"},
	}
	for _, a := range addresses {
		if ip, err := netip.ParseAddr(a); err == nil {
			t.IPAddresses = append(t.IPAddresses, ip.Unmap().AsSlice())
		} else {
			t.DNSNames = append(t.DNSNames, a)
		}
	}
	return t
}

// Fingerprint is the SHA-256 of the CA's certificate, in hexadecimal: what a
// token carries.
func Fingerprint(caPEM []byte) (string, error) {
	block, _ := pem.Decode(caPEM)
	if block == nil || block.Type != "CERTIFICATE" {
		return "", errors.New("this holds no certificate in PEM")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return "", fmt.Errorf("read the CA's certificate: %w", err)
	}
	if !cert.IsCA {
		return "", errors.New("this certificate is not that of a CA")
	}
	sum := sha256.Sum256(block.Bytes)
	return hex.EncodeToString(sum[:]), nil
}

func readCA(dir string) (*x509.Certificate, crypto.Signer, error) {
	certPEM, err := os.ReadFile(filepath.Join(dir, caCert))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("there is no CA in %s: make it with lifeboat ca init", dir)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read the CA: %w", err)
	}
	keyPEM, err := readPrivate(filepath.Join(dir, caKey))
	if err != nil {
		return nil, nil, fmt.Errorf("read the CA's key: %w", err)
	}
	certBlock, _ := pem.Decode(certPEM)
	keyBlock, _ := pem.Decode(keyPEM)
	if certBlock == nil || keyBlock == nil {
		return nil, nil, fmt.Errorf("the CA in %s is no PEM", dir)
	}
	cert, err := x509.ParseCertificate(certBlock.Bytes)
	if err != nil {
		return nil, nil, fmt.Errorf("read the CA's certificate: %w", err)
	}
	key, err := x509.ParsePKCS8PrivateKey(keyBlock.Bytes)
	if err != nil {
		return nil, nil, fmt.Errorf("read the CA's key: %w", err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok || !cert.IsCA || len(cert.Subject.Organization) != 1 {
		return nil, nil, fmt.Errorf("the CA in %s was not made by lifeboat ca init: issue with the tool that made it", dir)
	}
	return cert, signer, nil
}

func absent(made Issued) error {
	for _, p := range []string{made.Certificate, made.Key} {
		if _, err := os.Lstat(p); err == nil {
			return fmt.Errorf("%s is there already and is not replaced: move it away first", p)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("look for %s: %w", p, err)
		}
	}
	return nil
}

// write writes the key first: a certificate without a key would be in the way.
func write(made Issued, key crypto.PrivateKey, ders ...[]byte) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode a key: %w", err)
	}
	if err := create(made.Key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		return err
	}
	var chain []byte
	for _, d := range ders {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: d})...)
	}
	return create(made.Certificate, chain, 0o644)
}

// create writes a file that must not be there.
func create(path string, data []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(data)
	// The mode above is subject to the umask.
	if err := errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func serial() *big.Int {
	var b [16]byte
	rand.Read(b[:])
	b[0] &= 0x7f // positive
	return new(big.Int).SetBytes(b[:])
}
