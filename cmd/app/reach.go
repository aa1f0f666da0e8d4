package app

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/evacuate/ledger"
	"github.com/lifeboat-ha/lifeboat/evacuate/ledger/peer"
	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
)

const (
	// reachEvery and reachRetry space the looks of each other controller at a BMC: it is
	// asked seldom, for the leader's own preflight goes on. One that does not answer it is
	// asked after reachDark.
	reachEvery = 20 * time.Minute
	reachRetry = 30 * time.Second
	reachDark  = 5 * time.Minute
	// reachStarts bounds how many looks a second are asked for, reachAtOnce how many of
	// one controller run.
	reachStarts = 10
	reachAtOnce = 4
	// reachMost is how long an answer may be under way, beyond the reading itself.
	reachMost = 2 * time.Second
)

// lookOf names what one controller looks at.
type lookOf struct {
	host nova.HostName
	by   string
}

// newHand is what this controller does for a leader.
func (c *Controller) newHand() *hand {
	return &hand{id: c.id, run: c.transits.run, on: c.cfg.Fencing.Errands, clock: c.clock, powers: c.powers, log: c.log.With("component", "hand"),
		follows: c.following, permits: c.permitsErrand, untouched: c.untouched, heard: c.hears,
		applied:  func() (n uint64) { c.machine.Locked(func(s *evacuate.State) { n = s.Index }); return n },
		register: func() (r *fence.Register) { c.machine.Locked(func(s *evacuate.State) { r = s.Register() }); return r },
		tickets:  map[nova.HostName]ticket{}, reached: map[linkOf]time.Time{}}
}

func (c *Controller) following() following {
	h := c.ledger.Health()
	return following{Leader: h.Leader.ID, Term: h.Term, Contact: h.Contact, Leads: h.Leads || c.leads()}
}

// hears says that this controller's own ears hear a host.
func (c *Controller) hears(host nova.HostName) bool {
	_, age := c.lastHeard(host)
	return age >= 0 && age <= c.observer.judge.Silence()
}

// lastHeard is the boot of a host's last heartbeat and how old that is; negative: none.
func (c *Controller) lastHeard(host nova.HostName) (boot string, age time.Duration) {
	var at time.Time
	c.observer.with(func(t *detector.Table) { at, boot, _ = t.LastHeard(host) })
	if at.IsZero() {
		return "", -1
	}
	return boot, c.clock.Now().Sub(at)
}

// permitsErrand asks this controller's own ledger, freeze file and ears before it writes
// for the leader. Whoever is heard is not dead, but for the boot with which it came on
// inside its recovery.
func (c *Controller) permitsErrand(a evacuate.Action) (err error) {
	again := false
	w := c.reach()
	c.machine.Locked(func(s *evacuate.State) {
		err = s.PermitsErrand(&w, c.policy, a)
		if r := s.Recoveries[a.Recovery]; r != nil {
			again = r.Refence
		}
	})
	if err != nil || !c.hears(a.Host) {
		return err
	}
	if boot, _ := c.lastHeard(a.Host); !again || boot != a.Boot {
		return errors.New("its agent is heard: it is not dead")
	}
	return nil
}

// takeErrand serves the leader.
func (c *Controller) takeErrand(w http.ResponseWriter, r *http.Request) {
	var q errand
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		refuse(w, http.StatusBadRequest, "errand not understood")
		return
	}
	_, from, _ := peer.Identity(r)
	reply(w, c.hand.serve(r.Context(), from, q))
}

// askHand asks another controller. An answer that was long under way is none.
func (c *Controller) askHand(ctx context.Context, id string, q errand) (a errandAnswer, err error) {
	voters := c.ledger.Voters()
	i := slices.IndexFunc(voters, func(p ledger.Peer) bool { return p.ID == id })
	if i < 0 {
		return a, errors.New("controller " + id + " is no voter")
	}
	address := voters[i].Address
	body, err := json.Marshal(q)
	if err != nil {
		return a, err
	}
	err = postJSON(ctx, c.channel.Client(id, address), "https://"+address+pathFence, body, &a)
	return a, err
}

// abroad has the other controllers look at the BMCs of hosts that live, one at a time at
// each host's devices: who reads on may be sent on an errand when the leader reaches
// nothing.
func (v *investigator) abroad(ctx context.Context) {
	c := v.c
	if !c.cfg.Fencing.Errands {
		return
	}
	now, started := c.clock.Now(), 0
	voters := c.ledger.Voters()
	for host, verdict := range c.observer.last() {
		if _, ok := c.powers.chains[string(host)]; !ok || !lives(verdict) || c.untouched(host) {
			continue
		}
		for _, p := range voters {
			of := lookOf{host, p.ID}
			if p.ID == c.id || !v.looks.due(of, now) {
				continue
			}
			if started >= reachStarts {
				return
			}
			if !v.looks.begin(of, now.Add(reachRetry)) {
				continue
			}
			started++
			c.stop.wg.Go(func() {
				defer v.looks.end(of)
				v.lookBy(ctx, of)
			})
		}
	}
}

// lookout spaces the looks of other controllers.
type lookout struct {
	mu   sync.Mutex
	next map[lookOf]time.Time
	runs map[string]int // by controller
}

func newLookout() *lookout {
	return &lookout{next: map[lookOf]time.Time{}, runs: map[string]int{}}
}

func (l *lookout) due(of lookOf, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !now.Before(l.next[of])
}

// begin says that one more may run; until that is due again, unless it says otherwise.
func (l *lookout) begin(of lookOf, until time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.runs[of.by] >= reachAtOnce {
		return false
	}
	l.runs[of.by]++
	l.next[of] = until
	return true
}

func (l *lookout) end(of lookOf) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.runs[of.by]--
}

func (l *lookout) again(of lookOf, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next[of] = at
}

// lookBy has one controller look through each method of a host.
func (v *investigator) lookBy(ctx context.Context, of lookOf) {
	c, asked, some, dark := v.c, false, false, true
	for i, l := range c.powers.chains[string(of.host)].Links {
		if _, ok := l.Method.(fence.Checker); !ok {
			continue
		}
		sent := c.clock.Now()
		a, ok := c.lookThrough(ctx, of, i)
		if !ok || !lives(c.observer.last()[of.host]) {
			continue // nobody knows what it means
		}
		asked = true
		reached := a.Reached && c.hand.own(errand{Host: of.host}, a.Said) == nil
		c.powers.sawBy(string(of.host), of.by, i, a.Said, reached, sent)
		some, dark = some || reached, dark && a.Reading.Cause == fence.CauseUnreachable
	}
	switch now := c.clock.Now(); {
	case some:
		v.looks.again(of, now.Add(reachEvery-rand.N(reachEvery/10)))
	case dark && asked:
		v.looks.again(of, now.Add(reachDark))
	}
}

// lookThrough asks one controller to look through one method, and holds the turn of the
// host's devices meanwhile.
func (c *Controller) lookThrough(ctx context.Context, of lookOf, i int) (a errandAnswer, ok bool) {
	host := string(of.host)
	turn, link := c.powers.locks[host], c.powers.links[host][i]
	if !turn.try() {
		return a, false
	}
	defer turn.give()
	most := fence.CallTimeout + reachMost
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	sent := c.clock.Now()
	a, err := c.askHand(ctx, of.by, errand{Act: actLook, Host: of.host, Term: c.ledger.Term(), Link: i, Method: link.Method, Target: link.Target, Left: fence.CallTimeout})
	switch {
	case err != nil:
		c.log.Debug("a controller does not say what it reaches", "by", of.by, "host", of.host, "method", link.Method, "reason", err)
	case a.Refused != "":
		c.log.Debug("a controller does not look", "by", of.by, "host", of.host, "method", link.Method, "reason", a.Refused)
	case a.Reading == nil || c.clock.Now().Sub(sent) > most:
	default:
		return a, true
	}
	return a, false
}

// orByHand is a reading of a host by the hand that its open recovery was fenced with,
// where this controller reads nothing: a machine that is on again must be noticed.
func (c *Controller) orByHand(ctx context.Context, host nova.HostName, r fence.Reading) fence.Reading {
	by := ""
	c.machine.Locked(func(s *evacuate.State) {
		if o := s.Open(host); o != nil && o.Proof != nil {
			by = o.Proof.By
		}
	})
	if r.Cause != fence.CauseUnreachable || by == "" || by == c.id {
		return r
	}
	for i, l := range c.powers.links[string(host)] {
		sent := c.clock.Now()
		a, ok := c.lookThrough(ctx, lookOf{host, by}, i)
		if ok && a.Reading.Power != fence.Unknown && (!a.Said.Known() || c.hand.own(errand{Host: host}, a.Said) == nil) {
			// It began later: what is dated too early speaks against nothing that came after.
			return fence.Reading{Method: l.Method, Power: a.Reading.Power, Began: sent, Ended: c.clock.Now(), Raw: a.Reading.Raw}
		}
	}
	return r
}
