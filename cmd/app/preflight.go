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
	v.abroad(ctx)
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
			if len(off) > 0 {
				v.contradiction(ctx, host, off)
			}
		})
	}
}

func lives(v detector.Verdict) bool {
	return v.State.Lives()
}

// lookAhead asks each of one host's methods, and gives those that read off.
func (v *investigator) lookAhead(ctx context.Context, host nova.HostName, began time.Time) (off []int) {
	p := v.c.powers
	found, whole := p.survey(ctx, string(host))
	// The host must have been heard since the readings began.
	if !lives(v.c.observer.last()[host]) {
		return nil
	}
	standings, _ := v.c.vet(string(host))
	on := false
	for _, x := range found {
		switch {
		case wrong(standings[x.i]): // what it reads is another machine's
		case x.reading.Power == fence.On:
			p.linkOn(string(host), x.i, v.c.clock.Now())
			on = true
		case x.reading.Power == fence.Off:
			off = append(off, x.i)
		}
	}
	if len(off) > 0 || !on {
		return off
	}
	p.sawOn(string(host), v.c.clock.Now())
	next := preflightEvery - rand.N(preflightEvery/10) // spread over the round
	if !whole {
		next = preflightPart
	}
	v.mu.Lock()
	v.flight[host] = began.Add(next)
	v.mu.Unlock()
	return nil
}

// contradiction follows readings of off of a host that is heard. The host may
// just have died: only if it is heard when all that came before the readings is
// too old to count, the methods lie or speak of another machine.
func (v *investigator) contradiction(ctx context.Context, host nova.HostName, off []int) {
	p := v.c.cfg.Policy
	if v.c.clock.Sleep(ctx, time.Duration(p.Missed+2)*p.HeartbeatInterval) != nil {
		return
	}
	if !lives(v.c.observer.last()[host]) {
		return
	}
	now := v.c.clock.Now()
	for _, i := range off {
		v.c.powers.linkOff(string(host), i, now)
	}
	v.c.powers.sawOff(string(host), now)
}
