package sim

import (
	"maps"
	"slices"
	"time"

	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// slack is how long before an act its last check may have been made: the guard is
// asked right before the write, and the way to a BMC takes a moment.
const slack = 500 * time.Millisecond

// lease is for how long a follower may believe a leader that was just deposed.
const lease = 500 * time.Millisecond

// errand is the term in which a controller's own ledger has it power a host off for the
// leader; 0: it does not.
func (v *voter) errand(host nova.HostName) (term uint64) {
	r := v.newest()
	if r == nil {
		return 0
	}
	r.ctl.Locked(func(s *evacuate.State) {
		if o := s.Open(host); o != nil {
			if rec := o.Steps[evacuate.StepFence]; rec != nil && rec.Hand == v.id && rec.Phase == evacuate.PhaseIntent {
				term = rec.Term
			}
		}
	})
	return term
}

// commands holds that a controller on an errand and another never command one host's
// power at once. done is when the BMC has answered.
func (w *watch) commands(v *voter, m *machine) (done func()) {
	errand := v.errand(m.name) != 0
	w.mu.Lock()
	other := ""
	for o, also := range w.commanding[m] {
		if o != v && (errand || also) {
			other = o.id
		}
	}
	if w.commanding[m] == nil {
		w.commanding[m] = map[*voter]bool{}
	}
	w.commanding[m][v] = errand
	w.mu.Unlock()
	if other != "" {
		w.broken("never two hands at once: %s commands the power of %s while %s does", v.id, m.name, other)
	}
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.commanding[m], v)
	}
}

// acts holds that nobody acts in the minority or after being deposed.
func (w *watch) acts(v *voter, what string) { w.actsFor(v, what, 0) }

// actsFor is acts for the leader of a term, on an errand; 0: for nobody.
func (w *watch) actsFor(v *voter, what string, errand uint64) {
	w.topology()
	now := w.clock()
	r := v.newest() // one that is being stopped may act too
	if r == nil {
		return
	}
	term, _ := r.ctl.Tenure()
	slack := slack
	if errand != 0 { // its leader's lease may have ended just now
		term, slack = errand, slack+lease
	}
	w.mu.Lock()
	since, parted := w.parted[v.id]
	var newer tenure
	for _, t := range w.tenures {
		if t.term > term && now-t.at > slack {
			newer = t
		}
	}
	w.mu.Unlock()
	if parted && now-since > slack {
		w.broken("never an act in the minority: %s %s, and reaches no majority", v.id, what)
	}
	if newer.voter != "" {
		w.broken("never an act by a deposed leader: %s %s in term %d, while %s leads in term %d", v.id, what, term, newer.voter, newer.term)
	}
}

// evacuate is told of each POST that leaves for Nova.
func (w *watch) evacuate(v *voter) { w.acts(v, "sends an evacuation") }

// off is told of each power-off that leaves for a BMC.
func (w *watch) off(v *voter, m, cuts *machine) {
	errand := v.errand(m.name)
	w.actsFor(v, "switches "+string(m.name)+" off", errand)
	host, now := string(m.name), w.clock()
	window := time.Duration(w.cloud.policy.Missed) * w.cloud.policy.HeartbeatInterval
	again := false
	if r := v.newest(); r != nil {
		// By the operator's word a host that is heard may be condemned.
		if r.ctl.Verdicts()[m.name].CondemnedAlive() {
			again = true
		}
		r.ctl.Locked(func(s *evacuate.State) {
			if o := s.Open(m.name); o != nil {
				again = again || o.Refence
			}
			// A person has a host in maintenance drilled, which is heard.
			again = again || s.Hosts[m.name].Drilling.UnderWay()
		})
	}
	w.mu.Lock()
	hearing := 0
	for _, at := range w.heard[string(cuts.name)] {
		if now-at <= window {
			hearing++
		}
	}
	w.offs = append(w.offs, off{host, now})
	recent := map[string]bool{}
	for _, o := range w.offs {
		if now-o.at <= w.cloud.policy.Storm.Window {
			recent[w.event(o.host)] = true
		}
	}
	w.mu.Unlock()
	by := v.id
	if errand != 0 {
		by += ", on an errand,"
	}
	if w.cloud.note("off", "%s switches %s off", by, host); cuts != m {
		w.cloud.note("off", "but its BMC is that of %s", cuts.name)
	}
	if hearing >= w.majority() && !again {
		w.broken("never off while heard: %s switches %s off, whose heartbeats reach %d controllers", v.id, host, hearing)
	}
	if limit := w.limit(); len(recent) > limit {
		w.broken("never beyond the limit: %d hosts fenced within %s (%v), %d allowed", len(recent), w.cloud.policy.Storm.Window, slices.Sorted(maps.Keys(recent)), limit)
	}
}

// event is what a fenced host counts as: where racks may fall as a whole, one rack is
// one event.
func (w *watch) event(host string) string {
	if d, ok := w.cloud.policy.Storm.Domains["domain"]; ok && d.Recover {
		return w.cloud.byName[host].domain
	}
	return host
}

// limit is the blast radius that the policy allows.
func (w *watch) limit() int {
	p := evacuate.DefaultPolicy()
	p.StormCount, p.StormPercent = w.cloud.policy.Storm.Count, w.cloud.policy.Storm.Percent
	most := p.StormLimit(len(w.cloud.hosts))
	for _, l := range w.cloud.policy.Storm.Domains {
		if l.Recover { // one domain may fall beside the others
			most = max(most, p.StormLimit(len(w.cloud.hosts))-1+l.Max)
		}
	}
	return most
}
