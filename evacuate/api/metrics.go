package api

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// Metrics computes the gauges at each scrape out of what the API reads. Series
// of hosts, recoveries and gates are the leader's alone.
type Metrics struct {
	source Source
	// Dropped counts dropped heartbeats by reason.
	dropped func() map[string]uint64
	// Fenceable says of each host whether its gate fenceable is open.
	fenceable func() map[nova.HostName]Fenceable
	version   string
	now       func() time.Time
	d         map[string]*prometheus.Desc
	ended     *tally
}

// NewMetrics registers the collector. dropped and fenceable may be nil.
func NewMetrics(reg prometheus.Registerer, s Source, now func() time.Time, version string, dropped func() map[string]uint64, fenceable func() map[nova.HostName]Fenceable) error {
	if dropped == nil {
		dropped = func() map[string]uint64 { return nil }
	}
	if fenceable == nil {
		fenceable = func() map[nova.HostName]Fenceable { return nil }
	}
	m := &Metrics{source: s, now: now, version: version, dropped: dropped, fenceable: fenceable, d: map[string]*prometheus.Desc{}, ended: newTally()}
	for _, x := range []struct {
		name, help string
		labels     []string
	}{
		{"is_leader", "1 on the controller that leads.", nil},
		{"ledger_writable", "1 if the ledger would take an entry, as far as this controller knows.", nil},
		{"nova_reachable", "1 if Nova answered lately (leader).", nil},
		{"mode", "1 for the mode in force.", []string{"mode"}},
		{"cloud_condition", "1 for the condition of the whole cloud (leader; without one LedgerReadOnly).", []string{"condition"}},
		{"frozen", "1 while a freeze is in force.", nil},
		{"drained", "1 while nothing new is opened.", nil},
		{"plan_waiting", "1 for each host whose plan waits for a person's answer.", []string{"host"}},
		{"shadow_decisions_total", "What the mode shadow would have done, by how it turned out.", []string{"score"}},
		{"host_verdict", "1 for the verdict on a host.", []string{"host", "verdict"}},
		{"host_fenceable", "1 if the host's fencing was seen to work lately.", []string{"host"}},
		{"host_fencing_method_up", "1 if the fencing method told the power when it was last asked.", []string{"host", "method"}},
		{"host_fencing_reading_seconds", "How long the fencing method last took to tell the power.", []string{"host", "method"}},
		{"host_fencing_margin_seconds", "What the fencing method's budget leaves beyond a proof at that pace; negative: none can be had.", []string{"host", "method"}},
		{"host_bmc_certificate_expiry_timestamp_seconds", "When the trust in the fencing device's certificate ends.", []string{"host", "method"}},
		{"host_storage_fence_up", "1 if the program that takes storage away said, when it was last asked, that the living host has it; only where it is called.", []string{"host"}},
		{"host_watchdog_armed", "1 if the host's own watchdog would prove its death now; only where it may be armed.", []string{"host"}},
		{"host_watchdog_bound_seconds", "From the host's last heartbeat to the surest reset by its own watchdog.", []string{"host"}},
		{"host_bmc_identity", "1 for how the machine behind a fencing method compares with the host.", []string{"host", "method", "match"}},
		{"host_start_gate", "1 for the state of a host's start gate, as its agent tells it.", []string{"host", "state"}},
		{"host_boot_safe", "0 if the host may start guests as it boots that run elsewhere by then, or has no start gate; where its agent knows.", []string{"host"}},
		{"recovery_open", "1 for each recovery that is not closed, at its step.", []string{"host", "step"}},
		{"recovery_instances", "Instances of a recovery whose evacuations are under way, by how far they are.", []string{"host", "state"}},
		{"recovery_left_seconds", "How long the rest of a recovery's instances will take at the pace seen; without those that wait.", []string{"host"}},
		{"recovery_held", "1 for each recovery that waits, opened or not, and why.", []string{"host", "reason"}},
		{"gate_closed", "1 for a gate of the whole cloud that is closed; for control-plane and storm: that holds a dead host.", []string{"gate"}},
		{"agent_missing", "1 for a nova-compute without an agent.", []string{"host"}},
		{"agent_unknown", "1 for an agent that Nova does not know.", []string{"host"}},
		{"instances_not_moved", "Instances left on a fenced host.", []string{"host", "reason"}},
		{"instances_not_verified", "Instances moved off a host that are not as they were: state, power, lock, volumes or ports.", []string{"host"}},
		{"capacity_known", "1 if Placement told lately what is left on the hosts (leader).", nil},
		{"capacity_spare_failures", "How many hosts, the fullest first, may die so that every instance still finds room (leader).", nil},
		{"capacity_crowded_domains", "Failure domains that could not fall as a whole (leader).", nil},
		{"instances_waiting", "Instances of a dead host that wait to be sent: for room, or for a member of their affinity group.", []string{"host"}},
		{"instances_running_twice", "Instances that run on more than one host, as the hosts' libvirt says (leader).", nil},
		{"instance_ends_total", "Instances that ended by themselves while their host lived, by what was done: done (they run again), failed, left (leader).", []string{"outcome"}},
		{"host_service_up", "0 if a service that the host's agent watches has failed, or cannot be asked.", []string{"host", "service"}},
		{"host_guests_known", "1 if the host's libvirt tells which instances run on it.", []string{"host"}},
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
	m.ended.describe(ch)
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	st := m.source.Status()
	m.gauge(ch, "build_info", 1, m.version)
	m.gauge(ch, "is_leader", b(st.Leads))
	m.gauge(ch, "ledger_writable", b(st.Writable))
	m.gauge(ch, "frozen", b(st.Frozen != ""))
	m.gauge(ch, "drained", b(st.Drained != ""))
	for _, mode := range evacuate.Modes {
		m.gauge(ch, "mode", b(mode == st.Mode), string(mode))
	}
	if st.Cloud.Condition != "" {
		for _, c := range detector.Conditions {
			m.gauge(ch, "cloud_condition", b(c == st.Cloud.Condition), string(c))
		}
	}
	for reason, n := range m.dropped() {
		ch <- prometheus.MustNewConstMetric(m.d["heartbeats_dropped_total"], prometheus.CounterValue, float64(n), reason)
	}
	m.gauge(ch, "nova_reachable", b(st.NovaAge >= 0 && st.NovaError == ""))
	state := m.source.State()
	for _, score := range evacuate.Scores { // replicated: the same everywhere
		ch <- prometheus.MustNewConstMetric(m.d["shadow_decisions_total"], prometheus.CounterValue, float64(state.ShadowScores[score]), string(score))
	}
	m.ended.count(state) // on followers too: a new leader has counted all along
	if st.Spare != nil {
		m.gauge(ch, "capacity_known", b(st.Spare.Known))
		if st.Spare.Known {
			m.gauge(ch, "capacity_spare_failures", float64(st.Spare.Failures))
			m.gauge(ch, "capacity_crowded_domains", float64(len(st.Spare.Domains)))
		}
	}
	if st.Leads {
		m.leader(ch, st, state)
		m.ended.collect(ch)
	}
}

func (m *Metrics) leader(ch chan<- prometheus.Metric, st Status, state *evacuate.State) {
	verdicts, fenceable := m.source.Verdicts(), m.fenceable()
	closed := map[evacuate.GateName]bool{
		evacuate.GateLeader: !st.Leads, evacuate.GateLedger: !st.Writable,
		evacuate.GateFreeze: st.Frozen != "", evacuate.GateArmed: st.Mode != evacuate.ModeAuto, evacuate.GateDrain: st.Drained != "",
	}
	for name, v := range verdicts {
		for _, s := range detector.States {
			m.gauge(ch, "host_verdict", b(s == v.State), string(name), string(s))
		}
		if word, ok := v.View.Sensors[sensorGate]; ok {
			for _, state := range gateStates {
				m.gauge(ch, "host_start_gate", b(strings.HasPrefix(word, state)), string(name), state)
			}
		}
		if _, asked := fenceable[name]; !asked {
			m.gauge(ch, "host_fenceable", 0, string(name))
		}
		if gate := m.waits(state, v, name); gate != "" {
			closed[gate] = true
			m.gauge(ch, "recovery_held", 1, string(name), heldBy(&evacuate.Hold{Gate: gate}))
		}
	}
	m.guests(ch, state, verdicts)
	for _, p := range state.Plans {
		if p.Status == evacuate.PlanWaiting {
			m.gauge(ch, "plan_waiting", 1, string(p.Host))
		}
	}
	for name, f := range fenceable {
		m.gauge(ch, "host_fenceable", b(f.Open), string(name))
		m.methods(ch, name, f.Methods)
		if f.Storage != nil {
			m.gauge(ch, "host_storage_fence_up", b(f.Storage.Fault() == ""), string(name))
		}
	}
	for name, h := range state.Hosts {
		if w, lack := state.WatchdogOf(name); w != nil && h.MayWatch {
			m.gauge(ch, "host_watchdog_armed", b(lack == ""), string(name))
			m.gauge(ch, "host_watchdog_bound_seconds", w.Bound().Seconds(), string(name))
		}
	}
	m.agents(ch)
	m.recoveries(ch, state, closed)
	for _, g := range gateNames {
		m.gauge(ch, "gate_closed", b(closed[g]), string(g))
	}
}

// Fenceable says whether a host could be fenced if it died now, why not, and what is
// known of its methods.
type Fenceable struct {
	Open     bool
	Standing evacuate.Standing
	Reason   string
	Methods  []evacuate.LinkStanding
	// Storage is what the program that takes storage away said last; nil: nothing yet.
	Storage *evacuate.StorageTest
}

// methods tells what preflight found; of two methods of a name the worse counts.
func (m *Metrics) methods(ch chan<- prometheus.Metric, host nova.HostName, links []evacuate.LinkStanding) {
	worst := map[string]fence.Match{}
	for _, l := range links {
		if before, ok := worst[l.Method]; !ok || slices.Index(matches, l.Match) > slices.Index(matches, before) {
			worst[l.Method] = l.Match
		}
	}
	m.preflight(ch, host, links)
	for method, match := range worst {
		for _, x := range matches {
			m.gauge(ch, "host_bmc_identity", b(x == match), string(host), method, string(x))
		}
	}
}

// preflight tells how each method answers; of several of a name the worst counts.
func (m *Metrics) preflight(ch chan<- prometheus.Metric, host nova.HostName, links []evacuate.LinkStanding) {
	type sum struct {
		up, took, margin, expiry float64
		timed                    bool
	}
	all := map[string]*sum{}
	for _, l := range links {
		c := l.Check
		if c.Read.IsZero() {
			continue
		}
		s := all[l.Method]
		if s == nil {
			s = &sum{up: 1, margin: math.Inf(1), expiry: math.Inf(1)}
			all[l.Method] = s
		}
		s.up = min(s.up, b(c.Power != fence.Unknown))
		if c.Power != fence.Unknown {
			s.timed, s.took = true, max(s.took, c.Took.Seconds())
			s.margin = min(s.margin, (l.Budget - fence.Needs(c.Took)).Seconds())
		}
		if !c.Expires.IsZero() {
			s.expiry = min(s.expiry, float64(c.Expires.Unix()))
		}
	}
	for method, s := range all {
		m.gauge(ch, "host_fencing_method_up", s.up, string(host), method)
		if s.timed {
			m.gauge(ch, "host_fencing_reading_seconds", s.took, string(host), method)
			m.gauge(ch, "host_fencing_margin_seconds", s.margin, string(host), method)
		}
		if !math.IsInf(s.expiry, 1) {
			m.gauge(ch, "host_bmc_certificate_expiry_timestamp_seconds", s.expiry, string(host), method)
		}
	}
}

// matches are in order, the best first.
var matches = []fence.Match{fence.Same, fence.Unreadable, fence.Different}

// waits names the gate before which a dead host waits without a recovery, ""
// if somebody wanted it so or it ends by itself.
func (m *Metrics) waits(state *evacuate.State, v detector.Verdict, name nova.HostName) evacuate.GateName {
	if v.State != detector.Dead && !v.Condemned() || state.Open(name) != nil {
		return ""
	}
	x, ok := m.source.Explain(name)
	if !ok {
		return ""
	}
	if a, shut := evacuate.Closed(x.Answers); shut && slices.Contains(attended, a.Gate) {
		return a.Gate
	}
	return ""
}

// agents are the alerts of hosts that only Nova, or only an agent, knows. A
// host may have several of a name; a series has one value.
func (m *Metrics) agents(ch chan<- prometheus.Metric) {
	told := map[Alert]bool{}
	for _, a := range m.source.Alerts() {
		key := Alert{Name: a.Name, Host: a.Host}
		if told[key] {
			continue
		}
		told[key] = true
		switch a.Name {
		case AlertAgentMissing:
			m.gauge(ch, "agent_missing", 1, string(a.Host))
		case AlertAgentUnknown:
			m.gauge(ch, "agent_unknown", 1, string(a.Host))
		}
	}
}

// Names of alerts that are metrics too.
const (
	AlertAgentMissing = "agent-missing"
	AlertAgentUnknown = "agent-unknown"
	AlertHeld         = "recovery-held"
	AlertFailback     = "failback-stopped"
	AlertPlanWaiting  = "plan-waiting"
	// AlertRestartNoHelp is an agent of OpenStack that is down after its restart.
	AlertRestartNoHelp = "agent-restart-no-help"
	AlertShadowWrong   = "shadow-wrong"
	AlertFencing       = "fencing-method" // what ails a method that may still work
	AlertStorageFence  = "storage-fence"  // what ails the program that takes storage away
	AlertNotFenceable  = "not-fenceable"  // a source lists each host whose gate fenceable is shut
)

// sensorGate is how agents tell of their start gate: one of these words first.
const sensorGate = "start-gate"

var gateStates = []string{"open", "closed", "overridden"}

// gateNames are the gates that can be closed for the whole cloud; what a
// single host waits for is told by recovery_held.
var gateNames = []evacuate.GateName{
	evacuate.GateLeader, evacuate.GateLedger, evacuate.GateFreeze, evacuate.GateDrain, evacuate.GateArmed, evacuate.GateControlPlane, evacuate.GateStorm,
}

// attended are the gates before which a dead host waits for a person. Leader,
// ledger, freeze and armed have alerts of their own; concurrency ends by
// itself; protected and maintenance are meant.
var attended = []evacuate.GateName{evacuate.GateFresh, evacuate.GateControlPlane, evacuate.GateStorm, evacuate.GateFenceable, evacuate.GateCapacity}

func (m *Metrics) recoveries(ch chan<- prometheus.Metric, s *evacuate.State, closed map[evacuate.GateName]bool) {
	for _, r := range s.Sorted() {
		if r.Status == evacuate.StatusClosed {
			continue
		}
		m.gauge(ch, "recovery_open", 1, string(r.Host), string(step(r)))
		if r.Hold != nil {
			m.gauge(ch, "recovery_held", 1, string(r.Host), heldBy(r.Hold))
			if r.Hold.Gate != "" {
				closed[r.Hold.Gate] = true
			}
		}
		if p := r.ProgressAt(m.now()); p != nil {
			m.gauge(ch, "recovery_instances", float64(p.Done), string(r.Host), "done")
			m.gauge(ch, "recovery_instances", float64(p.InFlight), string(r.Host), "in_flight")
			m.gauge(ch, "recovery_instances", float64(p.Waiting), string(r.Host), "waiting")
			m.gauge(ch, "recovery_instances", float64(p.Of-p.Done-p.InFlight-p.Waiting), string(r.Host), "planned")
			if p.Left != nil {
				m.gauge(ch, "recovery_left_seconds", p.Left.Seconds(), string(r.Host))
			}
		}
		n := r.Count()
		m.left(ch, r.Host, "left", n[evacuate.EvacSkipped])
		m.left(ch, r.Host, "failing", n[evacuate.EvacFailed])
		if wrong, _ := r.Unverified(); wrong > 0 {
			m.gauge(ch, "instances_not_verified", float64(wrong), string(r.Host))
		}
		if waiting := r.Stalled(); waiting > 0 {
			m.gauge(ch, "instances_waiting", float64(waiting), string(r.Host))
		}
	}
}

func (m *Metrics) left(ch chan<- prometheus.Metric, host nova.HostName, why string, n int) {
	if n > 0 {
		m.gauge(ch, "instances_not_moved", float64(n), string(host), why)
	}
}

// heldBy is a word of few: the gate, or the step.
func heldBy(h *evacuate.Hold) string {
	if h.Gate != "" {
		return "gate-" + string(h.Gate)
	}
	return "step-" + string(h.Step)
}

// step is the first one that is not done yet. Disable runs beside fence, and a
// host that came on by itself needs no power-on.
func step(r *evacuate.Recovery) evacuate.Step {
	begun := func(s evacuate.Step) bool { return r.Steps[s] != nil && !r.Done(s) }
	switch {
	case begun(evacuate.StepCancel):
		return evacuate.StepCancel
	case r.Status == evacuate.StatusRecovered:
		return evacuate.StepReport
	case begun(evacuate.StepUnforce):
		return evacuate.StepUnforce
	}
	for _, s := range evacuate.Steps {
		if (s == evacuate.StepFenceStorage || s == evacuate.StepUnfenceStorage) && !begun(s) {
			continue // nobody is asked for it where no program is configured
		}
		skip := s == evacuate.StepDisable || s == evacuate.StepPowerOn && (r.Status == evacuate.StatusOpen || r.Done(evacuate.StepUnforce))
		if !skip && !r.Done(s) {
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
