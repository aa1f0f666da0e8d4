package evacuate

import (
	"fmt"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

const (
	// failbackFor is how long after its host's return an instance may still be sent home:
	// a policy that is turned on later moves nothing of long ago.
	failbackFor = 24 * time.Hour
	// failbackMost is how long one move is followed.
	failbackMost = 2 * time.Hour
	// failbackEvery is the pause between two looks at it.
	failbackEvery = 2 * time.Second
)

// tendFailbacks follows the one instance that is on its way home, or sends the next.
// What is on its way is followed, whatever the policy says by now.
func (c *Core) tendFailbacks() {
	all := c.state.Sorted()
	for _, r := range all {
		if m := r.Failback.moving(); m != nil {
			c.trace(r, m.Server, m.From)
			return
		}
	}
	if c.policy.Failback <= 0 {
		return
	}
	for _, r := range all {
		if e := c.homesick(r); e != nil && c.noHome(r) == "" {
			c.trace(r, e.Server, e.Dest)
			return
		}
	}
}

// homesick is the next instance of a host that has returned which was not looked at yet.
func (c *Core) homesick(r *Recovery) *Evacuation {
	if r.Status != StatusClosed || r.Outcome != OutcomeReturned || r.Failback != nil && !r.Failback.Ended.IsZero() {
		return nil
	}
	if ago := c.world.Now.Sub(r.Closed); ago < 0 || ago > c.policy.Failback+failbackFor || c.since(string(r.ID)+" failback") < c.policy.Failback {
		return nil
	}
	for _, e := range r.Evacuations {
		if e.State == EvacDone && e.Attempt > 0 && e.Dest != "" && e.Dest != r.Host && r.Failback.of(e.Server) == nil {
			return e
		}
	}
	return nil
}

// noHome says why nothing is sent home to a host now, "" if it may be.
func (c *Core) noHome(r *Recovery) string {
	if a, shut := Closed(Ask(AtEnable, r.Host, nil, c.state, &c.world, c.policy)); shut {
		return fmt.Sprintf("gate %s: %s", a.Gate, a.Reason)
	}
	if why := c.state.noFailback(r, c.world.Now); why != "" {
		return why
	}
	if why := c.noLiveMove(r.Host); why != "" {
		return why
	}
	svc := c.world.Nova.Services[r.Host]
	healthy := c.healthy[r.Host]
	switch {
	case c.world.Verdicts[r.Host].State != detector.Healthy || healthy.IsZero() || c.world.Now.Sub(healthy) < c.policy.Failback:
		return "it is not healthy for long enough"
	case svc.State != nova.StateUp || svc.Disabled || svc.ForcedDown:
		return "its nova-compute is not up and enabled"
	}
	return ""
}

// trace looks at one instance and at what has been moving it.
func (c *Core) trace(r *Recovery, id nova.ServerID, from nova.HostName) {
	key := "trace " + string(r.ID) + " " + string(id)
	if last, ok := c.first[key]; ok && c.world.Now.Sub(last) < failbackEvery {
		return
	}
	c.first[key] = c.world.Now
	a := act(r, StepTrace)
	a.Server, a.Shield, a.From = id, r.Host, from
	c.start(r, a)
}

// traced sends an instance home, has it stay, or judges how far it has come.
func (c *Core) traced(r *Recovery, o Outcome) {
	e := r.Evacuation(o.Action.Server)
	if !o.OK || o.Seen == nil || e == nil {
		return
	}
	if m := r.Failback.moving(); m != nil {
		if m.Server == e.Server {
			c.arrives(r, *m, o.Seen)
		}
		return
	}
	if next := c.homesick(r); next == nil || next.Server != e.Server || c.policy.Failback <= 0 || c.noHome(r) != "" {
		return
	}
	m := FailbackMove{Server: e.Server, Name: e.Name, From: e.Dest, State: EvacSkipped, Reason: StaysThere(r, e, o.Seen), Ended: c.world.Now}
	if m.Reason == "" {
		m.Reason = c.notHome(r, e)
	}
	if m.Reason != "" {
		c.goesHome(r, r.Failback.with(m), fmt.Sprintf("failback: %s stays on %s: %s", m.Name, m.From, m.Reason))
		return
	}
	m.State, m.Intent, m.Ended, m.AfterRow = EvacIntent, c.world.Now, time.Time{}, newestRow(o.Seen, e.Server)
	c.goesHome(r, r.Failback.with(m), fmt.Sprintf("failback: %s is sent home from %s", m.Name, m.From))
	a := act(r, StepFailback)
	a.Server, a.Shield, a.From, a.To = e.Server, r.Host, e.Dest, nova.Target{Host: r.Host}
	c.sawFirst(homeKey(r, m))
	c.start(r, a)
}

// notHome says why the hosts at both ends speak against a move.
func (c *Core) notHome(r *Recovery, e *Evacuation) string {
	v, judged := c.world.Verdicts[e.Dest]
	switch {
	case c.world.Nova.Services[e.Dest].State != nova.StateUp || judged && v.State != detector.Healthy || c.state.Open(e.Dest) != nil:
		return string(e.Dest) + " is not well itself"
	case c.world.Rooms.Known(c.world.Now) && !e.Size.Within(c.world.Rooms.By[r.Host].Left):
		return fmt.Sprintf("%s has no %s left", r.Host, sizeText(e.Size))
	}
	return ""
}

func homeKey(r *Recovery, m FailbackMove) string { return string(r.ID) + " home " + string(m.Server) }

// goesHome commits a failback; it ends with the last instance, or with an error.
func (c *Core) goesHome(r *Recovery, f *Failback, text string) {
	home, last := 0, true
	for _, m := range f.Moves {
		if m.State == EvacFailed {
			f.Ended, f.Reason = c.world.Now, "stopped at the first error: "+m.Name+": "+m.Reason
		}
		if m.State == EvacDone {
			home++
		}
		last = last && !m.onItsWay()
	}
	for _, e := range r.Evacuations {
		last = last && (e.State != EvacDone || e.Attempt == 0 || e.Dest == r.Host || f.of(e.Server) != nil)
	}
	if last && f.Ended.IsZero() {
		f.Ended, f.Reason = c.world.Now, fmt.Sprintf("%d of %d are home", home, len(f.Moves))
	}
	if !f.Ended.IsZero() {
		text += "; failback is over: " + f.Reason
	}
	c.commit(Entry{Kind: KindFailback, Recovery: r.ID, Failback: f, Text: text})
}

// sentHome takes the answer to the live migration's POST.
func (c *Core) sentHome(r *Recovery, o Outcome) {
	m := r.Failback.of(o.Action.Server)
	if m == nil || m.State != EvacIntent {
		return
	}
	if n, told := m.answered(o, c.world.Now); told {
		c.goesHome(r, r.Failback.with(n), fmt.Sprintf("failback: %s: %s", n.Name, n.State)+because(n.Reason))
	}
}

// arrives follows a move.
func (c *Core) arrives(r *Recovery, m FailbackMove, obs *Observation) {
	if _, flying := c.flight[flightKey{recovery: r.ID, step: StepFailback, server: m.Server, shield: r.Host}]; flying {
		return
	}
	n, over := c.ended(m, obs, c.since(homeKey(r, m)), func(h nova.HostName) bool { return h == r.Host })
	switch {
	case over && n.State == EvacDone:
		c.goesHome(r, r.Failback.with(n), fmt.Sprintf("failback: %s is home", n.Name))
	case over:
		c.goesHome(r, r.Failback.with(n), fmt.Sprintf("failback: %s: %s", n.Name, n.Reason))
	}
}
