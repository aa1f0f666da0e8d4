package runner_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/evacuate/runner"
	"github.com/lifeboat-ha/lifeboat/nova"
	"github.com/lifeboat-ha/lifeboat/nova/novatest"
)

// TestStopAgain: the one stop is a write like any other, and what Nova answers is told.
func TestStopAgain(t *testing.T) {
	stop := func(s *stage, id nova.ServerID) evacuate.Outcome {
		return s.do(s.action(evacuate.StepStop, func(a *evacuate.Action) { a.Server = id }))
	}
	promised := func(s *stage, id nova.ServerID) {
		s.state.Recoveries["r1"].Evacuations = []*evacuate.Evacuation{{Server: id, State: evacuate.EvacDone, Stop: evacuate.StopSent, Stops: 1}}
	}
	onStage(t, func(s *stage) {
		id := s.cloud.Boot("cmp2", 1)[0]
		if o := stop(s, id); o.OK || !o.Definite || len(s.writes()) != 0 {
			t.Errorf("not promised: %+v, %q", o, s.writes())
		}
		promised(s, id)
		if o := stop(s, id); !o.OK || len(s.writes()) != 1 || !strings.Contains(s.writes()[0], "os-stop") || o.RequestID == "" {
			t.Errorf("%+v, %q", o, s.writes())
		}
		if o := stop(s, id); o.OK || !o.Definite || o.Cause != string(nova.FaultConflict) {
			t.Errorf("stopped already: %+v", o)
		}
	})
	onStage(t, func(s *stage) {
		id := s.cloud.Boot("cmp2", 1)[0]
		promised(s, id)
		s.quorum.set(func(q *quorum) { q.err = errors.New("no quorum") })
		if o := stop(s, id); o.OK || !o.Definite || len(s.writes()) != 0 {
			t.Errorf("stopped without a quorum: %q", s.writes())
		}
	})
}

// TestVerifyAtOnce: however many instances, Nova is asked for few of their devices at once,
// and for the volumes of those that have some.
func TestVerifyAtOnce(t *testing.T) {
	onStage(t, func(s *stage) {
		ids := s.cloud.Boot("cmp2", 20)
		with := s.cloud.Boot("cmp3", 1, novatest.BootOptions{FromVolume: true, Volumes: 2})
		s.cloud.Detach(with[0], 1)
		d := &counted{Devices: s.client}
		s.runner.Devices = d
		o := s.do(s.action(evacuate.StepVerify, func(a *evacuate.Action) { a.Servers = append(ids, with...) }))
		if !o.OK || len(o.Reads) != 21 || d.most > 4 || d.volumes != 1 || d.ports != 21 {
			t.Errorf("%t, %d read, %d at once, %d and %d questions", o.OK, len(o.Reads), d.most, d.volumes, d.ports)
		}
		if v := o.Reads[with[0]].Volumes; len(v) != 2 || !v[0].Told || v[0].Attachment != "" || v[1].Attachment == "" {
			t.Errorf("%+v", v)
		}
	})
}

type counted struct {
	runner.Devices
	mu                        sync.Mutex
	now, most, volumes, ports int
}

func (c *counted) enter(which *int) func() {
	c.mu.Lock()
	defer c.mu.Unlock()
	*which, c.now = *which+1, c.now+1
	c.most = max(c.most, c.now)
	return func() {
		time.Sleep(100 * time.Millisecond)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.now--
	}
}

func (c *counted) Volumes(ctx context.Context, id nova.ServerID) ([]nova.Volume, error) {
	defer c.enter(&c.volumes)()
	return c.Devices.Volumes(ctx, id)
}

func (c *counted) Ports(ctx context.Context, id nova.ServerID) ([]nova.Port, error) {
	defer c.enter(&c.ports)()
	return c.Devices.Ports(ctx, id)
}
