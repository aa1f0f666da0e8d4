package novatest

import (
	"fmt"
	"slices"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// evacuation is the migration_type of the rows that matter here.
const evacuation = "evacuation"

// Tasks of a rebuild, in order (compute/task_states.py).
const (
	taskMapping  = "rebuild_block_device_mapping"
	taskSpawning = "rebuild_spawning"
	taskPowerOff = "powering-off"
)

type server struct {
	id, name, project, host, node, zone, cell string
	vmState, task, fault                      string
	faultTrace                                string
	faultAt                                   time.Time
	power, ramMiB, vcpus, volumes             int
	number, detached                          int
	unwired                                   bool
	launched, created                         time.Time
	locked, reimaged, diskLost                bool
	image                                     string
	pinnedZone                                bool
	metadata, extra                           map[string]string
	fixed, floating                           string
	actions                                   []action
}

type action struct {
	name, requestID, message string
	started                  time.Time
}

func (s *server) rebuilding() bool {
	return s.task == nova.TaskRebuilding || s.task == taskMapping || s.task == taskSpawning
}

type group struct {
	id, name, policy string
	members          []string
}

type migration struct {
	id                         int
	uuid, server, source, dest string
	kind                       string
	status                     nova.MigrationStatus
	created, updated           time.Time
}

func (c *Cloud) setStatus(m *migration, s nova.MigrationStatus) {
	m.status, m.updated = s, c.now()
}

// BootOptions shapes servers. Zero values are a running, image-backed server.
type BootOptions struct {
	Name        string
	Project     string
	VMState     string
	TaskState   string
	PowerState  int // by VMState if zero
	FromVolume  bool
	Volumes     int
	Locked      bool
	NoLaunch    bool // launched_at is null: it never ran
	RAMMiB      int  // 2048
	VCPUs       int  // 1
	PinnedZone  bool
	Group       string // from AddGroup
	Metadata    map[string]string
	FlavorExtra map[string]string
	Image       string // from AddImage
	Floating    string // an address beside its fixed one
}

// Boot puts n servers on a host.
func (c *Cloud) Boot(on nova.HostName, n int, options ...BootOptions) []nova.ServerID {
	o := BootOptions{}
	if len(options) > 0 {
		o = options[0]
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.mustHost(on)
	var ids []nova.ServerID
	for range n {
		s := c.newServer(h, o)
		c.servers, c.byID[s.id] = append(c.servers, s), s
		for _, g := range c.groups {
			if g.id == o.Group {
				g.members = append(g.members, s.id)
			}
		}
		if s.launched.IsZero() {
			ids = append(ids, nova.ServerID(s.id))
			continue
		}
		h.guests[s.id] = s.power == nova.PowerRunning || s.power == nova.PowerPaused
		ids = append(ids, nova.ServerID(s.id))
	}
	return ids
}

func (c *Cloud) newServer(h *host, o BootOptions) *server {
	i := c.nextID("server")
	s := &server{
		id: uuid("1a", i), number: i, name: o.Name, project: o.Project, host: h.name, node: h.node, zone: h.zone, cell: h.cell,
		vmState: o.VMState, task: o.TaskState, power: o.PowerState, ramMiB: o.RAMMiB, vcpus: o.VCPUs,
		volumes: o.Volumes, locked: o.Locked, pinnedZone: o.PinnedZone, metadata: o.Metadata, extra: o.FlavorExtra,
		created: c.now(), launched: c.now(), image: uuid("1b", 1),
	}
	s.fixed, s.floating = fmt.Sprintf("192.168.%d.%d", i/250, i%250+1), o.Floating
	if o.Image != "" {
		s.image = o.Image
	}
	if s.name == "" {
		s.name = fmt.Sprintf("vm-%d", i)
	}
	if s.project == "" {
		s.project = "demo"
	}
	if s.vmState == "" {
		s.vmState = nova.VMActive
	}
	if s.power == 0 {
		s.power = powerOf(s.vmState)
	}
	if s.ramMiB == 0 {
		s.ramMiB = 2048
	}
	if s.vcpus == 0 {
		s.vcpus = 1
	}
	if o.FromVolume {
		s.image, s.volumes = "", max(1, o.Volumes)
	}
	if o.NoLaunch {
		s.launched, s.power = time.Time{}, nova.PowerNoState
	}
	return s
}

func powerOf(vmState string) int {
	switch vmState {
	case nova.VMActive, "resized", "rescued", nova.VMError:
		return nova.PowerRunning
	case nova.VMStopped:
		return nova.PowerShutdown
	case "paused":
		return nova.PowerPaused
	case "suspended":
		return nova.PowerSuspended
	}
	return nova.PowerNoState
}

// AddGroup adds a server group.
func (c *Cloud) AddGroup(name, policy string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	g := &group{id: uuid("9a", c.nextID("group")), name: name, policy: policy}
	c.groups = append(c.groups, g)
	return g.id
}

// Delete removes a server as its owner would.
func (c *Cloud) Delete(id nova.ServerID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.byID, string(id))
	c.servers = slices.DeleteFunc(c.servers, func(s *server) bool { return s.id == string(id) })
	for _, h := range c.hosts {
		delete(h.stale, string(id))
		if h.alive() {
			delete(h.guests, string(id))
		}
	}
}

// SetTask gives a server a task, as another operation of Nova would.
func (c *Cloud) SetTask(id nova.ServerID, task string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.server(string(id)); s != nil {
		s.task = task
	}
}

// AddMigration writes a row by hand: the trace of an earlier evacuation, or of
// a live migration under way.
func (c *Cloud) AddMigration(m nova.Migration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.nextID("migration")
	row := &migration{
		id: n, uuid: uuid("3a", n), server: string(m.Server), kind: m.Type, status: m.Status,
		source: string(m.Source), dest: string(m.Dest), created: m.CreatedAt, updated: m.UpdatedAt,
	}
	if row.kind == "" {
		row.kind = evacuation
	}
	if row.created.IsZero() {
		row.created = c.now()
	}
	c.migrations = append(c.migrations, row)
}

func (c *Cloud) server(id string) *server { return c.byID[id] }
