package app

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lifeboat-ha/lifeboat/config"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/evacuate/api"
	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
	"github.com/lifeboat-ha/lifeboat/nova/novatest"
)

func (s *site) must(verb string, host nova.HostName, word string) string {
	s.Helper()
	text, err := s.ctl.Command(s.Context(), api.Command{Verb: verb, Host: host, Word: word, Flag: true, By: "ann", Reason: "test"})
	if err != nil {
		s.Fatalf("%s: %v", verb, err)
	}
	return text
}

func TestCommandsReachTheLedger(t *testing.T) {
	onSite(t, func(s *site) {
		s.must(api.VerbMaintenance, "cmp1", "")
		s.must(api.VerbMode, "", "shadow")
		s.must(api.VerbFreeze, "", "")
		if st := s.ctl.State(); !st.Hosts["cmp1"].Maintenance || st.Hosts["cmp1"].MaintenanceBy != "ann" || st.Mode != evacuate.ModeShadow || !st.Frozen {
			t.Errorf("%+v", st)
		}
		if token := s.must(api.VerbToken, "cmp2", ""); !strings.HasPrefix(token, "lb1.") {
			t.Errorf("token %q", token)
		}
		for _, token := range s.ctl.State().Tokens {
			if left := time.Until(token.Expires); left > time.Hour || left < 59*time.Minute || token.Host != "cmp2" {
				t.Errorf("%+v", token)
			}
		}
		if s.must(api.VerbSnapshot, "", "") == "" {
			t.Error("an empty snapshot")
		}
	})
}

func TestCommandsRefuse(t *testing.T) {
	onSite(t, func(s *site) {
		for _, c := range []struct {
			q    api.Command
			want error
		}{
			{api.Command{Verb: "explode"}, api.ErrRefused},
			{api.Command{Verb: api.VerbMode, Word: "berserk"}, api.ErrRefused},
			{api.Command{Verb: api.VerbMaintenance, Host: "cmp9", Flag: true}, api.ErrNotFound},
			{api.Command{Verb: api.VerbToken, Host: "cmp9"}, api.ErrNotFound},
			{api.Command{Verb: api.VerbReturn, Host: "cmp1"}, api.ErrNotFound},
			{api.Command{Verb: api.VerbHostRemove, Host: "cmp9"}, api.ErrNotFound},
			{api.Command{Verb: api.VerbRingForce}, api.ErrRefused},
			{api.Command{Verb: api.VerbRingAbandon}, api.ErrRefused},
			{api.Command{Verb: api.VerbRestore, Data: []byte("nonsense")}, api.ErrRefused},
		} {
			if _, err := s.ctl.Command(s.Context(), c.q); !errors.Is(err, c.want) {
				t.Errorf("%s %s %s: %v", c.q.Verb, c.q.Host, c.q.Word, err)
			}
		}
		// A host with a recovery cannot be forgotten.
		s.change(func(st *evacuate.State) {
			st.Recoveries["r1"] = &evacuate.Recovery{ID: "r1", Host: "cmp1", Status: evacuate.StatusRecovered}
		})
		if _, err := s.ctl.Command(s.Context(), api.Command{Verb: api.VerbHostRemove, Host: "cmp1"}); !errors.Is(err, api.ErrRefused) || !strings.Contains(err.Error(), "r1 open") {
			t.Errorf("host-remove: %v", err)
		}
	})
}

// A rotation that is forced through by hand, and how it is told.
func TestRingCommands(t *testing.T) {
	onSite(t, func(s *site) {
		if st := s.ctl.RingStatus(); st.Rotation != nil || st.Epoch != 0 {
			t.Errorf("%+v", st)
		}
		s.must(api.VerbRingRotate, "", "")
		if _, err := s.ctl.Command(s.Context(), api.Command{Verb: api.VerbRingRotate}); !errors.Is(err, api.ErrRefused) {
			t.Errorf("a second rotation: %v", err)
		}
		st := s.ctl.RingStatus()
		if st.Rotation == nil || st.Rotation.By != "ann" || len(st.Waiting) == 0 || !strings.Contains(st.Waiting[0], "every phase lasts") {
			t.Errorf("%+v", st)
		}
		for range 3 {
			time.Sleep(2 * time.Second)
			s.must(api.VerbRingForce, "", "")
		}
		if st = s.ctl.RingStatus(); st.Rotation != nil || st.Epoch != 1 || st.Fingerprint == "" {
			t.Errorf("%+v", st)
		}
		snapshot, err := s.ctl.State().Marshal()
		key, ok := s.ctl.ringStore.key(evacuate.RingKeyName{Epoch: 1, Fingerprint: st.Fingerprint})
		if err != nil || !ok || strings.Contains(string(snapshot), string(key)) {
			t.Errorf("the key stands in the ledger, or nowhere: %t %v", ok, err)
		}
	})
}

func TestWorldSeesNova(t *testing.T) {
	onSite(t, func(s *site) {
		s.await("look at Nova", func() bool { return len(s.ctl.World().Servers) == 3 })
		w := s.ctl.World()
		if len(w.Nova.Services) != 3 || w.Nova.Conductors != 1 || w.Nova.Schedulers != 1 || w.Nova.Err != "" || len(w.Servers["cmp3"]) != 2 {
			t.Errorf("%+v, servers %d", w.Nova, len(w.Servers["cmp3"]))
		}
		if w.Storage["cmp1"] != evacuate.StorageShared || w.Frozen != "" || len(w.Fencing["cmp1"].Methods) != 1 {
			t.Errorf("storage %q, frozen %q, fencing %+v", w.Storage["cmp1"], w.Frozen, w.Fencing["cmp1"])
		}
		if w.Cells["cmp3"] != "cell1" {
			t.Errorf("cells: %v", w.Cells)
		}
		s.await("list in the ledger", func() bool { return len(s.ctl.State().Hosts["cmp3"].Instances) == 2 })

		// Nova falls silent: what is known grows old, and says so.
		seen := s.ctl.World().Nova.At
		s.nova.Inject(novatest.Fault{Match: "os-services", Status: 503})
		time.Sleep(10 * time.Second)
		if w = s.ctl.World(); w.Nova.Err == "" || w.Nova.At.After(seen.Add(4*time.Second)) || len(w.Nova.Services) != 3 {
			t.Errorf("while Nova is silent: %q, seen %s ago", w.Nova.Err, w.Now.Sub(w.Nova.At))
		}
		s.nova.Heal()
		s.await("Nova again", func() bool { w := s.ctl.World(); return w.Nova.Err == "" && w.Now.Sub(w.Nova.At) < 5*time.Second })

		if err := writeFile(s.path("ctl1/freeze"), []byte("fire in row 3\nsecond line\n")); err != nil {
			t.Fatal(err)
		}
		if w = s.ctl.World(); w.Frozen != "fire in row 3" {
			t.Errorf("frozen %q", w.Frozen)
		}
	})
}

// A BMC that refuses our credentials twice is left alone for a quarter of an hour,
// but not when a host must be fenced.
func TestPowersSpareABMC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bmc := &fakeBMC{power: fence.Unknown, cause: fence.CauseAuth}
		p := powersOf(t, bmc)
		peek := func() (asked bool) { _, asked = p.Peek(t.Context(), "cmp1"); return asked }
		for range 5 {
			peek()
		}
		if bmc.asked() != 2 {
			t.Errorf("%d readings with refused credentials", bmc.asked())
		}
		time.Sleep(authPause - time.Second)
		if peek() {
			t.Error("asked within the pause")
		}
		if p.Read(t.Context(), "cmp1"); bmc.asked() != 3 {
			t.Error("a reading that fencing needs was spared")
		}
		time.Sleep(authPause + time.Second)
		bmc.set(fence.On, "")
		for range 3 {
			if !peek() {
				t.Error("not asked after the pause, or spared although it answers")
			}
		}
		if _, ok := p.Peek(t.Context(), "cmp9"); ok {
			t.Error("a host that nobody knows is read")
		}
	})
}

// Evidence does not wait for a busy BMC; fencing does, but no longer than its call.
func TestPowersTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bmc := &fakeBMC{power: fence.On, slow: 5 * time.Second}
		p := powersOf(t, bmc)
		done := make(chan struct{})
		go func() {
			p.Read(t.Context(), "cmp1")
			close(done)
		}()
		time.Sleep(time.Second)
		began := time.Now()
		if _, ok := p.Peek(t.Context(), "cmp1"); ok || time.Since(began) > 0 {
			t.Error("evidence waited for a busy BMC")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if r := p.Read(ctx, "cmp1"); r.Power != fence.Unknown || r.Cause != fence.CauseBusy {
			t.Errorf("busy reads %+v", r)
		}
		guard := func(context.Context) error { t.Error("the guard was asked before the turn"); return nil }
		if _, _, err := p.Off(ctx, "cmp1", "b", guard); !errors.Is(err, fence.ErrNoProof) {
			t.Errorf("off while busy: %v", err)
		}
		<-done
		if r := p.Read(t.Context(), "cmp1"); r.Power != fence.On {
			t.Errorf("afterwards %+v", r)
		}
		p.sawOn("cmp1", began)
		if f := p.sights()["cmp1"]; !f.PoweredOn.Equal(began) || !strings.Contains(f.Last, "last reading on") || f.Methods[0] != "fake" {
			t.Errorf("%+v", f)
		}
	})
}

func powersOf(t *testing.T, bmc *fakeBMC) *powers {
	t.Helper()
	seams := Seams{}.withDefaults()
	p, err := newPowers([]config.Host{{Name: "cmp1", BMC: []config.BMC{{Method: config.MethodIPMI}}}}, seams.Clock,
		func(string, config.BMC, func() time.Time) (fence.Method, error) { return bmc, nil })
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A row that moves by our own write, or while it is disabled, is no report.
func TestReported(t *testing.T) {
	now := time.Date(2026, 11, 21, 6, 0, 0, 0, time.UTC)
	c := &cloud{moved: map[nova.HostName]time.Time{}, touched: map[nova.HostName]time.Time{}}
	row := func(age time.Duration, disabled bool) nova.Service {
		return nova.Service{Host: "cmp1", UpdatedAt: now.Add(-age), Disabled: disabled}
	}
	for _, s := range []struct {
		name    string
		row     nova.Service
		touched time.Duration // ago
		skew    time.Duration // of Nova's clock
		age     time.Duration // -1: not a report
	}{
		{"the first look says nothing", row(9*time.Second, false), 0, 0, -1},
		{"it moved", row(8*time.Second, false), 0, 0, 8 * time.Second},
		{"it stands still", row(8*time.Second, false), 0, 0, -1},
		{"on Nova's clock", row(7*time.Second, false), 0, -2 * time.Second, 5 * time.Second},
		{"from the future", row(6*time.Second, false), 0, -time.Minute, 0},
		{"disabled", row(5*time.Second, true), 0, 0, -1},
		{"just after a write of ours", row(4*time.Second, false), 3 * time.Second, 0, -1},
		{"long after it", row(3*time.Second, false), time.Minute, 0, 3 * time.Second},
	} {
		delete(c.touched, "cmp1")
		if s.touched > 0 {
			c.touched["cmp1"] = now.Add(-s.touched)
		}
		at := c.reported(s.row, now.Add(s.skew), now)
		if got := now.Sub(at); s.age < 0 && !at.IsZero() || s.age >= 0 && got != s.age {
			t.Errorf("%s: reported at %s", s.name, at)
		}
	}
}
