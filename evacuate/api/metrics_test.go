package api

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// meter registers the metrics where every descriptor is checked.
// methods are links of one method, by their matches.
func methods(all ...fence.Match) (links []evacuate.LinkStanding) {
	for _, m := range all {
		links = append(links, evacuate.LinkStanding{FenceLink: evacuate.FenceLink{Method: "ipmi", Budget: 20 * time.Second, Check: evacuate.FenceCheck{Read: start, Power: fence.On,
			Took: time.Duration(len(links)+1) * 3 * time.Second, Expires: start.Add(-time.Duration(len(links)) * time.Hour)}}, Recognition: fence.Recognition{Match: m}})
	}
	return links
}

func meter(t *testing.T, f *fake, fenceable map[nova.HostName]Fenceable) *prometheus.Registry {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	err := NewMetrics(reg, f, func() time.Time { return start }, "1.2.3", func() map[string]uint64 { return map[string]uint64{"replayed": 7} },
		func() map[nova.HostName]Fenceable { return fenceable })
	if err == nil {
		err = NewVIPMetrics(reg, func() bool { return f.status.Leads }, func() VIPStatus { return f.vip })
	}
	if err != nil {
		t.Fatal(err)
	}
	return reg
}

// scrape gives Lifeboat's series as a Prometheus would read them.
func scrape(t *testing.T, f *fake, reg *prometheus.Registry) map[string]string {
	t.Helper()
	o := options(f)
	o.Registry = reg
	a := ask(t, serve(t, o), http.MethodGet, "/metrics", "", "")
	if a.code != http.StatusOK {
		t.Fatalf("%d %s", a.code, a.body)
	}
	series := map[string]string{}
	for line := range strings.Lines(a.body) {
		if !strings.HasPrefix(line, "#") {
			i := strings.LastIndexByte(line, ' ')
			series[line[:i]] = strings.TrimSpace(line[i:])
		}
	}
	return series
}

// expect checks some series; "" stands for absent.
func expect(t *testing.T, got, want map[string]string) {
	t.Helper()
	for s, v := range want {
		if got[s] != v {
			t.Errorf("%s is %q, want %q", s, got[s], v)
		}
	}
}

func TestMetricsOfTheLeader(t *testing.T) {
	f := newFake()
	f.alerts = []Alert{{Name: AlertAgentMissing, Host: "cmp9"}, {Name: AlertAgentMissing, Host: "cmp9", Text: "twice"}, {Name: AlertAgentUnknown, Host: "cmp1.example"}}
	f.status.Cloud = detector.Cloud{Condition: detector.Storm}
	f.state.Plans = []*evacuate.Proposal{{ID: "p1", Host: "cmp1", Status: evacuate.PlanWaiting}, {ID: "p2", Host: "cmp2", Status: evacuate.PlanRejected}}
	f.state.ShadowScores = map[evacuate.Score]int{evacuate.ScoreWrong: 2}
	dog := &evacuate.Watchdog{Watchdog: detector.Watchdog{Serial: 1, Armed: true, Lease: 10 * time.Second, Timeout: 30 * time.Second, Ring: "r"}, Boot: "b-cmp1"}
	f.state.Rings = map[string][]nova.HostName{"r": {"cmp1", "cmp2"}}
	f.state.Hosts["cmp1"].Watchdog, f.state.Hosts["cmp1"].MayWatch = dog, true
	f.state.Hosts["cmp2"].Watchdog, f.state.Hosts["cmp2"].MayWatch = dog, true // of another boot
	r := f.state.Recoveries["r1"]
	r.Hold = &evacuate.Hold{Step: evacuate.StepFence, Reason: "unreachable: no answer"}
	r.Evacuations = []*evacuate.Evacuation{{State: evacuate.EvacSkipped}, {State: evacuate.EvacFailed}, {State: evacuate.EvacFailed}, {State: evacuate.EvacDone, Check: &evacuate.Check{Wrong: []string{"volume gone"}}}}
	expect(t, scrape(t, f, meter(t, f, map[nova.HostName]Fenceable{"cmp1": {Open: true, Methods: methods(fence.Same, fence.Unreadable), Storage: &evacuate.StorageTest{Program: "cut"}}, "cmp3": {Methods: methods(fence.Different), Storage: &evacuate.StorageTest{Program: "cut", Gone: true}}})), map[string]string{
		`lifeboat_is_leader`:                                   "1",
		`lifeboat_ledger_writable`:                             "1",
		`lifeboat_nova_reachable`:                              "1",
		`lifeboat_frozen`:                                      "0",
		`lifeboat_drained`:                                     "0",
		`lifeboat_plan_waiting{host="cmp1"}`:                   "1",
		`lifeboat_plan_waiting{host="cmp2"}`:                   "",
		`lifeboat_shadow_decisions_total{score="wrong"}`:       "2",
		`lifeboat_shadow_decisions_total{score="right"}`:       "0",
		`lifeboat_cloud_condition{condition="Storm"}`:          "1",
		`lifeboat_cloud_condition{condition="Normal"}`:         "0",
		`lifeboat_mode{mode="auto"}`:                           "1",
		`lifeboat_mode{mode="observe"}`:                        "0",
		`lifeboat_build_info{version="1.2.3"}`:                 "1",
		`lifeboat_host_verdict{host="cmp1",verdict="Healthy"}`: "1",
		`lifeboat_host_verdict{host="cmp1",verdict="Dead"}`:    "0",
		`lifeboat_host_verdict{host="cmp2",verdict="Dead"}`:    "1",
		`lifeboat_host_fenceable{host="cmp1"}`:                 "1",
		`lifeboat_host_fenceable{host="cmp2"}`:                 "0",
		`lifeboat_host_fenceable{host="cmp3"}`:                 "0",

		`lifeboat_host_watchdog_armed{host="cmp1"}`:                                         "1",
		`lifeboat_host_watchdog_armed{host="cmp2"}`:                                         "0",
		`lifeboat_host_storage_fence_up{host="cmp1"}`:                                       "1",
		`lifeboat_host_storage_fence_up{host="cmp3"}`:                                       "0",
		`lifeboat_host_watchdog_bound_seconds{host="cmp1"}`:                                 "45.4",
		`lifeboat_host_fencing_method_up{host="cmp1",method="ipmi"}`:                        "1",
		`lifeboat_host_fencing_reading_seconds{host="cmp1",method="ipmi"}`:                  "6",
		`lifeboat_host_fencing_margin_seconds{host="cmp1",method="ipmi"}`:                   "-5",
		`lifeboat_host_fencing_margin_seconds{host="cmp3",method="ipmi"}`:                   "7",
		`lifeboat_host_bmc_certificate_expiry_timestamp_seconds{host="cmp3",method="ipmi"}`: fmt.Sprintf("%g", float64(start.Unix())),
		`lifeboat_host_bmc_certificate_expiry_timestamp_seconds{host="cmp1",method="ipmi"}`: fmt.Sprintf("%g", float64(start.Unix()-3600)),
		`lifeboat_host_bmc_identity{host="cmp1",match="match",method="ipmi"}`:               "0",
		`lifeboat_host_bmc_identity{host="cmp1",match="unreadable",method="ipmi"}`:          "1",
		`lifeboat_host_bmc_identity{host="cmp3",match="mismatch",method="ipmi"}`:            "1",
		`lifeboat_agent_missing{host="cmp9"}`:                                               "1",
		`lifeboat_agent_unknown{host="cmp1.example"}`:                                       "1",
		`lifeboat_recovery_open{host="cmp2",step="fence"}`:                                  "1",
		`lifeboat_recovery_held{host="cmp2",reason="step-fence"}`:                           "1",
		`lifeboat_instances_not_moved{host="cmp2",reason="left"}`:                           "1",
		`lifeboat_instances_not_moved{host="cmp2",reason="failing"}`:                        "2",
		`lifeboat_instances_not_verified{host="cmp2"}`:                                      "1",
		`lifeboat_heartbeats_dropped_total{reason="replayed"}`:                              "7",
		`lifeboat_gate_closed{gate="storm"}`:                                                "0",
		`lifeboat_gate_closed{gate="fenceable"}`:                                            "",
		`lifeboat_recoveries_total{outcome="returned"}`:                                     "0",
		`lifeboat_recovery_duration_seconds_bucket{le="600"}`:                               "0",
	})
}

func TestMetricsOfAFollower(t *testing.T) {
	f := newFake()
	f.status.Leads, f.status.Writable = false, false
	got := scrape(t, f, meter(t, f, map[nova.HostName]Fenceable{"cmp1": {Open: true}}))
	expect(t, got, map[string]string{`lifeboat_is_leader`: "0", `lifeboat_ledger_writable`: "0", `lifeboat_mode{mode="auto"}`: "1"})
	for s := range got {
		for _, leaders := range []string{"lifeboat_host_", "lifeboat_recover", "lifeboat_gate_", "lifeboat_agent_", "lifeboat_instances_"} {
			if strings.HasPrefix(s, leaders) {
				t.Errorf("a follower tells %s", s)
			}
		}
	}
}

func TestGatesAndWaits(t *testing.T) {
	for _, c := range []struct {
		gate   evacuate.GateName
		closed string // of gate_closed
		held   string // of recovery_held, before there is a recovery
	}{
		{evacuate.GateStorm, "1", "1"},
		{evacuate.GateControlPlane, "1", "1"},
		{evacuate.GateFenceable, "", "1"}, // of one host
		{evacuate.GateFresh, "", "1"},
		{evacuate.GateProtected, "", ""}, // nothing to save
		{evacuate.GateConcurrency, "", ""},
		{evacuate.GateMaintenance, "", ""},
	} {
		f := newFake()
		delete(f.state.Recoveries, "r1")
		f.answers["cmp2"] = []evacuate.Answer{{Gate: evacuate.GateLeader, Pass: true}, {Gate: c.gate, Reason: "because"}}
		got := scrape(t, f, meter(t, f, nil))
		expect(t, got, map[string]string{
			fmt.Sprintf(`lifeboat_gate_closed{gate="%s"}`, c.gate):                      c.closed,
			fmt.Sprintf(`lifeboat_recovery_held{host="cmp2",reason="gate-%s"}`, c.gate): c.held,
		})
	}
	f := newFake()
	f.state.Recoveries["r1"].Hold = &evacuate.Hold{Gate: evacuate.GateControlPlane}
	f.status.Frozen, f.status.Mode, f.status.NovaAge = "by ann", evacuate.ModeObserve, -1
	expect(t, scrape(t, f, meter(t, f, nil)), map[string]string{
		`lifeboat_recovery_held{host="cmp2",reason="gate-control-plane"}`: "1",
		`lifeboat_gate_closed{gate="control-plane"}`:                      "1",
		`lifeboat_gate_closed{gate="freeze"}`:                             "1",
		`lifeboat_gate_closed{gate="armed"}`:                              "1",
		`lifeboat_frozen`:                                                 "1",
		`lifeboat_nova_reachable`:                                         "0",
	})
}

// TestRecoveriesAreCountedOnce lets the ledger forget what was counted.
func TestRecoveriesAreCountedOnce(t *testing.T) {
	f := newFake()
	reg := meter(t, f, nil)
	r := f.state.Recoveries["r1"]
	f.with(func() { r.Status, r.Recovered = evacuate.StatusRecovered, r.LastHeard.Add(25*time.Second) })
	expect(t, scrape(t, f, reg), map[string]string{`lifeboat_recovery_duration_seconds_count`: "1", `lifeboat_recovery_duration_seconds_sum`: "25",
		`lifeboat_recovery_duration_seconds_bucket{le="20"}`: "0", `lifeboat_recovery_duration_seconds_bucket{le="30"}`: "1",
		`lifeboat_recovery_open{host="cmp2",step="report"}`: "1", `lifeboat_recoveries_total{outcome="returned"}`: "0"})
	f.with(func() { r.Status, r.Outcome = evacuate.StatusClosed, evacuate.OutcomeReturned })
	want := map[string]string{`lifeboat_recovery_duration_seconds_count`: "1", `lifeboat_recoveries_total{outcome="returned"}`: "1",
		`lifeboat_recovery_open{host="cmp2",step="report"}`: ""}
	expect(t, scrape(t, f, reg), want)
	f.with(func() { f.state.Recoveries = map[evacuate.RecoveryID]*evacuate.Recovery{} })
	expect(t, scrape(t, f, reg), want) // forgotten
	f.with(func() { f.state.Recoveries["r1"] = r })
	expect(t, scrape(t, f, reg), want) // restored
	again := *r
	again.Opened, again.Outcome = r.Opened.Add(time.Hour), evacuate.OutcomeCancelled
	again.Recovered = time.Time{}
	f.with(func() { f.state.Recoveries["r1"] = &again }) // another of that name
	want[`lifeboat_recoveries_total{outcome="cancelled"}`] = "1"
	expect(t, scrape(t, f, reg), want)
}

func TestStep(t *testing.T) {
	done := func(steps ...evacuate.Step) map[evacuate.Step]*evacuate.StepRecord {
		m := map[evacuate.Step]*evacuate.StepRecord{}
		for _, s := range steps {
			m[s] = &evacuate.StepRecord{Phase: evacuate.PhaseDone}
		}
		return m
	}
	first := []evacuate.Step{evacuate.StepOpen, evacuate.StepFence, evacuate.StepForceDown, evacuate.StepList, evacuate.StepEvacuate, evacuate.StepVerify}
	all := append(slices.Clone(first), evacuate.StepReport)
	begun := func(m map[evacuate.Step]*evacuate.StepRecord, s evacuate.Step) map[evacuate.Step]*evacuate.StepRecord {
		m[s] = &evacuate.StepRecord{Phase: evacuate.PhaseIntent}
		return m
	}
	for _, c := range []struct {
		status evacuate.Status
		steps  map[evacuate.Step]*evacuate.StepRecord
		want   evacuate.Step
	}{
		{evacuate.StatusOpen, done(evacuate.StepOpen), evacuate.StepFence},
		{evacuate.StatusOpen, begun(done(evacuate.StepOpen), evacuate.StepCancel), evacuate.StepCancel},
		{evacuate.StatusOpen, done(first[:4]...), evacuate.StepEvacuate},
		{evacuate.StatusOpen, done(first...), evacuate.StepReport},
		{evacuate.StatusRecovered, done(all...), evacuate.StepReport},
		{evacuate.StatusReturning, done(all...), evacuate.StepPowerOn},
		{evacuate.StatusReturning, begun(done(all...), evacuate.StepUnforce), evacuate.StepUnforce},
		{evacuate.StatusReturning, done(append(all, evacuate.StepUnforce)...), evacuate.StepEnable},
		{evacuate.StatusReturning, done(append(all, evacuate.StepPowerOn)...), evacuate.StepUnforce},
	} {
		if got := step(&evacuate.Recovery{Status: c.status, Steps: c.steps}); got != c.want {
			t.Errorf("%s with %d steps is at %s, want %s", c.status, len(c.steps), got, c.want)
		}
	}
}

// TestRulesMatch reads the alert rules: each series they ask for must be told,
// with the labels and label values they compare.
func TestRulesMatch(t *testing.T) {
	rules, err := os.ReadFile("../../deploy/prometheus/lifeboat.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	f := newFake()
	f.status.Cloud, f.vip = detector.Cloud{Condition: detector.Normal}, splitVIP()
	f.alerts = []Alert{{Name: AlertAgentMissing, Host: "cmp9"}, {Name: AlertAgentUnknown, Host: "cmp8"}}
	r := f.state.Recoveries["r1"]
	r.Hold = &evacuate.Hold{Gate: evacuate.GateStorm}
	f.state.Hosts["cmp1"].Watchdog, f.state.Hosts["cmp1"].MayWatch = &evacuate.Watchdog{}, true
	f.state.Plans = []*evacuate.Proposal{{ID: "p1", Host: "cmp1", Status: evacuate.PlanWaiting}}
	r.Evacuations = []*evacuate.Evacuation{{State: evacuate.EvacSkipped}, {State: evacuate.EvacPlanned, Waits: "waits for room"},
		{State: evacuate.EvacDone, Check: &evacuate.Check{Wrong: []string{"volume gone"}}}}
	f.status.Spare = &evacuate.Spare{Known: true}
	v := f.verdicts["cmp1"]
	v.View.Sensors = map[string]string{sensorGate: "closed: recovery r1 is under way", detector.SensorBoot: "safe", detector.SensorGuests: "2 running, 0 paused (ab)", "service:nova-compute.service": "active"}
	f.verdicts["cmp1"] = v
	told := map[string]map[string]string{} // name → label → all values
	for s := range scrape(t, f, meter(t, f, map[nova.HostName]Fenceable{"cmp1": {Methods: methods(fence.Same), Storage: &evacuate.StorageTest{}}})) {
		name, rest, _ := strings.Cut(s, "{")
		if told[name] == nil {
			told[name] = map[string]string{}
		}
		for _, m := range regexp.MustCompile(`(\w+)="([^"]*)"`).FindAllStringSubmatch(rest, -1) {
			told[name][m[1]] += "|" + m[2] + "|"
		}
	}
	for _, s := range detector.States { // a verdict that no rule may misspell
		told["lifeboat_host_verdict"]["verdict"] += "|" + string(s) + "|"
	}
	told["lifeboat_notifications_total"] = map[string]string{"result": "|sent||failed||dropped|", "target": "||"} // by evacuate/notify
	told["lifeboat_recovery_open"]["step"] = "|" + strings.Join(stepNames(), "||") + "|"
	found := regexp.MustCompile(`(lifeboat_\w+)(?:\{([^}]*)\})?`).FindAllStringSubmatch(exprs(string(rules)), -1)
	if len(found) < 18 {
		t.Fatalf("only %d series found in the rules", len(found))
	}
	for _, m := range found {
		labels, ok := told[m[1]]
		if !ok {
			t.Errorf("the rules ask for %s, which nobody tells", m[1])
			continue
		}
		for _, l := range regexp.MustCompile(`(\w+)[=!]~?"([^"]*)"`).FindAllStringSubmatch(m[2], -1) {
			for _, v := range strings.Split(l[2], "|") {
				if !strings.Contains(labels[l[1]], "|"+v+"|") {
					t.Errorf("the rules compare %s{%s} with %q, which nobody tells", m[1], l[1], v)
				}
			}
		}
	}
}

func stepNames() []string {
	var names []string
	for _, s := range evacuate.Steps {
		names = append(names, string(s))
	}
	return names
}

// exprs gives the expressions of rules.
func exprs(rules string) string {
	var b strings.Builder
	for line := range strings.Lines(rules) {
		if e, ok := strings.CutPrefix(strings.TrimSpace(line), "expr:"); ok {
			_, _ = io.WriteString(&b, e+"\n")
		}
	}
	return b.String()
}

func TestLint(t *testing.T) {
	f := newFake()
	families, err := meter(t, f, map[nova.HostName]Fenceable{"cmp1": {Open: true, Methods: methods(fence.Same)}}).Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// What is left, who waits, and the start gates, as the leader tells them.
func TestMetricsOfEvacuation(t *testing.T) {
	f := newFake()
	f.status.Spare = &evacuate.Spare{Known: true, Failures: 2, Domains: []string{"rack r1"}}
	r := f.state.Recoveries["r1"]
	r.Evacuations = []*evacuate.Evacuation{{State: evacuate.EvacPlanned, Waits: "waits for room: no host has 1 MiB left"}, {State: evacuate.EvacPlanned, Waits: "waits for its group db"}, {State: evacuate.EvacDone}}
	v := f.verdicts["cmp1"]
	v.View.Sensors = map[string]string{sensorGate: "overridden by ann: the site restarts", detector.SensorBoot: detector.BootUnsafe + ": 2 instances autostart"}
	f.verdicts["cmp1"] = v
	f.verdicts["safe"] = detector.Verdict{View: detector.View{Sensors: map[string]string{detector.SensorBoot: detector.BootSafe}}}
	f.verdicts["unknown"] = detector.Verdict{View: detector.View{Sensors: map[string]string{detector.SensorBoot: detector.BootUnknown + ": systemd"}}}
	got := scrape(t, f, meter(t, f, nil))
	for series, want := range map[string]string{
		`lifeboat_capacity_known`: "1", `lifeboat_capacity_spare_failures`: "2", `lifeboat_capacity_crowded_domains`: "1",
		`lifeboat_instances_waiting{host="` + string(r.Host) + `"}`: "1",
		`lifeboat_host_boot_safe{host="cmp1"}`:                      "0", `lifeboat_host_boot_safe{host="safe"}`: "1",
		`lifeboat_host_start_gate{host="cmp1",state="overridden"}`: "1", `lifeboat_host_start_gate{host="cmp1",state="closed"}`: "0", `lifeboat_host_start_gate{host="cmp1",state="open"}`: "0",
	} {
		if v, ok := got[series]; !ok || v != want {
			t.Errorf("%s is %v (%t), want %v", series, v, ok, want)
		}
	}
	if _, ok := got[`lifeboat_host_boot_safe{host="unknown"}`]; ok {
		t.Error("what is not known of a boot is told")
	}
	f.status.Spare = &evacuate.Spare{Reason: "Placement is silent"}
	if _, ok := scrape(t, f, meter(t, f, nil))["lifeboat_capacity_spare_failures"]; ok {
		t.Error("a figure that is not known is told")
	}
}

func TestMetricsWithoutHooks(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	if err := NewMetrics(reg, newFake(), time.Now, "dev", nil, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := reg.Gather(); err != nil {
		t.Error(err)
	}
}
