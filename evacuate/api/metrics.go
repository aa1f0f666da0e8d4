package api

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// Metrics computes the gauges at each scrape out of what the API reads. Series
// of hosts, recoveries and gates are the leader's alone.
type Metrics struct {
	source Source
	// Dropped counts dropped heartbeats by reason.
	dropped func() map[string]uint64
	// Fenceable says of each host whether its gate fenceable is open.
	fenceable func() map[nova.HostName]bool
	version   string
	d         map[string]*prometheus.Desc
}

// NewMetrics registers the collector.
func NewMetrics(reg prometheus.Registerer, s Source, version string, dropped func() map[string]uint64, fenceable func() map[nova.HostName]bool) error {
	m := &Metrics{source: s, version: version, dropped: dropped, fenceable: fenceable, d: map[string]*prometheus.Desc{}}
	for _, x := range []struct {
		name, help string
		labels     []string
	}{
		{"is_leader", "1 on the controller that leads.", nil},
		{"ledger_writable", "1 if the ledger would take an entry, as far as this controller knows.", nil},
		{"nova_reachable", "1 if Nova answered lately (leader).", nil},
		{"mode", "1 for the mode in force.", []string{"mode"}},
		{"frozen", "1 while a freeze is in force.", nil},
		{"host_verdict", "1 for the verdict on a host.", []string{"host", "verdict"}},
		{"host_fenceable", "1 if the host's fencing was seen to work lately.", []string{"host"}},
		{"recovery_open", "1 for each recovery that is not closed, at its step.", []string{"host", "step"}},
		{"recovery_held", "1 for each recovery that waits, and why.", []string{"host", "reason"}},
		{"recoveries_total", "Recoveries that the ledger remembers, by outcome.", []string{"outcome"}},
		{"recovery_duration_seconds", "From the last heartbeat to the last instance up.", nil},
		{"gate_closed", "1 for a gate that holds a dead host.", []string{"gate"}},
		{"agent_missing", "1 for a nova-compute without an agent.", []string{"host"}},
		{"agent_unknown", "1 for an agent that Nova does not know.", []string{"host"}},
		{"instances_not_moved", "Instances left on a fenced host.", []string{"host", "reason"}},
		{"heartbeats_dropped_total", "Datagrams that were not believed.", []string{"reason"}},
		{"build_info", "The running version.", []string{"version"}},
	} {
		m.d[x.name] = prometheus.NewDesc("lifeboat_"+x.name, x.help, x.labels, nil)
	}
	return reg.Register(m)
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range m.d {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	st := m.source.Status()
	m.gauge(ch, "build_info", 1, m.version)
	m.gauge(ch, "is_leader", b(st.Leads))
	m.gauge(ch, "ledger_writable", b(st.Writable))
	m.gauge(ch, "frozen", b(st.Frozen != ""))
	for _, mode := range evacuate.Modes {
		m.gauge(ch, "mode", b(mode == st.Mode), string(mode))
	}
	for reason, n := range m.dropped() {
		ch <- prometheus.MustNewConstMetric(m.d["heartbeats_dropped_total"], prometheus.CounterValue, float64(n), reason)
	}
	m.gauge(ch, "nova_reachable", b(st.NovaAge >= 0 && st.NovaError == ""))
	if st.Leads {
		m.leader(ch)
	}
}

func (m *Metrics) leader(ch chan<- prometheus.Metric) {
	state := m.source.State()
	fenceable := m.fenceable()
	closed := map[evacuate.GateName]bool{}
	for name, v := range m.source.Verdicts() {
		for _, s := range detector.States {
			m.gauge(ch, "host_verdict", b(s == v.State), string(name), string(s))
		}
		m.gauge(ch, "host_fenceable", b(fenceable[name]), string(name))
		if v.State == detector.Dead && state.Open(name) == nil {
			if x, ok := m.source.Explain(name); ok {
				if a, shut := evacuate.Closed(x.Answers); shut {
					closed[a.Gate] = true
				}
			}
		}
	}
	for _, a := range m.source.Alerts() {
		switch a.Name {
		case AlertAgentMissing:
			m.gauge(ch, "agent_missing", 1, string(a.Host))
		case AlertAgentUnknown:
			m.gauge(ch, "agent_unknown", 1, string(a.Host))
		}
	}
	m.recoveries(ch, state, closed)
	for _, g := range gateNames {
		m.gauge(ch, "gate_closed", b(closed[g]), string(g))
	}
}

// Names of alerts that are metrics too.
const (
	AlertAgentMissing = "agent-missing"
	AlertAgentUnknown = "agent-unknown"
	AlertHeld         = "recovery-held"
	AlertNotFenceable = "not-fenceable"
)

var gateNames = []evacuate.GateName{
	evacuate.GateLeader, evacuate.GateLedger, evacuate.GateFreeze, evacuate.GateArmed, evacuate.GateMaintenance, evacuate.GateVerdict,
	evacuate.GateFresh, evacuate.GateControlPlane, evacuate.GateStorm, evacuate.GateProtected, evacuate.GateFenceable, evacuate.GateConcurrency, evacuate.GateProof,
}

func (m *Metrics) recoveries(ch chan<- prometheus.Metric, s *evacuate.State, closed map[evacuate.GateName]bool) {
	outcomes := map[string]int{evacuate.OutcomeReturned: 0, evacuate.OutcomeCancelled: 0}
	buckets := map[float64]uint64{10: 0, 15: 0, 20: 0, 30: 0, 45: 0, 60: 0, 120: 0, 300: 0, 600: 0, 1800: 0}
	var n uint64
	var sum float64
	for _, r := range s.Sorted() {
		if !r.Recovered.IsZero() {
			d := r.Recovered.Sub(r.LastHeard).Seconds()
			n++
			sum += d
			for le := range buckets {
				if d <= le {
					buckets[le]++
				}
			}
		}
		if r.Status == evacuate.StatusClosed {
			outcomes[r.Outcome]++
			continue
		}
		m.gauge(ch, "recovery_open", 1, string(r.Host), string(step(r)))
		if r.Hold != nil {
			m.gauge(ch, "recovery_held", 1, string(r.Host), heldBy(r.Hold))
			if r.Hold.Gate != "" {
				closed[r.Hold.Gate] = true
			}
		}
		left := map[string]int{}
		for _, e := range r.Evacuations {
			if e.State == evacuate.EvacSkipped {
				left["left"]++
			}
			if e.State == evacuate.EvacFailed {
				left["failing"]++
			}
		}
		for why, k := range left {
			m.gauge(ch, "instances_not_moved", float64(k), string(r.Host), why)
		}
	}
	for o, k := range outcomes {
		m.gauge(ch, "recoveries_total", float64(k), o)
	}
	ch <- prometheus.MustNewConstHistogram(m.d["recovery_duration_seconds"], n, sum, buckets)
}

// heldBy is a word of few: the gate, or the step.
func heldBy(h *evacuate.Hold) string {
	if h.Gate != "" {
		return "gate-" + string(h.Gate)
	}
	return "step-" + string(h.Step)
}

// step is the first one that is not done yet.
func step(r *evacuate.Recovery) evacuate.Step {
	if r.Status == evacuate.StatusRecovered {
		return evacuate.StepReport
	}
	for _, s := range evacuate.Steps {
		if s == evacuate.StepDisable || (r.Status == evacuate.StatusOpen && s == evacuate.StepPowerOn) {
			continue
		}
		if !r.Done(s) {
			return s
		}
	}
	return evacuate.StepEnable
}

func (m *Metrics) gauge(ch chan<- prometheus.Metric, name string, v float64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(m.d[name], prometheus.GaugeValue, v, labels...)
}

func b(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
