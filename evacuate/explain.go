package evacuate

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// Explanation is everything that is known and decided about one host.
type Explanation struct {
	Host     nova.HostName    `json:"host"`
	At       time.Time        `json:"at"`
	Verdict  detector.Verdict `json:"verdict"`
	Point    Point            `json:"point"`
	Answers  []Answer         `json:"answers"`
	Recovery *Recovery        `json:"recovery,omitempty"`
	Mode     Effective        `json:"mode"`
	Plan     *Proposal        `json:"plan,omitempty"`
	Summary  string           `json:"summary"`
	// Fencing is what is known of the host's fencing methods.
	Fencing []LinkStanding `json:"fencing,omitempty"`
	// Watchdog is its own as the ledger knows it; WatchdogLack why it would prove nothing
	// now.
	Watchdog     *Watchdog `json:"watchdog,omitempty"`
	WatchdogLack string    `json:"watchdog_lack,omitempty"`
	// Drilling is its drill under way, or how the last one ended.
	Drilling *Drilling `json:"drilling,omitempty"`
	// Ailing says that its nova-compute is disabled by us for a service that has failed
	// for good, and what is moved away from it.
	Ailing *Ailing `json:"ailing,omitempty"`
}

// Explain sums up what is known of a host and why nothing more is done.
func Explain(s *State, d Decision, v detector.Verdict, now time.Time) Explanation {
	x := Explanation{Host: v.Host, At: now, Verdict: v, Point: d.Point, Answers: d.Answers, Recovery: s.Open(v.Host), Mode: d.Mode, Plan: s.PlanOf(v.Host), Ailing: s.Ailing[v.Host]}
	if x.Mode.Mode == "" {
		x.Mode = s.EffectiveMode(v.Host, Membership{}, nil)
	}
	if x.Recovery == nil {
		for _, r := range s.Sorted() {
			if r.Host == v.Host {
				x.Recovery = r // the last one
			}
		}
	}
	x.Summary = summarise(x)
	return x
}

func summarise(x Explanation) string {
	if r := x.Recovery; r != nil && r.Status != StatusClosed {
		switch {
		case r.Hold != nil && r.Hold.Gate != "":
			return fmt.Sprintf("recovery %s is held at gate %s: %s", r.ID, r.Hold.Gate, r.Hold.Reason)
		case r.Hold != nil:
			return fmt.Sprintf("recovery %s is held at step %s: %s", r.ID, r.Hold.Step, r.Hold.Reason)
		case r.Status == StatusRecovered:
			return fmt.Sprintf("recovery %s is done; the host stays down until it is asked back", r.ID)
		}
		return fmt.Sprintf("recovery %s is %s", r.ID, r.Status)
	}
	if p := x.Plan; p != nil {
		return fmt.Sprintf("plan %s is %s: %s", p.ID, p.Status, p.Line())
	}
	if x.Verdict.State == detector.Dead {
		if a, closed := Closed(x.Answers); closed {
			return fmt.Sprintf("dead, and held at gate %s: %s", a.Gate, a.Reason)
		}
		return "dead; its recovery is being opened"
	}
	text := fmt.Sprintf("no recovery: %s: %s", x.Verdict.State, x.Verdict.Detail)
	if x.Ailing != nil {
		text += "; " + x.Ailing.Text()
	}
	return text
}

// Text prints an explanation for a person.
func (x Explanation) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n  %s\n", x.Host, x.Verdict.State, x.Summary)
	fmt.Fprintf(&b, "\nMode %s\n%s\n", x.Mode.Mode, x.Mode.Text())
	fmt.Fprintf(&b, "\nEvidence (%s, %s)\n", x.Verdict.Reason, x.Verdict.Detail)
	writeEvidence(&b, x.Verdict)
	x.writeFencing(&b)
	if len(x.Answers) > 0 {
		writeAnswers(&b, "Gates at "+string(x.Point), x.Answers)
	}
	if x.Recovery != nil {
		b.WriteString("\n" + x.Recovery.Text())
	}
	return b.String()
}

func writeEvidence(b *strings.Builder, verdict detector.Verdict) {
	for _, h := range verdict.View.Controllers {
		if h.HeardAge < 0 {
			fmt.Fprintf(b, "  %-22s never heard it (report %s old)\n", h.Controller, ago(h.ReportAge))
			continue
		}
		fmt.Fprintf(b, "  %-22s heard it %s ago (report %s old)\n", h.Controller, ago(h.HeardAge), ago(h.ReportAge))
	}
	for _, p := range verdict.View.Probes {
		countable := ""
		if !p.Countable {
			countable = ", proves nothing: not answered within the last hour"
		} else if p.Ill != "" {
			countable = ", proves nothing: its observer " + p.Ill
		}
		fmt.Fprintf(b, "  %-22s %s on %s: %s, %s ago%s\n", p.Observer, p.Kind, p.Network, p.Answer, ago(p.Age), countable)
	}
	for _, v := range verdict.View.Votes {
		word := "alive"
		if v.Dead {
			word = "dead"
		}
		if v.Unsaid {
			word = "nothing: it holds more dead than it can name"
		}
		if v.Ill != "" {
			word += ", does not vote: " + v.Ill
		}
		fmt.Fprintf(b, "  %-22s ring says %s, %s ago\n", v.Observer, word, ago(v.Age))
	}
	for _, n := range verdict.Networks {
		fmt.Fprintf(b, "  %-22s %s: %s\n", n.Network+" network", n.Word, n.Detail)
	}
	if p := verdict.View.Path; p != nil {
		fmt.Fprintf(b, "  %-22s %s, asked %s ago\n", "control plane", pathText(p), ago(p.Age))
	}
	for _, p := range verdict.View.Power {
		fmt.Fprintf(b, "  %-22s power %s %s, %s ago\n", "bmc", p.Power, p.Cause, ago(p.Age))
	}
	for _, name := range slices.Sorted(maps.Keys(verdict.View.Sensors)) {
		fmt.Fprintf(b, "  %-22s %s %s, as its agent last said\n", "host", name, verdict.View.Sensors[name])
	}
	if n := verdict.View.Nova; n != nil {
		fmt.Fprintf(b, "  %-22s nova-compute %s, %s ago\n", "nova", n.State, ago(n.Age))
	}
}

func pathText(p *detector.PathSight) string {
	if len(p.Fails) == 0 {
		return "reached"
	}
	return fmt.Sprintf("does not reach %s, which %d of %d others do", strings.Join(p.Fails, ", "), p.OthersUp, p.Others)
}

func (x Explanation) writeFencing(b *strings.Builder) {
	for i, l := range x.Fencing {
		if i == 0 {
			b.WriteString("\nFencing\n")
		}
		fmt.Fprintf(b, "  %-22s %s\n", l.Method, l.line(x.At))
		for _, f := range l.faults(x.At) {
			fmt.Fprintf(b, "  %-22s WRONG: %s\n", "", f)
		}
	}
	if x.Watchdog != nil {
		fmt.Fprintf(b, "  %-22s %s\n", "watchdog", x.Watchdog.Text(x.WatchdogLack))
	}
	if x.Drilling != nil {
		fmt.Fprintf(b, "  %-22s %s\n", "drill", x.Drilling)
	}
}

// word is an answer in at most four letters, for a column.
func (a Answer) word() string {
	switch {
	case !a.Pass:
		return "HOLD"
	case a.Standing == Warns:
		return "warn"
	case a.Standing == NotConfigured:
		return "none"
	}
	return "pass"
}

func ago(d time.Duration) string { return round(d).String() }

// Decision is what was last decided about a host, for explain.
type Decision struct {
	Point   Point            `json:"point"`
	At      time.Time        `json:"at"`
	Answers []Answer         `json:"answers"`
	Verdict detector.Verdict `json:"verdict"`
	Mode    Effective        `json:"mode"`
}

// Text prints a recovery's timeline.
func (r *Recovery) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Recovery %s of %s: %s\n", r.ID, r.Host, r.Status)
	if r.Hold != nil {
		where := string(r.Hold.Step)
		if r.Hold.Gate != "" {
			where = "gate " + string(r.Hold.Gate)
		}
		fmt.Fprintf(&b, "  held at %s since %s: %s\n", where, r.Hold.Since.Format(time.TimeOnly), r.Hold.Reason)
	}
	if r.Progress != nil {
		fmt.Fprintf(&b, "  %s\n", r.Progress)
	}
	for _, e := range r.Timeline {
		fmt.Fprintf(&b, "  %s  +%-8s %s\n", e.At.Format("15:04:05.000"), round(e.At.Sub(r.LastHeard)), e.Text)
	}
	for _, e := range r.Evacuations {
		fmt.Fprintf(&b, "  %s\n", e.describe())
	}
	for _, e := range r.Evacuations {
		for _, line := range e.closing() {
			fmt.Fprintf(&b, "  %s\n", line)
		}
	}
	switch {
	case r.Relist != nil:
		fmt.Fprintf(&b, "  %s: not done yet\n", r.Relist.When())
	case r.relistable():
		fmt.Fprintf(&b, "  what was left is not looked at again by itself, but for its state; once its cause is mended: `lifeboat recovery %s relist`\n", r.ID)
	}
	return b.String()
}
