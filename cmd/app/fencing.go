package app

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/lifeboat-ha/lifeboat/config"
	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/fence/command"
	"github.com/lifeboat-ha/lifeboat/fence/ipmi"
	"github.com/lifeboat-ha/lifeboat/fence/pdu"
	"github.com/lifeboat-ha/lifeboat/fence/redfish"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// newMethod gives what makes fencing methods: a new kind is one case here and one
// folder in fence/. Each fence agent is asked for its metadata once.
func newMethod() func(host string, b config.BMC, now func() time.Time) (fence.Method, error) {
	agents := &command.Agents{}
	return func(_ string, b config.BMC, now func() time.Time) (fence.Method, error) {
		return makeMethod(agents, b, now)
	}
}

func makeMethod(agents *command.Agents, b config.BMC, now func() time.Time) (fence.Method, error) {
	switch b.Method {
	case config.MethodCommand:
		return byAgent(agents, b.Outlet(), "", now)
	case config.MethodPDU:
		o := pdu.Options{Declared: b.Feeds, Now: now}
		for i, outlet := range b.Outlets {
			feed, err := byAgent(agents, outlet, fmt.Sprintf("feed-%d", i+1), now)
			if err != nil {
				return nil, fmt.Errorf("outlet %d: %w", i+1, err)
			}
			o.Feeds = append(o.Feeds, feed)
		}
		return pdu.New(o)
	case config.MethodIPMI:
		return ipmi.New(ipmi.Options{Address: b.Address, Username: b.Username, Password: b.Password.Reveal(),
			Cipher: b.Cipher, Privilege: b.Privilege, Now: now})
	case config.MethodRedfish:
		o := redfish.Options{Address: b.Address, System: b.System, Username: b.Username, Password: b.Password.Reveal(),
			Fingerprint: b.Fingerprint, Insecure: b.Insecure, Now: now}
		if b.CA != "" {
			pem, err := os.ReadFile(b.CA)
			if err != nil {
				return nil, fmt.Errorf("read the BMC's CA: %w", err)
			}
			o.CA = pem
		}
		return redfish.New(o)
	}
	return nil, fmt.Errorf("unknown fencing method %q", b.Method)
}

// byAgent makes a method that calls a fence agent.
func byAgent(agents *command.Agents, o config.Outlet, name string, now func() time.Time) (fence.Method, error) {
	agent, err := agents.Get(context.Background(), o.Agent)
	if err != nil {
		return nil, err
	}
	secrets := map[string]string{}
	for k, s := range o.Secrets {
		secrets[k] = s.Reveal()
	}
	return command.New(agent, command.Options{Name: name, Address: o.Address, Username: o.Username, Password: o.Password.Reveal(), Plug: o.Plug,
		Parameters: o.Parameters, Secrets: secrets, Timeout: o.Timeout, Now: now})
}

// callTimeout is what one call of a method may take: the default for a BMC, and
// what was configured for fence agents.
func callTimeout(b config.BMC) time.Duration {
	most := b.Timeout
	for _, o := range b.Outlets {
		most = max(most, o.Timeout)
	}
	if most == 0 {
		return 0
	}
	return most + time.Second // it is for the method to end it, and say why
}

// powers fences by host name. One operation at a time reaches each host's BMC:
// old ones freeze under bursts.
type powers struct {
	now    func() time.Time
	chains map[string]fence.Chain
	links  map[string][]evacuate.FenceLink // of each chain, in its order
	runs   map[string]string               // the controller that runs on a host, as declared
	// storage takes hosts' storage away; nil: nothing does.
	storage *storages
	locks   map[string]turn
	// vet judges whose machine each link switches; nil: nobody asks.
	vet func(host string) ([]evacuate.LinkStanding, *fence.Register)

	mu     sync.Mutex
	on     map[string]time.Time             // last on with a living agent
	off    map[string]time.Time             // last off with a living agent
	last   map[string]fence.Reading         // last reading
	auth   map[linkOf]int                   // refusals of our credentials in a row
	silent map[linkOf]time.Time             // not to be read for evidence before
	checks map[string][]evacuate.FenceCheck // what each link said last
	causes map[linkOf]fence.Cause           // why the last reading of it told nothing; "": it told
	// byOthers is what other controllers found where this one reaches nothing, hands
	// through which links they read on of a living host, and when.
	byOthers map[linkOf]evacuate.FenceCheck
	hands    map[lookOf]map[int]time.Time
}

// linkOf names a link by its place in a host's chain: each has an account of its own.
type linkOf struct {
	host string
	i    int
}

func newPowers(hosts []config.Host, clk fence.Clock, method func(string, config.BMC, func() time.Time) (fence.Method, error)) (*powers, error) {
	p := &powers{now: clk.Now, chains: map[string]fence.Chain{}, links: map[string][]evacuate.FenceLink{}, runs: map[string]string{},
		checks: map[string][]evacuate.FenceCheck{}, locks: map[string]turn{}, on: map[string]time.Time{}, off: map[string]time.Time{},
		last: map[string]fence.Reading{}, auth: map[linkOf]int{}, silent: map[linkOf]time.Time{}, causes: map[linkOf]fence.Cause{},
		byOthers: map[linkOf]evacuate.FenceCheck{}, hands: map[lookOf]map[int]time.Time{}}
	for _, h := range hosts {
		c := fence.Chain{Clock: clk}
		for _, b := range h.BMC {
			m, err := method(h.Name, b, clk.Now)
			if err != nil {
				return nil, fmt.Errorf("host %s: %s: %w", h.Name, b.Method, err)
			}
			c.Links = append(c.Links, fence.Link{Method: m, Budget: b.Budget, Call: callTimeout(b)})
			p.links[h.Name] = append(p.links[h.Name], evacuate.FenceLink{Method: m.Name(), Target: b.Target(), Budget: b.Budget})
		}
		p.chains[h.Name], p.locks[h.Name], p.runs[h.Name] = c, make(turn, 1), h.Controller
		p.checks[h.Name] = make([]evacuate.FenceCheck, len(c.Links))
	}
	return p, nil
}

// fencers makes what fences hosts, and takes their storage away.
func (c *Controller) fencers() (err error) {
	if c.powers, err = newPowers(c.cfg.Hosts, c.clock, c.seams.Method); err != nil {
		return err
	}
	c.powers.vet = c.vet
	c.powers.storage, err = newStorages(c.cfg, c.seams.Storage)
	return err
}

// Off fences a host.
func (p *powers) Off(ctx context.Context, host, boot string, guard fence.Guard) (fence.Proof, []fence.Attempt, error) {
	l, ok := p.locks[host]
	if !ok {
		return fence.Proof{}, nil, fmt.Errorf("%w: host %s is not in the inventory", fence.ErrNoProof, host)
	}
	if err := l.take(ctx); err != nil {
		return fence.Proof{}, nil, fmt.Errorf("%w: its BMC is busy: %w", fence.ErrNoProof, err)
	}
	defer l.give()
	links, err := p.usable(host, true)
	if err != nil {
		return fence.Proof{}, nil, err
	}
	c := p.chains[host]
	c.Links = bare(links)
	proof, attempts, err := c.Off(ctx, host, boot, guard)
	p.tried(host, links, attempts)
	return proof, attempts, err
}

// On powers a host on.
func (p *powers) On(ctx context.Context, host string, guard fence.Guard) error {
	l, ok := p.locks[host]
	if !ok {
		return fmt.Errorf("host %s is not in the inventory", host)
	}
	if err := l.take(ctx); err != nil {
		return fmt.Errorf("the BMC of host %s is busy: %w", host, err)
	}
	defer l.give()
	links, err := p.usable(host, false)
	if err != nil {
		return err
	}
	c := p.chains[host]
	c.Links = bare(links)
	return c.On(ctx, guard)
}

// turn lets one operation at a time through to a BMC.
type turn chan struct{}

func (t turn) take(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// try takes it if it is nobody's.
func (t turn) try() bool {
	select {
	case t <- struct{}{}:
		return true
	default:
		return false
	}
}

func (t turn) give() { <-t }

// Read reads a host's power, whatever it takes.
func (p *powers) Read(ctx context.Context, host string) fence.Reading {
	l, ok := p.locks[host]
	if !ok || len(p.chains[host].Links) == 0 {
		return fence.Reading{Power: fence.Unknown, Cause: fence.CauseProtocol, Raw: "no fencing method", Began: p.now(), Ended: p.now()}
	}
	began := p.now()
	if l.take(ctx) != nil {
		return fence.Reading{Power: fence.Unknown, Cause: fence.CauseBusy, Raw: "its BMC is busy", Began: began, Ended: p.now()}
	}
	defer l.give()
	return p.read(ctx, host, false)
}

// read is Read for who has the turn: the links in order, until one tells the power.
// Those that refuse us may be spared.
func (p *powers) read(ctx context.Context, host string, spare bool) fence.Reading {
	began := p.now()
	links, err := p.usable(host, false)
	r := fence.Reading{Method: p.links[host][0].Method, Power: fence.Unknown, Cause: fence.CauseIdentity, Began: began, Ended: p.now()}
	if err != nil {
		r.Raw = err.Error()
	}
	for _, l := range links {
		if spare && p.spared(linkOf{host, l.i}) {
			continue
		}
		r = l.Read(ctx)
		p.count(linkOf{host, l.i}, r.Cause)
		if r.Power != fence.Unknown {
			break
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last[host] = r
	return r
}

func (p *powers) count(l linkOf, c fence.Cause) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.causes[l] = c
	if c != fence.CauseAuth {
		p.auth[l] = 0
	} else if p.auth[l]++; p.auth[l] >= 2 {
		p.silent[l] = p.now().Add(authPause) // asking on would lock the account
	}
}

// spared says that a link has lately refused us twice.
func (p *powers) spared(l linkOf) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now().Before(p.silent[l])
}

// authPause is how long a BMC that twice refused our credentials is not asked
// for evidence.
const authPause = 15 * time.Minute

// Peek reads for evidence only: it does not wait for a busy BMC and spares one
// that refuses us.
func (p *powers) Peek(ctx context.Context, host string) (fence.Reading, bool) {
	l, ok := p.locks[host]
	if !ok || !p.takeIdle(host, l) {
		return fence.Reading{}, false
	}
	defer l.give()
	return p.read(ctx, host, true), true
}

// takeIdle takes the turn of a host whose devices are idle, and do not all refuse us.
func (p *powers) takeIdle(host string, l turn) bool {
	all := true
	for i := range p.chains[host].Links {
		all = all && p.spared(linkOf{host, i})
	}
	return !all && l.try()
}

func (p *powers) sawOn(host string, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.on[host] = at
}

// sawOff notes that a BMC read off while its host's agent lived.
func (p *powers) sawOff(host string, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.off[host] = at
}

// linkOn and linkOff note the same of one link.
func (p *powers) linkOn(host string, i int, at time.Time) {
	p.checking(host, i, func(c *evacuate.FenceCheck) { c.PoweredOn = at })
}

func (p *powers) linkOff(host string, i int, at time.Time) {
	p.checking(host, i, func(c *evacuate.FenceCheck) { c.ReadOff = at })
}

// sights is what the gates may know of fencing.
func (p *powers) sights() map[nova.HostName]evacuate.Fencing {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make(map[nova.HostName]evacuate.Fencing, len(p.chains))
	for host, c := range p.chains {
		f := evacuate.Fencing{Within: c.Within(), PoweredOn: p.on[host], ReadOff: p.off[host], Controller: p.runs[host], Storage: p.storage.of(host), StorageCheck: p.storage.check(host)}
		for i, l := range c.Links {
			f.Methods = append(f.Methods, l.Method.Name())
			link := p.links[host][i]
			link.Check = p.checks[host][i].With(p.byOthers[linkOf{host, i}])
			f.Links = append(f.Links, link)
		}
		f.Unreached, f.Hands = p.unreached(host), p.others(host)
		if r, ok := p.last[host]; ok {
			f.Last = fmt.Sprintf("last reading %s %s at %s", r.Power, r.Cause, r.Ended.Format(time.TimeOnly))
		}
		out[nova.HostName(host)] = f
	}
	return out
}

func powerReading(host nova.HostName, r fence.Reading) detector.PowerReading {
	return detector.PowerReading{Host: host, Power: string(r.Power), Cause: string(r.Cause), Began: r.Began}
}
