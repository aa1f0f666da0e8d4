package fence_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lifeboat-ha/lifeboat/fence"
)

// clock is the bubble's virtual time.
type clock struct{}

func (clock) Now() time.Time { return time.Now() }

func (clock) Sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// answer is a power with its cause; hang is one that never comes.
type answer struct {
	power fence.Power
	cause fence.Cause
	hang  bool
}

var (
	reads     = answer{power: fence.On}
	off       = answer{power: fence.Off}
	transit   = answer{power: fence.Unknown, cause: fence.CauseTransition}
	busy      = answer{power: fence.Unknown, cause: fence.CauseBusy}
	refused   = answer{power: fence.Unknown, cause: fence.CauseAuth}
	other     = answer{power: fence.Unknown, cause: fence.CauseIdentity}
	blackhole = answer{power: fence.Unknown, cause: fence.CauseUnreachable, hang: true}
)

// bmc is a scripted Method. Each answer takes some milliseconds, so that time
// passes between them as on a wire.
type bmc struct {
	name string
	// offs and looks are what commands and readings give, the last one for ever.
	offs  []fence.Cause
	looks []answer
	// early dates the first readings so much before their request, as an adapter
	// would that answers from a cache.
	early  time.Duration
	hangs  bool // commands too
	events []string
	began  time.Time
	offAt  []time.Duration
}

const wire = 20 * time.Millisecond

func (b *bmc) Name() string { return b.name }

func (b *bmc) Power(ctx context.Context) fence.Reading {
	a := b.looks[0]
	if len(b.looks) > 1 {
		b.looks = b.looks[1:]
	}
	r := fence.Reading{Method: b.name, Power: a.power, Cause: a.cause, Began: time.Now().Add(-b.early)}
	b.events = append(b.events, string(a.power))
	if a.hang {
		<-ctx.Done()
	} else {
		time.Sleep(wire)
	}
	r.Ended = time.Now()
	return r
}

func (b *bmc) Off(ctx context.Context) error {
	b.events = append(b.events, "OFF")
	b.offAt = append(b.offAt, time.Since(b.began))
	if b.hangs {
		<-ctx.Done()
		return &fence.Error{Method: b.name, Doing: "power off", Cause: fence.CauseUnreachable, Err: ctx.Err()}
	}
	time.Sleep(wire)
	cause := fence.CauseNone
	if len(b.offs) > 0 {
		cause = b.offs[0]
		if len(b.offs) > 1 {
			b.offs = b.offs[1:]
		}
	}
	if cause == fence.CauseNone {
		return nil
	}
	return &fence.Error{Method: b.name, Doing: "power off", Cause: cause, Refused: true, Err: errors.New("no")}
}

func (b *bmc) On(ctx context.Context) error {
	b.events = append(b.events, "ON")
	if b.hangs {
		<-ctx.Done()
		return &fence.Error{Method: b.name, Doing: "power on", Cause: fence.CauseUnreachable, Err: ctx.Err()}
	}
	return nil
}

func allow(context.Context) error { return nil }

func repeat(n int, a answer) []answer {
	var all []answer
	for range n {
		all = append(all, a)
	}
	return all
}

func TestOff(t *testing.T) {
	for _, test := range []struct {
		name  string
		bmc   bmc
		proof bool
		cause fence.Cause // of the attempt, where there is no proof
		offs  int         // commands, 0 is not looked at
		took  [2]time.Duration
	}{
		{name: "off at once", bmc: bmc{looks: []answer{off}}, proof: true, offs: 1, took: [2]time.Duration{time.Second, 2 * time.Second}},
		{name: "off is commanded where it reads off already", bmc: bmc{looks: []answer{off}}, proof: true, offs: 1},
		{name: "lag of 1.5 s", bmc: bmc{looks: append(repeat(3, reads), off)}, proof: true, offs: 1},
		{name: "powering off first", bmc: bmc{looks: append(repeat(4, transit), off)}, proof: true, offs: 1},
		{name: "flapping on, off, on", bmc: bmc{looks: []answer{reads, off, reads, off, reads, off}}, proof: true, offs: 1},
		{name: "two offs around an on are none", bmc: bmc{looks: []answer{off, reads, off, off, reads}}, cause: fence.CauseNotHonoured},
		{name: "an unknown ends the run too", bmc: bmc{looks: []answer{off, off, transit, off, off, busy}}, cause: fence.CauseBusy},
		{name: "one off and silence", bmc: bmc{looks: []answer{off, blackhole}}, cause: fence.CauseUnreachable},
		{name: "never honoured", bmc: bmc{looks: []answer{reads}}, cause: fence.CauseNotHonoured, offs: 4, took: [2]time.Duration{20 * time.Second, 21 * time.Second}},
		{name: "honoured when sent again after 5 s", bmc: bmc{looks: append(repeat(10, reads), off)}, proof: true, offs: 2},
		{name: "unreachable", bmc: bmc{looks: []answer{blackhole}, hangs: true}, cause: fence.CauseUnreachable, took: [2]time.Duration{20 * time.Second, 21 * time.Second}},
		{name: "busy, then ok", bmc: bmc{offs: []fence.Cause{fence.CauseBusy, fence.CauseNone}, looks: []answer{busy, busy, off}}, proof: true, offs: 2},
		{name: "off refused while it reads off", bmc: bmc{offs: []fence.Cause{fence.CauseProtocol}, looks: []answer{off}}, cause: fence.CauseProtocol},
		{name: "off refused while it reads off, then accepted", bmc: bmc{offs: []fence.Cause{fence.CauseBusy, fence.CauseNone}, looks: []answer{off}}, proof: true, offs: 2},
		{name: "wrong password", bmc: bmc{offs: []fence.Cause{fence.CauseAuth}, looks: []answer{refused}}, cause: fence.CauseAuth, offs: 1, took: [2]time.Duration{0, time.Second}},
		{name: "one stray 401 on the command", bmc: bmc{offs: []fence.Cause{fence.CauseAuth, fence.CauseNone}, looks: append(repeat(4, reads), off)}, proof: true, offs: 2},
		{name: "one stray 401 on a reading", bmc: bmc{looks: []answer{refused, off}}, proof: true, offs: 1},
		{name: "may read, may not command", bmc: bmc{offs: []fence.Cause{fence.CauseAuth}, looks: []answer{reads}}, cause: fence.CauseAuth, offs: 2, took: [2]time.Duration{2 * time.Second, 3 * time.Second}},
		{name: "another machine", bmc: bmc{looks: []answer{other}}, cause: fence.CauseIdentity, took: [2]time.Duration{0, time.Second}},
		{name: "readings from before the command", bmc: bmc{looks: []answer{off}, early: time.Hour}, took: [2]time.Duration{20 * time.Second, 21 * time.Second}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := test.bmc
				b.name, b.began = "bmc", time.Now()
				proof, attempts, err := fence.Chain{Links: []fence.Link{{Method: &b}}, Clock: clock{}}.Off(t.Context(), "host", "boot", allow)
				took := time.Since(b.began)
				if (err == nil) != test.proof || (err != nil && !errors.Is(err, fence.ErrNoProof)) {
					t.Fatalf("proof %v, error %v; events %v", test.proof, err, b.events)
				}
				if test.proof != proof.Covers("host", "boot") {
					t.Error("the proof does not cover the host, or none does")
				}
				a := attempts[0]
				if !test.proof && a.Cause != test.cause || test.proof && (a.Cause != fence.CauseNone || a.Err != "") {
					t.Errorf("cause %q (%s), want %q; events %v", a.Cause, a.Err, test.cause, b.events)
				}
				if test.offs > 0 && (a.Commands != test.offs || len(b.offAt) != test.offs) {
					t.Errorf("%d commands at %v, want %d", a.Commands, b.offAt, test.offs)
				}
				if b.events[0] != "OFF" {
					t.Errorf("off is not the first: %v", b.events)
				}
				if w := test.took; w[1] > 0 && (took < w[0] || took > w[1]) {
					t.Errorf("took %v, want %v to %v", took, w[0], w[1])
				}
			})
		})
	}
}

// Off again 5 s after the last one while it reads on, and 2 s after one that
// failed: never faster.
func TestOffIsRepeatedSlowly(t *testing.T) {
	for _, test := range []struct {
		name string
		bmc  bmc
		gap  time.Duration
	}{
		{"accepted", bmc{looks: []answer{reads}}, fence.Resend},
		{"failed", bmc{offs: []fence.Cause{fence.CauseBusy}, looks: []answer{reads}}, fence.Retry},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := test.bmc
				b.began = time.Now()
				_, _, _ = fence.Chain{Links: []fence.Link{{Method: &b}}, Clock: clock{}}.Off(t.Context(), "host", "boot", allow)
				if len(b.offAt) < 3 {
					t.Fatalf("commands at %v", b.offAt)
				}
				for i := 1; i < len(b.offAt); i++ {
					if gap := b.offAt[i] - b.offAt[i-1]; gap < test.gap || gap > test.gap+fence.Poll+wire {
						t.Errorf("commands %v apart, want about %v", gap, test.gap)
					}
				}
			})
		})
	}
}

func TestSecondLinkTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		first := &bmc{name: "redfish", looks: []answer{blackhole}, hangs: true, began: began}
		second := &bmc{name: "ipmi", looks: []answer{off}, began: began}
		third := &bmc{name: "pdu", looks: []answer{off}, began: began}
		proof, attempts, err := fence.Chain{Clock: clock{}, Links: []fence.Link{
			{Method: first, Budget: 10 * time.Second}, {Method: second}, {Method: third}}}.Off(t.Context(), "host", "boot", allow)
		if err != nil {
			t.Fatal(err)
		}
		rec := proof.Record()
		if rec.Method != "ipmi" || len(third.events) != 0 || len(attempts) != 2 || attempts[0].Cause != fence.CauseUnreachable {
			t.Errorf("by %s, attempts %+v, third %v", rec.Method, attempts, third.events)
		}
		if took := time.Since(began); took < 10*time.Second || took > 12*time.Second || rec.Took < 10*time.Second {
			t.Errorf("took %v, the proof says %v", took, rec.Took)
		}
	})
}

func TestNoLinkProves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, attempts, err := fence.Chain{Clock: clock{}, Links: []fence.Link{
			{Method: &bmc{name: "redfish", offs: []fence.Cause{fence.CauseAuth}, looks: []answer{refused}}},
			{Method: &bmc{name: "ipmi", looks: []answer{reads}}}}}.Off(t.Context(), "host", "boot", allow)
		if !errors.Is(err, fence.ErrNoProof) || len(attempts) != 2 {
			t.Fatal(err, attempts)
		}
		for _, want := range []string{"redfish: auth", "ipmi: not-honoured"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q does not say %q", err, want)
			}
		}
		if _, _, err := (fence.Chain{Clock: clock{}}).Off(t.Context(), "host", "boot", allow); !errors.Is(err, fence.ErrNoProof) {
			t.Errorf("a chain without links: %v", err)
		}
	})
}

// The guard is asked before each command, and its no is the end: no other link,
// no command.
func TestGuard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		deposed := errors.New("another leader")
		first, second := &bmc{name: "redfish", looks: []answer{reads}}, &bmc{name: "ipmi", looks: []answer{off}}
		chain := fence.Chain{Clock: clock{}, Links: []fence.Link{{Method: first}, {Method: second}}}
		refuse := func(context.Context) error { return deposed }
		_, _, err := chain.Off(t.Context(), "host", "boot", refuse)
		if !errors.Is(err, fence.ErrGuard) || !errors.Is(err, deposed) || len(first.events)+len(second.events) != 0 {
			t.Errorf("%v; sent %v %v", err, first.events, second.events)
		}
		if err := chain.On(t.Context(), refuse); !errors.Is(err, fence.ErrGuard) || len(first.events)+len(second.events) != 0 {
			t.Errorf("%v; sent %v %v", err, first.events, second.events)
		}
		asked := 0
		_, attempts, err := chain.Off(t.Context(), "host", "boot", func(context.Context) error {
			if asked++; asked > 1 {
				return deposed
			}
			return nil
		})
		if !errors.Is(err, fence.ErrGuard) || attempts[0].Commands != 1 || len(second.events) != 0 {
			t.Errorf("%v; attempts %+v; second %v", err, attempts, second.events)
		}
	})
}

func TestCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		began := time.Now()
		second := &bmc{name: "ipmi", looks: []answer{off}}
		_, _, err := fence.Chain{Clock: clock{}, Links: []fence.Link{
			{Method: &bmc{looks: []answer{blackhole}, hangs: true}}, {Method: second}}}.Off(ctx, "host", "boot", allow)
		if !errors.Is(err, fence.ErrNoProof) || len(second.events) != 0 || time.Since(began) > 4*time.Second {
			t.Errorf("%v after %v; second %v", err, time.Since(began), second.events)
		}
	})
}

// A method that takes no time at all, as in a simulation: the reading at the
// very instant of the command is left out, the later ones count.
func TestNoTimePasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		proof, _, err := fence.Chain{Clock: clock{}, Links: []fence.Link{{Method: instant{}}}}.Off(t.Context(), "host", "boot", allow)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range proof.Record().Readings {
			if !r.Began.After(proof.Record().Commanded) {
				t.Errorf("reading at %v, command at %v", r.Began, proof.Record().Commanded)
			}
		}
	})
}

type instant struct{}

func (instant) Name() string              { return "instant" }
func (instant) Off(context.Context) error { return nil }
func (instant) On(context.Context) error  { return nil }
func (instant) Power(context.Context) fence.Reading {
	return fence.Reading{Method: "instant", Power: fence.Off, Began: time.Now(), Ended: time.Now()}
}

func TestOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if err := (fence.Chain{Clock: clock{}}).On(t.Context(), allow); err == nil {
			t.Error("a chain without links powers nothing on")
		}
		slow := &bmc{name: "redfish", looks: append(append(repeat(40, off), repeat(30, transit)...), reads)}
		if err := (fence.Chain{Clock: clock{}, Links: []fence.Link{{Method: slow}}}).On(t.Context(), allow); err != nil {
			t.Errorf("a slow machine: %v", err)
		}
		deaf := &bmc{name: "redfish", looks: []answer{off}}
		good := &bmc{name: "ipmi", looks: []answer{off, reads}}
		if err := (fence.Chain{Clock: clock{}, Links: []fence.Link{{Method: deaf, Budget: 5 * time.Second}, {Method: good}}}).On(t.Context(), allow); err != nil {
			t.Errorf("the second link: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := (fence.Chain{Clock: clock{}, Links: []fence.Link{{Method: &bmc{looks: []answer{off}}}}}).On(ctx, allow); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("never on: %v", err)
		}
	})
}

func TestRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dark, lit := &bmc{name: "redfish", looks: []answer{blackhole}}, &bmc{name: "ipmi", looks: []answer{reads}}
		if r := (fence.Chain{Clock: clock{}, Links: []fence.Link{{Method: dark}, {Method: lit}}}).Read(t.Context()); r.Power != fence.On || r.Method != "ipmi" {
			t.Errorf("%+v", r)
		}
		if r := (fence.Chain{Clock: clock{}, Links: []fence.Link{{Method: dark}}}).Read(t.Context()); r.Power != fence.Unknown || r.Cause != fence.CauseUnreachable {
			t.Errorf("%+v", r)
		}
		if r := (fence.Chain{Clock: clock{}}).Read(t.Context()); r.Power != fence.Unknown {
			t.Errorf("%+v", r)
		}
	})
}

// A chain's time is the sum of its links', each with its default.
func TestWithin(t *testing.T) {
	c := fence.Chain{Links: []fence.Link{{Budget: 40 * time.Second}, {}}}
	if got := c.Within(); got != 60*time.Second || (fence.Chain{}).Within() != 0 {
		t.Error(got)
	}
}
