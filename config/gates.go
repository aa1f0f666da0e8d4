package config

import (
	"maps"
	"net/netip"
	"slices"
	"time"
)

// Storm is how many hosts may be dead before it is a question: the smaller of
// both numbers, and at least one. Count 0 (not given) goes by the cloud's size.
type Storm struct {
	Count   int `yaml:"count,omitempty"`
	Percent int `yaml:"percent"`
	// Window is how long a fenced host goes on counting.
	Window time.Duration `yaml:"window"`
	// PerHour is how many hosts may be fenced in an hour. 0 goes by size.
	PerHour int   `yaml:"per_hour,omitempty"`
	Cliff   Cliff `yaml:"cliff"`
	// Domains limits each domain of a kind: one of the hosts' `domains`, or
	// domain, zone, aggregate.
	Domains map[string]DomainLimit `yaml:"domains,omitempty"`
}

// Cliff is how many hosts may fall silent within a moment of each other.
type Cliff struct {
	Percent int           `yaml:"percent"` // 0: not asked
	Within  time.Duration `yaml:"within"`
}

// DomainLimit is how many hosts of one domain may be dead.
type DomainLimit struct {
	Max int `yaml:"max"`
	// Recover says that a domain that reads off may fall as a whole, up to Max.
	Recover bool `yaml:"recover,omitempty"`
}

// Flap is when a returned host is not trusted with instances again.
type Flap struct {
	// Limit is how many recoveries, fences and reboots within Window. 0: none.
	Limit      int           `yaml:"limit"`
	Window     time.Duration `yaml:"window"`
	Quarantine time.Duration `yaml:"quarantine"`
}

// Kdump is the listener for crashed kernels that are writing their dump.
type Kdump struct {
	Listen netip.AddrPort `yaml:"listen"` // none: off
	// Interval is that of fence_kdump_send, of which Missed end a dump.
	Interval time.Duration `yaml:"interval"`
	Missed   int           `yaml:"missed"`
	// Most is how long a dump may hold a power-off.
	Most time.Duration `yaml:"most"`
}

// Ways to choose the instances that are recovered.
const (
	ProtectAll    = "all"
	ProtectOptOut = "opt-out"
	ProtectOptIn  = "opt-in"
)

// Kinds of domains that have a meaning of their own.
const (
	kindDomain    = "domain"
	kindZone      = "zone"
	kindAggregate = "aggregate"
)

// Proofs says what a person's word and the watchdog's expiry are worth where no method
// reads a host's power off: alone, together (only both), never.
type Proofs struct {
	Word     string `yaml:"word"`
	Watchdog string `yaml:"watchdog"`
	// Storage says whether instances wait until storage_fence has taken their host's
	// storage away: required, optional.
	Storage string `yaml:"storage"`
}

var proofs = []string{"alone", "together", "never"}

func (c *Controller) checkGates(d *decoder) {
	p := c.Policy
	d.oneOf("policy.proofs.word", p.Proofs.Word, proofs)
	d.oneOf("policy.proofs.watchdog", p.Proofs.Watchdog, proofs)
	d.oneOf("policy.proofs.storage", p.Proofs.Storage, []string{"required", "optional"})
	c.checkStorageFence(d)
	alone := p.Proofs.Word == "never" && p.Proofs.Watchdog == "together" || p.Proofs.Watchdog == "never" && p.Proofs.Word == "together"
	if alone && c.StorageFence.Program == "" { // storage that is gone may stand beside either of them
		d.fault("policy.proofs", "one is never a proof and the other only together with it: say never for both")
	}
	d.oneOf("policy.protect", p.Protect, []string{ProtectAll, ProtectOptOut, ProtectOptIn})
	if p.Storm.PerHour < 0 {
		d.fault("policy.storm.per_hour", "%d is negative: leave it out to go by the cloud's size", p.Storm.PerHour)
	}
	if n := p.Storm.Cliff.Percent; n < 0 || n > 50 {
		d.fault("policy.storm.cliff.percent", "%d: use 1 to 50, or 0 not to ask", n)
	}
	d.between("policy.storm.cliff.within", p.Storm.Cliff.Within, time.Second, time.Minute)
	c.checkDomains(d)
	if n := p.Flap.Limit; n < 0 || n == 1 || n > 100 {
		d.fault("policy.flap.limit", "%d: a recovery alone counts 2 (its opening and its fence): use 2 to 100, or 0 for no quarantine", n)
	}
	d.between("policy.flap.window", p.Flap.Window, time.Minute, 31*24*time.Hour)
	d.between("policy.flap.quarantine", p.Flap.Quarantine, time.Minute, 31*24*time.Hour)
	c.checkKdump(d)
}

func (c *Controller) checkDomains(d *decoder) {
	for _, kind := range slices.Sorted(maps.Keys(c.Policy.Storm.Domains)) {
		at, limit := key("policy.storm.domains", kind), c.Policy.Storm.Domains[kind]
		if !word.MatchString(kind) {
			d.fault(at, "%q is no kind of domain: use letters, digits, dots and dashes, such as rack", kind)
			continue
		}
		if most := max(1, len(c.Hosts)/2); limit.Max < 1 {
			d.fault(key(at, "max"), "%d: give how many hosts of one %s may be dead, at least 1", limit.Max, kind)
		} else if limit.Recover && len(c.Hosts) > 0 && limit.Max > most {
			d.fault(key(at, "max"), "%d of %d hosts dead at once is no accident of one %s: allow %d at most", limit.Max, len(c.Hosts), kind, most)
		}
		if kind == kindZone || kind == kindAggregate {
			continue
		}
		for i, h := range c.Hosts {
			_, has := h.Domains[kind]
			if kind == kindDomain && h.Domain == "" {
				d.fault(key(item("hosts", i), "domain"), "missing: `storm` limits each domain, so every host needs one")
			} else if kind != kindDomain && !has {
				d.fault(key(item("hosts", i), "domains"), "missing %s: `storm` limits each %s, so every host needs one", kind, kind)
			}
		}
	}
	for i, h := range c.Hosts {
		for _, kind := range slices.Sorted(maps.Keys(h.Domains)) {
			at := key(key(item("hosts", i), "domains"), kind)
			switch {
			case slices.Contains([]string{kindDomain, kindZone, kindAggregate}, kind):
				d.fault(at, "%s has a meaning of its own: give `domain` beside `domains`; zone and aggregate are read from Nova", kind)
			case !word.MatchString(kind):
				d.fault(at, "%q is no kind of domain: use letters, digits, dots and dashes, such as rack", kind)
			default:
				d.word(at, h.Domains[kind], "a "+kind+"'s name of letters, digits, dots and dashes, such as "+kind+"1")
			}
		}
	}
}

func (c *Controller) checkKdump(d *decoder) {
	k := c.Kdump
	if !d.given("kdump") || d.faulty("kdump") {
		return
	}
	switch {
	case d.faulty("kdump.listen"):
	case !k.Listen.IsValid():
		d.fault("kdump.listen", "missing: give IP:port to listen on, such as \"10.0.0.11:7410\", or remove the section")
	case k.Listen.Port() == 0:
		d.fault("kdump.listen", "%s: crashed kernels need a port that they know, such as 7410", k.Listen)
	}
	d.between("kdump.interval", k.Interval, time.Second, 5*time.Minute)
	if k.Missed < 2 || k.Missed > 60 {
		d.fault("kdump.missed", "%d: use 2 to 60; one lost datagram is no end of a dump", k.Missed)
	}
	if least := time.Duration(k.Missed) * k.Interval; !d.faulty("kdump.missed") && !d.faulty("kdump.interval") {
		d.between("kdump.most", k.Most, least, time.Hour)
	}
}
