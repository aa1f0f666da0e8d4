package config

import (
	"net/netip"
	"regexp"
	"slices"
)

// VIP is the control plane's address: how controllers and hosts watch it. Without the
// section nobody does.
type VIP struct {
	// Mode is off or observe: it only ever watches.
	Mode      string       `yaml:"mode,omitempty"`
	Addresses []VIPAddress `yaml:"addresses,omitempty"`
	// ARPProbe is who asks the network who has the addresses: off or witness, the
	// controllers, from a MAC that is nobody's.
	ARPProbe string `yaml:"arp_probe,omitempty"`
	// Announce lets the only holder announce itself again after two have had an address:
	// off, dry-run or on. Orphans lets a controller take an address off that its dead
	// keepalived has left, while another advertises it: off, dry-run or on. Both are dry
	// runs in the modes off, observe and shadow.
	Announce string `yaml:"announce,omitempty"`
	Orphans  string `yaml:"orphans,omitempty"`
	// Restarts lets hosts restart agents of OpenStack that hang.
	Restarts VIPRestarts `yaml:"restarts,omitempty"`
	// Checks are services behind the addresses that the leader asks how they are.
	Checks VIPChecks `yaml:"checks,omitempty"`
	// HAProxySocket is this controller's own; "": not asked.
	HAProxySocket string `yaml:"haproxy_socket,omitempty"`
	// Targets are what hosts need of the control plane, and ask.
	Targets []VIPTarget `yaml:"targets,omitempty"`
}

// VIPAddress is one address.
type VIPAddress struct {
	Name    string     `yaml:"name"`
	Address netip.Addr `yaml:"address"`
	// Interface is this controller's; without it that of the route.
	Interface string `yaml:"interface,omitempty"`
	// Own lets Lifeboat move the address itself, in place of keepalived.
	Own bool `yaml:"own,omitempty"`
	// Guard is nft where nftables shall enforce the lease beside the address's own end.
	Guard string `yaml:"guard,omitempty"`
	// MACs may answer for it and are no controller's.
	MACs []string `yaml:"macs,omitempty"`
	// Vias are controllers' own addresses that accept its traffic without having it.
	Vias []netip.Addr `yaml:"vias,omitempty"`
}

// VIPTarget is a service that hosts need.
type VIPTarget struct {
	Service string `yaml:"service"`
	// Addresses: one of them must answer.
	Addresses []netip.AddrPort `yaml:"addresses"`
	// Touch is tcp, http, https or amqp.
	Touch string `yaml:"touch"`
	// Informs: it tells paths apart, and its failure holds nothing.
	Informs bool `yaml:"informs,omitempty"`
}

// VIPChecks are services that tell of themselves. Conductors and schedulers need no
// configuration: Nova tells of them.
type VIPChecks struct {
	// Galera are addresses of clustercheck.
	Galera []netip.AddrPort `yaml:"galera,omitempty"`
	// RabbitMQ is its management plugin.
	RabbitMQ RabbitMQ `yaml:"rabbitmq,omitempty"`
	// Cinder asks Cinder, by Keystone's catalog, for its cinder-volume services.
	Cinder bool `yaml:"cinder,omitempty"`
}

// VIPRestarts bounds the restarts of agents that hang.
type VIPRestarts struct {
	// Wedged is off, dry-run or on.
	Wedged string `yaml:"wedged,omitempty"`
	// AtOnce is how many in the whole cloud (one in each failure domain), PerHour how many
	// within an hour.
	AtOnce  int `yaml:"at_once,omitempty"`
	PerHour int `yaml:"per_hour,omitempty"`
	// Neutron asks Neutron, by Keystone's catalog, for its agents too.
	Neutron bool `yaml:"neutron,omitempty"`
}

// RabbitMQ is the management plugin of a broker's nodes. Its user needs the tag
// monitoring.
type RabbitMQ struct {
	Addresses []netip.AddrPort `yaml:"addresses,omitempty"`
	Username  string           `yaml:"username,omitempty"`
	Password  Secret           `yaml:"password,omitempty"`
	// CA turns TLS on.
	CA string `yaml:"ca,omitempty"`
}

// AgentVIP is what an agent does about the control plane's address.
type AgentVIP struct {
	// Probe lets it ask the targets that the controllers name.
	Probe bool `yaml:"probe"`
	// Repair of its way to a VIP that has moved: off, dry-run or on. In the modes off,
	// observe and shadow it is a dry run whatever stands here.
	Repair string `yaml:"repair"`
	// Route lets it go by another controller while its way to a VIP is broken: off,
	// dry-run or on.
	Route string `yaml:"route"`
	// Restart lets it restart an agent of OpenStack that hangs, where the controllers
	// permit it: off, dry-run or on. Agents names each, and how.
	Restart string    `yaml:"restart"`
	Agents  []AgentOf `yaml:"agents,omitempty"`
}

// AgentOf is an agent of OpenStack on this host.
type AgentOf struct {
	// Binary is its name in Nova's or Neutron's list.
	Binary string `yaml:"binary"`
	// Process is its process's name: without one that runs nothing is restarted. It is
	// Binary if empty.
	Process string `yaml:"process,omitempty"`
	// Command restarts it: a program by its absolute path, and its arguments.
	Command []string `yaml:"command"`
}

// Words of the section.
const (
	VIPOff     = "off"
	VIPObserve = "observe"
	VIPWitness = "witness"
	VIPGuard   = "nft"

	RepairOff    = "off"
	RepairDryRun = "dry-run"
	RepairOn     = "on"
)

var (
	vipTouches = []string{"tcp", "http", "https", "amqp"}
	macForm    = regexp.MustCompile(`^([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}$`)
)

// mostVIPs and mostTargets fit a heartbeat.
const (
	mostVIPs    = 8
	mostTargets = 64
	// mostRestarts at one time are more than a fault of single agents.
	mostRestarts = 10
)

// Watched says that anything is watched.
func (v VIP) Watched() bool { return v.Mode == VIPObserve && len(v.Addresses) > 0 }

func (c *Controller) fillVIP(d *decoder) {
	if !d.given("vip") { // what is not there is not shown either
		return
	}
	fill(&c.VIP.Mode, VIPObserve)
	fill(&c.VIP.ARPProbe, VIPWitness)
	fill(&c.VIP.Announce, RepairOn)
	fill(&c.VIP.Orphans, RepairOff)
	fill(&c.VIP.Restarts.Wedged, RepairOff)
	fill(&c.VIP.Restarts.AtOnce, 1)
	fill(&c.VIP.Restarts.PerHour, 6)
	for i := range c.VIP.Targets {
		fill(&c.VIP.Targets[i].Touch, "tcp")
	}
}

func (c *Controller) checkVIP(d *decoder) {
	v := c.VIP
	if !d.given("vip") || d.faulty("vip") {
		return
	}
	d.oneOf("vip.mode", v.Mode, []string{VIPOff, VIPObserve})
	d.oneOf("vip.arp_probe", v.ARPProbe, []string{VIPOff, VIPWitness})
	d.oneOf("vip.announce", v.Announce, []string{RepairOff, RepairDryRun, RepairOn})
	d.oneOf("vip.orphans", v.Orphans, []string{RepairOff, RepairDryRun, RepairOn})
	d.oneOf("vip.restarts.wedged", v.Restarts.Wedged, []string{RepairOff, RepairDryRun, RepairOn})
	if n := v.Restarts.AtOnce; n < 1 || n > mostRestarts {
		d.fault("vip.restarts.at_once", "%d: give 1 to %d", n, mostRestarts)
	}
	if n := v.Restarts.PerHour; n < 1 || n > 10*mostRestarts {
		d.fault("vip.restarts.per_hour", "%d: give 1 to %d", n, 10*mostRestarts)
	}
	if v.HAProxySocket != "" {
		d.absolute("vip.haproxy_socket", v.HAProxySocket)
	}
	if n := len(v.Addresses); n == 0 || n > mostVIPs {
		d.fault("vip.addresses", "%d addresses: list 1 to %d as {name: internal, address: 10.0.0.100}, or remove the section", n, mostVIPs)
	}
	names, addresses := map[string]bool{}, map[netip.Addr]bool{}
	for i, a := range v.Addresses {
		at := item("vip.addresses", i)
		if d.word(key(at, "name"), a.Name, "a name such as internal") && names[a.Name] {
			d.fault(key(at, "name"), "%s is there already: give each address a name of its own", a.Name)
		}
		switch {
		case d.faulty(key(at, "address")):
		case !a.Address.IsValid() || a.Address.IsUnspecified() || a.Address.IsLoopback() || a.Address.IsMulticast():
			d.fault(key(at, "address"), "%s is no address that a controller can hold for hosts: give the VIP, such as 10.0.0.100", a.Address)
		case addresses[a.Address]:
			d.fault(key(at, "address"), "%s is listed twice", a.Address)
		}
		if a.Own {
			c.checkOwned(d, at, a)
		}
		if a.Guard != "" {
			d.oneOf(key(at, "guard"), a.Guard, []string{VIPGuard})
			if !a.Own {
				d.fault(key(at, "guard"), "it guards an address that Lifeboat moves: own: true is missing")
			}
		}
		c.checkVias(d, at, a)
		names[a.Name], addresses[a.Address] = true, true
		for j, mac := range a.MACs {
			if !macForm.MatchString(mac) {
				d.fault(item(key(at, "macs"), j), "%q is no Ethernet address: write it as 02:00:5e:10:00:01", mac)
			}
		}
	}
	c.checkTargets(d)
	c.checkBehind(d)
}

func (c *Controller) checkBehind(d *decoder) {
	k := c.VIP.Checks
	for i, a := range k.Galera {
		d.reachable(item("vip.checks.galera", i), a)
	}
	for i, a := range k.RabbitMQ.Addresses {
		d.reachable(item("vip.checks.rabbitmq.addresses", i), a)
	}
	if len(k.RabbitMQ.Addresses) > 0 && (k.RabbitMQ.Username == "" || !k.RabbitMQ.Password.Given()) {
		d.fault("vip.checks.rabbitmq", "give username and password of a user with the tag monitoring")
	}
	d.optionalFile("vip.checks.rabbitmq.ca", k.RabbitMQ.CA)
}

// checkVias: an address that hosts may go by must be one of a controller's own.
func (c *Controller) checkVias(d *decoder, at string, a VIPAddress) {
	for i, via := range a.Vias {
		if !via.IsValid() || via.IsUnspecified() || via.IsLoopback() || via.IsMulticast() || via == a.Address || via.Is4() != a.Address.Is4() {
			d.fault(item(key(at, "vias"), i), "%s is no controller's own address of the same family: give one that accepts traffic for %s", via, a.Address)
		}
	}
}

// checkOwned: who moves an address must know where to, must be able to ask who has it,
// and must be one of three at least.
func (c *Controller) checkOwned(d *decoder, at string, a VIPAddress) {
	switch {
	case a.Interface == "":
		d.fault(key(at, "own"), "name the interface too: Lifeboat puts the address on it")
	case c.VIP.ARPProbe == VIPOff:
		d.fault(key(at, "own"), "it needs arp_probe: witness, to ask who has the address before it is taken")
	case c.VIP.Mode == VIPOff:
		d.fault(key(at, "own"), "mode is off: nothing is watched, and so nothing can be owned")
	case len(c.Controller.Peers) == 1: // two are a fault anyway
		d.fault(key(at, "own"), "it needs 3 controllers: nobody else could have it")
	}
}

func (c *Controller) checkTargets(d *decoder) {
	n := 0
	var services []string
	for i, t := range c.VIP.Targets {
		at := item("vip.targets", i)
		if d.word(key(at, "service"), t.Service, "a name such as nova") && slices.Contains(services, t.Service) {
			d.fault(key(at, "service"), "%s is there already: list all its addresses in one place", t.Service)
		}
		services = append(services, t.Service)
		d.oneOf(key(at, "touch"), t.Touch, vipTouches)
		if len(t.Addresses) == 0 {
			d.fault(key(at, "addresses"), "missing: give one or more as \"10.0.0.100:8774\"; one of them must answer")
		}
		for j, a := range t.Addresses {
			d.reachable(item(key(at, "addresses"), j), a)
		}
		n += len(t.Addresses)
	}
	if n > mostTargets {
		d.fault("vip.targets", "%d addresses: a heartbeat carries %d at most", n, mostTargets)
	}
}

func (d *decoder) agentVIP(v AgentVIP) {
	d.oneOf("vip.repair", v.Repair, []string{RepairOff, RepairDryRun, RepairOn})
	d.oneOf("vip.route", v.Route, []string{RepairOff, RepairDryRun, RepairOn})
	d.oneOf("vip.restart", v.Restart, []string{RepairOff, RepairDryRun, RepairOn})
	if v.Restart != RepairOff && len(v.Agents) == 0 && !d.faulty("vip") {
		d.fault("vip.restart", "name what it may restart under vip.agents: {binary: nova-compute, command: [/usr/bin/systemctl, restart, nova-compute.service]}")
	}
	seen := map[string]bool{}
	for i, x := range v.Agents {
		at := item("vip.agents", i)
		if d.word(key(at, "binary"), x.Binary, "the agent's name as Nova or Neutron lists it") && seen[x.Binary] {
			d.fault(key(at, "binary"), "%s is there already", x.Binary)
		}
		seen[x.Binary] = true
		if len(x.Command) == 0 {
			d.fault(key(at, "command"), "missing: give the program and its arguments as a list")
		} else {
			d.absolute(item(key(at, "command"), 0), x.Command[0])
		}
	}
}
