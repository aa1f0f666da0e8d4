// Package api is what operators and programs see of a controller: JSON under
// /v1, server-sent events, Prometheus metrics and a small page. It reads the
// replicated state and hands commands on; it decides nothing and never talks to
// a host, a BMC or Nova.
package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// Source is what the API reads. On a follower it answers with the replicated
// state; what only the leader knows is asked of the leader by Forward.
type Source interface {
	Status() Status
	State() *evacuate.State
	Explain(host nova.HostName) (evacuate.Explanation, bool)
	Verdicts() map[nova.HostName]detector.Verdict
	Alerts() []Alert
}

// Commander carries out operators' commands, on the leader.
type Commander interface {
	Command(ctx context.Context, c Command) (string, error)
}

// Status is a controller's standing.
type Status struct {
	Cluster    string        `json:"cluster"`
	ClusterID  string        `json:"cluster_id"`
	Controller string        `json:"controller"`
	Leader     string        `json:"leader"`
	Leads      bool          `json:"leads"`
	Term       uint64        `json:"term"`
	Voters     []string      `json:"voters"`
	Writable   bool          `json:"writable"`
	Mode       evacuate.Mode `json:"mode"`
	Frozen     string        `json:"frozen,omitempty"`
	NovaAge    time.Duration `json:"nova_age"` // negative: never reached
	NovaError  string        `json:"nova_error,omitempty"`
	Hosts      int           `json:"hosts"`
	Version    string        `json:"version"`
}

// Alert is something that an operator should see to.
type Alert struct {
	Name string        `json:"name"`
	Host nova.HostName `json:"host,omitempty"`
	Text string        `json:"text"`
}

// Command is an operator's command.
type Command struct {
	Verb     string        `json:"verb"`
	Host     nova.HostName `json:"host,omitempty"`
	Word     string        `json:"word,omitempty"`
	Address  string        `json:"address,omitempty"`
	Flag     bool          `json:"flag,omitempty"`
	Reason   string        `json:"reason,omitempty"`
	By       string        `json:"by,omitempty"`
	Duration time.Duration `json:"duration,omitempty"`
	Data     []byte        `json:"data,omitempty"`
}

// Verbs of commands.
const (
	VerbArm              = "arm"
	VerbFreeze           = "freeze"
	VerbMaintenance      = "maintenance"
	VerbReturn           = "return"
	VerbToken            = "token"
	VerbHostRemove       = "host-remove"
	VerbControllerAdd    = "controller-add"
	VerbControllerRemove = "controller-remove"
	VerbSnapshot         = "snapshot"
	VerbRestore          = "restore"
)

// Errors that callers tell apart.
var (
	ErrNotFound  = errors.New("not found")
	ErrRefused   = errors.New("refused")
	ErrNotLeader = errors.New("no controller leads at the moment")
)

// Role is what a token permits; each includes the ones before it.
type Role string

// Roles.
const (
	RoleRead    Role = "read"
	RoleOperate Role = "operate"
	RoleFence   Role = "fence"
)

// Options make the handler.
type Options struct {
	Source    Source
	Commander Commander
	// Forward hands a request to the leader and says whether it did.
	Forward  func(w http.ResponseWriter, r *http.Request) bool
	Tokens   map[string]Role // by token
	Registry *prometheus.Registry
	Log      *slog.Logger
	Now      func() time.Time
}

// New makes the handler.
func New(o Options) (http.Handler, error) {
	if len(o.Tokens) == 0 {
		return nil, errors.New("the API needs at least one token")
	}
	s := &server{o}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", s.healthz)
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.Handle("GET /metrics", promhttp.HandlerFor(o.Registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /{$}", page)
	for route, h := range map[string]http.HandlerFunc{
		"GET /v1/status":               s.status,
		"GET /v1/hosts":                s.hosts,
		"GET /v1/hosts/{host}":         s.host,
		"GET /v1/hosts/{host}/explain": s.explain,
		"GET /v1/recoveries":           s.recoveries,
		"GET /v1/recoveries/{id}":      s.recovery,
		"GET /v1/alerts":               s.alerts,
		"GET /v1/events":               s.events,
	} {
		mux.Handle(route, s.need(RoleRead, s.leading(h)))
	}
	mux.Handle("POST /v1/commands", s.need(RoleOperate, s.leading(s.command)))
	return http.MaxBytesHandler(mux, 64<<20), nil
}

type server struct{ o Options }

// leading answers from the leader, whose evidence is whole.
func (s *server) leading(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s.o.Forward != nil && s.o.Forward(w, r) {
			return
		}
		h(w, r)
	}
}
