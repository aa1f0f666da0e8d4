package api

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// Modes is every mode that is set, and what halts all work.
type Modes struct {
	Cloud      evacuate.Setting                   `json:"cloud"`
	Aggregates map[string]*evacuate.Setting       `json:"aggregates,omitempty"`
	Hosts      map[nova.HostName]evacuate.Setting `json:"hosts,omitempty"`
	Frozen     string                             `json:"frozen,omitempty"`
	Drained    string                             `json:"drained,omitempty"`
}

// Shadow is what would have been done, and how that turned out.
type Shadow struct {
	Decisions []*evacuate.ShadowDecision `json:"decisions"`
	// Sum counts the decisions listed, by score; Scored all that were ever scored.
	Sum    map[string]int         `json:"sum"`
	Scored map[evacuate.Score]int `json:"scored"`
}

func (s *server) modes(w http.ResponseWriter, _ *http.Request) {
	st := s.o.Source.State()
	m := Modes{Cloud: st.CloudMode(), Aggregates: st.AggregateModes, Hosts: map[nova.HostName]evacuate.Setting{}}
	for name, h := range st.Hosts {
		if h.Mode != nil {
			m.Hosts[name] = *h.Mode
		}
	}
	status := s.o.Source.Status()
	m.Frozen, m.Drained = status.Frozen, status.Drained
	reply(w, m)
}

// journal is what was done to the whole: modes, freezes, plans.
func (s *server) journal(w http.ResponseWriter, _ *http.Request) {
	events := s.o.Source.State().Journal
	if events == nil {
		events = []evacuate.Event{}
	}
	reply(w, events)
}

func (s *server) plans(w http.ResponseWriter, _ *http.Request) {
	plans := s.o.Source.State().Plans
	if plans == nil {
		plans = []*evacuate.Proposal{}
	}
	reply(w, plans)
}

func (s *server) plan(w http.ResponseWriter, r *http.Request) {
	p := s.o.Source.State().Plan(evacuate.PlanID(r.PathValue("id")))
	if p == nil {
		problem(w, http.StatusNotFound, fmt.Sprintf("no plan %q: `lifeboat plans` lists them", r.PathValue("id")))
		return
	}
	written(w, r, p)
}

// whatIf says what would happen if the host were dead now; nothing is recorded.
func (s *server) whatIf(w http.ResponseWriter, r *http.Request) {
	name := nova.HostName(r.PathValue("host"))
	if s.o.Plan != nil {
		if p, ok := s.o.Plan(name); ok {
			written(w, r, p)
			return
		}
	}
	unknownHost(w, name)
}

// written answers with a text for people who ask for one, or with JSON.
func written(w http.ResponseWriter, r *http.Request, v interface{ Text() string }) {
	if strings.HasPrefix(r.Header.Get("Accept"), "text/plain") {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, v.Text())
		return
	}
	reply(w, v)
}

func (s *server) shadow(w http.ResponseWriter, _ *http.Request) {
	st := s.o.Source.State()
	out := Shadow{Decisions: st.Shadow, Sum: map[string]int{"pending": 0}, Scored: st.ShadowScores}
	if out.Decisions == nil {
		out.Decisions = []*evacuate.ShadowDecision{}
	}
	if out.Scored == nil {
		out.Scored = map[evacuate.Score]int{}
	}
	sum := st.ShadowSum()
	for _, score := range slices.Sorted(maps.Keys(sum)) {
		if score == evacuate.ScorePending {
			out.Sum["pending"] = sum[score]
		} else {
			out.Sum[string(score)] = sum[score]
		}
	}
	reply(w, out)
}

// remark cuts a client's word to one short line.
func remark(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	const most = 64
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "")
	}
	return s
}
