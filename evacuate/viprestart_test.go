package evacuate

import (
	"errors"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// TestRestartTokens: who may restart an agent, when, and what gives the token back.
func TestRestartTokens(t *testing.T) {
	begin := time.Date(2026, 11, 21, 6, 0, 0, 0, time.UTC)
	type world struct {
		s  *State
		at time.Time
	}
	do := func(w *world, q VIPRestartStep) error {
		return w.s.Apply(w.s.Index+1, 1, Entry{Kind: KindVIPRestart, At: w.at, By: "ctl1", Restart: &q})
	}
	ask := func(host nova.HostName, domain string, atOnce int) VIPRestartStep {
		return VIPRestartStep{Act: RestartTake, AtOnce: atOnce, PerHour: 3, VIPRestart: VIPRestart{Host: host, Binary: "nova-compute", Domain: domain, Why: "it hangs"}}
	}
	take := func(w *world, host nova.HostName, domain string) error { return do(w, ask(host, domain, 2)) }
	end := func(w *world, id uint64, host nova.HostName, o RestartOutcome) error {
		return do(w, VIPRestartStep{Act: RestartEnd, VIPRestart: VIPRestart{ID: id, Host: host, Outcome: o}})
	}
	up := func(w *world, id uint64, host nova.HostName) error {
		return do(w, VIPRestartStep{Act: RestartUp, VIPRestart: VIPRestart{ID: id, Host: host}})
	}
	first := func(w *world) error { return take(w, "host1", "rack1") }
	for name, c := range map[string]struct {
		before  func(*world) error
		ask     func(*world) error
		refused bool
	}{
		"the first":                      {nil, first, false},
		"of a host that is not enrolled": {nil, func(w *world) error { return take(w, "host9", "rack1") }, true},
		"frozen":                         {func(w *world) error { w.s.Frozen = true; return nil }, first, true},
		"drained":                        {func(w *world) error { w.s.Drain = &Mark{}; return nil }, first, true},
		"in maintenance":                 {func(w *world) error { w.s.Hosts["host1"].Maintenance = true; return nil }, first, true},
		"in quarantine":                  {func(w *world) error { w.s.Hosts["host1"].Quarantine = &Quarantine{}; return nil }, first, true},
		"in a mode that only watches":    {func(w *world) error { w.s.Mode = ModeShadow; return nil }, first, true},
		"while a recovery of it is open": {func(w *world) error {
			w.s.Recoveries["r1"] = &Recovery{ID: "r1", Host: "host1", Status: StatusReturning}
			return nil
		}, first, true},
		"while one of another host is": {func(w *world) error {
			w.s.Recoveries["r1"] = &Recovery{ID: "r1", Host: "host2", Status: StatusOpen}
			return nil
		}, first, false},
		"another of the same domain":               {first, func(w *world) error { return take(w, "host2", "rack1") }, true},
		"another of another domain":                {first, func(w *world) error { return take(w, "host3", "rack2") }, false},
		"another, where one at once is all":        {first, func(w *world) error { return do(w, ask("host3", "rack2", 1)) }, true},
		"after the first has ended":                {func(w *world) error { return errors.Join(first(w), end(w, 1, "host1", RestartDone)) }, func(w *world) error { return take(w, "host2", "rack1") }, false},
		"after the first was never heard of again": {func(w *world) error { err := first(w); w.at = w.at.Add(restartLife); return err }, func(w *world) error { return take(w, "host2", "rack1") }, false},
		"a clock that went back frees no token":    {func(w *world) error { err := first(w); w.at = w.at.Add(-time.Hour); return err }, func(w *world) error { return take(w, "host2", "rack1") }, true},
		"the same host within half an hour": {func(w *world) error {
			err := errors.Join(first(w), end(w, 1, "host1", RestartDone), up(w, 1, "host1"))
			w.at = w.at.Add(20 * time.Minute)
			return err
		}, first, true},
		"the same host later": {func(w *world) error {
			err := errors.Join(first(w), end(w, 1, "host1", RestartDone), up(w, 1, "host1"))
			w.at = w.at.Add(31 * time.Minute)
			return err
		}, first, false},
		"the same host later, where the first did not help": {func(w *world) error {
			err := errors.Join(first(w), end(w, 1, "host1", RestartDone))
			w.at = w.at.Add(5 * time.Hour)
			return err
		}, first, true},
		"the fourth within an hour": {func(w *world) error {
			var errs []error
			for i, h := range []nova.HostName{"host1", "host2", "host3"} {
				errs = append(errs, take(w, h, "rack1"), end(w, uint64(i+1), h, RestartDone))
				w.at = w.at.Add(10 * time.Minute)
			}
			return errors.Join(errs...)
		}, func(w *world) error { return take(w, "host4", "rack1") }, true},
		"the end of another host's": {first, func(w *world) error { return end(w, 1, "host2", RestartDone) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{NewState(), begin}
			w.s.Mode = ModeAuto
			for _, h := range []nova.HostName{"host1", "host2", "host3", "host4"} {
				w.s.Hosts[h] = &Host{Name: h, Enrolled: begin}
			}
			if c.before != nil {
				if err := c.before(w); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.ask(w); (err != nil) != c.refused {
				t.Errorf("%v", err)
			}
		})
	}
	// What is permitted is taken back by what comes later: the host asks once more.
	w := &world{NewState(), begin}
	w.s.Mode, w.s.Hosts["host1"] = ModeAuto, &Host{Name: "host1", Enrolled: begin}
	if err := first(w); err != nil || w.s.RestartFor("host1", begin) == nil || w.s.RestartFor("host2", begin) != nil {
		t.Fatalf("%v: %+v", err, w.s.Restarts)
	}
	w.s.Recoveries["r1"] = &Recovery{ID: "r1", Host: "host1", Status: StatusOpen}
	if r := w.s.RestartFor("host1", begin); r != nil {
		t.Errorf("while a recovery is open: %+v", r)
	}
	delete(w.s.Recoveries, "r1")
	if r := w.s.RestartFor("host1", begin.Add(restartLife)); r != nil {
		t.Errorf("a token that is over: %+v", r)
	}
	w.s.Frozen = true
	if r := w.s.RestartFor("host1", begin); r != nil {
		t.Errorf("while frozen: %+v", r)
	}
}
