package app

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/lifeboat-ha/lifeboat/config"
	"github.com/lifeboat-ha/lifeboat/config/identity"
	"github.com/lifeboat-ha/lifeboat/evacuate/ledger/peer"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// Enrol gives a host its identity: it makes a key, shows the token to a
// controller whose CA the token names, and keeps what it is told.
func Enrol(ctx context.Context, cfg *config.Agent, controller, token string) error {
	return Seams{}.Enrol(ctx, cfg, controller, token)
}

// Enrol is Enrol in another world.
func (s Seams) Enrol(ctx context.Context, cfg *config.Agent, controller, token string) error {
	s = s.withDefaults()
	t, err := identity.ParseToken(token)
	if err != nil {
		return err
	}
	if _, err := identity.Load(cfg.DataDir); err == nil {
		return fmt.Errorf("this host is enrolled already: to enrol it anew, remove its identity from %s", cfg.DataDir)
	}
	key, err := identity.NewKey()
	if err != nil {
		return err
	}
	cert, err := identity.HostCertificate(cfg.Host, key)
	if err != nil {
		return err
	}
	cl := peer.NewClient(peer.ClientOptions{AnyCluster: true, Fingerprint: t.Fingerprint, Dial: s.dial(), Now: s.Clock.Now,
		Certificate: func() (*tls.Certificate, error) { return cert, nil }})
	body, err := json.Marshal(enrolRequest{Host: nova.HostName(cfg.Host), Token: t.ID, Secret: t.Secret().Reveal()})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var ans enrolAnswer
	if err := postJSON(ctx, cl, "https://"+controller+pathEnrol, body, &ans); err != nil {
		return fmt.Errorf("enrol with %s: %w", controller, err)
	}
	id := &identity.Identity{ClusterID: ans.ClusterID, Host: cfg.Host, Key: key, RingKey: ans.RingKey, CAPEM: ans.CA,
		IssuedAt: s.Clock.Now(), KeyID: identity.KeyID(key.Public().(ed25519.PublicKey))}
	for _, c := range ans.Roster.Controllers {
		id.Controllers = append(id.Controllers, identity.Controller{ID: c.ID, Address: c.Address, PublicKey: c.PublicKey})
	}
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	if err := id.Save(cfg.DataDir); err != nil {
		return err
	}
	r := ans.Roster
	r.Ring = nil
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(cfg.DataDir, rosterFile), b)
}

// client talks to controllers as this host.
// client is the agent's to all controllers, made anew with its identity. Its
// connections are kept: a handshake for each roster was most of what an agent cost
// a controller.
func (a *Agent) client() (*http.Client, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.caller != nil && a.callerOf == a.ident {
		return a.caller, nil
	}
	cl, err := a.newClient(a.ident)
	if err != nil {
		return nil, err
	}
	if a.caller != nil {
		a.caller.CloseIdleConnections()
	}
	a.caller, a.callerOf = cl, a.ident
	return cl, nil
}

func (a *Agent) hangUp() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.caller != nil {
		a.caller.CloseIdleConnections()
	}
	return nil
}

func (a *Agent) newClient(ident *identity.Identity) (*http.Client, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ident.CAPEM) {
		return nil, errors.New("the CA in this host's identity is damaged: enrol it anew")
	}
	return peer.NewClient(peer.ClientOptions{AnyCluster: true, Dial: a.seams.dial(), Now: a.clock.Now, Certificate: ident.TLSCertificate,
		Roots: func() (*x509.CertPool, error) { return pool, nil }}), nil
}

func (a *Agent) askRoster(ctx context.Context, addr string) (roster, error) {
	var r roster
	cl, err := a.client()
	if err != nil {
		return r, err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+addr+pathRoster, http.NoBody)
	if err != nil {
		return r, err
	}
	req.Header.Set(machineHeader, a.dmi.header())
	return r, doJSON(cl, req, &r)
}

// renewKey replaces the host's key before it grows old. The old key stays good
// for an hour after the ledger has the new one, so a lost answer locks nobody
// out: the next try begins with whichever key the ledger knows.
func (a *Agent) renewKey(ctx context.Context) {
	a.mu.Lock()
	ident := a.ident
	a.mu.Unlock()
	if a.clock.Now().Sub(ident.IssuedAt) < keyLife {
		return
	}
	key, err := identity.NewKey()
	if err != nil {
		a.log.Warn("key not renewed", "reason", err)
		return
	}
	pub := key.Public().(ed25519.PublicKey)
	next := *ident
	next.Key, next.KeyID, next.IssuedAt = key, identity.KeyID(pub), a.clock.Now()
	body, err := json.Marshal(renewRequest{Public: pub, Signature: ed25519.Sign(key, renewMessage(a.cfg.Host, pub))})
	if err != nil {
		return
	}
	cl, err := a.client()
	if err != nil {
		a.log.Warn("key not renewed", "reason", err)
		return
	}
	for _, c := range a.cfg.Controllers {
		if err = a.renewAt(ctx, cl, c.String(), body); err == nil {
			break
		}
	}
	if err == nil {
		err = next.Save(a.cfg.DataDir)
	}
	if err != nil {
		a.log.Warn("key not renewed", "reason", err)
		return
	}
	a.mu.Lock()
	a.ident = &next
	a.mu.Unlock()
	if err := a.speak(ctx, newStart()); err != nil {
		a.log.Error("no heartbeats after the renewal of the key: restart this agent", "reason", err)
		return
	}
	a.log.Info("key renewed", "key", next.KeyID)
}

func (a *Agent) renewAt(ctx context.Context, cl *http.Client, addr string, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return postJSON(ctx, cl, "https://"+addr+pathRenew, body, nil)
}
