package bench

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/lifeboat-ha/lifeboat/config"
)

type simPolicy = config.Policy

// extent is how much is measured.
type extent struct {
	hosts    []int
	profiles []string
	troubles int // the first so many
	deaths   int // of each kind a row
}

// scope goes by LIFEBOAT_BENCH: quick (the default) takes minutes and finds what
// is badly wrong, full is the table of docs/performance.md. LIFEBOAT_BENCH_HOSTS
// and _DEATHS choose a part of it.
var scope = sync.OnceValue(func() extent {
	s := extent{hosts: []int{50}, profiles: []string{config.ProfileDefault, config.ProfileFast}, troubles: 1, deaths: 10}
	if os.Getenv("LIFEBOAT_BENCH") == "full" {
		s.hosts, s.troubles, s.deaths = []int{50, 200, 500}, len(troubles), 100
	}
	number := func(text string) int {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			panic(fmt.Sprintf("%q is no number of hosts or deaths", text))
		}
		return n
	}
	if list := os.Getenv("LIFEBOAT_BENCH_HOSTS"); list != "" {
		s.hosts = nil
		for text := range strings.SplitSeq(list, ",") {
			s.hosts = append(s.hosts, number(text))
		}
	}
	if text := os.Getenv("LIFEBOAT_BENCH_DEATHS"); text != "" {
		s.deaths = number(text)
	}
	return s
})

// row is one line of the table.
type row struct {
	hosts            int
	profile, trouble string

	power, hang, plain     []time.Duration // from death to decision
	missed, plainMissed    int
	falseFences, falseDead int
	falseSuspect           int
	plainAnyone, plainMost int
	clouds                 int
	lasted, watched        time.Duration // virtual; hosts × virtual
	broken                 []string
}

// percentile takes the smallest value that at least this share does not exceed.
func percentile(all []time.Duration, share float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	all = slices.Sorted(slices.Values(all))
	i := int(share*float64(len(all))+0.999999) - 1
	return all[min(max(i, 0), len(all)-1)]
}

var table struct {
	mu   sync.Mutex
	rows []*row
}

// report gives the row to benchstat, and to the table.
func (r *row) report(b *testing.B) {
	for name, all := range map[string][]time.Duration{"power": r.power, "hang": r.hang, "memberlist": r.plain} {
		b.ReportMetric(percentile(all, 0.5).Seconds(), "s-"+name+"-p50")
		b.ReportMetric(percentile(all, 0.99).Seconds(), "s-"+name+"-p99")
	}
	b.ReportMetric(float64(len(r.power)), "deaths-power")
	b.ReportMetric(float64(len(r.hang)), "deaths-hang")
	b.ReportMetric(float64(r.missed), "missed")
	b.ReportMetric(float64(r.falseFences), "false-fences")
	b.ReportMetric(float64(r.falseDead), "false-verdicts")
	b.ReportMetric(float64(r.falseSuspect), "false-suspicions")
	b.ReportMetric(r.perHour(r.plainAnyone), "memberlist-false/h")
	b.ReportMetric(r.perHour(r.plainMost), "memberlist-false-most/h")
	b.ReportMetric(r.watched.Hours(), "host·h")
	b.ReportMetric(0, "ns/op")
	for _, t := range r.broken {
		b.Errorf("an invariant was broken: %s", t)
	}
	if r.falseFences > 0 {
		b.Errorf("%d living hosts were fenced", r.falseFences)
	}
	table.mu.Lock()
	defer table.mu.Unlock()
	if !slices.Contains(table.rows, r) {
		table.rows = append(table.rows, r)
	}
	r.print()
}

func (r *row) perHour(n int) float64 { return float64(n) / max(r.lasted.Hours(), 1e-9) }

const heading = "hosts\tprofile\ttrouble\tpower cut p50\tp99\tn\thang p50\tp99\tn\tmissed\tfalse fenced\tfalse Dead\tfalse Suspect\thost hours\tmemberlist p50\tp99\tn\tmissed\tfalse deaths/h\tby most/h\t\n"

func (r *row) line() string {
	s := func(all []time.Duration, share float64) string {
		return fmt.Sprintf("%.1f", percentile(all, share).Seconds())
	}
	return fmt.Sprintf("%d\t%s\t%s\t%s\t%s\t%d\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%.1f\t%s\t%s\t%d\t%d\t%.1f\t%.1f\t\n", r.hosts, r.profile, r.trouble,
		s(r.power, 0.5), s(r.power, 0.99), len(r.power), s(r.hang, 0.5), s(r.hang, 0.99), len(r.hang), r.missed,
		r.falseFences, r.falseDead, r.falseSuspect, r.watched.Hours(),
		s(r.plain, 0.5), s(r.plain, 0.99), len(r.plain), r.plainMissed, r.perHour(r.plainAnyone), r.perHour(r.plainMost))
}

// print shows a row at once: a whole table takes long.
func (r *row) print() {
	fmt.Fprintln(os.Stderr, strings.TrimSpace(strings.ReplaceAll(r.line(), "\t", " ")))
}

// TestMain prints the table at the end.
func TestMain(m *testing.M) {
	code := m.Run()
	if len(table.rows) > 0 {
		w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintf(w, "\nDetection, seconds of virtual time from death to decision\n%s", heading)
		for _, r := range table.rows {
			fmt.Fprint(w, r.line())
		}
		_ = w.Flush()
	}
	os.Exit(code)
}
