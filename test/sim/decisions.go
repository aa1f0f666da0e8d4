package sim

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/lifeboat-ha/lifeboat/evacuate"
)

// numbers are what differs from run to run in a line of the ledger: durations,
// counts of observers, who led, ids.
var numbers = []struct {
	find *regexp.Regexp
	put  string
}{
	{regexp.MustCompile(`\b[0-9]+(\.[0-9]+)?(ms|µs|s|m[0-9]|m|h)[0-9hms.]*\b`), "~"},
	{regexp.MustCompile(`\bctl[0-9]\b`), "ctl"},
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]+`), "id"},
	{regexp.MustCompile(`\breq-\S+`), "request"},
	{regexp.MustCompile(`\bterm [0-9]+`), "term n"},
	{regexp.MustCompile(`\brow [0-9]+`), "row n"}, // of two requests at once either may be the first
}

func plain(s string) string {
	for _, n := range numbers {
		s = n.find.ReplaceAllString(s, n.put)
	}
	return s
}

// decisions is the golden log: for each recovery, the order in which its steps were
// done, and what became of the instances. Left out is what differs from run to
// run: which witness was the first to tell, who of several hosts came first, and
// the disabling, which nothing waits for. Hosts with the same story share it.
func (c *Cloud) decisions() string {
	l := c.leader()
	if l == nil {
		return "nobody leads\n"
	}
	all := l.ctl.State().Sorted()
	slices.SortStableFunc(all, func(a, b *evacuate.Recovery) int { return strings.Compare(string(a.Host), string(b.Host)) })
	var hosts, stories []string
	for _, r := range all {
		s := decided(r)
		if n := len(stories); n > 0 && stories[n-1] == s {
			hosts[n-1] += " " + string(r.Host)
			continue
		}
		hosts, stories = append(hosts, string(r.Host)), append(stories, s)
	}
	if len(hosts) == 0 {
		return "no recovery\n"
	}
	var b strings.Builder
	for i, h := range hosts {
		fmt.Fprintf(&b, "%s\n%s", h, stories[i])
	}
	return b.String()
}

func decided(r *evacuate.Recovery) string {
	lines := append([]string{string(r.Verdict)}, doneIn(r)...)
	lines = append(lines, instances(r)...)
	end := string(r.Status)
	if r.Outcome != "" {
		end += ", " + r.Outcome
	}
	if r.Void != "" {
		end += ", proof void: " + plain(r.Void)
	}
	if h := r.Hold; h != nil && r.Status != evacuate.StatusClosed {
		end += fmt.Sprintf(", held at %s%s: %s", h.Gate, h.Step, plain(h.Reason))
	}
	return "  " + strings.Join(append(lines, end), "\n  ") + "\n"
}

// doneIn gives the steps in the order of their ends.
func doneIn(r *evacuate.Recovery) []string {
	type ended struct {
		step evacuate.Step
		rec  *evacuate.StepRecord
	}
	var all []ended
	for s, rec := range r.Steps {
		if s != evacuate.StepDisable {
			all = append(all, ended{s, rec})
		}
	}
	slices.SortFunc(all, func(a, b ended) int {
		if c := a.rec.Ended.Compare(b.rec.Ended); c != 0 {
			return c
		}
		return slices.Index(evacuate.Steps[:], a.step) - slices.Index(evacuate.Steps[:], b.step)
	})
	var out, last []string
	for _, e := range all {
		if e.rec.Phase != evacuate.PhaseDone {
			last = append(last, fmt.Sprintf("%s not done", e.step))
			continue
		}
		out = append(out, fmt.Sprintf("%s done", e.step))
	}
	slices.Sort(last)
	return append(out, last...)
}

func instances(r *evacuate.Recovery) []string {
	var out []string
	for _, e := range r.Evacuations {
		line := fmt.Sprintf("instance %s", e.State)
		if e.Reason != "" {
			line += ": " + plain(e.Reason)
		}
		out = append(out, line)
	}
	slices.Sort(out)
	var sum []string
	for i := 0; i < len(out); {
		n := i
		for n < len(out) && out[n] == out[i] {
			n++
		}
		sum = append(sum, fmt.Sprintf("%d × %s", n-i, out[i]))
		i = n
	}
	return sum
}
