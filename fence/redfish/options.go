package redfish

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Options say which system of which BMC is meant, and how to trust the BMC.
type Options struct {
	// Name stands in readings, errors and proofs; "redfish" if empty.
	Name string
	// Address is the BMC's https URL, without a path; http needs Insecure.
	Address string
	// System is the @odata.id of the host's system. Empty, the BMC must have
	// exactly one: guessing among several would cut a neighbour's power.
	System             string
	Username, Password string
	// CA verifies the BMC's certificate (PEM; empty: the system's roots).
	CA []byte
	// Fingerprint pins its leaf certificate instead: "sha256:" and 64 hex digits.
	Fingerprint string
	// Insecure accepts any certificate: whoever answers may claim off.
	Insecure bool
	// Client replaces our own, and all of CA, Fingerprint and Insecure with it.
	Client *http.Client
	// Now is the clock that readings carry. Required.
	Now func() time.Time
}

// String names the BMC and hides the password.
func (o Options) String() string {
	return fmt.Sprintf("redfish %s@%s system %s", o.Username, host(o.Address), o.System)
}

// GoString hides it from %#v.
func (o Options) GoString() string { return o.String() }

// LogValue hides it from slog.
func (o Options) LogValue() slog.Value { return slog.StringValue(o.String()) }

// Validate gives all faults at once.
func (o Options) Validate() error {
	var faults []error
	fault := func(format string, a ...any) { faults = append(faults, fmt.Errorf("redfish: "+format, a...)) }
	switch u, err := url.Parse(o.Address); {
	case err != nil: // its text would show the address, and so a password in it
		fault("address is not a URL")
	case u.User != nil:
		fault("address carries a user: give username and password")
	case (u.Scheme != "https" && u.Scheme != "http") || u.Hostname() == "":
		fault("address %q is not an https URL", o.Address)
	case u.Scheme == "http" && !o.Insecure:
		fault("address %q is not an https URL: the password would travel in clear text, unless insecure is said", o.Address)
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		fault("address %q has a path: give the system as system", o.Address)
	}
	if o.System != "" && (!strings.HasPrefix(o.System, "/") || strings.Contains(o.System, "/Chassis/")) {
		fault("system %q is not the @odata.id of a system", o.System)
	}
	if o.Username == "" || o.Password == "" {
		fault("username and password are needed")
	}
	if len(o.CA) > 0 && !x509.NewCertPool().AppendCertsFromPEM(o.CA) {
		fault("ca holds no certificate")
	}
	if o.Fingerprint != "" {
		if _, err := digest(o.Fingerprint); err != nil {
			faults = append(faults, err)
		}
	}
	if o.Insecure && (len(o.CA) > 0 || o.Fingerprint != "") {
		fault("insecure contradicts ca and fingerprint")
	}
	if o.Now == nil {
		fault("no clock")
	}
	return errors.Join(faults...)
}

func digest(fingerprint string) ([]byte, error) {
	digits, ok := strings.CutPrefix(strings.ToLower(fingerprint), "sha256:")
	sum, err := hex.DecodeString(strings.ReplaceAll(digits, ":", ""))
	if !ok || err != nil || len(sum) != sha256.Size {
		return nil, fmt.Errorf("redfish: fingerprint %q is not sha256: and 64 hex digits", fingerprint)
	}
	return sum, nil
}

// errFingerprint is a certificate other than the pinned one.
var errFingerprint = errors.New("the BMC shows another certificate than the pinned one")

func (o Options) tls() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: o.Insecure}
	if len(o.CA) > 0 {
		c.RootCAs = x509.NewCertPool()
		c.RootCAs.AppendCertsFromPEM(o.CA)
	}
	if o.Fingerprint == "" {
		return c, nil
	}
	want, err := digest(o.Fingerprint)
	if err != nil {
		return nil, err
	}
	// A pin alone replaces the chain of trust: most BMCs sign themselves, for
	// a name that is not theirs. With a CA both must hold.
	c.InsecureSkipVerify = len(o.CA) == 0
	c.VerifyConnection = func(s tls.ConnectionState) error {
		if len(s.PeerCertificates) == 0 {
			return errFingerprint
		}
		if got := sha256.Sum256(s.PeerCertificates[0].Raw); string(got[:]) != string(want) {
			return fmt.Errorf("%w: sha256:%x", errFingerprint, got)
		}
		return nil
	}
	return c, nil
}

// host is the address without what somebody may have put before it.
func host(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "?"
	}
	return u.Host
}
