package sim

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/lifeboat-ha/lifeboat/cmd/app"
	"github.com/lifeboat-ha/lifeboat/config"
	"github.com/lifeboat-ha/lifeboat/fence/fencetest"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// machine is one compute host: power, kernel, BMC, agent, nova-compute.
type machine struct {
	cloud  *Cloud
	name   nova.HostName
	domain string
	node   *node
	power  *fencetest.Machine
	bmc    *fencetest.Redfish
	bmcAt  *node // the BMC on the network
	pdu    *fencetest.Redfish
	pduAt  *node
	cfg    *config.Agent
	dog    dog
	virt   *libvirt // of the last agent; nil: none is asked

	mu      sync.Mutex
	boots   int
	epoch   int       // one more with each power-off and crash
	run     *agentRun // nil: none runs
	stays   bool      // no agent is started at boot
	idle    bool      // nor nova-compute
	netless bool      // nor the Neutron agent
	cut     *machine  // whose power its BMC really switches; nil: its own
}

// agentRun is one run of an agent.
type agentRun struct {
	proc  *process
	agent *app.Agent
	ready chan struct{} // closed once started, or given up
	ended chan struct{} // closed when nothing of it is left
}

// bootTakes is how long a machine takes from power to a running agent, and
// computeTakes how much longer to a running nova-compute.
const (
	bootTakes    = 20 * time.Second
	computeTakes = 3 * time.Second
)

func (m *machine) path(name string) string { return filepath.Join(m.cloud.dir, string(m.name), name) }

// newBoot gives the machine the boot id of a kernel that has just started.
func (m *machine) newBoot() error {
	m.mu.Lock()
	m.boots++
	id := fmt.Sprintf("%s-boot-%d\n", m.name, m.boots)
	m.mu.Unlock()
	return os.WriteFile(m.path("boot"), []byte(id), 0o600)
}

func (m *machine) seams(p *process) app.Seams {
	s := app.Seams{Clock: m.node.clock, Network: p, Signer: signer{}, Prober: prober{m.cloud, m.node, p}}
	return m.units(m.libvirt(m.watch(m.cloud.vipSeams(s, string(m.name)), p)))
}

// startAgent starts the agent in the background, after a former one has ended.
func (m *machine) startAgent() {
	m.mu.Lock()
	if m.run != nil || !m.power.On() || m.cloud.closing.Load() {
		m.mu.Unlock()
		return
	}
	r := &agentRun{proc: m.cloud.net.spawn(m.node), ready: make(chan struct{}), ended: make(chan struct{})}
	m.run = r
	m.mu.Unlock()
	m.cloud.work.Go(func() {
		defer close(r.ready)
		a, err := app.NewAgent(m.cfg, m.cloud.log(string(m.name)), m.seams(r.proc))
		if err == nil {
			err = a.Start(context.Background())
		}
		if err != nil {
			m.cloud.note("agent", "the agent of %s did not start: %v", m.name, err)
			return
		}
		r.agent = a
	})
}

// endAgent ends the agent without a word. The rest of it dies in the background.
func (m *machine) endAgent() {
	m.mu.Lock()
	r := m.run
	m.run = nil
	m.mu.Unlock()
	if r == nil {
		return
	}
	r.proc.kill()
	m.cloud.work.Go(func() {
		<-r.ready
		if r.agent != nil {
			_ = r.agent.Kill()
		}
		close(r.ended)
	})
}

// stopAgent ends the agent in order: it tells the controllers.
func (m *machine) stopAgent() {
	m.mu.Lock()
	r := m.run
	m.run = nil
	m.mu.Unlock()
	if r == nil {
		return
	}
	m.cloud.work.Go(func() {
		<-r.ready
		if r.agent != nil {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			_ = r.agent.Stop(ctx)
		}
		r.proc.kill()
		close(r.ended)
	})
}

// powered is what a change of power does, whoever made it.
func (m *machine) powered(on bool) {
	if !on {
		m.down()
		m.dog.stop()
		m.cloud.net.locked(func() { m.node.up = false })
		m.endAgent()
		m.cloud.nova.PowerOff(m.name)
		m.cloud.note("power", "%s is without power", m.name)
		return
	}
	m.cloud.note("power", "%s has power and boots", m.name)
	m.boot(bootTakes)
}

// down ends every boot that is under way.
func (m *machine) down() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.epoch++
}

// boot brings kernel, agent and nova-compute up, unless power goes meanwhile.
func (m *machine) boot(takes time.Duration) {
	m.mu.Lock()
	n := m.epoch
	m.mu.Unlock()
	still := func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.power.On() && m.epoch == n
	}
	m.cloud.work.Go(func() {
		time.Sleep(takes)
		if !still() || m.newBoot() != nil {
			return
		}
		m.cloud.nova.PowerOn(m.name) // the guests that start by themselves do so now
		m.cloud.net.locked(func() { m.node.up = true })
		m.cloud.note("power", "%s is up with a new boot id", m.name)
		m.mu.Lock()
		stays := m.stays
		m.mu.Unlock()
		if !stays {
			m.startAgent()
		}
		time.Sleep(computeTakes)
		m.mu.Lock()
		idle := m.idle
		m.mu.Unlock()
		if still() && !idle {
			m.cloud.nova.RestartCompute(m.name)
		}
	})
}

// reboot is a crash whose kernel starts again by itself, so quickly that nobody
// may have noticed.
func (m *machine) reboot(takes time.Duration) {
	if !m.power.On() {
		return
	}
	m.down()
	m.dog.stop()
	m.cloud.net.locked(func() { m.node.up = false })
	m.endAgent()
	m.cloud.nova.PowerOff(m.name)
	m.cloud.note("power", "%s crashed and boots by itself", m.name)
	m.boot(takes)
}

// hang stops the machine with its power on: nothing answers, and guests may wake.
func (m *machine) hang(yes bool) {
	if yes {
		m.cloud.net.locked(func() { m.node.up = false })
		m.freeze(true)
		return
	}
	if m.power.On() {
		m.cloud.net.locked(func() { m.node.up = true })
	}
	m.freeze(false)
}

// freeze stops everything above the kernel, which goes on to answer.
func (m *machine) freeze(yes bool) {
	p := m.cloud.net.runsOn(m.node)
	if yes {
		if p != nil {
			p.freeze()
		}
		m.cloud.nova.Hang(m.name)
		return
	}
	if p != nil {
		p.thaw()
	}
	m.cloud.nova.Unhang(m.name)
}

func hostAddrs(i int) map[string]netip.Addr {
	at := func(network byte) netip.Addr {
		return netip.AddrFrom4([4]byte{10, network, byte(i / 250), byte(i%250 + 1)})
	}
	return map[string]netip.Addr{Management: at(1), Storage: at(2), Tenant: at(3)}
}

// methods are the host's fencing chain, in the order to try.
func (m *machine) methods() []config.BMC {
	one := func(prefix string) config.BMC {
		return config.BMC{Method: config.MethodRedfish, Address: "https://" + prefix + string(m.name), System: fencetest.SystemPath(string(m.name)),
			Username: "admin", Password: config.Plain(bmcPassword)}
	}
	if m.cloud.setup.PDU {
		return []config.BMC{one("bmc-"), one("pdu-")}
	}
	return []config.BMC{one("bmc-")}
}

// onBus says that nova-compute reaches the message bus, which runs on the
// controllers, and Nova behind it.
func (m *machine) onBus() bool {
	c, bus := m.cloud, false
	c.net.locked(func() {
		for _, v := range c.voters {
			bus = bus || c.net.reaches(m.node, v.node, Management)
		}
		bus = bus && c.net.reaches(m.node, c.novaAt, Management)
	})
	return bus || len(c.voters) == 0
}

// compute starts nova-compute or ends it, for the next boots too.
func (m *machine) compute(runs bool) {
	m.mu.Lock()
	m.idle = !runs
	m.mu.Unlock()
	if runs {
		m.cloud.nova.RestartCompute(m.name)
	} else {
		m.cloud.nova.KillCompute(m.name)
	}
}

// wire connects the BMC to another machine than its own, as a wrong inventory does.
func (m *machine) wire(to *machine) {
	m.mu.Lock()
	m.cut = to
	m.mu.Unlock()
	m.bmc.Rewire(to.power)
}

// switches is the machine whose power the BMC really switches.
func (m *machine) switches() *machine {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cut != nil {
		return m.cut
	}
	return m
}
