// Package probe asks a host's addresses for a sign of life: by ICMP echo, by
// TCP connections, and by resolving the link-layer address of a neighbour anew.
// Its answers have three values. What the prober itself could not ask is
// Failed, never Silent: our own missing right, route or cable is no evidence
// against anybody. It judges nothing.
package probe

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// Address is one address of a host on a named network.
type Address struct {
	Network string // management, storage, tenant
	Addr    netip.Addr
}

// Options are what a prober is made of.
type Options struct {
	// Observer stands in the answers: a host's name or a controller's id.
	Observer detector.Observer
	Timeout  time.Duration // of one question; DefaultTimeout if zero
	// Ports are tried where an order names none.
	Ports []uint16
	// Parallel bounds the questions under way; DefaultParallel if zero.
	Parallel int
	Now      func() time.Time
	Log      *slog.Logger
}

// Defaults.
const (
	DefaultTimeout  = time.Second
	DefaultParallel = 64
)

// DefaultPorts are what a compute host has open: SSH.
var DefaultPorts = []uint16{22}

// Validate says all that is wrong.
func (o *Options) Validate() error {
	var errs []error
	if o.Observer == "" {
		errs = append(errs, errors.New("probe: observer is needed"))
	}
	if o.Timeout < 0 || o.Timeout > 0 && o.Timeout < 100*time.Millisecond || o.Timeout > 10*time.Second {
		errs = append(errs, fmt.Errorf("probe: timeout %v is not between 100ms and 10s", o.Timeout))
	}
	if o.Parallel < 0 {
		errs = append(errs, errors.New("probe: parallel must not be negative"))
	}
	if slices.Contains(o.Ports, 0) {
		errs = append(errs, errors.New("probe: port 0 cannot be probed"))
	}
	if o.Now == nil || o.Log == nil {
		errs = append(errs, errors.New("probe: now and log are needed"))
	}
	return errors.Join(errs...)
}

// world is what the questions are put to.
type world interface {
	// route tells the way to an address; an error says that there is none.
	route(a netip.Addr) (route, error)
	// echo and connect return nil once the address has answered.
	echo(ctx context.Context, a netip.Addr) error
	connect(ctx context.Context, a netip.AddrPort) error
	// resolve asks for a neighbour's link-layer address anew.
	resolve(ctx context.Context, r route, a netip.Addr) error
}

// route is the way to an address.
type route struct {
	link   int
	name   string
	onLink bool // no router between
	own    bool // an address of this machine
	down   bool // the link has no carrier
}

// Prober asks. It is safe for concurrent use and owns no goroutine beyond a
// call.
type Prober struct {
	o     Options
	w     world
	slots chan struct{}
}

// New makes a prober.
func New(o Options) (*Prober, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	return newProber(o, linux{timeout: o.Timeout}), nil
}

func newProber(o Options, w world) *Prober {
	if o.Parallel == 0 {
		o.Parallel = DefaultParallel
	}
	if o.Ports == nil {
		o.Ports = DefaultPorts
	}
	return &Prober{o: o, w: w, slots: make(chan struct{}, o.Parallel)}
}

// answer is what one question came to.
type answer struct {
	network, kind string
	answer        detector.Answer
	began         time.Time
	detail        string
}

// Probe puts all questions at once and gives one answer for each kind on each
// network: any answer there is one, and silence is that of all who could be
// asked. It takes about one timeout.
func (p *Prober) Probe(ctx context.Context, host nova.HostName, addrs []Address, ports []uint16) []detector.Probe {
	return p.all(ctx, host, addrs, ports, true)
}

// Touch is Probe for every few seconds: it leaves the neighbour table alone,
// which others on this machine use.
func (p *Prober) Touch(ctx context.Context, host nova.HostName, addrs []Address, ports []uint16) []detector.Probe {
	return p.all(ctx, host, addrs, ports, false)
}

func (p *Prober) all(ctx context.Context, host nova.HostName, addrs []Address, ports []uint16, neighbour bool) []detector.Probe {
	if len(ports) == 0 {
		ports = p.o.Ports
	}
	var mu sync.Mutex
	var all []answer
	var asked sync.WaitGroup
	ask := func(a Address, kind string, port uint16) {
		asked.Go(func() {
			got := p.ask(ctx, a, kind, port)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, got)
		})
	}
	for _, a := range addrs {
		ask(a, detector.ProbeICMP, 0)
		if neighbour {
			ask(a, detector.ProbeNeighbour, 0)
		}
		for _, port := range ports {
			ask(a, detector.ProbeTCP, port)
		}
	}
	asked.Wait()
	return p.sum(host, all)
}

// rank: an answer beats silence, silence beats a question that was never put.
func rank(a detector.Answer) int {
	switch a {
	case detector.Answered:
		return 2
	case detector.Silent:
		return 1
	default:
		return 0
	}
}

func (p *Prober) sum(host nova.HostName, all []answer) []detector.Probe {
	slices.SortFunc(all, func(a, b answer) int {
		if c := strings.Compare(a.network, b.network); c != 0 {
			return c
		}
		if c := strings.Compare(a.kind, b.kind); c != 0 {
			return c
		}
		if c := rank(b.answer) - rank(a.answer); c != 0 {
			return c
		}
		if c := a.began.Compare(b.began); c != 0 {
			return c // the earlier start claims less
		}
		return strings.Compare(a.detail, b.detail)
	})
	var sum []detector.Probe
	for _, a := range all {
		if n := len(sum); n > 0 && sum[n-1].Network == a.network && sum[n-1].Kind == a.kind {
			continue
		}
		sum = append(sum, detector.Probe{Observer: p.o.Observer, Host: host, Network: a.network, Kind: a.kind,
			Answer: a.answer, Began: a.began, Detail: a.detail})
	}
	return sum
}

func (p *Prober) ask(ctx context.Context, a Address, kind string, port uint16) answer {
	got := answer{network: a.Network, kind: kind, answer: detector.Failed}
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		got.began, got.detail = p.o.Now(), "not asked: too many questions"
		return got
	}
	got.began = p.o.Now()
	what := a.Addr.String()
	if port != 0 {
		what = netip.AddrPortFrom(a.Addr, port).String()
	}
	var why string
	got.answer, why = p.put(ctx, a.Addr, kind, port)
	got.detail = what + ": " + why
	return got
}

func (p *Prober) put(ctx context.Context, a netip.Addr, kind string, port uint16) (detector.Answer, string) {
	if !a.IsValid() || a.IsUnspecified() || a.IsLoopback() || a.IsMulticast() {
		return detector.Failed, "no address of a host"
	}
	r, err := p.w.route(a)
	switch {
	case err != nil:
		return detector.Failed, "no route: " + err.Error()
	case r.own:
		// Our own kernel would answer in the host's name.
		return detector.Failed, "it is an address of this machine"
	case r.down:
		return detector.Failed, "our link " + r.name + " is down"
	case kind == detector.ProbeNeighbour && !r.onLink:
		return detector.Failed, "not on our link"
	}
	asking, cancel := context.WithTimeout(ctx, p.o.Timeout)
	defer cancel()
	switch kind {
	case detector.ProbeICMP:
		err = p.w.echo(asking, a)
	case detector.ProbeTCP:
		err = p.w.connect(asking, netip.AddrPortFrom(a, port))
	default:
		err = p.w.resolve(asking, r, a)
	}
	if err != nil && ctx.Err() != nil {
		return detector.Failed, "not waited for long enough"
	}
	return read(kind, err)
}
