package app

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
)

const (
	// preflightStarts bounds how many BMCs a second are looked at, preflightAtOnce
	// how many at a time: a new leader asks about all hosts.
	preflightStarts = 25
	preflightAtOnce = 32
)

// preflight reads the BMCs of hosts that live: a BMC that reads on now, and says
// which machine it switches, is one that can be believed on the day it matters.
func (v *investigator) preflight(ctx context.Context) {
	if !v.c.leads() {
		return
	}
	now, started := v.c.clock.Now(), 0
	for host, verdict := range v.c.observer.last() {
		if started >= preflightStarts {
			return
		}
		if !lives(verdict) {
			continue
		}
		if _, ok := v.c.powers.chains[string(host)]; !ok || v.c.untouched(host) {
			continue
		}
		select {
		case v.flights <- struct{}{}:
		default:
			return
		}
		if !v.due(v.flight, host, now, preflightRetry) {
			<-v.flights
			continue
		}
		started++
		v.c.stop.wg.Go(func() {
			off := v.lookAhead(ctx, host, now)
			<-v.flights
			if off {
				v.contradiction(ctx, host)
			}
		})
	}
}

func lives(v detector.Verdict) bool {
	return v.State == detector.Healthy || v.State == detector.Degraded
}

// lookAhead asks one host's BMC, and says that it reads off.
func (v *investigator) lookAhead(ctx context.Context, host nova.HostName, began time.Time) (off bool) {
	known := v.c.powers.identify(ctx, string(host))
	rctx, cancel := context.WithTimeout(ctx, fence.CallTimeout)
	defer cancel()
	r, ok := v.c.powers.Peek(rctx, string(host))
	if !ok || r.Power != fence.On {
		return ok && r.Power == fence.Off
	}
	// The host must have been heard since the reading began.
	if !lives(v.c.observer.last()[host]) {
		return false
	}
	v.c.powers.sawOn(string(host), v.c.clock.Now())
	next := preflightEvery - rand.N(preflightEvery/10) // spread over the round
	if !known {
		next = preflightRetry * 2
	}
	v.mu.Lock()
	v.flight[host] = began.Add(next)
	v.mu.Unlock()
	return false
}

// contradiction follows a reading of off of a host that is heard. The host may
// just have died: only if it is heard when all that came before the reading is
// too old to count, the BMC lies or speaks of another machine.
func (v *investigator) contradiction(ctx context.Context, host nova.HostName) {
	p := v.c.cfg.Policy
	if v.c.clock.Sleep(ctx, time.Duration(p.Missed+2)*p.HeartbeatInterval) != nil {
		return
	}
	if lives(v.c.observer.last()[host]) {
		v.c.powers.sawOff(string(host), v.c.clock.Now())
	}
}
