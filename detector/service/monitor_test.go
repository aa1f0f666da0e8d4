package service

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var t0 = time.Date(2026, 11, 21, 6, 0, 0, 0, time.UTC)

// TestWard: what has failed for a while is restarted, ever more seldom and so many times;
// what somebody has stopped is left; after ten good minutes it begins anew.
func TestWard(t *testing.T) {
	at := func(s int) time.Time { return t0.Add(time.Duration(s) * time.Second) }
	run := func(w *Ward, condition func(s int) Condition, most int, active bool) (restarts []int) {
		for s := 0; s <= most; s += 5 {
			w.See(condition(s), "", at(s))
			if w.Due(func(string) bool { return active }, at(s)) {
				w.Tried(at(s))
				restarts = append(restarts, s)
			}
		}
		return restarts
	}
	always := func(c Condition) func(int) Condition { return func(int) Condition { return c } }
	for name, c := range map[string]struct {
		ward      Ward
		condition func(int) Condition
		most      int
		active    bool
		want      []int
		word      string
	}{
		"it fails for good":       {Ward{Limit: 3}, always(Failed), 3600, true, []int{10, 20, 40}, "failed for good: 3 restarts did not help"},
		"it is well":              {Ward{Limit: 3}, always(Active), 600, true, nil, "active"},
		"somebody has stopped it": {Ward{Limit: 3}, always(Stopped), 600, true, nil, "stopped"},
		"it starts":               {Ward{Limit: 3}, always(Starting), 590, true, nil, "starting"},
		"it starts for ever":      {Ward{Limit: 3}, always(Starting), 611, true, nil, "failed for good: it does not start"},
		"it waits at its gate":    {Ward{Limit: 3}, always(Waiting), 3600, true, nil, "waiting"},
		"it stops":                {Ward{Limit: 3}, always(Stopping), 290, true, nil, "stopping"},
		"it stops for ever":       {Ward{Limit: 3}, always(Stopping), 311, true, nil, "failed for good: its stop does not end"},
		"systemd starts it again and again": {Ward{Limit: 3}, func(s int) Condition {
			if s%20 < 10 {
				return Active
			}
			return Starting
		}, 700, true, nil, "failed for good: it does not start"},
		"it started at last": {Ward{Limit: 3}, func(s int) Condition {
			if s < 500 {
				return Starting
			}
			return Active
		}, 700, true, nil, "active"},
		"it can't be read":          {Ward{Limit: 3}, always(Unread), 600, true, nil, "unknown"},
		"systemd has restarted it":  {Ward{Limit: 3}, func(s int) Condition { return map[bool]Condition{true: Failed, false: Active}[s == 100] }, 600, true, nil, "active"},
		"the one before it is down": {Ward{Limit: 3, After: "agent"}, always(Failed), 600, false, nil, "failed"},
		"the one before it is well": {Ward{Limit: 3, After: "agent"}, always(Failed), 12, true, []int{10}, "failed: restarted 1 of 3 times"},
		"one restart helps": {Ward{Limit: 3}, func(s int) Condition {
			if s < 15 {
				return Failed
			}
			return Active
		}, 60, true, []int{10}, "active after 1 restarts"},
		"it fails again an hour later": {Ward{Limit: 1}, func(s int) Condition {
			if s < 15 || s >= 3600 {
				return Failed
			}
			return Active
		}, 4000, true, []int{10, 3610}, "failed for good: 1 restarts did not help"},
	} {
		w := c.ward
		if got := run(&w, c.condition, c.most, c.active); !slices.Equal(got, c.want) || w.Word() != c.word {
			t.Errorf("%s: restarted at %v, %q; want %v, %q", name, got, w.Word(), c.want, c.word)
		}
	}
}

func TestUnitCondition(t *testing.T) {
	for said, want := range map[string]Condition{
		"LoadState=loaded\nActiveState=active\nResult=success\n":                              Active,
		"LoadState=loaded\nActiveState=reloading\nResult=success\n":                           Active,
		"LoadState=loaded\nActiveState=activating\nResult=exit-code\n":                        Starting,
		"LoadState=loaded\nActiveState=activating\nSubState=auto-restart\nResult=exit-code\n": Starting,
		"LoadState=loaded\nActiveState=activating\nSubState=start-pre\nResult=success\n":      Waiting,
		"LoadState=loaded\nActiveState=deactivating\nSubState=stop-sigkill\nResult=success\n": Stopping,
		"LoadState=loaded\nActiveState=failed\nResult=signal\n":                               Failed,
		"LoadState=loaded\nActiveState=inactive\nResult=success\n":                            Stopped,
		"LoadState=not-found\nActiveState=inactive\nResult=success\n":                         Unread,
		"LoadState=masked\nActiveState=failed\nResult=success\n":                              Unread,
		"": Unread,
	} {
		if got, why := unitCondition(said); got != want {
			t.Errorf("%q: %s %s, want %s", said, got, why, want)
		}
	}
}

// TestMonitor: units are asked and restarted in order, nova-compute after its neutron
// agent; where the mode only watches nothing is touched.
func TestMonitor(t *testing.T) {
	for _, watches := range []bool{false, true} {
		state := map[string]string{"neutron.service": "failed", "nova.service": "failed"}
		var done []string
		now := t0
		m := NewMonitor(MonitorOptions{Units: []Unit{{Name: "neutron.service"}, {Name: "nova.service", After: "neutron.service"}, {Name: "box", Check: []string{"check-box"}, Restart: []string{"mend-box"}}},
			Limit: 3, Watches: func() bool { return watches }, Now: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler),
			Run: func(_ context.Context, argv []string) (string, error) {
				unit := argv[len(argv)-1]
				switch {
				case argv[0] == "check-box":
					return "", fmt.Errorf("no such program")
				case argv[1] == "show":
					return "LoadState=loaded\nActiveState=" + state[unit] + "\nResult=exit-code\n", nil
				}
				done = append(done, unit)
				if strings.Join(argv[:3], " ") != "systemctl --no-block restart" {
					t.Errorf("restarted by %v", argv)
				}
				state[unit] = "active"
				return "", nil
			}})
		for range 8 {
			m.Look(t.Context())
			now = now.Add(5 * time.Second)
		}
		want := "[neutron.service nova.service]"
		if watches {
			want = "[]"
		}
		if fmt.Sprint(done) != want {
			t.Errorf("watches %t: restarted %v, want %s", watches, done, want)
		}
		if w := m.Words(); !strings.HasPrefix(w["box"], "unknown: no such program") || !watches && !strings.HasPrefix(w["nova.service"], "active after 1") {
			t.Errorf("watches %t: %v", watches, w)
		}
	}
}

// TestPrograms: an operator's own check is read by its exit code, and one that hangs is
// ended with what it has started.
func TestPrograms(t *testing.T) {
	dir := t.TempDir()
	script := func(name, body string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil { //nolint:gosec // it is to be run
			t.Fatal(err)
		}
		return path
	}
	m := NewMonitor(MonitorOptions{})
	for body, want := range map[string]Condition{"exit 0": Active, "exit 3": Failed} {
		if got, why := m.read(t.Context(), Unit{Check: []string{script("check", body)}}); got != want {
			t.Errorf("%s: %s %s", body, got, why)
		}
	}
	if got, why := m.read(t.Context(), Unit{Check: []string{filepath.Join(dir, "none")}}); got != Unread || why == "" {
		t.Errorf("a missing program: %s %s", got, why)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := runProgram(ctx, []string{script("hang", "sleep 1000 & sleep 1000")}); err == nil {
		t.Error("a program that hangs has ended well")
	}
}
