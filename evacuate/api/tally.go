package api

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lifeboat-ha/lifeboat/evacuate"
)

// tally counts recoveries as they end. The ledger forgets old ones; a counter
// must not, so each is counted once, when it is first seen ended.
type tally struct {
	mu       sync.Mutex
	seen     map[ended]bool
	outcomes *prometheus.CounterVec
	took     prometheus.Histogram
}

// ended is one end of one recovery. Opened tells it from another of the same
// name after a restore.
type ended struct {
	id     evacuate.RecoveryID
	opened int64
	closed bool // else recovered
}

func newTally() *tally {
	t := &tally{
		seen:     map[ended]bool{},
		outcomes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lifeboat_recoveries_total", Help: "Recoveries that ended, by outcome."}, []string{"outcome"}),
		took: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "lifeboat_recovery_duration_seconds",
			Help:    "From the last heartbeat to the last instance up.",
			Buckets: []float64{10, 15, 20, 30, 45, 60, 120, 300, 600, 900, 1800, 3600}}),
	}
	for _, o := range []string{evacuate.OutcomeReturned, evacuate.OutcomeCancelled, evacuate.OutcomeForgotten} {
		t.outcomes.WithLabelValues(o)
	}
	return t
}

// count looks for recoveries that have ended since it looked last.
func (t *tally) count(s *evacuate.State) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range s.Sorted() {
		if !r.Recovered.IsZero() && t.first(r, false) && !r.LastHeard.IsZero() {
			t.took.Observe(r.Recovered.Sub(r.LastHeard).Seconds())
		}
		if r.Status == evacuate.StatusClosed && t.first(r, true) {
			t.outcomes.WithLabelValues(r.Outcome).Inc()
		}
	}
}

// first says that an end of a recovery was not counted yet, and counts it.
func (t *tally) first(r *evacuate.Recovery, closed bool) bool {
	key := ended{r.ID, r.Opened.UnixNano(), closed}
	old := t.seen[key]
	t.seen[key] = true
	return !old
}

func (t *tally) describe(ch chan<- *prometheus.Desc) {
	t.outcomes.Describe(ch)
	t.took.Describe(ch)
}

func (t *tally) collect(ch chan<- prometheus.Metric) {
	t.outcomes.Collect(ch)
	t.took.Collect(ch)
}
