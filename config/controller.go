// Package config reads the one YAML file of each process: strictly (an unknown
// key is a fault), all faults at once (each with its line and how to mend it),
// and with what is left out filled in. It decides nothing and starts nothing;
// cmd/app hands its plain values to the packages that use them.
package config

import (
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"
)

// Controller is the file of lifeboat-controller.
type Controller struct {
	// Cluster is a name for people and for the controllers' certificates.
	Cluster    string         `yaml:"cluster"`
	Controller ControllerSelf `yaml:"controller"`
	TLS        TLS            `yaml:"tls"`
	Ring       ControllerRing `yaml:"ring"`
	Peer       Peer           `yaml:"peer"`
	API        API            `yaml:"api"`
	Nova       Nova           `yaml:"nova,omitempty"`
	Policy     Policy         `yaml:"policy"`
	Probe      Probe          `yaml:"probe"`
	Notify     []Notify       `yaml:"notify,omitempty"`
	Kdump      Kdump          `yaml:"kdump,omitempty"`
	VIP        VIP            `yaml:"vip,omitempty"`
	Fencing    Fencing        `yaml:"fencing"`
	// StorageFence takes a dead host's storage away, beside its power-off.
	StorageFence StorageFence `yaml:"storage_fence,omitempty"`
	// Defaults are merged into every host by ParseController.
	Defaults Defaults `yaml:"defaults,omitempty"`
	Hosts    []Host   `yaml:"hosts,omitempty"`
	Log      Log      `yaml:"log"`

	source source
}

// ControllerSelf says which controller this is, and who the others are.
type ControllerSelf struct {
	ID      string `yaml:"id"`
	DataDir string `yaml:"data_dir"`
	// Peers are all voters of the first start, this controller included: 3 or 5.
	Peers []PeerAddress `yaml:"peers"`
	// Single allows one voter, for demonstrations: it survives nothing.
	Single bool `yaml:"single,omitempty"`
	// UUIDFile and DMIDir are where this controller reads on which machine it runs:
	// a BMC of that machine is not for fencing.
	UUIDFile string `yaml:"uuid_file,omitempty"`
	DMIDir   string `yaml:"dmi_dir,omitempty"`
}

// PeerAddress is one voter.
type PeerAddress struct {
	ID      string         `yaml:"id"`
	Address netip.AddrPort `yaml:"address"`
}

// TLS names the PEM files of the channel between controllers, and to agents.
type TLS struct {
	CA          string `yaml:"ca"`
	Certificate string `yaml:"certificate"`
	Key         string `yaml:"key"`
}

// Ring profiles: facts and figures stand in docs/.
const (
	ProfileDefault = "default" // probes every second, dead after 11-14 s at 200 hosts
	ProfileFast    = "fast"    // probes every half second
)

// ControllerRing is a controller's membership of the gossip ring.
type ControllerRing struct {
	Bind netip.AddrPort `yaml:"bind"`
	// Advertise is what others dial; the same as Bind unless given.
	Advertise netip.AddrPort `yaml:"advertise"`
	// KeyFile holds the key that encrypts the ring.
	KeyFile string `yaml:"key_file"`
	Profile string `yaml:"profile"`
}

// Peer is where other controllers and agents reach this one: TCP carries Raft
// and the control channel (TLS 1.3), UDP of the same port the heartbeats.
type Peer struct {
	Listen netip.AddrPort `yaml:"listen"`
}

// API is where people, the CLI and Prometheus reach this controller.
type API struct {
	Listen    netip.AddrPort `yaml:"listen"`
	TokenFile string         `yaml:"token_file"`
	// Certificate and Key turn TLS on. Beyond loopback it is always on, with
	// those of TLS unless given here.
	Certificate string `yaml:"certificate,omitempty"`
	Key         string `yaml:"key,omitempty"`
	// Insecure turns it off beyond loopback too.
	Insecure bool `yaml:"insecure,omitempty"`
}

// Nova says how to reach one cloud. All empty: the OS_* environment alone.
type Nova struct {
	Cloud      string `yaml:"cloud,omitempty"`
	CloudsFile string `yaml:"clouds_file,omitempty"`
	Region     string `yaml:"region,omitempty"`
	Interface  string `yaml:"interface,omitempty"`
	// Endpoints and its kin are tried in order before the catalog's address.
	Endpoints          []string      `yaml:"endpoints,omitempty"`
	AuthEndpoints      []string      `yaml:"auth_endpoints,omitempty"`
	PlacementEndpoints []string      `yaml:"placement_endpoints,omitempty"`
	ImageEndpoints     []string      `yaml:"image_endpoints,omitempty"`
	CA                 string        `yaml:"ca,omitempty"`
	Timeout            time.Duration `yaml:"timeout,omitempty"`
}

// Ways to power a recovered host on again.
const (
	PowerOnOperator  = "operator"
	PowerOnAutomatic = "automatic"
)

// Policy is what the operator decides.
type Policy struct {
	// Mode is that of the first start; afterwards `lifeboat mode` sets it.
	Mode string `yaml:"mode"`
	// AggregateModes are those of Nova's host aggregates, by name: the most
	// careful of the cloud's, the aggregates' and the host's is in force.
	AggregateModes map[string]string `yaml:"aggregate_modes,omitempty"`
	// PlanExpiry is how long a plan waits for a person's answer.
	PlanExpiry time.Duration `yaml:"plan_expiry"`
	// ShadowWindow is how long what shadow would have done waits for its score.
	ShadowWindow time.Duration `yaml:"shadow_window"`
	// Storage is that of hosts which do not say.
	Storage           string        `yaml:"storage"`
	HeartbeatInterval time.Duration `yaml:"heartbeat_interval"`
	Missed            int           `yaml:"missed"`
	HoldDown          time.Duration `yaml:"hold_down"`
	Storm             Storm         `yaml:"storm"`
	LeaderGrace       time.Duration `yaml:"leader_grace"`
	// Concurrency is how many recoveries may be open at once.
	Concurrency int `yaml:"concurrency"`
	// InFlight is how many evacuations may run at once, PerDestination how many
	// of them towards one host.
	InFlight       int `yaml:"in_flight"`
	PerDestination int `yaml:"per_destination"`
	// PerBackend is how many on one storage (lifeboat:backend).
	PerBackend int `yaml:"per_backend"`
	// Destinations says who chooses where instances go: spread, scheduler.
	Destinations string `yaml:"destinations"`
	// Affinity says what is done with members of a hard affinity group that are all
	// dead: ask, force.
	Affinity string `yaml:"affinity"`
	Order    Order  `yaml:"order"`
	// Reserved: enable, or have it join the dead host's aggregates too: join.
	Reserved     string        `yaml:"reserved"`
	QuietPeriod  time.Duration `yaml:"quiet_period"`
	HealthyDelay time.Duration `yaml:"healthy_delay"`
	PowerOn      string        `yaml:"power_on"`
	// Failback is how long a host must be back and well before the instances that were
	// evacuated from it are live-migrated home. 0: they are not.
	Failback time.Duration `yaml:"failback"`
	// Services: report a host of which a service has failed for good; disable it too; move
	// what runs there away besides; or fence it where its nova-compute is down.
	Services string `yaml:"services"`
	// Guests says what is done with instances that end while their host lives.
	Guests Guests `yaml:"guests"`
	// IsolatedFor is how long a host that lives must have lost a network before
	// the matrix may have it fenced.
	IsolatedFor time.Duration `yaml:"isolated_for"`
	// Matrix says what each combination of lost networks means: fence, repair,
	// report or ignore. What is not given keeps its default.
	Matrix map[string]string `yaml:"matrix,omitempty"`
	// Aggregates asks the limits in the metadata of Nova's host aggregates.
	Aggregates bool `yaml:"aggregates"`
	Flap       Flap `yaml:"flap"`
	// Protect says which instances are recovered.
	Protect string `yaml:"protect"`
	// ProtectKey is the metadata key that is read for that beside lifeboat:protected.
	ProtectKey string `yaml:"protect_key"`
	// Restart are the states of instances that are reset to error, evacuated and
	// started anew: paused, suspended, rescued.
	Restart []string `yaml:"restart,omitempty"`
	Proofs  Proofs   `yaml:"proofs"`
}

// Probe is how a host's addresses are asked for a sign of life, beside ICMP.
type Probe struct {
	Ports   []int         `yaml:"ports"`
	Timeout time.Duration `yaml:"timeout"`
}

// Defaults are merged into every host.
type Defaults struct {
	BMC BMC `yaml:"bmc,omitempty"`
}

// Storage of a host's instances. An image-backed instance on anything but
// shared storage would be rebuilt empty, so it is not moved.
const (
	StorageNone   = "none"
	StorageShared = "shared"
	StorageVolume = "volume"
	StorageLocal  = "local"
	// StorageReimage is local, and instances are meant to be rebuilt from their image.
	StorageReimage = "reimage"
)

// Host is one compute host.
type Host struct {
	// Name is the host of its nova-compute, exactly as Nova lists it.
	Name   string `yaml:"name"`
	Domain string `yaml:"domain,omitempty"`
	// Domains are what else it fails with, by kind: {rack: r1, psu: feed-a}.
	Domains map[string]string `yaml:"domains,omitempty"`
	// Addresses by network: management, storage, tenant.
	Addresses map[string]netip.Addr `yaml:"addresses,omitempty"`
	// Cell is the one of Nova's cells that it is of: no API of Nova tells.
	Cell string `yaml:"cell,omitempty"`
	// Storage is never empty after ParseController.
	Storage string `yaml:"storage,omitempty"`
	// Unsaid: the host names no storage of its own; Storage is the cloud's, and Nova's
	// aggregates may say otherwise.
	Unsaid bool `yaml:"-"`
	// Reserved is its place among the hosts that are kept for failures, the first 1.
	Reserved int `yaml:"reserved,omitempty"`
	// KeepsStorage: storage_fence is not called for this host.
	KeepsStorage bool `yaml:"keeps_storage,omitempty"`
	// Controller is the id of the controller that runs on this host too: without it
	// a BMC of a controller's machine is refused.
	Controller string `yaml:"controller,omitempty"`
	// BMC lists the ways to power the host off, in the order to try.
	BMC []BMC `yaml:"bmc,omitempty"`
}

// Fencing methods.
const (
	MethodIPMI    = "ipmi"
	MethodRedfish = "redfish"
	MethodCommand = "command" // a fence agent
	MethodPDU     = "pdu"     // all feeds of the host, each by a fence agent
)

// BMC is one way to read and command a host's power.
type BMC struct {
	Method string `yaml:"method,omitempty"`
	// Address is IP:port for ipmi (port 623 is added), a URL for redfish.
	Address  string `yaml:"address,omitempty"`
	Username string `yaml:"username,omitempty"`
	Password Secret `yaml:"password,omitempty"`
	// Budget is how long the method may take before the next one is tried.
	Budget time.Duration `yaml:"budget,omitempty"`

	// Cipher and Privilege are for ipmi.
	Cipher    string `yaml:"cipher,omitempty"`
	Privilege string `yaml:"privilege,omitempty"`

	// The rest is for redfish. System is the @odata.id, needed where a BMC
	// manages several.
	System      string `yaml:"system,omitempty"`
	CA          string `yaml:"ca,omitempty"`
	Fingerprint string `yaml:"fingerprint,omitempty"`
	Insecure    bool   `yaml:"insecure,omitempty"`

	// Agent is for command: a fence agent's name, or its path. Address, username,
	// password and plug are its parameters of that name, or of the one that it has
	// for them; Parameters and Secrets the others, by the names in its metadata.
	Agent      string            `yaml:"agent,omitempty"`
	Plug       string            `yaml:"plug,omitempty"`
	Parameters map[string]string `yaml:"parameters,omitempty"`
	Secrets    map[string]Secret `yaml:"secrets,omitempty"`
	// Timeout bounds one call of an agent.
	Timeout time.Duration `yaml:"timeout,omitempty"`

	// Feeds is how many a host has, for pdu; Outlets are the ways to all of them.
	Feeds   int      `yaml:"feeds,omitempty"`
	Outlets []Outlet `yaml:"outlets,omitempty"`
}

// Outlet is how a fence agent is called; for pdu, one feed of a host.
type Outlet struct {
	Agent      string            `yaml:"agent,omitempty"`
	Address    string            `yaml:"address,omitempty"`
	Plug       string            `yaml:"plug,omitempty"`
	Username   string            `yaml:"username,omitempty"`
	Password   Secret            `yaml:"password,omitempty"`
	Parameters map[string]string `yaml:"parameters,omitempty"`
	Secrets    map[string]Secret `yaml:"secrets,omitempty"`
	Timeout    time.Duration     `yaml:"timeout,omitempty"`
}

// Target names what is commanded, without a secret: what was found of another
// target does not speak of this one.
func (b BMC) Target() string {
	parts := []string{b.Address, b.System}
	for _, o := range append([]Outlet{b.Outlet()}, b.Outlets...) {
		if o.Agent == "" {
			continue
		}
		parts = append(parts, o.Agent, o.Address, o.Plug)
		for _, name := range slices.Sorted(maps.Keys(o.Parameters)) {
			parts = append(parts, name+"="+o.Parameters[name])
		}
	}
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), " ")
}

// Log is how a process logs.
type Log struct {
	Level  string `yaml:"level"`
	Format string `yaml:"format"`
}

// LoadController reads a controller's file and every secret it refers to. The
// error, if any, is a Faults with all mistakes.
func LoadController(path string) (*Controller, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	c, err := ParseController(path, data)
	if err != nil {
		return nil, err
	}
	if err := c.LoadSecrets(); err != nil {
		return nil, err
	}
	return c, nil
}

// ParseController decodes and checks a controller's file; name stands in the
// messages. It opens no file: passwords are loaded by LoadSecrets.
func ParseController(name string, data []byte) (*Controller, error) {
	c := &Controller{
		Controller: ControllerSelf{DataDir: "/var/lib/lifeboat/controller", UUIDFile: DefaultUUIDFile, DMIDir: DefaultDMIDir},
		Ring:       ControllerRing{Profile: ProfileDefault},
		API:        API{Listen: netip.MustParseAddrPort("127.0.0.1:7948")},
		Policy:     DefaultPolicy(),
		Fencing:    DefaultFencing(),
		Probe:      Probe{Ports: []int{22}, Timeout: time.Second},
		Log:        defaultLog(),
	}
	d := decode(name, data, c)
	c.source = d.source
	if d.readable {
		c.fill(d)
		c.check(d)
	}
	return c, d.faults.orNil()
}

func defaultLog() Log { return Log{Level: "info", Format: "json"} }

// Self is this controller's entry among the peers.
func (c *Controller) Self() (PeerAddress, bool) {
	for _, p := range c.Controller.Peers {
		if p.ID == c.Controller.ID {
			return p, true
		}
	}
	return PeerAddress{}, false
}

// fill puts in what follows from other values.
func (c *Controller) fill(d *decoder) {
	if self, ok := c.Self(); ok && self.Address.IsValid() {
		if !c.Peer.Listen.IsValid() {
			c.Peer.Listen = self.Address
		}
		if !c.Ring.Bind.IsValid() {
			c.Ring.Bind = netip.AddrPortFrom(self.Address.Addr(), 7946)
		}
	}
	if a := &c.API; a.Listen.IsValid() && !a.Listen.Addr().IsLoopback() && !a.Insecure && a.Certificate == "" && a.Key == "" {
		a.Certificate, a.Key = c.TLS.Certificate, c.TLS.Key
	}
	if !c.Ring.Advertise.IsValid() && !c.Ring.Bind.Addr().IsUnspecified() {
		c.Ring.Advertise = c.Ring.Bind
	}
	if k := &c.Kdump; d.given("kdump") { // what is not there is not shown either
		fill(&k.Interval, 10*time.Second)
		fill(&k.Missed, 3)
		fill(&k.Most, 5*time.Minute)
	}
	c.fillVIP(d)
	for i := range c.Hosts {
		h := &c.Hosts[i]
		if h.Storage == "" {
			h.Storage, h.Unsaid = c.Policy.Storage, true
		}
		for j := range h.BMC {
			h.BMC[j].merge(c.Defaults.BMC)
		}
	}
}
