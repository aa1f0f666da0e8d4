package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// judge compares the expectations of one scenario with what comes of it.
type judge struct {
	s    *Scenario
	c    *Cloud
	lack []string
}

func (j *judge) miss(format string, args ...any) {
	j.lack = append(j.lack, fmt.Sprintf(format, args...))
}

// check is something to look at, at a time of the scenario.
type check struct {
	at   time.Duration
	look func()
}

// checks are the looks before the end.
func (j *judge) checks() []check {
	var out []check
	for _, b := range j.s.Expect.By {
		out = append(out, check{b.At, func() { j.bound(b) }})
	}
	for _, h := range j.s.Expect.Held {
		if h.At > 0 {
			out = append(out, check{h.At, func() { j.held(h) }})
		}
	}
	for _, o := range j.s.Expect.Verdicts {
		if o.Is != "" && o.At > 0 {
			out = append(out, check{o.At, func() { j.opinion(o) }})
		}
	}
	return out
}

func (j *judge) hosts(expr string) []string {
	got, _ := j.s.Cloud.names().resolve(expr, "")
	return got
}

// states gives each host's last recovery, as the leader knows it; false without a
// leader.
func (j *judge) recoveries() (map[string]evacuate.Recovery, bool) {
	l := j.c.leader()
	if l == nil {
		return nil, false
	}
	out := map[string]evacuate.Recovery{}
	for _, r := range l.ctl.State().Sorted() {
		out[string(r.Host)] = *r
	}
	return out, true
}

func (j *judge) bound(b Bound) {
	rs, ok := j.recoveries()
	if !ok {
		j.miss("nobody leads at %s", b.At)
		return
	}
	fenced := j.c.watch.fenced()
	each := func(expr, what string, done func(h string) bool) {
		for _, h := range j.hosts(expr) {
			if !done(h) {
				j.miss("%s is not %s at %s", h, what, b.At)
			}
		}
	}
	each(b.Decided, "decided", func(h string) bool { _, ok := rs[h]; return ok })
	each(b.Fenced, "fenced", func(h string) bool { return slices.Contains(fenced, h) })
	each(b.Recovered, "recovered", func(h string) bool { return recovered(rs[h]) })
	each(b.Returned, "back in service", func(h string) bool { return returned(rs[h]) })
}

func recovered(r evacuate.Recovery) bool { return !r.Recovered.IsZero() }
func returned(r evacuate.Recovery) bool  { return r.Outcome == evacuate.OutcomeReturned }

func (j *judge) opinion(o Opinion) {
	l := j.c.leader()
	if l == nil {
		j.miss("nobody leads at %s", o.At)
		return
	}
	verdicts := l.ctl.Verdicts()
	for _, h := range j.hosts(o.Hosts) {
		v := verdicts[nova.HostName(h)]
		if v.State != detector.State(o.Is) || !strings.Contains(string(v.Reason)+" "+v.Detail, o.Reason) {
			j.miss("%s is %s (%s: %s) at %s, not %s %s", h, v.State, v.Reason, v.Detail, o.At, o.Is, o.Reason)
		}
	}
}

// held looks at the gates of a dead host, or at the hold of its recovery.
func (j *judge) held(h Held) {
	l := j.c.leader()
	if l == nil {
		j.miss("nobody leads, and nothing can be held")
		return
	}
	for _, name := range j.hosts(h.Hosts) {
		x, ok := l.ctl.Explain(nova.HostName(name))
		if !ok {
			j.miss("%s is not known to the leader", name)
			continue
		}
		where, reason := "", "nothing"
		if r := x.Recovery; r != nil && r.Status != evacuate.StatusClosed {
			if r.Hold != nil {
				where, reason = string(r.Hold.Gate)+string(r.Hold.Step), r.Hold.Reason
			}
		} else if a, closed := evacuate.Closed(x.Answers); closed {
			where, reason = string(a.Gate), a.Reason
		}
		if where != h.Gate+h.Step || !strings.Contains(reason, h.Reason) {
			j.miss("%s is held at %q: %s; expected was %q: %s (verdict %s)", name, where, reason, h.Gate+h.Step, h.Reason, x.Verdict.State)
		}
	}
}

// end looks at what is left.
func (j *judge) end() {
	e := j.s.Expect
	rs, ok := j.recoveries()
	if ok == e.Leaderless {
		j.miss("somebody leads at the end: %t", ok)
	}
	same := func(what, expr string, got []string) {
		want := slices.Sorted(slices.Values(j.hosts(expr)))
		if !slices.Equal(want, got) {
			j.miss("%s: [%s], expected was [%s]", what, strings.Join(got, " "), strings.Join(want, " "))
		}
	}
	by := func(is func(evacuate.Recovery) bool) (out []string) {
		for _, h := range j.s.Cloud.names().hosts {
			if r, ok := rs[h]; ok && is(r) {
				out = append(out, h)
			}
		}
		slices.Sort(out)
		return out
	}
	same("fenced", e.Fenced, j.c.watch.fenced())
	same("recovered", e.Recovered, by(recovered))
	same("returned", e.Returned, by(returned))
	same("open", e.Open, by(func(r evacuate.Recovery) bool {
		return r.Status == evacuate.StatusOpen || r.Status == evacuate.StatusReturning
	}))
	for _, h := range e.Held {
		if h.At == 0 {
			j.held(h)
		}
	}
	j.instances()
	j.others()
	j.history()
	j.timeline()
	j.settled()
}

// settled looks for recoveries that neither end nor say why they wait.
func (j *judge) settled() {
	open := j.c.watch.unsettled()
	for range 60 { // what is under way just now is given a minute
		if len(open) == 0 {
			return
		}
		time.Sleep(time.Second)
		open = j.c.watch.unsettled()
	}
	for _, text := range open {
		j.miss("%s", text)
	}
}

// instances looks at the truth: how many run, and where twice.
func (j *judge) instances() {
	copies := j.c.nova.Copies()
	down := 0
	for _, id := range j.c.servers {
		if len(copies[id]) == 0 {
			down++
		}
	}
	if down != j.s.Expect.Down {
		j.miss("%d instances do not run, expected were %d", down, j.s.Expect.Down)
	}
}

func (j *judge) history() {
	history := j.c.watch.opinionsSoFar()
	for _, o := range j.s.Expect.Verdicts {
		for _, h := range j.hosts(o.Hosts) {
			had := slices.ContainsFunc(history, func(v Verdict) bool {
				state := detector.State(o.Is + o.Never)
				return string(v.Host) == h && v.State == state && (o.Until == 0 || v.At <= o.Until) && strings.Contains(string(v.Reason), o.Reason)
			})
			switch {
			case o.Never != "" && had:
				j.miss("%s was %s %s", h, o.Never, o.Reason)
			case o.Is != "" && o.Until > 0 && !had:
				j.miss("%s was not %s %s up to %s", h, o.Is, o.Reason, o.Until)
			}
		}
	}
}

func (j *judge) timeline() {
	events := j.c.Events()
	from := 0
	for _, text := range j.s.Expect.Timeline {
		i := slices.IndexFunc(events[from:], func(e Event) bool { return strings.Contains(e.Text, text) })
		if i < 0 {
			j.miss("the timeline does not tell of %q", text)
			continue
		}
		from += i + 1
	}
	for _, text := range j.s.Expect.Never {
		if i := slices.IndexFunc(events, func(e Event) bool { return strings.Contains(e.Text, text) }); i >= 0 {
			j.miss("at %s: %s", short(events[i].At), events[i].Text)
		}
	}
}
