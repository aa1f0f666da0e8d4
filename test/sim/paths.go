package sim

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/lifeboat-ha/lifeboat/config"
	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/detector/clock"
	"github.com/lifeboat-ha/lifeboat/detector/heartbeat"
	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
)

type (
	nowFunc    = func() time.Time
	seamMethod = func(host string, b config.BMC, now nowFunc) (fence.Method, error)
)

const (
	dialPatience = 3 * time.Second
	probeTimeout = time.Second
)

// pause waits unless ctx ends first.
func pause(ctx context.Context, d time.Duration) bool { return clock.Sleep(ctx, d) == nil }

// way is the path from a process to a server that is no process of ours: Nova, or
// a BMC.
func way(ctx context.Context, p *process, to *node) error {
	if !p.awake(ctx) {
		if err := ctx.Err(); err != nil {
			return err
		}
		return &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ENETDOWN}
	}
	var up, reaches bool
	var delay time.Duration
	p.net.locked(func() {
		up, reaches = to.up, p.net.reaches(p.node, to, Management)
		_, loss, there := p.net.link(p.node, to, Management)
		_, _, back := p.net.link(to, p.node, Management)
		delay = tick + there + back
		for loss > 0 && p.net.rand.Float64() < loss { // TCP repeats what is lost
			delay += 200 * time.Millisecond
		}
	})
	switch {
	case up && reaches:
		pause(ctx, delay)
		return ctx.Err()
	case !pause(ctx, dialPatience):
		return ctx.Err()
	}
	return &net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded}
}

// back is the answer's way: a process that died meanwhile hears nothing, and one
// that was frozen hears it late.
func back(ctx context.Context, p *process, to *node) error {
	if !p.awake(ctx) {
		<-ctx.Done()
		return ctx.Err()
	}
	var cut bool
	p.net.locked(func() { cut, _, _ = p.net.link(to, p.node, Management) })
	if cut {
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

// novaPath carries a controller's requests to the emulated Nova.
type novaPath struct {
	v *voter
	p *process
}

// RoundTrip is http.RoundTripper.
func (n novaPath) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	if err := way(ctx, n.p, n.v.cloud.novaAt); err != nil {
		return nil, err
	}
	if req.Method == http.MethodPost && strings.HasSuffix(req.URL.Path, "/action") && req.Body != nil {
		b, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		_ = req.Body.Close()
		req = req.Clone(ctx)
		req.Body = io.NopCloser(bytes.NewReader(b))
		if bytes.Contains(b, []byte(`"evacuate"`)) {
			n.v.cloud.watch.evacuate(n.v)
			n.v.cloud.watch.stored(n.v, req.URL.Path)
		}
	}
	resp, err := n.v.cloud.novaT.RoundTrip(req)
	if berr := back(ctx, n.p, n.v.cloud.novaAt); berr != nil {
		return nil, berr
	}
	return resp, err
}

// bmcPath carries a controller's requests to one BMC.
type bmcPath struct {
	v     *voter
	p     *process
	m     *machine
	at    *node
	cuts  func() *machine // whose power it switches
	inner http.RoundTripper
}

func bmcClient(v *voter, p *process, m *machine, address string) *http.Client {
	t := bmcPath{v, p, m, m.bmcAt, m.switches, m.bmc.Transport()}
	if strings.HasPrefix(address, "https://pdu-") {
		t.at, t.cuts, t.inner = m.pduAt, func() *machine { return m }, m.pdu.Transport()
	}
	return &http.Client{Transport: t}
}

// RoundTrip is http.RoundTripper.
func (b bmcPath) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	if err := way(ctx, b.p, b.at); err != nil {
		return nil, err
	}
	if req.Method == http.MethodPost && strings.HasSuffix(req.URL.Path, "ComputerSystem.Reset") && req.Body != nil {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		_ = req.Body.Close()
		req = req.Clone(ctx)
		req.Body = io.NopCloser(bytes.NewReader(body))
		if bytes.Contains(body, []byte("ForceOff")) {
			b.v.cloud.watch.off(b.v, b.m, b.cuts())
		}
		defer b.v.cloud.watch.commands(b.v, b.m)()
	}
	resp, err := b.inner.RoundTrip(req)
	if berr := back(ctx, b.p, b.at); berr != nil {
		return nil, berr
	}
	return resp, err
}

// prober answers for the network: what the kernels of the machines answer.
type prober struct {
	cloud *Cloud
	from  *node
	proc  *process
}

// Probe asks every address by ICMP and by TCP. It takes one timeout where
// somebody is silent.
func (p prober) Probe(ctx context.Context, host nova.HostName, addrs []heartbeat.Address, _ []uint16) []detector.Probe {
	var all []detector.Probe
	silent := false
	began := p.from.clock.Now()
	for _, a := range addrs {
		answer := detector.Silent
		p.cloud.net.locked(func() {
			target, ok := p.cloud.net.places[a.Addr]
			switch {
			case !ok || !p.proc.runs():
				answer = detector.Failed
			case p.cloud.net.reaches(p.from, target.node, a.Network):
				_, loss, _ := p.cloud.net.link(p.from, target.node, a.Network)
				if loss == 0 || p.cloud.net.rand.Float64() >= loss {
					answer = detector.Answered
				}
			}
		})
		silent = silent || answer == detector.Silent
		for _, kind := range []string{detector.ProbeICMP, detector.ProbeTCP} {
			all = append(all, detector.Probe{Host: host, Network: a.Network, Kind: kind, Answer: answer, Began: began})
		}
	}
	wait := tick
	if silent {
		wait = probeTimeout
	}
	pause(ctx, wait)
	p.proc.awake(ctx)
	return all
}

// Touch is the same: there is no neighbour table here.
func (p prober) Touch(ctx context.Context, host nova.HostName, addrs []heartbeat.Address, ports []uint16) []detector.Probe {
	return p.Probe(ctx, host, addrs, ports)
}
