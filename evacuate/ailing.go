package evacuate

import (
	"fmt"
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
	// ServicesMigrate disables it, and moves what runs away by live migration where its
	// nova-compute is up.
	ServicesMigrate Services = "live-migrate"
	// ServicesFence disables it, and fences it where its nova-compute is down by it: what
	// runs there is ended, and evacuated.
	ServicesFence Services = "fence-running-guests"
)

// disables says that a host is disabled for its services.
func (s Services) disables() bool { return s != "" && s != ServicesReport }

// ailingSettle is for how long a service must have failed for good before its host is
// disabled.
const ailingSettle = 15 * time.Second

// Ailing is a host that is disabled for its services.
type Ailing struct {
	Host    nova.HostName `json:"host"`
	Service string        `json:"service"`
	Since   time.Time     `json:"since"`
	// Disabled says that it was seen done, Enabling that it is being undone.
	Disabled bool `json:"disabled,omitempty"`
	Enabling bool `json:"enabling,omitempty"`
	// Away is what is moved off it, by policy.
	Away *Failback `json:"away,omitempty"`
	// Over ends it.
	Over bool `json:"over,omitempty"`
}

// Text is a line for a person.
func (x *Ailing) Text() string {
	text := fmt.Sprintf("its nova-compute is disabled by us: %s has failed for good", x.Service)
	switch m := x.Away.moving(); {
	case m != nil:
		text += fmt.Sprintf("; %s is on its way to another host", m.Name)
	case x.Away != nil && !x.Away.Ended.IsZero():
		text += "; " + x.Away.Reason
	}
	return text
}

// settled says that it is disabled, and stays so.
func (x *Ailing) settled() bool { return x != nil && x.Disabled && !x.Enabling }

// noteAiling takes a stage in.
func (s *State) noteAiling(e Entry) error {
	n := *e.Ailing
	old := s.Ailing[n.Host]
	if old == nil && (s.Frozen || s.Open(n.Host) != nil || s.Hosts[n.Host] == nil || s.Hosts[n.Host].Maintenance) {
		return fmt.Errorf("%s is not disabled for %s: frozen, being recovered, in maintenance or not known", n.Host, n.Service)
	}
	if err := s.promisesAway(old, n); err != nil {
		return err
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
func (s Step) ailingStep() bool {
	return s == StepDisableAiling || s == StepEnableAiling || s == StepTraceAway || s == StepMoveAway
}

// permitsAiling says, last before the write, that it is still wanted.
func (s *State) permitsAiling(a Action) error {
	x := s.Ailing[a.Host]
	switch {
	case s.Frozen:
		return fmt.Errorf("frozen by %s", s.frozenBy())
	case x != nil && a.Step == StepMoveAway:
		return s.permitsAway(x, a)
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
	for range v.FailedServices() {
		return v.GivenUp(), true
	}
	return "", false
}

// tendAiling disables hosts of which a service has failed for good, as many as policy
// takes for no storm, and enables them when all is well again.
func (c *Core) tendAiling() {
	for _, host := range c.state.HostNames() {
		v, x := c.world.Verdicts[host], c.state.Ailing[host]
		key := "ailing " + string(host)
		unit, ill := failedService(v)
		if !v.State.Lives() {
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
	case !c.policy.Services.disables() || !known || svc.Disabled || c.mode(host).Mode != ModeAuto || c.halted(host) ||
		c.state.Open(host) != nil || c.state.Hosts[host].Maintenance:
		return
	case len(c.state.Ailing)+coming >= limit:
		c.note("%s of %s has failed for good, and so have services of %d other hosts: none is disabled beyond that", unit, host, limit)
		return
	}
	c.commit(Entry{Kind: KindAiling, Host: host, Ailing: &Ailing{Host: host, Service: unit, Since: c.world.Now},
		Text: fmt.Sprintf("%s of %s has failed for good: its nova-compute is disabled%s", unit, host, afterwards(c.policy.Services))})
}

// afterwards says in the journal what becomes of the instances.
func afterwards(s Services) string {
	switch s {
	case ServicesMigrate:
		return "; what runs there is moved away while its nova-compute is up"
	case ServicesFence:
		return "; it is fenced if its nova-compute stays down"
	default:
		return "; its instances run on"
	}
}

// ailing carries one on.
func (c *Core) ailing(x Ailing, ill bool) {
	svc := c.world.Nova.Services[x.Host]
	well := "ailing well " + string(x.Host)
	if ill || !c.world.Verdicts[x.Host].State.Lives() {
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
	case x.Away.moving() != nil:
		c.tendAway(x)
	case !ill && !c.healthy[x.Host].IsZero() && c.since(well) >= c.policy.HealthyDelay:
		x.Enabling = true
		c.commit(Entry{Kind: KindAiling, Host: x.Host, Ailing: &x, Text: fmt.Sprintf("the services of %s are well again: its nova-compute is enabled", x.Host)})
	case ill:
		c.tendAway(x)
	}
}

func (c *Core) doAiling(x Ailing, step Step) {
	c.launchOn(Action{Host: x.Host, Step: step, Reason: AilingReason, Shield: x.Host})
}

// ailingDone takes an outcome; what failed is asked again after a pause.
func (c *Core) ailingDone(o Outcome) {
	x := c.state.Ailing[o.Action.Host]
	if x == nil {
		return
	}
	switch o.Action.Step {
	case StepTraceAway:
		c.seenAway(*x, o)
		return
	case StepMoveAway:
		c.sentAway(*x, o)
		return
	default:
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
