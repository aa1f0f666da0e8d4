package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/lifeboat-ha/lifeboat/cmd/app"
	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/detector/heartbeat"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// Options of a run.
type Options struct {
	// Keep leaves the site up until the context ends.
	Keep bool
	Out  io.Writer
	// Dir receives everything that is written; a temporary one if empty.
	Dir string
	// Limit is how long the demonstration may take: 85 s if zero.
	Limit time.Duration
	// Level is that of the logs: info if zero.
	Level slog.Level

	// prepare changes the site before anything starts, look sees it at its end.
	prepare func(*site) error
	look    func(context.Context, *run)
}

// run is one demonstration.
type run struct {
	*site
	out   io.Writer
	level slog.Level
	start time.Time
	ctls  []*app.Controller

	mu     sync.Mutex
	agents map[nova.HostName]*app.Agent
	told   map[evacuate.RecoveryID]int
}

// Run demonstrates: it returns nil only if every instance runs exactly once
// and the two hosts are back in service.
func Run(ctx context.Context, o Options) (err error) {
	dir := o.Dir
	if dir == "" {
		if dir, err = os.MkdirTemp("", "lifeboat-demo-"); err != nil {
			return fmt.Errorf("make the demo's directory: %w", err)
		}
		if !o.Keep {
			defer func() { _ = os.RemoveAll(dir) }()
		}
	}
	s, err := newSite(dir)
	if err != nil {
		return err
	}
	if o.prepare != nil {
		if err := o.prepare(s); err != nil {
			return errors.Join(err, s.stop())
		}
	}
	r := &run{site: s, out: o.Out, level: o.Level, start: s.clock.Now(), agents: map[nova.HostName]*app.Agent{}, told: map[evacuate.RecoveryID]int{}}
	defer func() { err = errors.Join(err, r.end()) }()
	if o.Limit <= 0 {
		o.Limit = 85 * time.Second
	}
	lctx, cancel := context.WithTimeout(ctx, o.Limit)
	defer cancel()
	r.say("an emulated Nova with %d hosts and %d servers, Redfish BMCs, and Lifeboat: %d controllers, %d agents, all in this process", hosts, hosts*perHost, controllers, hosts)
	if err := r.up(lctx); err != nil {
		return err
	}
	if err := r.incidents(lctx); err != nil {
		return err
	}
	if o.look != nil {
		o.look(ctx, r)
	}
	if err := r.verdict(); err != nil || !o.Keep {
		return err
	}
	r.keep(ctx)
	return nil
}

func (r *run) say(format string, args ...any) {
	fmt.Fprintf(r.out, "%6.1f s  %s\n", r.clock.Now().Sub(r.start).Seconds(), fmt.Sprintf(format, args...))
}

// up starts controllers, then enrols and starts every agent.
func (r *run) up(ctx context.Context) error {
	for i := 1; i <= controllers; i++ {
		cfg, err := r.controllerConfig(i)
		if err != nil {
			return err
		}
		c, err := app.NewController(cfg, r.log(controllerID(i)), app.Seams{Prober: r, Fatal: func(err error) { r.say("a controller gave up: %v", err) }})
		if err != nil {
			return err
		}
		if err := c.Start(ctx); err != nil {
			return err
		}
		r.ctls = append(r.ctls, c)
	}
	leader, err := r.leader(ctx)
	if err != nil {
		return err
	}
	r.say("%s leads; every host is enrolled with a one-time token and its own key", leader.ID())
	for n, h := range r.hosts {
		h.machine.OnPower = func(on bool) { r.power(n, h, on) }
		if err := r.newBoot(h); err != nil {
			return err
		}
		cfg, err := r.agentConfig(n, h)
		if err != nil {
			return err
		}
		if err := r.again(ctx, "enrol "+string(h.name), func(leader *app.Controller) error {
			token, err := leader.NewToken(ctx, h.name, time.Hour)
			if err != nil {
				return err
			}
			return app.Enrol(ctx, cfg, r.peer(n%controllers+1), token)
		}); err != nil {
			return err
		}
		if err := r.startAgent(ctx, n, h); err != nil {
			return err
		}
	}
	return r.wait(ctx, "all hosts healthy and fenceable", r.ready)
}

func (r *run) startAgent(ctx context.Context, n int, h *host) error {
	cfg, err := r.agentConfig(n, h)
	if err != nil {
		return err
	}
	a, err := app.NewAgent(cfg, r.log(string(h.name)), app.Seams{Prober: r})
	if err != nil {
		return err
	}
	if err := a.Start(ctx); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.agents[h.name] = a
	return nil
}

// killAgent is what a dying host does to its agent.
func (r *run) killAgent(h *host) {
	r.mu.Lock()
	a := r.agents[h.name]
	delete(r.agents, h.name)
	r.mu.Unlock()
	if a != nil {
		_ = a.Kill()
	}
}

// power is what the BMC's command does to the machine.
func (r *run) power(n int, h *host, on bool) {
	if !on {
		r.nova.PowerOff(h.name)
		r.killAgent(h)
		return
	}
	r.nova.PowerOn(h.name)
	go func() {
		_ = r.clock.Sleep(context.Background(), time.Second) // it boots
		if r.newBoot(h) == nil && r.startAgent(context.Background(), n, h) == nil {
			r.nova.RestartCompute(h.name)
		}
	}()
}

// Probe answers for the emulated network: a machine without power or with a
// dead kernel is silent.
func (r *run) Probe(_ context.Context, host nova.HostName, addrs []heartbeat.Address, _ []uint16) []detector.Probe {
	p := detector.Probe{Host: host, Network: addrs[0].Network, Kind: detector.ProbeICMP, Answer: detector.Silent, Began: r.clock.Now()}
	if r.nova.Alive(host) {
		p.Answer = detector.Answered
	}
	return []detector.Probe{p}
}

// Touch is the same here.
func (r *run) Touch(ctx context.Context, host nova.HostName, addrs []heartbeat.Address, ports []uint16) []detector.Probe {
	return r.Probe(ctx, host, addrs, ports)
}

func (r *run) leader(ctx context.Context) (*app.Controller, error) {
	var found *app.Controller
	err := r.wait(ctx, "a leader", func() bool {
		for _, c := range r.ctls {
			if c.Leads() && c.State().ClusterID != "" && len(c.State().Hosts) == hosts {
				found = c
			}
		}
		return found != nil
	})
	return found, err
}

// again does what an operator would when leadership changes on a busy machine:
// the same once more, with whoever leads then.
func (r *run) again(ctx context.Context, what string, do func(leader *app.Controller) error) error {
	var last error
	err := r.wait(ctx, what, func() bool {
		leader := r.lead()
		if leader == nil {
			return false
		}
		last = do(leader)
		return last == nil
	})
	return errors.Join(err, last)
}

func (r *run) lead() *app.Controller {
	for _, c := range r.ctls {
		if c.Leads() {
			return c
		}
	}
	return nil
}

func (r *run) ready() bool {
	c := r.lead()
	if c == nil {
		return false
	}
	healthy := 0
	verdicts := c.Verdicts()
	for name, h := range c.State().Hosts {
		if verdicts[name].State == detector.Healthy && !h.PoweredOn.IsZero() && h.Machine.Known() && len(h.Checks) > 0 && len(h.Instances) > 0 {
			healthy++
		}
	}
	return healthy == hosts && c.RingSize() >= hosts+controllers
}

// wait polls until done, telling what the recoveries do meanwhile.
func (r *run) wait(ctx context.Context, what string, done func() bool) error {
	for {
		r.narrate()
		if done() {
			return nil
		}
		if err := r.clock.Sleep(ctx, 100*time.Millisecond); err != nil {
			return fmt.Errorf("gave up waiting for %s after %s; the logs are in %s", what, r.clock.Now().Sub(r.start).Round(time.Second), r.dir)
		}
	}
}

// narrate prints what the ledger has newly recorded.
func (r *run) narrate() {
	c := r.lead()
	if c == nil {
		return
	}
	for _, rec := range c.State().Sorted() {
		for _, e := range rec.Timeline[min(r.told[rec.ID], len(rec.Timeline)):] {
			r.say("%-6s %s", rec.Host, e.Text)
		}
		r.told[rec.ID] = len(rec.Timeline)
	}
}

// incidents breaks two hosts in different ways and waits until both are back.
func (r *run) incidents(ctx context.Context) error {
	cut, hang := r.hosts[6], r.hosts[12]
	r.say("all %d hosts are heard. NOW: the power of %s is cut", hosts, cut.name)
	cut.machine.Power(false)
	if err := r.wait(ctx, string(cut.name)+" to be recovered", r.recovered(cut)); err != nil {
		return err
	}
	r.say("NOW: the kernel of %s hangs; its power stays on and its guests might wake", hang.name)
	r.nova.Hang(hang.name)
	r.killAgent(hang)
	if err := r.wait(ctx, string(hang.name)+" to be recovered", r.recovered(hang)); err != nil {
		return err
	}
	r.say("the operator asks both hosts back: lifeboat return %s; lifeboat return %s", cut.name, hang.name)
	for _, h := range []*host{cut, hang} {
		if err := r.again(ctx, "ask "+string(h.name)+" back", func(leader *app.Controller) error {
			if rec := leader.State().Open(h.name); rec != nil && rec.Status == evacuate.StatusReturning {
				return nil
			}
			return leader.Return(ctx, h.name, "demo")
		}); err != nil {
			return err
		}
	}
	return r.wait(ctx, "both hosts to be back in service", func() bool {
		s := r.lead()
		return s != nil && s.State().Open(cut.name) == nil && s.State().Open(hang.name) == nil
	})
}

func (r *run) recovered(h *host) func() bool {
	return func() bool {
		c := r.lead()
		if c == nil {
			return false
		}
		rec := c.State().Open(h.name)
		return rec != nil && rec.Status == evacuate.StatusRecovered
	}
}

// keep leaves everything up.
func (r *run) keep(ctx context.Context) {
	fmt.Fprintf(r.out, "\nThe site stays up until Ctrl-C. In another shell:\n\n  export LIFEBOAT_API=http://%s LIFEBOAT_TOKEN_FILE=%s\n  lifeboat status; lifeboat hosts; lifeboat explain cmp07\n\n", r.api(1), r.path("api.token"))
	<-ctx.Done()
}

func (r *run) end() error {
	r.mu.Lock()
	agents := r.agents
	r.agents = nil
	r.mu.Unlock()
	var wg sync.WaitGroup
	for _, a := range agents {
		wg.Go(func() { _ = a.Kill() })
	}
	wg.Wait()
	for _, c := range r.ctls {
		wg.Go(func() { _ = c.Stop() })
	}
	wg.Wait()
	return r.stop()
}
