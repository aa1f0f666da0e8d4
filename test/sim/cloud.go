package sim

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lifeboat-ha/lifeboat/config"
	"github.com/lifeboat-ha/lifeboat/config/identity"
	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/evacuate/ledger"
	"github.com/lifeboat-ha/lifeboat/fence/fencetest"
	"github.com/lifeboat-ha/lifeboat/nova"
	"github.com/lifeboat-ha/lifeboat/nova/novatest"
)

// Setup is the cloud that a scenario begins with, in the words of its file.
type Setup struct {
	Controllers int `yaml:"controllers"`
	Hosts       int `yaml:"hosts"`
	// Domains is how many failure domains the hosts stand in, in equal shares
	// and in order: rack1, rack2 ...
	Domains int `yaml:"domains"`
	// Servers is how many instances run on each host.
	Servers int `yaml:"servers"`
	// Profile is the ring's.
	Profile string `yaml:"profile"`
	// Heartbeat is the network that heartbeats leave by.
	Heartbeat string `yaml:"heartbeat_network"`
	// Empty lists hosts without instances.
	Empty string `yaml:"empty"`
	// ResumeGuests starts guests with their machine, before nova-compute.
	ResumeGuests bool `yaml:"resume_guests"`
	// Rebuild is how long a destination takes to start an evacuated guest.
	Rebuild time.Duration `yaml:"rebuild"`
	// PDU gives each host a second fencing method after its BMC: a PDU that
	// answers on a path of its own and is always well.
	PDU bool `yaml:"pdu"`
	// Watchdog gives each host a watchdog that its agent feeds.
	Watchdog bool `yaml:"watchdog"`
	// StorageFence has a program take the storage of dead hosts away.
	StorageFence bool `yaml:"storage_fence"`
	Errands      bool `yaml:"errands"`  // controllers power hosts off for each other
	Libvirt      bool `yaml:"libvirt"`  // the agents tell which instances run on their hosts
	Services     bool `yaml:"services"` // and watch the Neutron agents and nova-computes
	// VIP gives the control plane an address, which ctl1 has.
	VIP bool `yaml:"vip"`
}

// DefaultSetup is a small cloud.
func DefaultSetup() Setup {
	return Setup{Controllers: 3, Hosts: 6, Domains: 3, Servers: 2, Profile: config.ProfileDefault, Heartbeat: Management}
}

// Cloud is a whole site in memory.
type Cloud struct {
	ctx     context.Context //nolint:containedctx // the life of the cloud
	cancel  context.CancelFunc
	setup   Setup
	policy  config.Policy
	dir     string
	logs    slog.Handler
	net     *network
	nova    *novatest.Cloud
	novaT   *novatest.Transport
	novaAt  *node
	shelf   shelf
	hosts   []*machine
	byName  map[string]*machine
	voters  []*voter
	servers []nova.ServerID
	lives   map[string][]nova.ServerID // by the host that they begin on
	watch   *watch
	vip     address
	zero    atomic.Int64 // the scenario's zero, after the network's origin
	work    sync.WaitGroup
	closing atomic.Bool

	mu     sync.Mutex
	armed  []*armed
	events []Event
}

// Event is one line of the timeline.
type Event struct {
	At   time.Duration
	Kind string
	Text string
}

const (
	ringPort = 7946
	peerPort = 7947
	apiPort  = 7948
)

func hostName(i int) string { return fmt.Sprintf("host%02d", i+1) }

// Open makes the cloud and brings it up: every host enrolled, heard and fenceable.
// It must be called in a bubble of testing/synctest.
func Open(ctx context.Context, s Setup, p config.Policy, seed uint64, dir string, logs slog.Handler) (*Cloud, error) {
	c := &Cloud{setup: s, policy: p, dir: dir, logs: logs, net: newNetwork(seed), byName: map[string]*machine{}, lives: map[string][]nova.ServerID{}}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.watch = newWatch(c)
	c.vip.give(voterID(0))
	c.nova = novatest.New(novatest.Options{Now: time.Now, URL: "http://nova.test", SharedStorage: true, ResumeGuests: s.ResumeGuests, Spawn: s.Rebuild,
		Reaches: func(host nova.HostName) bool { return c.byName[string(host)].onBus() }})
	c.novaT = c.nova.Transport()
	c.novaAt = c.net.add("nova", nil)
	empty, err := c.pick(s.Empty)
	if err != nil {
		return nil, fmt.Errorf("empty: %w", err)
	}
	for i := range s.Hosts {
		c.addHost(i, slices.Contains(empty, hostName(i)))
	}
	if err := c.secrets(); err != nil {
		return nil, err
	}
	for i := range s.Controllers {
		if err := c.addVoter(i); err != nil {
			return nil, err
		}
	}
	for _, h := range c.hosts {
		if err := c.configure(h); err != nil {
			return nil, err
		}
	}
	return c, c.up(ctx)
}

func (c *Cloud) log(name string) *slog.Logger { return slog.New(c.logs).With("process", name) }

func (c *Cloud) addHost(i int, empty bool) {
	name := hostName(i)
	per := c.setup.perDomain()
	m := &machine{cloud: c, name: nova.HostName(name), domain: fmt.Sprintf("rack%d", i/per+1), power: fencetest.NewMachine(true)}
	m.power.UUID, m.power.Serial = fmt.Sprintf("7f3c%04x-5a1e-4c5b-9a4e-2f6d7f2f%04x", i+1, i+1), fmt.Sprintf("SIM-%04d", i+1)
	m.node = c.net.add(name, hostAddrs(i))
	m.bmcAt = c.net.add("bmc-"+name, nil)
	m.bmc = &fencetest.Redfish{Now: time.Now, Username: "admin", Password: bmcPassword, Systems: []fencetest.System{{ID: name, Machine: m.power}}}
	m.pduAt = c.net.add("pdu-"+name, nil)
	m.pdu = &fencetest.Redfish{Now: time.Now, Username: "admin", Password: bmcPassword, Systems: slices.Clone(m.bmc.Systems)}
	m.power.OnPower = m.powered
	c.nova.AddHost(m.name, novatest.HostOptions{Node: name + ".example.org"}) // the hypervisor has another name
	if !empty && c.setup.Servers > 0 {
		c.lives[name] = c.nova.Boot(m.name, c.setup.Servers, novatest.BootOptions{Name: "vm-" + name})
		c.servers = append(c.servers, c.lives[name]...)
	}
	c.hosts = append(c.hosts, m)
	c.byName[name] = m
}

const bmcPassword = "calvin"

// secrets writes what an operator would.
func (c *Cloud) secrets() error {
	pki := filepath.Join(c.dir, "pki")
	if err := os.MkdirAll(pki, 0o700); err != nil {
		return err
	}
	if _, err := identity.InitCA(pki, "sim", time.Now()); err != nil {
		return err
	}
	for i := range c.setup.Controllers {
		if _, err := identity.IssueController(pki, voterID(i), []string{voterAddr(i).String()}, 3650, time.Now()); err != nil {
			return err
		}
	}
	clouds := fmt.Sprintf("clouds:\n  sim:\n    auth:\n      auth_url: http://nova.test/identity/v3\n      username: %s\n      password: %s\n      project_name: %s\n      user_domain_name: %s\n      project_domain_name: %s\n    region_name: %s\n",
		novatest.User, novatest.Password, novatest.Project, novatest.Domain, novatest.Domain, novatest.Region)
	for name, content := range map[string]string{
		"ring.key": base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 32))), "api.token": strings.Repeat("t", 32), "clouds.yaml": clouds,
	} {
		if err := os.WriteFile(filepath.Join(c.dir, name), []byte(content), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func voterID(i int) string { return fmt.Sprintf("ctl%d", i+1) }

// voterUUID is that of a controller's machine.
func voterUUID(i int) string { return fmt.Sprintf("c7%06d-5a1e-4c5b-9a4e-2f6d7f2fc710", i+1) }

func (c *Cloud) addVoter(i int) error {
	v := &voter{cloud: c, id: voterID(i), disk: ledger.Memory()}
	v.node = c.net.add(v.id, map[string]netip.Addr{Management: voterAddr(i)})
	y := fmt.Sprintf("cluster: sim\ncontroller:\n  id: %s\n  data_dir: %s\n  uuid_file: %s\n  dmi_dir: %s\n  peers:\n", v.id, v.path(""), v.path("uuid"), v.path(""))
	for j := range c.setup.Controllers {
		y += fmt.Sprintf("    - {id: %s, address: \"%s:%d\"}\n", voterID(j), voterAddr(j), peerPort)
	}
	pki := func(n string) string { return filepath.Join(c.dir, "pki", n) }
	y += fmt.Sprintf("tls: {ca: %s, certificate: %s, key: %s}\n", pki("ca.crt"), pki(v.id+".crt"), pki(v.id+".key"))
	y += fmt.Sprintf("ring: {bind: \"%s:%d\", key_file: %s, profile: %s}\n", voterAddr(i), ringPort, filepath.Join(c.dir, "ring.key"), c.setup.Profile)
	y += fmt.Sprintf("peer: {listen: \"%s:%d\"}\napi: {listen: \"127.0.0.1:%d\", token_file: %s}\n", voterAddr(i), peerPort, apiPort+i, filepath.Join(c.dir, "api.token"))
	y += fmt.Sprintf("nova: {cloud: sim, clouds_file: %s}\n", filepath.Join(c.dir, "clouds.yaml"))
	if c.setup.VIP {
		y += vipConfig
	}
	cfg, err := config.ParseController(v.id, []byte(y))
	if err != nil {
		return fmt.Errorf("configure %s: %w", v.id, err)
	}
	cfg.Policy, cfg.Fencing.Errands = c.policy, c.setup.Errands
	if c.setup.StorageFence {
		cfg.StorageFence.Program = shelfProgram
	}
	for _, h := range c.hosts {
		cfg.Hosts = append(cfg.Hosts, config.Host{Name: string(h.name), Domain: h.domain, Addresses: h.node.addrs, Storage: c.policy.Storage, BMC: h.methods()})
	}
	v.cfg = cfg
	c.voters = append(c.voters, v)
	if err := os.MkdirAll(v.path(""), 0o700); err != nil {
		return err
	}
	return os.WriteFile(v.path("uuid"), []byte(voterUUID(i)), 0o600)
}

func (c *Cloud) configure(h *machine) error {
	if err := os.MkdirAll(h.path("data"), 0o700); err != nil {
		return err
	}
	y := fmt.Sprintf("host: %s\ndomain: %s\ndata_dir: %s\nring: {bind: \"%s:%d\", profile: %s}\nheartbeat: {bind: \"%s:0\"}\nboot_id_file: %s\nuuid_file: %s\ndmi_dir: %s\nsensors: {compute_process: \"\", libvirt: %s}\n%scontrollers:\n",
		h.name, h.domain, h.path("data"), h.node.addrs[Management], ringPort, c.setup.Profile, h.node.addrs[c.setup.Heartbeat], h.path("boot"), h.path("uuid"), h.path("dmi"), c.setup.libvirt(), c.setup.services())
	for i := range c.setup.Controllers {
		y += fmt.Sprintf("  - \"%s:%d\"\n", voterAddr(i), peerPort)
	}
	cfg, err := config.ParseAgent(string(h.name), []byte(y))
	if err != nil {
		return fmt.Errorf("configure %s: %w", h.name, err)
	}
	h.cfg = cfg
	h.cfg.Watchdog = h.kennel()
	if err := os.WriteFile(h.path("uuid"), []byte(h.power.UUID+"\n"), 0o600); err != nil {
		return err
	}
	return h.newBoot()
}

// up starts everything, and returns once all is well.
func (c *Cloud) up(ctx context.Context) error {
	c.work.Go(func() { c.watch.run() })
	for _, v := range c.voters {
		if err := v.start(); err != nil {
			return err
		}
	}
	if err := c.await(ctx, "a leader", func() bool {
		l := c.leader()
		return l != nil && len(l.ctl.State().Hosts) == len(c.hosts) && len(l.ctl.State().Controllers) == len(c.voters)
	}); err != nil {
		return err
	}
	if err := c.enrol(ctx); err != nil {
		return err
	}
	for _, h := range c.hosts {
		h.startAgent()
	}
	if err := c.await(ctx, "all hosts heard and fenceable", c.ready); err != nil {
		return err
	}
	// A leader that has just begun waits before it decides anything.
	time.Sleep(c.policy.LeaderGrace)
	c.zero.Store(int64(time.Since(c.net.origin)))
	c.watch.begin()
	return nil
}

func (c *Cloud) await(ctx context.Context, what string, done func() bool) error {
	for end := time.Now().Add(readyWithin); !done(); {
		if time.Now().After(end) {
			return fmt.Errorf("the cloud did not come up: no %s within %s", what, readyWithin)
		}
		if !pause(ctx, 500*time.Millisecond) {
			return ctx.Err()
		}
	}
	return nil
}

// enrol gives each host its identity by a token, as an operator does.
func (c *Cloud) enrol(ctx context.Context) error {
	l := c.leader()
	if l == nil {
		return errors.New("no leader to enrol with")
	}
	for i, h := range c.hosts {
		token, err := l.ctl.NewToken(ctx, h.name, time.Hour)
		if err != nil {
			return fmt.Errorf("make a token for %s: %w", h.name, err)
		}
		p := c.net.spawn(h.node)
		at := fmt.Sprintf("%s:%d", voterAddr(i%len(c.voters)), peerPort)
		if err := h.seams(p).Enrol(ctx, h.cfg, at, token); err != nil {
			return fmt.Errorf("enrol %s: %w", h.name, err)
		}
		p.kill()
	}
	return nil
}

// leader is the run that leads; of several that believe it, the newest term's.
func (c *Cloud) leader() *voterRun {
	var best *voterRun
	var term uint64
	for _, v := range c.voters {
		r := v.current()
		if r == nil || !v.alive() {
			continue
		}
		if t, leads := r.ctl.Tenure(); leads && (best == nil || t > term) {
			best, term = r, t
		}
	}
	return best
}

func (c *Cloud) ready() bool {
	l := c.leader()
	if l == nil {
		return false
	}
	n := 0
	verdicts := l.ctl.Verdicts()
	for name, h := range l.ctl.State().Hosts {
		if verdicts[name].State == detector.Healthy && !h.PoweredOn.IsZero() && h.Machine.Known() && len(h.Checks) > 0 {
			n++
		}
	}
	return n == len(c.hosts) && l.ctl.RingSize() >= len(c.hosts)+len(c.voters)
}

// now is the scenario's time.
func (c *Cloud) now() time.Duration { return time.Since(c.net.origin) - time.Duration(c.zero.Load()) }

// note writes a line of the timeline.
func (c *Cloud) note(kind, format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events = append(c.events, Event{At: c.now(), Kind: kind, Text: fmt.Sprintf(format, args...)})
}

// Events is the timeline so far.
func (c *Cloud) Events() []Event {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.events)
}

// fatal is a controller that says that it must not go on: its process ends.
func (c *Cloud) fatal(v *voter, r *voterRun, err error) {
	dead := false
	c.net.locked(func() { dead = r.proc.dead })
	if dead {
		return // what a dying process says is not heard
	}
	c.note("fatal", "%s gave up: %v", v.id, err)
	c.watch.broken("a controller must not give up: %s: %v", v.id, err)
	c.work.Go(v.kill)
}

// end kills what still stops in order: it may be frozen.
func (c *Cloud) end(x *node) {
	if p := c.net.runsOn(x); p != nil {
		p.kill()
	}
}

// Close ends everything, and lets the last timers of the ring run out.
func (c *Cloud) Close() {
	c.closing.Store(true) // nothing is started any more
	c.watch.end()
	c.disarm()
	c.cancel()
	for _, h := range c.hosts {
		h.endAgent()
		c.end(h.node)
	}
	for _, v := range c.voters {
		v.kill()
		c.end(v.node)
	}
	c.nova.Close()
	c.work.Wait()
	time.Sleep(2 * time.Minute)
}
