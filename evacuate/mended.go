package evacuate

import "github.com/lifeboat-ha/lifeboat/nova"

// mendable says of an instance that is left that only its state keeps it, which a person
// may mend: it is looked at again while its host is off.
func mendable(s nova.Server) bool {
	return !movable[s.VMState] && s.TaskState != nova.TaskDeleting && s.TaskState != nova.TaskSoftDeleting
}

// optedOut says that an instance's own metadata keeps it from being sent, or sent again,
// since it was listed. Whatever else chooses was read then: it may be unreadable now.
func (c *Core) optedOut(e *Evacuation, s nova.Server) *Evacuation {
	yes, ok, key := c.policy.said(s.Metadata)
	if !c.policy.Chooses() || !ok || yes {
		return nil
	}
	n := *e
	n.State, n.Reason, n.Ended, n.Waits = EvacSkipped, "not protected any more: it says "+key, c.world.Now, ""
	return &n
}
