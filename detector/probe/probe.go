// Package probe asks a host's addresses for any sign of life: ICMP echo, TCP
// connections, and whether the neighbour entry is confirmed anew. It tells
// answered from silent from could-not-ask, and concludes nothing.
package probe

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// Address is one address of a host on a named network.
type Address struct {
	Network string
	Addr    netip.Addr
}

// Asker asks one address one kind of question. It must return within ctx.
type Asker interface {
	Ask(ctx context.Context, addr netip.Addr) (detector.Answer, string)
}

// Prober asks every address in every way at once.
type Prober struct {
	// Timeout bounds one probe: 1 s if zero.
	Timeout time.Duration
	Now     func() time.Time
	// ICMP and Neighbour are nil where they are not to be asked.
	ICMP, Neighbour Asker
	// Dial connects for TCP.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// New gives a Prober on the real network.
func New(timeout time.Duration, now func() time.Time) *Prober {
	return &Prober{Timeout: timeout, Now: now, ICMP: &echo{}, Neighbour: neighbour{}, Dial: (&net.Dialer{}).DialContext}
}

// Probe asks all addresses and waits for all answers. The neighbour entry is
// asked first, for the others then need it.
func (p *Prober) Probe(ctx context.Context, host nova.HostName, addrs []Address, ports []uint16) []detector.Probe {
	timeout := p.Timeout
	if timeout <= 0 {
		timeout = time.Second
	}
	var mu sync.Mutex
	var out []detector.Probe
	var wg sync.WaitGroup
	ask := func(a Address, kind string, f func(ctx context.Context) (detector.Answer, string)) {
		wg.Go(func() {
			began := p.Now()
			actx, cancel := context.WithTimeout(ctx, timeout)
			defer cancel()
			answer, detail := f(actx)
			mu.Lock()
			defer mu.Unlock()
			out = append(out, detector.Probe{Host: host, Network: a.Network, Kind: kind, Answer: answer, Detail: detail, Began: began})
		})
	}
	for _, a := range addrs {
		if p.Neighbour != nil {
			ask(a, detector.ProbeNeighbour, func(ctx context.Context) (detector.Answer, string) { return p.Neighbour.Ask(ctx, a.Addr) })
		}
		if p.ICMP != nil {
			ask(a, detector.ProbeICMP, func(ctx context.Context) (detector.Answer, string) { return p.ICMP.Ask(ctx, a.Addr) })
		}
		if len(ports) > 0 {
			ask(a, detector.ProbeTCP, func(ctx context.Context) (detector.Answer, string) { return p.tcp(ctx, a.Addr, ports) })
		}
	}
	wg.Wait()
	return out
}

// tcp tries all ports: one answer is enough, a refusal included.
func (p *Prober) tcp(ctx context.Context, addr netip.Addr, ports []uint16) (detector.Answer, string) {
	answers := make([]detector.Answer, len(ports))
	details := make([]string, len(ports))
	var wg sync.WaitGroup
	for i, port := range ports {
		wg.Go(func() {
			conn, err := p.Dial(ctx, "tcp", net.JoinHostPort(addr.String(), strconv.Itoa(int(port))))
			if err == nil {
				_ = conn.Close()
			}
			answers[i], details[i] = classify(err)
		})
	}
	wg.Wait()
	best, detail := detector.Failed, ""
	for i, a := range answers {
		if rank[a] > rank[best] || detail == "" {
			best, detail = a, details[i]
		}
	}
	return best, detail
}

var rank = map[detector.Answer]int{detector.Failed: 0, detector.Silent: 1, detector.Answered: 2}

// classify reads what a failed connection says about the other end. A reset is
// an answer of its kernel; host-unreachable is what our own kernel says when
// nobody answered its ARP; everything local is no evidence.
func classify(err error) (detector.Answer, string) {
	switch {
	case err == nil:
		return detector.Answered, "connected"
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET):
		return detector.Answered, "refused"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT), isTimeout(err):
		return detector.Silent, "timed out"
	case errors.Is(err, syscall.EHOSTUNREACH):
		return detector.Silent, "no neighbour answers"
	}
	return detector.Failed, err.Error()
}

func isTimeout(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}
