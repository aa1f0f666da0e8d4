package app

import (
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/evacuate"
)

// The gate asks the leader, waits while an evacuation is on its way, and opens when it
// has ended; the controllers hear of it from the agent.
func TestStartGateWaits(t *testing.T) {
	onSite(t, func(s *site) {
		a := s.enrolled(1)
		defer func() { _ = a.Kill() }()
		s.await("healthy host", func() bool { return s.ctl.Verdicts()["cmp1"].State == detector.Healthy })
		s.must("mode", "", "auto")
		g, err := newGatekeeper(a.cfg, slog.New(slog.DiscardHandler), s.seams())
		if err != nil {
			t.Fatal(err)
		}
		if err := g.wait(s.Context(), true); err != nil {
			t.Errorf("nothing is under way: %v", err)
		}
		s.change(func(st *evacuate.State) {
			st.Recoveries["r9"] = &evacuate.Recovery{ID: "r9", Host: "cmp1", Boot: "before", Status: evacuate.StatusRecovered, Steps: map[evacuate.Step]*evacuate.StepRecord{},
				Evacuations: []*evacuate.Evacuation{{Server: "vm", State: evacuate.EvacFollowing, Attempt: 1}}}
		})
		if err := g.wait(s.Context(), true); !errors.Is(err, errGateShut) || !strings.Contains(err.Error(), "r9") {
			t.Errorf("an evacuation is on its way: %v", err)
		}
		s.await("word of it at the controller", func() bool {
			return strings.HasPrefix(s.ctl.Verdicts()["cmp1"].View.Sensors[sensorGate], gateClosed+": recovery r9")
		})
		if err := g.override("impatient"); err != nil {
			t.Fatal(err)
		}
		if err := g.wait(s.Context(), true); !errors.Is(err, errGateShut) {
			t.Errorf("a person's word stands above the leader's: %v", err)
		}
		done := make(chan error, 1)
		go func() { done <- g.wait(s.Context(), false) }()
		time.Sleep(time.Minute)
		if len(done) > 0 {
			t.Fatal("it did not wait")
		}
		s.change(func(st *evacuate.State) { st.Recoveries["r9"].Evacuations[0].State = evacuate.EvacDone })
		if err := <-done; err != nil {
			t.Error(err)
		}
		s.await("word of it at the controller", func() bool { return s.ctl.Verdicts()["cmp1"].View.Sensors[sensorGate] == gateOpen })
		s.change(func(st *evacuate.State) { delete(st.Recoveries, "r9") })
	})
}

// Where no controller answers it is closed; a person's word opens it for this boot, and so
// does a mode that only watched.
func TestStartGateAlone(t *testing.T) {
	onSite(t, func(s *site) {
		a := s.enrolled(1)
		defer func() { _ = a.Kill() }()
		cfg := *a.cfg
		cfg.Controllers = []netip.AddrPort{netip.MustParseAddrPort("10.1.0.9:7947")}
		keeper := func() *gatekeeper {
			g, err := newGatekeeper(&cfg, slog.New(slog.DiscardHandler), s.seams())
			if err != nil {
				t.Fatal(err)
			}
			g.agent.roster = roster{}
			return g
		}
		if err := keeper().wait(s.Context(), true); !errors.Is(err, errGateShut) || !strings.Contains(err.Error(), "no controller answers") {
			t.Errorf("nobody answers: %v", err)
		}
		g := keeper()
		g.agent.roster.Watches = true
		if err := g.wait(s.Context(), true); err != nil {
			t.Errorf("the mode only watched: %v", err)
		}
		if err := keeper().override(" "); err == nil {
			t.Error("overridden without a reason")
		}
		if err := keeper().override("the whole site restarts"); err != nil {
			t.Fatal(err)
		}
		g = keeper()
		if err := g.wait(s.Context(), true); err != nil {
			t.Errorf("a person's word for this boot: %v", err)
		}
		if w := g.look(s.Context()); w.State != gateOverridden || w.Reason != "the whole site restarts" || w.By == "" {
			t.Errorf("%+v", w)
		}
		g.boot = "boot-2"
		if err := g.wait(s.Context(), true); !errors.Is(err, errGateShut) {
			t.Errorf("a word for another boot: %v", err)
		}
	})
}

// A watching mode travels with the roster, so that a host that boots alone knows it.
func TestRosterWatches(t *testing.T) {
	onSite(t, func(s *site) {
		a := s.enrolled(1)
		defer func() { _ = a.Kill() }()
		for mode, watches := range map[string]bool{"observe": true, "auto": false, "shadow": true, "approve": false} {
			s.must("mode", "", mode)
			if r, err := a.askRoster(s.Context(), ctlAt); err != nil || r.Watches != watches {
				t.Errorf("%s: watches %t, %v", mode, r.Watches, err)
			}
		}
	})
}
