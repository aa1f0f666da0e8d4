package app

import (
	"context"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// preflight reads the BMCs of hosts that live: a BMC that reads on now is one
// that can be believed on the day it matters.
func (v *investigator) preflight(ctx context.Context) {
	if !v.c.leads() {
		return
	}
	now := v.c.clock.Now()
	for host, verdict := range v.c.observer.last() {
		if verdict.State != detector.Healthy && verdict.State != detector.Degraded {
			continue
		}
		if _, ok := v.c.powers.chains[string(host)]; !ok || !v.due(v.flight, host, now, preflightRetry) {
			continue
		}
		v.c.stop.wg.Go(func() {
			rctx, cancel := context.WithTimeout(ctx, fence.CallTimeout)
			defer cancel()
			r, ok := v.c.powers.Peek(rctx, string(host))
			if ok && r.Power == fence.Off {
				v.contradiction(ctx, host)
				return
			}
			if !ok || r.Power != fence.On {
				return
			}
			// The host must have been heard since the reading began.
			if h := v.c.observer.last()[host]; h.State == detector.Healthy || h.State == detector.Degraded {
				v.c.powers.sawOn(string(host), v.c.clock.Now())
				v.mu.Lock()
				v.flight[host] = now.Add(preflightEvery)
				v.mu.Unlock()
			}
		})
	}
}

// contradiction follows a reading of off of a host that is heard. The host may
// just have died: only if it is heard when all that came before the reading is
// too old to count, the BMC lies or speaks of another machine.
func (v *investigator) contradiction(ctx context.Context, host nova.HostName) {
	p := v.c.cfg.Policy
	t := time.NewTimer(time.Duration(p.Missed+2) * p.HeartbeatInterval)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return
	case <-t.C:
	}
	if h := v.c.observer.last()[host]; h.State == detector.Healthy || h.State == detector.Degraded {
		v.c.powers.sawOff(string(host), v.c.clock.Now())
	}
}
