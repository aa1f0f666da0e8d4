package app

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/config"
	"github.com/lifeboat-ha/lifeboat/detector/heartbeat"
	"github.com/lifeboat-ha/lifeboat/detector/service"
	"github.com/lifeboat-ha/lifeboat/detector/vip"
	"github.com/lifeboat-ha/lifeboat/evacuate"
)

// restarter restarts agents of OpenStack on this host (repair R4), each token once.
type restarter struct {
	a    *Agent
	last uint64 // the last token, kept over restarts of this agent
	due  *restartResult
}

const (
	// restartFile keeps the last token.
	restartFile = "restart.json"
	// restartTime bounds a command, restartMargin what else may pass before the token
	// is free: the leader's answer, and the clocks' difference.
	restartTime   = time.Minute
	restartMargin = 15 * time.Second
)

func newRestarter(a *Agent) *restarter {
	r := &restarter{a: a}
	if b, err := os.ReadFile(filepath.Join(a.cfg.DataDir, restartFile)); err == nil {
		_ = json.Unmarshal(b, &r.last)
	}
	return r
}

// tend does what the leader permits, once.
func (r *restarter) tend(ctx context.Context) {
	if r.due != nil {
		r.tell(ctx)
		return
	}
	a := r.a
	a.mu.Lock()
	sender := a.sender
	a.mu.Unlock()
	if sender == nil {
		return
	}
	contacts := sender.Contacts()
	i := slices.IndexFunc(contacts, func(c heartbeat.Contact) bool {
		return c.Leader == c.ID && a.clock.Now().Sub(c.Heard) <= wordOld && c.Restart > r.last
	})
	if i < 0 {
		return
	}
	began := a.clock.Now()
	var o restartOrder
	if err := a.askLeader(ctx, pathRestart, nil, &o); err != nil || o.ID <= r.last {
		a.log.Info("an agent may not be restarted after all", "token", contacts[i].Restart, "reason", err)
		return
	}
	// Written before anything is done: after a crash it is rather not done than twice.
	b, err := json.Marshal(o.ID)
	if err == nil {
		err = writeFile(filepath.Join(a.cfg.DataDir, restartFile), b)
	}
	if err != nil {
		a.log.Warn("an agent is not restarted: that cannot be noted", "reason", err)
		return
	}
	r.last = o.ID
	outcome, says := r.do(ctx, o, began, r.well())
	a.log.Info("an agent that hangs", "binary", o.Binary, "token", o.ID, "outcome", outcome, "says", says, "reason", o.Why)
	r.due = &restartResult{ID: o.ID, Outcome: outcome, Says: says}
	r.tell(ctx)
}

// do carries an order out, unless this host has a reason against it.
func (r *restarter) do(ctx context.Context, o restartOrder, began time.Time, well bool) (evacuate.RestartOutcome, string) {
	cfg := r.a.cfg.VIP
	i := slices.IndexFunc(cfg.Agents, func(x config.AgentOf) bool { return x.Binary == o.Binary })
	switch {
	case cfg.Restart == config.RepairOff || cfg.Repair == config.RepairOff:
		return evacuate.RestartRefused, "vip.restart is off there"
	case i < 0:
		return evacuate.RestartRefused, "vip.agents names no command for it"
	case service.Process("/proc", cfg.Agents[i].Process) != service.Up:
		return evacuate.RestartRefused, cfg.Agents[i].Process + " does not run there: that is no hang"
	case !well:
		return evacuate.RestartRefused, "the host does not reach all just now"
	case r.a.clock.Now().Sub(began)+restartTime+restartMargin > o.Left:
		return evacuate.RestartRefused, "the leave came too late"
	case o.Dry || cfg.Restart != config.RepairOn || cfg.Repair != config.RepairOn:
		return evacuate.RestartDryRun, "would run " + strings.Join(cfg.Agents[i].Command, " ")
	}
	ctx, cancel := context.WithTimeout(ctx, restartTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, cfg.Agents[i].Command[0], cfg.Agents[i].Command[1:]...)
	cmd.WaitDelay = time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return evacuate.RestartFailed, short(fmt.Sprintf("%v: %s", err, out))
	}
	return evacuate.RestartDone, ""
}

// well says that this host reaches all, as it asked last.
func (r *restarter) well() bool {
	w := r.a.ways
	row := w.row()
	w.mu.Lock()
	defer w.mu.Unlock()
	return row != nil && row.Hanging == 0 && row.Detours == 0 && vip.Reaches(w.orders.Targets, *row)
}

// tell says what came of it, until a controller has taken it down.
func (r *restarter) tell(ctx context.Context) {
	body, err := json.Marshal(r.due)
	if err == nil {
		err = r.a.askLeader(ctx, pathRestart, body, nil)
	}
	if err != nil {
		r.a.log.Warn("no controller took down what came of a restart", "token", r.due.ID, "reason", err)
		return
	}
	r.due = nil
}
