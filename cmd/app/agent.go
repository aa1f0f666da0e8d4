package app

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
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
	"github.com/lifeboat-ha/lifeboat/detector/clock"
	"github.com/lifeboat-ha/lifeboat/detector/gossip"
	"github.com/lifeboat-ha/lifeboat/detector/heartbeat"
	"github.com/lifeboat-ha/lifeboat/detector/service"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// Agent is one agent process.
type Agent struct {
	cfg    *config.Agent
	log    *slog.Logger
	clock  clock.Clock
	prober Prober
	seams  Seams
	stop   *stopper
	start  string
	boot   string
	dmi    dmi

	leaving  atomic.Bool
	versions map[string]uint64 // of each controller's roster, by heedRoster alone
	compute  atomic.Value      // the last finding about nova-compute's process
	gate     atomic.Value      // the last word of its start gate
	// bootGuests is the last word of what starts guests as the host boots.
	bootGuests atomic.Value
	mu         sync.Mutex
	ident      *identity.Identity
	roster     roster
	ring       *gossip.Member
	keys       *keyRing
	sender     *heartbeat.Sender
	reach      *reach
	ways       *ways
	caller     *http.Client // see client
	callerOf   *identity.Identity
	guard      *guard
	guests     *teller // nil: libvirt is not asked
	services   *service.Monitor
	spoken     string // the start id of the heartbeats
}

// NewAgent makes an agent of a checked configuration. It must be enrolled.
func NewAgent(cfg *config.Agent, log *slog.Logger, seams Seams) (*Agent, error) {
	seams = seams.withDefaults()
	a := &Agent{cfg: cfg, seams: seams, log: log.With("host", cfg.Host), clock: seams.Clock, prober: seams.Prober, start: newStart(),
		dmi: dmi{cfg.DMIDir, cfg.UUIDFile}}
	var err error
	if a.prober == nil {
		if a.prober, err = newProber(cfg.Host, time.Second, a.clock.Now, a.log); err != nil {
			return nil, err
		}
	}
	a.reach = &reach{prober: a.prober, now: a.clock.Now, last: map[string]reached{}, ever: map[string]bool{}}
	a.ways = newWays(a)
	a.guests = newTeller(a)
	a.services = newMonitor(a)
	if a.ident, err = identity.Load(cfg.DataDir); err != nil {
		return nil, fmt.Errorf("%w (make a token with `lifeboat token create %s`, then run `lifeboat enroll` here)", err, cfg.Host)
	}
	if a.ident.Host != cfg.Host {
		return nil, fmt.Errorf("this host was enrolled as %s, its configuration says %s: enrol it again or mend `host`", a.ident.Host, cfg.Host)
	}
	b, err := os.ReadFile(cfg.BootIDFile)
	if err != nil {
		return nil, fmt.Errorf("read the boot id: %w", err)
	}
	if a.boot = strings.TrimSpace(string(b)); a.boot == "" {
		return nil, fmt.Errorf("the boot id in %s is empty", cfg.BootIDFile)
	}
	a.roster = a.savedRoster()
	if a.guard, err = newGuard(a); err != nil {
		return nil, err
	}
	return a, nil
}

const rosterFile = "roster.json"

func (a *Agent) savedRoster() roster {
	var r roster
	if b, err := os.ReadFile(filepath.Join(a.cfg.DataDir, rosterFile)); err == nil && json.Unmarshal(b, &r) == nil {
		return r
	}
	return r
}

// lastRoster is what the controllers last told.
func (a *Agent) lastRoster() roster {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.roster
}

// Start brings the agent up.
func (a *Agent) Start(ctx context.Context) (err error) {
	a.stop = newStopper()
	a.stop.onStop("calls to the controllers", a.hangUp)
	defer func() {
		if err != nil {
			err = errors.Join(err, a.stop.stop())
		}
	}()
	if len(a.roster.Controllers) == 0 {
		a.fetchRoster(ctx)
	}
	ring, err := gossip.Open(ctx, gossip.Options{Name: a.cfg.Host, Bind: a.cfg.Ring.Bind, Advertise: a.cfg.Ring.Advertise, Keys: [][]byte{a.ident.RingKey},
		Label: a.ident.ClusterID, Profile: gossip.Profile(a.cfg.Ring.Profile), Known: a.ringPeers, OnMessage: a.guard.take,
		Meta:    gossip.Meta{Role: gossip.RoleAgent, Boot: a.boot, Start: a.start, Domain: a.cfg.Domain, Version: Version},
		Sockets: a.seams.ring(), Now: a.clock.Now, Boottime: func() time.Duration { return a.clock.Read().Boot }, Log: a.log})
	if err != nil {
		return err
	}
	a.stop.onStop("the ring", ring.Close)
	a.mu.Lock()
	a.ring, a.keys = ring, newKeyRing(ring.Keys(), a.ident.RingKey)
	a.mu.Unlock()
	if err := a.speak(ctx, a.start); err != nil {
		return err
	}
	a.stop.onStop("heartbeats", func() error { return a.sender.Close() })
	a.guard.begin()
	if name := a.cfg.Sensors.ComputeProcess; name != "" {
		a.stop.every(sensorEvery, func(context.Context) { a.compute.Store(service.Process("/proc", name)) })
	}
	a.stop.every(sensorEvery, func(context.Context) { a.gate.Store(a.gateSensor()) })
	if err := a.openGate(); err != nil {
		return err
	}
	if a.looksAtBoot() {
		a.stop.every(bootGuestsEvery, a.lookBootGuests)
	}
	a.stop.every(networksEvery, a.lookAround)
	if err := a.ways.other.clear(); err != nil {
		a.log.Warn("other ways to the control plane that an earlier agent took may be left", "reason", err)
	}
	a.stop.onStop("other ways to the control plane", a.ways.other.clear)
	a.stop.wg.Go(func() { a.ways.ask(a.stop.ctx) })
	a.guests.begin(a.stop)
	if len(a.cfg.Services) > 0 {
		a.stop.every(sensorEvery, a.services.Look)
	}
	a.stop.every(mendEvery, a.ways.tend)
	if a.cfg.VIP.Restart != config.RepairOff {
		a.stop.every(time.Second, newRestarter(a).tend)
	}
	a.stop.every(rosterEvery, a.fetchRoster)
	a.versions = map[string]uint64{}
	a.stop.every(time.Second, a.heedRoster)
	a.stop.every(time.Hour, a.renewKey)
	if m := a.dmi.read(); !m.Known() {
		a.log.Warn("this machine tells neither a UUID nor a serial number, or not to this user: its BMC cannot be compared with it", "dir", a.cfg.DMIDir)
	}
	a.log.Info("agent runs", "boot", a.boot, "start", a.start)
	return nil
}

// speak begins to send heartbeats with the key in force, in place of what was
// sent before.
func (a *Agent) speak(ctx context.Context, start string) error {
	a.mu.Lock()
	former, ident, ring := a.sender, a.ident, a.ring
	a.mu.Unlock()
	if former != nil {
		if err := former.Close(); err != nil {
			a.log.Warn("former heartbeat socket", "reason", err)
		}
	}
	conn, err := a.seams.listenPacket(a.cfg.Heartbeat.Bind)
	if err != nil {
		return fmt.Errorf("open the heartbeat socket: %w", err)
	}
	sender, err := heartbeat.Start(ctx, heartbeat.SenderOptions{Host: nova.HostName(a.cfg.Host), Key: ident.Key, Signer: a.seams.Signer, ClusterID: ident.ClusterID,
		Controllers: a.controllers(), Conn: conn, Boot: a.boot, Start: start, Ring: ring.View, Sensors: a.sensors, Networks: a.reach.sights, Paths: a.ways.row, Leaving: a.leaving.Load,
		Probe: a.probe, Listed: a.listed, Now: a.clock.Now, Clocks: a.guard.instant, Lease: a.guard.lease, Log: a.log})
	if err != nil {
		return err
	}
	a.mu.Lock()
	a.sender, a.spoken = sender, start
	a.mu.Unlock()
	return nil
}

// lookAround asks others on each network of this host.
func (a *Agent) lookAround(ctx context.Context) {
	a.mu.Lock()
	networks, peers := a.roster.Networks, a.roster.Peers
	a.mu.Unlock()
	a.reach.look(ctx, networks, append(a.targets(), peers...))
}

// targets are the addresses that an operator wants to be asked as well.
func (a *Agent) targets() []rosterPeer {
	var all []rosterPeer
	for network, addrs := range a.cfg.Sensors.Targets {
		for _, addr := range addrs {
			all = append(all, rosterPeer{Host: nova.HostName(addr.String()), Addresses: []heartbeat.Address{{Network: network, Addr: addr}}})
		}
	}
	return all
}

// sensorEvery is how often the agent looks for nova-compute's process.
const sensorEvery = 5 * time.Second

// sensors are the host's own findings.
func (a *Agent) sensors() map[string]string {
	found := map[string]string{}
	if word, ok := a.compute.Load().(string); ok {
		found[a.cfg.Sensors.ComputeProcess] = word
	}
	for name, word := range a.services.Words() {
		found[detector.SensorService+name] = word
	}
	if a.guests != nil {
		found[detector.SensorGuests] = a.guests.watch.Word()
	}
	if word, ok := a.gate.Load().(string); ok && word != "" {
		found[sensorGate] = word
	}
	if word, ok := a.bootGuests.Load().(string); ok {
		found[detector.SensorBoot] = word
	}
	a.mu.Lock()
	keys := a.keys
	a.mu.Unlock()
	if keys != nil {
		if held, ok := keys.held(); ok {
			found[sensorRingKey] = held.String()
		}
	}
	return found
}

// rosterEvery is how often an agent asks whom it may talk to.
const rosterEvery = 15 * time.Second

// Stop announces the stop, so that silence is not taken for death, and ends.
func (a *Agent) Stop(ctx context.Context) error {
	a.leaving.Store(true)
	actx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	if err := a.sender.Announce(actx); err != nil {
		a.log.Warn("no controller confirmed the announced stop", "reason", err)
	}
	a.guard.disarm(ctx)
	if err := a.ring.SetLeaving(actx); err == nil {
		_ = a.ring.Leave(actx)
	}
	return a.stop.stop()
}

func (a *Agent) controllers() []heartbeat.Peer {
	a.mu.Lock()
	defer a.mu.Unlock()
	var peers []heartbeat.Peer
	for _, c := range a.roster.Controllers {
		if addr, err := netip.ParseAddrPort(c.Address); err == nil && len(c.PublicKey) == ed25519.PublicKeySize {
			peers = append(peers, heartbeat.Peer{ID: c.ID, Address: addr, PublicKey: ed25519.PublicKey(c.PublicKey)})
		}
	}
	return peers
}

func (a *Agent) listed(h nova.HostName) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Contains(a.roster.Hosts, h)
}

func (a *Agent) probe(ctx context.Context, o heartbeat.Order) []detector.Probe {
	ps := a.prober.Probe(ctx, o.Host, o.Addresses, o.Ports)
	for i := range ps {
		ps[i].Observer, ps[i].Host = detector.Observer(a.cfg.Host), o.Host
	}
	return ps
}

// fetchRoster asks the controllers in turn; the first that answers will do.
func (a *Agent) fetchRoster(ctx context.Context) {
	var addrs []string
	for _, c := range a.cfg.Controllers {
		addrs = append(addrs, c.String())
	}
	for _, addr := range addrs {
		r, err := a.askRoster(ctx, addr)
		if err != nil {
			a.log.Debug("no roster", "controller", addr, "reason", err)
			continue
		}
		a.adopt(r)
		return
	}
}

func (a *Agent) adopt(r roster) {
	grant := r.Ring
	r.Ring, r.Boot = nil, a.boot
	a.mu.Lock()
	before, _ := json.Marshal(a.roster)
	left := a.roster.Leave
	a.roster = r
	sender := a.sender
	a.mu.Unlock()
	if left != r.Leave && len(a.cfg.Services) > 0 {
		a.log.Info("whether services of this host are restarted has changed", "former", left, "reason", r.Leave)
	}
	if now, err := json.Marshal(r); err == nil && !bytes.Equal(before, now) {
		if err := writeFile(filepath.Join(a.cfg.DataDir, rosterFile), now); err != nil {
			a.log.Warn("roster not saved", "reason", err)
		}
		if peers := a.controllers(); sender != nil && len(peers) > 0 {
			if err := sender.SetControllers(peers); err != nil {
				a.log.Warn("controllers not taken over", "reason", err)
			}
		}
	}
	if grant != nil {
		a.takeKeys(*grant)
	}
}

// takeKeys does what the controllers say of the ring's keys, and keeps the one in
// force for the next start.
func (a *Agent) takeKeys(g ringGrant) {
	a.mu.Lock()
	keys := a.keys
	a.mu.Unlock()
	if keys == nil {
		return // not in the ring yet
	}
	key, changed, err := keys.take(g)
	if err != nil {
		a.log.Warn("ring key not taken over", "key", g.Use, "reason", err)
	}
	if !changed {
		return
	}
	a.log.Info("the ring is encrypted with another key", "key", g.Use)
	a.mu.Lock()
	next := *a.ident
	next.RingKey = key
	a.ident = &next
	a.mu.Unlock()
	if err := next.Save(a.cfg.DataDir); err != nil {
		a.log.Warn("new ring key not saved", "reason", err)
	}
}

// writeFile replaces a file so that a crash leaves the old or the new.
func writeFile(path string, b []byte) error {
	tmp := path + ".new"
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// Kill ends the agent without a word, as a dying host does.
func (a *Agent) Kill() error { return a.stop.stop() }
