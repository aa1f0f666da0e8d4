package config

import (
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// networks that a host may have an address in.
var networks = []string{"management", "storage", "tenant"}

var fingerprint = regexp.MustCompile(`^sha256:([0-9a-fA-F]{2}:?){31}[0-9a-fA-F]{2}$`)

// merge fills in what the host left out, as far as the method knows it.
func (b *BMC) merge(from BMC) {
	fill(&b.Method, from.Method)
	fill(&b.Budget, from.Budget)
	if b.Method == MethodCommand || b.Method == MethodPDU {
		b.fillAgent() // other devices have other users
		return
	}
	fill(&b.Username, from.Username)
	if !b.Password.Given() {
		b.Password = from.Password
	}
	fill(&b.Budget, 20*time.Second)
	switch b.Method {
	case MethodIPMI:
		fill(&b.Cipher, from.Cipher)
		fill(&b.Cipher, "3")
		fill(&b.Privilege, from.Privilege)
		fill(&b.Privilege, "admin")
		if a, err := netip.ParseAddr(strings.Trim(b.Address, "[]")); err == nil {
			b.Address = netip.AddrPortFrom(a, 623).String()
		}
	case MethodRedfish:
		fill(&b.System, from.System)
		// A default way to trust a BMC gives way to the host's own.
		if b.CA == "" && b.Fingerprint == "" && !b.Insecure {
			b.CA, b.Fingerprint, b.Insecure = from.CA, from.Fingerprint, from.Insecure
		}
	}
}

func fill[T comparable](into *T, from T) {
	var zero T
	if *into == zero {
		*into = from
	}
}

// inventory is what hosts must not share.
type inventory struct {
	d         *decoder
	names     map[string]string
	addresses map[netip.Addr]string // who has it, for people
	bmcs      map[string]owner      // by IP and port
	domains   int

	controllers []string
}

type owner struct {
	host, system string
}

func (c *Controller) checkHosts(d *decoder) {
	inv := &inventory{d, map[string]string{}, map[netip.Addr]string{}, map[string]owner{}, 0, nil}
	if !d.faulty("defaults.bmc.address") && c.Defaults.BMC.Address != "" {
		d.fault("defaults.bmc.address", "hosts do not share a BMC: give each host its own address")
	}
	for _, p := range c.Controller.Peers {
		inv.controller(p.Address, p.ID)
		inv.controllers = append(inv.controllers, p.ID)
	}
	for i := range c.Hosts {
		inv.host(item("hosts", i), &c.Hosts[i])
	}
	// BMCs come after all hosts, so that each is held against every address.
	for i := range c.Hosts {
		inv.budgets(key(item("hosts", i), "bmc"), c.Hosts[i].BMC)
		for j := range c.Hosts[i].BMC {
			inv.bmc(item(key(item("hosts", i), "bmc"), j), c.Hosts[i].Name, &c.Hosts[i].BMC[j])
		}
	}
	if inv.domains > 0 && inv.domains < len(c.Hosts) {
		for i, h := range c.Hosts {
			if h.Domain == "" {
				d.fault(key(item("hosts", i), "domain"), "missing: %d of %d hosts name a failure domain, so the others need one too", inv.domains, len(c.Hosts))
			}
		}
	}
}

// controller notes an address that no BMC may have. On loopback, in a
// demonstration, everything shares one address.
func (inv *inventory) controller(a netip.AddrPort, id string) {
	if a.IsValid() && !a.Addr().IsLoopback() && !a.Addr().IsUnspecified() {
		inv.addresses[a.Addr()] = "controller " + id
	}
}

func (inv *inventory) host(at string, h *Host) {
	d := inv.d
	if d.name(key(at, "name"), h.Name) {
		if other, ok := inv.names[strings.ToLower(h.Name)]; ok {
			d.fault(key(at, "name"), "host %q is listed twice (as %q before): remove one", h.Name, other)
		}
		inv.names[strings.ToLower(h.Name)] = h.Name
	}
	d.domain(key(at, "domain"), h.Domain)
	if h.Domain != "" {
		inv.domains++
	}
	if h.Controller != "" && !slices.Contains(inv.controllers, h.Controller) {
		d.fault(key(at, "controller"), "%q is none of the controllers (%s)", h.Controller, strings.Join(inv.controllers, ", "))
	}
	if h.Cell != "" {
		d.word(key(at, "cell"), h.Cell, "the name of one of Nova's cells, of letters, digits, dots and dashes, such as cell1")
	}
	if h.Reserved < 0 {
		d.fault(key(at, "reserved"), "%d: give its place among the reserved hosts, the first is 1", h.Reserved)
	}
	if d.given(key(at, "storage")) {
		d.oneOf(key(at, "storage"), h.Storage, storages)
	}
	addresses := key(at, "addresses")
	if len(h.Addresses) == 0 {
		d.fault(addresses, "missing: without an address to ask, its silence proves nothing; give {management: 10.0.0.21}")
	}
	for _, network := range slices.Sorted(maps.Keys(h.Addresses)) {
		path, a := key(addresses, network), h.Addresses[network]
		d.oneOf(path, network, networks)
		switch {
		case d.faulty(path):
		case !a.IsValid():
			d.fault(path, "missing: give an IP address, or remove the line")
		case a.IsUnspecified() || a.IsMulticast():
			d.fault(path, "%s is no host's address", a)
		case a.IsLoopback():
		default:
			if other, ok := inv.addresses[a]; ok && other != "host "+h.Name {
				d.fault(path, "%s is the address of %s too", a, other)
			}
			inv.addresses[a] = "host " + h.Name
		}
	}
}

func (inv *inventory) bmc(at, host string, b *BMC) {
	d := inv.d
	d.oneOf(key(at, "method"), b.Method, []string{MethodIPMI, MethodRedfish, MethodCommand, MethodPDU})
	d.between(key(at, "budget"), b.Budget, 2*time.Second, fenceTime)
	if b.Method == MethodCommand || b.Method == MethodPDU {
		inv.agents(at, host, b)
		return
	}
	inv.belongs(at, b.strange())
	if b.Username == "" {
		d.fault(key(at, "username"), "missing: give the BMC's user here or under defaults.bmc")
	}
	inv.password(key(at, "password"), b.Password)
	switch b.Method {
	case MethodIPMI:
		inv.ipmi(at, host, b)
	case MethodRedfish:
		inv.redfish(at, host, b)
	}
}

// fenceTime is what a recovery's step of fencing has, less its own slack
// (evacuate.StepFence): a chain must have come to its end by then.
const fenceTime = 80 * time.Second

func (inv *inventory) budgets(at string, chain []BMC) {
	var sum time.Duration
	for _, b := range chain {
		sum += b.Budget
	}
	if len(chain) > 0 && sum > fenceTime {
		inv.d.fault(at, "the budgets add up to %s, and fencing has %s for all methods together: shorten them", sum, fenceTime)
	}
}

func (inv *inventory) password(path string, s Secret) {
	n := 0
	for _, given := range []bool{s.File != "", s.Env != "", s.Credential != "", len(s.Command) > 0} {
		if given {
			n++
		}
	}
	switch {
	case n == 0:
		inv.d.fault(path, "missing: give {file: PATH}, {env: NAME}, {credential: NAME} or {command: [PROGRAM, ARGUMENT ...]} here or under defaults.bmc")
	case n > 1:
		inv.d.fault(path, "give one of file, env, credential and command, not %d", n)
	case strings.ContainsRune(s.Credential, '/'):
		inv.d.fault(path, "credential %q: give the name in LoadCredential=NAME:PATH, not a path", s.Credential)
	case len(s.Command) > 0:
		inv.command(path, s)
	}
	inv.d.optionalFile(path, s.File)
}

func (inv *inventory) ipmi(at, host string, b *BMC) {
	d := inv.d
	for _, f := range []struct {
		name string
		set  bool
	}{{"system", b.System != ""}, {"ca", b.CA != ""}, {"fingerprint", b.Fingerprint != ""}, {"insecure", b.Insecure}} {
		if f.set {
			d.fault(key(at, f.name), "belongs to method redfish: remove it")
		}
	}
	if len(b.Username) > 16 {
		d.fault(key(at, "username"), "%d characters: IPMI 2.0 carries 16 at most", len(b.Username))
	}
	if n, err := strconv.Atoi(b.Cipher); err != nil || n < 1 || n > 17 {
		d.fault(key(at, "cipher"), "%q is no cipher suite: use \"3\" or \"17\" (0 would let anybody in)", b.Cipher)
	}
	d.oneOf(key(at, "privilege"), b.Privilege, []string{"admin", "operator"})
	path := key(at, "address")
	if b.Address == "" {
		d.fault(path, "missing: give the BMC's IP address, such as \"10.9.0.21:623\"")
		return
	}
	a, err := addressPort(b.Address)
	if err != nil {
		d.fault(path, "%v", err)
		return
	}
	inv.claim(path, host, a, "")
}

func (inv *inventory) redfish(at, host string, b *BMC) {
	d := inv.d
	for name, value := range map[string]string{"cipher": b.Cipher, "privilege": b.Privilege} {
		if value != "" {
			d.fault(key(at, name), "belongs to method ipmi: remove it")
		}
	}
	if b.System != "" && (!strings.HasPrefix(b.System, "/") || strings.Contains(b.System, "/Chassis/")) {
		d.fault(key(at, "system"), "%q: give the system's @odata.id, such as /redfish/v1/Systems/1; a chassis would take its neighbours along", b.System)
	}
	if b.Fingerprint != "" && !fingerprint.MatchString(b.Fingerprint) {
		d.fault(key(at, "fingerprint"), "%q: give sha256: and 64 hex digits of the certificate's digest", b.Fingerprint)
	}
	if b.Insecure && (b.CA != "" || b.Fingerprint != "") {
		d.fault(key(at, "insecure"), "true turns off what ca or fingerprint ask for: keep one")
	}
	d.optionalFile(key(at, "ca"), b.CA)
	path := key(at, "address")
	if b.Address == "" {
		d.fault(path, "missing: give the BMC's URL, such as https://10.9.0.21")
		return
	}
	u, ok := d.url(path, b.Address)
	if !ok {
		return
	}
	if u.Scheme == "http" && !b.Insecure {
		d.fault(path, "the password would travel in clear text: use https, or say `insecure: true`")
	}
	ip, err := address(u.Hostname())
	if err != nil {
		d.fault(path, "%v", err)
		return
	}
	port := map[string]uint16{"https": 443, "http": 80}[u.Scheme]
	if u.Port() != "" {
		n, err := strconv.ParseUint(u.Port(), 10, 16)
		if err != nil || n == 0 {
			d.fault(path, "%q is no port: 1 to 65535", u.Port())
			return
		}
		port = uint16(n)
	}
	inv.claim(path, host, netip.AddrPortFrom(ip, port), b.System)
}

// claim refuses a BMC that is another host's, or that is no BMC at all: power
// commands would go to the wrong machine.
func (inv *inventory) claim(path, host string, a netip.AddrPort, system string) {
	if who, ok := inv.addresses[a.Addr()]; ok {
		inv.d.fault(path, "%s is the address of %s itself, not of a BMC", a.Addr(), who)
		return
	}
	// A BMC answers IPMI and Redfish at once: its usual ports are one machine.
	id := a.String()
	if p := a.Port(); p == 623 || p == 443 || p == 80 {
		id = a.Addr().String()
	}
	before, taken := inv.bmcs[id]
	switch {
	case !taken:
		inv.bmcs[id] = owner{host, system}
	case before.host == host:
		if system == "" { // a method that cannot tell systems apart has the whole BMC
			inv.bmcs[id] = owner{host, ""}
		}
	case system == "" || before.system == "":
		inv.d.fault(path, "%s is the BMC of host %q too: each host needs its own, or, on one Redfish service, a `system` of its own", a, before.host)
	default:
		full := id + " " + system
		if other, ok := inv.bmcs[full]; ok || before.system == system {
			inv.d.fault(path, "%s %s is the BMC of host %q too: each host needs its own", a, system, firstOf(other.host, before.host))
			return
		}
		inv.bmcs[full] = owner{host, system}
	}
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
