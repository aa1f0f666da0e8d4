package sim

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/config"
	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/evacuate"
)

// Scenario is one file: a cloud, what befalls it, and what must come of that.
type Scenario struct {
	Name   string        `yaml:"-"`
	Story  string        `yaml:"story"`
	Cloud  Setup         `yaml:"cloud"`
	Policy config.Policy `yaml:"policy"`
	Faults []Fault       `yaml:"faults"`
	// Run is how long it lasts.
	Run    time.Duration `yaml:"run"`
	Expect Expect        `yaml:"expect"`

	orders []order
	counts bool // posts is given
}

// Fault is something that is done at a time, or at a point of the leader's work.
type Fault struct {
	At   time.Duration `yaml:"at"`
	When string        `yaml:"when"`
	Do   string        `yaml:"do"`
}

// Expect is what must come of it. What is left out of the lists must not be.
type Expect struct {
	// Fenced are the hosts whose BMC was sent off, by Lifeboat.
	Fenced string `yaml:"fenced"`
	// Recovered are those whose recovery has moved their instances.
	Recovered string `yaml:"recovered"`
	// Returned are those that are back in service after it.
	Returned string `yaml:"returned"`
	// Open are those whose recovery is under way at the end, or held.
	Open string `yaml:"open"`
	// By bounds times.
	By       []Bound   `yaml:"by"`
	Verdicts []Opinion `yaml:"verdicts"`
	Held     []Held    `yaml:"held"`
	// Down is how many instances may be without a running copy at the end.
	Down int `yaml:"down"`
	// Servers gives the state of instances at the end, such as host03/1: stopped.
	Servers map[string]string `yaml:"servers"`
	// Services gives what Nova's services table says at the end, or a part of it.
	Services map[string]string `yaml:"services"`
	// Leaderless says that nobody leads at the end.
	Leaderless bool `yaml:"leaderless"`
	// Posts is how many evacuations Nova was asked for, taken or not.
	Posts int `yaml:"posts"`
	// Timeline lists texts that must stand in it, in this order.
	Timeline []string `yaml:"timeline"`
	// OnlyInvariants expects nothing of all this.
	OnlyInvariants bool `yaml:"only_invariants"`
	// Never lists texts that must not.
	Never []string `yaml:"never"`
}

// Bound says until when something has been done for hosts.
type Bound struct {
	At        time.Duration `yaml:"at"`
	Decided   string        `yaml:"decided"`
	Fenced    string        `yaml:"fenced"`
	Recovered string        `yaml:"recovered"`
	Returned  string        `yaml:"returned"`
}

// Opinion is the leader's verdict on hosts: at a time, at some time up to one, or
// never.
type Opinion struct {
	Hosts  string        `yaml:"hosts"`
	At     time.Duration `yaml:"at"`
	Until  time.Duration `yaml:"until"`
	Is     string        `yaml:"is"`
	Reason string        `yaml:"reason"`
	Never  string        `yaml:"never"`
}

// Held is a host that is dead and not recovered, or a recovery that waits.
type Held struct {
	Hosts  string        `yaml:"hosts"`
	At     time.Duration `yaml:"at"` // the end if it is not given
	Gate   string        `yaml:"gate"`
	Step   string        `yaml:"step"`
	Reason string        `yaml:"reason"`
}

// points are where an order can be tied to the leader's work.
func points() []string {
	out := []string{"done:" + string(evacuate.StepOpen)}
	for _, s := range evacuate.Steps {
		if s != evacuate.StepOpen {
			out = append(out, "intent:"+string(s), "call:"+string(s), "done:"+string(s))
		}
	}
	return append(out, "call:"+string(evacuate.StepObserve), "call:"+string(evacuate.StepResolve))
}

// allPoints are those of a scenario file: of restarts and of live migrations too, which random schedules have none of.
func allPoints() []string {
	out := points()
	for _, s := range []evacuate.Step{evacuate.StepStopGuest, evacuate.StepStartGuest, evacuate.StepMoveAway} {
		out = append(out, "intent:"+string(s), "call:"+string(s))
	}
	return out
}

const longest = 2 * time.Hour

// Load reads a file.
func Load(path string) (*Scenario, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the scenario: %w", err)
	}
	return Parse(path, data)
}

// Parse reads and checks a scenario; name stands in the messages. The error has
// all faults.
func Parse(name string, data []byte) (*Scenario, error) {
	s := &Scenario{Name: strings.TrimSuffix(filepath.Base(name), filepath.Ext(name)), Cloud: DefaultSetup(), Policy: DefaultPolicy(), Run: 2 * time.Minute}
	d := config.Read(name, data, s)
	s.check(d)
	if err := d.Err(); err != nil {
		return nil, err
	}
	return s, nil
}

// DefaultPolicy is the controllers' default, armed and with shared storage.
func DefaultPolicy() config.Policy {
	p := config.DefaultPolicy()
	p.Mode, p.Storage = string(evacuate.ModeAuto), config.StorageShared
	return p
}

func (s *Scenario) check(d *config.Document) {
	if strings.TrimSpace(s.Story) == "" {
		d.Fault("story", "missing: say in a line or two what happens, and what must come of it")
	}
	c := s.Cloud
	inRange := func(key string, v, least, most int) {
		if v < least || v > most {
			d.Fault("cloud."+key, "%d: use %d to %d", v, least, most)
		}
	}
	inRange("hosts", c.Hosts, 1, 2000)
	inRange("domains", c.Domains, 1, max(1, c.Hosts))
	inRange("servers", c.Servers, 0, 50)
	if c.Controllers != 3 && c.Controllers != 5 {
		d.Fault("cloud.controllers", "%d: use 3 or 5", c.Controllers)
	}
	if c.Profile != config.ProfileDefault && c.Profile != config.ProfileFast {
		d.Fault("cloud.profile", "%q: use %s or %s", c.Profile, config.ProfileDefault, config.ProfileFast)
	}
	if !slices.Contains([]string{Management, Storage, Tenant}, c.Heartbeat) {
		d.Fault("cloud.heartbeat_network", "%q: use %s, %s or %s", c.Heartbeat, Management, Storage, Tenant)
	}
	d.Policy(s.Policy)
	if s.Run < time.Second || s.Run > longest {
		d.Fault("run", "%s: use 1s to %s", s.Run, longest)
	}
	if d.Err() != nil {
		return // the rest is judged by these
	}
	n := c.names()
	s.hosts(d, n, "cloud.empty", c.Empty)
	s.checkFaults(d, n)
	s.checkExpect(d, n)
}

func (s *Scenario) hosts(d *config.Document, n names, key, expr string) {
	if expr == "" {
		return
	}
	if err := isHost(n, expr); err != nil {
		d.Fault(key, "%v", err)
	}
}

func (s *Scenario) checkFaults(d *config.Document, n names) {
	for i, f := range s.Faults {
		at := config.Item("faults", i)
		switch {
		case f.When == "" && f.At > s.Run:
			d.Fault(at+".at", "%s is after the end at %s: make `run` longer", f.At, s.Run)
		case f.When != "" && !slices.Contains(allPoints(), f.When):
			d.Fault(at+".when", "%q is no point of the leader's work: use one of %s", f.When, strings.Join(allPoints(), ", "))
		case f.When != "" && d.Given(at+".at"):
			d.Fault(at+".at", "at and when exclude each other: keep one")
		}
		o, err := readOrder(f.Do, n)
		if err != nil {
			d.Fault(at+".do", "%v", err)
		}
		s.orders = append(s.orders, o)
	}
}

func (s *Scenario) checkExpect(d *config.Document, n names) {
	e := s.Expect
	for key, expr := range map[string]string{"fenced": e.Fenced, "recovered": e.Recovered, "returned": e.Returned, "open": e.Open} {
		s.hosts(d, n, "expect."+key, expr)
	}
	s.counts = d.Given("expect.posts")
	for w := range e.Servers {
		if _, _, err := split(n, w); err != nil {
			d.Fault("expect.servers", "%v", err)
		}
	}
	for h := range e.Services {
		s.hosts(d, n, "expect.services", h)
	}
	for i, b := range e.By {
		at := config.Item("expect.by", i)
		for key, expr := range map[string]string{"decided": b.Decided, "fenced": b.Fenced, "recovered": b.Recovered, "returned": b.Returned} {
			s.hosts(d, n, at+"."+key, expr)
		}
		if b.At <= 0 || b.At > s.Run {
			d.Fault(at+".at", "%s is not within the run of %s", b.At, s.Run)
		}
	}
	for i, o := range e.Verdicts {
		at := config.Item("expect.verdicts", i)
		s.hosts(d, n, at+".hosts", cmp.Or(o.Hosts, "-"))
		for key, state := range map[string]string{"is": o.Is, "never": o.Never} {
			if state != "" && !slices.Contains(detector.States[:], detector.State(state)) {
				d.Fault(at+"."+key, "%q is no verdict: use one of %v", state, detector.States)
			}
		}
		switch {
		case (o.Is == "") == (o.Never == ""):
			d.Fault(at, "say either `is` or `never`")
		case o.At > s.Run || o.Until > s.Run:
			d.Fault(at, "it is after the end at %s: make `run` longer", s.Run)
		case o.Is != "" && (o.At == 0) == (o.Until == 0):
			d.Fault(at, "say either `at` (then) or `until` (at some time up to it)")
		}
	}
	for i, h := range e.Held {
		at := config.Item("expect.held", i)
		s.hosts(d, n, at+".hosts", cmp.Or(h.Hosts, "-"))
		if h.Gate == "" && h.Step == "" {
			d.Fault(at, "say at which `gate` or `step`")
		}
		if h.At > s.Run {
			d.Fault(at+".at", "%s is after the end at %s", h.At, s.Run)
		}
	}
}

// Verbs lists all that a scenario can do, for the documents.
func Verbs() []string {
	var out []string
	for _, v := range slices.Sorted(maps.Keys(verbs)) {
		out = append(out, fmt.Sprintf("%s: %s", verbs[v].usage, verbs[v].what))
	}
	return out
}
