package config

import (
	"regexp"
	"slices"
	"time"
)

// Guests is what is done with instances that end by themselves while their host lives.
type Guests struct {
	// Crashed is for those that a host's libvirt tells of, Rebooted for all of a host that
	// was booted anew before it was taken for dead: off, report, restart.
	Crashed  string `yaml:"crashed"`
	Rebooted string `yaml:"rebooted"`
	// Kinds are the ends that are followed by a restart.
	Kinds []string `yaml:"kinds"`
	// Instances are opt-in (those that say lifeboat:restart=true, or HA_Enabled) or all.
	Instances string `yaml:"instances"`
	// Limit is how often one instance is restarted in Within.
	Limit  int           `yaml:"limit"`
	Within time.Duration `yaml:"within"`
	// Key is the metadata key that is read beside lifeboat:restart.
	Key string `yaml:"key"`
}

// KeyMasakari is the key by which Masakari's users mark instances, unless they changed its
// ha_enabled_instance_metadata_key.
const KeyMasakari = "HA_Enabled"

// GuestsAll restarts all instances but those that say no.
const GuestsAll = "all"

// guestWords and guestKinds are those of evacuate and detector, kept in step by a test.
var (
	guestWords = []string{"off", "report", "restart"}
	guestKinds = []string{"failed", "crashed", "panicked", "watchdog", "io-error"}
)

func defaultGuests() Guests {
	return Guests{Crashed: "report", Rebooted: "off", Kinds: slices.Clone(guestKinds[:3]), Instances: "opt-in", Limit: 3, Within: time.Hour, Key: KeyMasakari}
}

func (c *Controller) checkGuests(d *decoder) {
	d.oneOf("policy.services", c.Policy.Services, []string{"report", "disable", "live-migrate", FenceRunningGuests})
	const at = "policy.guests"
	g := c.Policy.Guests
	d.oneOf(key(at, "crashed"), g.Crashed, guestWords)
	d.oneOf(key(at, "rebooted"), g.Rebooted, guestWords)
	d.oneOf(key(at, "instances"), g.Instances, []string{"opt-in", GuestsAll})
	for i, k := range g.Kinds {
		d.oneOf(item(key(at, "kinds"), i), k, guestKinds)
	}
	if g.Limit < 1 || g.Limit > 20 {
		d.fault(key(at, "limit"), "%d: use 1 to 20", g.Limit)
	}
	d.metadataKey(key(at, "key"), g.Key)
	d.metadataKey("policy.protect_key", c.Policy.ProtectKey)
	d.between(key(at, "within"), g.Within, time.Minute, 24*time.Hour)
}

// metadataKey is what Nova takes for one.
var metadataKey = regexp.MustCompile(`^[a-zA-Z0-9_:. -]{1,255}$`)

func (d *decoder) metadataKey(at, word string) {
	if !metadataKey.MatchString(word) {
		d.fault(at, "%q is no key of Nova's metadata: use letters, digits, -, _, : and .", word)
	}
}
