package sim

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/nova"
	"github.com/lifeboat-ha/lifeboat/nova/novatest"
)

// watch looks at the truth, which nobody inside the cloud knows, and compares it
// with what is done: it holds the invariants, and tells the timeline.
type watch struct {
	cloud *Cloud
	done  chan struct{}
	once  sync.Once

	mu      sync.Mutex
	began   bool
	heard   map[string]map[string]time.Duration // host, controller: last heartbeat that arrived
	parted  map[string]time.Duration            // controller: since when it reaches no majority
	tenures []tenure                            // in the order of being established
	offs    []off
	// commanding are those whose command a machine's BMC has not answered; true: on an errand.
	commanding map[*machine]map[*voter]bool
	blank      map[string]bool // controllers whose disk was lost
	faults     []string        // invariants broken, the first first
	said       map[string]bool

	verdicts map[nova.HostName]detector.State
	history  []Verdict
	told     map[evacuate.RecoveryID]int
	seen     map[evacuate.RecoveryID][]string // timelines that were committed
	journal  time.Time                        // of the last that were told, entries
	entries  []string
	index    uint64 // the newest entry that anybody has applied
	ledTerm  uint64
	doubles  int
}

type tenure struct {
	voter string
	term  uint64
	at    time.Duration
}

// off is a power-off that a BMC was sent.
type off struct {
	host string
	at   time.Duration
}

// Verdict is a change of the leader's opinion.
type Verdict struct {
	At     time.Duration
	Host   nova.HostName
	State  detector.State
	Reason detector.Reason
}

func newWatch(c *Cloud) *watch {
	w := &watch{cloud: c, done: make(chan struct{}), heard: map[string]map[string]time.Duration{}, commanding: map[*machine]map[*voter]bool{}, parted: map[string]time.Duration{},
		said: map[string]bool{}, verdicts: map[nova.HostName]detector.State{}, told: map[evacuate.RecoveryID]int{}, blank: map[string]bool{}, seen: map[evacuate.RecoveryID][]string{}}
	c.net.arrived = w.arrived
	return w
}

// begin marks the scenario's zero: what was before is not told.
func (w *watch) begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.began, w.history = true, nil
}

func (w *watch) end() { w.once.Do(func() { close(w.done) }) }

// clock is the network's time, which no scenario moves.
func (w *watch) clock() time.Duration { return time.Since(w.cloud.net.origin) }

// broken notes a broken invariant, once.
func (w *watch) broken(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	w.mu.Lock()
	again := w.said[text]
	w.said[text] = true
	if !again {
		w.faults = append(w.faults, fmt.Sprintf("at %s: %s", short(w.cloud.now()), text))
	}
	w.mu.Unlock()
	if !again {
		w.cloud.note("BROKEN", "%s", text)
	}
}

// arrived is told of each packet that reaches a process. Under the network's lock.
func (w *watch) arrived(from *node, to netip.AddrPort) {
	if to.Port() != peerPort || w.cloud.byName[from.name] == nil {
		return
	}
	at, ok := w.cloud.net.places[to.Addr()]
	if !ok {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.heard[from.name] == nil {
		w.heard[from.name] = map[string]time.Duration{}
	}
	w.heard[from.name][at.node.name] = w.clock()
}

// wiped notes that a controller's disk was lost. Once all were, nothing can be
// expected to be known any more.
func (w *watch) wiped(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.blank[id] = true; len(w.blank) == len(w.cloud.voters) {
		w.tenures, w.index = nil, 0
		clear(w.seen)
	}
}

// run looks at everything four times a second.
func (w *watch) run() {
	t := time.NewTicker(250 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-w.done:
			return
		case <-t.C:
			w.look()
		}
	}
}

func (w *watch) look() {
	w.topology()
	w.leaders()
	for _, v := range w.cloud.nova.Violations()[min(w.doubles, len(w.cloud.nova.Violations())):] {
		w.doubles++
		if strings.HasPrefix(v.Why, novatest.ByHand) {
			continue // a scenario's own doing
		}
		w.broken("never two running copies: server %s runs on %s since: %s", v.Server, v.Hosts, v.Why)
	}
	l := w.cloud.leader()
	if l == nil {
		return
	}
	w.opinions(l)
	w.ledger(l)
}

// majority is how many controllers are one.
func (w *watch) majority() int { return len(w.cloud.voters)/2 + 1 }

// topology notes which controllers reach no majority. It is called after each
// fault too, so that the time is right.
func (w *watch) topology() {
	now := w.clock()
	alive := map[string]bool{}
	for _, v := range w.cloud.voters {
		alive[v.id] = v.alive()
	}
	parted := map[string]bool{}
	w.cloud.net.locked(func() {
		for _, v := range w.cloud.voters {
			n := 1
			for _, o := range w.cloud.voters {
				if o != v && alive[o.id] && w.cloud.net.reaches(v.node, o.node, Management) {
					n++
				}
			}
			parted[v.id] = n < w.majority()
		}
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, yes := range parted {
		if _, was := w.parted[id]; !yes {
			delete(w.parted, id)
		} else if !was {
			w.parted[id] = now
		}
	}
}

// leaders notes each tenure that begins.
func (w *watch) leaders() {
	for _, v := range w.cloud.voters {
		r := v.current()
		if r == nil {
			continue
		}
		term, leads := r.ctl.Tenure()
		if !leads {
			continue
		}
		w.mu.Lock()
		known := slices.ContainsFunc(w.tenures, func(t tenure) bool { return t.term == term })
		twice := slices.ContainsFunc(w.tenures, func(t tenure) bool { return t.term == term && t.voter != v.id })
		if !known {
			w.tenures = append(w.tenures, tenure{v.id, term, w.clock()})
		}
		began := w.began
		w.mu.Unlock()
		if twice {
			w.broken("never two leaders of one term: %s in term %d", v.id, term)
		}
		if !known && began {
			w.cloud.note("leader", "%s leads", v.id)
		}
	}
}

// opinions tells the changes of the leader's verdicts.
func (w *watch) opinions(l *voterRun) {
	verdicts := l.ctl.Verdicts()
	for _, m := range w.cloud.hosts {
		v, ok := verdicts[m.name]
		w.mu.Lock()
		same := !ok || w.verdicts[m.name] == v.State
		began := w.began
		if !same {
			w.verdicts[m.name] = v.State
			w.history = append(w.history, Verdict{w.cloud.now(), m.name, v.State, v.Reason})
		}
		w.mu.Unlock()
		if !same && began {
			w.cloud.note("verdict", "%s is %s: %s", m.name, v.State, v.Detail)
		}
	}
}

// ledger tells what was newly committed, and holds that nothing of it is lost.
func (w *watch) ledger(l *voterRun) {
	term, _ := l.ctl.Tenure()
	var lines []string
	var lost []string
	w.mu.Lock()
	defer func() {
		w.mu.Unlock()
		for _, t := range lines {
			w.cloud.note("ledger", "%s", t)
		}
		for _, t := range lost {
			w.broken("nothing committed is lost: %s", t)
		}
	}()
	l.ctl.Locked(func(s *evacuate.State) {
		if term != w.ledTerm && s.Index < w.index {
			lost = append(lost, fmt.Sprintf("the leader of term %d has applied %d entries, %d were", term, s.Index, w.index))
		}
		for id := range w.seen {
			if s.Recoveries[id] == nil {
				lost = append(lost, fmt.Sprintf("the leader of term %d knows no recovery %s", term, id))
			}
		}
		for _, r := range s.Sorted() {
			known := w.seen[r.ID]
			for i, e := range r.Timeline {
				if i < len(known) {
					if known[i] != e.Text {
						lost = append(lost, fmt.Sprintf("line %d of recovery %s was %q and is %q", i, r.ID, known[i], e.Text))
					}
					continue
				}
				w.seen[r.ID] = append(w.seen[r.ID], e.Text)
				lines = append(lines, fmt.Sprintf("%s %s", r.Host, e.Text))
			}
		}
		w.index = max(w.index, s.Index)
		lines = append(lines, w.drills(s.Journal)...)
	})
	w.ledTerm = term
}

// journalWords are what is told of the journal; modes and freezes are a scenario's own.
var journalWords = []string{"drill of ", "INSTANCE RUNS TWICE", "runs on one host only", "instance ",
	"failed for good", "is sent away", " now", "live migration ", "moved away", "are well again"}

// drills are what the journal newly says of these. Under the lock.
func (w *watch) drills(journal []evacuate.Event) (lines []string) {
	for _, e := range journal {
		if e.At.After(w.journal) {
			w.journal, w.entries = e.At, nil
		}
		if e.At.Equal(w.journal) && !slices.Contains(w.entries, e.Text) {
			w.entries = append(w.entries, e.Text)
			if slices.ContainsFunc(journalWords, func(w string) bool { return strings.Contains(e.Text, w) }) {
				lines = append(lines, e.Text)
			}
		}
	}
	return lines
}

// settled says of each recovery that it has ended, or waits and says why. It is
// asked at the end.
func (w *watch) unsettled() []string {
	l := w.cloud.leader()
	if l == nil {
		return nil
	}
	var open []string
	l.ctl.Locked(func(s *evacuate.State) {
		for _, r := range s.Sorted() {
			// One that returns has ten minutes before it must say why it waits, and a
			// migration a quarter of an hour: they are not waited for here.
			if r.Status == evacuate.StatusOpen && r.Hold == nil && r.Terminal() {
				open = append(open, fmt.Sprintf("recovery %s of %s is %s, and says not why it waits", r.ID, r.Host, r.Status))
			}
		}
	})
	return open
}

// Faults are the invariants that were broken.
func (w *watch) broke() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.faults)
}

func (w *watch) fenced() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	names := map[string]bool{}
	for _, o := range w.offs {
		names[o.host] = true
	}
	return slices.Sorted(maps.Keys(names))
}

func (w *watch) opinionsSoFar() []Verdict {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.history)
}

func short(d time.Duration) string { return d.Round(100 * time.Millisecond).String() }
