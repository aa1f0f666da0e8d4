package app

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lifeboat-ha/lifeboat/config"
	"github.com/lifeboat-ha/lifeboat/config/identity"
	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/detector/gossip/gossiptest"
	"github.com/lifeboat-ha/lifeboat/detector/heartbeat"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/evacuate/ledger"
	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
	"github.com/lifeboat-ha/lifeboat/nova/novatest"
)

// site is one production controller with an emulated Nova and BMCs, in a bubble.
type site struct {
	*testing.T
	dir  string
	net  *wire
	nova *novatest.Cloud
	bmcs map[string]*fakeBMC
	ctl  *Controller
}

const ctlAt = "10.1.0.1:7947"

// onSite runs f with a controller that leads.
func onSite(t *testing.T, f func(*site)) {
	t.Helper()
	onSiteOf(t, siteOptions{log: slog.DiscardHandler}, f)
}

// onSiteWith gives some hosts more than one fencing method.
func onSiteWith(t *testing.T, chains map[string][]*fakeBMC, f func(*site)) {
	t.Helper()
	onSiteOf(t, siteOptions{chains: chains, log: slog.DiscardHandler}, f)
}

type siteOptions struct {
	chains map[string][]*fakeBMC
	method func(host string, b config.BMC, now func() time.Time) (fence.Method, error)
	log    slog.Handler
}

func onSiteOf(t *testing.T, o siteOptions, f func(*site)) {
	t.Helper()
	chains := o.chains
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := &site{T: t, dir: dir, net: &wire{packets: gossiptest.New(1), streams: map[string]*pipe{}}, bmcs: map[string]*fakeBMC{}}
		s.nova = novatest.New(novatest.Options{Now: time.Now, URL: "http://nova.test", SharedStorage: true})
		defer s.nova.Close()
		cfg := s.configure()
		made := map[string]int{}
		for i, h := range cfg.Hosts {
			for n := range chains[h.Name] {
				if n > 0 {
					cfg.Hosts[i].BMC = append(cfg.Hosts[i].BMC, config.BMC{Method: config.MethodPDU, Address: "plug"})
				}
			}
		}
		ctl, err := NewController(cfg, slog.New(o.log), Seams{Network: s.net, Stores: ledger.Memory(), Nova: s.nova.Transport(), Prober: deaf{},
			Method: func(host string, b config.BMC, now func() time.Time) (fence.Method, error) {
				if o.method != nil {
					return o.method(host, b, now)
				}
				if c := chains[host]; c != nil {
					made[host]++
					return c[made[host]-1], nil
				}
				return s.bmcs[host], nil
			}})
		if err != nil {
			t.Fatal(err)
		}
		s.ctl = ctl
		if err := ctl.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.await("a leader that is in the roster", func() bool { return ctl.Leads() && len(ctl.State().Controllers) == 1 })
		f(s)
		if err := ctl.Stop(); err != nil {
			t.Error(err)
		}
		time.Sleep(2 * time.Minute)
	})
}

func (s *site) await(what string, done func() bool) {
	s.Helper()
	for range 600 {
		if done() {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	s.Fatal("no " + what)
}

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }

func (s *site) configure() *config.Controller {
	s.Helper()
	must := func(err error) {
		if err != nil {
			s.Helper()
			s.Fatal(err)
		}
	}
	pki := s.path("pki")
	must(os.MkdirAll(pki, 0o700))
	_, err := identity.InitCA(pki, "test", time.Now())
	must(err)
	_, err = identity.IssueController(pki, "ctl1", []string{"10.1.0.1"}, 3650, time.Now())
	must(err)
	clouds := fmt.Sprintf("clouds: {test: {region_name: %s, auth: {auth_url: http://nova.test/identity/v3, username: %s, password: %s, project_name: %s, user_domain_name: %s, project_domain_name: %s}}}\n",
		novatest.Region, novatest.User, novatest.Password, novatest.Project, novatest.Domain, novatest.Domain)
	for name, content := range map[string]string{
		"ring.key": base64.StdEncoding.EncodeToString(keyOf(0)), "clouds.yaml": clouds, "api.token": "fence " + string(bytes.Repeat([]byte("t"), 32)) + " ann\n",
	} {
		must(os.WriteFile(s.path(name), []byte(content), 0o600))
	}
	y := fmt.Sprintf(`cluster: test
controller: {id: ctl1, single: true, data_dir: %[1]s/ctl1, peers: [{id: ctl1, address: "%[2]s"}]}
tls: {ca: %[1]s/pki/ca.crt, certificate: %[1]s/pki/ctl1.crt, key: %[1]s/pki/ctl1.key}
ring: {bind: "10.1.0.1:7946", key_file: %[1]s/ring.key}
peer: {listen: "%[2]s"}
api: {listen: "127.0.0.1:7948", token_file: %[1]s/api.token}
nova: {cloud: test, clouds_file: %[1]s/clouds.yaml}
`, s.dir, ctlAt)
	cfg, err := config.ParseController("ctl1.yaml", []byte(y))
	must(err)
	for i := range 3 {
		name := fmt.Sprintf("cmp%d", i+1)
		s.nova.AddHost(nova.HostName(name))
		s.nova.Boot(nova.HostName(name), i)
		s.bmcs[name] = &fakeBMC{power: fence.On}
		cfg.Hosts = append(cfg.Hosts, config.Host{Name: name, Storage: config.StorageShared, Cell: "cell1",
			Addresses: map[string]netip.Addr{"management": netip.AddrFrom4([4]byte{10, 1, 1, byte(i + 1)})}, BMC: []config.BMC{{Method: config.MethodIPMI}}})
	}
	return cfg
}

// agentOf makes a host's configuration.
func (s *site) agentOf(i int) *config.Agent {
	s.Helper()
	dir := s.path(fmt.Sprintf("cmp%d", i))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		s.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "boot"), []byte(fmt.Sprintf("boot-%d\n", i)), 0o600); err != nil {
		s.Fatal(err)
	}
	return s.agentAgain(i)
}

// agentAgain is the configuration of a host that has booted before.
func (s *site) agentAgain(i int) *config.Agent {
	s.Helper()
	dir := s.path(fmt.Sprintf("cmp%d", i))
	cfg, err := config.ParseAgent("agent.yaml", fmt.Appendf(nil, `host: cmp%[1]d
data_dir: %[2]s
ring: {bind: "10.1.1.%[1]d:7946"}
heartbeat: {bind: "10.1.1.%[1]d:7000"}
boot_id_file: %[2]s/boot
uuid_file: %[2]s/boot
sensors: {compute_process: "", libvirt: off}
controllers: ["%[3]s"]
`, i, dir, ctlAt))
	if err != nil {
		s.Fatal(err)
	}
	return cfg
}

func (s *site) seams() Seams { return Seams{Network: s.net, Prober: deaf{}} }

func (s *site) token(host nova.HostName) string {
	s.Helper()
	t, err := s.ctl.NewToken(s.Context(), host, time.Hour)
	if err != nil {
		s.Fatal(err)
	}
	return t
}

// enrolled starts the agent of an enrolled host.
func (s *site) enrolled(i int) *Agent {
	s.Helper()
	cfg := s.agentOf(i)
	if err := s.seams().Enrol(s.Context(), cfg, ctlAt, s.token(nova.HostName(cfg.Host))); err != nil {
		s.Fatal(err)
	}
	a, err := NewAgent(cfg, slog.New(slog.DiscardHandler), s.seams())
	if err == nil {
		err = a.Start(s.Context())
	}
	if err != nil {
		s.Fatal(err)
	}
	return a
}

// change writes to the controller's own state, past the ledger.
func (s *site) change(f func(*evacuate.State)) {
	s.ctl.machine.mu.Lock()
	defer s.ctl.machine.mu.Unlock()
	s.ctl.machine.edits++
	f(s.ctl.machine.state)
}

// deaf probes nobody.
type deaf struct{}

func (deaf) Probe(context.Context, nova.HostName, []heartbeat.Address, []uint16) []detector.Probe {
	return nil
}

func (deaf) Touch(context.Context, nova.HostName, []heartbeat.Address, []uint16) []detector.Probe {
	return nil
}

// fakeBMC answers as it is told, and counts.
type fakeBMC struct {
	mu    sync.Mutex
	power fence.Power
	cause fence.Cause
	reads int
	slow  time.Duration
	// commands counts those of power, onPower is told of each.
	commands int
	onPower  func(on bool)
}

func (b *fakeBMC) Name() string { return "fake" }

func (b *fakeBMC) Power(context.Context) fence.Reading {
	b.mu.Lock()
	b.reads++
	r, slow := fence.Reading{Method: "fake", Power: b.power, Cause: b.cause, Began: time.Now()}, b.slow
	b.mu.Unlock()
	time.Sleep(slow)
	r.Ended = time.Now()
	return r
}

func (b *fakeBMC) Off(context.Context) error { b.command(fence.Off); return nil }
func (b *fakeBMC) On(context.Context) error  { b.command(fence.On); return nil }

func (b *fakeBMC) command(p fence.Power) {
	b.set(p, "")
	b.mu.Lock()
	b.commands++
	f := b.onPower
	b.mu.Unlock()
	if f != nil {
		f(p == fence.On)
	}
}

func (b *fakeBMC) set(p fence.Power, c fence.Cause) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.power, b.cause = p, c
}

func (b *fakeBMC) slowBy(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.slow = d
}

func (b *fakeBMC) commanded() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.commands
}

func (b *fakeBMC) asked() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.reads
}

// wire is a network in memory.
type wire struct {
	packets *gossiptest.Network
	mu      sync.Mutex
	streams map[string]*pipe
}

func (w *wire) ListenPacket(at netip.AddrPort) (net.PacketConn, error) {
	return w.packets.PacketConn(at)
}

func (w *wire) Listen(at netip.AddrPort) (net.Listener, error) {
	l := &pipe{at: at, in: make(chan net.Conn, 64), gone: make(chan struct{})}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.streams[at.String()] = l
	return l, nil
}

func (w *wire) Dial(ctx context.Context, address string) (net.Conn, error) {
	w.mu.Lock()
	l := w.streams[address]
	w.mu.Unlock()
	if l == nil {
		return nil, os.NewSyscallError("connect", syscall.ECONNREFUSED)
	}
	ours, theirs := net.Pipe()
	select {
	case l.in <- theirs:
		return ours, nil
	case <-l.gone:
		return nil, os.NewSyscallError("connect", syscall.ECONNREFUSED)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

type pipe struct {
	at   netip.AddrPort
	in   chan net.Conn
	gone chan struct{}
	once sync.Once
}

func (p *pipe) Accept() (net.Conn, error) {
	select {
	case c := <-p.in:
		return c, nil
	case <-p.gone:
		return nil, net.ErrClosed
	}
}

func (p *pipe) Close() error {
	p.once.Do(func() { close(p.gone) })
	return nil
}

func (p *pipe) Addr() net.Addr { return net.TCPAddrFromAddrPort(p.at) }
