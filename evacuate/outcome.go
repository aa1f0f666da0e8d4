package evacuate

// outcome hands an action's end to whoever waits for it.
func (c *Core) outcome(r *Recovery, o Outcome) {
	switch o.Action.Step {
	case StepObserve:
		if o.Seen != nil {
			o.Seen.At = c.world.Now
			c.seen[r.ID] = o.Seen
			c.notePast(r, o.Seen)
			c.noteLate(r, o.Seen)
		}
	case StepResolve:
		c.resolved(r, o)
	case StepProbe:
		c.probed(r, o)
	case StepTrace:
		c.traced(r, o)
	case StepFailback:
		c.sentHome(r, o)
	case StepEvacuate:
		c.posted(r, o)
	case StepReset, StepStop:
		c.instanceAnswered(r, o)
	case StepReserve:
		c.reserveDone(r, o)
	case StepList:
		c.listed(r, o)
	case StepRelist:
		c.relisted(r, o)
	case StepVerify:
		c.verified(r, o)
	default:
		if o.Action.Shield != "" {
			c.shieldDone(r, o)
			return
		}
		c.stepDone(r, o, "")
	}
}
