package evacuate

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// GuestRecord is what the hosts' own hypervisors have shown that Nova does not know.
type GuestRecord struct {
	// Twins run on more than one host, by instance; Past are over, the newest last.
	Twins []Twin `json:"twins,omitempty"`
	Past  []Twin `json:"past,omitempty"`
}

// Twin is an instance that runs on more than one host: the failure that nothing mends.
// Nobody but a person ends it.
type Twin struct {
	Server nova.ServerID   `json:"server"`
	Name   string          `json:"name,omitempty"`
	Hosts  []nova.HostName `json:"hosts"`
	Since  time.Time       `json:"since"`
	Ended  time.Time       `json:"ended,omitzero"`
}

// Text is the finding on one line.
func (t Twin) Text() string {
	return fmt.Sprintf("INSTANCE RUNS TWICE: %s (%s) runs on %s at once, as their libvirt says. Stop all copies but the one that Nova names, then check its disk",
		orWord(t.Name, "?"), t.Server, named(t.Hosts))
}

func named(hosts []nova.HostName) string {
	words := make([]string, len(hosts))
	for i, h := range hosts {
		words[i] = string(h)
	}
	return strings.Join(words, " and ")
}

// maxPastTwins is how many are remembered.
const maxPastTwins = 50

// twin is the finding on an instance, nil if there is none.
func (s *State) twin(id nova.ServerID) *Twin {
	if s.Guests == nil {
		return nil
	}
	for i := range s.Guests.Twins {
		if s.Guests.Twins[i].Server == id {
			return &s.Guests.Twins[i]
		}
	}
	return nil
}

// noteTwins takes the findings of an entry in place of the former. Whoever had verified
// an evacuation of one has not.
func (s *State) noteTwins(e Entry) {
	old := s.Guests
	if old == nil {
		old = &GuestRecord{}
	}
	next := &GuestRecord{Past: slices.Clone(old.Past)}
	for _, t := range e.Guests.Twins {
		if was := s.twin(t.Server); was != nil {
			t.Since = was.Since
		} else {
			s.journal(e, "%s", t.Text())
		}
		s.unverify(e, t)
		next.Twins = append(next.Twins, t)
	}
	for _, t := range old.Twins {
		if slices.ContainsFunc(next.Twins, func(n Twin) bool { return n.Server == t.Server }) {
			continue
		}
		t.Ended = e.At
		next.Past = append(next.Past, t)
		s.journal(e, "%s (%s) runs on one host only again, after %s", orWord(t.Name, "?"), t.Server, round(e.At.Sub(t.Since)))
		for _, r := range s.Sorted() {
			if ev := r.Evacuation(t.Server); ev != nil {
				ev.Twin = ""
			}
		}
	}
	next.Past = next.Past[max(0, len(next.Past)-maxPastTwins):]
	s.Guests = next
}

// unverify takes the word "verified" back from the recoveries that moved an instance.
func (s *State) unverify(e Entry, t Twin) {
	for _, r := range s.Sorted() {
		ev := r.Evacuation(t.Server)
		if ev == nil || ev.Attempt == 0 || ev.Twin == named(t.Hosts) {
			continue
		}
		ev.Twin = named(t.Hosts)
		r.note(e, "NOT VERIFIED: "+t.Text())
		if r.Status == StatusOpen {
			delete(r.Steps, StepVerify)
		}
	}
}

// tendTwins records what the hypervisors show, and what is over. One of whose hosts
// nothing is heard stays, until that host is proven off.
func (c *Core) tendTwins() {
	g := c.world.Guests
	if g == nil {
		return
	}
	var now []Twin
	for _, t := range g.Twins {
		now = append(now, Twin{Server: t.Server, Name: c.nameOf(t.Server), Hosts: t.Hosts, Since: t.Since})
	}
	var known []Twin
	if c.state.Guests != nil {
		known = c.state.Guests.Twins
	}
	for _, t := range known {
		if !slices.ContainsFunc(now, func(n Twin) bool { return n.Server == t.Server }) && c.twinMayLast(t) {
			now = append(now, t)
		}
	}
	slices.SortFunc(now, func(a, b Twin) int { return strings.Compare(string(a.Server), string(b.Server)) })
	if !slices.EqualFunc(now, known, func(a, b Twin) bool { return a.Server == b.Server && slices.Equal(a.Hosts, b.Hosts) }) {
		c.commit(Entry{Kind: KindTwins, Guests: &GuestRecord{Twins: now}})
	}
}

// twinMayLast says that an instance which is not seen twice any more may run twice all
// the same: on a host that tells nothing and is not proven off.
func (c *Core) twinMayLast(t Twin) bool {
	copies := 0
	for _, h := range t.Hosts {
		_, off := c.state.provenOff(h)
		told := c.world.Guests.Tells(h)
		if runs := slices.Contains(c.world.Guests.Running[t.Server], h); runs || !told && !off && c.state.Hosts[h] != nil {
			copies++
		}
	}
	return copies > 1
}

func (c *Core) nameOf(id nova.ServerID) string {
	for _, host := range c.state.HostNames() {
		if s, ok := c.listedAt(host, id); ok {
			return s.Name
		}
	}
	for _, r := range c.state.Sorted() {
		if e := r.Evacuation(id); e != nil {
			return e.Name
		}
	}
	return ""
}

// waitsCopy begins the reason why one is not sent that runs already.
const waitsCopy = "it runs on"

// copied says why an instance of a dead host must not be started elsewhere: it runs
// there, or ran twice when it was last seen. "" if nothing speaks against it.
func copied(s *State, g *detector.GuestSight, id nova.ServerID, source nova.HostName) string {
	if hosts := g.Elsewhere(id, source); len(hosts) > 0 {
		return fmt.Sprintf("%s %s, as libvirt there says: an evacuation would start it a second time", waitsCopy, named(hosts))
	}
	t := s.twin(id)
	if t == nil {
		return ""
	}
	for _, h := range t.Hosts {
		if _, off := s.provenOff(h); h != source && !off && !g.Tells(h) {
			return fmt.Sprintf("%s %s, as libvirt there said last: an evacuation would start it a second time", waitsCopy, h)
		}
	}
	return ""
}

// guestSettle is how long after its evacuation an instance's destination may be without
// it before the report says so.
const guestSettle = 30 * time.Second

// placed compares where evacuated instances run with where they are to be. It gives
// what stands against the word "verified", whether a look is worth waiting for, and
// the words for the record.
func (c *Core) placed(r *Recovery) (against string, wait bool, words string) {
	var wrong, idle []string
	seen, unknown := 0, 0
	for _, e := range r.Evacuations {
		if e.State != EvacDone || e.VMState == nova.VMStopped {
			continue
		}
		runs, listed := c.world.Guests.Elsewhere(e.Server, ""), false
		if len(runs) == 1 {
			_, listed = c.listedAt(runs[0], e.Server)
		}
		settling := c.world.Now.Sub(e.Ended) < guestSettle
		switch t := c.state.twin(e.Server); {
		case t != nil:
			wrong = append(wrong, fmt.Sprintf("%s is to run on %s alone and runs on %s", e.Name, e.Dest, named(t.Hosts)))
		case len(runs) > 1:
			wait = true // it is a finding soon, or over
		case len(runs) == 1 && (runs[0] == e.Dest || listed):
			seen++
		case len(runs) == 1 && settling:
			wait = true
		case len(runs) == 1:
			wrong = append(wrong, fmt.Sprintf("%s is to run on %s and runs on %s, where Nova does not list it", e.Name, e.Dest, runs[0]))
		case !c.world.Guests.Tells(e.Dest):
			unknown++
		default:
			idle = append(idle, e.Name)
			wait = wait || settling
		}
	}
	if len(wrong) > 0 {
		return strings.Join(wrong, "; "), false, ""
	}
	if seen+len(idle) == 0 {
		return "", wait, "" // nobody has a libvirt to ask, or not yet
	}
	words = fmt.Sprintf("; %d run at their destination as libvirt there says", seen)
	if unknown > 0 {
		words += fmt.Sprintf(", of %d it does not tell", unknown)
	}
	if len(idle) > 0 {
		const most = 5
		more := ""
		if n := len(idle); n > most {
			idle, more = idle[:most], fmt.Sprintf(" and %d more", n-most)
		}
		words += fmt.Sprintf(", NOT RUNNING there: %s%s", strings.Join(idle, ", "), more)
	}
	return "", wait, words
}

// listedAt is an instance as Nova listed it last on a host.
func (c *Core) listedAt(host nova.HostName, id nova.ServerID) (nova.Server, bool) {
	for _, s := range c.world.Servers[host] {
		if s.ID == id {
			return s, true
		}
	}
	return nova.Server{}, false
}

// guestNotices tell of each instance that runs twice, and of its end.
func guestNotices(g *GuestRecord, add func(Notice)) {
	if g == nil {
		return
	}
	for _, t := range slices.Concat(g.Past, g.Twins) {
		id := fmt.Sprintf("twin/%s/%d", t.Server, t.Since.Unix())
		n := Notice{Kind: NoticeGuest, ID: id + "/found", Event: "found", At: t.Since, Host: t.Hosts[0], Text: t.Text()}
		add(n)
		if !t.Ended.IsZero() {
			n.ID, n.Event, n.At = id+"/over", "over", t.Ended
			n.Text = fmt.Sprintf("%s (%s) runs on one host only again, after %s", orWord(t.Name, "?"), t.Server, round(t.Ended.Sub(t.Since)))
			add(n)
		}
	}
}

func (s *State) applyGuest(e Entry) error {
	switch e.Kind {
	case KindRestart:
		return s.noteRestart(e)
	case KindAiling:
		return s.noteAiling(e)
	default:
		s.noteTwins(e)
	}
	return nil
}
