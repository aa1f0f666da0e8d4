package evacuate

import "fmt"

func holdReason(o Outcome) string {
	if o.Cause != "" {
		return fmt.Sprintf("%s: %s", o.Cause, o.Detail)
	}
	return o.Detail
}

// hold records why a recovery waits, once per reason.
func (c *Core) hold(r *Recovery, h Hold) {
	if r.Hold != nil && r.Hold.Gate == h.Gate && r.Hold.Step == h.Step {
		if r.Hold.Reason == h.Reason || h.Gate != "" {
			return // a gate's reason carries ages that change every tick
		}
	}
	h.Since = c.world.Now
	where := string(h.Step)
	if h.Gate != "" {
		where = "gate " + string(h.Gate)
	}
	c.commit(Entry{Kind: KindHold, Recovery: r.ID, Hold: &h, Text: fmt.Sprintf("held at %s: %s", where, h.Reason)})
}

func (c *Core) release(r *Recovery) {
	if r.Hold != nil {
		c.commit(Entry{Kind: KindHold, Recovery: r.ID, Text: "goes on"})
	}
}

// pass asks the gates of a point for an open recovery and holds it if one is
// closed.
func (c *Core) pass(point Point, r *Recovery) bool {
	answers := c.calmly(point, r.Host, r)
	c.decisions[r.Host] = Decision{Point: point, At: c.world.Now, Answers: answers, Verdict: c.world.Verdicts[r.Host], Mode: c.mode(r.Host)}
	if a, closed := Closed(answers); closed {
		if point == AtPowerOff {
			c.holdDead(r.Host, r, answers)
		}
		c.hold(r, Hold{Gate: a.Gate, Reason: a.Reason})
		return false
	}
	if r.Hold != nil && r.Hold.Gate != "" {
		c.release(r)
	}
	return true
}
