// Package api is what operators and programs see of a controller: JSON under
// /v1, server-sent events, Prometheus metrics and a small page. It reads the
// replicated state and hands commands on; it decides nothing and never talks to
// a host, a BMC or Nova.
package api

import (
	"cmp"
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
	ModeSet    string        `json:"mode_set,omitempty"` // by whom, when and why
	Frozen     string        `json:"frozen,omitempty"`
	Drained    string        `json:"drained,omitempty"`
	NovaAge    time.Duration `json:"nova_age"` // negative: never reached
	NovaError  string        `json:"nova_error,omitempty"`
	Hosts      int           `json:"hosts"`
	Version    string        `json:"version"`
	// Cloud is the condition of the whole as the leader judges it; a controller
	// that knows of no leader says LedgerReadOnly. CloudFor is for how long.
	Cloud    detector.Cloud `json:"cloud"`
	CloudFor time.Duration  `json:"cloud_for"`
	// Spare is how many more failures there is room for; nil: this controller does not
	// lead.
	Spare *evacuate.Spare `json:"spare,omitempty"`
}

// Alert is something that an operator should see to.
type Alert struct {
	Name string        `json:"name"`
	Host nova.HostName `json:"host,omitempty"`
	Text string        `json:"text"`
}

// Command is an operator's command.
type Command struct {
	Verb      string        `json:"verb"`
	Host      nova.HostName `json:"host,omitempty"`
	Aggregate string        `json:"aggregate,omitempty"`
	Word      string        `json:"word,omitempty"`
	Count     int           `json:"count,omitempty"`
	Score     string        `json:"score,omitempty"`
	Address   string        `json:"address,omitempty"`
	Flag      bool          `json:"flag,omitempty"`
	Reason    string        `json:"reason,omitempty"`
	Typed     string        `json:"typed,omitempty"`
	// By is the client's word for its user. It is recorded as a remark only: who
	// did it is the token's name, which the API puts here and the remark in Says.
	By       string        `json:"by,omitempty"`
	Says     string        `json:"-"`
	Duration time.Duration `json:"duration,omitempty"`
	Data     []byte        `json:"data,omitempty"`
}

// Verbs of commands.
const (
	// VerbArm is VerbMode for the cloud alone, as older clients send it.
	VerbArm  = "arm"
	VerbMode = "mode" // word: the mode; for a host, an aggregate or the cloud
	// VerbApprove takes one plan (word), or with flag all count plans of a storm.
	VerbApprove   = "approve"
	VerbReject    = "reject"
	VerbPlanAgain = "plan-again" // ask anew about a host whose plan was rejected
	// VerbEnd forgets a recovery (word); with flag and its host's name whatever
	// may be on its way.
	VerbEnd    = "recovery-end"
	VerbCancel = "cancel"
	// VerbRelist has the host of a recovery (word) listed once more.
	VerbRelist      = "recovery-relist"
	VerbShadowScore = "shadow-score" // score: right, wrong or unknown
	VerbDrain       = "drain"
	VerbConfirmDead = "confirm-dead"
	// VerbDrill powers a host off and on through a method (word: its name or place;
	// none: the one that needs it), with flag and its name typed; without flag it says
	// what would be done.
	VerbDrill       = "fence-drill"
	VerbFreeze      = "freeze"
	VerbMaintenance = "maintenance"
	VerbReturn      = "return"
	VerbRelease     = "release"
	VerbToken       = "token"
	VerbHostRemove  = "host-remove"
	// VerbHostForget cleans up after a host that never returns, with flag and its name
	// typed; without flag it says what would be done.
	VerbHostForget       = "host-forget"
	VerbControllerAdd    = "controller-add"
	VerbControllerRemove = "controller-remove"
	VerbSnapshot         = "snapshot"
	VerbRestore          = "restore"
	VerbRingRotate       = "ring-rotate"
	VerbRingForce        = "ring-force"
	VerbRingAbandon      = "ring-abandon"
	// VerbVIPTransfer moves an address (word) to a controller (address; "": the fittest),
	// VerbVIPAdopt takes one over from the keepalived that has it.
	VerbVIPTransfer = "vip-transfer"
	VerbVIPAdopt    = "vip-adopt"
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
	// Forward hands a request to the leader and says whether it did. A request
	// is forwarded once: the header ForwardedBy must reach the leader.
	Forward func(w http.ResponseWriter, r *http.Request) bool
	Tokens  map[string]Principal // by token
	// Plan says what would be done for a host if it were dead now; nil: not served.
	Plan func(host nova.HostName) (*evacuate.Proposal, bool)
	// FenceTest asks each fencing method of a host now, Drills what came of its drills;
	// nil: not served.
	FenceTest func(ctx context.Context, host nova.HostName) (*evacuate.FenceTest, error)
	Drills    func(host nova.HostName) (*evacuate.Drills, bool)
	// Where says where an instance runs; nil: not served.
	Where func(id nova.ServerID) (Whereabouts, bool)
	// Ring tells of the ring's key and its rotation; nil: not served.
	Ring func() RingStatus
	// VIP tells of the control plane's addresses; nil: not served.
	VIP func() VIPStatus
	// MetricsNeedToken asks for the role read at /metrics; otherwise it is open.
	MetricsNeedToken bool
	Registry         *prometheus.Registry // an empty one if nil
	Log              *slog.Logger
	Now              func() time.Time
}

// New makes the handler.
func New(o Options) (http.Handler, error) {
	switch {
	case len(o.Tokens) == 0:
		return nil, errors.New("the API needs at least one token")
	case o.Source == nil || o.Commander == nil || o.Log == nil || o.Now == nil:
		return nil, errors.New("the API needs a source, a commander, a log and a clock")
	}
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	s := &server{o}
	return http.MaxBytesHandler(s.routes(), 64<<20), nil
}

type server struct{ o Options }

// route is something to read, for the mux and for the OpenAPI document.
type route struct {
	path, says string
	serve      http.HandlerFunc
	// answer is of the type that is answered; one with a Text is given to people
	// who ask for text/plain, too.
	answer any
	role   Role // read if empty
}

// reads are the paths that take GET and the role read.
func (s *server) reads() []route {
	return []route{
		{"/v1/status", "The cloud at a glance.", s.status, Status{}, ""},
		{"/v1/controllers", "Every controller: does it vote, does it lead.", s.controllers, []Controller{}, ""},
		{"/v1/hosts", "Every host with its verdict.", s.hosts, []Host{}, ""},
		{"/v1/hosts/{host}", "One host with its evidence.", s.host, Host{}, ""},
		{"/v1/hosts/{host}/explain", "Evidence, gates and answers: why is something done or not.", s.explain, evacuate.Explanation{}, ""},
		{"/v1/hosts/{host}/plan", "What would happen if the host were dead now.", s.whatIf, &evacuate.Proposal{}, ""},
		{"/v1/hosts/{host}/fence-test", "Each fencing method of the host, asked now: power, machine, time, certificate. Nothing is commanded. Takes the role operate.", s.fenceTest, &evacuate.FenceTest{}, RoleOperate},
		{"/v1/hosts/{host}/drills", "Its fence drill under way, or how the last ended, and what drills have shown.", s.drills, &evacuate.Drills{}, ""},
		{"/v1/instances/{id}", "Where an instance runs, by the hosts' libvirt and by Nova.", s.where, Whereabouts{}, ""},
		{"/v1/restarts", "Instances that ended by themselves while their host lived, and what was done, the newest last.", s.restarts, []evacuate.GuestRestart{}, ""},
		{"/v1/recoveries", "All recoveries, the newest last.", s.recoveries, []*evacuate.Recovery{}, ""},
		{"/v1/recoveries/{id}", "One recovery with its timeline.", s.recovery, &evacuate.Recovery{}, ""},
		{"/v1/plans", "Plans that wait for an answer, and those that had one.", s.plans, []*evacuate.Proposal{}, ""},
		{"/v1/plans/{id}", "One plan.", s.plan, &evacuate.Proposal{}, ""},
		{"/v1/shadow", "What would have been done in the mode shadow, with scores.", s.shadow, Shadow{}, ""},
		{"/v1/journal", "What was done to the whole: modes, freezes, plans.", s.journal, []evacuate.Event{}, ""},
		{"/v1/modes", "Every mode that is set, and what halts all work.", s.modes, Modes{}, ""},
		{"/v1/ring", "The ring's key and its rotation; it never holds a key.", s.ring, RingStatus{}, ""},
		{"/v1/vip", "The control plane's addresses: owners, findings, and which host reaches what.", s.vip, VIPStatus{}, ""},
		{"/v1/alerts", "What an operator should see to.", s.alerts, []Alert{}, ""},
		{"/v1/events", "Server-sent events, the past first; each one's data is a happening.", s.events, Happening{}, ""},
	}
}

// routes serves what there is, and says in its own words what there is not.
func (s *server) routes() http.Handler {
	metrics := promhttp.HandlerFor(s.o.Registry, promhttp.HandlerOpts{})
	if s.o.MetricsNeedToken {
		metrics = s.need(RoleRead, metrics.ServeHTTP)
	}
	mux := http.NewServeMux()
	get := func(path string, h http.Handler) {
		mux.Handle("GET "+path, h)
		mux.Handle(path, only("GET, HEAD"))
	}
	get("/{$}", http.HandlerFunc(page))
	get("/healthz", http.HandlerFunc(s.healthz))
	get("/readyz", http.HandlerFunc(s.readyz))
	get("/metrics", metrics)
	get("/v1/openapi.json", http.HandlerFunc(openapi))
	for _, r := range s.reads() {
		get(r.path, s.need(cmp.Or(r.role, RoleRead), s.leading(r.serve)))
	}
	mux.Handle("POST /v1/commands", s.need(RoleOperate, s.leading(s.command)))
	mux.Handle("/v1/commands", only("POST"))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		problem(w, http.StatusNotFound, "there is nothing at "+r.URL.Path)
	})
	return mux
}

// only answers a method that a path does not take.
func only(methods string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", methods)
		problem(w, http.StatusMethodNotAllowed, r.URL.Path+" takes "+methods)
	}
}

// ForwardedBy marks a request that a follower handed on. While leadership
// changes, two controllers may each take the other for the leader.
const ForwardedBy = "Lifeboat-Forwarded-By"

// leading answers from the leader, whose evidence is whole.
func (s *server) leading(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get(ForwardedBy) != "" {
			if !s.o.Source.Status().Leads {
				problem(w, http.StatusServiceUnavailable, "leadership is changing: try again in a few seconds")
				return
			}
			h(w, r)
			return
		}
		if s.o.Forward != nil {
			r.Header.Set(ForwardedBy, "a controller")
			if s.o.Forward(w, r) {
				return
			}
			r.Header.Del(ForwardedBy)
		}
		h(w, r)
	}
}
