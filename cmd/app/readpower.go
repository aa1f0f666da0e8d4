package app

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// bmcReads is how many BMCs are read at once as evidence.
const bmcReads = 32

// turn orders the hosts whose BMC is due: the one that was read longest ago comes first,
// for where a rack dies there are more than are read at once.
func (v *investigator) turn(hosts []nova.HostName, now time.Time) []nova.HostName {
	v.mu.Lock()
	defer v.mu.Unlock()
	hosts = slices.DeleteFunc(hosts, func(h nova.HostName) bool { return v.power[h] || now.Before(v.read[h].Add(investigateEvery)) })
	slices.SortFunc(hosts, func(a, b nova.HostName) int {
		return cmp.Or(v.read[a].Compare(v.read[b]), cmp.Compare(a, b))
	})
	return hosts
}

// readPower begins to read a suspect's BMC, unless as many are read as may be at once.
func (v *investigator) readPower(ctx context.Context, host nova.HostName, now time.Time) bool {
	select {
	case v.slots <- struct{}{}:
	default:
		return false
	}
	v.mu.Lock()
	v.power[host], v.read[host] = true, now
	v.mu.Unlock()
	v.c.stop.wg.Go(func() {
		defer func() {
			v.mu.Lock()
			delete(v.power, host)
			v.mu.Unlock()
			<-v.slots
		}()
		v.readTwice(ctx, host)
	})
	return true
}

// readTwice reads a BMC: off twice is the fast path.
func (v *investigator) readTwice(ctx context.Context, host nova.HostName) {
	ctx, cancel := context.WithTimeout(ctx, fence.CallTimeout)
	defer cancel()
	for range 2 { // an off is believed when it is read twice, a second apart
		r, ok := v.c.powers.Peek(ctx, string(host))
		if !ok {
			return
		}
		r = v.c.orByHand(ctx, host, r)
		v.c.observer.with(func(t *detector.Table) { t.Power(powerReading(host, r)) })
		if r.Power != fence.Off || v.c.clock.Sleep(ctx, fence.MinSpacing) != nil {
			return
		}
	}
}

// justRead spares a BMC that was read less than a second ago.
func (o *observer) justRead(host nova.HostName, now time.Time) bool {
	v, ok := o.last()[host]
	return ok && len(v.View.Power) > 0 && now.Sub(v.At)+v.View.Power[0].Age < time.Second
}
