package probe

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
)

// fake is a world of which a test says what it answers.
type fake struct {
	way    map[netip.Addr]route
	noWay  error
	answer func(ctx context.Context, kind string, a netip.AddrPort) error
}

func (f fake) route(a netip.Addr) (route, error) { return f.way[a], f.noWay }

func (f fake) echo(ctx context.Context, a netip.Addr) error {
	return f.answer(ctx, detector.ProbeICMP, netip.AddrPortFrom(a, 0))
}

func (f fake) connect(ctx context.Context, a netip.AddrPort) error {
	return f.answer(ctx, detector.ProbeTCP, a)
}

func (f fake) resolve(ctx context.Context, _ route, a netip.Addr) error {
	return f.answer(ctx, detector.ProbeNeighbour, netip.AddrPortFrom(a, 0))
}

func testProber(w world) *Prober {
	return newProber(Options{Observer: "c1", Timeout: time.Second, Now: time.Now, Log: slog.New(slog.DiscardHandler)}, w)
}

var (
	mgmt, storage = netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("198.51.100.7")
	bothNetworks  = []Address{{"management", mgmt}, {"storage", storage}}
)

func silent(ctx context.Context, _ string, _ netip.AddrPort) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestRead(t *testing.T) {
	dial := func(err error) error {
		return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", err)}
	}
	for name, c := range map[string]struct {
		kind string
		err  error
		want detector.Answer
	}{
		"connected":           {detector.ProbeTCP, nil, detector.Answered},
		"refused":             {detector.ProbeTCP, dial(syscall.ECONNREFUSED), detector.Answered},
		"reset":               {detector.ProbeTCP, dial(syscall.ECONNRESET), detector.Answered},
		"refused echo":        {detector.ProbeICMP, dial(syscall.ECONNREFUSED), detector.Failed},
		"timed out":           {detector.ProbeTCP, dial(syscall.ETIMEDOUT), detector.Silent},
		"dialer's timeout":    {detector.ProbeTCP, &net.OpError{Op: "dial", Err: context.DeadlineExceeded}, detector.Silent},
		"read deadline":       {detector.ProbeICMP, fmt.Errorf("read: %w", os.ErrDeadlineExceeded), detector.Silent},
		"no ARP answer":       {detector.ProbeTCP, dial(syscall.EHOSTUNREACH), detector.Silent},
		"host down":           {detector.ProbeICMP, dial(syscall.EHOSTDOWN), detector.Silent},
		"nobody on the link":  {detector.ProbeNeighbour, errNoNeighbour, detector.Silent},
		"network unreachable": {detector.ProbeTCP, dial(syscall.ENETUNREACH), detector.Failed},
		"no permission":       {detector.ProbeICMP, fmt.Errorf("open: %w", errors.Join(syscall.EACCES, syscall.EPERM)), detector.Failed},
		"no more files":       {detector.ProbeTCP, dial(syscall.EMFILE), detector.Failed},
		"no buffers":          {detector.ProbeICMP, dial(syscall.ENOBUFS), detector.Failed},
		"no local address":    {detector.ProbeTCP, dial(syscall.EADDRNOTAVAIL), detector.Failed},
		"cancelled":           {detector.ProbeTCP, context.Canceled, detector.Failed},
		"anything else":       {detector.ProbeTCP, errors.New("the sea is rough"), detector.Failed},
	} {
		if got, why := read(c.kind, c.err); got != c.want || why == "" {
			t.Errorf("%s: %s (%s), want %s", name, got, why, c.want)
		}
	}
}

func TestOneAnswerForEachKindAndNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		w := fake{way: map[netip.Addr]route{mgmt: {onLink: true}, storage: {}}, answer: func(ctx context.Context, kind string, a netip.AddrPort) error {
			if kind == detector.ProbeTCP && a.Addr() == mgmt && a.Port() == 16509 {
				return syscall.ECONNREFUSED
			}
			return silent(ctx, kind, a)
		}}
		got := testProber(w).Probe(t.Context(), "compute-7", bothNetworks, []uint16{22, 16509, 80})
		if d := time.Since(began); d != time.Second {
			t.Errorf("took %v", d)
		}
		want := []struct {
			network, kind string
			answer        detector.Answer
		}{
			{"management", detector.ProbeICMP, detector.Silent},
			{"management", detector.ProbeNeighbour, detector.Silent},
			{"management", detector.ProbeTCP, detector.Answered}, // one port is enough
			{"storage", detector.ProbeICMP, detector.Silent},
			{"storage", detector.ProbeNeighbour, detector.Failed}, // off link
			{"storage", detector.ProbeTCP, detector.Silent},
		}
		if len(got) != len(want) {
			t.Fatalf("%d answers: %+v", len(got), got)
		}
		for i, w := range want {
			p := got[i]
			if p.Network != w.network || p.Kind != w.kind || p.Answer != w.answer {
				t.Errorf("%+v, want %+v", p, w)
			}
			if p.Observer != "c1" || p.Host != "compute-7" || !p.Began.Equal(began) || p.Detail == "" {
				t.Errorf("%+v", p)
			}
		}
	})
}

func TestOurOwnTroubleIsNoSilence(t *testing.T) {
	for name, w := range map[string]fake{
		"no route":    {noWay: syscall.ENETUNREACH, answer: silent},
		"own address": {way: map[netip.Addr]route{mgmt: {own: true}}, answer: silent},
		"link down":   {way: map[netip.Addr]route{mgmt: {down: true, onLink: true, name: "eth0"}}, answer: silent},
	} {
		t.Run(name, func(t *testing.T) {
			for _, p := range testProber(w).Probe(t.Context(), "h", []Address{{"management", mgmt}}, nil) {
				if p.Answer != detector.Failed {
					t.Errorf("%+v", p)
				}
			}
		})
	}
	for _, a := range []string{"127.0.0.1", "::1", "0.0.0.0", "224.0.0.1"} {
		for _, p := range testProber(fake{answer: silent}).Probe(t.Context(), "h", []Address{{"management", netip.MustParseAddr(a)}}, nil) {
			if p.Answer != detector.Failed {
				t.Errorf("%s: %+v", a, p)
			}
		}
	}
}

// Whoever stops waiting before the timeout has not heard silence.
func TestCutShortIsNoSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := fake{way: map[netip.Addr]route{mgmt: {onLink: true}}, answer: silent}
		ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
		defer cancel()
		for _, p := range testProber(w).Probe(ctx, "h", []Address{{"management", mgmt}}, nil) {
			if p.Answer != detector.Failed {
				t.Errorf("%+v", p)
			}
		}
	})
}

func TestParallelIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int32
		w := fake{way: map[netip.Addr]route{}, answer: func(ctx context.Context, kind string, a netip.AddrPort) error {
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			defer now.Add(-1)
			return silent(ctx, kind, a)
		}}
		p := newProber(Options{Observer: "c1", Timeout: time.Second, Parallel: 2, Now: time.Now, Log: slog.New(slog.DiscardHandler)}, w)
		p.Probe(t.Context(), "h", bothNetworks, []uint16{1, 2, 3})
		if most.Load() != 2 {
			t.Errorf("%d at once", most.Load())
		}
	})
}

func TestOptions(t *testing.T) {
	good := Options{Observer: "c1", Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*Options){
		"nobody":        func(o *Options) { o.Observer = "" },
		"no time":       func(o *Options) { o.Timeout = time.Millisecond },
		"too much time": func(o *Options) { o.Timeout = time.Minute },
		"port 0":        func(o *Options) { o.Ports = []uint16{0} },
		"no clock":      func(o *Options) { o.Now = nil },
	} {
		o := good
		change(&o)
		if o.Validate() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// The real world, as far as any machine has it: itself.
func TestThisMachine(t *testing.T) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		ip, ok := netip.AddrFromSlice(a.(*net.IPNet).IP)
		if ip = ip.Unmap(); !ok || ip.IsLoopback() || !ip.Is4() {
			continue
		}
		if r, err := (linux{}).route(ip); err != nil || !r.own {
			t.Errorf("route to our own %v: %+v, %v", ip, r, err)
		}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := netip.MustParseAddrPort(ln.Addr().String())
	if got, why := read(detector.ProbeTCP, (linux{}).connect(t.Context(), at)); got != detector.Answered || why != "connected" {
		t.Errorf("an open port: %s, %s", got, why)
	}
	ln.Close()
	if got, why := read(detector.ProbeTCP, (linux{}).connect(t.Context(), at)); got != detector.Answered || why != "refused" {
		t.Errorf("a closed port: %s, %s", got, why)
	}
}
