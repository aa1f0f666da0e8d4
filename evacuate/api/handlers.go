package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// healthz says that the process answers.
func (s *server) healthz(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") }

// readyz says that this controller is part of a cluster with a leader.
func (s *server) readyz(w http.ResponseWriter, _ *http.Request) {
	st := s.o.Source.Status()
	if st.ClusterID == "" || st.Leader == "" {
		problem(w, http.StatusServiceUnavailable, "no cluster or no leader yet")
		return
	}
	_, _ = io.WriteString(w, "ready\n")
}

func (s *server) status(w http.ResponseWriter, _ *http.Request) { reply(w, s.o.Source.Status()) }

// Host is a host at a glance.
type Host struct {
	Host        nova.HostName       `json:"host"`
	Verdict     detector.State      `json:"verdict"`
	Reason      detector.Reason     `json:"reason"`
	Detail      string              `json:"detail"`
	Domain      detector.Domain     `json:"domain"`
	Silent      time.Duration       `json:"silent"`
	Boot        string              `json:"boot"`
	Enrolled    bool                `json:"enrolled"`
	Maintenance bool                `json:"maintenance"`
	Instances   int                 `json:"instances"`
	PoweredOn   time.Time           `json:"powered_on,omitzero"`
	Recovery    evacuate.RecoveryID `json:"recovery,omitempty"`
	Status      evacuate.Status     `json:"recovery_status,omitempty"`
	Hold        *evacuate.Hold      `json:"hold,omitempty"`
	View        *detector.View      `json:"view,omitempty"`
}

func (s *server) glance(st *evacuate.State, v detector.Verdict, h *evacuate.Host) Host {
	g := Host{Host: h.Name, Verdict: v.State, Reason: v.Reason, Detail: v.Detail, Domain: v.View.Domain, Silent: v.Silent, Boot: h.Boot,
		Enrolled: !h.Enrolled.IsZero(), Maintenance: h.Maintenance, Instances: len(h.Instances), PoweredOn: h.PoweredOn}
	if r := st.Open(h.Name); r != nil {
		g.Recovery, g.Status, g.Hold = r.ID, r.Status, r.Hold
	}
	return g
}

func (s *server) hosts(w http.ResponseWriter, _ *http.Request) {
	st, verdicts := s.o.Source.State(), s.o.Source.Verdicts()
	out := []Host{}
	for _, name := range st.HostNames() {
		out = append(out, s.glance(st, verdicts[name], st.Hosts[name]))
	}
	reply(w, out)
}

func (s *server) host(w http.ResponseWriter, r *http.Request) {
	st := s.o.Source.State()
	name := nova.HostName(r.PathValue("host"))
	h := st.Hosts[name]
	if h == nil {
		problem(w, http.StatusNotFound, fmt.Sprintf("no host %q: `lifeboat hosts` lists them", name))
		return
	}
	v := s.o.Source.Verdicts()[name]
	g := s.glance(st, v, h)
	g.View = &v.View
	reply(w, g)
}

func (s *server) explain(w http.ResponseWriter, r *http.Request) {
	name := nova.HostName(r.PathValue("host"))
	x, ok := s.o.Source.Explain(name)
	if !ok {
		problem(w, http.StatusNotFound, fmt.Sprintf("no host %q: `lifeboat hosts` lists them", name))
		return
	}
	if strings.HasPrefix(r.Header.Get("Accept"), "text/plain") {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, x.Text())
		return
	}
	reply(w, x)
}

func (s *server) recoveries(w http.ResponseWriter, _ *http.Request) {
	reply(w, s.o.Source.State().Sorted())
}

func (s *server) recovery(w http.ResponseWriter, r *http.Request) {
	rec := s.o.Source.State().Recoveries[evacuate.RecoveryID(r.PathValue("id"))]
	if rec == nil {
		problem(w, http.StatusNotFound, fmt.Sprintf("no recovery %q: `lifeboat recoveries` lists them", r.PathValue("id")))
		return
	}
	if strings.HasPrefix(r.Header.Get("Accept"), "text/plain") {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, rec.Text())
		return
	}
	reply(w, rec)
}

func (s *server) alerts(w http.ResponseWriter, _ *http.Request) {
	a := s.o.Source.Alerts()
	if a == nil {
		a = []Alert{}
	}
	reply(w, a)
}

func (s *server) command(w http.ResponseWriter, r *http.Request) {
	var c Command
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		problem(w, http.StatusBadRequest, "command not understood: "+err.Error())
		return
	}
	text, err := s.o.Commander.Command(r.Context(), c)
	if err != nil {
		s.o.Log.Info("command refused", "verb", c.Verb, "host", c.Host, "by", c.By, "reason", err)
		problem(w, statusOf(err), err.Error())
		return
	}
	s.o.Log.Info("command", "verb", c.Verb, "host", c.Host, "by", c.By, "reason", c.Reason)
	reply(w, map[string]string{"text": text})
}

func statusOf(err error) int {
	switch {
	case errors.Is(err, ErrNotFound):
		return http.StatusNotFound
	case errors.Is(err, ErrNotLeader):
		return http.StatusServiceUnavailable
	case errors.Is(err, ErrRefused):
		return http.StatusConflict
	}
	return http.StatusInternalServerError
}

// Happening is one line of the stream of events.
type Happening struct {
	At       time.Time           `json:"at"`
	Host     nova.HostName       `json:"host"`
	Recovery evacuate.RecoveryID `json:"recovery,omitempty"`
	By       string              `json:"by,omitempty"`
	Text     string              `json:"text"`
}

// eventEvery is how often the stream looks for news.
const eventEvery = 500 * time.Millisecond

// events streams timelines and changes of verdict until the client goes.
func (s *server) events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	ctl := http.NewResponseController(w)
	tick := time.NewTicker(eventEvery)
	defer tick.Stop()
	told, verdicts := map[evacuate.RecoveryID]int{}, map[nova.HostName]detector.State{}
	for {
		for _, h := range s.news(told, verdicts) {
			b, err := json.Marshal(h)
			if err != nil {
				return
			}
			if _, err := fmt.Fprintf(w, "data: %s\n\n", b); err != nil {
				return
			}
		}
		_ = ctl.SetWriteDeadline(s.o.Now().Add(30 * time.Second))
		if err := ctl.Flush(); err != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
		}
	}
}

func (s *server) news(told map[evacuate.RecoveryID]int, verdicts map[nova.HostName]detector.State) []Happening {
	var out []Happening
	st := s.o.Source.State()
	for _, rec := range st.Sorted() {
		for _, e := range rec.Timeline[min(told[rec.ID], len(rec.Timeline)):] {
			out = append(out, Happening{At: e.At, Host: rec.Host, Recovery: rec.ID, By: e.By, Text: e.Text})
		}
		told[rec.ID] = len(rec.Timeline)
	}
	now := s.o.Source.Verdicts()
	for _, name := range st.HostNames() {
		v := now[name]
		if old, known := verdicts[name]; v.State != "" && v.State != old {
			if known {
				out = append(out, Happening{At: v.At, Host: name, Text: fmt.Sprintf("%s: %s", v.State, v.Detail)})
			}
			verdicts[name] = v.State
		}
	}
	return out
}
