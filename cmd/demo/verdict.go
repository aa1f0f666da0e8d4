package demo

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/evacuate"
)

// verdict looks at the truth and not at Lifeboat: every server runs once.
func (r *run) verdict() error {
	var faults []string
	for id, on := range r.nova.Copies() {
		if len(on) != 1 {
			faults = append(faults, fmt.Sprintf("server %s runs on %d hosts", id, len(on)))
		}
	}
	for _, v := range r.nova.Violations() {
		faults = append(faults, v.String())
	}
	fenced := map[string]bool{}
	for _, c := range r.bmc.Commands() {
		if strings.HasPrefix(c.Reset, "Force") {
			fenced[c.System] = true
		}
	}
	fmt.Fprintf(r.out, "\n  %-7s %-12s %8s %8s %8s %8s  %s\n", "host", "died by", "decided", "fenced", "first", "all up", "instances")
	for i, rec := range r.ctls[0].State().Sorted() {
		how := []string{"power cut", "kernel hang"}[min(i, 1)]
		fmt.Fprintf(r.out, "  %-7s %-12s %7.1fs %7.1fs %7.1fs %7.1fs  %d of %d, each once; %s\n", rec.Host, how, since(rec, rec.Opened), since(rec, rec.Steps[evacuate.StepFence].Ended),
			since(rec, firstUp(rec)), since(rec, rec.Recovered), rec.Count()[evacuate.EvacDone], len(rec.Evacuations), rec.Outcome)
		for _, e := range rec.Evacuations {
			if n := r.nova.EvacuatePosts(e.Server); n != 1 {
				faults = append(faults, fmt.Sprintf("%d evacuate POSTs for %s", n, e.Server))
			}
		}
		if !fenced[string(rec.Host)] {
			faults = append(faults, fmt.Sprintf("%s was not powered off", rec.Host))
		}
	}
	fmt.Fprintf(r.out, "  (seconds after each host was last heard; %d servers run, no other host was touched)\n\n", hosts*perHost)
	if len(fenced) != 2 {
		faults = append(faults, fmt.Sprintf("%d hosts were powered off, not two", len(fenced)))
	}
	if len(faults) > 0 {
		slices.Sort(faults)
		return errors.New("the demonstration failed: " + strings.Join(faults, "; "))
	}
	r.say("done: the cloud is whole")
	return nil
}

func since(r *evacuate.Recovery, t time.Time) float64 { return t.Sub(r.LastHeard).Seconds() }

func firstUp(r *evacuate.Recovery) time.Time {
	var first time.Time
	for _, e := range r.Evacuations {
		if e.State == evacuate.EvacDone && (first.IsZero() || e.Ended.Before(first)) {
			first = e.Ended
		}
	}
	return first
}
