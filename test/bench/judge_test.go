package bench

import (
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/detector/gossip"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// judging is how often every host is judged.
const judging = 500 * time.Millisecond

func (c *cloud) onEvent(n *node, e gossip.Event) {
	if e.Kind != gossip.EventDied {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range c.nodes {
		if o.name != e.Name {
			continue
		}
		if !o.sick && !n.sick {
			o.falseRng[n.name] = true
		}
	}
}

// judge runs the leader's part: it gathers evidence and judges every host.
func (c *cloud) judge() {
	c.done.Go(func() {
		tick := time.NewTicker(judging)
		defer tick.Stop()
		for round := 0; ; round++ {
			select {
			case <-tick.C:
			case <-c.stop:
				return
			}
			if round%2 == 0 {
				c.gather()
			}
			c.decide()
		}
	})
}

// gather puts to each host the question that a controller's prober would put.
func (c *cloud) gather() {
	now := time.Now()
	for _, v := range c.nodes[:voters] {
		view := v.member.View()
		c.mu.Lock()
		c.table.Alive(detector.Observer(v.id), view, now)
		for _, n := range c.nodes[voters:] {
			p := detector.Probe{Observer: detector.Observer(v.id), Host: nova.HostName(n.name), Network: "management", Kind: detector.ProbeICMP, Answer: detector.Answered, Began: now}
			if !c.net.Reaches(v.addr, n.addr) {
				p.Answer, p.Began = detector.Silent, now.Add(-time.Second)
			}
			c.table.Probe(p)
		}
		c.mu.Unlock()
	}
}

func (c *cloud) decide() {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.nodes[voters:] {
		host := nova.HostName(n.name)
		v := c.verdict(n, now)
		switch {
		case v.State == detector.Dead && n.sick:
			if _, ok := c.dead[host]; !ok {
				c.dead[host] = now
			}
		case v.State == detector.Dead:
			c.wrong[host]++
		case v.State != detector.Healthy && !n.sick:
			c.doubts++
		}
	}
}

func (c *cloud) setSick(n *node, sick bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n.sick = sick
}

// isDead says, as one or none, whether a host was ever judged dead, and
// whether it is now.
func (c *cloud) isDead(n *node) (ever, now int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	host := nova.HostName(n.name)
	if _, ok := c.dead[host]; ok {
		ever = 1
	}
	if v := c.verdict(n, time.Now()); v.State == detector.Dead {
		now = 1
	}
	return ever, now
}

// verdict must be called with mu held.
func (c *cloud) verdict(n *node, now time.Time) detector.Verdict {
	facts := detector.Facts{Voters: voters, Boot: bootID, Known: len(c.nodes)}
	return detector.Judge(c.table.View(nova.HostName(n.name), facts, now), c.policy)
}

// mistakes are the living that were judged dead, and the false deaths in rings.
func (c *cloud) mistakes() (verdicts, ringVictims, ringEvents int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.nodes {
		if len(n.falseRng) > 0 && !strings.HasPrefix(n.name, gossip.ControllerPrefix) {
			ringVictims++
		}
		ringEvents += len(n.falseRng)
	}
	return len(c.wrong), ringVictims, ringEvents
}
