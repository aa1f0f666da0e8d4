package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// Greeting is how a replica answers hello.
type Greeting struct {
	ID        string `json:"id"`
	Cluster   string `json:"cluster"`              // the name in its configuration
	ClusterID string `json:"cluster_id,omitempty"` // the ledger's, once it has one
	Remembers bool   `json:"remembers"`            // it has state
	// Disk names the disk. A replica that comes back with another one has lost
	// its votes and must not give them again.
	Disk  string   `json:"disk"`
	Peers []string `json:"peers"` // ids of its configuration, sorted
	// Leads says that a quorum has just confirmed it as leader: then Members
	// is the truth.
	Leads   bool     `json:"leads"`
	Members []Member `json:"members,omitempty"`
	// Admitted are the disks of the replicas that founded the cluster.
	Admitted map[string]string `json:"admitted,omitempty"`
	Applied  uint64            `json:"applied"`
}

const (
	keyDisk     = "lifeboat/disk"
	keyAdmitted = "lifeboat/admitted"
)

// nameDisk reads the name of this disk, or gives it one.
func (l *Ledger) nameDisk() (name string, blank bool, err error) {
	b, err := l.stable.get(keyDisk)
	if err != nil || len(b) > 0 {
		return string(b), false, err
	}
	name = newID()
	if err := l.stable.Set([]byte(keyDisk), []byte(name)); err != nil {
		return "", true, fmt.Errorf("name the ledger's disk: %w", err)
	}
	return name, true, nil
}

// Greeting answers hello.
func (l *Ledger) Greeting(ctx context.Context) Greeting {
	g := Greeting{ID: l.opts.ID, Cluster: l.opts.Cluster, ClusterID: l.ClusterID(), Disk: l.disk,
		Remembers: l.remembers(), Peers: ids(l.opts.Peers), Applied: l.replica.shown.Load().Index}
	if g.Admitted = l.replica.shown.Load().Admitted; g.Admitted == nil {
		g.Admitted = l.admitted()
	}
	if l.raft.State() == raft.Leader {
		// A barrier commits what stands before it: members that are the same
		// before and after it are committed, and the leader is confirmed.
		before := l.Members()
		if err := l.Barrier(ctx); err == nil {
			g.Members = l.Members()
			g.Leads = slices.Equal(before, g.Members)
		}
	}
	return g
}

// admitted reads what foundWith wrote down, nil on a replica that founded none.
func (l *Ledger) admitted() map[string]string {
	b, err := l.stable.get(keyAdmitted)
	if err == nil && len(b) == 0 {
		return nil
	}
	var disks map[string]string
	if err == nil {
		err = json.Unmarshal(b, &disks)
	}
	if err != nil {
		l.log.Warn("ledger: the list of admitted disks cannot be read", "reason", err)
	}
	return disks
}

func ids(ps []Peer) []string {
	var ids []string
	for _, p := range ps {
		ids = append(ids, p.ID)
	}
	slices.Sort(ids)
	return ids
}

func (l *Ledger) remembers() bool {
	return l.raft.LastIndex() > 0 || l.raft.CurrentTerm() > 0
}

// move is what a replica that remembers nothing may do next.
type move string

const (
	moveAsk    move = "ask"    // ask again: not everything is known yet
	moveRefuse move = "refuse" // ask again, but a person has to act
	moveFound  move = "found"  // found the cluster
	moveAwait  move = "await"  // let the founder, or the leader, reach this replica
)

// answered is one peer's answer to hello.
type answered struct {
	Greeting
	err error
}

// decide is the whole rule of bootstrapping. A replica without memory must not
// vote before it is sure that it never voted: either nobody remembers anything,
// or the founder remembers this very disk, or the leader of a cluster says that
// this replica has no vote.
func decide(self Greeting, answers map[string]answered) (move, string) {
	names := slices.Sorted(maps.Keys(answers))
	for _, id := range names {
		a := answers[id]
		switch {
		case a.err != nil:
		case a.ID != id:
			return moveRefuse, fmt.Sprintf("at the address of %s answers %q: correct the addresses", id, a.ID)
		case a.Cluster != self.Cluster:
			return moveRefuse, fmt.Sprintf("%s belongs to cluster %q, this is %q", id, a.Cluster, self.Cluster)
		}
	}
	if m, why := decideAmongRemembering(self, names, answers); m != "" {
		return m, why
	}
	return decideAmongBlank(self, names, answers)
}

// decideAmongRemembering says what follows if any peer has state, "" if none.
func decideAmongRemembering(self Greeting, names []string, answers map[string]answered) (move, string) {
	var remembering []string
	clusters := map[string]string{}
	for _, id := range names {
		if a := answers[id]; a.err == nil && a.Remembers {
			remembering = append(remembering, id)
			if a.ClusterID != "" {
				clusters[a.ClusterID] = id
			}
		}
	}
	if len(remembering) == 0 {
		return "", ""
	}
	if len(clusters) > 1 {
		return moveRefuse, fmt.Sprintf("the peers are of different clusters %v: one of them is not of this one", clusters)
	}
	for _, id := range remembering {
		a := answers[id]
		if a.Admitted[self.ID] == self.Disk {
			return moveAwait, fmt.Sprintf("the cluster was founded with this controller, says %s", id)
		}
		if !a.Leads {
			continue
		}
		i := slices.IndexFunc(a.Members, func(m Member) bool { return m.ID == self.ID })
		if i >= 0 && a.Members[i].Voter {
			return moveRefuse, fmt.Sprintf("this controller has a vote in cluster %s but remembers nothing: its disk was lost. "+
				"Remove the voter %s by way of %s, then add it again", a.ClusterID, self.ID, id)
		}
		return moveAwait, fmt.Sprintf("cluster %s exists, led by %s: this controller waits to be added as a voter", a.ClusterID, id)
	}
	return moveRefuse, fmt.Sprintf("%s remember a cluster, and this controller does not: it founds none, "+
		"and waits for the word of that cluster's leader", strings.Join(remembering, ", "))
}

// decideAmongBlank says what follows when nobody who answered has state.
func decideAmongBlank(self Greeting, names []string, answers map[string]answered) (move, string) {
	var missing []string
	for _, id := range names {
		if a := answers[id]; a.err != nil {
			missing = append(missing, fmt.Sprintf("%s (%v)", id, a.err))
		}
	}
	if len(missing) > 0 {
		return moveAsk, "waiting for " + strings.Join(missing, ", ")
	}
	for _, id := range names {
		if a := answers[id]; !slices.Equal(a.Peers, self.Peers) {
			return moveRefuse, fmt.Sprintf("%s lists the peers %s, this controller %s: make them the same",
				id, strings.Join(a.Peers, ", "), strings.Join(self.Peers, ", "))
		}
	}
	if self.Peers[0] != self.ID {
		return moveAwait, fmt.Sprintf("all %d peers are here, %s founds the cluster", len(self.Peers), self.Peers[0])
	}
	return moveFound, fmt.Sprintf("all %d peers are here, nobody remembers a cluster", len(self.Peers))
}

const askEvery = time.Second

// Bootstrap brings a replica that remembers nothing into its cluster, and
// returns at once where it remembers something. It founds the cluster when all
// peers are there, blank and of one mind, and it is the first by id: then fresh
// is true. Otherwise it waits until it is reached. The cluster's id comes with
// the first leader (ClusterID), who may be another: so who applies the
// application's founding entry must look into the state, not at fresh.
func (l *Ledger) Bootstrap(ctx context.Context) (fresh bool, err error) {
	said := ""
	for {
		if len(l.Members()) > 0 {
			return false, nil
		}
		self := l.Greeting(ctx)
		answers := l.ask(ctx)
		m, why := decide(self, answers)
		if self.Remembers { // a vote, but no entry yet: it was let in before
			m, why = moveAwait, "waiting for the leader's first entries"
		}
		if m != moveAsk || said == "" {
			said = l.say(m, why, said)
		}
		switch m {
		case moveFound:
			if err := l.foundWith(answers); err != nil {
				return false, err
			}
			return true, nil
		case moveAwait:
			l.gate.open.Store(true)
		default: // ask again
		}
		select {
		case <-ctx.Done():
			return false, fmt.Errorf("bootstrap: %s: %w", why, context.Cause(ctx))
		case <-l.closing:
			return false, ErrClosed
		case <-time.After(askEvery):
		}
	}
}

// say logs each reason once.
func (l *Ledger) say(m move, why, said string) string {
	if why == said {
		return said
	}
	level := slog.LevelInfo
	if m == moveRefuse {
		level = slog.LevelError
	}
	l.log.Log(context.Background(), level, "ledger: bootstrap", "step", string(m), "reason", why)
	return why
}

// ask says hello to all peers at once.
func (l *Ledger) ask(ctx context.Context) map[string]answered {
	ctx, cancel := context.WithTimeout(ctx, l.opts.Timing.Network)
	defer cancel()
	var mu sync.Mutex
	var asking sync.WaitGroup
	answers := map[string]answered{}
	for _, p := range l.opts.Peers {
		if p.ID == l.opts.ID {
			continue
		}
		asking.Go(func() {
			a := answered{err: errors.New("this ledger was opened without Hello")}
			if l.opts.Hello != nil {
				a.Greeting, a.err = l.opts.Hello.Hello(ctx, p)
			}
			mu.Lock()
			defer mu.Unlock()
			answers[p.ID] = a
		})
	}
	asking.Wait()
	return answers
}

// foundWith founds the cluster with the disks that have answered. They are
// written down first: a peer that was slower to see that all are there asks
// whether it was among them.
func (l *Ledger) foundWith(answers map[string]answered) error {
	admitted := map[string]string{l.opts.ID: l.disk}
	for id, a := range answers {
		admitted[id] = a.Disk
	}
	b, err := json.Marshal(admitted)
	if err != nil {
		return fmt.Errorf("encode the founders' disks: %w", err)
	}
	if err := l.stable.Set([]byte(keyAdmitted), b); err != nil {
		return err
	}
	var servers []raft.Server
	for _, p := range l.opts.Peers {
		servers = append(servers, raft.Server{ID: raft.ServerID(p.ID), Address: raft.ServerAddress(p.Address)})
	}
	l.gate.open.Store(true)
	if err := l.raft.BootstrapCluster(raft.Configuration{Servers: servers}).Error(); err != nil {
		return fmt.Errorf("found the cluster: %w", err)
	}
	l.log.Info("ledger: the cluster is founded", "controllers", ids(l.opts.Peers))
	return nil
}
