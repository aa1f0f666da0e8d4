// Package demo is a whole small site in one process: an emulated Nova, Redfish
// BMCs, three controllers and twenty agents on loopback, with the production
// ring, Raft, heartbeats and engine between them. It breaks two hosts and tells
// what happens.
package demo

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/lifeboat-ha/lifeboat/config"
	"github.com/lifeboat-ha/lifeboat/config/identity"
	"github.com/lifeboat-ha/lifeboat/detector/clock"
	"github.com/lifeboat-ha/lifeboat/fence/fencetest"
	"github.com/lifeboat-ha/lifeboat/nova"
	"github.com/lifeboat-ha/lifeboat/nova/novatest"
)

const (
	hosts       = 20
	perHost     = 3
	controllers = 3
)

// site is everything outside Lifeboat.
type site struct {
	dir   string
	clock clock.Clock
	nova  *novatest.Cloud
	bmc   *fencetest.Redfish
	hosts []*host
	ports struct{ ring, peer, api int }
	urls  struct{ nova, bmc string }
	close []func() error
	// amend changes a controller's file; nil leaves it.
	amend func(string) string
}

// host is one emulated compute host.
type host struct {
	name    nova.HostName
	addr    string
	machine *fencetest.Machine
}

func hostName(i int) string { return fmt.Sprintf("cmp%02d", i) }

// newSite starts the emulated parts; dir is the demo's own directory.
func newSite(dir string) (*site, error) {
	s := &site{dir: dir, clock: clock.System()}
	if err := s.choosePorts(); err != nil {
		return nil, err
	}
	if err := s.startNova(); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	if err := s.startBMC(); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	if err := s.secrets(); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

func (s *site) stop() error {
	var errs []error
	for i := len(s.close) - 1; i >= 0; i-- {
		errs = append(errs, s.close[i]())
	}
	return errors.Join(errs...)
}

// choosePorts takes three free ports; each daemon has a loopback address of its
// own, so that one port serves them all.
func (s *site) choosePorts() error {
	for _, p := range []*int{&s.ports.ring, &s.ports.peer, &s.ports.api} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return fmt.Errorf("find a free port: %w", err)
		}
		*p = l.Addr().(*net.TCPAddr).Port
		_ = l.Close()
	}
	return nil
}

func (s *site) startNova() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("start the emulated Nova: %w", err)
	}
	s.urls.nova = "http://" + l.Addr().String()
	s.nova = novatest.New(novatest.Options{Now: s.clock.Now, URL: s.urls.nova, SharedStorage: true,
		Schedule: 200 * time.Millisecond, Spawn: 900 * time.Millisecond, Flip: 400 * time.Millisecond})
	srv := &http.Server{Handler: s.nova, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = srv.Serve(l) }()
	s.close = append(s.close, srv.Close, func() error { s.nova.Close(); return nil })
	for i := 1; i <= hosts; i++ {
		name := nova.HostName(hostName(i))
		s.nova.AddHost(name)
		s.nova.Boot(name, perHost, novatest.BootOptions{Name: "web-" + string(name)})
		s.hosts = append(s.hosts, &host{name: name, addr: fmt.Sprintf("127.0.1.%d", i), machine: fencetest.NewMachine(true)})
		s.hosts[i-1].machine.UUID = fmt.Sprintf("de300000-0000-4000-8000-%012d", i)
	}
	return nil
}

func (s *site) startBMC() error {
	s.bmc = &fencetest.Redfish{Now: s.clock.Now, Username: "admin", Password: newSecret()}
	for _, h := range s.hosts {
		s.bmc.Systems = append(s.bmc.Systems, fencetest.System{ID: string(h.name), Machine: h.machine})
	}
	cert, err := selfSigned(filepath.Join(s.dir, "bmc.crt"), s.clock.Now())
	if err != nil {
		return err
	}
	l, err := tls.Listen("tcp", "127.0.2.1:0", &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})
	if err != nil {
		return fmt.Errorf("start the emulated BMCs: %w", err)
	}
	s.urls.bmc = "https://" + l.Addr().String()
	srv := &http.Server{Handler: s.bmc, ReadHeaderTimeout: 5 * time.Second, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)}
	go func() { _ = srv.Serve(l) }()
	s.close = append(s.close, srv.Close)
	return nil
}

func selfSigned(path string, now time.Time) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make the BMC's key: %w", err)
	}
	t := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "demo BMC"}, IPAddresses: []net.IP{net.ParseIP("127.0.2.1")},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make the BMC's certificate: %w", err)
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

func controllerID(i int) string      { return fmt.Sprintf("ctl%d", i) }
func controllerAddr(i int) string    { return fmt.Sprintf("127.0.0.%d", 10+i) }
func (s *site) peer(i int) string    { return fmt.Sprintf("%s:%d", controllerAddr(i), s.ports.peer) }
func (s *site) api(i int) string     { return fmt.Sprintf("%s:%d", controllerAddr(i), s.ports.api) }
func (s *site) path(n string) string { return filepath.Join(s.dir, n) }

// newSecret is one that nobody guesses.
func newSecret() string {
	b := make([]byte, 24)
	_, _ = rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

// secrets writes what an operator would: CA, certificates, keys, clouds.yaml.
func (s *site) secrets() error {
	pki := s.path("pki")
	if err := os.MkdirAll(pki, 0o700); err != nil {
		return err
	}
	if _, err := identity.InitCA(pki, "demo", s.clock.Now()); err != nil {
		return err
	}
	for i := 1; i <= controllers; i++ {
		if _, err := identity.IssueController(pki, controllerID(i), []string{controllerAddr(i)}, 30, s.clock.Now()); err != nil {
			return err
		}
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	clouds := fmt.Sprintf("clouds:\n  demo:\n    auth:\n      auth_url: %s/identity/v3\n      username: %s\n      password: %s\n      project_name: %s\n      user_domain_name: %s\n      project_domain_name: %s\n    region_name: %s\n",
		s.urls.nova, novatest.User, novatest.Password, novatest.Project, novatest.Domain, novatest.Domain, novatest.Region)
	for name, content := range map[string]string{
		"ring.key": base64.StdEncoding.EncodeToString(key), "api.token": newSecret(),
		"clouds.yaml": clouds, "bmc.password": s.bmc.Password,
	} {
		if err := os.WriteFile(s.path(name), []byte(content), 0o600); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	return nil
}

// controllerConfig is a controller's file, read by the same strict parser as
// everybody's.
func (s *site) controllerConfig(i int) (*config.Controller, error) {
	y := fmt.Sprintf("cluster: demo\ncontroller:\n  id: %s\n  data_dir: %s\n  peers:\n", controllerID(i), s.path(controllerID(i)))
	for j := 1; j <= controllers; j++ {
		y += fmt.Sprintf("    - {id: %s, address: %q}\n", controllerID(j), s.peer(j))
	}
	y += fmt.Sprintf("tls: {ca: %s, certificate: %s, key: %s}\n", s.path("pki/ca.crt"), s.path("pki/"+controllerID(i)+".crt"), s.path("pki/"+controllerID(i)+".key"))
	y += fmt.Sprintf("ring: {bind: \"%s:%d\", key_file: %s}\n", controllerAddr(i), s.ports.ring, s.path("ring.key"))
	y += fmt.Sprintf("peer: {listen: %q}\napi: {listen: %q, token_file: %s}\n", s.peer(i), s.api(i), s.path("api.token"))
	y += fmt.Sprintf("nova: {cloud: demo, clouds_file: %s}\n", s.path("clouds.yaml"))
	y += "policy: {mode: auto, storage: shared, leader_grace: 4s, healthy_delay: 3s}\nhosts:\n"
	for n, h := range s.hosts {
		y += fmt.Sprintf("  - {name: %s, domain: rack%d, addresses: {management: %s}, bmc: [{method: redfish, address: %q, system: %s, username: admin, password: {file: %s}, ca: %s}]}\n",
			h.name, n/5+1, h.addr, s.urls.bmc, fencetest.SystemPath(string(h.name)), s.path("bmc.password"), s.path("bmc.crt"))
	}
	if s.amend != nil {
		y = s.amend(y)
	}
	path := s.path(controllerID(i) + ".yaml")
	if err := os.WriteFile(path, []byte(y), 0o600); err != nil {
		return nil, err
	}
	return config.LoadController(path)
}

func (s *site) agentConfig(n int, h *host) (*config.Agent, error) {
	y := fmt.Sprintf("host: %s\ndomain: rack%d\ndata_dir: %s\nring: {bind: \"%s:%d\"}\nheartbeat: {bind: \"%s:0\"}\ncontrollers: [%q, %q, %q]\nboot_id_file: %s\nuuid_file: %s\ndmi_dir: %s\nsensors: {libvirt: off}\n",
		h.name, n/5+1, s.path(string(h.name)), h.addr, s.ports.ring, h.addr, s.peer(1), s.peer(2), s.peer(3), s.path(string(h.name)+".boot"), s.path(string(h.name)+".uuid"), s.dir)
	if err := os.WriteFile(s.path(string(h.name)+".uuid"), []byte(h.machine.UUID+"\n"), 0o600); err != nil {
		return nil, err
	}
	path := s.path(string(h.name) + ".yaml")
	if err := os.WriteFile(path, []byte(y), 0o600); err != nil {
		return nil, err
	}
	return config.LoadAgent(path)
}

// newBoot writes the boot id of a machine that is switched on.
func (s *site) newBoot(h *host) error {
	b := make([]byte, 16)
	_, _ = rand.Read(b)
	return os.WriteFile(s.path(string(h.name)+".boot"), fmt.Appendf(nil, "%x\n", b), 0o600)
}
