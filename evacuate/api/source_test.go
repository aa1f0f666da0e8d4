package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/nova"
)

const (
	readToken    = "read-token-of-the-tests"
	operateToken = "operate-token-of-the-tests"
	fenceToken   = "fence-token-of-the-tests"
)

var start = time.Date(2026, 11, 21, 6, 0, 0, 0, time.UTC)

// fake is a Source and a Commander whose answers tests set.
type fake struct {
	mu       sync.Mutex
	status   Status
	state    *evacuate.State
	verdicts map[nova.HostName]detector.Verdict
	answers  map[nova.HostName][]evacuate.Answer
	alerts   []Alert
	commands []Command
	vip      VIPStatus
	err      error
}

// newFake has a healthy cmp1, and a dead cmp2 that is being recovered.
func newFake() *fake {
	s := evacuate.NewState()
	s.Mode = evacuate.ModeAuto
	for _, id := range []string{"ctl1", "ctl2"} {
		s.Controllers[id] = &evacuate.Controller{ID: id, Address: id + ":7947"}
	}
	for _, name := range []nova.HostName{"cmp1", "cmp2"} {
		s.Hosts[name] = &evacuate.Host{Name: name, Enrolled: start, Boot: "b-" + string(name), Instances: []nova.ServerID{"s1"}}
	}
	s.Recoveries["r1"] = &evacuate.Recovery{ID: "r1", Host: "cmp2", Status: evacuate.StatusOpen, Opened: start, LastHeard: start.Add(-5 * time.Second),
		Steps:    map[evacuate.Step]*evacuate.StepRecord{evacuate.StepOpen: {Phase: evacuate.PhaseDone}},
		Timeline: []evacuate.Event{{At: start, By: "ctl1", Text: "Dead: silent to all"}}}
	return &fake{
		status: Status{Cluster: "test", ClusterID: "c1", Controller: "ctl1", Leader: "ctl1", Leads: true, Term: 3, Voters: []string{"ctl1", "ctl3"},
			Writable: true, Mode: evacuate.ModeAuto, Hosts: 2, Version: "1.2.3"},
		state: s,
		verdicts: map[nova.HostName]detector.Verdict{
			"cmp1": {Host: "cmp1", State: detector.Healthy, Detail: "heard", At: start},
			"cmp2": {Host: "cmp2", State: detector.Dead, Detail: "silent to all", At: start},
		},
		answers: map[nova.HostName][]evacuate.Answer{},
	}
}

func (f *fake) with(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *fake) Status() Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status
}

func (f *fake) State() *evacuate.State {
	f.mu.Lock()
	defer f.mu.Unlock()
	b, err := f.state.Marshal()
	if err != nil {
		panic(err)
	}
	s, err := evacuate.UnmarshalState(b)
	if err != nil {
		panic(err)
	}
	return s
}

func (f *fake) Explain(host nova.HostName) (evacuate.Explanation, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	v, ok := f.verdicts[host]
	return evacuate.Explain(f.state, evacuate.Decision{Point: evacuate.AtDecide, Answers: f.answers[host]}, v, start), ok
}

func (f *fake) Verdicts() map[nova.HostName]detector.Verdict {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := map[nova.HostName]detector.Verdict{}
	for k, v := range f.verdicts {
		out[k] = v
	}
	return out
}

func (f *fake) Alerts() []Alert {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.alerts
}

func (f *fake) Command(_ context.Context, c Command) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.commands = append(f.commands, c)
	return "done: " + c.Verb, f.err
}

func options(f *fake) Options {
	return Options{Source: f, Commander: f, Tokens: map[string]Principal{readToken: {"rita", RoleRead}, operateToken: {"otto", RoleOperate}, fenceToken: {"fritz", RoleFence}},
		Registry: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler), Now: time.Now}
}

func serve(t *testing.T, o Options) *httptest.Server {
	t.Helper()
	h, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv
}

type answer struct {
	code   int
	kind   string
	header http.Header
	body   string
}

// ask sends one request; extra are headers "Name: value".
func ask(t *testing.T, srv *httptest.Server, method, path, token, body string, extra ...string) answer {
	t.Helper()
	req, err := http.NewRequest(method, srv.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for _, e := range extra {
		name, value, _ := strings.Cut(e, ": ")
		req.Header.Set(name, value)
	}
	resp, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header.Get("Content-Type"), resp.Header, string(b)}
}

// isProblem checks that an answer is a problem of RFC 9457.
func isProblem(a answer, code int) error {
	var p struct {
		Title, Detail string
		Status        int
	}
	switch err := json.Unmarshal([]byte(a.body), &p); {
	case a.code != code:
		return fmt.Errorf("status %d, want %d: %s", a.code, code, a.body)
	case a.kind != "application/problem+json":
		return fmt.Errorf("content type %q", a.kind)
	case err != nil:
		return fmt.Errorf("body %q: %w", a.body, err)
	case p.Status != code || p.Title == "" || p.Detail == "":
		return fmt.Errorf("problem %+v", p)
	}
	return nil
}
