package app

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/evacuate/api"
	"github.com/lifeboat-ha/lifeboat/evacuate/runner"
	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// FenceTest asks every fencing method of a host, and commands nothing.
func (c *Controller) FenceTest(ctx context.Context, host nova.HostName) (*evacuate.FenceTest, error) {
	links, ok := c.powers.links[string(host)]
	switch {
	case !c.leads():
		return nil, api.ErrNotLeader
	case !ok && c.State().Hosts[host] == nil:
		return nil, fmt.Errorf("%w: no host %q: `lifeboat hosts` lists them", api.ErrNotFound, host)
	case len(links) == 0:
		return nil, fmt.Errorf("%w: %s has no fencing method: give it one in `hosts[].bmc`", api.ErrRefused, host)
	case c.untouched(host):
		return nil, fmt.Errorf("%w: the mode of %s is off, in which not even its BMC is read: `lifeboat mode observe`", api.ErrRefused, host)
	}
	out := &evacuate.FenceTest{Host: host, By: c.id, Heard: -1}
	found := make([]examined, 0, len(links))
	for i := range links {
		turn := c.powers.locks[string(host)]
		tctx, cancel := context.WithTimeout(ctx, fence.CallTimeout)
		err := turn.take(tctx)
		cancel()
		if err != nil {
			return nil, fmt.Errorf("%w: a method of %s is busy, with preflight or with a recovery: try again", api.ErrRefused, host)
		}
		found = append(found, c.powers.examine(ctx, string(host), i))
		turn.give()
	}
	if r := c.State().Open(host); r == nil { // in a recovery its own steps ask
		out.Storage = c.powers.storage.test(ctx, string(host), c.clock.Now)
	}
	out.At = c.clock.Now()
	standings, _ := c.vet(string(host))
	for i, x := range found {
		m := evacuate.MethodTest{LinkStanding: standings[i], Reading: x.reading, Said: x.said, Asking: x.asking}
		if x.err != nil {
			m.Failed = x.err.Error()
		}
		out.Methods = append(out.Methods, m)
	}
	c.observer.with(func(t *detector.Table) {
		if at, _, _ := t.LastHeard(host); !at.IsZero() {
			out.Heard = out.At.Sub(at)
		}
	})
	f := c.fenceable(host)[host]
	out.Gate = evacuate.Answer{Gate: evacuate.GateFenceable, Pass: f.Open, Standing: f.Standing, Reason: f.Reason}
	out.Finish()
	return out, nil
}

// drill puts a drill before a person, or begins it. What comes of it stands in the
// ledger.
func (c *Controller) drill(ctx context.Context, q api.Command, e evacuate.Entry) (string, error) {
	host := q.Host
	switch {
	case !c.leads():
		return "", api.ErrNotLeader
	case c.State().Hosts[host] == nil:
		return "", fmt.Errorf("%w: no host %q: `lifeboat hosts` lists them", api.ErrNotFound, host)
	}
	s := c.State()
	w, err := c.drillWorld(ctx, host)
	if err != nil {
		return "", err
	}
	link, err := evacuate.DrillLink(evacuate.Standings(host, s.Hosts[host], w.Fencing[host], s.Register()), q.Word)
	if err != nil {
		return "", err
	}
	if err := evacuate.CheckDrill(host, link, s, w, c.policy); err != nil {
		return "", err
	}
	if !q.Flag {
		return evacuate.DrillCase(host, link, s, w), nil
	}
	if q.Typed != string(host) {
		return "", fmt.Errorf("%w: its name must be typed again: it is %s, not %q", evacuate.ErrDrill, host, q.Typed)
	}
	run := evacuate.NewDrilling(host, link, evacuate.Mark{By: q.By, Says: q.Says, At: w.Now, Reason: q.Reason}, s, w)
	e.Kind, e.Drilling, e.At, e.Term, e.Flag = evacuate.KindHostDrilling, run, w.Now, w.Leader.Term, false
	if err := c.apply(ctx, e); err != nil {
		return "", err
	}
	c.stop.wg.Go(func() { c.newDrill(host, *run).Do(c.stop.ctx) })
	return fmt.Sprintf("drill of %s through %s has begun: `lifeboat fence drill %s --status`", host, run.Method, host), nil
}

// drillWorld is the world with what Nova says of the host this instant, and whose
// machine its methods switch.
func (c *Controller) drillWorld(ctx context.Context, host nova.HostName) (evacuate.World, error) {
	if !c.untouched(host) {
		c.powers.survey(ctx, string(host))
	}
	nctx, cancel := context.WithTimeout(ctx, novaTimeout)
	defer cancel()
	svc, err := c.cloud.Service(nctx, host)
	if err != nil {
		return evacuate.World{}, fmt.Errorf("read the nova-compute of %s: %w", host, err)
	}
	servers, err := c.cloud.Servers(nctx, host)
	if err != nil {
		return evacuate.World{}, fmt.Errorf("list the instances of %s: %w", host, err)
	}
	w := c.World()
	services := map[nova.HostName]nova.Service{host: svc}
	for h, s := range w.Nova.Services {
		if h != host {
			services[h] = s
		}
	}
	w.Nova.Services = services
	w.Servers = map[nova.HostName][]nova.Server{host: servers}
	return w, nil
}

func (c *Controller) newDrill(host nova.HostName, run evacuate.Drilling) *runner.Drill {
	permits := func() (err error) {
		if f := c.frozen(); f != "" {
			return fmt.Errorf("frozen by a local file: %s", f)
		}
		c.machine.Locked(func(s *evacuate.State) { err = s.PermitsDrill(host, &run) })
		return err
	}
	known := func() (bmc, machine fence.Identity) {
		standings, _ := c.vet(string(host))
		c.machine.Locked(func(s *evacuate.State) { machine = s.Hosts[host].Machine })
		return standings[run.Link].Check.Machine, machine
	}
	return &runner.Drill{Host: host, Run: run, Switch: drillSwitch{c.powers, string(host), run.Link}, Ears: drillEars{c, host}, Ledger: ledgerPort{c},
		Clock: runnerClock{c.clock}, Permits: permits, Known: known, By: c.id, Log: c.log.With("component", "drill")}
}

// drillSwitch is one link of a host.
type drillSwitch struct {
	p    *powers
	host string
	link int
}

func (d drillSwitch) Read(ctx context.Context) fence.Reading {
	l := d.p.locks[d.host]
	if err := l.take(ctx); err != nil {
		return fence.Reading{Power: fence.Unknown, Cause: fence.CauseBusy, Raw: "its BMC is busy", Began: d.p.now(), Ended: d.p.now()}
	}
	defer l.give()
	return d.p.examine(ctx, d.host, d.link).reading
}

func (d drillSwitch) Off(ctx context.Context, boot string, guard fence.Guard) (fence.Proof, []fence.Attempt, error) {
	l := d.p.locks[d.host]
	if err := l.take(ctx); err != nil {
		return fence.Proof{}, nil, fmt.Errorf("its BMC is busy: %w", err)
	}
	defer l.give()
	return d.p.through(d.host, d.link).Off(ctx, d.host, boot, guard)
}

func (d drillSwitch) On(ctx context.Context, guard fence.Guard) error {
	l := d.p.locks[d.host]
	if err := l.take(ctx); err != nil {
		return fmt.Errorf("its BMC is busy: %w", err)
	}
	defer l.give()
	return d.p.through(d.host, d.link).On(ctx, guard)
}

// drillEars are what the leader knows of who is heard.
type drillEars struct {
	c    *Controller
	host nova.HostName
}

func (d drillEars) Heard() (at time.Time, boot string) {
	d.c.observer.with(func(t *detector.Table) { at, boot, _ = t.LastHeard(d.host) })
	return at, boot
}

func (d drillEars) Whole() bool {
	return len(d.c.observer.freshControllers()) > max(d.c.ledger.Health().Voters, 1)/2
}

func (d drillEars) Silenced(since time.Time) []nova.HostName {
	now := d.c.clock.Now()
	limit := d.c.observer.judge.Silence()
	var out []nova.HostName
	for host := range d.c.observer.last() {
		var at time.Time
		d.c.observer.with(func(t *detector.Table) { at, _, _ = t.LastHeard(host) })
		// A heartbeat of the last second before the off may be its last.
		if host != d.host && at.After(since.Add(-limit)) && now.Sub(at) > limit/2 {
			out = append(out, host)
		}
	}
	slices.Sort(out)
	return out
}

// drillOver is how long a former leader may still be at a drill.
const drillOver = 2 * time.Minute

// tendDrills ends the drills that a former leader began: what is off is switched on.
func (c *Controller) tendDrills(context.Context) {
	if !c.leads() {
		c.tended = nil
		return
	}
	term, now := c.ledger.Term(), c.clock.Now()
	c.machine.Locked(func(s *evacuate.State) {
		for host, h := range s.Hosts {
			d := h.Drilling
			if !d.UnderWay() || d.Term == term {
				continue
			}
			if c.tended == nil {
				c.tended = map[nova.HostName]time.Time{}
			}
			first, seen := c.tended[host]
			if !seen {
				c.tended[host] = now
			}
			links := c.powers.links[string(host)]
			if !seen || now.Sub(first) < drillOver {
				continue
			}
			run := *d
			run.Term = term
			c.tended[host] = now // once more, should this one fail
			there := d.Link < len(links) && links[d.Link].Method == d.Method && links[d.Link].Target == d.Target
			c.stop.wg.Go(func() {
				if there {
					c.newDrill(host, run).Resume(c.stop.ctx)
					return
				}
				c.newDrill(host, run).Fail(c.stop.ctx, "the leader changed, and its method is not configured any more: look whether the host is on")
			})
		}
	})
}

// Drills is what the ledger knows of a host's drills.
func (c *Controller) Drills(host nova.HostName) (*evacuate.Drills, bool) {
	h := c.State().Hosts[host]
	if h == nil {
		return nil, false
	}
	return &evacuate.Drills{Host: host, Drilling: h.Drilling, Drills: h.Drills}, true
}
