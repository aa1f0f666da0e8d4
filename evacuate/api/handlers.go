package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/fence"
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

// Controller is a controller at a glance.
type Controller struct {
	ID      string `json:"id"`
	Address string `json:"address,omitempty"`
	Votes   bool   `json:"votes"`
	Leads   bool   `json:"leads"`
}

// controllers lists those that vote and those that agents were told of.
func (s *server) controllers(w http.ResponseWriter, _ *http.Request) {
	st, known := s.o.Source.Status(), s.o.Source.State().Controllers
	ids := map[string]bool{}
	for _, id := range st.Voters {
		ids[id] = true
	}
	out := []Controller{}
	for id := range known {
		if !ids[id] {
			ids[id] = false
		}
	}
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		c := Controller{ID: id, Votes: ids[id], Leads: id == st.Leader}
		if k := known[id]; k != nil {
			c.Address = k.Address
		}
		out = append(out, c)
	}
	reply(w, out)
}

// Host is a host at a glance.
type Host struct {
	Host        nova.HostName   `json:"host"`
	Verdict     detector.State  `json:"verdict"`
	Reason      detector.Reason `json:"reason"`
	Detail      string          `json:"detail"`
	Domain      detector.Domain `json:"domain"`
	Silent      time.Duration   `json:"silent"`
	Boot        string          `json:"boot"`
	Enrolled    bool            `json:"enrolled"`
	Maintenance bool            `json:"maintenance"`
	Instances   int             `json:"instances"`
	Fenceable   bool            `json:"fenceable"`
	PoweredOn   time.Time       `json:"powered_on,omitzero"`
	// NotFenceable says why it could not be fenced, Machine what its agent reads in
	// SMBIOS.
	NotFenceable string              `json:"not_fenceable,omitempty"`
	Machine      fence.Identity      `json:"machine,omitzero"`
	Recovery     evacuate.RecoveryID `json:"recovery,omitempty"`
	Status       evacuate.Status     `json:"recovery_status,omitempty"`
	Hold         *evacuate.Hold      `json:"hold,omitempty"`
	// Quarantine is the last one, over or not; Upsets counts what the ledger
	// remembers towards the next.
	Quarantine *evacuate.Quarantine `json:"quarantine,omitempty"`
	Upsets     int                  `json:"upsets,omitempty"`
	// Watchdog is "armed" or "disarmed"; "" where the host has reported none. WatchdogLack
	// says why it would prove nothing now.
	Watchdog     string         `json:"watchdog,omitempty"`
	WatchdogLack string         `json:"watchdog_lack,omitempty"`
	View         *detector.View `json:"view,omitempty"`
}

// notFenceable lists the hosts whose gate fenceable is shut.
func (s *server) notFenceable() map[nova.HostName]string {
	not := map[nova.HostName]string{}
	for _, a := range s.o.Source.Alerts() {
		if a.Name == AlertNotFenceable {
			not[a.Host] = a.Text
		}
	}
	return not
}

func glance(st *evacuate.State, v detector.Verdict, h *evacuate.Host, not map[nova.HostName]string) Host {
	why, shut := not[h.Name]
	g := Host{Fenceable: !shut, NotFenceable: why, Machine: h.Machine,
		Host: h.Name, Verdict: v.State, Reason: v.Reason, Detail: v.Detail, Domain: v.View.Domain, Silent: v.Silent, Boot: h.Boot,
		Enrolled: !h.Enrolled.IsZero(), Maintenance: h.Maintenance, Instances: len(h.Instances), PoweredOn: h.PoweredOn,
		Quarantine: h.Quarantine, Upsets: len(h.Upsets)}
	if w, lack := st.WatchdogOf(h.Name); w != nil {
		g.Watchdog, g.WatchdogLack = map[bool]string{true: "armed", false: "disarmed"}[w.Armed], lack
	}
	if r := st.Open(h.Name); r != nil {
		g.Recovery, g.Status, g.Hold = r.ID, r.Status, r.Hold
	}
	return g
}

func unknownHost(w http.ResponseWriter, name nova.HostName) {
	problem(w, http.StatusNotFound, fmt.Sprintf("no host %q: `lifeboat hosts` lists them", name))
}

func (s *server) hosts(w http.ResponseWriter, _ *http.Request) {
	st, verdicts, not := s.o.Source.State(), s.o.Source.Verdicts(), s.notFenceable()
	out := []Host{}
	for _, name := range st.HostNames() {
		out = append(out, glance(st, verdicts[name], st.Hosts[name], not))
	}
	reply(w, out)
}

func (s *server) host(w http.ResponseWriter, r *http.Request) {
	st := s.o.Source.State()
	name := nova.HostName(r.PathValue("host"))
	h := st.Hosts[name]
	if h == nil {
		unknownHost(w, name)
		return
	}
	v := s.o.Source.Verdicts()[name]
	g := glance(st, v, h, s.notFenceable())
	g.View = &v.View
	reply(w, g)
}

func (s *server) explain(w http.ResponseWriter, r *http.Request) {
	name := nova.HostName(r.PathValue("host"))
	x, ok := s.o.Source.Explain(name)
	if !ok {
		unknownHost(w, name)
		return
	}
	x.Recovery = s.shown(x.Recovery)
	written(w, r, x)
}

func (s *server) recoveries(w http.ResponseWriter, _ *http.Request) {
	all := s.o.Source.State().Sorted()
	for i, r := range all {
		all[i] = s.shown(r)
	}
	reply(w, all)
}

// shown is a recovery with its progress of now.
func (s *server) shown(r *evacuate.Recovery) *evacuate.Recovery {
	if r == nil {
		return nil
	}
	c := *r
	c.Progress = r.ProgressAt(s.o.Now())
	return &c
}

func (s *server) recovery(w http.ResponseWriter, r *http.Request) {
	rec := s.o.Source.State().Recoveries[evacuate.RecoveryID(r.PathValue("id"))]
	if rec == nil {
		problem(w, http.StatusNotFound, fmt.Sprintf("no recovery %q: `lifeboat recoveries` lists them", r.PathValue("id")))
		return
	}
	written(w, r, s.shown(rec))
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
	who := principal(r.Context())
	if need := roleOf(c); rank[who.Role] < rank[need] {
		problem(w, http.StatusForbidden, fmt.Sprintf("this token may %s; %s takes %s", who.Role, c.Verb, need))
		return
	}
	if c.By, c.Says = who.Name, remark(c.By); c.Says == c.By {
		c.Says = ""
	}
	text, err := s.o.Commander.Command(r.Context(), c)
	if err != nil {
		s.o.Log.Info("command refused", "verb", c.Verb, "host", c.Host, "by", c.By, "says", c.Says, "reason", err)
		problem(w, statusOf(err), err.Error())
		return
	}
	s.o.Log.Info("command", "verb", c.Verb, "host", c.Host, "by", c.By, "says", c.Says, "reason", c.Reason)
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
