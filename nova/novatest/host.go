package novatest

import (
	"fmt"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// host is a machine and the nova-compute on it.
type host struct {
	name, node, zone, cell string
	serviceID, nodeID      string
	address                string // what its nova-compute calls its own
	vcpus, ramMiB          int
	dedicated              bool
	traits                 []string       // its own in Placement, beside those that all have
	resources              map[string]int // of classes that not all have
	below                  []nested       // providers that stand below it

	powered, hung, compute bool            // the truth
	guests                 map[string]bool // guests that exist here: does it run?
	claims                 map[string]bool // servers on their way here
	stale                  map[string]bool // consumers that Placement gives room here and that live elsewhere
	inbox                  []func()        // RPCs that wait for nova-compute
	parked                 []func()        // work that a hang interrupted
	lastSeen               time.Time

	// the services row, Nova's belief
	disabled   bool
	reason     string
	forcedDown bool
	updatedAt  time.Time
	// disabledTrait is COMPUTE_STATUS_DISABLED in Placement.
	disabledTrait bool
	// deleted: its service's row is gone; noProvider: Placement's record of it.
	deleted, noProvider bool
}

func (h *host) alive() bool { return h.powered && !h.hung && h.compute }

// HostOptions shapes a host. Zero values are filled in.
type HostOptions struct {
	Node   string // hypervisor hostname; the host's name if empty
	Zone   string // "nova"
	Cell   string // "cell1"
	VCPUs  int    // 64
	RAMMiB int    // 262144
	// Dedicated: its processors are given out one to one (PCPU), none is shared.
	Dedicated bool
	// Traits and Resources are what it has in Placement beside what all have.
	Traits    []string
	Resources map[string]int
}

// AddHost adds a machine that is on and reports.
func (c *Cloud) AddHost(name nova.HostName, options ...HostOptions) {
	o := HostOptions{Node: string(name), Zone: "nova", Cell: "cell1", VCPUs: 64, RAMMiB: 256 << 10}
	for _, given := range options {
		if given.Node != "" {
			o.Node = given.Node
		}
		if given.Zone != "" {
			o.Zone = given.Zone
		}
		if given.Cell != "" {
			o.Cell = given.Cell
		}
		if given.VCPUs != 0 {
			o.VCPUs = given.VCPUs
		}
		o.Dedicated = o.Dedicated || given.Dedicated
		o.Traits, o.Resources = given.Traits, given.Resources
		if given.RAMMiB != 0 {
			o.RAMMiB = given.RAMMiB
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.nextID("host")
	c.hosts = append(c.hosts, &host{
		name: string(name), node: o.Node, zone: o.Zone, cell: o.Cell, vcpus: o.VCPUs, ramMiB: o.RAMMiB, dedicated: o.Dedicated,
		traits: o.Traits, resources: o.Resources,
		serviceID: uuid("5e", n), nodeID: uuid("40", n), address: fmt.Sprintf("10.20.%d.%d", n/250, n%250+1),
		powered: true, compute: true, guests: map[string]bool{}, claims: map[string]bool{}, stale: map[string]bool{}, lastSeen: c.now(), updatedAt: c.now(),
	})
}

func (c *Cloud) host(name string) *host {
	for _, h := range c.hosts {
		if h.name == name {
			return h
		}
	}
	return nil
}

func (c *Cloud) mustHost(name nova.HostName) *host {
	h := c.host(string(name))
	if h == nil {
		panic(fmt.Sprintf("novatest: no host %q", name))
	}
	return h
}

// settle writes down the reports that a service has made up to now.
func (c *Cloud) settle() {
	for _, h := range c.hosts {
		c.report(h)
	}
}

func (c *Cloud) report(h *host) {
	if c.opts.ManualReports || !c.onBus(h) {
		return
	}
	h.lastSeen = c.now()
	inbox := h.inbox
	h.inbox = nil
	for _, rpc := range inbox {
		rpc()
	}
}

// onBus says that a nova-compute lives and has the message bus.
func (c *Cloud) onBus(h *host) bool {
	return h.alive() && !c.brokerDown && (c.opts.Reaches == nil || c.opts.Reaches(nova.HostName(h.name)))
}

// change runs f on a host and then looks for instances that run twice.
func (c *Cloud) change(name nova.HostName, why string, f func(h *host)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle()
	f(c.mustHost(name))
	c.inspect(why + " " + string(name))
}

// Heartbeat reports for a service, as nova-compute does every 10 s.
func (c *Cloud) Heartbeat(name nova.HostName) {
	c.set(func() {
		if h := c.mustHost(name); h.alive() && !c.brokerDown {
			h.lastSeen = c.now()
		}
	})
}

// PowerOff cuts a machine's power: its guests and all work on it are gone.
func (c *Cloud) PowerOff(name nova.HostName) {
	c.change(name, "power off", func(h *host) {
		h.powered, h.hung, h.compute, h.parked = false, false, false, nil
		for id := range h.guests {
			h.guests[id] = false
		}
	})
}

// PowerOn boots a machine. nova-compute stays down until RestartCompute; with
// ResumeGuests the guests of old start at once.
func (c *Cloud) PowerOn(name nova.HostName) {
	c.change(name, "power on", func(h *host) {
		if h.powered {
			return
		}
		h.powered = true
		for id := range h.guests {
			s := c.server(id)
			h.guests[id] = c.opts.ResumeGuests && s != nil && s.power == nova.PowerRunning
		}
	})
}

// Hang stops everything on a machine but leaves its power on: to the outside
// it is dead, and its guests may continue at any time.
func (c *Cloud) Hang(name nova.HostName) {
	c.change(name, "hang of", func(h *host) { h.hung = true })
}

// Unhang lets it continue where it was.
func (c *Cloud) Unhang(name nova.HostName) {
	c.change(name, "end of hang of", func(h *host) {
		h.hung = false
		parked := h.parked
		h.parked = nil
		for _, work := range parked {
			work()
		}
	})
}

// KillCompute ends nova-compute alone: its guests run on.
func (c *Cloud) KillCompute(name nova.HostName) {
	c.change(name, "end of nova-compute on", func(h *host) { h.compute = false })
}

// RestartCompute starts nova-compute, which cleans up what was evacuated and
// then takes the RPCs that waited for it.
func (c *Cloud) RestartCompute(name nova.HostName) {
	c.change(name, "start of nova-compute on", func(h *host) {
		if !h.powered || h.hung {
			return
		}
		h.compute, h.parked = true, nil
		c.register(h)
		c.initHost(h)
		c.settle()
		inbox := h.inbox
		h.inbox = nil
		for _, rpc := range inbox {
			rpc()
		}
	})
}

// Powered says whether a machine has power: what a BMC would answer.
func (c *Cloud) Powered(name nova.HostName) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mustHost(name).powered
}

// Alive says whether a machine runs: powered and not hung.
func (c *Cloud) Alive(name nova.HostName) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.mustHost(name)
	return h.powered && !h.hung
}

// up is Nova's belief. The difference is taken without its sign, so a clock
// that is wrong in either direction takes a host down
// (servicegroup/drivers/db.py, is_up).
func (c *Cloud) up(h *host) bool {
	c.report(h)
	elapsed := c.apiNow().Sub(h.lastSeen)
	return !h.forcedDown && elapsed.Abs() <= c.opts.ServiceDownTime
}

// rpc gives work to the nova-compute of a host: now if it lives, when it
// starts if it is dead. Messages outlive their senders' patience.
func (c *Cloud) rpc(h *host, work func()) (delivered bool) {
	switch {
	case c.brokerDown:
		return false
	case c.onBus(h):
		work()
		return true
	case h.hung:
		h.parked = append(h.parked, work)
	default:
		h.inbox = append(h.inbox, work)
	}
	return false
}

// on continues work that this host's nova-compute has begun. A dead process
// forgets it, a hung one continues later.
func (c *Cloud) on(h *host, work func()) {
	switch {
	case h.alive():
		work()
	case h.powered && h.hung && h.compute:
		h.parked = append(h.parked, work)
	}
}

// initHost is compute/manager.py, init_host: _destroy_evacuated_instances for
// one row of each instance, then _init_instance for the rest. Nova keeps the
// rows in a dict by instance, so of several only the last becomes completed:
// an older `done` row goes on to forbid un-forcing the host, and an older
// `pre-migrating` one destroys the instance here at the *next* start even if it
// has lawfully returned meanwhile (both seen on Nova 26.2.2).
func (c *Cloud) initHost(h *host) {
	rows := map[string]*migration{}
	for _, m := range c.migrations {
		if m.kind != evacuation || m.source != h.name {
			continue
		}
		if !m.status.Terminal() || m.status == nova.MigrationDone {
			rows[m.server] = m
		}
	}
	for _, m := range c.migrations {
		if rows[m.server] != m {
			continue
		}
		if s := c.server(m.server); s != nil {
			if _, here := h.guests[s.id]; here && s.host == h.name && !c.opts.SharedStorage && s.image != "" {
				s.diskLost = true // destroyed at the source, not yet anywhere else
			}
		}
		delete(h.guests, m.server)
		if c.keepClaims > 0 {
			c.keepClaims--
		} else {
			delete(h.stale, m.server)
		}
		c.setStatus(m, nova.MigrationCompleted)
	}
	for _, s := range c.servers {
		if s.host == h.name && rows[s.id] == nil {
			c.initInstance(h, s)
		}
	}
	h.disabledTrait = h.disabled
}

// initInstance is compute/manager.py, _init_instance, and the power sync that
// stops what does not run.
func (c *Cloud) initInstance(h *host, s *server) {
	switch {
	case s.vmState == nova.VMBuilding, s.rebuilding() && (s.vmState == nova.VMActive || s.vmState == nova.VMStopped):
		s.vmState, s.task = nova.VMError, ""
	case s.vmState == nova.VMActive && s.task == "" && !h.guests[s.id]:
		c.after(10*time.Minute, func() {
			if s.host == h.name && s.vmState == nova.VMActive && s.task == "" && !h.guests[s.id] && h.alive() {
				s.vmState, s.power = nova.VMStopped, nova.PowerShutdown
			}
		})
	}
}
