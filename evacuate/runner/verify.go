package runner

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/nova"
)

const (
	// devicesAtOnce is how many questions for volumes and ports are on the wire: other
	// recoveries may be evacuating, and Nova asks Neutron for ports.
	devicesAtOnce = 4
	// deviceTimeout bounds one of them, devicesMost all of them: what is not answered by
	// then is not known.
	deviceTimeout = 5 * time.Second
	devicesMost   = 40 * time.Second
)

// verify reads every moved server once more, and what Nova has attached to it.
func (r *Runner) verify(ctx context.Context, a evacuate.Action, dl Deadline, o *evacuate.Outcome) error {
	seen := &evacuate.Observation{Moved: map[nova.ServerID]nova.Server{}, Gone: map[nova.ServerID]bool{}}
	if err := r.lookAt(ctx, a.Servers, a.Since, seen); err != nil {
		return err
	}
	for id, s := range seen.Moved {
		if s.Host == a.Host {
			return fmt.Errorf("server %s is on %s again", id, a.Host)
		}
	}
	ctx, cancel := bounded(ctx, dl, devicesMost)
	defer cancel()
	o.Reads = r.devices(ctx, a.Servers, seen.Moved)
	return nil
}

// devices reads the volumes and ports of these servers. One without a volume is not asked
// for any.
func (r *Runner) devices(ctx context.Context, ids []nova.ServerID, servers map[nova.ServerID]nova.Server) map[nova.ServerID]evacuate.InstanceRead {
	var (
		mu    sync.Mutex
		wg    sync.WaitGroup
		reads = map[nova.ServerID]evacuate.InstanceRead{}
		turn  = make(chan nova.ServerID)
	)
	for range devicesAtOnce {
		wg.Go(func() {
			for id := range turn {
				in := r.devicesOf(ctx, servers[id])
				mu.Lock()
				reads[id] = in
				mu.Unlock()
			}
		})
	}
	for _, id := range ids {
		if _, moved := servers[id]; moved {
			turn <- id
		}
	}
	close(turn)
	wg.Wait()
	return reads
}

func (r *Runner) devicesOf(ctx context.Context, s nova.Server) evacuate.InstanceRead {
	in := evacuate.InstanceRead{Server: s}
	if r.Devices == nil {
		in.VolumesErr, in.PortsErr = "nobody reads them", "nobody reads them"
		return in
	}
	word := func(err error) string {
		switch {
		case err == nil:
			return ""
		case ctx.Err() != nil:
			return "not read in time"
		}
		return err.Error()
	}
	if s.Volumes > 0 {
		vctx, cancel := context.WithTimeout(ctx, deviceTimeout)
		volumes, err := r.Devices.Volumes(vctx, s.ID)
		cancel()
		in.Volumes, in.VolumesErr = volumes, word(err)
	}
	pctx, cancel := context.WithTimeout(ctx, deviceTimeout)
	ports, err := r.Devices.Ports(pctx, s.ID)
	cancel()
	in.Ports, in.PortsErr = ports, word(err)
	return in
}

// stopAgain sends the one stop that was promised for an instance that was stopped before.
func (r *Runner) stopAgain(ctx context.Context, a evacuate.Action, dl Deadline, o *evacuate.Outcome) error {
	return r.once(ctx, a, dl, o, "stop", fmt.Sprintf("stop %s, which was stopped before", a.Server), func(ctx context.Context) (string, error) {
		return r.Servers.Stop(ctx, a.Server)
	}, "host", a.Host, "recovery", a.Recovery, "step", a.Step, "server", a.Server, "attempt", a.Attempt)
}
