package peer

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Kind is what an end of a connection has proved to be.
type Kind string

// Kinds. Anonymous may still carry a public key: that of a host which asks to
// be enrolled.
const (
	Controller Kind = "controller"
	Host       Kind = "host"
	Anonymous  Kind = "anonymous"
)

const dnsSuffix = ".controller.lifeboat"

// ControllerURI is the name of a controller in its certificate.
func ControllerURI(cluster, id string) *url.URL {
	return &url.URL{Scheme: "spiffe", Host: "lifeboat", Path: "/" + cluster + "/controller/" + id}
}

// ControllerDNS is the name for those who issue certificates without URIs.
func ControllerDNS(id string) string { return id + dnsSuffix }

// clusterOf reads the cluster from a controller's certificate, "" if it has none.
func clusterOf(cert *x509.Certificate) string {
	for _, u := range cert.URIs {
		if of, _, ok := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/controller/"); ok {
			return of
		}
	}
	return ""
}

// errNoController is a certificate without a controller's name.
var errNoController = errors.New("the certificate names no controller")

// ControllerID reads the controller's id from its certificate: from the URI
// spiffe://lifeboat/<cluster>/controller/<id>, or else from the DNS name
// <id>.controller.lifeboat. It verifies nothing else.
func ControllerID(cert *x509.Certificate, cluster string) (string, error) {
	var names []string
	for _, u := range cert.URIs {
		if u.Scheme != "spiffe" || u.Host != "lifeboat" {
			continue
		}
		of, id, ok := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/controller/")
		if !ok || id == "" || strings.Contains(id, "/") {
			return "", fmt.Errorf("the certificate's name %s is not of the form spiffe://lifeboat/CLUSTER/controller/ID", u)
		}
		if of != cluster {
			return "", fmt.Errorf("the certificate is for cluster %q, this is %q", of, cluster)
		}
		names = append(names, id)
	}
	if len(names) == 0 {
		for _, d := range cert.DNSNames {
			if id, ok := strings.CutSuffix(d, dnsSuffix); ok && id != "" {
				names = append(names, id)
			}
		}
	}
	switch len(names) {
	case 0:
		return "", errNoController
	case 1:
		return names[0], nil
	}
	return "", fmt.Errorf("the certificate names several controllers: %s", strings.Join(names, ", "))
}

// verifyController checks a chain of certificates, leaf first, and gives the
// controller's id. Every fault has one clear sentence.
func verifyController(chain []*x509.Certificate, roots *x509.CertPool, cluster string, now time.Time, use x509.ExtKeyUsage) (string, error) {
	if len(chain) == 0 {
		return "", errors.New("no certificate was shown")
	}
	leaf := chain[0]
	id, err := ControllerID(leaf, cluster)
	if err != nil {
		return "", err
	}
	middle := x509.NewCertPool()
	for _, c := range chain[1:] {
		middle.AddCert(c)
	}
	_, err = leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: middle, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{use}})
	if err == nil {
		return id, nil
	}
	switch {
	case now.After(leaf.NotAfter):
		return "", fmt.Errorf("the certificate of controller %s expired on %s: issue a new one", id, leaf.NotAfter.Format(time.DateTime))
	case now.Before(leaf.NotBefore):
		return "", fmt.Errorf("the certificate of controller %s is valid from %s only: check the clocks", id, leaf.NotBefore.Format(time.DateTime))
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "", fmt.Errorf("the certificate of controller %s is not signed by this cluster's CA", id)
	}
	return "", fmt.Errorf("the certificate of controller %s: %w", id, err)
}

// hostKey is the key of a self-signed certificate. Its dates and names mean
// nothing: the handshake proves the key, and the ledger knows whose it is.
func hostKey(chain []*x509.Certificate) ed25519.PublicKey {
	if len(chain) == 0 {
		return nil
	}
	pub, _ := chain[0].PublicKey.(ed25519.PublicKey)
	return pub
}

// rootByFingerprint finds the CA in a chain by the SHA-256 of its certificate,
// for a host that has only an enrolment token.
func rootByFingerprint(chain []*x509.Certificate, fingerprint string) (*x509.CertPool, error) {
	for _, c := range chain {
		sum := sha256.Sum256(c.Raw)
		if c.IsCA && strings.EqualFold(hex.EncodeToString(sum[:]), fingerprint) {
			pool := x509.NewCertPool()
			pool.AddCert(c)
			return pool, nil
		}
	}
	return nil, errors.New("the controller shows no CA of the token's fingerprint: the token is of another cluster, or somebody stands between")
}
