package config

import (
	"maps"
	"slices"
	"time"
)

// Notify is one receiver of notices: plans that wait, recoveries and their
// reports, holds, and what the mode shadow got wrong.
type Notify struct {
	Name string `yaml:"name"`
	// URL, or URLFrom where the address itself is a secret.
	URL     string `yaml:"url,omitempty"`
	URLFrom Secret `yaml:"url_from,omitempty"`
	// Secret signs each body (HMAC-SHA256).
	Secret Secret `yaml:"secret,omitempty"`
	// Kinds are those that it is told of; none: all.
	Kinds []string `yaml:"kinds,omitempty"`
	// TemplateFile makes the body (Go text/template); none: the notice as JSON.
	TemplateFile string        `yaml:"template_file,omitempty"`
	CA           string        `yaml:"ca,omitempty"`
	Timeout      time.Duration `yaml:"timeout,omitempty"`
}

// Address is where to post.
func (n Notify) Address() string {
	if n.URL != "" {
		return n.URL
	}
	return n.URLFrom.Reveal()
}

// notifyTimeout bounds one attempt unless the file says otherwise.
const notifyTimeout = 10 * time.Second

var noticeKinds = []string{"plan", "recovery", "held", "shadow", "vip", "guest"}

func (c *Controller) checkNotify(d *decoder) {
	names := map[string]bool{}
	for i := range c.Notify {
		n, at := &c.Notify[i], item("notify", i)
		if d.name(key(at, "name"), n.Name) && names[n.Name] {
			d.fault(key(at, "name"), "%s is there already: give each receiver a name of its own", n.Name)
		}
		names[n.Name] = true
		switch {
		case n.URL == "" && !n.URLFrom.Given():
			d.fault(key(at, "url"), "where to: give url, or url_from with a secret")
		case n.URL != "" && n.URLFrom.Given():
			d.fault(key(at, "url_from"), "there is a url already: give one of them")
		case n.URL != "":
			d.url(key(at, "url"), n.URL)
		}
		for j, k := range n.Kinds {
			d.oneOf(item(key(at, "kinds"), j), k, noticeKinds)
		}
		d.optionalFile(key(at, "template_file"), n.TemplateFile)
		d.optionalFile(key(at, "ca"), n.CA)
		if n.Timeout == 0 {
			n.Timeout = notifyTimeout
		}
		d.between(key(at, "timeout"), n.Timeout, time.Second, time.Minute)
	}
}

// checkModes checks what the file says about modes and about what is asked.
func (p Policy) checkModes(d *decoder) {
	for _, a := range slices.Sorted(maps.Keys(p.AggregateModes)) {
		d.oneOf(key("policy.aggregate_modes", a), p.AggregateModes[a], modes)
	}
	d.between("policy.plan_expiry", p.PlanExpiry, time.Minute, 24*time.Hour)
	d.between("policy.shadow_window", p.ShadowWindow, 10*time.Minute, 7*24*time.Hour)
}
