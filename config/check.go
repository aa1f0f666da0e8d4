package config

import (
	"maps"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// modes are those of evacuate, kept in step by a test.
var modes = []string{"off", "observe", "shadow", "approve", "auto"}

// quietFloor is the default of Nova's rpc_response_timeout.
const quietFloor = 60 * time.Second

var storages = []string{StorageShared, StorageVolume, StorageLocal, StorageNone, StorageReimage}

// restartable are the states that policy.restart may name, kept in step with evacuate
// by a test.
var restartable = []string{"paused", "suspended", "rescued"}

// word is a name for people: of a cluster, a controller or a failure domain.
var word = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?$`)

// hostName is what Nova takes for a service's host.
var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,253}[A-Za-z0-9])?$`)

func (c *Controller) check(d *decoder) {
	d.word("cluster", c.Cluster, "a name of letters, digits, dots and dashes, such as region-one")
	d.absolute("controller.data_dir", c.Controller.DataDir)
	d.absolute("controller.uuid_file", c.Controller.UUIDFile)
	d.absolute("controller.dmi_dir", c.Controller.DMIDir)
	c.checkPeers(d)
	d.needFile("tls.ca", c.TLS.CA, "the authority that signed the controllers' certificates (PEM)")
	d.needFile("tls.certificate", c.TLS.Certificate, "this controller's certificate (PEM)")
	d.needFile("tls.key", c.TLS.Key, "the certificate's key (PEM)")
	d.ring(c.Ring.Bind, c.Ring.Advertise, c.Ring.Profile)
	d.needFile("ring.key_file", c.Ring.KeyFile, "the key that encrypts the ring")
	c.checkListeners(d)
	c.checkNova(d)
	c.checkPolicy(d)
	c.checkGates(d)
	c.checkGuests(d)
	c.checkNotify(d)
	c.checkVIP(d)
	for i, port := range c.Probe.Ports {
		if port < 1 || port > 65535 {
			d.fault(item("probe.ports", i), "%d is no port: 1 to 65535", port)
		}
	}
	d.between("probe.timeout", c.Probe.Timeout, 100*time.Millisecond, 10*time.Second)
	c.checkHosts(d)
	d.log(c.Log)
}

func (c *Controller) checkPeers(d *decoder) {
	self := c.Controller
	d.word("controller.id", self.ID, "this controller's name among the peers, such as ctl1")
	const peers = "controller.peers"
	switch n := len(self.Peers); {
	case d.faulty(peers):
	case n == 0:
		d.fault(peers, "missing: list every controller as {id: ctl1, address: \"10.0.0.11:7947\"}")
	case self.Single && n != 1:
		d.fault("controller.single", "%d controllers are listed: remove `single: true`", n)
	case n == 1 && !self.Single:
		d.fault(peers, "one controller survives no failure: list 3 or 5, or say `single: true` for a demonstration")
	case n%2 == 0:
		d.fault(peers, "%d controllers survive no more failures than %d: list 3 or 5", n, n-1)
	case n > 5:
		d.fault(peers, "%d controllers: every entry waits for a majority of them, list 3 or 5", n)
	}
	ids, addresses := map[string]bool{}, map[netip.AddrPort]string{}
	for i, p := range self.Peers {
		at := item(peers, i)
		if d.word(key(at, "id"), p.ID, "a name such as ctl1") && ids[p.ID] {
			d.fault(key(at, "id"), "controller %q is listed twice: every controller needs an id of its own", p.ID)
		}
		ids[p.ID] = true
		if d.reachable(key(at, "address"), p.Address) {
			if other, ok := addresses[p.Address]; ok {
				d.fault(key(at, "address"), "%s is the address of controller %q too", p.Address, other)
			}
			addresses[p.Address] = p.ID
		}
	}
	if len(self.Peers) > 0 && self.ID != "" && !ids[self.ID] {
		d.fault("controller.id", "%q is none of the peers: add it there, or correct one of both", self.ID)
	}
}

func (c *Controller) checkListeners(d *decoder) {
	listen := c.Peer.Listen
	if self, ok := c.Self(); ok && self.Address.IsValid() && listen.IsValid() {
		if listen.Port() != self.Address.Port() || (!listen.Addr().IsUnspecified() && listen.Addr() != self.Address.Addr()) {
			d.fault("peer.listen", "%s is not where the others look for this controller (%s in controller.peers)", listen, self.Address)
		}
	}
	type socket struct {
		path    string
		address netip.AddrPort
	}
	var taken []socket
	for _, s := range []socket{{"ring.bind", c.Ring.Bind}, {"peer.listen", listen}, {"api.listen", c.API.Listen}} {
		if !s.address.IsValid() {
			continue
		}
		for _, t := range taken {
			one := s.address.Addr() == t.address.Addr() || s.address.Addr().IsUnspecified() || t.address.Addr().IsUnspecified()
			if !one || s.address.Port() != t.address.Port() {
				continue
			}
			if d.given(s.path) {
				d.fault(s.path, "%s is taken by %s: use another port", s.address, t.path)
			} else {
				d.fault(t.path, "%s is taken by %s: use another port", t.address, s.path)
			}
		}
		taken = append(taken, s)
	}
	api := c.API
	d.needFile("api.token_file", api.TokenFile, "the bearer tokens that the API takes")
	if (api.Certificate == "") != (api.Key == "") {
		d.fault("api", "certificate and key belong together: give both or none")
	}
	if api.Insecure && api.Certificate != "" {
		d.fault("api.insecure", "true turns off the TLS that certificate and key turn on: remove one of both")
	}
}

func (c *Controller) checkNova(d *decoder) {
	n := c.Nova
	if n.Interface != "" {
		d.oneOf("nova.interface", n.Interface, []string{"internal", "public", "admin"})
	}
	for _, list := range []struct {
		name string
		urls []string
	}{{"endpoints", n.Endpoints}, {"auth_endpoints", n.AuthEndpoints}, {"placement_endpoints", n.PlacementEndpoints}, {"image_endpoints", n.ImageEndpoints}} {
		for i, raw := range list.urls {
			d.url(item("nova."+list.name, i), raw)
		}
	}
	d.optionalFile("nova.clouds_file", n.CloudsFile)
	d.optionalFile("nova.ca", n.CA)
	if n.Timeout != 0 {
		d.between("nova.timeout", n.Timeout, time.Second, 5*time.Minute)
	}
}

func (c *Controller) checkPolicy(d *decoder) {
	p := c.Policy
	d.oneOf("policy.mode", p.Mode, modes)
	p.checkModes(d)
	d.oneOf("policy.storage", p.Storage, storages)
	for i, state := range p.Restart {
		d.oneOf(item("policy.restart", i), state, restartable)
	}
	c.checkMatrix(d)
	d.oneOf("policy.power_on", p.PowerOn, []string{PowerOnOperator, PowerOnAutomatic})
	d.between("policy.heartbeat_interval", p.HeartbeatInterval, 100*time.Millisecond, 10*time.Second)
	if p.Missed < 2 || p.Missed > 60 {
		d.fault("policy.missed", "%d: use 2 to 60; one lost datagram is no sign of death", p.Missed)
	}
	d.between("policy.hold_down", p.HoldDown, 0, 5*time.Minute)
	d.between("policy.quiet_period", p.QuietPeriod, 10*time.Second, time.Hour)
	d.between("policy.healthy_delay", p.HealthyDelay, 0, 24*time.Hour)
	if look := time.Duration(p.Missed) * p.HeartbeatInterval; !d.faulty("policy.missed") && p.LeaderGrace < look {
		d.fault("policy.leader_grace", "%s: a new leader must look for as long as a host takes to be missed, %s", p.LeaderGrace, look)
	}
	d.between("policy.storm.window", p.Storm.Window, time.Second, 24*time.Hour)
	if at := "policy.storm.count"; p.Storm.Count < 0 {
		d.fault(at, "%d is negative: leave it out to go by the cloud's size", p.Storm.Count)
	} else if len(c.Hosts) > 0 && p.Storm.Count > max(1, len(c.Hosts)/2) {
		d.fault(at, "%d of %d hosts dead at once is no accident of hosts: allow %d at most", p.Storm.Count, len(c.Hosts), max(1, len(c.Hosts)/2))
	}
	if p.Storm.Percent < 1 || p.Storm.Percent > 50 {
		d.fault("policy.storm.percent", "%d: use 1 to 50; more than half dead at once is rather our own network", p.Storm.Percent)
	}
	for _, n := range []struct {
		path  string
		value int
	}{{"concurrency", p.Concurrency}, {"in_flight", p.InFlight}} {
		if n.value < 1 || n.value > 1000 {
			d.fault("policy."+n.path, "%d: use 1 to 1000; to stop all work use `lifeboat freeze`", n.value)
		}
	}
	d.oneOf("policy.destinations", p.Destinations, []string{DestinationsSpread, DestinationsScheduler})
	d.oneOf("policy.reserved", p.Reserved, []string{ReservedEnable, ReservedJoin})
	d.oneOf("policy.affinity", p.Affinity, []string{AffinityAsk, AffinityForce})
	for _, project := range slices.Sorted(maps.Keys(p.Order.Projects)) {
		if n := p.Order.Projects[project]; n < -1000 || n > 1000 {
			d.fault(key("policy.order.projects", project), "%d: use -1000 to 1000, more is sooner", n)
		}
	}
	if p.PerDestination < 0 {
		d.fault("policy.per_destination", "%d is negative: leave it out for no limit", p.PerDestination)
	}
	if p.Failback != 0 && (p.Failback < time.Minute || p.Failback > 7*24*time.Hour) {
		d.fault("policy.failback", "%s: use 1m to 168h, or leave it out: then nothing is moved home", p.Failback)
	}
	if p.PerBackend < 0 {
		d.fault("policy.per_backend", "%d is negative: leave it out for no limit", p.PerBackend)
	}
	if p.PerDestination > p.InFlight && !d.faulty("policy.in_flight") {
		d.fault("policy.per_destination", "%d is more than in_flight allows at all (%d)", p.PerDestination, p.InFlight)
	}
}

func (d *decoder) word(path, s, want string) bool {
	switch {
	case d.faulty(path):
		return false
	case s == "":
		d.fault(path, "missing: give %s", want)
	case !word.MatchString(s):
		d.fault(path, "%q is no such name: give %s", s, want)
	}
	return !d.faulty(path)
}

// name checks a host's name; it is compared with Nova's letter by letter.
func (d *decoder) name(path, s string) bool {
	switch {
	case d.faulty(path):
		return false
	case s == "":
		d.fault(path, "missing: give the Host that `openstack compute service list` shows")
	case !hostName.MatchString(s):
		d.fault(path, "%q is no host's name: give the Host that `openstack compute service list` shows", s)
	}
	return !d.faulty(path)
}

// domain checks a failure domain's name; none is allowed.
func (d *decoder) domain(path, s string) {
	if s == "controllers" {
		d.fault(path, "\"controllers\" is the domain of the controllers themselves: choose another name")
	} else if s != "" {
		d.word(path, s, "a failure domain's name of letters, digits, dots and dashes, such as rack1")
	}
}

func (d *decoder) needFile(path, s, what string) {
	if s == "" {
		d.fault(path, "missing: give the path of %s", what)
	}
	d.optionalFile(path, s)
}

func (d *decoder) optionalFile(path, s string) {
	if s != "" {
		d.absolute(path, s)
	}
}

func (d *decoder) absolute(path, s string) {
	if !filepath.IsAbs(s) {
		d.fault(path, "%q is no absolute path: a service has no folder of its own to start from", s)
	}
}

func (d *decoder) oneOf(path, s string, known []string) {
	if slices.Contains(known, s) || d.faulty(path) {
		return
	}
	if near, ok := nearest(s, known); ok {
		d.fault(path, "%q is unknown: did you mean %q?", s, near)
		return
	}
	d.fault(path, "%q is unknown: use %s", s, strings.Join(known, ", "))
}

func (d *decoder) between(path string, v, least, most time.Duration) {
	if v < least || v > most {
		d.fault(path, "%s: use %s to %s", v, least, most)
	}
}

// reachable checks an address that others dial.
func (d *decoder) reachable(path string, a netip.AddrPort) bool {
	switch {
	case d.faulty(path):
		return false
	case !a.IsValid():
		d.fault(path, "missing: give IP:port, such as \"10.0.0.11:7947\"")
	case a.Addr().IsUnspecified() || a.Addr().IsMulticast():
		d.fault(path, "%s is no address that another machine can dial", a)
	case a.Port() == 0:
		d.fault(path, "%s: port 0 is no port that another machine can dial", a)
	}
	return !d.faulty(path)
}

func (d *decoder) ring(bind, advertise netip.AddrPort, profile string) {
	d.oneOf("ring.profile", profile, []string{ProfileDefault, ProfileFast})
	switch {
	case d.faulty("ring.bind"):
	case !bind.IsValid():
		d.fault("ring.bind", "missing: give this machine's IP:port in the ring, such as \"10.0.0.21:7946\"")
	case bind.Port() == 0:
		d.fault("ring.bind", "%s: the ring needs a port that all members know, such as 7946", bind)
	case bind.Addr().IsUnspecified() && !advertise.IsValid():
		d.fault("ring.advertise", "missing: ring.bind is %s, so say which address the others shall dial", bind)
	}
	if advertise.IsValid() && advertise != bind {
		d.reachable("ring.advertise", advertise)
	}
}

func (d *decoder) log(l Log) {
	d.oneOf("log.level", l.Level, []string{"debug", "info", "warn", "error"})
	d.oneOf("log.format", l.Format, []string{"json", "text"})
}

// url checks an address of an API. What cannot be parsed is not repeated: it
// may hold a password.
func (d *decoder) url(path, raw string) (*url.URL, bool) {
	u, err := url.Parse(raw)
	switch {
	case d.faulty(path):
		return nil, false
	case err != nil:
		d.fault(path, "this is no URL: write such as https://10.0.0.11")
	case u.User != nil:
		d.fault(path, "credentials do not stand in an address: remove them (%s)", u.Redacted())
	case u.Host == "" || (u.Scheme != "http" && u.Scheme != "https"):
		d.fault(path, "%q is no URL: write such as https://10.0.0.11", raw)
	}
	return u, !d.faulty(path)
}
