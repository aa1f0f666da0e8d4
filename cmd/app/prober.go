package app

import (
	"context"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/detector/heartbeat"
	"github.com/lifeboat-ha/lifeboat/detector/probe"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// realProber asks on the real network.
type realProber struct{ p *probe.Prober }

func newProber(timeout time.Duration, now func() time.Time) Prober {
	return realProber{probe.New(timeout, now)}
}

// Probe maps orders' addresses to the prober's.
func (r realProber) Probe(ctx context.Context, host nova.HostName, addrs []heartbeat.Address, ports []uint16) []detector.Probe {
	as := make([]probe.Address, 0, len(addrs))
	for _, a := range addrs {
		as = append(as, probe.Address{Network: a.Network, Addr: a.Addr})
	}
	return r.p.Probe(ctx, host, as, ports)
}
