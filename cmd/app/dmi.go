package app

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// dmi is where this machine says which one it is.
type dmi struct{ dir, uuid string }

// read gives what is there for this user: in containers and on other
// architectures that may be nothing.
func (d dmi) read() fence.Identity {
	file := func(name string) string { return firstLine(filepath.Join(d.dir, name)) }
	return fence.Identity{UUID: firstLine(d.uuid), Serial: file("product_serial"), Board: file("board_serial"), Chassis: file("chassis_serial")}.Clean()
}

// firstLine is "" for what cannot be read.
func firstLine(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 256))
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(b), "\n")
	return line
}

// machineHeader carries what an agent says of its machine with each question for
// the roster, over TLS and under the host's own key.
const machineHeader = "Lifeboat-Machine"

// mostHeader bounds it: four fields of at most 64 bytes and their names.
const mostHeader = 1024

func (d dmi) header() string {
	b, err := json.Marshal(d.read())
	if err != nil {
		return ""
	}
	return base64.StdEncoding.EncodeToString(b)
}

// hearMachine notes what a host says of its machine. An agent that says nothing
// understandable is an older one.
func (c *Controller) hearMachine(host nova.HostName, header string) {
	var m fence.Identity
	b, err := base64.StdEncoding.DecodeString(header)
	if err != nil || header == "" || len(header) > mostHeader || json.Unmarshal(b, &m) != nil {
		return
	}
	m.Guess = false
	c.observer.hearMachine(host, m.Clean())
}

func (o *observer) hearMachine(host nova.HostName, m fence.Identity) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.machines[host] = m
}

// news are the machines that the ledger knows otherwise. Under the state's lock.
func (o *observer) news(s *evacuate.State) map[nova.HostName]fence.Identity {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out map[nova.HostName]fence.Identity
	for host, m := range o.machines {
		h := s.Hosts[host]
		if h != nil && h.Machine == m {
			// What another controller hears later must not be taken back by this one.
			delete(o.machines, host)
			continue
		}
		if out == nil {
			out = map[nova.HostName]fence.Identity{}
		}
		out[host] = m
	}
	return out
}

// learn puts into x what the host says of its machine and the ledger does not know.
func (o *observer) learn(h *evacuate.Host, x *evacuate.HostSeen) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	m, told := o.machines[x.Host]
	if !told || h == nil {
		return false
	}
	if m == h.Machine {
		delete(o.machines, x.Host)
		return false
	}
	x.Machine = &m
	return true
}

// checked puts into x what preflight found of the links that there are, where it is
// another thing than the ledger knows, or much newer.
func checked(h *evacuate.Host, links []evacuate.FenceLink, x *evacuate.HostSeen, now time.Time) bool {
	if h == nil {
		return false
	}
	known := map[string]evacuate.FenceCheck{}
	for _, k := range h.Checks {
		known[k.Method+" "+k.Target] = k
	}
	var all []evacuate.FenceCheck
	changed := false
	for _, l := range links {
		k, ok := known[l.Method+" "+l.Target]
		if !l.Check.At.IsZero() || !l.Check.Read.IsZero() {
			both := k.Past(now).With(l.Check)
			both.Method, both.Target = l.Method, l.Target
			changed = changed || !ok || both.News(k, rememberOn)
			k, ok = both, true
		}
		if ok {
			all = append(all, k)
		}
	}
	if changed {
		x.Checks = all
	}
	return changed
}

// vet judges each link of a host's chain, as the ledger stands now.
func (c *Controller) vet(host string) ([]evacuate.LinkStanding, *fence.Register) {
	f := c.powers.sights()[nova.HostName(host)]
	var out []evacuate.LinkStanding
	var reg *fence.Register
	c.machine.Locked(func(s *evacuate.State) {
		reg = s.Register()
		out = evacuate.Standings(nova.HostName(host), s.Hosts[nova.HostName(host)], f, reg)
	})
	return out, reg
}
