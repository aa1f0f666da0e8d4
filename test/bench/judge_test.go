package bench

import (
	"fmt"
	"math/rand/v2"
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
		if o.sick {
			if _, ok := o.diedAt[n.name]; !ok {
				o.diedAt[n.name] = e.At
			}
		} else if !n.sick {
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
// An echo is tried three times; it is silent to whom all three are lost.
func (c *cloud) gather() {
	now := time.Now()
	for _, v := range c.nodes[:voters] {
		view := v.member.View()
		c.mu.Lock()
		c.table.Alive(detector.Observer(v.id), view, now)
		for _, n := range c.nodes[voters:] {
			p := detector.Probe{Observer: detector.Observer(v.id), Host: nova.HostName(n.name), Network: "management", Kind: detector.ProbeICMP, Answer: detector.Answered, Began: now}
			if !c.net.Reaches(v.addr, n.addr) || c.threeLost() {
				p.Answer, p.Began = detector.Silent, now.Add(-time.Second)
			}
			c.table.Probe(p)
		}
		c.mu.Unlock()
	}
}

func (c *cloud) threeLost() bool { // with mu held
	p := 1 - (1-c.loss)*(1-c.loss)
	return rand.Float64() < p*p*p
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

// kill takes a host's power and waits for the verdict.
func (c *cloud) kill(n *node) (ring, verdict time.Duration) {
	c.t.Helper()
	c.setSick(n, true)
	c.net.Kill(n.addr)
	began := time.Now()
	n.sender.Close()
	n.member.Close()
	for time.Since(began) < 3*time.Minute {
		time.Sleep(judging)
		c.mu.Lock()
		at, ok := c.dead[nova.HostName(n.name)]
		var second time.Time // two ring members make a vote
		first := time.Time{}
		for _, t := range n.diedAt {
			switch {
			case first.IsZero() || t.Before(first):
				first, second = t, first
			case second.IsZero() || t.Before(second):
				second = t
			}
		}
		c.mu.Unlock()
		if ok {
			return second.Sub(began), at.Sub(began)
		}
	}
	c.t.Errorf("no verdict on %s: %s", n.name, c.explain(n))
	return 0, 3 * time.Minute
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

func (c *cloud) explain(n *node) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	v := c.verdict(n, time.Now())
	votes := map[string]int{}
	for _, vote := range v.View.Votes {
		votes[fmt.Sprintf("dead=%v ill=%q", vote.Dead, vote.Ill)]++
	}
	return fmt.Sprintf("%s (%s) %s; votes %v", v.State, v.Reason, v.Detail, votes)
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
