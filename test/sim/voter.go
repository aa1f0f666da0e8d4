package sim

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"

	"github.com/lifeboat-ha/lifeboat/cmd/app"
	"github.com/lifeboat-ha/lifeboat/config"
	"github.com/lifeboat-ha/lifeboat/evacuate/ledger"
	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/fence/redfish"
)

// voter is one controller's machine.
type voter struct {
	cloud *Cloud
	id    string
	node  *node
	cfg   *config.Controller
	disk  ledger.Stores

	mu   sync.Mutex
	bare bool // it starts with an empty disk
	run  *voterRun
	last *voterRun // the newest, ended or not
}

// voterRun is one run of a controller.
type voterRun struct {
	proc  *process
	ctl   *app.Controller
	ended chan struct{}
}

func voterAddr(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 1, 255, byte(i + 1)}) }

// start starts the controller, after a former run of it has ended entirely: two
// of them would share one disk.
func (v *voter) start() error {
	v.mu.Lock()
	last, running := v.last, v.run != nil
	v.mu.Unlock()
	if running {
		return nil
	}
	if last != nil {
		<-last.ended
	}
	if err := v.clear(); err != nil {
		return err
	}
	p := v.cloud.net.spawn(v.node)
	r := &voterRun{proc: p, ended: make(chan struct{})}
	ctl, err := app.NewController(v.cfg, v.cloud.log(v.id), v.cloud.vipSeams(app.Seams{
		Clock: v.node.clock, Network: p, Signer: signer{}, Stores: v.disk, Prober: prober{v.cloud, v.node, p},
		Nova: novaPath{v, p}, Method: v.method(p), Storage: v.program(p),
		Crash: func(point string) { v.cloud.reached(v, r, point) },
		Fatal: func(err error) { v.cloud.fatal(v, r, err) },
	}, v.id))
	if err != nil {
		p.kill()
		return fmt.Errorf("make controller %s: %w", v.id, err)
	}
	r.ctl = ctl
	v.mu.Lock()
	if v.cloud.closing.Load() {
		v.mu.Unlock()
		p.kill()
		return nil
	}
	v.run, v.last = r, r
	v.mu.Unlock()
	if err := ctl.Start(context.Background()); err != nil {
		p.kill()
		close(r.ended)
		v.mu.Lock()
		v.run = nil
		v.mu.Unlock()
		return fmt.Errorf("start controller %s: %w", v.id, err)
	}
	return nil
}

// method makes Redfish methods whose BMCs are those of the simulation.
func (v *voter) method(p *process) seamMethod {
	return func(host string, b config.BMC, now nowFunc) (fence.Method, error) {
		m := v.cloud.byName[host]
		return redfish.New(redfish.Options{Address: b.Address, System: b.System, Username: b.Username, Password: b.Password.Reveal(),
			Insecure: true, Client: bmcClient(v, p, m, b.Address), Now: now})
	}
}

// wipe kills the controller; what it knew is lost.
func (v *voter) wipe() {
	v.kill()
	v.mu.Lock()
	v.bare = true
	v.mu.Unlock()
	v.cloud.watch.wiped(v.id)
}

// clear empties the disk before a start, if it was lost.
func (v *voter) clear() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.bare {
		return nil
	}
	v.bare, v.disk = false, ledger.Memory()
	uuid, err := os.ReadFile(v.path("uuid")) // the machine is the same
	if err != nil {
		return err
	}
	if err := os.RemoveAll(v.path("")); err != nil {
		return err
	}
	if err := os.MkdirAll(v.path(""), 0o700); err != nil {
		return err
	}
	return os.WriteFile(v.path("uuid"), uuid, 0o600)
}

// kill ends the controller as SIGKILL does.
func (v *voter) kill() { v.end(true) }

// stop ends it in order: it hands leadership over.
func (v *voter) stop() { v.end(false) }

func (v *voter) end(kill bool) {
	v.mu.Lock()
	r := v.run
	v.run = nil
	v.mu.Unlock()
	if r == nil {
		return
	}
	if kill {
		r.proc.kill()
	}
	v.cloud.work.Go(func() {
		defer close(r.ended)
		if kill {
			_ = r.ctl.Kill()
			return
		}
		_ = r.ctl.Stop()
		r.proc.kill()
	})
}

// current is the run that is under way, nil if none is.
func (v *voter) current() *voterRun {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.run
}

// newest is the run that is under way, or else the last one, which may still stop.
func (v *voter) newest() *voterRun {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.last
}

// alive says that it runs and is not frozen.
func (v *voter) alive() bool {
	r := v.current()
	if r == nil {
		return false
	}
	yes := false
	v.cloud.net.locked(func() { yes = r.proc.runs() && v.node.up })
	return yes
}

func (v *voter) path(name string) string { return filepath.Join(v.cloud.dir, v.id, name) }
