//go:build browser

package api

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/lifeboat-ha/lifeboat/evacuate"
)

// tab is the page in a real browser: Debian's chromium.
type tab struct {
	t *testing.T
	// soon gives what is done in it a minute.
	soon func() (context.Context, context.CancelFunc)

	mu       sync.Mutex
	complain []string // what its console holds
}

// open shows the page, in a window of that width.
func open(t *testing.T, srv *httptest.Server, width int64) *tab {
	t.Helper()
	flags := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath("/usr/bin/chromium"), chromedp.UserDataDir(t.TempDir()))
	if os.Geteuid() == 0 { // chromium refuses its own sandbox then
		flags = append(flags, chromedp.NoSandbox)
	}
	allocator, stop := chromedp.NewExecAllocator(t.Context(), flags...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	b := &tab{t: t, soon: func() (context.Context, context.CancelFunc) { return context.WithTimeout(ctx, time.Minute) }}
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(width, 900)); err != nil { // without a deadline: it would end the browser
		t.Fatal(err)
	}
	if err := chromedp.Listen(ctx, b.hear); err != nil {
		t.Fatal(err)
	}
	b.do(chromedp.Navigate(srv.URL))
	return b
}

func (b *tab) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		b.complain = append(b.complain, e.ExceptionDetails.Text)
	case *log.EventEntryAdded:
		if e.Entry.Level != log.EntryLevelVerbose { // hints
			b.complain = append(b.complain, e.Entry.Text)
		}
	}
}

func (b *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := b.soon()
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

// value is what a script comes to in the page.
func value[T any](b *tab, script string) T {
	b.t.Helper()
	ctx, cancel := b.soon()
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](script))
	if err != nil {
		b.t.Fatal(err)
	}
	return v
}

// shows waits until the text of an element holds all of that.
func (b *tab) shows(id string, want ...string) {
	b.t.Helper()
	var got string
	for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(50 * time.Millisecond) {
		got = value[string](b, `document.getElementById("`+id+`").innerText`)
		missing := ""
		for _, w := range want {
			if !strings.Contains(got, w) {
				missing = w
			}
		}
		if missing == "" {
			return
		}
	}
	b.t.Fatalf("%s never showed all of %q, but %q", id, want, got)
}

// quiet wants nothing on the console: no exception, nothing that the policy for content
// forbade. Answers that are errors are told there, and meant.
func (b *tab) quiet() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, text := range b.complain {
		if !strings.HasPrefix(text, "Failed to load resource") {
			b.t.Errorf("on the console: %s", text)
		}
	}
}

func (b *tab) signIn(token string) {
	b.t.Helper()
	b.do(chromedp.SetValue(chromedp.CSS("#token"), token), chromedp.Click(chromedp.CSS("button")))
}

// TestPageInBrowser: what an operator sees, and that nothing an agent, a server's name or
// Nova says becomes a part of the page.
func TestPageInBrowser(t *testing.T) {
	const script = `<img src=x onerror="document.title='owned'"><script>document.title='owned'</script>`
	f := newFake()
	f.alerts = []Alert{{Name: AlertNotFenceable, Host: "cmp2", Text: script}}
	v := f.verdicts["cmp2"]
	v.Detail = "silent to all " + script
	f.verdicts["cmp2"] = v
	f.state.Recoveries["r1"].Hold = &evacuate.Hold{Gate: evacuate.GateFenceable, Reason: "its BMC is silent"}
	var down sync.Map
	h, err := New(options(f))
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, is := down.Load("down"); is {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)

	b := open(t, srv, 1280)
	b.signIn("a wrong one")
	b.shows("status", "Not up to date", "token")
	b.signIn(readToken)
	b.shows("status", "test: ctl1 leads in term 3", "ledger writable", "mode auto", "2 hosts")
	b.shows("hosts", "cmp1", "Healthy", "cmp2", "Dead", "silent to all <img", "r1 open; held: its BMC is silent")
	b.shows("alerts", "not-fenceable: cmp2: <img")
	b.shows("recoveries", "Recovery r1 of cmp2: open")
	b.shows("modes", "Cloud: auto")
	b.shows("plans", "none")
	if title, images := value[string](b, `document.title`), value[int](b, `document.images.length`); title != "Lifeboat" || images != 0 {
		t.Errorf("what is told became a part of the page: title %q, %d images", title, images)
	}
	if bad := value[int](b, `document.querySelectorAll("#hosts .bad").length`); bad < 2 {
		t.Errorf("%d cells of the dead host stand out, want its verdict and its recovery", bad)
	}

	f.with(func() { f.alerts = nil; f.status.Frozen = "by rita: a test" })
	b.shows("alerts", "none")
	b.shows("status", "FROZEN by rita: a test")
	down.Store("down", true)
	b.shows("status", "Not up to date")
	b.shows("hosts", "cmp2") // what was known stays to be read
	down.Delete("down")
	b.shows("status", "ctl1 leads")
	b.quiet()
}

// TestPageInstances: each instance of a recovery with what was read of it once it was
// moved; those that want a look stand first.
func TestPageInstances(t *testing.T) {
	f := newFake()
	f.state.Recoveries["r1"].Evacuations = []*evacuate.Evacuation{
		{Server: "s1", Name: "web", State: evacuate.EvacDone, Dest: "cmp1", Check: &evacuate.Check{Volumes: 2, Ports: 1}},
		{Server: "s2", Name: "db", State: evacuate.EvacDone, Dest: "cmp1", Check: &evacuate.Check{Wrong: []string{"it was locked, and is not"}, Unknown: []string{"its ports"}}},
		{Server: "s3", Name: "fax", State: evacuate.EvacDone, Dest: "cmp1", Check: &evacuate.Check{Unknown: []string{"its power state"}}},
		{Server: "s4", Name: "old", State: evacuate.EvacSkipped, Reason: "not protected: <b>nobody</b> says so"},
		{Server: "s5", Name: "new", State: evacuate.EvacFollowing},
		{Server: "s6", Name: "cold", State: evacuate.EvacDone, Stop: evacuate.StopFailed, StopWhy: "it runs after 4 requests", Check: &evacuate.Check{}},
	}
	b := open(t, serve(t, options(f)), 1280)
	b.signIn(readToken)
	b.shows("recoveries", "Instances of cmp2, recovery r1", "verified: state, power, lock, volumes, ports", "NOT VERIFIED: it was locked, and is not; not known: its ports",
		"not known: its power state", "left", "<b>nobody</b>", "NOT VERIFIED: it was stopped before and may run: it runs after 4 requests")
	order := value[string](b, `[...document.querySelectorAll("#recoveries tbody th")].map(c=>c.textContent).join(" ")`)
	if order != "db cold old new fax web" {
		t.Errorf("in the order %s", order)
	}
	if bad := value[int](b, `document.querySelectorAll("#recoveries .bad").length`); bad != 3 {
		t.Errorf("%d cells stand out, want 3", bad)
	}
	// Who reads it by the keyboard is not thrown out of it each time it is asked for.
	value[bool](b, `(()=>{const d=document.querySelector("#recoveries .wide");d.focus();d.id="same";return true})()`)
	f.with(func() { f.status.Frozen = "by rita: a test" })
	b.shows("status", "FROZEN")
	if focus := value[string](b, `document.activeElement.id`); focus != "same" {
		t.Errorf("the focus is on %q", focus)
	}
	f.with(func() { f.state.Recoveries["r1"].Evacuations[4].State = evacuate.EvacDone })
	b.shows("recoveries", "not yet")
	b.quiet()
}

// TestPageOnATelephone: a narrow window scrolls its tables, not the page.
func TestPageOnATelephone(t *testing.T) {
	b := open(t, serve(t, options(newFake())), 360)
	b.signIn(readToken)
	b.shows("hosts", "cmp2")
	if over := value[int](b, `document.documentElement.scrollWidth-window.innerWidth`); over > 0 {
		t.Errorf("the page is %d pixels wider than its window", over)
	}
	if name := os.Getenv("LIFEBOAT_SCREENSHOT"); name != "" {
		ctx, cancel := b.soon()
		defer cancel()
		png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, png, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b.quiet()
}
