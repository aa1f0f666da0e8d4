package app

import (
	"context"
	"slices"
	"time"

	"github.com/lifeboat-ha/lifeboat/config"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/nova"
)

const (
	// roomsEvery is how often the leader reads what is left on the hosts, roomsBusy
	// while some host is down or being evacuated.
	roomsEvery = 30 * time.Second
	roomsBusy  = 3 * time.Second
)

// lookAtRooms keeps the leader's sight of Placement fresh: one call.
func (c *Controller) lookAtRooms(ctx context.Context) {
	if !c.leads() {
		return
	}
	every := roomsEvery
	c.machine.Locked(func(s *evacuate.State) {
		for _, r := range s.Recoveries {
			if r.Status == evacuate.StatusOpen {
				every = roomsBusy
			}
		}
	})
	for _, v := range c.observer.last() {
		if v.Down() {
			every = roomsBusy // its gate asks
		}
	}
	if err := c.cloud.lookAtRooms(ctx, every); err != nil && ctx.Err() == nil {
		c.log.Warn("Placement does not tell what is left on the hosts", "reason", err)
	}
}

func (c *cloud) lookAtRooms(ctx context.Context, every time.Duration) error {
	c.mu.Lock()
	due := !c.now().Before(c.roomsDue.Add(every))
	c.mu.Unlock()
	if !due {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, novaTimeout)
	defer cancel()
	at := c.now()
	cl, err := c.connected(ctx)
	if err == nil {
		rooms, rerr := cl.Rooms(ctx)
		if err = rerr; err == nil {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.rooms, c.roomsDue = evacuate.RoomSight{At: at, By: rooms}, at
			return nil
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rooms.Err, c.roomsDue = err.Error(), at
	return err
}

// room is the last look at Placement.
func (c *cloud) room() evacuate.RoomSight {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rooms
}

// reservedOf lists the hosts that are kept for failures, in order.
func reservedOf(hosts []config.Host) (out []nova.HostName) {
	kept := slices.DeleteFunc(slices.Clone(hosts), func(h config.Host) bool { return h.Reserved == 0 })
	slices.SortStableFunc(kept, func(a, b config.Host) int { return a.Reserved - b.Reserved })
	for _, h := range kept {
		out = append(out, nova.HostName(h.Name))
	}
	return out
}

// spare is how many more failures there is room for; it costs a walk over all
// instances, so it is made where it is shown, once for each look at Placement.
func (c *Controller) spare() *evacuate.Spare {
	if !c.leads() {
		return nil
	}
	c.cloud.mu.Lock()
	known, of := c.cloud.spare, c.cloud.spareOf
	c.cloud.mu.Unlock()
	if rooms := c.cloud.room(); known != nil && of.At.Equal(rooms.At) && rooms.Known(c.clock.Now()) && of.Err == rooms.Err {
		return known
	}
	sight, servers := c.cloud.seen()
	w := evacuate.World{Now: c.clock.Now(), Nova: sight, Servers: servers, Rooms: c.cloud.room(), Storage: c.storages(sight), Domains: c.domains(sight), Reserved: c.reserved, Cells: c.cells}
	s := evacuate.SpareOf(&w, c.policy)
	c.cloud.mu.Lock()
	defer c.cloud.mu.Unlock()
	c.cloud.spare, c.cloud.spareOf = &s, w.Rooms
	return &s
}
