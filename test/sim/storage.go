package sim

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/lifeboat-ha/lifeboat/cmd/app"
	"github.com/lifeboat-ha/lifeboat/config"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	agents "github.com/lifeboat-ha/lifeboat/fence/command"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// shelf is the storage of all hosts, which the operator's program takes away.
type shelf struct {
	mu  sync.Mutex
	how string // fails, hangs; "": well
	cut map[string]bool
}

const (
	shelfProgram = "/usr/local/sbin/cut-storage"
	shelfTakes   = time.Second
)

// program is the operator's, as one controller's process calls it.
type program struct {
	v *voter
	p *process
}

func (v *voter) program(p *process) func(config.StorageFence) (app.StorageProgram, error) {
	return func(config.StorageFence) (app.StorageProgram, error) { return program{v, p}, nil }
}

// Name is the program's.
func (x program) Name() string { return "cut-storage" }

// Fence takes a host's storage away.
func (x program) Fence(ctx context.Context, m agents.Machine) error {
	x.v.cloud.watch.acts(x.v, "takes the storage of "+m.Host+" away")
	return x.call(ctx, m, true)
}

// Unfence gives it back.
func (x program) Unfence(ctx context.Context, m agents.Machine) error {
	x.v.cloud.watch.acts(x.v, "gives "+m.Host+" its storage back")
	return x.call(ctx, m, false)
}

// Gone says what is so.
func (x program) Gone(_ context.Context, m agents.Machine) (bool, error) {
	c := x.v.cloud
	c.shelf.mu.Lock()
	defer c.shelf.mu.Unlock()
	return c.shelf.cut[m.Host], nil
}

func (x program) call(ctx context.Context, m agents.Machine, cut bool) error {
	c := x.v.cloud
	c.shelf.mu.Lock()
	how := c.shelf.how
	c.shelf.mu.Unlock()
	takes := shelfTakes
	if how == "hangs" {
		takes = time.Hour
	}
	t := time.NewTimer(takes)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return fmt.Errorf("cut-storage: no answer in time: %w", ctx.Err())
	case <-t.C:
	}
	dead := false
	c.net.locked(func() { dead = !x.p.runs() })
	if dead || how == "fails" { // with its controller the program is killed too
		return errors.New("cut-storage: code 1: the cluster does not answer")
	}
	c.shelf.mu.Lock()
	changed := c.shelf.cut[m.Host] != cut
	if c.shelf.cut == nil {
		c.shelf.cut = map[string]bool{}
	}
	c.shelf.cut[m.Host] = cut
	c.shelf.mu.Unlock()
	if changed {
		c.note("storage", "the storage of %s is %s", m.Host, map[bool]string{true: "taken away", false: "given back"}[cut])
	}
	return nil
}

// stored holds that no instance leaves a host that still has its storage.
func (w *watch) stored(v *voter, path string) {
	parts := strings.Split(path, "/")
	r := v.newest()
	if !w.cloud.setup.StorageFence || w.cloud.policy.Proofs.Storage == "optional" || r == nil || len(parts) < 2 {
		return
	}
	id, host := nova.ServerID(parts[len(parts)-2]), ""
	r.ctl.Locked(func(s *evacuate.State) {
		for _, x := range s.Sorted() {
			if e := x.Evacuation(id); e != nil && e.State == evacuate.EvacIntent {
				host = string(x.Host)
			}
		}
	})
	w.cloud.shelf.mu.Lock()
	cut := w.cloud.shelf.cut[host]
	w.cloud.shelf.mu.Unlock()
	if !cut {
		w.broken("never an evacuation before the storage of its host is gone: %s leaves %s", id, host)
	}
}

var shelfWords = map[string]string{"fails": "fails", "hangs": "hangs", "well": ""}

func isStorage(_ names, o order) error {
	if len(o.args) != 1 {
		return errors.New("how?")
	}
	if _, ok := shelfWords[o.args[0]]; !ok {
		return fmt.Errorf("%q is none of fails, hangs, well", o.args[0])
	}
	return nil
}

func storageFault(c *Cloud, o order) (func(), error) {
	set := func(how string) {
		c.shelf.mu.Lock()
		defer c.shelf.mu.Unlock()
		c.shelf.how = how
	}
	set(shelfWords[o.args[0]])
	return func() { set("") }, nil
}
