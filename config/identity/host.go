package identity

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Identity is what an enrolled agent knows of itself and its controllers. It
// holds secrets: print it and they are redacted.
type Identity struct {
	ClusterID   string
	Host        string
	Key         ed25519.PrivateKey
	RingKey     []byte
	CAPEM       []byte
	Controllers []Controller
	IssuedAt    time.Time
	// KeyID names the public key; the ledger lists it.
	KeyID string
}

// Controller is one that the agent may talk to.
type Controller struct {
	ID        string `json:"id"`
	Address   string `json:"address"`
	PublicKey []byte `json:"public_key,omitempty"`
}

// fileForm is an Identity on disk.
type fileForm struct {
	Format      int          `json:"format"`
	ClusterID   string       `json:"cluster_id"`
	Host        string       `json:"host"`
	Seed        []byte       `json:"private_key"`
	RingKey     []byte       `json:"ring_key"`
	CAPEM       string       `json:"ca_pem"`
	Controllers []Controller `json:"controllers"`
	IssuedAt    time.Time    `json:"issued_at"`
	KeyID       string       `json:"key_id"`
}

const (
	fileName   = "identity.json"
	fileFormat = 1
)

// ErrNotEnrolled means that there is no identity yet.
var ErrNotEnrolled = errors.New("this host is not enrolled: run lifeboat-agent enrol with a token")

// NewKey makes a host's key.
func NewKey() (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	return key, nil
}

// KeyID names a public key: 16 hexadecimal digits of its SHA-256.
func KeyID(pub ed25519.PublicKey) string {
	sum := sha256.Sum256(pub)
	return hex.EncodeToString(sum[:8])
}

// Validate names all that is wrong.
func (i *Identity) Validate() error {
	var errs []error
	bad := func(wrong bool, what string) {
		if wrong {
			errs = append(errs, errors.New(what))
		}
	}
	bad(i.ClusterID == "", "cluster_id is missing")
	bad(i.Host == "", "host is missing")
	bad(len(i.Key) != ed25519.PrivateKeySize, "private_key is no Ed25519 key")
	bad(len(i.RingKey) != 16 && len(i.RingKey) != 24 && len(i.RingKey) != 32, "ring_key is no AES key of 16, 24 or 32 bytes")
	bad(len(i.Controllers) == 0, "controllers are missing")
	if _, err := Fingerprint(i.CAPEM); err != nil {
		errs = append(errs, fmt.Errorf("ca_pem: %w", err))
	}
	if len(i.Key) == ed25519.PrivateKeySize {
		bad(i.KeyID != KeyID(i.Public()), "key_id is not that of the key")
	}
	return errors.Join(errs...)
}

// Public is the host's public key.
func (i *Identity) Public() ed25519.PublicKey {
	pub, _ := i.Key.Public().(ed25519.PublicKey)
	return pub
}

// Load reads the identity in an agent's data directory.
func Load(dir string) (*Identity, error) {
	path := filepath.Join(dir, fileName)
	data, err := readPrivate(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w (there is no %s)", ErrNotEnrolled, path)
	}
	if err != nil {
		return nil, err
	}
	var f fileForm
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, cleanJSON(err))
	}
	if f.Format != fileFormat {
		return nil, fmt.Errorf("%s is of format %d, this program knows %d", path, f.Format, fileFormat)
	}
	i := &Identity{ClusterID: f.ClusterID, Host: f.Host, RingKey: f.RingKey, CAPEM: []byte(f.CAPEM),
		Controllers: f.Controllers, IssuedAt: f.IssuedAt, KeyID: f.KeyID}
	if len(f.Seed) == ed25519.SeedSize {
		i.Key = ed25519.NewKeyFromSeed(f.Seed)
	}
	if err := i.Validate(); err != nil {
		return nil, fmt.Errorf("%s: %w: enrol this host again", path, err)
	}
	return i, nil
}

// cleanJSON keeps what stands in a file of secrets out of the error.
func cleanJSON(err error) error {
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("it is no JSON at byte %d", e.Offset)
	}
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("field %s is not of its type", e.Field)
	}
	return errors.New("it cannot be decoded")
}

// Save writes the identity so that a crash leaves either the former or the new.
func (i *Identity) Save(dir string) error {
	if err := i.Validate(); err != nil {
		return fmt.Errorf("save the identity: %w", err)
	}
	data, err := json.MarshalIndent(fileForm{Format: fileFormat, ClusterID: i.ClusterID, Host: i.Host, Seed: i.Key.Seed(),
		RingKey: i.RingKey, CAPEM: string(i.CAPEM), Controllers: i.Controllers, IssuedAt: i.IssuedAt, KeyID: i.KeyID}, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the identity: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	return replace(dir, fileName, append(data, '\n'))
}

// replace writes a private file beside the former one and puts it in its place.
func replace(dir, name string, data []byte) error {
	f, err := os.CreateTemp(dir, "."+name+".*") // made 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Join(dir, name), err)
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, name))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", filepath.Join(dir, name), err), os.Remove(f.Name()))
	}
	// Without this the new name may be lost with the power.
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("make %s durable: %w", dir, err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("make %s durable: %w", dir, err)
	}
	return nil
}

// TLSCertificate makes the certificate that the agent shows: signed by its own
// key, in memory. Controllers look at the key only, so its dates say nothing
// and a wrong clock cannot lock the host out.
func (i *Identity) TLSCertificate() (*tls.Certificate, error) { return HostCertificate(i.Host, i.Key) }

// HostCertificate is TLSCertificate for a host that is being enrolled.
func HostCertificate(host string, key ed25519.PrivateKey) (*tls.Certificate, error) {
	template := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{CommonName: host},
		NotBefore:    time.Unix(0, 0),
		NotAfter:     time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), // RFC 5280: no end
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make the certificate of host %s: %w", host, err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("make the certificate of host %s: %w", host, err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}

// String keeps the keys out of prints.
func (i *Identity) String() string {
	return fmt.Sprintf("host %s of cluster %s, key %s", i.Host, i.ClusterID, i.KeyID)
}

// GoString keeps the keys out of %#v.
func (i *Identity) GoString() string { return i.String() }

// MarshalJSON refuses: Save alone writes the keys.
func (i *Identity) MarshalJSON() ([]byte, error) { return json.Marshal(i.String()) }
