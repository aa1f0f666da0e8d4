package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lifeboat-ha/lifeboat/config"
	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/detector/clock"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// errandSite is a leader and its hand, with one BMC between them.
type errandSite struct {
	*testing.T
	bmc    *namedBMC
	hand   *hand
	hands  *hands
	clock  *clock.Fake // the hand's
	now    following
	at     uint64
	denied error
	heard  bool
	// way is what happens to a message before and after the hand has it.
	way, back func(q errand) error
	asked     []errand
}

const (
	errandHost = "cmp1"
	errandUUID = "7f3c0001-5a1e-4c5b-9a4e-2f6d7f2f0001"
)

// namedBMC says which machine it switches, and looks as the last thing before off.
type namedBMC struct {
	fakeBMC
	uuid string
}

func (b *namedBMC) Identity(context.Context) (fence.Identity, error) {
	return fence.Identity{UUID: b.uuid}, nil
}

func (b *namedBMC) OffIf(ctx context.Context, accept func(fence.Identity) error) error {
	if err := accept(fence.Identity{UUID: b.uuid}); err != nil {
		return &fence.Error{Method: "fake", Doing: "power off", Cause: fence.CauseIdentity, Refused: true, Err: err}
	}
	b.mu.Lock()
	slow := b.slow
	b.mu.Unlock()
	time.Sleep(slow)
	return b.Off(ctx)
}

func newErrandSite(t *testing.T) *errandSite {
	t.Helper()
	s := &errandSite{T: t, bmc: &namedBMC{fakeBMC: fakeBMC{power: fence.On}, uuid: errandUUID}, heard: true, at: 7,
		now: following{Leader: "ctl1", Term: 3, Contact: 100 * time.Millisecond}, clock: clock.NewFake(time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC))}
	hosts := []config.Host{{Name: errandHost, BMC: []config.BMC{{Method: config.MethodIPMI, Address: "192.0.2.1"}}}}
	method := func(string, config.BMC, func() time.Time) (fence.Method, error) { return s.bmc, nil }
	there, err := newPowers(hosts, runnerClock{clock.System()}, method)
	if err != nil {
		t.Fatal(err)
	}
	here, err := newPowers(hosts, runnerClock{clock.System()}, method)
	if err != nil {
		t.Fatal(err)
	}
	register := func() *fence.Register {
		return fence.NewRegister(map[string]fence.Identity{errandHost: {UUID: errandUUID}}, map[string]fence.Identity{"ctl9": {UUID: "7f3c0009-5a1e-4c5b-9a4e-2f6d7f2f0009"}})
	}
	s.hand = &hand{id: "ctl2", run: "run-a", on: true, clock: handClock{clock.System(), s.clock, time.Now()}, powers: there, log: slog.New(slog.DiscardHandler),
		follows: func() following { return s.now }, applied: func() uint64 { return s.at }, permits: func(evacuate.Action) error { return s.denied },
		heard: func(nova.HostName) bool { return s.heard }, untouched: func(nova.HostName) bool { return false }, register: register,
		tickets: map[nova.HostName]ticket{}, reached: map[linkOf]time.Time{}}
	s.hands = &hands{powers: here, clock: clock.System(), ask: s.ask, applied: func() uint64 { return s.at }, life: t.Context()}
	s.look()
	s.heard = false // it dies
	return s
}

// handClock runs with the bubble's time, and as far from it as a clock of its own says.
type handClock struct {
	clock.Clock
	own   *clock.Fake
	began time.Time
}

func (c handClock) Read() clock.Reading {
	r, ran := c.own.Read(), time.Since(c.began)
	return clock.Reading{Wall: r.Wall.Add(ran), Mono: r.Mono + ran, Boot: r.Boot + ran}
}

// look is the preflight by the hand, with what the leader makes of it.
func (s *errandSite) look() {
	s.Helper()
	a := s.hand.serve(s.Context(), "ctl1", s.of(actLook))
	if !a.Reached {
		s.Fatalf("the hand does not reach the living host: %+v", a)
	}
	s.hands.powers.sawBy(errandHost, "ctl2", 0, a.Said, true, time.Now())
}

func (s *errandSite) of(act errandAct) errand {
	link := s.hand.powers.links[errandHost][0]
	return errand{Act: act, Host: errandHost, Term: 3, Recovery: "r1", Boot: "b1", Attempt: 1, Index: 7, Method: link.Method, Target: link.Target, Left: 5 * time.Second}
}

func (s *errandSite) ask(ctx context.Context, _ string, q errand) (errandAnswer, error) {
	s.asked = append(s.asked, q)
	if s.way != nil {
		if err := s.way(q); err != nil {
			return errandAnswer{}, err
		}
	}
	a := s.hand.serve(ctx, "ctl1", q)
	if s.back != nil {
		if err := s.back(q); err != nil {
			return errandAnswer{}, err
		}
	}
	return a, ctx.Err()
}

func (s *errandSite) action() evacuate.Action {
	return evacuate.Action{Recovery: "r1", Host: errandHost, Boot: "b1", Step: evacuate.StepFence, Attempt: 1, Term: 3, Hand: "ctl2"}
}

func (s *errandSite) off(guard fence.Guard) (fence.Proof, []fence.Attempt, error) {
	ctx, cancel := context.WithTimeout(s.Context(), 90*time.Second)
	defer cancel()
	return s.hands.Off(ctx, s.action(), guard)
}

func yes(context.Context) error { return nil }

// Whatever does not hold any more when the errand arrives keeps the command back: each
// case changes one thing between the ticket and the off.
func TestErrandRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(s *errandSite, q *errand)
		says   string
	}{
		"all is well":                   {func(*errandSite, *errand) {}, ""},
		"a leader of a later term":      {func(s *errandSite, _ *errand) { s.now.Term, s.now.Leader = 4, "ctl3" }, "follows"},
		"another leader of the term":    {func(s *errandSite, _ *errand) { s.now.Leader = "ctl3" }, "follows"},
		"no leader":                     {func(s *errandSite, _ *errand) { s.now.Leader = "" }, "follows"},
		"it leads itself":               {func(s *errandSite, _ *errand) { s.now.Leads = true }, "leads itself"},
		"an errand of another term":     {func(_ *errandSite, q *errand) { q.Term = 2 }, "another attempt"},
		"the leader is silent":          {func(s *errandSite, _ *errand) { s.now.Contact = 600 * time.Millisecond }, "last word"},
		"the leader was never heard":    {func(s *errandSite, _ *errand) { s.now.Contact = -1 }, "last word"},
		"the ledger lags":               {func(_ *errandSite, q *errand) { q.Index = 8 }, "is at 7 here"},
		"the ledger says no":            {func(s *errandSite, _ *errand) { s.denied = errors.New("voided") }, "voided"},
		"errands are off":               {func(s *errandSite, _ *errand) { s.hand.on = false }, "errands is off"},
		"no ticket":                     {func(_ *errandSite, q *errand) { q.Ticket = "" }, "not given"},
		"a ticket of another":           {func(_ *errandSite, q *errand) { q.Ticket = "x" }, "not given"},
		"a ticket for another attempt":  {func(_ *errandSite, q *errand) { q.Attempt = 2 }, "another attempt"},
		"a ticket for another recovery": {func(_ *errandSite, q *errand) { q.Recovery = "r2" }, "another attempt"},
		"a ticket for another boot":     {func(_ *errandSite, q *errand) { q.Boot = "b2" }, "another attempt"},
		"it arrives late":               {func(*errandSite, *errand) { time.Sleep(ticketLife) }, "older than"},
		"it arrives late by the clock":  {func(s *errandSite, _ *errand) { s.clock.Advance(ticketLife) }, "older than"},
		"the machine was suspended":     {func(s *errandSite, _ *errand) { s.clock.Suspend(time.Second) }, "jumped"},
		"the hand's clock is set ahead": {func(s *errandSite, _ *errand) { s.clock.StepWall(time.Hour) }, "jumped"},
		"the hand's clock is set back":  {func(s *errandSite, _ *errand) { s.clock.StepWall(-time.Hour) }, "jumped"},
		"no time is left":               {func(_ *errandSite, q *errand) { q.Left = 0 }, "time has passed"},
		"another method by that place":  {func(_ *errandSite, q *errand) { q.Method = "redfish" }, "in this controller's file"},
		"another target by that place":  {func(_ *errandSite, q *errand) { q.Target = "192.0.2.2" }, "in this controller's file"},
		"a place that is not there":     {func(_ *errandSite, q *errand) { q.Link = 1 }, "no method 2"},
		"a host that is not there":      {func(_ *errandSite, q *errand) { q.Host = "cmp2" }, "not given"},
		"it was never reached":          {func(s *errandSite, _ *errand) { clear(s.hand.reached) }, "has not read on"},
		"it was reached long ago": {func(s *errandSite, _ *errand) {
			s.hand.reached[linkOf{errandHost, 0}] = time.Now().Add(-evacuate.HandFresh - time.Second)
		}, "has not read on"},
		"it was another machine when it looked": {func(s *errandSite, _ *errand) {
			s.hand.powers.note(errandHost, 0, fence.Identity{UUID: "7f3c0002-5a1e-4c5b-9a4e-2f6d7f2f0002"})
		}, "another machine"},
		"it said nothing when it looked": {func(s *errandSite, _ *errand) { s.hand.powers.note(errandHost, 0, fence.Identity{}) }, ""},
		"it is another machine now":      {func(s *errandSite, _ *errand) { s.bmc.uuid = "7f3c0002-5a1e-4c5b-9a4e-2f6d7f2f0002" }, ""},
		"it is a controller's machine":   {func(s *errandSite, _ *errand) { s.bmc.uuid = "7f3c0009-5a1e-4c5b-9a4e-2f6d7f2f0009" }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newErrandSite(t)
				begun := s.hand.serve(t.Context(), "ctl1", s.of(actBegin))
				if begun.Refused != "" {
					t.Fatal(begun.Refused)
				}
				q := s.of(actOff)
				q.Ticket = begun.Ticket
				c.change(s, &q)
				a := s.hand.serve(t.Context(), "ctl1", q)
				if name == "all is well" {
					if a.Refused != "" || a.Failed != nil || s.bmc.commanded() != 1 {
						t.Fatalf("refused %q, failed %+v, %d commands", a.Refused, a.Failed, s.bmc.commanded())
					}
					return
				}
				if a.Refused == "" && a.Failed == nil || !strings.Contains(a.Refused, c.says) {
					t.Errorf("refused %q, failed %+v, want %q", a.Refused, a.Failed, c.says)
				}
				if n := s.bmc.commanded(); n != 0 {
					t.Errorf("%d commands", n)
				}
			})
		})
	}
}

// What arrives twice is done once; and a ticket that a newer one has replaced is void,
// however late what it was sent with comes.
func TestErrandTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newErrandSite(t)
		first, second := s.hand.serve(t.Context(), "ctl1", s.of(actBegin)), s.hand.serve(t.Context(), "ctl1", s.of(actBegin))
		q := s.of(actOff)
		for i, ticket := range []string{first.Ticket, second.Ticket, second.Ticket, first.Ticket} {
			q.Ticket = ticket
			a := s.hand.serve(t.Context(), "ctl1", q)
			if want := i == 1; want != (a.Refused == "") {
				t.Errorf("ask %d: refused %q", i+1, a.Refused)
			}
		}
		s.bmc.slowBy(time.Second) // and while the first copy is being carried out
		q.Ticket = s.hand.serve(t.Context(), "ctl1", s.of(actBegin)).Ticket
		var done sync.WaitGroup
		for range 2 {
			done.Go(func() { s.hand.serve(t.Context(), "ctl1", q) })
		}
		done.Wait()
		if n := s.bmc.commanded(); n != 2 {
			t.Errorf("%d commands", n)
		}
	})
}

// Somebody who does not lead is refused whatever they ask, and gets no ticket.
func TestErrandOfAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newErrandSite(t)
		for _, act := range []errandAct{actLook, actBegin, actRead, actOff, "reset"} {
			if a := s.hand.serve(t.Context(), "ctl3", s.of(act)); a.Refused == "" || a.Ticket != "" {
				t.Errorf("%s for another: %+v", act, a)
			}
		}
		if n := s.bmc.commanded(); n != 0 {
			t.Errorf("%d commands", n)
		}
	})
}

// The proof is the leader's: all readings lie after its command and within the errand on
// its own clock, whatever the hand's clock says.
func TestErrandProof(t *testing.T) {
	for name, step := range map[string]time.Duration{"clocks agree": 0, "the hand's is ahead": 240 * time.Hour, "the hand's is behind": -240 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newErrandSite(t)
				s.clock.StepWall(step)
				s.clock.Advance(1000 * time.Hour) // it was started long before
				s.way = func(errand) error { time.Sleep(300 * time.Millisecond); return nil }
				s.back = s.way
				began, asked := time.Now(), time.Time{}
				proof, _, err := s.off(func(context.Context) error { asked = time.Now(); return nil })
				if err != nil {
					t.Fatal(err)
				}
				rec := proof.Record()
				if rec.By != "ctl2" || !proof.Covers(errandHost, "b1") || s.bmc.commanded() != 1 {
					t.Errorf("by %q, %d commands", rec.By, s.bmc.commanded())
				}
				for i, r := range rec.Readings {
					if r.Began.Before(asked) || r.Ended.After(time.Now()) || asked.Before(began) {
						t.Errorf("reading %d from %s to %s, guard at %s", i, r.Began, r.Ended, asked)
					}
				}
				if _, err := fence.Prove(rec); err != nil {
					t.Errorf("another replica: %v", err)
				}
			})
		})
	}
}

// Nothing but two readings of one process of the hand's, asked in time and answered, is a
// proof.
func TestErrandNoProof(t *testing.T) {
	lost := errors.New("connection reset")
	offs := func(q errand) bool { return q.Act == actOff }
	for name, c := range map[string]struct {
		set      func(s *errandSite)
		commands int // -1: any
	}{
		"the hand is gone":               {func(s *errandSite) { s.way = func(errand) error { return lost } }, 0},
		"it dies after the off":          {func(s *errandSite) { s.dies(lost) }, 1},
		"the answers to off are lost":    {func(s *errandSite) { s.back = only(offs, lost) }, -1},
		"the answers to reads are lost":  {func(s *errandSite) { s.back = only(func(q errand) bool { return q.Act == actRead }, lost) }, 1},
		"it is restarted after the off":  {func(s *errandSite) { s.restarts() }, 1},
		"its answers are long under way": {func(s *errandSite) { s.slow() }, 1},
		"the leader is deposed":          {func(s *errandSite) { s.way = func(q errand) error { s.now.Term += uint64(len(q.Ticket)); return nil } }, 0},
		"the BMC reads on":               {func(s *errandSite) { s.bmc.onPower = func(bool) { s.bmc.set(fence.On, "") } }, -1},
		"the BMC tells nothing":          {func(s *errandSite) { s.bmc.onPower = func(bool) { s.bmc.set(fence.Unknown, fence.CauseBusy) } }, -1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newErrandSite(t)
				c.set(s)
				_, attempts, err := s.off(yes)
				if !errors.Is(err, fence.ErrNoProof) && !errors.Is(err, fence.ErrGuard) {
					t.Errorf("error %v, attempts %+v", err, attempts)
				}
				if n := s.bmc.commanded(); c.commands >= 0 && n != c.commands {
					t.Errorf("%d commands, want %d", n, c.commands)
				}
			})
		})
	}
}

func only(which func(errand) bool, err error) func(errand) error {
	return func(q errand) error {
		if which(q) {
			return err
		}
		return nil
	}
}

// dies ends the hand once it has commanded off.
func (s *errandSite) dies(err error) {
	s.back = func(q errand) error {
		if q.Act != actOff {
			return nil
		}
		s.way = func(errand) error { return err }
		return err
	}
}

// restarts has the hand begin anew after the off: what it knew of its looks is lost.
func (s *errandSite) restarts() {
	s.back = func(q errand) error {
		if q.Act == actOff {
			s.hand.run = "run-b"
		}
		return nil
	}
}

// slow has the answers of readings come late.
func (s *errandSite) slow() {
	s.back = func(q errand) error {
		if q.Act == actRead {
			time.Sleep(reachMost + 100*time.Millisecond)
		}
		return nil
	}
}

// An off whose answer is lost may still be under way: the devices stay taken until it
// cannot be any more, and only then the errand has ended.
func TestErrandWaitsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newErrandSite(t)
		s.dies(errors.New("connection reset"))
		const budget = 3 * time.Second
		s.hands.powers.chains[errandHost].Links[0].Budget = budget
		turn := s.hands.powers.locks[errandHost]
		var sent, freed time.Time
		_, _, err := s.off(func(context.Context) error {
			if sent.IsZero() {
				sent = time.Now()
				go func() {
					_ = turn.take(t.Context())
					freed = time.Now()
					turn.give()
				}()
			}
			return nil
		})
		if err == nil {
			t.Fatal("a proof of nothing")
		}
		synctest.Wait()
		for what, at := range map[string]time.Time{"it ended": time.Now(), "the devices were free": freed} {
			if took := at.Sub(sent); took < ticketLife+budget-errandSlack {
				t.Errorf("%s %s after the off was sent", what, took)
			}
		}
	})
}

// The guard is asked before each off, and none is sent with a ticket that is younger than
// its yes.
func TestErrandGuard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newErrandSite(t)
		asked := 0
		_, _, err := s.off(func(context.Context) error {
			if asked++; asked > 1 {
				return errors.New("deposed")
			}
			s.bmc.onPower = func(bool) { s.bmc.set(fence.On, "") } // it takes off, and loses it
			return nil
		})
		if !errors.Is(err, fence.ErrGuard) || asked != 2 || s.bmc.commanded() != 1 {
			t.Errorf("error %v, asked %d times, %d commands", err, asked, s.bmc.commanded())
		}
		for i, q := range s.asked {
			if q.Act == actOff && (q.Ticket == "" || i == 0) {
				t.Errorf("ask %d: off without a ticket: %v", i, fmt.Sprint(s.asked))
			}
		}
	})
}

// A controller is in reach only by a reading of on, of the host itself, while it hears
// the host; what it reads of a dead one changes nothing.
func TestLook(t *testing.T) {
	for name, c := range map[string]struct {
		set     func(s *errandSite)
		reached bool
		keeps   bool // what was known before
	}{
		"on and heard":     {func(s *errandSite) { s.heard = true }, true, true},
		"on and not heard": {func(*errandSite) {}, false, true},
		"off and heard":    {func(s *errandSite) { s.heard = true; s.bmc.set(fence.Off, "") }, false, false},
		"dark and heard":   {func(s *errandSite) { s.heard = true; s.bmc.set(fence.Unknown, fence.CauseUnreachable) }, false, false},
		"another machine":  {func(s *errandSite) { s.heard = true; s.bmc.uuid = "7f3c0002-5a1e-4c5b-9a4e-2f6d7f2f0002" }, false, false},
		"no machine":       {func(s *errandSite) { s.heard = true; s.bmc.uuid = "" }, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newErrandSite(t)
				c.set(s)
				a := s.hand.serve(t.Context(), "ctl1", s.of(actLook))
				_, kept := s.hand.reached[linkOf{errandHost, 0}]
				if a.Reached != c.reached || kept != c.keeps || a.Refused != "" {
					t.Errorf("reached %t, kept %t, refused %q", a.Reached, kept, a.Refused)
				}
				if s.bmc.commanded() != 0 {
					t.Error("it commanded")
				}
			})
		})
	}
}

// What others read mends what this controller does not reach, and nothing that it read.
func TestSawBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newErrandSite(t)
		p, at := s.hands.powers, time.Now()
		sight := func() evacuate.Fencing { return p.sights()[errandHost] }
		if f := sight(); f.Unreached || len(f.Hands) != 1 || !f.PoweredOn.IsZero() || !f.Links[0].Check.PoweredOn.IsZero() {
			t.Errorf("it was not asked yet: %+v", f)
		}
		p.linkOff(errandHost, 0, at)
		p.count(linkOf{errandHost, 0}, fence.CauseNone)
		p.sawBy(errandHost, "ctl2", 0, fence.Identity{UUID: errandUUID}, true, at.Add(time.Second))
		if f := sight(); !f.Links[0].Check.Lies() || f.Unreached {
			t.Errorf("another's reading cleared this one's: %+v", f)
		}
		p.count(linkOf{errandHost, 0}, fence.CauseUnreachable)
		p.sawBy(errandHost, "ctl2", 0, fence.Identity{UUID: errandUUID}, true, at.Add(2*time.Second))
		if f := sight(); !f.Unreached || f.PoweredOn.IsZero() || f.Links[0].Check.Machine.UUID != errandUUID {
			t.Errorf("another's reading does not count: %+v", f)
		}
		p.sawBy(errandHost, "ctl2", 0, fence.Identity{}, false, at.Add(3*time.Second))
		if f := sight(); len(f.Hands) != 0 {
			t.Errorf("it is in reach although it read nothing: %+v", f.Hands)
		}
	})
}

// The hand's own ears and its own ledger stop it, whatever the leader says; only for the
// boot with which a host came on inside its recovery is a sign of life none.
func TestPermitsErrand(t *testing.T) {
	for name, c := range map[string]struct {
		heard   time.Duration // 0: never
		boot    string
		refence bool
		change  func(ctl *Controller, r *evacuate.Recovery)
		refused string
	}{
		"silent for long":          {heard: 20 * time.Second, boot: "b1"},
		"never heard":              {},
		"heard a second ago":       {heard: time.Second, boot: "b1", refused: "is heard"},
		"heard with another boot":  {heard: time.Second, boot: "b2", refused: "is heard"},
		"it came on":               {heard: time.Second, boot: "b1", refence: true},
		"it came on once more":     {heard: time.Second, boot: "b2", refence: true, refused: "is heard"},
		"the ledger knows no more": {change: func(_ *Controller, r *evacuate.Recovery) { r.Steps[evacuate.StepFence].Attempt = 2 }, refused: "not the one"},
		"Nova told of no aggregate": {change: func(ctl *Controller, _ *evacuate.Recovery) {
			ctl.machine.state.AggregateModes = map[string]*evacuate.Setting{"quiet": {Mode: evacuate.ModeObserve}}
		}},
		"its aggregate only watches": {change: func(ctl *Controller, r *evacuate.Recovery) {
			ctl.machine.state.AggregateModes = map[string]*evacuate.Setting{"quiet": {Mode: evacuate.ModeObserve}}
			r.Aggregates = []string{"quiet"}
		}, refused: "observe"},
	} {
		t.Run(name, func(t *testing.T) {
			clk := clock.NewFake(time.Date(2026, 11, 21, 7, 34, 8, 0, time.UTC))
			ctl := &Controller{cfg: &config.Controller{Controller: config.ControllerSelf{DataDir: t.TempDir()}}, cloud: &cloud{now: clk.Now}, machine: newMachine(), clock: clk,
				policy: evacuate.Policy{Errands: true}, observer: newObserver("ctl2", detector.DefaultPolicy(), clk.Now)}
			r := &evacuate.Recovery{ID: "r1", Host: "cmp1", Boot: "b1", Status: evacuate.StatusOpen, Refence: c.refence,
				Steps: map[evacuate.Step]*evacuate.StepRecord{evacuate.StepFence: {Phase: evacuate.PhaseIntent, Attempt: 1, Term: 3, Hand: "ctl2"}}}
			ctl.machine.state.Mode = evacuate.ModeAuto
			ctl.machine.state.Recoveries["r1"] = r
			if c.heard > 0 {
				ctl.observer.with(func(tb *detector.Table) {
					tb.Heartbeat("ctl2", detector.Heartbeat{Host: "cmp1", Boot: c.boot, Start: "s"}, clk.Now().Add(-c.heard))
				})
			}
			if c.change != nil {
				c.change(ctl, r)
			}
			err := ctl.permitsErrand(evacuate.Action{Recovery: "r1", Host: "cmp1", Boot: "b1", Step: evacuate.StepFence, Attempt: 1, Term: 3, Hand: "ctl2"})
			if c.refused == "" && err != nil || c.refused != "" && (err == nil || !strings.Contains(err.Error(), c.refused)) {
				t.Errorf("%v, want %q", err, c.refused)
			}
		})
	}
}
