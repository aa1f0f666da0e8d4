package evacuate

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// Drill is a power-off and on of a host that its agent's silence confirmed: the
// method switches this machine, whatever it says.
type Drill struct {
	Method string    `json:"method"`
	Target string    `json:"target,omitempty"`
	By     string    `json:"by"`
	At     time.Time `json:"at"`
	// BMC and Machine are what both said then: another word voids the drill.
	BMC     fence.Identity `json:"bmc,omitzero"`
	Machine fence.Identity `json:"machine,omitzero"`
	// Boot is the one that ended, Next the one that the host came back with.
	Boot string `json:"boot"`
	Next string `json:"next"`
	// Silent is from the command to the last heartbeat of Boot, Off to the second
	// reading of off, On from power-on to the first heartbeat of Next.
	Silent time.Duration `json:"silent"`
	Off    time.Duration `json:"off"`
	On     time.Duration `json:"on"`
}

// drilled is the drill of a link that still speaks for it, nil if there is none.
func (h *Host) drilled(l FenceLink) *Drill {
	if h == nil {
		return nil
	}
	for i := range h.Drills {
		d := &h.Drills[i]
		if d.Method == l.Method && d.Target == l.Target && d.BMC == l.Check.Machine && d.Machine == h.Machine {
			return d
		}
	}
	return nil
}

// DrillStage is how far a drill has come.
type DrillStage string

// Stages. Each is an entry before the step is taken that it names.
const (
	DrillOff    DrillStage = "power-off" // off is commanded, and its agent's silence waited for
	DrillOn     DrillStage = "power-on"  // it was off and silent; power-on is commanded
	DrillBoot   DrillStage = "boot"      // it reads on; its agent is waited for
	DrillDone   DrillStage = "done"
	DrillFailed DrillStage = "failed"
)

// Drilling is the drill of a host that is under way, or the last one.
type Drilling struct {
	Mark
	// Link is the place of the method in the host's chain, from 0.
	Link   int    `json:"link"`
	Method string `json:"method"`
	Target string `json:"target,omitempty"`
	// Boot is the one that is to end.
	Boot  string     `json:"boot"`
	Stage DrillStage `json:"stage"`
	// Since is when the stage began, Term the term of the leader who wrote it.
	Since time.Time `json:"since"`
	Term  uint64    `json:"term"`
	// Text says how it ended.
	Text string `json:"text,omitempty"`
}

// UnderWay says that it has not ended.
func (d *Drilling) UnderWay() bool { return d != nil && d.Stage != DrillDone && d.Stage != DrillFailed }

// String names it and its stage.
func (d *Drilling) String() string {
	return fmt.Sprintf("through %s, by %s at %s: %s since %s%s", d.Method, d.who(), d.At.UTC().Format(time.DateTime), d.Stage, d.Since.UTC().Format(time.TimeOnly), because(d.Text))
}

// same says that two entries speak of one drill.
func (d *Drilling) same(o *Drilling) bool {
	return d.Link == o.Link && d.Method == o.Method && d.Target == o.Target && d.Boot == o.Boot && d.At.Equal(o.At) && d.By == o.By
}

// ErrDrill says why a host can't be drilled now, and how to mend it.
var ErrDrill = errors.New("no drill")

// mayDrill is what the ledger alone says of a drill.
func (s *State) mayDrill(host nova.HostName) error {
	h := s.Hosts[host]
	refused := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrDrill, fmt.Sprintf(format, args...))
	}
	if h == nil {
		return refused("the ledger does not know %s", host)
	}
	if s.Frozen {
		return refused("frozen by %s: `lifeboat unfreeze`", s.Halt())
	}
	if r := s.Open(host); r != nil {
		return refused("%s has recovery %s (%s): let it end, or `lifeboat cancel %s`", host, r.ID, r.Status, r.ID)
	}
	if !h.Maintenance {
		return refused("%s is not in maintenance, its power is cut for this: `lifeboat maintenance %s on`", host, host)
	}
	for _, name := range s.HostNames() {
		if s.Hosts[name].Drilling.UnderWay() {
			return refused("the drill of %s is under way, one at a time: `lifeboat fence drill %s --status`", name, name)
		}
	}
	return nil
}

// DrillLink chooses a method of a chain: by its name or its place from 1; without a
// word the first that does not say whose machine it switches and was not drilled.
func DrillLink(standings []LinkStanding, word string) (int, error) {
	var names []string
	for i, l := range standings {
		names = append(names, fmt.Sprintf("%d %s", i+1, l.Method))
		if word == l.Method || word == fmt.Sprint(i+1) || word == "" && l.Match == fence.Unreadable && !l.Usable {
			return i, nil
		}
	}
	switch {
	case len(standings) == 0:
		return 0, fmt.Errorf("%w: it has no fencing method: give it one in `hosts[].bmc`", ErrDrill)
	case word == "":
		return 0, nil
	}
	return 0, fmt.Errorf("%w: no method %q: it has %s", ErrDrill, word, strings.Join(names, ", "))
}

// CheckDrill says whether a host may be powered off and on through one of its
// methods, now. w.Servers and w.Nova must have been read for it just now: an instance
// on it would die.
func CheckDrill(host nova.HostName, link int, s *State, w World, p Policy) error {
	refused := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrDrill, fmt.Sprintf(format, args...))
	}
	if err := s.mayDrill(host); err != nil {
		return err
	}
	q := question{point: AtDecide, host: host, state: s, world: &w, policy: p}
	for _, g := range gates {
		if !slices.Contains([]GateName{GateLeader, GateLedger, GateFreeze, GateControlPlane}, g.name) {
			continue
		}
		if standing, why := g.ask(q); standing == Held {
			return refused("gate %s: %s", g.name, why)
		}
	}
	if m := q.mode(); m.Mode == ModeOff {
		return refused("the mode is %s, in which not even a BMC is read: `lifeboat mode observe` is enough for a drill", m)
	}
	if c := w.Cloud.Condition; c != "" && c != detector.Normal {
		return refused("the cloud's condition is %s (%s): wait until it is Normal", c, w.Cloud.Detail)
	}
	svc, known := w.Nova.Services[host]
	servers, listed := w.Servers[host]
	switch {
	case !known:
		return refused("Nova knows no nova-compute %s", host)
	case !svc.Disabled:
		return refused("its nova-compute is enabled, the scheduler may place an instance meanwhile: `openstack compute service set --disable --disable-reason drill %s nova-compute`", host)
	case !listed:
		return refused("its instances are not listed: is Nova well?")
	case len(servers) > 0:
		return refused("%d instances are on it (%s ...), which would die: migrate them away, stopped ones too", len(servers), servers[0].Name)
	}
	for _, r := range s.Sorted() {
		for _, e := range r.Evacuations {
			if e.Dest == host && r.Status == StatusOpen && e.State != EvacDone {
				return refused("%s is being evacuated to it: wait for recovery %s", e.Name, r.ID)
			}
		}
	}
	heard := w.Heard[host]
	if age := w.Now.Sub(heard.At); heard.Boot == "" || age > drillHeard {
		return refused("its agent is not heard: its silence would prove nothing: start lifeboat-agent on it")
	}
	return checkLink(q, host, link)
}

// drillHeard is how old a heartbeat may be when a drill begins.
const drillHeard = 5 * time.Second

// checkLink refuses what is known to switch another machine than the host.
func checkLink(q question, host nova.HostName, link int) error {
	f := q.world.Fencing[host]
	standings := Standings(host, q.state.Hosts[host], f, q.state.Register())
	if link < 0 || link >= len(standings) {
		return fmt.Errorf("%w: it has no method %d", ErrDrill, link+1)
	}
	l := standings[link]
	switch {
	case l.Match == fence.Different || l.Controller != "" && !l.Usable:
		return fmt.Errorf("%w: %s: %s: correct `hosts[].bmc` first", ErrDrill, l.Method, l.Why)
	case l.Check.Lies():
		return fmt.Errorf("%w: %s: %s: `lifeboat fence test %s`", ErrDrill, l.Method, l.Why, host)
	}
	if standing, why := q.askQuorum(f); standing == Held {
		return fmt.Errorf("%w: %s", ErrDrill, why)
	}
	return nil
}

// NewDrilling is a drill that begins.
func NewDrilling(host nova.HostName, link int, by Mark, s *State, w World) *Drilling {
	l := w.Fencing[host].Links[link]
	return &Drilling{Mark: by, Link: link, Method: l.Method, Target: l.Target, Boot: w.Heard[host].Boot, Stage: DrillOff, Since: by.At, Term: w.Leader.Term}
}

func (s *State) applyDrill(term uint64, e Entry) error {
	if e.Kind == KindHostDrill {
		return s.drills(e)
	}
	return s.drilling(term, e)
}

// drilling takes a stage of a drill in.
func (s *State) drilling(term uint64, e Entry) error {
	n := *e.Drilling
	h := s.Hosts[e.Host]
	n.Term, n.Since = term, e.At
	switch {
	case n.Stage == DrillOff:
		if err := s.mayDrill(e.Host); err != nil {
			return err
		}
		if n.Boot == "" || n.By == "" {
			return errors.New("a drill without a boot or without a name")
		}
		s.journal(e, "drill of %s through %s (%s) begins: it is powered off and on%s", e.Host, n.Method, n.Target, because(n.Reason))
	case h == nil || !h.Drilling.UnderWay() || !h.Drilling.same(&n):
		return fmt.Errorf("no such drill of %s is under way", e.Host)
	case n.Stage == DrillFailed:
		s.journal(e, "drill of %s through %s failed: %s", e.Host, n.Method, n.Text)
	case n.Stage != DrillOn && n.Stage != DrillBoot: // done comes with what was found
		return fmt.Errorf("no stage %q", n.Stage)
	}
	h.Drilling = &n
	return nil
}

// disturbs refuses what would take a host away from the drill that it is in.
func (s *State) disturbs(e Entry) error {
	h := s.Hosts[e.Host]
	if e.Kind == KindHostRemove || e.Kind == KindHostMaintenance && !e.Flag {
		if h != nil && h.Drilling.UnderWay() {
			return fmt.Errorf("host %s is being drilled: `lifeboat fence drill %s --status`", e.Host, e.Host)
		}
	}
	return nil
}

// drills takes a drill in, in place of what it was before.
func (s *State) drills(e Entry) error {
	h := s.Hosts[e.Host]
	if h == nil {
		return fmt.Errorf("no host %q", e.Host)
	}
	d, run := *e.Drill, h.Drilling
	switch {
	case !run.UnderWay() || run.Stage != DrillBoot || run.Method != d.Method || run.Target != d.Target || run.Boot != d.Boot:
		return fmt.Errorf("no drill of %s by %s is under way", e.Host, d.Method)
	case d.Next == "" || d.Next == d.Boot:
		return fmt.Errorf("%s came back with boot %q, as before: that is another machine than was switched off", e.Host, d.Next)
	}
	h.Drills = slices.DeleteFunc(h.Drills, func(o Drill) bool { return o.Method == d.Method && o.Target == d.Target })
	h.Drills = append(h.Drills, d)
	if n := len(h.Drills); n > keepDrills {
		h.Drills = slices.Delete(h.Drills, 0, n-keepDrills)
	}
	// The boot that was meant is no upset of the host.
	h.Boot = d.Next
	run.Stage, run.Since = DrillDone, e.At
	run.Text = fmt.Sprintf("off after %s, silent after %s, heard again %s after power-on", round(d.Off), round(d.Silent), round(d.On))
	s.journal(e, "fence drill of %s by %s: %s", e.Host, d.Method, run.Text)
	return nil
}

// keepDrills bounds what is remembered of a host.
const keepDrills = 8

// stopDrills ends what a ledger of the past takes to be under way.
func (s *State) stopDrills(why string) {
	for _, h := range s.Hosts {
		if h.Drilling.UnderWay() {
			h.Drilling.Stage, h.Drilling.Text = DrillFailed, why
		}
	}
}

// PermitsDrill says whether the ledger as it stands still allows what a drill is about
// to do.
func (s *State) PermitsDrill(host nova.HostName, run *Drilling) error {
	h := s.Hosts[host]
	switch {
	case h == nil || !h.Drilling.UnderWay() || !h.Drilling.same(run):
		return fmt.Errorf("%w: that of %s has ended", ErrDrill, host)
	case s.Frozen:
		return fmt.Errorf("%w: frozen by %s", ErrDrill, s.Halt())
	case !h.Maintenance || s.Open(host) != nil:
		return fmt.Errorf("%w: %s is not in maintenance, or has a recovery", ErrDrill, host)
	}
	return nil
}
