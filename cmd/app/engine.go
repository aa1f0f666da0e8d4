package app

import (
	"fmt"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/evacuate/runner"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// newEngine joins core, runner and ledger.
func (c *Controller) newEngine() *runner.Engine {
	clk := runnerClock{c.clock}
	log := c.log.With("component", "engine")
	var storage runner.Storage
	if c.powers.storage != nil {
		storage = c.powers.storage
	}
	hands := &hands{powers: c.powers, clock: c.clock, ask: c.askHand, applied: c.hand.applied, life: c.stop.ctx}
	return &runner.Engine{
		Core: evacuate.NewCore(c.policy), Ledger: ledgerPort{c}, Mind: c, Leads: c.leads, Crash: c.seams.Crash, Log: log,
		Executor: &runner.Runner{Fencer: c.powers, Hands: hands, Storage: storage, Services: c.cloud, Aggregates: c.cloud, Devices: c.cloud, Ports: ports{c}, Migrator: c.cloud, Servers: c.cloud, Evacuator: c.cloud, Quorum: ledgerPort{c}, Clock: clk, Log: log, Permits: c.permits, Lanes: make(chan struct{}, postLanes)},
	}
}

// postLanes is how many evacuate POSTs are sent at once: on the lab's Nova, with
// two API workers, four in turn are accepted sooner than twenty at a time.
const postLanes = 4

// permits asks the state at this instant, and the ears too (rule 5). Before an off:
// a chain sends it again after seconds, and by then the host may have come back; a
// host that switched itself on inside its recovery is the exception. Before
// force-down and evacuate: whoever is heard is not off, whatever its BMC says, and
// the proof is about to be void.
func (c *Controller) permits(a evacuate.Action) (err error) {
	again := false
	w := c.reach()
	c.machine.Locked(func(s *evacuate.State) {
		err = evacuate.PermitsNow(s, &w, c.policy, a)
		if r := s.Recoveries[a.Recovery]; r != nil {
			again = r.Refence
		}
	})
	after := a.Step == evacuate.StepForceDown || a.Step == evacuate.StepEvacuate || a.Step == evacuate.StepReset
	off := a.Step == evacuate.StepFence || a.Step == evacuate.StepFenceStorage
	if err == nil && a.Step.OfGuest() {
		return c.listens(a.Host)
	}
	if err != nil || !after && (!off || again) {
		return err
	}
	// By the operator's own word a host that is heard may be fenced, while it is
	// judged so and no longer.
	if v := c.observer.last()[a.Host]; !after && v.CondemnedAlive() {
		return nil
	}
	var at time.Time
	c.observer.with(func(t *detector.Table) { at, _, _ = t.LastHeard(a.Host) })
	if age := c.clock.Now().Sub(at); age <= c.observer.judge.Silence() {
		return fmt.Errorf("%s was heard %s ago: it is not dead", a.Host, age.Round(100*time.Millisecond))
	}
	return nil
}

// listens says that a host is heard at this instant: what is sent to one that is dying
// waits in its queue, and would be carried out as it comes back.
func (c *Controller) listens(host nova.HostName) error {
	var at time.Time
	c.observer.with(func(t *detector.Table) { at, _, _ = t.LastHeard(host) })
	if age := c.clock.Now().Sub(at); age > c.observer.judge.Silence() {
		return fmt.Errorf("%s was not heard for %s", host, age.Round(100*time.Millisecond))
	}
	return nil
}
