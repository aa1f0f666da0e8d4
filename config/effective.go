package config

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/goccy/go-yaml"
)

// Effective is the file as it is understood, defaults filled in and merged into
// each host. Secrets stand there as references only; reading it back gives the
// same configuration.
func (c *Controller) Effective() string {
	shown := *c
	shown.Defaults = Defaults{}
	return render(&shown)
}

// Effective is the file as it is understood, defaults filled in.
func (a *Agent) Effective() string { return render(a) }

func render(v any) string {
	var b bytes.Buffer
	if err := yaml.NewEncoder(&b, yaml.Indent(2), yaml.IndentSequence(true)).Encode(v); err != nil {
		return fmt.Sprintf("# cannot be shown: %v\n", err)
	}
	return b.String()
}

// Warnings are what the file allows but an operator should know, one line each.
func (c *Controller) Warnings() []string {
	var list []string
	warn := func(path, format string, args ...any) {
		list = append(list, c.source.fault(path, format, args...).Error())
	}
	if c.Controller.Single {
		warn("controller.single", "one controller: nothing is recovered while it is down")
	}
	if c.API.Insecure {
		warn("api.insecure", "tokens travel in clear text")
	}
	if c.Policy.QuietPeriod < quietFloor {
		warn("policy.quiet_period", "%s is shorter than Nova's own time-outs (60 s by default): a request that is only slow may be taken for lost", c.Policy.QuietPeriod)
	}
	for i, n := range c.Notify {
		if !n.Secret.Given() {
			warn(item("notify", i), "%s is told without a signature: it can't know that it was Lifeboat", n.Name)
		}
	}
	celled := slices.ContainsFunc(c.Hosts, func(h Host) bool { return h.Cell != "" })
	for i, h := range c.Hosts {
		at := item("hosts", i)
		if celled && h.Cell == "" {
			warn(at, "%s names no cell as others do: unless its aggregates in Nova do (lifeboat:cell), it counts as room for all of them", h.Name)
		}
		if len(h.BMC) == 0 {
			warn(at, "%s has no BMC: it can be evacuated only on an operator's word", h.Name)
		}
		if h.Storage == StorageNone {
			warn(at, "%s declares no storage: only servers that boot from a volume are moved", h.Name)
		}
		if h.Storage == StorageReimage {
			warn(at, "what the instances of %s have written to their own disks is lost when it dies: they are rebuilt from their images, and what is left on it is destroyed when it comes back", h.Name)
		}
		for j, b := range h.BMC {
			if b.Insecure {
				warn(key(item(key(at, "bmc"), j), "insecure"), "whoever answers at %s is believed, also a false \"off\"", b.Address)
			}
		}
	}
	return list
}
