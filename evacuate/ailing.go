package evacuate

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// AilingReason is the owner mark on a nova-compute that is disabled because a service of
// its host has failed for good.
const AilingReason = ReasonPrefix + "service"

// Services says what is done about such a host. The zero value only reports it.
type Services string

// Words of it.
const (
	ServicesReport  Services = "report"
	ServicesDisable Services = "disable"
)

// ailingSettle is for how long a service must have failed for good before its host is
// disabled.
const ailingSettle = 15 * time.Second

// Ailing is a host that is disabled for its services; nothing of it is moved.
type Ailing struct {
	Host    nova.HostName `json:"host"`
	Service string        `json:"service"`
	Since   time.Time     `json:"since"`
	// Disabled says that it was seen done, Enabling that it is being undone.
	Disabled bool `json:"disabled,omitempty"`
	Enabling bool `json:"enabling,omitempty"`
	// Over ends it.
	Over bool `json:"over,omitempty"`
}

// noteAiling takes a stage in.
func (s *State) noteAiling(e Entry) error {
	n := *e.Ailing
	old := s.Ailing[n.Host]
	if old == nil && (s.Frozen || s.Open(n.Host) != nil || s.Hosts[n.Host] == nil || s.Hosts[n.Host].Maintenance) {
		return fmt.Errorf("%s is not disabled for %s: frozen, being recovered, in maintenance or not known", n.Host, n.Service)
	}
	if e.Text != "" {
		s.journal(Entry{At: e.At, By: e.By, Host: n.Host}, "%s", e.Text)
	}
	if n.Over {
		delete(s.Ailing, n.Host)
		return nil
	}
	if s.Ailing == nil {
		s.Ailing = map[nova.HostName]*Ailing{}
	}
	s.Ailing[n.Host] = &n
	return nil
}

// ailingStep says that a step is of an ailing host, and of no recovery.
func (s Step) ailingStep() bool { return s == StepDisableAiling || s == StepEnableAiling }

// permitsAiling says, last before the write, that it is still wanted.
func (s *State) permitsAiling(a Action) error {
	x := s.Ailing[a.Host]
	switch {
	case s.Frozen:
		return fmt.Errorf("frozen by %s", s.frozenBy())
	case x == nil || x.Enabling != (a.Step == StepEnableAiling):
		return fmt.Errorf("%s of %s is not wanted any more", a.Step, a.Host)
	case s.Open(a.Host) != nil:
		return fmt.Errorf("a recovery of %s is under way", a.Host)
	}
	return nil
}

// failedService names the service of a host that its agent has given up, "" if none. ill
// says that one has failed at all.
func failedService(v detector.Verdict) (unit string, ill bool) {
	for _, name := range slices.Sorted(maps.Keys(v.View.Sensors)) {
		u, is := strings.CutPrefix(name, detector.SensorService)
		word := v.View.Sensors[name]
		if !is || !strings.HasPrefix(word, "failed") {
			continue
		}
		if ill = true; unit == "" && strings.HasSuffix(word, "did not help") {
			unit = u
		}
	}
	return unit, ill
}

// tendAiling disables hosts of which a service has failed for good, as many as policy
// takes for no storm, and enables them when all is well again.
func (c *Core) tendAiling() {
	for _, host := range c.state.HostNames() {
		v, x := c.world.Verdicts[host], c.state.Ailing[host]
		key := "ailing " + string(host)
		unit, ill := failedService(v)
		if alive := v.State == detector.Healthy || v.State == detector.Degraded; !alive {
			delete(c.first, key)
			unit = ""
		}
		switch {
		case x != nil:
			c.ailing(*x, ill)
		case unit == "":
			delete(c.first, key)
		case c.since(key) >= ailingSettle:
			c.beginAiling(host, unit)
		}
	}
}

func (c *Core) beginAiling(host nova.HostName, unit string) {
	svc, known := c.world.Nova.Services[host]
	limit := c.policy.StormLimit(len(c.state.Hosts))
	coming := 0
	for _, e := range c.ready.Commit {
		if e.Ailing != nil && !e.Ailing.Over {
			coming++
		}
	}
	switch {
	case c.policy.Services != ServicesDisable || !known || svc.Disabled || c.mode(host).Mode != ModeAuto || c.halted(host) ||
		c.state.Open(host) != nil || c.state.Hosts[host].Maintenance:
		return
	case len(c.state.Ailing)+coming >= limit:
		c.note("%s of %s has failed for good, and so have services of %d other hosts: none is disabled beyond that", unit, host, limit)
		return
	}
	c.commit(Entry{Kind: KindAiling, Host: host, Ailing: &Ailing{Host: host, Service: unit, Since: c.world.Now},
		Text: fmt.Sprintf("%s of %s has failed for good: its nova-compute is disabled; its instances run on", unit, host)})
}

// ailing carries one on.
func (c *Core) ailing(x Ailing, ill bool) {
	svc := c.world.Nova.Services[x.Host]
	well := "ailing well " + string(x.Host)
	v := c.world.Verdicts[x.Host].State
	if ill || v != detector.Healthy && v != detector.Degraded {
		delete(c.first, well)
	}
	over := func(why string) {
		x.Over = true
		c.commit(Entry{Kind: KindAiling, Host: x.Host, Ailing: &x, Text: fmt.Sprintf("%s: %s", x.Host, why)})
	}
	switch {
	case c.state.Open(x.Host) != nil:
		over("its recovery has taken it over, with its mark on nova-compute")
	case c.halted(x.Host):
	case x.Disabled && !x.Enabling && (!svc.Disabled || svc.DisabledReason != AilingReason) && !c.world.Nova.At.Before(c.sawFirst("ailing done "+string(x.Host))):
		over("somebody has changed its nova-compute meanwhile: that is kept")
	case x.Enabling:
		c.doAiling(x, StepEnableAiling)
	case !x.Disabled:
		c.doAiling(x, StepDisableAiling)
	case !ill && !c.healthy[x.Host].IsZero() && c.since(well) >= c.policy.HealthyDelay:
		x.Enabling = true
		c.commit(Entry{Kind: KindAiling, Host: x.Host, Ailing: &x, Text: fmt.Sprintf("the services of %s are well again: its nova-compute is enabled", x.Host)})
	}
}

func (c *Core) doAiling(x Ailing, step Step) {
	a := Action{Host: x.Host, Step: step, Reason: AilingReason, Term: c.term, Decided: c.world.Now, Deadline: step.deadline(), Attempt: 1, Shield: x.Host}
	if c.busy(a.key()) {
		return
	}
	c.flight[a.key()] = c.world.Now
	c.ready.Actions = append(c.ready.Actions, a)
}

// ailingDone takes an outcome; what failed is asked again after a pause.
func (c *Core) ailingDone(o Outcome) {
	x := c.state.Ailing[o.Action.Host]
	if x == nil {
		return
	}
	if !o.OK {
		c.again[o.Action.key()] = c.world.Now.Add(retryFirst)
		return
	}
	n := *x
	if o.Action.Step == StepEnableAiling {
		n.Over = true
	} else {
		n.Disabled = true
		delete(c.first, "ailing done "+string(n.Host))
		c.sawFirst("ailing done " + string(n.Host))
	}
	c.commit(Entry{Kind: KindAiling, Host: n.Host, Ailing: &n})
}
