package evacuate

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// novaModel is a Nova that takes its time, as measured in docs/performance.md: the API
// answers one POST after the other, each compute claims one instance after the other, and
// beyond its knee all of it thrashes.
type novaModel struct {
	name  string
	dests int
	api   time.Duration // from one answer to a POST to the next
	claim time.Duration // of one compute, the least; a quarter more at most
	knee  int           // in flight, from where on a claim takes longer; 0: none

	free  time.Time // when the API is
	busy  map[nova.HostName]time.Time
	taken int
}

const (
	modelSchedule = 300 * time.Millisecond
	modelSpawn    = 2500 * time.Millisecond
	modelDead     = nova.HostName("cmp1")
)

// take plans the course of a row that the API has just written.
func (m *novaModel) take(w *fakeWorld, r *fakeRow, now time.Time) {
	if m.free.Before(now) {
		m.free = now
	}
	m.free = m.free.Add(m.api)
	flying := 0
	for _, o := range w.rows {
		if !o.Status.Terminal() {
			flying++
		}
	}
	m.taken++
	claim := m.claim + m.claim*time.Duration(m.taken%5)/16
	if m.knee > 0 && flying > m.knee {
		claim = claim * time.Duration(flying) / time.Duration(m.knee)
	}
	dest := r.to.Host
	if dest == "" {
		dest = w.schedule(r.Source, r.to, w.server(r.Server)).name
		r.to.Host = dest
	}
	start := m.free.Add(modelSchedule)
	if m.busy[dest].After(start) {
		start = m.busy[dest]
	}
	m.busy[dest] = start.Add(claim)
	r.moves, r.spawn = m.busy[dest], modelSpawn
}

// answered is how long the answer to the POST just taken is on its way.
func (m *novaModel) answered(now time.Time) time.Duration { return max(m.free.Sub(now), pulse) }

// sweeps are the clouds that the window is held against: the lab, a larger one with a
// quicker API, and a control plane that thrashes.
var sweeps = []novaModel{
	{name: "lab, 3 destinations", dests: 3, api: 140 * time.Millisecond, claim: 600 * time.Millisecond},
	{name: "10 destinations", dests: 10, api: 70 * time.Millisecond, claim: 600 * time.Millisecond},
	{name: "20 destinations, quick API", dests: 20, api: 30 * time.Millisecond, claim: 600 * time.Millisecond},
	{name: "3 destinations, thrashes beyond 30", dests: 3, api: 140 * time.Millisecond, claim: 600 * time.Millisecond, knee: 30},
	{name: "10 destinations, thrashes beyond 20", dests: 10, api: 70 * time.Millisecond, claim: 600 * time.Millisecond, knee: 20},
}

// sweep is how long the evacuations of n servers take, from the first POST that is promised to
// the last that is done. fixed holds the window at so many; 0 lets it tune itself.
func sweep(t testing.TB, m novaModel, n, fixed int) time.Duration {
	c := newCloud(t, 0)
	c.quieter = true
	m.busy = map[nova.HostName]time.Time{}
	c.model, c.ram = &m, map[nova.HostName]int{}
	for i := range m.dests + 1 {
		c.scriptHost(nova.HostName(fmt.Sprintf("cmp%d", i+1)), "")
		c.ram[nova.HostName(fmt.Sprintf("cmp%d", i+1))] = 1 << 20
	}
	c.policy.StormCount, c.policy.StormPercent = 1, 0
	if c.policy.InFlight = sweepLimits[len(sweepLimits)-1]; fixed > 0 {
		c.policy.InFlight = fixed
	}
	c.core = NewCore(c.policy)
	for i := range n {
		c.addServer(nova.ServerID(fmt.Sprintf("vm%03d", i)), modelDead, nova.VMActive, c.start)
	}
	c.run(time.Second)
	c.host(modelDead).off()
	for range 4 * 600 {
		if fixed > 0 {
			c.core.window = window{size: float64(fixed)}
		}
		c.step()
		if r := c.recovery(modelDead); r != nil && r.Done(StepEvacuate) {
			break
		}
	}
	r := c.recovery(modelDead)
	var first, last time.Time
	for _, e := range r.Evacuations {
		if e.State != EvacDone || e.Attempt != 1 {
			t.Fatalf("%s, %d servers, limit %d: %s is %s after %d attempts: %s", m.name, n, fixed, e.Name, e.State, e.Attempt, e.Reason)
		}
		if first.IsZero() || e.Intent.Before(first) {
			first = e.Intent
		}
		if e.Ended.After(last) {
			last = e.Ended
		}
	}
	return last.Sub(first)
}

var sweepLimits = []int{5, 10, 20, 30, 40, 60, 80}

// sweepRow is the quickest of the fixed limits, and the tuned one's time.
func sweepRow(t testing.TB, m novaModel, n int, limits []int) (fixed []time.Duration, best, tuned time.Duration) {
	for _, limit := range limits {
		d := sweep(t, m, n, limit)
		if fixed = append(fixed, d); best == 0 || d < best {
			best = d
		}
	}
	return fixed, best, sweep(t, m, n, 0)
}

// TestWindowSweep: the window that tunes itself is within 15 % of the best fixed one in
// each of the clouds, though it has not been told which it is in.
func TestWindowSweep(t *testing.T) {
	clouds := sweeps
	if fewest < 100 { // the race detector takes five times as long
		clouds = sweeps[:2]
	}
	for _, m := range clouds {
		if _, best, tuned := sweepRow(t, m, 100, []int{20, 30, 40, 80}); tuned > best+best*15/100 {
			t.Errorf("%s: %s, the best fixed limit takes %s", m.name, tuned, best)
		}
	}
}

// BenchmarkWindow prints the sweep: seconds of virtual time from the first promise to the
// last instance that is done, by limit in flight.
func BenchmarkWindow(b *testing.B) {
	var text strings.Builder
	for b.Loop() {
		text.Reset()
		w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprint(w, "cloud\tservers\t")
		for _, limit := range sweepLimits {
			fmt.Fprintf(w, "%d\t", limit)
		}
		fmt.Fprintln(w, "tuned\tover best\t")
		for _, m := range sweeps {
			for _, n := range []int{20, 100} {
				fixed, best, tuned := sweepRow(b, m, n, sweepLimits)
				fmt.Fprintf(w, "%s\t%d\t", m.name, n)
				for _, d := range fixed {
					fmt.Fprintf(w, "%.1f\t", d.Seconds())
				}
				fmt.Fprintf(w, "%.1f\t%+.0f %%\t\n", tuned.Seconds(), 100*(tuned.Seconds()/best.Seconds()-1))
			}
		}
		_ = w.Flush()
	}
	fmt.Fprintf(os.Stdout, "\n%s", text.String())
}
