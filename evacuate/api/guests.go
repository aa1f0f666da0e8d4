package api

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// AlertTwin is an instance that runs on more than one host, AlertNotRestarted one that
// was to be started again and does not run, AlertService a service that its agent watches,
// AlertBoot a host that may start guests as it boots though they run elsewhere by then.
const (
	AlertTwin         = "runs-twice"
	AlertNotRestarted = "not-restarted"
	AlertService      = "service-failed"
	AlertBoot         = "boot-unsafe"
)

// Whereabouts is where one instance is, by all that know.
type Whereabouts struct {
	Server nova.ServerID `json:"server"`
	Name   string        `json:"name,omitempty"`
	// Nova lists the hosts on which Nova places it, as it was listed last, State its state.
	Nova  []nova.HostName `json:"nova,omitempty"`
	State string          `json:"state,omitempty"`
	// Running and Paused are the hosts whose libvirt has it now.
	Running []nova.HostName `json:"running,omitempty"`
	Paused  []nova.HostName `json:"paused,omitempty"`
	// Untold are the hosts of which it is not known what runs there.
	Untold []nova.HostName `json:"untold,omitempty"`
	// Evacuation is the last recovery that moved it, or is to.
	Evacuation evacuate.RecoveryID `json:"evacuation,omitempty"`
	// Twice is the finding, if it runs on more than one.
	Twice string `json:"twice,omitempty"`
}

// Text says it to a person.
func (x Whereabouts) Text() string {
	var b strings.Builder
	line := func(what string, hosts []nova.HostName) {
		if len(hosts) > 0 {
			fmt.Fprintf(&b, "%-12s %s\n", what, strings.Join(words(hosts), ", "))
		}
	}
	fmt.Fprintf(&b, "%-12s %s\n", x.Server, x.Name)
	if x.Twice != "" {
		fmt.Fprintf(&b, "%s\n", x.Twice)
	}
	line("runs on", x.Running)
	line("paused on", x.Paused)
	line("nova says", x.Nova)
	if x.State != "" {
		fmt.Fprintf(&b, "%-12s %s\n", "state", x.State)
	}
	if x.Evacuation != "" {
		fmt.Fprintf(&b, "%-12s %s\n", "recovery", x.Evacuation)
	}
	line("not known of", x.Untold)
	return b.String()
}

func words(hosts []nova.HostName) []string {
	out := make([]string, len(hosts))
	for i, h := range hosts {
		out[i] = string(h)
	}
	return out
}

func (s *server) where(w http.ResponseWriter, r *http.Request) {
	if s.o.Where == nil {
		problem(w, http.StatusNotFound, "this controller knows of no instances")
		return
	}
	x, ok := s.o.Where(nova.ServerID(r.PathValue("id")))
	if !ok {
		problem(w, http.StatusNotFound, "no host's libvirt has instance "+r.PathValue("id")+", and Nova lists it on no host of ours")
		return
	}
	written(w, r, x)
}

func (s *server) restarts(w http.ResponseWriter, _ *http.Request) {
	reply(w, append([]evacuate.GuestRestart{}, s.o.Source.State().GuestRestarts...))
}

// guests are the metrics of what the hypervisors tell.
func (m *Metrics) guests(ch chan<- prometheus.Metric, state *evacuate.State, verdicts map[nova.HostName]detector.Verdict) {
	twins := 0
	if state.Guests != nil {
		twins = len(state.Guests.Twins)
	}
	m.gauge(ch, "instances_running_twice", float64(twins))
	for _, end := range []evacuate.GuestRestartState{evacuate.GuestDoneEnd, evacuate.GuestFailedEnd, evacuate.GuestLeftEnd} {
		ch <- prometheus.MustNewConstMetric(m.d["instance_ends_total"], prometheus.CounterValue, float64(state.GuestRestartCounts[end]), string(end))
	}
	for host, v := range verdicts {
		for name, word := range v.View.Sensors {
			if unit, is := strings.CutPrefix(name, detector.SensorService); is {
				m.gauge(ch, "host_service_up", b(!strings.HasPrefix(word, "failed") && !strings.HasPrefix(word, "unknown")), string(host), unit)
			}
		}
		if word := v.View.Sensors[detector.SensorBoot]; strings.HasPrefix(word, detector.BootSafe) || strings.HasPrefix(word, detector.BootUnsafe) {
			m.gauge(ch, "host_boot_safe", b(strings.HasPrefix(word, detector.BootSafe)), string(host))
		}
		if word, ok := v.View.Sensors[detector.SensorGuests]; ok {
			m.gauge(ch, "host_guests_known", b(!strings.HasPrefix(word, detector.GuestsUnknown)), string(host))
		}
	}
}
