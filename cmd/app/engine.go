package app

import (
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/evacuate/runner"
)

// newEngine joins core, runner and ledger.
func (c *Controller) newEngine() *runner.Engine {
	clk := runnerClock{c.clock}
	log := c.log.With("component", "engine")
	return &runner.Engine{
		Core: evacuate.NewCore(c.policy), Ledger: ledgerPort{c}, Mind: c, Crash: c.seams.Crash, Log: log,
		Executor: &runner.Runner{Fencer: c.powers, Services: c.cloud, Servers: c.cloud, Evacuator: c.cloud, Quorum: ledgerPort{c}, Clock: clk, Log: log, Permits: c.permits, Lanes: make(chan struct{}, postLanes)},
	}
}

// postLanes is how many evacuate POSTs are sent at once: on the lab's Nova, with
// two API workers, four in turn are accepted sooner than twenty at a time.
const postLanes = 4

// permits asks the state at this instant.
func (c *Controller) permits(a evacuate.Action) (err error) {
	c.machine.Locked(func(s *evacuate.State) { err = s.Permits(a) })
	return err
}
