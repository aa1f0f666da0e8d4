package app

import (
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/detector/heartbeat"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// wordFresh is how old a host's word on its watchdog may be to be committed.
const wordFresh = 3 * time.Second

// reportTakes is how long a report may have been under way.
const reportTakes = 2 * time.Second

// word is what each acknowledgement tells its host.
func (c *Controller) word(host nova.HostName, start string) (w heartbeat.Word) {
	c.machine.Locked(func(s *evacuate.State) {
		h := s.Hosts[host]
		if h == nil {
			return
		}
		w.Watch = h.MayWatch
		if h.Watchdog != nil && h.Watchdog.Start == start {
			w.Noted = h.Watchdog.Serial
		}
	})
	if w.Owners = c.vips.owners(); w.Owners != nil {
		if o := c.vips.restarts.order(host); o != nil {
			w.Restart = o.ID
		}
	}
	if len(c.vips.vips) > 0 { // a follower permits, too: a broken way may be the one to the leader
		reach := c.reach()
		c.machine.Locked(func(s *evacuate.State) { w.Mend = evacuate.MayWatch(host, s, reach, c.policy) })
	}
	return w
}

// rememberWatchdog notes what a host says of its watchdog, and whether it may have
// one. Nobody relies on what does not stand in the ledger.
func (c *Controller) rememberWatchdog(s *evacuate.State, h *evacuate.Host, x *evacuate.HostSeen, now time.Time) (changed bool) {
	var said *detector.Watchdog
	var boot, start string
	var at time.Time
	c.observer.with(func(t *detector.Table) { said, boot, start, at = t.Watchdog(h.Name) })
	old := h.Watchdog
	if said != nil && now.Sub(at) <= wordFresh && (old == nil || old.Boot != boot || old.Start != start || old.Serial != said.Serial) {
		x.Watchdog, changed = &evacuate.Watchdog{Watchdog: *said, Boot: boot, Start: start}, true
	}
	if said == nil && old == nil {
		return changed
	}
	if may := evacuate.MayWatch(h.Name, s, c.reach(), c.policy); may != h.MayWatch {
		x.MayWatch, changed = &may, true
	}
	return changed
}

// watchdogs gathers the evidence on the watchdogs of hosts that are being fenced.
func (c *Controller) watchdogs(s *evacuate.State) map[nova.HostName]evacuate.WatchdogSight {
	out := map[nova.HostName]evacuate.WatchdogSight{}
	var claims []fence.Claim
	now := c.clock.Now()
	for _, r := range s.Recoveries {
		if _, proved := r.Proved(); r.Status != evacuate.StatusOpen || proved {
			continue
		}
		if claims == nil {
			claims = c.claims()
		}
		e, err := s.Covered(r.Host).Expiry(string(r.Host), r.Boot, c.hearings(r.Host, now), claims, now)
		if err != nil {
			out[r.Host] = evacuate.WatchdogSight{Lack: err.Error()}
			continue
		}
		out[r.Host] = evacuate.WatchdogSight{Expiry: &e}
	}
	return out
}

func (c *Controller) claims() []fence.Claim {
	all := []fence.Claim{}
	c.observer.with(func(t *detector.Table) {
		for _, cl := range t.LeaseClaims() {
			all = append(all, fence.Claim{Host: string(cl.Host), From: cl.From, To: cl.To})
		}
	})
	return all
}

// hearings are every controller's. What a follower reports was so a report's way ago
// at the earliest and just now at the latest: both ends err on the careful side.
func (c *Controller) hearings(host nova.HostName, now time.Time) []fence.Hearing {
	var all []fence.Hearing
	c.observer.with(func(t *detector.Table) {
		for _, h := range t.LeaseHearings(host) {
			x := fence.Hearing{Controller: string(h.Controller), Boot: h.Boot, Start: h.Start, Heard: h.Heard}
			if x.Until = h.Reported; h.Controller == c.observer.id {
				x.Until = now
			} else {
				x.Heard, x.Until = x.Heard.Add(reportTakes), x.Until.Add(-reportTakes)
			}
			if x.Until.Before(x.Heard) {
				x.Until = x.Heard
			}
			all = append(all, x)
		}
	})
	return all
}
