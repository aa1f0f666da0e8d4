package notify

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lifeboat-ha/lifeboat/evacuate"
)

// receiver answers with the given codes in turn, the last one for ever; 0 is no
// answer at all.
type receiver struct {
	mu     sync.Mutex
	codes  []int
	bodies []string
	heads  []http.Header
	times  []time.Time
}

func (r *receiver) RoundTrip(q *http.Request) (*http.Response, error) {
	b, _ := io.ReadAll(q.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bodies, r.heads, r.times = append(r.bodies, string(b)), append(r.heads, q.Header), append(r.times, time.Now())
	code := r.codes[0]
	if len(r.codes) > 1 {
		r.codes = r.codes[1:]
	}
	if code == 0 {
		return nil, errors.New("connection refused")
	}
	return &http.Response{StatusCode: code, Status: http.StatusText(code), Body: io.NopCloser(strings.NewReader("")), Header: http.Header{"Location": {"http://elsewhere"}}}, nil
}

// rest lets virtual time pass and gives what was received by then.
func (r *receiver) rest(d time.Duration) *receiver {
	time.Sleep(d)
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	return &receiver{bodies: slices.Clone(r.bodies), heads: slices.Clone(r.heads), times: slices.Clone(r.times)}
}

type site struct {
	mu    sync.Mutex
	state *evacuate.State
	leads bool
	since time.Time
}

func (s *site) change(f func(*evacuate.State)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s.state)
	s.state.Index++
}

func notifier(s *site, targets ...Target) *Notifier {
	return &Notifier{Targets: targets, Log: slog.New(slog.DiscardHandler), Now: time.Now,
		State: func() *evacuate.State {
			s.mu.Lock()
			defer s.mu.Unlock()
			b, _ := s.state.Marshal()
			c, _ := evacuate.UnmarshalState(b)
			return c
		},
		Leads: func() (time.Time, bool) { s.mu.Lock(); defer s.mu.Unlock(); return s.since, s.leads },
		Sleep: func(ctx context.Context, d time.Duration) error {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(d):
				return nil
			}
		}}
}

func plan(id string, at time.Time) *evacuate.Proposal {
	return &evacuate.Proposal{ID: evacuate.PlanID(id), Host: "cmp1", Status: evacuate.PlanWaiting, Prepared: at, Expires: at.Add(time.Hour), Methods: []string{"ipmi"}, Why: "mode is approve"}
}

// play runs a notifier in virtual time.
func play(t *testing.T, codes []int, f func(s *site, r *receiver)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &site{state: evacuate.NewState(), leads: true, since: time.Now()}
		r := &receiver{codes: codes}
		n := notifier(s, Target{Name: "oncall", URL: "http://oncall/x", Secret: "sesame", Timeout: time.Second, Client: NewClient(r)})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { n.Run(ctx); close(done) }()
		f(s, r)
		cancel()
		<-done
	})
}

func TestSignedOnce(t *testing.T) {
	play(t, []int{200}, func(s *site, r *receiver) {
		s.change(func(st *evacuate.State) { st.Plans = append(st.Plans, plan("p1", time.Now())) })
		time.Sleep(time.Minute)
		s.change(func(*evacuate.State) {})
		r = r.rest(time.Minute)
		if len(r.bodies) != 1 {
			t.Fatalf("%d posts, want 1", len(r.bodies))
		}
		var n evacuate.Notice
		if err := json.Unmarshal([]byte(r.bodies[0]), &n); err != nil || n.Kind != evacuate.NoticePlan || n.Event != "waiting" || !strings.Contains(n.Text, "lifeboat approve p1") {
			t.Errorf("%+v %v", n, err)
		}
		if got, want := r.heads[0].Get(SignatureHeader), Sign("sesame", r.times[0], []byte(r.bodies[0])); got != want {
			t.Errorf("signature %q, want %q", got, want)
		}
		if strings.Contains(r.bodies[0], "sesame") || r.heads[0].Get("Idempotency-Key") != n.ID {
			t.Errorf("%s %v", r.bodies[0], r.heads[0])
		}
	})
}

func TestRetries(t *testing.T) {
	for name, k := range map[string]struct {
		codes []int
		posts int
	}{
		"an error passes":            {[]int{0, 503, 429, 200}, 4},
		"a refusal is final":         {[]int{403}, 1},
		"a redirect is not followed": {[]int{307}, 1},
		"the tries are bounded":      {[]int{0}, attempts},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, k.codes, func(s *site, r *receiver) {
				s.change(func(st *evacuate.State) { st.Plans = append(st.Plans, plan("p1", time.Now())) })
				r = r.rest(10 * time.Minute)
				if len(r.bodies) != k.posts {
					t.Errorf("%d posts, want %d", len(r.bodies), k.posts)
				}
			})
		})
	}
}

// TestLeadership: a follower tells nothing; a new leader tells again what is not
// older than a minute, and nothing of the past.
func TestLeadership(t *testing.T) {
	play(t, []int{200}, func(s *site, r *receiver) {
		s.change(func(*evacuate.State) { s.leads = false })
		s.change(func(st *evacuate.State) { st.Plans = append(st.Plans, plan("p1", time.Now())) })
		time.Sleep(10 * time.Minute)
		s.change(func(st *evacuate.State) { st.Plans = append(st.Plans, plan("p2", time.Now())) })
		if n := len(r.rest(10 * time.Second).bodies); n != 0 {
			t.Fatalf("a follower sent %d", n)
		}
		s.change(func(*evacuate.State) { s.leads, s.since = true, time.Now() })
		r = r.rest(10 * time.Second)
		if len(r.bodies) != 1 || !strings.Contains(r.bodies[0], "plan/p2/waiting") {
			t.Errorf("sent %v", r.bodies)
		}
	})
}

func TestTemplate(t *testing.T) {
	n := evacuate.Notice{ID: "x", Text: "a \"quoted\" text", Host: "cmp1"}
	good, err := Compile("chat", `{"text": {{json .Text}}, "host": {{json .Host}}}`)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Body(Target{Name: "chat", Template: good}, n)
	if err != nil || string(b) != `{"text": "a \"quoted\" text", "host": "cmp1"}` {
		t.Errorf("%s %v", b, err)
	}
	bad, _ := Compile("chat", `{"text": "{{.Text}}"}`)
	if _, err := Body(Target{Name: "chat", Template: bad}, n); err == nil || !strings.Contains(err.Error(), "json .Text") {
		t.Errorf("no JSON is sent: %v", err)
	}
	if _, err := Compile("chat", `{{.Text`); err == nil {
		t.Error("a broken template is taken")
	}
}

// TestReport reads the numbers of a recovery that has ended.
func TestReport(t *testing.T) {
	play(t, []int{200}, func(s *site, r *receiver) {
		now := time.Now()
		s.change(func(st *evacuate.State) {
			st.Recoveries["r1"] = &evacuate.Recovery{ID: "r1", Host: "cmp1", Status: evacuate.StatusRecovered, LastHeard: now, Opened: now.Add(8 * time.Second), Recovered: now.Add(40 * time.Second),
				Evacuations: []*evacuate.Evacuation{{Name: "a", State: evacuate.EvacDone, Ended: now.Add(20 * time.Second)}, {Name: "b", State: evacuate.EvacDone, Ended: now.Add(39 * time.Second)},
					{Name: "c", State: evacuate.EvacSkipped, Reason: "its disk is local"}}}
		})
		r = r.rest(time.Minute)
		if len(r.bodies) != 2 {
			t.Fatalf("%d posts, want opened and recovered", len(r.bodies))
		}
		var n evacuate.Notice
		if err := json.Unmarshal([]byte(r.bodies[1]), &n); err != nil {
			t.Fatal(err)
		}
		x := n.Report
		if n.Event != "recovered" || x.Detected != 8 || x.FirstInstance != 20 || x.LastInstance != 39 || x.Moved != 2 || x.Left["c"] != "its disk is local" {
			t.Errorf("%s %+v", n.Event, x)
		}
	})
}
