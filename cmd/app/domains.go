package app

import (
	"context"
	"slices"
	"time"

	"github.com/lifeboat-ha/lifeboat/config"
	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// domainsOf maps the configured domains of each host.
func domainsOf(hosts []config.Host) map[nova.HostName][]evacuate.Domain {
	out := map[nova.HostName][]evacuate.Domain{}
	for _, h := range hosts {
		name := nova.HostName(h.Name)
		if h.Domain != "" {
			out[name] = append(out[name], evacuate.Domain{Kind: evacuate.DomainVotes, Name: h.Domain})
		}
		for kind, domain := range h.Domains {
			out[name] = append(out[name], evacuate.Domain{Kind: kind, Name: domain})
		}
	}
	return out
}

// cellsOf are those of Nova's cells that the hosts name.
func cellsOf(hosts []config.Host) map[nova.HostName]string {
	out := map[nova.HostName]string{}
	for _, h := range hosts {
		if h.Cell != "" {
			out[nova.HostName(h.Name)] = h.Cell
		}
	}
	return out
}

// domains are the configured ones, and Nova's where the policy limits them.
func (c *Controller) domains(sight evacuate.NovaSight) map[nova.HostName][]evacuate.Domain {
	_, zones := c.policy.StormDomains[evacuate.DomainZone]
	_, aggregates := c.policy.StormDomains[evacuate.DomainAggregate]
	if !zones && !aggregates {
		return c.places
	}
	out := make(map[nova.HostName][]evacuate.Domain, len(c.places))
	for host, d := range c.places {
		out[host] = slices.Clip(d)
	}
	if zones {
		for host, s := range sight.Services {
			out[host] = append(out[host], evacuate.Domain{Kind: evacuate.DomainZone, Name: s.Zone})
		}
	}
	if aggregates {
		for _, a := range sight.Aggregates {
			for _, host := range a.Hosts {
				out[host] = append(out[host], evacuate.Domain{Kind: evacuate.DomainAggregate, Name: a.Name})
			}
		}
	}
	return out
}

// storages are the hosts' own as configured, else their aggregates', else the cloud's.
func (c *Controller) storages(sight evacuate.NovaSight) map[nova.HostName]evacuate.Storage {
	return evacuate.Storages(c.storage, evacuate.Storage(c.cfg.Policy.Storage), sight.Aggregates)
}

// needsAggregates says that a gate looks at Nova's aggregates.
func needsAggregates(p evacuate.Policy) bool {
	_, asked := p.StormDomains[evacuate.DomainAggregate]
	return asked || p.Aggregates || p.Chooses() || p.Destinations == evacuate.DestinationsSpread
}

const (
	// aggregatesEvery is how often the list of aggregates is read, aggregatesRetry
	// the pause after it could not be.
	aggregatesEvery = time.Minute
	aggregatesRetry = 15 * time.Second
)

// lookAtAggregates keeps the leader's list of aggregates fresh.
func (c *Controller) lookAtAggregates(ctx context.Context) {
	if !c.leads() || !needsAggregates(c.policy) && !c.aggregateModes() {
		return
	}
	if err := c.cloud.lookAtAggregates(ctx); err != nil && ctx.Err() == nil {
		c.log.Warn("aggregates not listed", "reason", err)
	}
}

func (c *cloud) lookAtAggregates(ctx context.Context) error {
	c.mu.Lock()
	due := !c.now().Before(c.aggregatesDue)
	c.mu.Unlock()
	if !due {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, novaTimeout)
	defer cancel()
	cl, err := c.connected(ctx)
	var list []nova.Aggregate
	if err == nil {
		list, err = cl.Aggregates(ctx)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.aggregatesErr, c.aggregatesDue = err.Error(), c.now().Add(aggregatesRetry)
		return err
	}
	c.aggregatesDue = c.now().Add(aggregatesEvery)
	c.aggregates, c.aggregatesAt, c.aggregatesErr = list, c.now(), ""
	return nil
}

// mayFall says that all that is down is in one domain that may fall as a whole:
// its BMCs are asked in a storm too, for only what reads off is recovered so.
func (c *Controller) mayFall(verdicts map[nova.HostName]detector.Verdict) bool {
	var down []nova.HostName
	for host, v := range verdicts {
		if v.Down() {
			down = append(down, host)
		}
	}
	slices.Sort(down)
	sight, _ := c.cloud.seen()
	return c.policy.MayFall(down, c.domains(sight))
}
