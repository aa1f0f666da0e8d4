package sim

import (
	"net/netip"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector/gossip"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// What a benchmark asks of a running cloud, beside playing a scenario.

// Do carries out one line of a scenario's faults, now.
func (c *Cloud) Do(text string) error {
	o, err := readOrder(text, c.setup.names())
	if err != nil {
		return err
	}
	c.perform(o)
	return nil
}

// Pick gives the machines that an expression of a scenario names.
func (c *Cloud) Pick(expr string) ([]string, error) { return c.pick(expr) }

// Now is the time since the scenario's zero.
func (c *Cloud) Now() time.Duration { return c.now() }

// Beside gives a host's management address and the sockets of its agent's process:
// what runs on them freezes, hangs and dies with that agent. Nil if none runs.
func (c *Cloud) Beside(host string) (netip.Addr, gossip.Sockets) {
	m := c.byName[host]
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.run == nil {
		return netip.Addr{}, nil
	}
	return m.node.addrs[Management], m.run.proc
}

// Decision is a recovery that was opened: the ledger has committed it.
type Decision struct {
	At     time.Duration // after the scenario's zero
	Reason string        // of the verdict
}

// Decided gives the first decision about each host.
func (c *Cloud) Decided() map[nova.HostName]Decision {
	out := map[nova.HostName]Decision{}
	l := c.leader()
	if l == nil {
		return out
	}
	l.ctl.Locked(func(s *evacuate.State) {
		for _, r := range s.Sorted() {
			at := r.Opened.Sub(c.net.origin) - time.Duration(c.zero.Load())
			if was, ok := out[r.Host]; !ok || at < was.At {
				out[r.Host] = Decision{at, string(r.Reason)}
			}
		}
	})
	return out
}

// Opinions are the changes of the leader's verdicts so far.
func (c *Cloud) Opinions() []Verdict { return c.watch.opinionsSoFar() }

// Fenced are the hosts whose BMC was sent off.
func (c *Cloud) Fenced() []string { return c.watch.fenced() }

// Broken are the invariants that were broken so far.
func (c *Cloud) Broken() []string { return c.watch.broke() }
