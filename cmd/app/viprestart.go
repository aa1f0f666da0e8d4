package app

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/lifeboat-ha/lifeboat/config"
	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/detector/vip"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/evacuate/api"
	"github.com/lifeboat-ha/lifeboat/evacuate/ledger/peer"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// pathRestart is where a host asks what it may restart, and says what came of it.
const pathRestart = "/v1/agent/restart"

// restartOrder is the leader's leave to restart one agent, once.
type restartOrder struct {
	ID     uint64 `json:"id"`
	Binary string `json:"binary"`
	Dry    bool   `json:"dry,omitempty"`
	// Left is for how long the token is taken.
	Left time.Duration `json:"left"`
	Why  string        `json:"why"`
}

// restartResult is the host's word on it.
type restartResult struct {
	ID      uint64                  `json:"id"`
	Outcome evacuate.RestartOutcome `json:"outcome"`
	Says    string                  `json:"says,omitempty"`
}

// restarts lets agents of OpenStack be restarted that hang (repair R4): the leader finds
// them and takes a token of the ledger; the host asks, does it, and says so.
type restarts struct {
	c *Controller

	mu     sync.Mutex
	wedges *vip.Wedges
	term   uint64
	held   string // why the one that is due may not be restarted, as last logged
}

// restartsEvery is how often the leader looks for agents that hang.
const restartsEvery = 5 * time.Second

func newRestarts(c *Controller) *restarts { return &restarts{c: c, wedges: vip.NewWedges()} }

func (r *restarts) on() bool {
	return r.c.cfg.VIP.Watched() && r.c.cfg.VIP.Restarts.Wedged != config.RepairOff
}

// look finds what hangs, and takes a token for one.
func (r *restarts) look(ctx context.Context) {
	c := r.c
	if !r.on() || !c.leads() {
		return
	}
	sight, _ := c.cloud.seen()
	now := c.clock.Now()
	if sight.Err != "" || now.Sub(sight.At) > checksFresh {
		return
	}
	agents := r.agents(ctx, sight)
	r.noteUp(ctx, agents, now)
	v := vip.WedgeView{Now: now, Calm: r.calm(), Agents: agents, Hosts: r.hosts(), Matrix: c.vips.path()}
	r.mu.Lock()
	if term := c.status().Term; r.term != term {
		r.wedges, r.term = vip.NewWedges(), term
	}
	due := r.wedges.Look(v)
	r.mu.Unlock()
	for _, w := range due {
		if r.take(ctx, w) {
			return
		}
	}
}

// agents are nova-computes by Nova's own list, others by Neutron's.
func (r *restarts) agents(ctx context.Context, sight evacuate.NovaSight) (all []vip.AgentSight) {
	for host, s := range sight.Services {
		all = append(all, vip.AgentSight{Host: host, Binary: novaCompute, Down: s.State == nova.StateDown, Kept: s.Disabled || s.ForcedDown})
	}
	if !r.c.cfg.VIP.Restarts.Neutron {
		return all
	}
	ctx, cancel := context.WithTimeout(ctx, novaTimeout)
	defer cancel()
	list, err := r.c.cloud.networkAgents(ctx)
	if err != nil {
		r.c.log.Debug("Neutron's agents are not known", "reason", err)
	}
	for _, s := range list {
		all = append(all, vip.AgentSight{Host: s.Host, Binary: s.Binary, Down: s.State == nova.StateDown})
	}
	return all
}

const novaCompute = "nova-compute"

func (c *cloud) networkAgents(ctx context.Context) (nova.Control, error) {
	cl, err := c.connected(ctx)
	if err != nil {
		return nil, err
	}
	return cl.NetworkAgents(ctx)
}

// calm says that the whole cloud is well: what ails it is no single agent's fault.
func (r *restarts) calm() bool {
	sky, since := r.c.observer.sky()
	return sky.Condition == detector.Normal && r.c.clock.Now().Sub(since) >= checksEvery && r.c.frozen() == ""
}

// hosts are those that live, by their last verdict.
func (r *restarts) hosts() map[nova.HostName]detector.Domain {
	all, verdicts := map[nova.HostName]detector.Domain{}, r.c.observer.last()
	for _, row := range r.c.vips.rows(r.c.clock.Now()) {
		if lives(verdicts[row.Host]) {
			all[row.Host] = row.Domain
		}
	}
	return all
}

// take asks the ledger for a token, false where the next may be asked for.
func (r *restarts) take(ctx context.Context, w vip.Wedge) bool {
	c, cfg := r.c, r.c.cfg.VIP.Restarts
	q := evacuate.VIPRestartStep{Act: evacuate.RestartTake, AtOnce: cfg.AtOnce, PerHour: cfg.PerHour,
		VIPRestart: evacuate.VIPRestart{Host: w.Host, Binary: w.Binary, Domain: string(w.Domain), Why: w.Text(), Dry: cfg.Wedged == config.RepairDryRun || !c.acts(w.Host)}}
	now := c.clock.Now()
	var err error
	c.machine.Locked(func(s *evacuate.State) { err = s.MayRestart(now, q) })
	if err == nil {
		err = r.busy(ctx, w.Host)
	}
	if err == nil {
		err = c.apply(ctx, evacuate.Entry{Kind: evacuate.KindVIPRestart, At: now, By: c.id, Term: c.status().Term, Restart: &q})
	}
	if err == nil {
		c.log.Info("an agent hangs and may be restarted", "host", w.Host, "binary", w.Binary, "reason", q.Why, "dry", q.Dry)
		return true
	}
	if text := fmt.Sprintf("%s of %s: %v", w.Binary, w.Host, err); r.held != text {
		r.held = text
		c.log.Info("an agent hangs and is not restarted", "host", w.Host, "binary", w.Binary, "reason", err)
	}
	return false
}

// busy says what a restart would break off.
func (r *restarts) busy(ctx context.Context, host nova.HostName) error {
	ctx, cancel := context.WithTimeout(ctx, novaTimeout)
	defer cancel()
	servers, err := r.c.cloud.Servers(ctx, host)
	if err != nil {
		return err
	}
	for _, s := range servers {
		if s.TaskState != "" {
			return fmt.Errorf("server %s there is %s", s.ID, s.TaskState)
		}
	}
	rows, err := r.c.cloud.Moves(ctx, host)
	if err != nil {
		return err
	}
	for _, m := range rows {
		if !m.Status.Terminal() {
			return fmt.Errorf("server %s is on its way from there (%s)", m.Server, m.Status)
		}
	}
	return nil
}

// noteUp notes which agents have come back: nothing else permits to restart them again.
func (r *restarts) noteUp(ctx context.Context, agents []vip.AgentSight, now time.Time) {
	up := map[string]bool{}
	for _, a := range agents {
		up[string(a.Host)+" "+a.Binary] = !a.Down
	}
	var due []evacuate.VIPRestart
	r.c.machine.Locked(func(s *evacuate.State) {
		for _, x := range s.Restarts {
			if x.Up.IsZero() && !x.Ended.IsZero() && up[string(x.Host)+" "+x.Binary] {
				due = append(due, *x)
			}
		}
	})
	for _, x := range due {
		q := evacuate.VIPRestartStep{Act: evacuate.RestartUp, VIPRestart: evacuate.VIPRestart{ID: x.ID, Host: x.Host}}
		if err := r.c.apply(ctx, evacuate.Entry{Kind: evacuate.KindVIPRestart, At: now, By: r.c.id, Restart: &q}); err != nil {
			r.c.log.Warn("it is not noted that an agent is up again", "host", x.Host, "binary", x.Binary, "reason", err)
		}
	}
}

// order is what a host is told that it may do now; nil: nothing. It is asked again at the
// very moment.
func (r *restarts) order(host nova.HostName) *restartOrder {
	if !r.on() || !r.c.leads() || !r.calm() {
		return nil
	}
	now := r.c.clock.Now()
	var o *restartOrder
	r.c.machine.Locked(func(s *evacuate.State) {
		if t := s.RestartFor(host, now); t != nil {
			o = &restartOrder{ID: t.ID, Binary: t.Binary, Dry: t.Dry, Left: t.Until.Sub(now), Why: t.Why}
		}
	})
	if o != nil {
		o.Dry = o.Dry || !r.c.acts(host)
	}
	return o
}

func (c *Controller) answerRestart(w http.ResponseWriter, r *http.Request) {
	host, ok := c.asksLeader(w, r, "only enrolled hosts have agents to restart")
	if !ok {
		return
	}
	o := c.vips.restarts.order(host)
	if o == nil {
		refuse(w, http.StatusConflict, "nothing may be restarted there now")
		return
	}
	reply(w, o)
}

// noteRestart takes a host's word on what it was permitted.
func (c *Controller) noteRestart(w http.ResponseWriter, r *http.Request) {
	kind, name, _ := peer.Identity(r)
	var q restartResult
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil || kind != peer.Host || q.Outcome == "" {
		refuse(w, http.StatusBadRequest, "a restart's outcome not understood")
		return
	}
	if !c.leads() {
		refuse(w, http.StatusMisdirectedRequest, "this controller does not lead: tell another")
		return
	}
	step := evacuate.VIPRestartStep{Act: evacuate.RestartEnd, VIPRestart: evacuate.VIPRestart{ID: q.ID, Host: nova.HostName(name), Outcome: q.Outcome, Says: short(q.Says)}}
	if err := c.apply(r.Context(), evacuate.Entry{Kind: evacuate.KindVIPRestart, At: c.clock.Now(), By: name, Restart: &step}); err != nil {
		refuse(w, http.StatusConflict, err.Error())
		return
	}
	reply(w, struct{}{})
}

// short bounds what a program said.
func short(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	return text[:min(len(text), 200)]
}

// noHelp is after how long without a report a restart has not helped.
const noHelp = 3 * time.Minute

func restartAlerts(s *evacuate.State, now time.Time) (out []api.Alert) {
	for _, r := range s.Restarts {
		if r.Outcome == evacuate.RestartDone && r.Up.IsZero() && now.Sub(r.Ended) > noHelp {
			out = append(out, api.Alert{Name: api.AlertRestartNoHelp, Host: r.Host,
				Text: fmt.Sprintf("%s of %s is still down after its restart at %s: it is not restarted again (docs/vip.md#wedged-agents)", r.Binary, r.Host, r.Ended.UTC().Format("15:04:05"))})
		}
	}
	return out
}
