package config

import (
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
)

// Agent is the file of lifeboat-agent.
type Agent struct {
	// Host is the host of the nova-compute beside it, exactly as Nova lists it.
	Host    string    `yaml:"host"`
	Domain  string    `yaml:"domain,omitempty"`
	DataDir string    `yaml:"data_dir"`
	Ring    AgentRing `yaml:"ring"`
	// Heartbeat is the address that heartbeats are sent from: give one of
	// another network than the ring's where there is one.
	Heartbeat Heartbeat `yaml:"heartbeat"`
	// Controllers are all controllers' peer addresses.
	Controllers []netip.AddrPort `yaml:"controllers"`
	BootIDFile  string           `yaml:"boot_id_file"`
	// UUIDFile and DMIDir are where the kernel shows SMBIOS: which machine this is.
	UUIDFile string  `yaml:"uuid_file"`
	DMIDir   string  `yaml:"dmi_dir"`
	Sensors  Sensors `yaml:"sensors"`
	// GateSocket is where whoever starts nova-compute without systemd asks the start gate;
	// "" is none.
	GateSocket string   `yaml:"gate_socket"`
	Watchdog   Watchdog `yaml:"watchdog"`
	VIP        AgentVIP `yaml:"vip"`
	// Services are restarted when they have failed (docs/host.md); none unless given.
	Services []Service `yaml:"services,omitempty"`
	// ServiceRestarts is how many restarts in a row are tried.
	ServiceRestarts int `yaml:"service_restarts"`
	Log             Log `yaml:"log"`

	source source
}

// AgentRing is an agent's membership of the gossip ring. Its key comes from the
// controllers, at enrolment.
type AgentRing struct {
	Bind      netip.AddrPort `yaml:"bind"`
	Advertise netip.AddrPort `yaml:"advertise"`
	Profile   string         `yaml:"profile"`
}

// Heartbeat is where heartbeats leave from; port 0 takes any free one.
type Heartbeat struct {
	Bind netip.AddrPort `yaml:"bind"`
}

// Sensors are local findings that heartbeats carry.
type Sensors struct {
	// ComputeProcess is the name of nova-compute's process; "" looks for none.
	ComputeProcess string `yaml:"compute_process"`
	// Libvirt is the read-only socket that is asked which instances run here: "auto" for
	// the usual ones, "off" for none. LibvirtURI is what is asked for there.
	Libvirt    string `yaml:"libvirt"`
	LibvirtURI string `yaml:"libvirt_uri"`
	// BootGuests looks for what starts guests as the host boots: auto, off; not where
	// Libvirt is off. NovaConf are nova-compute's files, the last that says something wins.
	BootGuests string   `yaml:"boot_guests"`
	NovaConf   []string `yaml:"nova_conf"`
	// Targets are addresses by network that are asked beside other hosts whether
	// the network works: a gateway, a storage server.
	Targets map[string][]netip.Addr `yaml:"targets,omitempty"`
}

// Words of Sensors.Libvirt that are no path.
const (
	LibvirtAuto = "auto"
	LibvirtOff  = "off"
)

// Where Linux shows SMBIOS. The UUID and the serial numbers are root's alone.
const (
	DefaultDMIDir   = "/sys/class/dmi/id"
	DefaultUUIDFile = DefaultDMIDir + "/product_uuid"
)

// LoadAgent reads an agent's file. The error, if any, is a Faults with all
// mistakes.
func LoadAgent(path string) (*Agent, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	return ParseAgent(path, data)
}

// ParseAgent decodes and checks an agent's file; name stands in the messages.
func ParseAgent(name string, data []byte) (*Agent, error) {
	a := &Agent{
		DataDir:    "/var/lib/lifeboat/agent",
		Ring:       AgentRing{Profile: ProfileDefault},
		BootIDFile: "/proc/sys/kernel/random/boot_id",
		UUIDFile:   DefaultUUIDFile,
		DMIDir:     DefaultDMIDir,
		Sensors: Sensors{ComputeProcess: "nova-compute", Libvirt: LibvirtAuto, LibvirtURI: "qemu:///system",
			BootGuests: LibvirtAuto, NovaConf: []string{"/etc/nova/nova.conf", "/etc/nova/nova-compute.conf", "/etc/kolla/nova-compute/nova.conf"}},
		Watchdog: Watchdog{Timeout: DefaultWatchdogTimeout, Lease: DefaultWatchdogLease},
		VIP:      AgentVIP{Probe: true, Repair: RepairOn, Route: RepairOff, Restart: RepairOff},
		Log:      defaultLog(),

		ServiceRestarts: 3,
	}
	d := decode(name, data, a)
	a.source = d.source
	if d.readable {
		a.fill()
		a.check(d)
	}
	return a, d.faults.orNil()
}

func (a *Agent) fill() {
	for i := range a.VIP.Agents {
		fill(&a.VIP.Agents[i].Process, a.VIP.Agents[i].Binary)
	}
	bind := a.Ring.Bind
	if !bind.IsValid() {
		return
	}
	if !a.Ring.Advertise.IsValid() && !bind.Addr().IsUnspecified() {
		a.Ring.Advertise = bind
	}
	if !a.Heartbeat.Bind.IsValid() {
		a.Heartbeat.Bind = netip.AddrPortFrom(bind.Addr(), 0)
	}
}

func (a *Agent) check(d *decoder) {
	d.name("host", a.Host)
	d.domain("domain", a.Domain)
	d.absolute("data_dir", a.DataDir)
	d.absolute("boot_id_file", a.BootIDFile)
	d.absolute("uuid_file", a.UUIDFile)
	d.absolute("dmi_dir", a.DMIDir)
	d.ring(a.Ring.Bind, a.Ring.Advertise, a.Ring.Profile)
	d.log(a.Log)
	d.watchdog(a.Watchdog)
	d.agentVIP(a.VIP)
	a.checkServices(d)

	if l := a.Sensors.Libvirt; l != LibvirtAuto && l != LibvirtOff {
		d.absolute("sensors.libvirt", l)
	}
	d.oneOf("sensors.boot_guests", a.Sensors.BootGuests, []string{LibvirtAuto, LibvirtOff})
	for i, path := range a.Sensors.NovaConf {
		d.absolute(item("sensors.nova_conf", i), path)
	}
	if a.GateSocket != "" {
		d.absolute("gate_socket", a.GateSocket)
	}
	for _, network := range slices.Sorted(maps.Keys(a.Sensors.Targets)) {
		at := key("sensors.targets", network)
		d.oneOf(at, network, networks)
		for i, addr := range a.Sensors.Targets[network] {
			if addr.IsUnspecified() || addr.IsLoopback() || addr.IsMulticast() {
				d.fault(item(at, i), "%s is no address of another machine", addr)
			}
		}
	}
	if len(a.Controllers) == 0 {
		d.fault("controllers", "missing: list the peer address of every controller, such as \"10.0.0.11:7947\"")
	} else if len(a.Controllers)%2 == 0 {
		d.fault("controllers", "%d controllers: list every one of the 3 or 5", len(a.Controllers))
	}
	seen := map[netip.AddrPort]bool{}
	for i, address := range a.Controllers {
		at := item("controllers", i)
		if d.reachable(at, address) && seen[address] {
			d.fault(at, "%s is listed twice: remove one", address)
		}
		seen[address] = true
	}
}
