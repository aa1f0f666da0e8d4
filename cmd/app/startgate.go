package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/lifeboat-ha/lifeboat/config"
	"github.com/lifeboat-ha/lifeboat/config/identity"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/evacuate/ledger/peer"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// pathGate is where a host asks whether its nova-compute may start.
const pathGate = "/v1/agent/gate"

// gateAnswer is the leader's word.
type gateAnswer struct {
	Open   bool   `json:"open"`
	Reason string `json:"reason"`
}

// answerGate is the leader's alone, verified: a follower may not know yet what has
// been begun.
func (c *Controller) answerGate(w http.ResponseWriter, r *http.Request) {
	host, ok := c.asksLeader(w, r, "only enrolled hosts have a start gate")
	if !ok {
		return
	}
	var a gateAnswer
	acts, asks := c.acts(host), false
	c.machine.Locked(func(s *evacuate.State) {
		a.Open, a.Reason = s.StartGate(host, acts)
		asks = acts && s.AsksNova(host)
	})
	if a.Open && asks {
		if why := c.engine.Gate(host); why != "" {
			a.Open, a.Reason = false, why
		}
	}
	reply(w, a)
}

// asksLeader gives the host that asks what the leader alone may answer; where nobody may
// answer it has refused. others is what anybody is told who is no host.
func (c *Controller) asksLeader(w http.ResponseWriter, r *http.Request, others string) (host nova.HostName, ok bool) {
	kind, name, _ := peer.Identity(r)
	if kind != peer.Host {
		refuse(w, http.StatusForbidden, others)
		return "", false
	}
	ctx, cancel := context.WithTimeout(r.Context(), 3*time.Second)
	defer cancel()
	if err := c.ledger.Verify(ctx); err != nil || !c.leads() {
		refuse(w, http.StatusMisdirectedRequest, "this controller does not lead: ask another")
		return "", false
	}
	return nova.HostName(name), true
}

// acts says that the mode in force for a host is one that acts.
func (c *Controller) acts(host nova.HostName) (yes bool) {
	w := c.reach()
	c.machine.Locked(func(s *evacuate.State) {
		yes = s.EffectiveMode(host, w.Membership(host), c.policy.AggregateModes).Mode.Acts()
	})
	return yes
}

const (
	// gateFile keeps the last answer for the agent and the next gate, gateOverride a
	// person's word for one boot.
	gateFile     = "gate.json"
	gateOverride = "gate-override.json"
	gateEvery    = 2 * time.Second
	gatePatience = 5 * time.Second
)

// gateWord is what stands in both files.
type gateWord struct {
	Boot   string    `json:"boot"`
	State  string    `json:"state"` // open, closed, overridden
	Reason string    `json:"reason"`
	By     string    `json:"by,omitempty"`
	At     time.Time `json:"at"`
	// Alone says that no controller answered.
	Alone bool `json:"alone,omitempty"`
}

// States of a host's start gate, as its agent tells them.
const (
	gateOpen       = "open"
	gateClosed     = "closed"
	gateOverridden = "overridden"
)

// GateOptions are those of `lifeboat-agent gate`.
type GateOptions struct {
	Config string
	// Once asks once; else it waits until the gate is open.
	Once bool
	// Override notes a person's word, with Reason, that this boot may go on where no
	// controller answers.
	Override bool
	Reason   string
	// Socket is where an agent answers for its host, to whoever has neither its key nor
	// its configuration; Command is what is run once the gate is open.
	Socket  string
	Command []string
}

// errGateShut ends a gate that was asked once.
var errGateShut = errors.New("the start gate is closed")

// RunGate waits until this host may start its nova-compute and its guests. It is what
// systemd runs before them.
func RunGate(o GateOptions) error {
	if o.Socket != "" && o.Override {
		return errors.New("an override is root's on the host itself: without --socket")
	}
	if len(o.Command) > 0 && o.Socket == "" {
		return errors.New("a command is run behind --socket alone; systemd runs its own")
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	if o.Socket != "" {
		return waitAtSocket(ctx, o)
	}
	cfg, err := config.LoadAgent(o.Config)
	if err != nil {
		return err
	}
	g, err := newGatekeeper(cfg, Logger(cfg.Log), Seams{})
	if err != nil {
		return err
	}
	if o.Override {
		return g.override(o.Reason)
	}
	g.crier = newCrier()
	return g.wait(ctx, o.Once)
}

// gatekeeper asks on behalf of a host; it is a process beside the agent.
type gatekeeper struct {
	agent *Agent // its identity and its way to the controllers
	boot  string
	dir   string
	said  string
	crier *crier // nil: nobody is told
}

func newGatekeeper(cfg *config.Agent, log *slog.Logger, seams Seams) (*gatekeeper, error) {
	seams = seams.withDefaults()
	a := &Agent{cfg: cfg, seams: seams, clock: seams.Clock, log: log.With("host", cfg.Host)}
	b, err := os.ReadFile(cfg.BootIDFile)
	if err != nil {
		return nil, fmt.Errorf("read the boot id: %w", err)
	}
	if a.ident, err = identity.Load(cfg.DataDir); err != nil {
		return nil, fmt.Errorf("%w: a host that is not enrolled has no gate to ask; enrol it, or take the gate out of its units", err)
	}
	a.roster = a.savedRoster()
	return &gatekeeper{agent: a, boot: strings.TrimSpace(string(b)), dir: cfg.DataDir}, nil
}

// wait asks until the gate is open.
func (g *gatekeeper) wait(ctx context.Context, once bool) error {
	for {
		w := g.look(ctx)
		g.note(w)
		if g.crier != nil {
			g.crier.heed(w)
		}
		if w.State != gateClosed {
			return nil
		}
		if once {
			return fmt.Errorf("%w: %s", errGateShut, w.Reason)
		}
		if err := g.agent.clock.Sleep(ctx, gateEvery); err != nil {
			return fmt.Errorf("%w: %s", errGateShut, w.Reason)
		}
	}
}

// look asks once. A controller's no stands whatever a person said; where none answers,
// a person's word for this boot opens, and so does a mode that only watched when a
// controller was last heard.
func (g *gatekeeper) look(ctx context.Context) gateWord {
	w := gateWord{Boot: g.boot, State: gateClosed, At: g.agent.clock.Now()}
	a, err := g.ask(ctx)
	if err == nil {
		if w.Reason = a.Reason; a.Open {
			w.State = gateOpen
		}
		return w
	}
	w.Reason, w.Alone = "no controller answers: "+err.Error(), true
	if o, ok := readGate(filepath.Join(g.dir, gateOverride)); ok && o.Boot == g.boot {
		w.State, w.By, w.Reason = gateOverridden, o.By, o.Reason
	} else if last := g.agent.lastRoster(); last.Watches {
		w.State, w.Reason = gateOpen, "no controller answers, and the mode that they last told only watches"
		if last.Boot != g.boot {
			w.Reason += " (told to a former boot)"
		}
	}
	return w
}

func (g *gatekeeper) ask(ctx context.Context) (a gateAnswer, err error) {
	err = g.agent.askLeader(ctx, pathGate, nil, &a)
	return a, err
}

// askLeader asks the controllers in turn, of which the leader alone answers: by POST
// where there is a body, else by GET.
func (a *Agent) askLeader(ctx context.Context, path string, body []byte, answer any) error {
	cl, err := a.client()
	if err != nil {
		return err
	}
	var errs []error
	for _, addr := range a.addresses() {
		if err = askOne(ctx, cl, "https://"+addr+path, body, answer); err == nil {
			return nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", addr, err))
	}
	return errors.Join(errs...)
}

func askOne(ctx context.Context, cl *http.Client, url string, body []byte, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, gatePatience)
	defer cancel()
	if body != nil {
		return postJSON(ctx, cl, url, body, answer)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	return doJSON(cl, req, answer)
}

// addresses are those of the file, then those that the roster knows beside.
func (a *Agent) addresses() (all []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	seen := map[string]bool{}
	for _, c := range a.cfg.Controllers {
		all, seen[c.String()] = append(all, c.String()), true
	}
	for _, c := range a.roster.Controllers {
		if !seen[c.Address] {
			all = append(all, c.Address)
		}
	}
	return all
}

// note keeps the word for the agent, who tells the controllers, and logs each change.
func (g *gatekeeper) note(w gateWord) {
	if said := w.State + ": " + w.Reason; said != g.said {
		g.said = said
		level := slog.LevelInfo
		if w.State != gateOpen {
			level = slog.LevelWarn
		}
		g.agent.log.Log(context.Background(), level, "start gate", "state", w.State, "reason", w.Reason, "by", w.By)
	}
	b, err := json.Marshal(w)
	if err == nil {
		err = writeFile(filepath.Join(g.dir, gateFile), b)
	}
	if err != nil {
		g.agent.log.Warn("the start gate's word is not kept", "reason", err)
	}
}

// override notes a person's word for this boot.
func (g *gatekeeper) override(reason string) error {
	if strings.TrimSpace(reason) == "" {
		return errors.New("say why: --reason \"the whole site restarts\"")
	}
	w := gateWord{Boot: g.boot, State: gateOverridden, Reason: reason, By: whoami(), At: g.agent.clock.Now()}
	b, err := json.Marshal(w)
	if err == nil {
		err = writeFile(filepath.Join(g.dir, gateOverride), b)
	}
	if err != nil {
		return fmt.Errorf("note the override: %w", err)
	}
	g.agent.log.Warn("start gate overridden for this boot, where no controller answers", "by", w.By, "reason", reason, "boot", g.boot)
	return nil
}

func whoami() string {
	if name := os.Getenv("SUDO_USER"); name != "" {
		return name
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "unknown"
}

func readGate(path string) (gateWord, bool) {
	var w gateWord
	b, err := os.ReadFile(path)
	return w, err == nil && json.Unmarshal(b, &w) == nil && w.Boot != ""
}

// sensorGate is how an agent tells of its host's start gate.
const sensorGate = "start-gate"

// gateSensor is the last word of this boot's gate, "" if none was asked.
func (a *Agent) gateSensor() string {
	w, ok := readGate(filepath.Join(a.cfg.DataDir, gateFile))
	if !ok || w.Boot != a.boot {
		return ""
	}
	word := w.State
	if w.State == gateOverridden {
		word += " by " + w.By
	}
	const most = 120
	if w.State != gateOpen {
		word += ": " + w.Reason
	}
	if len(word) > most {
		word = word[:most]
	}
	return strings.ToValidUTF8(word, "")
}
