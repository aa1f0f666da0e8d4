package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/raft"
)

// Member is a Peer with its part in the ledger.
type Member struct {
	Peer
	Voter bool `json:"voter"`
}

// Members lists all replicas by id, as the latest entry about them has it.
func (l *Ledger) Members() []Member {
	var ms []Member
	for _, s := range l.raft.GetConfiguration().Configuration().Servers {
		ms = append(ms, Member{Peer{ID: string(s.ID), Address: string(s.Address)}, s.Suffrage == raft.Voter})
	}
	slices.SortFunc(ms, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	return ms
}

// Voters lists those whose votes count.
func (l *Ledger) Voters() []Peer {
	var ps []Peer
	for _, m := range l.Members() {
		if m.Voter {
			ps = append(ps, m.Peer)
		}
	}
	return ps
}

// AddVoter takes a replica in: first without a vote, until it has caught up,
// then with one. The newcomer must be running, and must answer hello; cut short,
// it stays without a vote, and AddVoter may be repeated. One that moved to
// another address is removed first: raft 1.8.0 reads the address of a peer
// without its lock while that changes.
func (l *Ledger) AddVoter(ctx context.Context, p Peer) error {
	if l.opts.Hello == nil {
		return errors.New("add a voter: this ledger was opened without Hello")
	}
	if p.ID == "" || p.Address == "" {
		return fmt.Errorf("add voter %+v: its id or address is missing", p)
	}
	for _, m := range l.Members() {
		switch {
		case m == Member{p, true}:
			return nil
		case m.ID == p.ID && m.Address != p.Address:
			return fmt.Errorf("add voter %s: it is a member at %s: remove it first, then add it at %s", p.ID, m.Address, p.Address)
		case m.ID != p.ID && m.Address == p.Address:
			return fmt.Errorf("add voter %s: its address %s is that of %s: remove that first", p.ID, p.Address, m.ID)
		}
	}
	id, address := raft.ServerID(p.ID), raft.ServerAddress(p.Address)
	err := l.wait(ctx, func() raft.Future { return l.raft.AddNonvoter(id, address, 0, l.enqueue(ctx)) })
	if err != nil {
		return fmt.Errorf("take %s in without a vote: %w", p.ID, l.translate(err))
	}
	if err := l.awaitCaughtUp(ctx, p); err != nil {
		return fmt.Errorf("wait until %s has caught up (it stays without a vote, try again): %w", p.ID, err)
	}
	err = l.wait(ctx, func() raft.Future { return l.raft.AddVoter(id, address, 0, l.enqueue(ctx)) })
	if err != nil {
		return fmt.Errorf("give %s a vote: %w", p.ID, l.translate(err))
	}
	l.log.Info("ledger: a voter was added", "controller", p.ID, "address", p.Address)
	return nil
}

// awaitCaughtUp waits until a newcomer has applied all that is committed now.
func (l *Ledger) awaitCaughtUp(ctx context.Context, p Peer) error {
	goal := l.replica.shown.Load().Index
	for {
		g, err := l.opts.Hello.Hello(ctx, p)
		switch {
		case err != nil:
		case g.ID != p.ID:
			return fmt.Errorf("at %s answers %q", p.Address, g.ID)
		case g.ClusterID == l.ClusterID() && g.Applied >= goal:
			return nil
		default:
			err = fmt.Errorf("it has entry %d of %d", g.Applied, goal)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// RemoveVoter takes a replica out, with or without a vote. It refuses to leave
// nobody. A replica that was removed must be stopped by its operator.
func (l *Ledger) RemoveVoter(ctx context.Context, id string) error {
	ms := l.Members()
	i := slices.IndexFunc(ms, func(m Member) bool { return m.ID == id })
	if i < 0 {
		return fmt.Errorf("remove %s: it is no member", id)
	}
	if ms[i].Voter && len(l.Voters()) == 1 {
		return fmt.Errorf("remove %s: it is the last voter", id)
	}
	err := l.wait(ctx, func() raft.Future { return l.raft.RemoveServer(raft.ServerID(id), 0, l.enqueue(ctx)) })
	if err != nil {
		return fmt.Errorf("remove %s: %w", id, l.translate(err))
	}
	l.log.Info("ledger: a voter was removed", "controller", id)
	return nil
}
