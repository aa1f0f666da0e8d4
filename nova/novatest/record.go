package novatest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// Violation is an instance that ran on two powered machines at once.
type Violation struct {
	At     time.Time
	Server nova.ServerID
	Hosts  []nova.HostName
	Why    string // the event that did it
}

// String is for a failing test.
func (v Violation) String() string {
	names := make([]string, len(v.Hosts))
	for i, h := range v.Hosts {
		names[i] = string(h)
	}
	return fmt.Sprintf("%s server %s runs on %s since: %s", v.At.UTC().Format(time.RFC3339), v.Server, strings.Join(names, " and "), v.Why)
}

// Copies says on which powered machines the guest of each server truly runs.
// A hung machine counts: its guests may write at any moment.
func (c *Cloud) Copies() map[nova.ServerID][]nova.HostName {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.copies()
}

func (c *Cloud) copies() map[nova.ServerID][]nova.HostName {
	all := map[nova.ServerID][]nova.HostName{}
	for _, h := range c.hosts {
		for id, runs := range h.guests {
			if h.powered && runs {
				all[nova.ServerID(id)] = append(all[nova.ServerID(id)], nova.HostName(h.name))
			}
		}
	}
	return all
}

// Violations is every double run ever seen, in the order of its beginning.
func (c *Cloud) Violations() []Violation {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.violations)
}

// inspect records instances that run twice. A pair is recorded once.
func (c *Cloud) inspect(why string) {
	for id, hosts := range c.copies() {
		if len(hosts) < 2 {
			continue
		}
		known := slices.ContainsFunc(c.violations, func(v Violation) bool {
			return v.Server == id && slices.Equal(v.Hosts, hosts)
		})
		if !known {
			c.violations = append(c.violations, Violation{At: c.now(), Server: id, Hosts: hosts, Why: why})
		}
	}
}

// Request is one request that reached the cloud.
type Request struct {
	At      time.Time
	Method  string
	Path    string // with its query, without the service's prefix
	Version string // the microversion asked for, "compute 2.53"
	Body    string

	order int
}

// maxReads bounds the memory of a long simulation.
const maxReads = 5000

func (c *Cloud) record(r Request) {
	r.order = c.nextID("record")
	if r.Method != "GET" {
		c.writes = append(c.writes, r)
		return
	}
	if c.reads = append(c.reads, r); len(c.reads) > 2*maxReads {
		c.reads = slices.Clone(c.reads[maxReads:])
	}
}

// Requests is every write and the last reads, oldest first, without the bodies
// of logins.
func (c *Cloud) Requests() []Request {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := append(slices.Clone(c.writes), c.reads...)
	slices.SortFunc(all, func(a, b Request) int { return cmp.Compare(a.order, b.order) })
	return all
}

// EvacuatePosts counts the evacuate POSTs that arrived for a server, accepted
// or not.
func (c *Cloud) EvacuatePosts(id nova.ServerID) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, r := range c.writes {
		if strings.HasPrefix(r.Path, "/servers/"+string(id)+"/action") && strings.Contains(r.Body, `"evacuate"`) {
			n++
		}
	}
	return n
}

// View is the truth about one server.
type View struct {
	Host      nova.HostName
	VMState   string
	TaskState string
	Power     int
	Fault     string
	Locked    bool
	// Reimaged: an evacuation replaced its disk by the image. DiskLost: its
	// disk was destroyed at the source before it lived anywhere else.
	Reimaged, DiskLost bool
}

// View looks at a server past every API.
func (c *Cloud) View(id nova.ServerID) View {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.server(string(id))
	if s == nil {
		return View{}
	}
	return View{
		Host: nova.HostName(s.host), VMState: s.vmState, TaskState: s.task, Power: s.power, Fault: s.fault,
		Locked: s.locked, Reimaged: s.reimaged, DiskLost: s.diskLost,
	}
}

// Migrations is the rows of one server, oldest first.
func (c *Cloud) Migrations(id nova.ServerID) []nova.Migration {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []nova.Migration
	for _, m := range c.migrations {
		if m.server == string(id) {
			all = append(all, nova.Migration{
				ID: m.id, UUID: m.uuid, Server: id, Type: m.kind, Status: m.status,
				Source: nova.HostName(m.source), Dest: nova.HostName(m.dest), CreatedAt: m.created, UpdatedAt: m.updated,
			})
		}
	}
	return all
}
