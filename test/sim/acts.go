package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/evacuate/api"
	"github.com/lifeboat-ha/lifeboat/nova"
)

type doer = func(c *Cloud, o order) (func(), error)

func all(undos []func()) func() {
	return func() {
		for _, u := range undos {
			if u != nil {
				u()
			}
		}
	}
}

func eachHost(f func(m *machine) func()) doer {
	return func(c *Cloud, o order) (func(), error) {
		picked, err := c.pick(o.args[0])
		var undos []func()
		for _, name := range picked {
			undos = append(undos, f(c.byName[name]))
		}
		return all(undos), err
	}
}

func eachVoter(f func(v *voter) (func(), error)) doer {
	return func(c *Cloud, o order) (func(), error) {
		picked, err := c.pick(o.args[0])
		errs := []error{err}
		var undos []func()
		for _, id := range picked {
			undo, err := f(c.voter(id))
			undos, errs = append(undos, undo), append(errs, err)
		}
		return all(undos), errors.Join(errs...)
	}
}

func startVoter(v *voter) (func(), error) {
	v.cloud.work.Go(func() {
		if err := v.start(); err != nil {
			v.cloud.watch.broken("a controller starts again: %v", err)
		}
	})
	return nil, nil
}

func supplyCut(m *machine) func() {
	m.cloud.net.locked(func() { m.bmcAt.up = false })
	m.power.Power(false)
	return func() { powerOn(m) }
}

func powerOn(m *machine) func() {
	m.cloud.net.locked(func() { m.bmcAt.up = true })
	m.power.Power(true)
	return nil
}

func crash(c *Cloud, o order) (func(), error) {
	takes := 30 * time.Second
	if len(o.args) > 1 {
		takes, _ = time.ParseDuration(o.args[1])
	}
	return eachHost(func(m *machine) func() { m.reboot(takes); return nil })(c, o)
}

func killAgent(m *machine) func() {
	m.mu.Lock()
	m.stays = true
	m.mu.Unlock()
	m.endAgent()
	return func() { startAgent(m) }
}

func stopAgent(m *machine) func() {
	m.mu.Lock()
	m.stays = true
	m.mu.Unlock()
	m.stopAgent()
	return func() { startAgent(m) }
}

func startAgent(m *machine) func() {
	m.mu.Lock()
	m.stays = false
	m.mu.Unlock()
	m.startAgent()
	return nil
}

// still freezes or thaws a host or a controller.
func (c *Cloud) still(name string, yes bool) {
	if m := c.byName[name]; m != nil {
		m.freeze(yes)
		return
	}
	if p := c.net.runsOn(c.voter(name).node); p != nil {
		if yes {
			p.freeze()
		} else {
			p.thaw()
		}
	}
}

func freezeThem(c *Cloud, o order) (func(), error) {
	picked, err := c.pick(o.args[0])
	for _, name := range picked {
		c.still(name, true)
	}
	return func() {
		for _, name := range picked {
			c.still(name, false)
		}
	}, err
}

func thawThem(c *Cloud, o order) (func(), error) {
	picked, err := c.pick(o.args[0])
	for _, name := range picked {
		c.still(name, false)
	}
	return nil, err
}

func starve(c *Cloud, o order) (func(), error) {
	if len(o.args) < 2 {
		return nil, errors.New("a rhythm such as 4s/1s is needed")
	}
	picked, err := c.pick(o.args[0])
	frozen, running, _ := rhythm(o.args[1])
	end := make(chan struct{})
	for i, name := range picked {
		first := time.Duration(i) * (frozen + running) / time.Duration(len(picked))
		c.work.Go(func() {
			rest := func(d time.Duration) bool {
				select {
				case <-time.After(d):
					return true
				case <-end:
				case <-c.watch.done:
				}
				return false
			}
			defer c.still(name, false)
			for ok := rest(first); ok; ok = rest(running) {
				c.still(name, true)
				if !rest(frozen) {
					return
				}
				c.still(name, false)
			}
		})
	}
	return func() { close(end) }, err
}

func set(names []string) map[string]bool {
	m := map[string]bool{}
	for _, n := range names {
		m[n] = true
	}
	return m
}

// lay adds rules; the undo removes just these.
func (c *Cloud) lay(rules ...*rule) func() {
	c.net.locked(func() { c.net.rules = append(c.net.rules, rules...) })
	return func() {
		c.net.locked(func() {
			c.net.rules = slices.DeleteFunc(c.net.rules, func(r *rule) bool { return slices.Contains(rules, r) })
		})
	}
}

func isolate(c *Cloud, o order) (func(), error) {
	picked, err := c.pick(o.args[0])
	in := set(picked)
	out := set(slices.DeleteFunc(c.setup.names().all(), func(s string) bool { return in[s] }))
	return c.lay(&rule{from: in, to: out, network: o.on, cut: true}, &rule{from: out, to: in, network: o.on, cut: true}), err
}

func (c *Cloud) two(a, b string) (map[string]bool, map[string]bool, error) {
	x, err1 := c.pick(a)
	y, err2 := c.pick(b)
	return set(x), set(y), errors.Join(err1, err2)
}

func cutBoth(c *Cloud, o order) (func(), error) {
	a, b, err := c.two(o.args[0], o.args[2])
	return c.lay(&rule{from: a, to: b, network: o.on, cut: true}, &rule{from: b, to: a, network: o.on, cut: true}), err
}

func cutOne(c *Cloud, o order) (func(), error) {
	a, b, err := c.two(o.args[0], o.args[2])
	return c.lay(&rule{from: a, to: b, network: o.on, cut: true}), err
}

// pairOf gives the two sets of `between`, everybody without it.
func (c *Cloud) pairOf(o order) (map[string]bool, map[string]bool, error) {
	if len(o.args) < 5 {
		everybody := set(c.setup.names().all())
		return everybody, everybody, nil
	}
	return c.two(o.args[2], o.args[4])
}

func (c *Cloud) both(a, b map[string]bool, r rule) func() {
	there, back := r, r
	there.from, there.to, back.from, back.to = a, b, b, a
	if len(a) == len(b) && len(a) == len(c.setup.names().all()) {
		return c.lay(&there)
	}
	return c.lay(&there, &back)
}

func lose(c *Cloud, o order) (func(), error) {
	a, b, err := c.pairOf(o)
	share, _ := percent(o.args[0])
	return c.both(a, b, rule{network: o.on, loss: share}), err
}

func delay(c *Cloud, o order) (func(), error) {
	a, b, err := c.pairOf(o)
	d, _ := time.ParseDuration(o.args[0])
	return c.both(a, b, rule{network: o.on, delay: d}), err
}

func heal(c *Cloud, _ order) (func(), error) {
	c.net.locked(func() { c.net.rules = nil })
	return nil, nil
}

func stepClock(c *Cloud, o order) (func(), error) {
	if len(o.args) < 2 {
		return nil, errors.New("a step such as +10m is needed")
	}
	picked, err := c.pick(o.args[0])
	d, _ := time.ParseDuration(o.args[1])
	for _, name := range picked {
		c.net.nodes[name].clock.stepWall(d)
	}
	return func() {
		for _, name := range picked {
			c.net.nodes[name].clock.stepWall(-d)
		}
	}, err
}

func isCommand(n names, o order) error {
	if len(o.args) == 0 {
		return errors.New("which command?")
	}
	_, err := command(n, o.args)
	return err
}

// command reads an operator's words as the API's command.
func command(n names, words []string) (api.Command, error) {
	q := api.Command{Verb: words[0], By: "operator", Reason: "scenario"}
	for _, w := range words[1:] {
		switch {
		case w == "on" || w == "off":
			q.Flag = w == "on"
			if q.Verb == api.VerbArm {
				q.Word = w
			}
		case w == "force":
			q.Flag = true
		case slices.Contains(n.hosts, w):
			q.Host = nova.HostName(w)
		case q.Word == "":
			q.Word = w
		default:
			return q, fmt.Errorf("%q is one word too many", w)
		}
	}
	return q, nil
}

// operate gives a command to the leader, as the API does, and again while nobody
// leads.
func operate(c *Cloud, o order) (func(), error) {
	q, err := command(c.setup.names(), o.args)
	if err != nil {
		return nil, err
	}
	if q.Verb == "remove" {
		q.Verb = api.VerbHostRemove
	}
	if q.Verb == "forget" {
		q.Verb = api.VerbHostForget
	}
	if q.Verb == api.VerbDrill || q.Verb == api.VerbHostForget { // a person has read the case, and types the name
		q.Flag, q.Typed = true, string(q.Host)
	}
	c.ask(q, o)
	return nil, nil
}

func isConfirmed(n names, o order) error {
	if len(o.args) != 1 && len(o.args) != 2 || !slices.Contains(n.hosts, o.args[0]) {
		return errors.New("write a host, and its name again if it is mistyped")
	}
	return nil
}

// confirmDead gives a person's word; a name that is not the host's is mistyped.
func confirmDead(c *Cloud, o order) (func(), error) {
	typed := o.args[len(o.args)-1]
	c.ask(api.Command{Verb: api.VerbConfirmDead, Host: nova.HostName(o.args[0]), Flag: true, Word: typed, Reason: "seen without power", By: "ann"}, o)
	return nil, nil
}

// ask hands a command to whoever leads.
func (c *Cloud) ask(q api.Command, o order) {
	c.work.Go(func() {
		var err error
		for range 20 {
			err = api.ErrNotLeader
			if l := c.leader(); l != nil {
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				var text string
				text, err = l.ctl.Command(ctx, q)
				cancel()
				if err == nil {
					c.note("operator", "%s", text)
					return
				}
			}
			if !errors.Is(err, api.ErrNotLeader) || !c.wait(time.Second) {
				break
			}
		}
		c.note("operator", "refused: %s: %v", strings.Join(o.args, " "), err)
	})
}
