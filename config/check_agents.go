package config

import (
	"maps"
	"net/netip"
	"slices"
	"time"
)

const (
	// agentBudget and agentTimeout are for fence agents: each call starts a
	// program, logs in, and waits for what comes of it.
	agentBudget  = 40 * time.Second
	agentTimeout = 20 * time.Second
)

// fillAgent fills in what is left out of a method that calls fence agents.
func (b *BMC) fillAgent() {
	fill(&b.Budget, agentBudget)
	if b.Method == MethodCommand {
		fill(&b.Timeout, agentTimeout)
		return
	}
	for i := range b.Outlets {
		o := &b.Outlets[i]
		fill(&o.Agent, b.Agent)
		fill(&o.Username, b.Username)
		if !o.Password.Given() {
			o.Password = b.Password
		}
		fill(&o.Timeout, b.Timeout)
		fill(&o.Timeout, agentTimeout)
		if o.Parameters == nil {
			o.Parameters = maps.Clone(b.Parameters)
		}
	}
}

// use is a key of a BMC, and whether it is given.
type use struct {
	name, of string
	set      bool
}

// strange lists the keys that only methods with agents know.
func (b *BMC) strange() []use {
	return []use{{"agent", "command or pdu", b.Agent != ""}, {"plug", "command or pdu", b.Plug != ""}, {"parameters", "command or pdu", len(b.Parameters) > 0},
		{"secrets", "command or pdu", len(b.Secrets) > 0}, {"timeout", "command or pdu", b.Timeout != 0}, {"feeds", "pdu", b.Feeds != 0}, {"outlets", "pdu", len(b.Outlets) > 0}}
}

// belongs refuses keys of another method.
func (inv *inventory) belongs(at string, keys []use) {
	for _, k := range keys {
		if k.set {
			inv.d.fault(key(at, k.name), "belongs to method %s: remove it", k.of)
		}
	}
}

// agents checks a method that calls fence agents. What their metadata says is
// asked by whoever makes the methods.
func (inv *inventory) agents(at, host string, b *BMC) {
	d := inv.d
	inv.belongs(at, []use{{"cipher", "ipmi", b.Cipher != ""}, {"privilege", "ipmi", b.Privilege != ""}, {"system", "redfish", b.System != ""},
		{"ca", "redfish", b.CA != ""}, {"fingerprint", "redfish", b.Fingerprint != ""}, {"insecure", "redfish", b.Insecure}})
	if b.Method == MethodCommand {
		inv.belongs(at, []use{{"feeds", "pdu", b.Feeds != 0}, {"outlets", "pdu", len(b.Outlets) > 0}})
		inv.agent(at, host, b.Outlet(), b.Budget)
		return
	}
	for _, k := range []use{{name: "address", set: b.Address != ""}, {name: "plug", set: b.Plug != ""}, {name: "secrets", set: len(b.Secrets) > 0}} {
		if k.set {
			d.fault(key(at, k.name), "belongs to each of the outlets: move it there")
		}
	}
	switch {
	case b.Feeds < 1:
		d.fault(key(at, "feeds"), "missing: declare how many feeds the host has; one that is forgotten would keep it running")
	case b.Feeds != len(b.Outlets):
		d.fault(key(at, "outlets"), "%d given, and the host has %d feeds: every one must be switched off", len(b.Outlets), b.Feeds)
	}
	seen := map[[2]string]bool{}
	for i, o := range b.Outlets {
		path := item(key(at, "outlets"), i)
		inv.agent(path, host, o, b.Budget)
		if id := [2]string{o.Address, o.Plug}; seen[id] {
			d.fault(path, "plug %q of %s is given twice: each feed has its own", o.Plug, o.Address)
		} else {
			seen[id] = true
		}
		if o.Plug == "" {
			d.fault(key(path, "plug"), "missing: which outlet of the PDU is it?")
		}
	}
}

func (inv *inventory) agent(at, host string, o Outlet, budget time.Duration) {
	d := inv.d
	if o.Agent == "" {
		d.fault(key(at, "agent"), "missing: give the agent's name, such as fence_apc_snmp")
	}
	d.between(key(at, "timeout"), o.Timeout, time.Second, budget)
	for _, name := range slices.Sorted(maps.Keys(o.Secrets)) {
		inv.password(key(key(at, "secrets"), name), o.Secrets[name])
	}
	if o.Password.Given() {
		inv.password(key(at, "password"), o.Password)
	}
	path := key(at, "address")
	if o.Address == "" {
		d.fault(path, "missing: give the IP address of the BMC or PDU, such as \"10.9.0.21\", and its port where that is another than the agent's")
		return
	}
	a, err := agentAddress(o.Address)
	if err != nil {
		d.fault(path, "%v", err)
		return
	}
	system := ""
	if o.Plug != "" {
		system = "plug " + o.Plug
	}
	inv.claim(path, host, a, system)
}

// agentAddress reads an address with or without a port; without one it is the
// machine's as a whole.
func agentAddress(s string) (netip.AddrPort, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.AddrPortFrom(a, 443), nil
	}
	return addressPort(s)
}

// loadAgents reads the secrets of fence agents.
func (b *BMC) loadAgents(at string, by *commands, check func(path string, err error)) {
	load := func(at string, secrets map[string]Secret) {
		for _, name := range slices.Sorted(maps.Keys(secrets)) {
			s := secrets[name]
			check(key(key(at, "secrets"), name), s.load(by))
			secrets[name] = s
		}
	}
	load(at, b.Secrets)
	for i := range b.Outlets {
		o, path := &b.Outlets[i], item(key(at, "outlets"), i)
		load(path, o.Secrets)
		if o.Password.Given() {
			check(key(path, "password"), o.Password.load(by))
		}
	}
}

// Outlet is how the agent of method command is called.
func (b BMC) Outlet() Outlet {
	return Outlet{b.Agent, b.Address, b.Plug, b.Username, b.Password, b.Parameters, b.Secrets, b.Timeout}
}
