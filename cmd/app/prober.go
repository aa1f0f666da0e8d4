package app

import (
	"context"
	"log/slog"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/detector/heartbeat"
	"github.com/lifeboat-ha/lifeboat/detector/probe"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// realProber asks on the real network.
type realProber struct{ p *probe.Prober }

func newProber(observer string, timeout time.Duration, now func() time.Time, log *slog.Logger) (Prober, error) {
	p, err := probe.New(probe.Options{Observer: detector.Observer(observer), Timeout: timeout, Now: now, Log: log})
	return realProber{p}, err
}

// Probe maps orders' addresses to the prober's.
func (r realProber) Probe(ctx context.Context, host nova.HostName, addrs []heartbeat.Address, ports []uint16) []detector.Probe {
	return r.p.Probe(ctx, host, probed(addrs), ports)
}

// Touch does the same and leaves no trace in the neighbour table.
func (r realProber) Touch(ctx context.Context, host nova.HostName, addrs []heartbeat.Address, ports []uint16) []detector.Probe {
	return r.p.Touch(ctx, host, probed(addrs), ports)
}

func probed(addrs []heartbeat.Address) []probe.Address {
	as := make([]probe.Address, 0, len(addrs))
	for _, a := range addrs {
		as = append(as, probe.Address{Network: a.Network, Addr: a.Addr})
	}
	return as
}
