package app

import (
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/detector/kdump"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// dumps is what this controller and the others heard of crashed kernels. A
// kernel may reach one controller only, so followers tell the leader.
type dumps struct {
	mu       sync.Mutex
	listener *kdump.Listener
	others   map[detector.Observer]map[nova.HostName]kdump.Sight
}

// dumpAge is a dump in a report: ages travel, not times.
type dumpAge struct {
	First time.Duration `json:"first"`
	Last  time.Duration `json:"last"`
}

// listenForDumps opens the ear for crashed kernels where it is configured.
func (c *Controller) listenForDumps() error {
	if !c.cfg.Kdump.Listen.IsValid() {
		return nil
	}
	conn, err := c.seams.listenPacket(c.cfg.Kdump.Listen)
	if err != nil {
		return fmt.Errorf("listen for dumps: %w", err)
	}
	hosts := map[netip.Addr]nova.HostName{}
	for name, list := range c.addresses {
		for _, a := range list {
			hosts[a.Addr.Unmap()] = name
		}
	}
	l, err := kdump.Listen(kdump.Options{Conn: conn, Hosts: hosts, Quiet: c.policy.KdumpQuiet, Now: c.clock.Now, Log: c.log})
	if err != nil {
		_ = conn.Close()
		return err
	}
	c.stop.onStop("listening for dumps", l.Close)
	c.dumps.mu.Lock()
	defer c.dumps.mu.Unlock()
	c.dumps.listener = l
	return nil
}

// ages is what this controller itself heard.
func (d *dumps) ages(now time.Time) map[nova.HostName]dumpAge {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.listener == nil {
		return nil
	}
	out := map[nova.HostName]dumpAge{}
	for host, s := range d.listener.Sights() {
		out[host] = dumpAge{now.Sub(s.First), now.Sub(s.Last)}
	}
	return out
}

// merge takes what another controller heard.
func (d *dumps) merge(from detector.Observer, ages map[nova.HostName]dumpAge, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.others == nil {
		d.others = map[detector.Observer]map[nova.HostName]kdump.Sight{}
	}
	if len(ages) == 0 {
		delete(d.others, from)
		return
	}
	heard := map[nova.HostName]kdump.Sight{}
	for host, a := range ages {
		heard[host] = kdump.Sight{First: now.Add(-a.First), Last: now.Add(-a.Last)}
	}
	d.others[from] = heard
}

// sight joins what all controllers heard. A sight whose messages have long ended
// says nothing about another's.
func (d *dumps) sight(now time.Time, quiet time.Duration) evacuate.KdumpSight {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := evacuate.KdumpSight{Listening: d.listener != nil, Dumps: map[nova.HostName]evacuate.Dump{}}
	join := func(sights map[nova.HostName]kdump.Sight) {
		for host, s := range sights {
			before, known := out.Dumps[host]
			if now.Sub(s.Last) >= quiet {
				continue
			}
			if known && before.First.Before(s.First) {
				s.First = before.First
			}
			if known && before.Last.After(s.Last) {
				s.Last = before.Last
			}
			out.Dumps[host] = evacuate.Dump{First: s.First, Last: s.Last}
		}
	}
	if d.listener != nil {
		join(d.listener.Sights())
	}
	for _, sights := range d.others {
		join(sights)
	}
	return out
}
