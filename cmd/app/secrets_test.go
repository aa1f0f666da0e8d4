package app

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/config"
	"github.com/lifeboat-ha/lifeboat/evacuate/api"
	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/fence/fencetest"
	"github.com/lifeboat-ha/lifeboat/fence/redfish"
	"github.com/lifeboat-ha/lifeboat/nova/novatest"
)

// said keeps everything that is logged.
type said struct {
	mu sync.Mutex
	bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Buffer.Write(p)
}

// TestNoSecretLeaves runs a controller with marked secrets through good and bad days
// of its BMC and looks for them in all that leaves it: logs, metrics, every answer of the
// API, what a command answers, the ledger and its snapshots, the process's arguments.
func TestNoSecretLeaves(t *testing.T) {
	marks := map[string]string{"a BMC's password": "m4rk-of-the-bmc", "a password that is refused": "m4rk-refused", "the ring's key": base64.StdEncoding.EncodeToString(keyOf(0)),
		"the API's token": strings.Repeat("t", 32), "Nova's password": novatest.Password}
	log := &said{}
	machine := fencetest.NewMachine(true)
	bmc := &fencetest.Redfish{Now: time.Now, Username: "admin", Password: marks["a BMC's password"], Systems: []fencetest.System{{ID: "1", Machine: machine}}}
	method := func(_ string, _ config.BMC, now func() time.Time) (fence.Method, error) {
		return redfish.New(redfish.Options{Address: "https://bmc.example", System: fencetest.SystemPath("1"), Username: "admin", Password: marks["a BMC's password"],
			Client: &http.Client{Transport: bmc.Transport()}, Now: now})
	}
	onSiteOf(t, siteOptions{method: method, log: slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})}, func(s *site) {
		a := s.enrolled(1)
		defer func() { _ = a.Kill() }()
		marks["an enrolment token"] = s.token("cmp2")
		s.await("preflight", func() bool { x, _ := s.ctl.Explain("cmp1"); return !x.Fencing[0].Check.Read.IsZero() })
		time.Sleep(20 * time.Second)
		s.must(api.VerbMaintenance, "cmp1", "")
		s.nova.SetService("cmp1", true, "drill", false)
		var left bytes.Buffer
		keep := func(v any, err error) {
			b, _ := json.Marshal(v)
			left.Write(b)
			if err != nil {
				left.WriteString(err.Error())
			}
		}
		for _, bad := range []func(k *fencetest.Knobs){
			func(*fencetest.Knobs) {},
			func(k *fencetest.Knobs) { k.Password = marks["a password that is refused"] },
			func(k *fencetest.Knobs) { k.Unreachable = true },
			func(k *fencetest.Knobs) { k.Busy = -1 },
			func(k *fencetest.Knobs) { k.NotHonoured = true },
		} {
			bmc.Set(func(k *fencetest.Knobs) { *k = fencetest.Knobs{}; bad(k) })
			keep(s.ctl.FenceTest(s.Context(), "cmp1"))
			keep(s.drill(true, "cmp1"))
			time.Sleep(time.Minute)
			_, attempts, err := s.ctl.powers.Off(s.Context(), "cmp1", "b", func(context.Context) error { return nil })
			keep(attempts, err)
		}
		for _, path := range []string{"/metrics", "/v1/openapi.json", "/v1/status", "/v1/controllers", "/v1/hosts", "/v1/hosts/cmp1", "/v1/hosts/cmp1/explain", "/v1/hosts/cmp1/plan",
			"/v1/hosts/cmp1/fence-test", "/v1/hosts/cmp1/drills", "/v1/recoveries", "/v1/plans", "/v1/shadow", "/v1/journal", "/v1/modes", "/v1/ring", "/v1/alerts"} {
			for _, accept := range []string{"application/json", "text/plain"} {
				req := httptest.NewRequestWithContext(s.Context(), http.MethodGet, path, nil)
				req.Header.Set("Authorization", "Bearer "+marks["the API's token"])
				req.Header.Set("Accept", accept)
				w := httptest.NewRecorder()
				s.ctl.api.ServeHTTP(w, req)
				if w.Code != http.StatusOK {
					t.Errorf("%s: %d %s", path, w.Code, w.Body)
				}
				left.Write(w.Body.Bytes())
			}
		}
		state, err := s.ctl.State().Marshal()
		keep(s.ctl.ledger.Snapshot(s.Context()))
		left.Write(state)
		if err != nil {
			t.Error(err)
		}
		argv, err := os.ReadFile("/proc/self/cmdline")
		if err != nil {
			t.Error(err)
		}
		left.Write(argv)
		log.mu.Lock()
		defer log.mu.Unlock()
		for where, text := range map[string]string{"what leaves": left.String(), "the log": log.String()} {
			if len(text) < 1000 {
				t.Errorf("%s is only %q: the test looks at the wrong place", where, text)
			}
			for what, mark := range marks {
				if strings.Contains(text, mark) {
					t.Errorf("%s stands in %s", what, where)
				}
			}
		}
		for _, want := range []string{"auth", "unreachable", "busy"} {
			if !strings.Contains(left.String(), want) {
				t.Errorf("no %s: the BMC was not as bad as it should be", want)
			}
		}
	})
}
