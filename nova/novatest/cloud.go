// Package novatest is a Keystone, a Nova and a Placement that behave like the
// real ones in everything that decides whether an evacuation is safe, faults
// included, and that know what no real Nova knows: which guest truly runs on
// which powered machine. An instance that runs twice is recorded for ever.
//
// It holds no listener: it is an http.Handler, and a RoundTripper for tests in
// virtual time (Transport). Each behaviour names the place in Nova's source
// that it copies. It never imitates what Lifeboat does not look at.
package novatest

import (
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// Options shapes a cloud. The zero value of every field but Now has a meaning.
type Options struct {
	Now func() time.Time
	// URL is where the catalog says that the services are.
	URL string
	// Version is Nova's newest microversion, "2.93" if empty (Zed).
	Version string
	// ServiceDownTime is Nova's own: 60 s if zero.
	ServiceDownTime time.Duration
	// DisableStall is how long a disable of a host that is dead but not yet
	// down takes to answer (rpc_response_timeout): 60 s if zero.
	DisableStall time.Duration
	// TraitSync is how long a compute takes to correct its trait in Placement.
	TraitSync time.Duration
	// Schedule, Spawn and Flip are the stages of an evacuation: until the
	// destination claims it, until its guest runs (ACTIVE, no task, host still
	// the source), and until the host column follows.
	Schedule, Spawn, Flip time.Duration
	// MaxLimit is [api]max_limit: 1000 if zero.
	MaxLimit int
	// TokenLife is 1 h if zero.
	TokenLife time.Duration
	// ManualReports makes Heartbeat the only way a service reports.
	ManualReports bool
	// Reaches says whether a nova-compute reaches the message bus; nil: all do.
	// It is asked under the cloud's lock.
	Reaches func(nova.HostName) bool
	// ResumeGuests is resume_guests_state_on_host_boot: guests start with
	// their machine, before nova-compute has cleaned anything.
	ResumeGuests bool
	// SharedStorage says that disks survive an evacuation.
	SharedStorage bool
	// AggregateFilters has the scheduler ask AggregateInstanceExtraSpecsFilter and
	// AggregateMultiTenancyIsolation, as by default it does not.
	AggregateFilters bool
}

// Account is what the novatest cloud accepts at login.
const (
	User     = "lifeboat"
	Password = "correct horse battery staple"
	Project  = "admin"
	Domain   = "Default"
	Region   = "RegionOne"
)

// Cloud is one fake cloud. Its methods are safe for concurrent use.
type Cloud struct {
	opts Options
	now  func() time.Time
	mux  *http.ServeMux

	mu             sync.Mutex
	hosts          []*host
	control        map[string]*controlService
	servers        []*server
	byID           map[string]*server
	groups         []*group
	aggregates     []nova.Aggregate
	images         map[string]map[string]string
	migrations     []*migration
	tokens         map[string]time.Time
	faults         []*Fault
	writes         []Request
	reads          []Request // the last maxReads
	violations     []Violation
	pending        []func() // casts that wait for a conductor
	volumes        []nova.ControlService
	agents         []nova.ControlService // Neutron's
	timers         map[*time.Timer]struct{}
	counters       map[string]int
	skew           time.Duration
	policy         Policy
	brokerDown     bool
	loseCasts      int
	failSpawns     int
	failClaims     int
	keepClaims     int
	failMigrations int
	loginDown      bool
	neutronDown    bool
	downCells      map[string]bool
	closed         chan struct{}
}

// Policy is what the account may not do. The zero value is an administrator.
type Policy struct {
	// DropHostFilter drops the host filter of a list of servers in silence
	// (policy os_compute_api:servers:allow_all_filters).
	DropHostFilter bool
	// HideHosts leaves out OS-EXT-SRV-ATTR:* and the hosts of migrations.
	HideHosts bool
	// Forbid answers 403 to everything that only an administrator may do.
	Forbid bool
}

// New makes an empty cloud with one conductor and one scheduler.
func New(o Options) *Cloud {
	o.fill()
	c := &Cloud{
		opts: o, now: o.Now,
		tokens:    map[string]time.Time{},
		byID:      map[string]*server{},
		counters:  map[string]int{},
		timers:    map[*time.Timer]struct{}{},
		downCells: map[string]bool{},
		images:    map[string]map[string]string{uuid("1b", 1): {}},
		closed:    make(chan struct{}),
		control: map[string]*controlService{
			nova.Conductor: {id: uuid("c0", 1), host: "ctl1", up: true},
			nova.Scheduler: {id: uuid("c0", 2), host: "ctl1", up: true},
		},
	}
	c.mux = c.routes()
	return c
}

func (o *Options) fill() {
	if o.Now == nil {
		panic("novatest: Options.Now is needed")
	}
	orTime := func(d *time.Duration, otherwise time.Duration) {
		if *d == 0 {
			*d = otherwise
		}
	}
	orTime(&o.ServiceDownTime, time.Minute)
	orTime(&o.DisableStall, time.Minute)
	orTime(&o.TraitSync, 55*time.Second)
	orTime(&o.Schedule, 300*time.Millisecond)
	orTime(&o.Spawn, 2*time.Second)
	orTime(&o.Flip, 1500*time.Millisecond)
	orTime(&o.TokenLife, time.Hour)
	if o.URL == "" {
		o.URL = "http://nova.test"
	}
	if o.Version == "" {
		o.Version = "2.93"
	}
	if o.MaxLimit == 0 {
		o.MaxLimit = 1000
	}
}

// Close stops every timer and lets go of every request that hangs.
func (c *Cloud) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.closed:
		return
	default:
	}
	close(c.closed)
	for t := range c.timers {
		t.Stop()
	}
	clear(c.timers)
}

// after runs f under the lock when d has passed, unless the cloud was closed.
func (c *Cloud) after(d time.Duration, f func()) {
	var t *time.Timer
	armed := make(chan struct{}) // t is written before it is read
	t = time.AfterFunc(d, func() {
		<-armed
		c.mu.Lock()
		defer c.mu.Unlock()
		if _, mine := c.timers[t]; mine {
			delete(c.timers, t)
			f()
		}
	})
	c.timers[t] = struct{}{}
	close(armed)
}

// uuid makes readable ids: the kind in front, the number behind.
func uuid(kind string, n int) string {
	return fmt.Sprintf("%s000000-0000-4000-8000-%012d", kind, n)
}

// nextID counts each kind by itself, so that a server's id does not depend on
// how many requests came before.
func (c *Cloud) nextID(kind string) int { c.counters[kind]++; return c.counters[kind] }

func (c *Cloud) newRequestID() string {
	return "req-" + uuid("4e", c.nextID("request"))
}

// apiNow is the API node's own clock.
func (c *Cloud) apiNow() time.Time { return c.now().UTC().Add(c.skew) }
