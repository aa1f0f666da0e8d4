package fencetest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/fence"
)

// Harness is a machine and its BMC to prove a method on: an emulator, or the
// real thing.
type Harness struct {
	Method fence.Method
	// Wrong is the same with a wrong password, Secrets what no text may show.
	Wrong   fence.Method
	Secrets []string
	Clock   fence.Clock
	// On is the truth about the machine, asked past the BMC; Set changes it.
	On  func() bool
	Set func(t *testing.T, on bool)
	// Unreachable and NotHonoured break the BMC or mend it. Dumb makes it
	// answer without telling the power; nil where it cannot be.
	Unreachable, NotHonoured, Dumb func(t *testing.T, broken bool)
	// Vague says that the method can't tell a wrong password from a BMC that is not
	// there: some other cause than none will do.
	Vague bool
	// Brief leaves out what only waits: a BMC that is not there, a call that is cut
	// short, a chain's second link. For a second way to the same code.
	Brief bool
	// Machine is what the BMC says of the machine; the zero value: it says nothing.
	Machine fence.Identity
	// Patience bounds the wait for a reading; 5 s if zero.
	Patience time.Duration
	// Run runs a part; t.Run if nil, which a bubble of virtual time forbids.
	Run func(t *testing.T, name string, f func(t *testing.T))
}

// Contract is what every fence.Method must keep, alone and in a Chain. After
// each proof it looks at the machine.
func Contract(t *testing.T, h Harness) {
	if h.Run == nil {
		h.Run = func(t *testing.T, name string, f func(t *testing.T)) { t.Run(name, f) }
	}
	if h.Patience == 0 {
		h.Patience = 5 * time.Second
	}
	h.Run(t, "on, then off", h.onThenOff)
	h.Run(t, "already off", h.alreadyOff)
	h.Run(t, "power on", h.powerOn)
	h.Run(t, "wrong password", h.wrongPassword)
	h.Run(t, "dumb", h.dumb)
	h.Run(t, "identity", h.identity)
	h.Run(t, "chain", h.chain)
	h.Run(t, "chain without proof", h.chainWithoutProof)
	if h.Brief {
		return
	}
	h.Run(t, "unreachable", h.unreachable)
	h.Run(t, "cancelled", h.cancelled)
	h.Run(t, "chain's second link", h.secondLink)
}

// begin mends the BMC and puts the machine where a part wants it.
func (h Harness) begin(t *testing.T, on bool) {
	t.Helper()
	h.mend(t)
	h.Set(t, on)
	want := fence.Off
	if on {
		want = fence.On
	}
	h.await(t, want)
}

func (h Harness) mend(t *testing.T) {
	t.Helper()
	for _, f := range []func(*testing.T, bool){h.Unreachable, h.NotHonoured, h.Dumb} {
		if f != nil {
			f(t, false)
		}
	}
}

func (h Harness) await(t *testing.T, want fence.Power) {
	t.Helper()
	var r fence.Reading
	for end := h.Clock.Now().Add(h.Patience); h.Clock.Now().Before(end); {
		if r = h.read(t, h.Method); r.Power == want {
			return
		}
		_ = h.Clock.Sleep(t.Context(), 100*time.Millisecond)
	}
	t.Fatalf("power never read %s, last %+v", want, r)
}

// read takes a reading and checks what holds for each.
func (h Harness) read(t *testing.T, m fence.Method) fence.Reading {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), fence.CallTimeout)
	defer cancel()
	return h.readUnder(t, ctx, m)
}

func (h Harness) readUnder(t *testing.T, ctx context.Context, m fence.Method) fence.Reading { //nolint:revive // t first, as everywhere
	t.Helper()
	before := h.Clock.Now()
	r := m.Power(ctx)
	switch {
	case r.Method != m.Name() || r.Method == "":
		t.Errorf("reading by %q, method %q", r.Method, m.Name())
	case r.Began.Before(before) || r.Ended.Before(r.Began) || r.Ended.After(h.Clock.Now()):
		t.Errorf("reading from %v to %v, taken from %v to %v", r.Began, r.Ended, before, h.Clock.Now())
	case (r.Power == fence.Unknown) == (r.Cause == fence.CauseNone):
		t.Errorf("power %s with cause %q", r.Power, r.Cause)
	case r.Power != fence.On && r.Power != fence.Off && r.Power != fence.Unknown:
		t.Errorf("power %q", r.Power)
	}
	h.discreet(t, r.Raw)
	return r
}

func (h Harness) discreet(t *testing.T, text string) {
	t.Helper()
	for _, s := range h.Secrets {
		if strings.Contains(text, s) {
			t.Error("a text shows a secret")
		}
	}
}

// command calls Off or On as the chain does.
func (h Harness) command(t *testing.T, f func(context.Context) error) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), fence.CallTimeout)
	defer cancel()
	return f(ctx)
}

// alike says that a cause is the one wanted, or, where the method is vague about
// passwords, any.
func (h Harness) alike(got, want fence.Cause) bool {
	return got == want || h.Vague && want == fence.CauseAuth && got != fence.CauseNone
}

// refused checks a command's error.
func (h Harness) refused(t *testing.T, err error, cause fence.Cause) {
	t.Helper()
	e, ok := errors.AsType[*fence.Error](err)
	if !ok {
		t.Errorf("error %v (%T), want a *fence.Error of %s", err, err, cause)
		return
	}
	if !h.alike(e.Cause, cause) || e.Method == "" || e.Doing == "" {
		t.Errorf("error %+v, want %s", e, cause)
	}
	h.discreet(t, err.Error())
}

func (h Harness) onThenOff(t *testing.T) {
	h.begin(t, true)
	if err := h.command(t, h.Method.Off); err != nil {
		t.Fatal(err)
	}
	h.await(t, fence.Off)
	if h.On() {
		t.Fatal("reads off and is on")
	}
}

func (h Harness) alreadyOff(t *testing.T) {
	h.begin(t, false)
	for range 2 {
		if err := h.command(t, h.Method.Off); err != nil {
			t.Fatalf("off of what is off: %v", err)
		}
		h.await(t, fence.Off)
	}
	if h.On() {
		t.Fatal("off turned it on")
	}
}

func (h Harness) powerOn(t *testing.T) {
	h.begin(t, false)
	for range 2 { // on of what is on is no error either
		if err := h.command(t, h.Method.On); err != nil {
			t.Fatal(err)
		}
		h.await(t, fence.On)
		if !h.On() {
			t.Fatal("reads on and is off")
		}
	}
}

func (h Harness) unreachable(t *testing.T) {
	for _, on := range []bool{true, false} {
		h.begin(t, on)
		h.Unreachable(t, true)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		if r := h.readUnder(t, ctx, h.Method); r.Power != fence.Unknown || r.Cause != fence.CauseUnreachable {
			t.Errorf("machine on %v: reading %+v", on, r)
		}
		cancel()
		for _, f := range []func(context.Context) error{h.Method.Off, h.Method.On} {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			h.refused(t, f(ctx), fence.CauseUnreachable)
			cancel()
		}
	}
	h.mend(t)
}

func (h Harness) wrongPassword(t *testing.T) {
	for _, on := range []bool{true, false} {
		h.begin(t, on)
		if r := h.read(t, h.Wrong); r.Power != fence.Unknown || !h.alike(r.Cause, fence.CauseAuth) {
			t.Errorf("machine on %v: reading %+v", on, r)
		}
		h.refused(t, h.command(t, h.Wrong.Off), fence.CauseAuth)
		h.refused(t, h.command(t, h.Wrong.On), fence.CauseAuth)
		if h.On() != on {
			t.Error("a wrong password changed the power")
		}
	}
}

func (h Harness) dumb(t *testing.T) {
	if h.Dumb == nil {
		return
	}
	for _, on := range []bool{true, false} {
		h.begin(t, on)
		h.Dumb(t, true)
		if r := h.read(t, h.Method); r.Power != fence.Unknown {
			t.Errorf("machine on %v: reading %+v", on, r)
		}
	}
	h.mend(t)
}

// cancelled wants an answer within a second of the end of the context.
func (h Harness) cancelled(t *testing.T) {
	h.begin(t, true)
	h.Unreachable(t, true)
	for _, after := range []time.Duration{0, 300 * time.Millisecond} {
		for _, f := range []func(context.Context) error{h.Method.Off, h.Method.On, func(ctx context.Context) error {
			r := h.readUnder(t, ctx, h.Method)
			if r.Power != fence.Unknown {
				t.Errorf("reading under a cancelled context: %+v", r)
			}
			return &fence.Error{Method: r.Method, Doing: "read", Cause: r.Cause, Err: context.Canceled}
		}} {
			ctx, cancel := context.WithTimeout(t.Context(), after)
			began := h.Clock.Now()
			h.refused(t, f(ctx), fence.CauseUnreachable)
			cancel()
			if took := h.Clock.Now().Sub(began); took > after+time.Second {
				t.Errorf("took %v under a context of %v", took, after)
			}
		}
	}
	h.mend(t)
	h.await(t, fence.On) // nothing was left behind that hits later
}

// identity wants what the BMC says, an error where nobody answers, and no off of a
// machine that is refused.
func (h Harness) identity(t *testing.T) {
	m, ok := h.Method.(fence.Identifier)
	if !ok {
		return
	}
	h.begin(t, true)
	ask := func(m fence.Identifier) (fence.Identity, error) {
		ctx, cancel := context.WithTimeout(t.Context(), fence.CallTimeout)
		defer cancel()
		return m.Identity(ctx)
	}
	if id, err := ask(m); err != nil || id != h.Machine.Clean() {
		t.Errorf("it says %+v, %v; want %+v", id, err, h.Machine.Clean())
	}
	if w, ok := h.Wrong.(fence.Identifier); ok {
		_, err := ask(w)
		h.refused(t, err, fence.CauseAuth)
	}
	if c, ok := h.Method.(fence.Checker); ok {
		var told fence.Identity
		err := h.command(t, func(ctx context.Context) error {
			return c.OffIf(ctx, func(id fence.Identity) error { told = id; return errors.New("another machine") })
		})
		h.refused(t, err, fence.CauseIdentity)
		if told.UUID != h.Machine.Clean().UUID || !h.On() {
			t.Errorf("told %+v before off, machine on %v", told, h.On())
		}
		accept := fence.Link{Method: h.Method, Accept: func(fence.Identity) error { return errors.New("another machine") }}
		if _, attempts, err := h.fence(t, accept); !errors.Is(err, fence.ErrNoProof) || attempts[0].Cause != fence.CauseIdentity || !h.On() {
			t.Errorf("chain: %v, %+v, machine on %v", err, attempts, h.On())
		}
	}
	h.Unreachable(t, true)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	_, err := m.Identity(ctx)
	h.refused(t, err, fence.CauseUnreachable)
	h.mend(t)
}

func (h Harness) chain(t *testing.T) {
	for _, on := range []bool{true, false} {
		h.begin(t, on)
		proof, attempts, err := h.fence(t, fence.Link{Method: h.Method})
		if err != nil {
			t.Fatalf("machine on %v: %v, %+v", on, err, attempts)
		}
		rec := proof.Record()
		if !proof.Covers("host", "boot") || rec.Method != h.Method.Name() || len(rec.Readings) < fence.MinReadings || attempts[0].Commands < 1 {
			t.Errorf("proof %+v, attempts %+v", rec, attempts)
		}
	}
}

func (h Harness) chainWithoutProof(t *testing.T) {
	for _, c := range []struct {
		name   string
		method fence.Method
		broken func(*testing.T, bool)
		cause  fence.Cause
	}{
		{"not honoured", h.Method, h.NotHonoured, fence.CauseNotHonoured},
		{"unreachable", h.Method, h.Unreachable, fence.CauseUnreachable},
		{"wrong password", h.Wrong, nil, fence.CauseAuth},
	} {
		if h.Brief && c.name != "not honoured" {
			continue
		}
		h.begin(t, true)
		if c.broken != nil {
			c.broken(t, true)
		}
		_, attempts, err := h.fence(t, fence.Link{Method: c.method, Budget: 7 * time.Second})
		if !errors.Is(err, fence.ErrNoProof) || len(attempts) != 1 || !h.alike(attempts[0].Cause, c.cause) {
			t.Errorf("%s: %v, %+v", c.name, err, attempts)
			continue
		}
		h.discreet(t, err.Error())
		if !h.On() {
			t.Errorf("%s: the machine is off all the same", c.name)
		}
	}
	h.mend(t)
}

func (h Harness) secondLink(t *testing.T) {
	h.begin(t, true)
	_, attempts, err := h.fence(t, fence.Link{Method: h.Wrong}, fence.Link{Method: h.Method})
	if err != nil || len(attempts) != 2 {
		t.Errorf("%v, %+v", err, attempts)
	}
}

// fence runs a chain, and looks at the machine when that says off.
func (h Harness) fence(t *testing.T, links ...fence.Link) (fence.Proof, []fence.Attempt, error) {
	t.Helper()
	guard := func(context.Context) error { return nil }
	proof, attempts, err := fence.Chain{Links: links, Clock: h.Clock}.Off(t.Context(), "host", "boot", guard)
	if err == nil && h.On() {
		t.Fatalf("a proof of a running machine: %+v", proof.Record())
	}
	return proof, attempts, err
}
