package api

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/evacuate"
)

// listen opens the stream; lines closes when it ends.
func listen(ctx context.Context, t *testing.T, srv *httptest.Server) (happenings chan Happening) {
	t.Helper()
	req, _ := http.NewRequestWithContext(ctx, "GET", srv.URL+"/v1/events", nil)
	req.Header.Set("Authorization", "Bearer "+readToken)
	resp, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%s", resp.Header.Get("Content-Type"))
	}
	happenings = make(chan Happening, 100)
	go func() {
		defer close(happenings)
		defer resp.Body.Close()
		sc := bufio.NewScanner(resp.Body)
		for sc.Scan() {
			if data, ok := strings.CutPrefix(sc.Text(), "data: "); ok {
				var h Happening
				if json.Unmarshal([]byte(data), &h) == nil {
					happenings <- h
				}
			}
		}
	}()
	return happenings
}

func next(t *testing.T, c chan Happening) (Happening, bool) {
	t.Helper()
	select {
	case h, open := <-c:
		return h, open
	case <-time.After(10 * time.Second):
		t.Fatal("nothing came")
		return Happening{}, false
	}
}

func TestEvents(t *testing.T) {
	f := newFake()
	srv := serve(t, options(f))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := listen(ctx, t, srv)
	if h, _ := next(t, c); h.Recovery != "r1" || h.Text != "Dead: silent to all" {
		t.Fatalf("the past comes first: %+v", h)
	}
	f.with(func() {
		r := f.state.Recoveries["r1"]
		r.Timeline = append(r.Timeline, evacuate.Event{At: start.Add(time.Second), By: "ctl1", Text: "proven off"})
		f.verdicts["cmp1"] = detector.Verdict{Host: "cmp1", State: detector.Suspect, Detail: "missed 3", At: start.Add(2 * time.Second)}
	})
	if h, _ := next(t, c); h.Text != "proven off" || h.Host != "cmp2" || h.By != "ctl1" {
		t.Errorf("%+v", h)
	}
	if h, _ := next(t, c); h.Text != "Suspect: missed 3" || h.Host != "cmp1" || h.Recovery != "" {
		t.Errorf("%+v", h)
	}
	cancel()
	if h, open := next(t, c); open {
		t.Errorf("after the end: %+v", h)
	}
	done := make(chan struct{})
	go func() { srv.Close(); close(done) }() // waits for the handler
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Error("the handler outlives its client")
	}
}

// TestEventsEndWithLeadership makes a client ask again, and so be handed to
// the new leader.
func TestEventsEndWithLeadership(t *testing.T) {
	f := newFake()
	c := listen(t.Context(), t, serve(t, options(f)))
	next(t, c)
	f.with(func() { f.status.Leads = false })
	if h, open := next(t, c); open {
		t.Errorf("after the leader fell: %+v", h)
	}
}

func TestNewsOfALongTimeline(t *testing.T) {
	f, told := newFake(), newTeller()
	r := f.state.Recoveries["r1"]
	told.news(f.state, f.verdicts)
	n := 0
	for i := range 1200 {
		e := evacuate.Event{At: start.Add(time.Duration(i+1) * time.Second), By: "ctl1", Text: fmt.Sprint(i)}
		r.Timeline = append(r.Timeline, e)
		if len(r.Timeline) > 500 { // as the ledger shortens it
			r.Timeline = append(r.Timeline[:250:250], r.Timeline[251:]...)
		}
		for _, h := range told.news(f.state, f.verdicts) {
			if h.Text != e.Text {
				t.Fatalf("told %q when %q was new", h.Text, e.Text)
			}
			n++
		}
	}
	if n != 1200 {
		t.Errorf("%d of 1200 events were told", n)
	}
	if again := told.news(f.state, f.verdicts); len(again) != 0 {
		t.Errorf("told twice: %+v", again)
	}
}

func TestNewsInOrder(t *testing.T) {
	f := newFake()
	f.state.Recoveries["r2"] = &evacuate.Recovery{ID: "r2", Host: "cmp1", Status: evacuate.StatusOpen, Opened: start.Add(time.Second),
		Timeline: []evacuate.Event{{At: start.Add(time.Second), Text: "second"}}}
	f.state.Recoveries["r1"].Timeline = append(f.state.Recoveries["r1"].Timeline, evacuate.Event{At: start.Add(2 * time.Second), Text: "third"})
	var texts []string
	for _, h := range newTeller().news(f.state, f.verdicts) {
		texts = append(texts, h.Text)
	}
	if got := strings.Join(texts, ", "); got != "Dead: silent to all, second, third" {
		t.Error(got)
	}
}
