package app

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// FreezeFile in the data directory freezes without the ledger: its first line
// is the reason.
const FreezeFile = "freeze"

// World gathers what this controller knows at this instant.
func (c *Controller) World() evacuate.World {
	health := c.ledger.Health()
	voters := max(health.Voters, 1)
	c.observer.with(func(t *detector.Table) { t.Alive(c.observer.id, c.ringView(), c.clock.Now()) })
	c.mu.Lock()
	w := evacuate.World{Leader: evacuate.Leadership{ID: c.id, Is: c.leading, Term: c.tenure.Term, Since: c.since, Writable: health.Writable && c.leading}}
	c.mu.Unlock()
	sight, servers := c.cloud.seen()
	w.Nova, w.Servers, w.Domains = sight, servers, c.domains(sight)
	w.Rooms, w.Reserved, w.Cells = c.cloud.room(), c.reserved, c.cells
	w.Fencing = c.powers.sights()
	w.Terms = c.observer.ackTerms()
	w.Frozen, w.Aggregates, w.Storage = c.frozen(), c.aggregates(), c.storages(sight)
	var settled map[nova.HostName]bool
	control, paths := c.vips.look(w.Leader.Is, w.Leader.Term)
	c.machine.Locked(func(s *evacuate.State) {
		w.Verdicts = c.observer.judgement(s, voters, paths)
		w.Heard = c.observer.heard(s, c.clock.Now())
		w.Watchdogs = c.watchdogs(s)
		settled = evacuate.Settled(s, c.policy, c.clock.Now())
	})
	w.Now = c.clock.Now()
	w.Guests, w.Ends = c.observer.guests(w.Now), c.observer.ends.lately(w.Now)
	w.Kdump = c.dumps.sight(w.Now, c.policy.KdumpQuiet)
	reporting := c.observer.freshControllers()
	w.Network = evacuate.NetworkSight{Voters: voters, Fresh: len(reporting), Reporting: reporting}
	w.Network.Skew, _, _ = c.skews.wrong()
	for _, v := range w.Verdicts {
		if v.Reason == detector.ReasonNeverHeard {
			continue
		}
		w.Network.Known++
		if v.Silent <= c.observer.judge.Silence() {
			w.Network.Heard++
		}
	}
	w.Cloud = c.survey(w, settled, control)
	return w
}

// survey judges the cloud as a whole, and tells of each change while leading.
func (c *Controller) survey(w evacuate.World, settled map[nova.HostName]bool, control detector.Control) detector.Cloud {
	v := detector.CloudView{Verdicts: w.Verdicts, Settled: settled, Writable: w.Leader.Writable, Voters: w.Network.Voters, Fresh: w.Network.Fresh,
		NovaAge: -1, NovaFresh: c.policy.NovaFresh, NovaError: w.Nova.Err, StormLimit: c.policy.StormLimit(len(w.Verdicts)), Control: control}
	if !w.Nova.At.IsZero() {
		v.NovaAge = w.Now.Sub(w.Nova.At)
	}
	cloud := detector.Survey(v, c.observer.judge)
	cloud, before := c.observer.noteCloud(cloud, w.Now)
	if w.Leader.Is && before != cloud.Condition {
		level := slog.LevelWarn
		if cloud.Condition == detector.Normal {
			level = slog.LevelInfo
		}
		c.log.Log(context.Background(), level, "the cloud's condition changed", "condition", cloud.Condition, "former", before, "reason", cloud.Reason, "detail", cloud.Detail)
	}
	return cloud
}

// Locked holds the state still for the engine.
func (c *Controller) Locked(f func(*evacuate.State)) { c.machine.Locked(f) }

// frozen reads the local freeze file: it works when the ledger does not.
func (c *Controller) frozen() string {
	b, err := os.ReadFile(filepath.Join(c.cfg.Controller.DataDir, FreezeFile))
	if errors.Is(err, os.ErrNotExist) {
		return ""
	}
	if err != nil {
		return "the file " + FreezeFile + " cannot be read"
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
	if line == "" {
		line = "no reason given"
	}
	return line
}

// novaRounds begins what asks Nova again and again.
func (c *Controller) novaRounds() {
	c.stop.every(3*time.Second, c.lookAtNova)
	c.stop.every(15*time.Second, c.listServers)
	c.stop.every(3*time.Second, c.lookAtAggregates)
	c.stop.every(3*time.Second, c.lookAtRooms)
}

// lookAtNova keeps the leader's sight of Nova fresh.
func (c *Controller) lookAtNova(ctx context.Context) {
	if !c.leads() {
		return
	}
	if err := c.cloud.look(ctx, serviceSink(c.observer)); err != nil && ctx.Err() == nil {
		c.log.Warn("Nova does not answer", "reason", err)
	}
}

// listServers keeps the list of what would be lost with each host.
func (c *Controller) listServers(ctx context.Context) {
	if !c.leads() {
		return
	}
	sight, _ := c.cloud.seen()
	var hosts []nova.HostName
	c.machine.Locked(func(s *evacuate.State) {
		for name := range s.Hosts {
			if _, known := sight.Services[name]; known && !provedOff(s.Open(name)) {
				hosts = append(hosts, name)
			}
		}
	})
	if err := c.cloud.list(ctx, hosts); err != nil && ctx.Err() == nil {
		c.log.Warn("servers not listed", "reason", err)
	}
}

// provedOff: from then on the instances move, and the list of before is kept.
func provedOff(r *evacuate.Recovery) bool {
	if r == nil {
		return false
	}
	_, proved := r.Proved()
	return proved || r.Status != evacuate.StatusOpen
}

// ledgerPort gives the engine its ledger.
type ledgerPort struct{ c *Controller }

func (l ledgerPort) Apply(ctx context.Context, e evacuate.Entry) error { return l.c.apply(ctx, e) }
func (l ledgerPort) Verify(ctx context.Context) error                  { return l.c.ledger.Verify(ctx) }
func (l ledgerPort) Term() uint64                                      { return l.c.ledger.Term() }
