package sim

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/fence/fencetest"
	"github.com/lifeboat-ha/lifeboat/nova"
	"github.com/lifeboat-ha/lifeboat/nova/novatest"
)

// bmcWords are the ways in which a BMC misbehaves.
var bmcWords = map[string]func(k *fencetest.Knobs, d time.Duration){
	"wrong-password": func(k *fencetest.Knobs, _ time.Duration) { k.Password = "another" },
	"says-off":       func(k *fencetest.Knobs, _ time.Duration) { k.LyingOff = true },
	"ignores":        func(k *fencetest.Knobs, _ time.Duration) { k.NotHonoured = true },
	"busy":           func(k *fencetest.Knobs, _ time.Duration) { k.Busy = -1 },
	"nameless":       func(k *fencetest.Knobs, _ time.Duration) { k.Nameless = true },
	"null":           func(k *fencetest.Knobs, _ time.Duration) { k.Empty = true },
	"slow":           func(k *fencetest.Knobs, d time.Duration) { k.Delay = d },
	"conflicts":      func(k *fencetest.Knobs, _ time.Duration) { k.Conflict = true },
	"lags":           func(k *fencetest.Knobs, d time.Duration) { k.Lag = d },
	"turns-on":       func(k *fencetest.Knobs, d time.Duration) { k.SelfOn = d },
}

var timedWords = []string{"slow", "turns-on", "lags", "late", "slow-posts", "skew"}

func how(w string) (word string, d time.Duration, err error) {
	word, rest, timed := strings.Cut(w, "=")
	if timed {
		if d, err = time.ParseDuration(rest); err != nil || d <= 0 {
			return "", 0, fmt.Errorf("%q is no duration", rest)
		}
	}
	if slices.Contains(timedWords, word) != timed {
		return "", 0, fmt.Errorf("%q: %s need =D, the others take none", w, strings.Join(timedWords, ", "))
	}
	return word, d, nil
}

func isBMC(n names, o order) error {
	switch {
	case len(o.args) == 3 && o.args[1] == "is-of":
		return errors.Join(isHost(n, o.args[0]), isHost(n, o.args[2]))
	case len(o.args) != 2:
		return errors.New("whose, and how?")
	}
	word, _, err := how(o.args[1])
	if _, ok := bmcWords[word]; err == nil && !ok && word != "unreachable" && word != "well" {
		err = fmt.Errorf("a BMC cannot be %q", word)
	}
	return errors.Join(isHost(n, o.args[0]), err)
}

func bmc(c *Cloud, o order) (func(), error) {
	word, d, _ := how(o.args[1])
	well := func(m *machine) func() {
		m.bmc.Reset()
		m.wire(m)
		c.net.locked(func() { m.bmcAt.up = true })
		return nil
	}
	return eachHost(func(m *machine) func() {
		switch word {
		case "is-of":
			m.wire(c.byName[o.args[2]])
		case "well":
			well(m)
		case "unreachable":
			c.net.locked(func() { m.bmcAt.up = false })
		default:
			m.bmc.Set(func(k *fencetest.Knobs) { bmcWords[word](k, d) })
		}
		return func() { well(m) }
	})(c, o)
}

const (
	evacuateBody = `"evacuate"`
	many         = 1 << 20
)

// novaWords are the ways in which Nova is ill.
var novaWords = map[string]func(c *Cloud, d time.Duration){
	"api-down":      func(c *Cloud, _ time.Duration) { c.novaT.SetReachable(false) },
	"db-down":       func(c *Cloud, _ time.Duration) { c.nova.Inject(novatest.Fault{Status: http.StatusInternalServerError}) },
	"keystone-down": func(c *Cloud, _ time.Duration) { c.nova.SetKeystone(false) },
	"broker-down":   func(c *Cloud, _ time.Duration) { c.nova.SetBroker(false) },
	"no-conductor":  func(c *Cloud, _ time.Duration) { c.nova.SetControl(nova.Conductor, false) },
	"no-scheduler":  func(c *Cloud, _ time.Duration) { c.nova.SetControl(nova.Scheduler, false) },
	"loses-answers": func(c *Cloud, _ time.Duration) {
		c.nova.Inject(novatest.Fault{Match: "POST ", After: true, Hang: true})
	},
	"loses-posts": func(c *Cloud, _ time.Duration) { c.nova.Inject(novatest.Fault{Match: evacuateBody, Hang: true}) },
	"breaks-posts": func(c *Cloud, _ time.Duration) {
		c.nova.Inject(novatest.Fault{Match: evacuateBody, After: true, Status: http.StatusBadGateway})
	},
	"late": func(c *Cloud, d time.Duration) {
		c.nova.Inject(novatest.Fault{Match: evacuateBody, After: true, Delay: d})
	},
	"slow-posts": func(c *Cloud, d time.Duration) {
		c.nova.Inject(novatest.Fault{Match: evacuateBody, Delay: d, Held: true})
	},
	"loses-casts":    func(c *Cloud, _ time.Duration) { c.nova.LoseCasts(many) },
	"fails-spawns":   func(c *Cloud, _ time.Duration) { c.nova.FailSpawns(many) },
	"fails-claims":   func(c *Cloud, _ time.Duration) { c.nova.FailClaims(many) },
	"keeps-claims":   func(c *Cloud, _ time.Duration) { c.nova.KeepAllocations(many) },
	"expires-tokens": func(c *Cloud, _ time.Duration) { c.nova.RevokeTokens() },
	"forbids":        func(c *Cloud, _ time.Duration) { c.nova.SetPolicy(novatest.Policy{Forbid: true}) },
	"drops-filter":   func(c *Cloud, _ time.Duration) { c.nova.SetPolicy(novatest.Policy{DropHostFilter: true}) },
	"hides-hosts":    func(c *Cloud, _ time.Duration) { c.nova.SetPolicy(novatest.Policy{HideHosts: true}) },
	"cell-down":      func(c *Cloud, _ time.Duration) { c.nova.SetCell("cell1", false) },
	"skew":           func(c *Cloud, d time.Duration) { c.nova.SetSkew(d) },
	"slow":           func(c *Cloud, d time.Duration) { c.nova.Inject(novatest.Fault{Delay: d}) },
	"well":           func(c *Cloud, _ time.Duration) { novaWell(c) },
}

func novaWell(c *Cloud) {
	c.novaT.SetReachable(true)
	c.nova.Heal()
	c.nova.LoseCasts(0)
	c.nova.FailSpawns(0)
	c.nova.FailClaims(0)
	c.nova.KeepAllocations(0)
	c.nova.SetPolicy(novatest.Policy{})
	c.nova.SetSkew(0)
	c.nova.SetCell("cell1", true)
	c.nova.SetKeystone(true)
	c.nova.SetBroker(true)
	c.nova.SetControl(nova.Conductor, true)
	c.nova.SetControl(nova.Scheduler, true)
}

func isNova(_ names, o order) error {
	if len(o.args) != 1 {
		return errors.New("how?")
	}
	word, _, err := how(o.args[0])
	if _, ok := novaWords[word]; err == nil && !ok {
		err = fmt.Errorf("nova cannot be %q", word)
	}
	return err
}

func novaFault(c *Cloud, o order) (func(), error) {
	word, d, _ := how(o.args[0])
	novaWords[word](c, d)
	return func() { novaWell(c) }, nil
}
