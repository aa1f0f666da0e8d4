package api

import (
	"cmp"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lifeboat-ha/lifeboat/detector/vip"
)

// VIPMetrics are the gauges of the control plane's addresses, on the leader alone.
// Where nothing is watched there are none.
type VIPMetrics struct {
	leads  func() bool
	status func() VIPStatus

	owner, finding, moves, unreached, blind, lease, able, gap *prometheus.Desc
}

// NewVIPMetrics registers the collector.
func NewVIPMetrics(reg prometheus.Registerer, leads func() bool, status func() VIPStatus) error {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("lifeboat_vip_"+name, help, labels, nil)
	}
	return reg.Register(&VIPMetrics{leads: leads, status: status,
		owner:     desc("owner_info", "1 for who has an address of the control plane: a controller, several, or nobody.", "vip", "owner"),
		finding:   desc("finding", "1 for each thing that is wrong with an address.", "vip", "finding"),
		moves:     desc("moves_total", "How often the owner of an address changed.", "vip"),
		unreached: desc("unreached_hosts", "Hosts that do not reach a service of the control plane, of those that told lately.", "service"),
		lease:     desc("lease_info", "1 for the controller that may have an address that Lifeboat moves, or nobody.", "vip", "holder"),
		able:      desc("able", "1 for each controller that could have an address that Lifeboat moves.", "vip", "controller"),
		gap:       desc("last_move_gap_seconds", "For how long an address that Lifeboat moves was on no machine when it last moved in order.", "vip"),
		blind:     desc("watch_degraded", "Things that a controller cannot watch: capabilities, sockets.", "controller"),
	})
}

// Describe implements prometheus.Collector.
func (m *VIPMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.owner, m.finding, m.moves, m.unreached, m.blind, m.lease, m.able, m.gap} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (m *VIPMetrics) Collect(ch chan<- prometheus.Metric) {
	if !m.leads() {
		return
	}
	st := m.status()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	found := map[[2]string]bool{}
	for _, f := range st.Findings {
		found[[2]string{f.VIP, string(f.Kind)}] = true
	}
	for _, v := range st.VIPs {
		owner := v.Owner
		if owner == "" {
			owner = "nobody"
		}
		gauge(m.owner, 1, v.Name, owner)
		ch <- prometheus.MustNewConstMetric(m.moves, prometheus.CounterValue, float64(v.Moves), v.Name)
		for _, k := range vip.Kinds {
			gauge(m.finding, b(found[[2]string{v.Name, string(k)}]), v.Name, string(k))
		}
	}
	m.owned(st, gauge)
	for _, k := range vip.BehindKinds {
		if st.Watched {
			gauge(m.finding, b(found[[2]string{vip.ControlPlane, string(k)}]), vip.ControlPlane, string(k))
		}
	}
	unreached := map[string]int{}
	for _, t := range st.Matrix.Targets {
		if !t.Informs {
			unreached[t.Service] = 0
		}
	}
	for _, h := range st.Matrix.Hosts {
		for _, service := range h.Fails {
			if h.Fresh {
				unreached[service]++
			}
		}
	}
	for service, n := range unreached {
		gauge(m.unreached, float64(n), service)
	}
	for _, s := range st.Sights {
		gauge(m.blind, float64(len(s.Cannot)), string(s.Controller))
	}
}

// owned tells of the addresses that Lifeboat moves itself.
func (m *VIPMetrics) owned(st VIPStatus, gauge func(*prometheus.Desc, float64, ...string)) {
	for _, v := range st.VIPs {
		if v.Lease == nil {
			continue
		}
		gauge(m.lease, 1, v.Name, cmp.Or(v.Lease.Holder, "nobody"))
		gauge(m.gap, v.Lease.Gap.Seconds(), v.Name)
		for _, s := range st.Sights {
			for _, a := range s.VIPs {
				if a.Name == v.Name && a.Own != nil {
					gauge(m.able, b(a.Own.Fit.Not == "" && s.Age <= vip.SightFresh), v.Name, string(s.Controller))
				}
			}
		}
	}
}
