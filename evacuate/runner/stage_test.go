package runner_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/evacuate/runner"
	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/fence/fencetest"
	"github.com/lifeboat-ha/lifeboat/nova"
	"github.com/lifeboat-ha/lifeboat/nova/novatest"
	"github.com/lifeboat-ha/lifeboat/nova/rest"
)

// stage is a cloud of three hosts, a BMC and a ledger for one runner, in virtual
// time. cmp1 is the host that everything is done to.
type stage struct {
	*testing.T
	cloud   *novatest.Cloud
	client  *rest.Client
	bmc     *bmc
	quorum  *quorum
	clock   *clocks
	state   *evacuate.State
	servers []nova.ServerID
	runner  *runner.Runner
	// permits, if set, is asked in place of the state.
	permits func(evacuate.Action) error
	before  int // writes that setting the stage took

	mu  sync.Mutex
	log []string // what was asked and done, in order
}

const (
	term = 7
	boot = "boot-1"
	mark = "lifeboat:r1"
)

// onStage runs f in a bubble.
func onStage(t *testing.T, f func(*stage)) {
	t.Helper()
	for name, value := range map[string]string{
		"OS_CLOUD": "", "OS_CLIENT_CONFIG_FILE": "", "OS_INTERFACE": "", "OS_CACERT": "", "OS_SYSTEM_SCOPE": "",
		"OS_AUTH_URL": "http://nova.test/identity", "OS_USERNAME": novatest.User, "OS_PASSWORD": novatest.Password,
		"OS_PROJECT_NAME": novatest.Project, "OS_USER_DOMAIN_NAME": novatest.Domain, "OS_PROJECT_DOMAIN_NAME": novatest.Domain, "OS_REGION_NAME": novatest.Region,
	} {
		t.Setenv(name, value)
	}
	synctest.Test(t, func(t *testing.T) {
		s := &stage{T: t, cloud: novatest.New(novatest.Options{Now: time.Now, SharedStorage: true}), state: evacuate.NewState()}
		defer s.cloud.Close()
		for _, h := range []nova.HostName{"cmp1", "cmp2", "cmp3"} {
			s.cloud.AddHost(h)
		}
		s.servers = s.cloud.Boot("cmp1", 3)
		time.Sleep(time.Second)
		client, err := rest.Connect(t.Context(), rest.Options{Now: time.Now, Transport: s.cloud.Transport()})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = client.Close() }()
		s.client = client
		s.clock = &clocks{began: time.Now()}
		s.bmc = &bmc{s: s, machine: fencetest.NewMachine(true)}
		s.bmc.machine.OnPower = func(on bool) {
			if on {
				s.cloud.PowerOn("cmp1")
			} else {
				s.cloud.PowerOff("cmp1")
			}
		}
		s.quorum = &quorum{s: s, term: term}
		s.state.Mode = evacuate.ModeAuto
		s.state.Recoveries["r1"] = &evacuate.Recovery{ID: "r1", Host: "cmp1", Boot: boot, Status: evacuate.StatusOpen}
		s.runner = &runner.Runner{Fencer: fencer{s.bmc}, Storage: storage{s}, Services: port{s, client}, Aggregates: client, Migrator: client, Devices: client, Servers: port{s, client}, Evacuator: port{s, client},
			Quorum: s.quorum, Clock: s.clock, Log: slog.New(slog.DiscardHandler), Permits: func(a evacuate.Action) error {
				s.note("permits")
				if s.permits != nil {
					return s.permits(a)
				}
				return s.state.Permits(a)
			}}
		f(s)
	})
}

func (s *stage) note(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = append(s.log, what)
}

func (s *stage) notes() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.log)
}

// writes are Nova's and the BMC's, without those of the setting.
func (s *stage) writes() (all []string) {
	for _, r := range s.cloud.Requests() {
		if r.Method != http.MethodGet && !strings.Contains(r.Path, "/auth/tokens") {
			all = append(all, r.Method+" "+r.Body)
		}
	}
	return append(all, s.bmc.sent()...)[s.before:]
}

// set does what a test needs before it begins, past the runner.
func (s *stage) set(host nova.HostName, u nova.ServiceUpdate) {
	s.Helper()
	if _, err := s.client.UpdateService(s.Context(), s.service(host).ID, u); err != nil {
		s.Fatal(err)
	}
	s.before++
}

func (s *stage) service(host nova.HostName) nova.Service {
	s.Helper()
	svc, err := s.client.Service(s.Context(), host)
	if err != nil {
		s.Fatal(err)
	}
	return svc
}

func yes() *bool { b := true; return &b }
func no() *bool  { b := false; return &b }

// action is one step's, decided in this term for this boot.
func (s *stage) action(step evacuate.Step, change ...func(*evacuate.Action)) evacuate.Action {
	a := evacuate.Action{Recovery: "r1", Host: "cmp1", Boot: boot, Step: step, Attempt: 1, Term: term, Deadline: 30 * time.Second, Reason: mark}
	for _, f := range change {
		f(&a)
	}
	return a
}

// proven puts a proof into the ledger and the action.
func (s *stage) proven(a *evacuate.Action) {
	a.Proof = proofAt(time.Now())
	s.state.Recoveries["r1"].Proof = proofAt(time.Now())
}

func proofAt(now time.Time) *fence.Record {
	reading := func(ago time.Duration) fence.Reading {
		return fence.Reading{Method: "bmc", Power: fence.Off, Began: now.Add(-ago), Ended: now.Add(-ago)}
	}
	return &fence.Record{Host: "cmp1", Boot: boot, Method: "bmc", Commanded: now.Add(-5 * time.Second),
		Readings: []fence.Reading{reading(3 * time.Second), reading(time.Second)}, Took: 4 * time.Second}
}

// promised journals an evacuation's intent, and makes the action for it.
func (s *stage) promised(n int) func(*evacuate.Action) {
	return func(a *evacuate.Action) {
		s.proven(a)
		a.Server, a.Looked = s.servers[n], time.Now()
		r := s.state.Recoveries["r1"]
		r.Evacuations = append(r.Evacuations, &evacuate.Evacuation{Server: a.Server, State: evacuate.EvacIntent, Attempt: 1, Term: term, Intent: time.Now()})
	}
}

func (s *stage) do(a evacuate.Action) evacuate.Outcome {
	s.Helper()
	o := s.runner.Do(s.Context(), a)
	if o.Action.Step != a.Step || o.Action.Recovery != a.Recovery || o.Action.Term != a.Term {
		s.Errorf("the outcome %+v does not answer its action", o.Action)
	}
	if !o.OK && o.Detail == "" {
		s.Error("a failed step does not say why")
	}
	return o
}

// off leaves cmp1 dead.
func (s *stage) off() { s.bmc.machine.Power(false) }

// evacuable leaves cmp1 dead, disabled and forced down.
func (s *stage) evacuable() {
	s.off()
	s.set("cmp1", nova.ServiceUpdate{Disabled: yes(), DisabledReason: mark, ForcedDown: yes()})
}

// bmc is a fencing method that does what it is told, and can misbehave.
type bmc struct {
	s       *stage
	machine *fencetest.Machine

	mu     sync.Mutex
	cmds   []string
	silent bool // does not answer
	deaf   bool // accepts and does nothing
	// onOff is called when off is commanded for the n-th time.
	onOff func(n int)
}

func (b *bmc) sent() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.cmds)
}

func (b *bmc) set(f func(*bmc)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f(b)
}

func (b *bmc) Name() string { return "bmc" }

func (b *bmc) Power(context.Context) fence.Reading {
	r := fence.Reading{Method: "bmc", Began: time.Now(), Power: fence.Off}
	b.s.note("read")
	time.Sleep(20 * time.Millisecond)
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.silent:
		r.Power, r.Cause = fence.Unknown, fence.CauseUnreachable
	case b.machine.On():
		r.Power = fence.On
	}
	r.Ended = time.Now()
	return r
}

func (b *bmc) command(name string, on bool) error {
	b.s.note(name)
	b.mu.Lock()
	b.cmds = append(b.cmds, name)
	n, hook, silent, deaf := len(b.cmds), b.onOff, b.silent, b.deaf
	b.mu.Unlock()
	if hook != nil && !on {
		hook(n)
	}
	switch {
	case silent:
		return &fence.Error{Method: "bmc", Doing: name, Cause: fence.CauseUnreachable, Err: errors.New("no answer")}
	case !deaf:
		b.machine.Power(on)
	}
	return nil
}

func (b *bmc) Off(context.Context) error { return b.command("off", false) }
func (b *bmc) On(context.Context) error  { return b.command("on", true) }

// storage is the operator's program; what it does is noted as a write.
type storage struct{ s *stage }

func (p storage) Fence(ctx context.Context, _ string, guard fence.Guard) error {
	return p.call(ctx, guard, "storage off")
}

func (p storage) Unfence(ctx context.Context, _ string, guard fence.Guard) error {
	return p.call(ctx, guard, "storage on")
}

func (p storage) call(ctx context.Context, guard fence.Guard, what string) error {
	if err := guard(ctx); err != nil {
		return err
	}
	p.s.note("write")
	p.s.bmc.set(func(b *bmc) { b.cmds = append(b.cmds, what) })
	return nil
}

type fencer struct{ b *bmc }

func (f fencer) chain() fence.Chain {
	return fence.Chain{Links: []fence.Link{{Method: f.b, Budget: 20 * time.Second}}, Clock: bubble{}}
}

func (f fencer) Off(ctx context.Context, host, boot string, guard fence.Guard) (fence.Proof, []fence.Attempt, error) {
	return f.chain().Off(ctx, host, boot, guard)
}

func (f fencer) Read(ctx context.Context, _ string) fence.Reading { return f.chain().Read(ctx) }

func (f fencer) On(ctx context.Context, _ string, guard fence.Guard) error {
	return f.chain().On(ctx, guard)
}

// port gives the client the runner's ports.
type port struct {
	s *stage
	*rest.Client
}

func (p port) UpdateService(ctx context.Context, id string, u nova.ServiceUpdate) (nova.Service, error) {
	p.s.note("write")
	return p.Client.UpdateService(ctx, id, u)
}

func (p port) Evacuate(ctx context.Context, proof fence.Proof, source nova.HostName, boot string, id nova.ServerID, to nova.Target) (string, error) {
	p.s.note("write")
	if !proof.Covers(string(source), boot) {
		p.s.Errorf("evacuate of %s was called with a proof of something else", source)
	}
	return p.Client.Evacuate(ctx, id, to)
}

func (p port) Reset(ctx context.Context, proof fence.Proof, source nova.HostName, boot string, id nova.ServerID) (string, error) {
	p.s.note("write")
	if !proof.Covers(string(source), boot) {
		p.s.Errorf("reset of a server of %s was called with a proof of something else", source)
	}
	return p.Client.Reset(ctx, id)
}
