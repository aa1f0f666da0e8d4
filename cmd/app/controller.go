package app

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lifeboat-ha/lifeboat/config"
	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/detector/clock"
	"github.com/lifeboat-ha/lifeboat/detector/gossip"
	"github.com/lifeboat-ha/lifeboat/detector/heartbeat"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/evacuate/ledger"
	"github.com/lifeboat-ha/lifeboat/evacuate/ledger/peer"
	"github.com/lifeboat-ha/lifeboat/evacuate/notify"
	"github.com/lifeboat-ha/lifeboat/evacuate/runner"
	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// Version is set by the build.
var Version = "dev"

// Controller is one controller process.
type Controller struct {
	cfg    *config.Controller
	id     string
	log    *slog.Logger
	clock  clock.Clock
	prober Prober
	policy evacuate.Policy
	seams  Seams
	stop   *stopper
	killed atomic.Bool
	runsOn fence.Identity // the machine of this process

	key       ed25519.PrivateKey
	ringStore *ringStore
	keyRing   *keyRing
	addresses map[nova.HostName][]heartbeat.Address
	racks     map[nova.HostName]string
	// storage and places are as configured; nobody writes to them.
	storage map[nova.HostName]evacuate.Storage // "": the host does not say
	places  map[nova.HostName][]evacuate.Domain
	// reserved are kept for failures, in order.
	reserved []nova.HostName
	cells    map[nova.HostName]string // of Nova; of hosts that say so
	ports    []uint16

	machine  *machine
	observer *observer
	powers   *powers
	hand     *hand
	cloud    *cloud
	skews    *skews
	transits *transits
	channel  *peer.Channel
	ledger   *ledger.Ledger
	receiver *heartbeat.Receiver
	engine   *runner.Engine
	dumps    dumps
	vips     *vips
	search   *investigator
	registry *prometheus.Registry
	api      http.Handler
	notifier *notify.Notifier

	mu      sync.Mutex
	ring    *gossip.Member
	tenure  ledger.Tenure
	since   time.Time
	leading bool

	// tended is since when this leader knows of a drill that another began.
	tended map[nova.HostName]time.Time
}

// NewController makes a controller of a checked configuration.
func NewController(cfg *config.Controller, log *slog.Logger, seams Seams) (*Controller, error) {
	seams = seams.withDefaults()
	c := &Controller{cfg: cfg, id: cfg.Controller.ID, log: log.With("controller", cfg.Controller.ID), clock: seams.Clock, prober: seams.Prober,
		seams: seams, policy: policyOf(cfg.Policy, cfg.Kdump, cfg.Fencing), machine: newMachine(), registry: prometheus.NewRegistry(), addresses: map[nova.HostName][]heartbeat.Address{},
		racks: map[nova.HostName]string{}, storage: map[nova.HostName]evacuate.Storage{}, places: domainsOf(cfg.Hosts), reserved: reservedOf(cfg.Hosts), cells: cellsOf(cfg.Hosts)}
	for _, h := range cfg.Hosts {
		name := nova.HostName(h.Name)
		c.racks[name] = h.Domain
		if c.storage[name] = ""; !h.Unsaid {
			c.storage[name] = evacuate.Storage(h.Storage)
		}
		for _, network := range slices.Sorted(maps.Keys(h.Addresses)) {
			c.addresses[name] = append(c.addresses[name], heartbeat.Address{Network: network, Addr: h.Addresses[network]})
		}
	}
	for _, p := range cfg.Probe.Ports {
		c.ports = append(c.ports, uint16(p))
	}
	var err error
	if c.prober == nil {
		if c.prober, err = newProber(c.id, cfg.Probe.Timeout, c.clock.Now, c.log); err != nil {
			return nil, err
		}
	}
	if err = c.fencers(); err != nil {
		return nil, err
	}
	c.runsOn = dmi{cfg.Controller.DMIDir, cfg.Controller.UUIDFile}.read()
	c.observer = newObserver(c.id, judgeOf(cfg.Policy), c.clock.Now)
	c.cloud = newCloud(cfg.Nova, c.policy.Chooses(), c.clock.Now, c.log)
	c.cloud.options.Transport = seams.Nova
	c.search, c.vips = newInvestigator(c), newVIPs(c)
	c.skews = newSkews(c.clock.Now)
	c.transits = newTransits(newStart(), c.boottime)
	c.hand = c.newHand()
	return c, nil
}

// Start brings the controller up; it returns once its API answers. Whatever
// was started is stopped again if a later part fails.
func (c *Controller) Start(ctx context.Context) (err error) {
	c.stop = newStopper()
	defer func() {
		if err != nil {
			err = errors.Join(err, c.stop.stop())
		}
	}()
	c.vips.clear()
	if err := c.keys(); err != nil {
		return err
	}
	if err := c.openLedger(ctx); err != nil {
		return err
	}
	if err := c.openAPI(); err != nil {
		return err
	}
	c.stop.wg.Go(func() { c.found(c.stop.ctx) })
	return nil
}

// keys reads the ring's key and makes this controller's own on first start.
func (c *Controller) keys() error {
	dir := c.cfg.Controller.DataDir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	var err error
	if c.key, err = loadOrMakeKey(filepath.Join(dir, "controller.key")); err != nil {
		return err
	}
	secret, err := config.ReadSecretFile(c.cfg.Ring.KeyFile)
	if err != nil {
		return fmt.Errorf("read the ring's key: %w", err)
	}
	first, err := decodeRingKey(secret.Reveal())
	if err != nil {
		return err
	}
	c.ringStore, err = openRingStore(filepath.Join(dir, ringKeysFile), first)
	return err
}

func (c *Controller) openLedger(ctx context.Context) error {
	cred, err := peer.Load(peer.Files{CA: c.cfg.TLS.CA, Certificate: c.cfg.TLS.Certificate, Key: c.cfg.TLS.Key}, c.log, c.clock.Now)
	if err != nil {
		return err
	}
	l, err := c.seams.listen(c.cfg.Peer.Listen)
	if err != nil {
		return fmt.Errorf("listen for controllers and hosts: %w", err)
	}
	c.channel, err = peer.Listen(peer.Options{ID: c.id, Cluster: c.cfg.Cluster, Listener: l, Dial: c.seams.dial(), Credentials: cred,
		Known: c.knownController, Host: c.hostOfKey, Handler: c.peerHandler(), Log: c.log, Now: c.clock.Now})
	if err != nil {
		return errors.Join(err, l.Close())
	}
	c.stop.onStop("the peer channel", c.channel.Close)
	var peers []ledger.Peer
	for _, p := range c.cfg.Controller.Peers {
		peers = append(peers, ledger.Peer{ID: p.ID, Address: p.Address.String()})
	}
	c.ledger, err = ledger.Open(ctx, ledger.Options{ID: c.id, Cluster: c.cfg.Cluster, DataDir: c.cfg.Controller.DataDir, Peers: peers,
		Streams: c.channel.StreamLayer(), Hello: ledger.HTTPHello(c.channel.Client), Stores: c.seams.Stores, OnFatal: c.fatal, OnStore: c.vips.stored.note, Log: c.log, Now: c.clock.Now}, c.machine)
	if err != nil {
		return err
	}
	c.stop.onStop("the ledger", c.closeLedger)
	c.stop.onStop("the connection to Nova", c.cloud.close)
	return nil
}

func (c *Controller) fatal(err error) {
	c.log.Error("this controller must not go on", "reason", err)
	if c.seams.Fatal != nil {
		c.seams.Fatal(err)
		return
	}
	os.Exit(1)
}

func (c *Controller) knownController(id string) bool {
	for _, p := range c.cfg.Controller.Peers {
		if p.ID == id {
			return true
		}
	}
	known := false
	c.machine.Locked(func(s *evacuate.State) { known = s.Controllers[id] != nil })
	return known
}

// found joins or founds the cluster, then starts what needs its id.
func (c *Controller) found(ctx context.Context) {
	if _, err := c.ledger.Bootstrap(ctx); err != nil {
		if ctx.Err() == nil {
			c.fatal(fmt.Errorf("join the cluster: %w", err))
		}
		return
	}
	for c.ledger.ClusterID() == "" {
		if c.clock.Sleep(ctx, 100*time.Millisecond) != nil {
			return
		}
	}
	if err := c.sense(ctx); err != nil {
		c.fatal(err)
		return
	}
	c.stop.wg.Go(func() { c.follow(ctx) })
	c.stop.wg.Go(func() { c.tell(ctx) })
	c.stop.every(500*time.Millisecond, c.report)
	c.stop.every(250*time.Millisecond, c.search.suspects)
	c.stop.every(time.Second, c.search.baselines)
	c.stop.every(time.Second, c.search.witnesses)
	c.stop.every(time.Second, c.search.preflight)
	c.stop.every(time.Second, c.keep)
	c.stop.every(time.Second, c.tendDrills)
	c.stop.every(time.Second, c.mindClock)
	c.stop.every(time.Second, c.turnKeys)
	c.stop.every(500*time.Millisecond, c.vips.remember)
	c.stop.every(checksEvery, c.vips.lookBehind)
	c.stop.every(restartsEvery, c.vips.restarts.look)
	c.stop.every(storagePause, c.lookAtStorage)
	c.novaRounds()
	c.engine.Run(ctx)
}

// sense opens the ears: heartbeats and the ring.
func (c *Controller) sense(ctx context.Context) error {
	conn, err := c.seams.listenPacket(c.cfg.Peer.Listen)
	if err != nil {
		return fmt.Errorf("listen for heartbeats: %w", err)
	}
	start, first := newStart(), c.firstRingKey()
	c.observer.with(func(t *detector.Table) { t.Listens(c.observer.id, c.clock.Now()) })
	receiver, err := heartbeat.Listen(ctx, heartbeat.ReceiverOptions{ID: c.id, Key: c.key, Signer: c.seams.Signer, ClusterID: c.ledger.ClusterID(), Conn: conn,
		Hosts: c.hostKeys, OnHeartbeat: c.observer.heartbeat, OnProbes: c.observer.probes, Status: c.status, Word: c.word, Now: c.clock.Now, Log: c.log})
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.receiver = receiver
	c.mu.Unlock()
	c.stop.onStop("heartbeats", receiver.Close)
	if err := c.listenForDumps(); err != nil {
		return err
	}
	c.vips.open(ctx)
	c.vips.begin()
	ring, err := gossip.Open(ctx, gossip.Options{Name: gossip.ControllerName(c.id), Bind: c.cfg.Ring.Bind, Advertise: c.cfg.Ring.Advertise, Keys: [][]byte{first},
		Label: c.ledger.ClusterID(), Profile: gossip.Profile(c.cfg.Ring.Profile), Known: c.ringPeers,
		Meta:    gossip.Meta{Role: gossip.RoleController, Boot: start, Start: start, Domain: string(detector.ControllerDomain), Version: Version},
		Sockets: c.seams.ring(), Now: c.clock.Now, Boottime: c.boottime, Log: c.log})
	if err != nil {
		return err
	}
	c.stop.onStop("the ring", ring.Close)
	c.observer.with(func(t *detector.Table) {
		for _, h := range c.cfg.Hosts {
			t.SetDomain(nova.HostName(h.Name), detector.Domain(h.Domain))
		}
	})
	c.mu.Lock()
	c.ring, c.keyRing = ring, newKeyRing(ring.Keys(), first)
	c.mu.Unlock()
	return nil
}

func (c *Controller) boottime() time.Duration { return c.clock.Read().Boot }

func (c *Controller) hostKeys(host nova.HostName) (keys []ed25519.PublicKey, ok bool) {
	now := c.clock.Now()
	c.machine.Locked(func(s *evacuate.State) {
		h := s.Hosts[host]
		if h == nil {
			return
		}
		for _, k := range h.Keys {
			if k.Expires.IsZero() || now.Before(k.Expires) {
				keys = append(keys, ed25519.PublicKey(k.Public))
			}
		}
	})
	return keys, len(keys) > 0
}

func (c *Controller) hostOfKey(pub ed25519.PublicKey) (host string, ok bool) {
	now := c.clock.Now()
	c.machine.Locked(func(s *evacuate.State) {
		for name, h := range s.Hosts {
			for _, k := range h.Keys {
				if pub.Equal(ed25519.PublicKey(k.Public)) && (k.Expires.IsZero() || now.Before(k.Expires)) {
					host, ok = string(name), true
				}
			}
		}
	})
	return host, ok
}

func (c *Controller) ringView() detector.RingView {
	c.mu.Lock()
	ring := c.ring
	c.mu.Unlock()
	if ring == nil {
		return detector.RingView{}
	}
	return ring.View()
}

func (c *Controller) info() evacuate.Controller {
	self, _ := c.cfg.Self()
	return evacuate.Controller{Machine: c.runsOn, ID: c.id, Address: self.Address.String(), Ring: c.cfg.Ring.Advertise.String(), PublicKey: c.key.Public().(ed25519.PublicKey)}
}

// follow notes tenures. A tenure begins when all that former leaders committed
// is applied here.
func (c *Controller) follow(ctx context.Context) {
	for {
		var t ledger.Tenure
		var ok bool
		select {
		case <-ctx.Done():
			return
		case t, ok = <-c.ledger.Established():
			if !ok {
				return
			}
		}
		c.lead(t, true)
		c.log.Info("leading", "epoch", t.Term)
		select {
		case <-ctx.Done():
			return
		case <-t.Lost:
		}
		c.lead(t, false)
		c.log.Info("not leading any more", "epoch", t.Term)
	}
}

func (c *Controller) lead(t ledger.Tenure, yes bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tenure, c.leading, c.since = t, yes, c.clock.Now()
}

func (c *Controller) leads() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.leading
}

// Stop ends the controller. It hands leadership over if it leads.
func (c *Controller) Stop() error { return c.stop.stop() }

// Kill ends the controller as a crash does: it hands nothing over.
func (c *Controller) Kill() error {
	c.killed.Store(true)
	return c.stop.stop()
}

func (c *Controller) closeLedger() error {
	if c.killed.Load() {
		return c.ledger.Abandon()
	}
	return c.ledger.Close()
}
