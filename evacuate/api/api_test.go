package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/nova"
)

func TestReads(t *testing.T) {
	f := newFake()
	f.alerts = []Alert{{Name: AlertNotFenceable, Host: "cmp2", Text: "x"}}
	srv := serve(t, options(f))
	for path, want := range map[string]string{
		"/v1/status":             `"cluster_id": "c1"`,
		"/v1/hosts":              `"host": "cmp1"`,
		"/v1/hosts/cmp2":         `"recovery": "r1"`,
		"/v1/hosts/cmp2/explain": `"summary": "recovery r1 is open"`,
		"/v1/recoveries":         `"id": "r1"`,
		"/v1/recoveries/r1":      `"host": "cmp2"`,
		"/v1/alerts":             `"name": "not-fenceable"`,
	} {
		a := ask(t, srv, "GET", path, readToken, "")
		if a.code != 200 || a.kind != "application/json" || !strings.Contains(a.body, want) {
			t.Errorf("%s: %d %s %s, want %s", path, a.code, a.kind, a.body, want)
		}
		if a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s may be cached", path)
		}
	}
	if a := ask(t, srv, "GET", "/v1/openapi.json", "", ""); a.code != 200 || a.kind != "application/json" || !json.Valid([]byte(a.body)) {
		t.Errorf("openapi.json without a token: %d %s", a.code, a.kind)
	}
	var hosts []Host
	if err := json.Unmarshal([]byte(ask(t, srv, "GET", "/v1/hosts", readToken, "").body), &hosts); err != nil {
		t.Fatal(err)
	}
	if len(hosts) != 2 || !hosts[0].Fenceable || hosts[1].Fenceable {
		t.Errorf("cmp1 is fenceable and cmp2 is not: %+v", hosts)
	}
	var controllers []Controller
	if err := json.Unmarshal([]byte(ask(t, srv, "GET", "/v1/controllers", readToken, "").body), &controllers); err != nil {
		t.Fatal(err)
	}
	want := []Controller{{"ctl1", "ctl1:7947", true, true}, {"ctl2", "ctl2:7947", false, false}, {"ctl3", "", true, false}}
	if fmt.Sprint(controllers) != fmt.Sprint(want) {
		t.Errorf("controllers %+v, want %+v", controllers, want)
	}
}

func TestTextForPeople(t *testing.T) {
	srv := serve(t, options(newFake()))
	for path, want := range map[string]string{"/v1/hosts/cmp2/explain": "cmp2: Dead", "/v1/recoveries/r1": "Recovery r1 of cmp2: open"} {
		if a := ask(t, srv, "GET", path, readToken, "", "Accept: text/plain"); !strings.HasPrefix(a.kind, "text/plain") || !strings.HasPrefix(a.body, want) {
			t.Errorf("%s: %s %q", path, a.kind, a.body)
		}
	}
}

func TestEveryErrorIsAProblem(t *testing.T) {
	srv := serve(t, options(newFake()))
	for _, c := range []struct {
		method, path, token, body string
		code                      int
	}{
		{"GET", "/v1/hosts/nope", readToken, "", 404},
		{"GET", "/v1/hosts/nope/explain", readToken, "", 404},
		{"GET", "/v1/recoveries/r9", readToken, "", 404},
		{"GET", "/v1/nothing", "", "", 404},
		{"GET", "/favicon.ico", "", "", 404},
		{"DELETE", "/v1/hosts", readToken, "", 405},
		{"POST", "/", "", "", 405},
		{"GET", "/v1/commands", operateToken, "", 405},
		{"GET", "/v1/status", "", "", 401},
		{"GET", "/v1/status", "wrong", "", 401},
		{"POST", "/v1/commands", readToken, `{"verb":"freeze","flag":true}`, 403},
		{"POST", "/v1/commands", operateToken, `{"verb":`, 400},
		{"POST", "/v1/commands", operateToken, `{"verb":"freeze","flog":true}`, 400},
	} {
		if err := isProblem(ask(t, srv, c.method, c.path, c.token, c.body), c.code); err != nil {
			t.Errorf("%s %s: %v", c.method, c.path, err)
		}
	}
	if a := ask(t, srv, "GET", "/v1/commands", operateToken, ""); a.header.Get("Allow") != "POST" {
		t.Errorf("Allow: %q", a.header.Get("Allow"))
	}
	if a := ask(t, srv, "GET", "/v1/status", "", ""); a.header.Get("WWW-Authenticate") != "Bearer" {
		t.Errorf("WWW-Authenticate: %q", a.header.Get("WWW-Authenticate"))
	}
}

func TestRoles(t *testing.T) {
	f := newFake()
	srv := serve(t, options(f))
	for _, c := range []struct {
		token         string
		reads, steers int
	}{{readToken, 200, 403}, {operateToken, 200, 200}, {fenceToken, 200, 200}, {"", 401, 401}, {strings.ToUpper(fenceToken), 401, 401}, {fenceToken + "x", 401, 401}} {
		if a := ask(t, srv, "GET", "/v1/status", c.token, ""); a.code != c.reads {
			t.Errorf("%q reads: %d, want %d", c.token, a.code, c.reads)
		}
		if a := ask(t, srv, "POST", "/v1/commands", c.token, `{"verb":"freeze"}`); a.code != c.steers {
			t.Errorf("%q commands: %d, want %d", c.token, a.code, c.steers)
		}
	}
	if len(f.commands) != 2 {
		t.Errorf("%d commands went through, want 2", len(f.commands))
	}
	for _, h := range []string{"Authorization: " + readToken, "Authorization: Basic " + readToken, "Authorization: Bearer", "Authorization: Bearer "} {
		if a := ask(t, srv, "GET", "/v1/status", "", "", h); a.code != 401 {
			t.Errorf("%s: %d", h, a.code)
		}
	}
	if a := ask(t, srv, "GET", "/v1/status", "", "", "Authorization: bearer "+readToken); a.code != 200 {
		t.Errorf("a scheme is the same in small letters: %d", a.code)
	}
}

func TestWithoutToken(t *testing.T) {
	f := newFake()
	srv := serve(t, options(f))
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/"} {
		if a := ask(t, srv, "GET", path, "", ""); a.code != 200 {
			t.Errorf("%s: %d", path, a.code)
		}
	}
	f.with(func() { f.status.Leader = "" })
	if err := isProblem(ask(t, srv, "GET", "/readyz", "", ""), 503); err != nil {
		t.Errorf("ready without a leader: %v", err)
	}
	o := options(f)
	o.MetricsNeedToken = true
	closed := serve(t, o)
	if err := isProblem(ask(t, closed, "GET", "/metrics", "", ""), 401); err != nil {
		t.Error(err)
	}
	if a := ask(t, closed, "GET", "/metrics", readToken, ""); a.code != 200 {
		t.Errorf("metrics with a token: %d", a.code)
	}
}

func TestCommand(t *testing.T) {
	f := newFake()
	srv := serve(t, options(f))
	sent := Command{Verb: VerbMaintenance, Host: "cmp1", Flag: true, Reason: "disk", By: "ann"}
	b, _ := json.Marshal(sent)
	if a := ask(t, srv, "POST", "/v1/commands", operateToken, string(b)); a.code != 200 || !strings.Contains(a.body, `"text": "done: maintenance"`) {
		t.Errorf("%d %s", a.code, a.body)
	}
	sent.By, sent.Says = "otto", "ann" // the token's name; the client's word is a remark
	if len(f.commands) != 1 || fmt.Sprint(f.commands[0]) != fmt.Sprint(sent) {
		t.Errorf("got %+v", f.commands)
	}
	for _, c := range []struct {
		err  error
		code int
	}{{ErrNotFound, 404}, {ErrRefused, 409}, {ErrNotLeader, 503}, {errors.New("disk full"), 500}} {
		f.with(func() { f.err = fmt.Errorf("%w: because", c.err) })
		if err := isProblem(ask(t, srv, "POST", "/v1/commands", operateToken, string(b)), c.code); err != nil {
			t.Errorf("%v: %v", c.err, err)
		}
	}
}

// TestForward lets two controllers each take the other for the leader: a
// request must end, and must not be carried out by either.
func TestForward(t *testing.T) {
	var servers [2]*httptest.Server
	fakes := [2]*fake{newFake(), newFake()}
	hops := 0
	leader := -1
	for i := range servers {
		o := options(fakes[i])
		fakes[i].status.Leads = false
		o.Forward = func(w http.ResponseWriter, r *http.Request) bool {
			if leader == i {
				return false
			}
			hops++
			req, _ := http.NewRequestWithContext(r.Context(), r.Method, servers[1-i].URL+r.URL.Path, r.Body)
			req.Header = r.Header.Clone()
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Error(err)
				return true
			}
			defer resp.Body.Close()
			w.Header().Set("Content-Type", resp.Header.Get("Content-Type"))
			w.WriteHeader(resp.StatusCode)
			_, _ = fmt.Fprint(w, readAll(resp))
			return true
		}
		servers[i] = serve(t, o)
	}
	body := `{"verb":"freeze","flag":true}`
	if err := isProblem(ask(t, servers[0], "POST", "/v1/commands", operateToken, body), 503); err != nil || hops != 1 {
		t.Errorf("%d hops: %v", hops, err)
	}
	leader = 1
	fakes[1].status.Leads = true
	if a := ask(t, servers[0], "POST", "/v1/commands", operateToken, body); a.code != 200 || len(fakes[0].commands) != 0 || len(fakes[1].commands) != 1 {
		t.Errorf("%d %s: %d and %d commands", a.code, a.body, len(fakes[0].commands), len(fakes[1].commands))
	}
	// Nobody hands on what the token does not permit.
	hops = 0
	if a := ask(t, servers[0], "POST", "/v1/commands", readToken, body); a.code != 403 || hops != 0 {
		t.Errorf("%d after %d hops", a.code, hops)
	}
}

func readAll(resp *http.Response) string {
	var b strings.Builder
	_ = resp.Write(&b)
	_, body, _ := strings.Cut(b.String(), "\r\n\r\n")
	return body
}

func TestPage(t *testing.T) {
	a := ask(t, serve(t, options(newFake())), "GET", "/", "", "")
	if a.code != 200 || !strings.Contains(a.body, "<html lang=") {
		t.Fatalf("%d %s", a.code, a.body)
	}
	for _, outside := range []string{"http://", "https://", "//cdn", "innerHTML", "localStorage"} {
		if strings.Contains(a.body, outside) {
			t.Errorf("the page holds %s", outside)
		}
	}
	if csp := a.header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") {
		t.Errorf("policy %q", csp)
	}
}

func TestParseTokens(t *testing.T) {
	one, err := ParseTokens("0123456789abcdef\n")
	if err != nil || one["0123456789abcdef"].Role != RoleFence || one["0123456789abcdef"].Name != "fence-token-9f9f51" {
		t.Errorf("one token may do everything: %v %v", one, err)
	}
	many, err := ParseTokens("# whose\nread 0123456789abcdef\n\noperate 0123456789abcdeg ann\n")
	if err != nil || len(many) != 2 || many["0123456789abcdeg"] != (Principal{"ann", RoleOperate}) {
		t.Errorf("%v %v", many, err)
	}
	for _, bad := range []string{"short", "read short", "root 0123456789abcdef", "0123456789abcdef\n0123456789abcdeg", "read a b", "read 0123456789abcdef ann smith"} {
		_, err := ParseTokens(bad)
		if err == nil {
			t.Errorf("%q is taken", bad)
		} else if strings.Contains(err.Error(), "0123456789") {
			t.Errorf("the error shows a token: %v", err)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for name, spoil := range map[string]func(*Options){
		"no token": func(o *Options) { o.Tokens = nil }, "no source": func(o *Options) { o.Source = nil },
		"no clock": func(o *Options) { o.Now = nil }, "no log": func(o *Options) { o.Log = nil },
	} {
		o := options(newFake())
		spoil(&o)
		if _, err := New(o); err == nil {
			t.Error(name)
		}
	}
}

// TestRolesOfCommands holds which commands take more than operate.
func TestRolesOfCommands(t *testing.T) {
	f := newFake()
	srv := serve(t, options(f))
	for body, code := range map[string]int{
		`{"verb":"approve","word":"p1"}`: 403, `{"verb":"confirm-dead","host":"cmp1"}`: 403, `{"verb":"recovery-end","word":"r1","flag":true,"host":"cmp2"}`: 403,
		`{"verb":"recovery-end","word":"r1"}`: 200, `{"verb":"reject","word":"p1"}`: 200, `{"verb":"mode","word":"auto"}`: 200,
		`{"verb":"freeze","flag":true}`: 200, `{"verb":"drain","flag":true}`: 200, `{"verb":"cancel","word":"r1"}`: 200,
	} {
		if a := ask(t, srv, "POST", "/v1/commands", operateToken, body); a.code != code {
			t.Errorf("operate, %s: %d, want %d", body, a.code, code)
		}
		if a := ask(t, srv, "POST", "/v1/commands", fenceToken, body); a.code != 200 {
			t.Errorf("fence, %s: %d", body, a.code)
		}
	}
	last := f.commands[len(f.commands)-1]
	if last.By != "fritz" || last.Says != "" {
		t.Errorf("recorded by %q, says %q", last.By, last.Says)
	}
}

// TestAsked reads plans, modes and shadow.
func TestAsked(t *testing.T) {
	f := newFake()
	f.state.Plans = []*evacuate.Proposal{{ID: "p1", Host: "cmp1", Boot: "b", Status: evacuate.PlanWaiting, Methods: []string{"ipmi"}, Why: "mode is approve"}}
	f.state.Shadow = []*evacuate.ShadowDecision{{ID: "s1", Host: "cmp1", Score: evacuate.ScoreWrong, Why: "heard again"}, {ID: "s2", Host: "cmp2"}}
	f.state.ShadowScores = map[evacuate.Score]int{evacuate.ScoreWrong: 1}
	f.state.Journal = []evacuate.Event{{At: start, By: "ann", Text: "frozen"}}
	f.state.Hosts["cmp1"].Mode = &evacuate.Setting{Mode: evacuate.ModeObserve, Mark: evacuate.Mark{By: "ann"}}
	o := options(f)
	o.Plan = func(h nova.HostName) (*evacuate.Proposal, bool) { return f.state.Plans[0], h == "cmp1" }
	srv := serve(t, o)
	for path, want := range map[string]string{
		"/v1/plans": `"id": "p1"`, "/v1/plans/p1": `"why": "mode is approve"`, "/v1/hosts/cmp1/plan": `"host": "cmp1"`,
		"/v1/journal": `"text": "frozen"`, "/v1/shadow": `"wrong": 1`, "/v1/modes": `"mode": "observe"`,
	} {
		if a := ask(t, srv, "GET", path, readToken, ""); a.code != 200 || !strings.Contains(a.body, want) {
			t.Errorf("%s: %d %s, want %s", path, a.code, a.body, want)
		}
	}
	for _, path := range []string{"/v1/plans/p9", "/v1/hosts/nope/plan"} {
		if err := isProblem(ask(t, srv, "GET", path, readToken, ""), 404); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	if a := ask(t, srv, "GET", "/v1/plans/p1", readToken, "", "Accept: text/plain"); !strings.Contains(a.body, "lifeboat approve p1") {
		t.Errorf("the text does not say how to approve: %s", a.body)
	}
}
