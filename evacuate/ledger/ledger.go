// Package ledger replicates a state machine over the controllers by Raft and
// keeps it on their disks. It touches the data directory and the streams it is
// given. It never looks into an entry, never decides anything about hosts, and
// never goes on after its disk has failed.
package ledger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// Ledger is one replica.
type Ledger struct {
	opts    Options
	log     *slog.Logger
	guard   *guard
	replica *replica
	gate    *gate
	store   *Store
	stable  guardedStable
	trans   *raft.NetworkTransport
	raft    *raft.Raft
	started atomic.Pointer[raft.Raft] // raft, for those who may come before start has ended
	disk    string                    // names this disk, so that a lost one is noticed

	leadership  queue[bool]
	established queue[Tenure]

	closing  chan struct{} // closed when Close begins
	raftDone chan struct{} // closed when Raft has ended
	ended    chan struct{} // closed when follow has ended
	running  sync.WaitGroup
	pending  sync.WaitGroup // calls that wait for Raft

	mu     sync.Mutex
	closed bool
	closer sync.Once
	result error
}

// Open starts this replica. Where it remembers something it takes part at once;
// where it does not, nobody can reach it before Bootstrap. The context bounds
// the opening only.
func Open(ctx context.Context, o Options, m Machine) (*Ledger, error) {
	o = o.withDefaults()
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if err := context.Cause(ctx); err != nil {
		return nil, fmt.Errorf("open the ledger: %w", err)
	}
	if o.Stores == nil {
		o.Stores = Disk(o.DataDir)
	}
	l := &Ledger{opts: o, log: o.Log, guard: newGuard(o.OnFatal),
		leadership: newQueue[bool](), established: newQueue[Tenure](),
		closing: make(chan struct{}), raftDone: make(chan struct{}), ended: make(chan struct{})}
	l.replica = newReplica(m, l.guard, o.SnapshotEntries)
	l.gate = newGate(o.Streams, o.self(), l.lookup)
	notify := make(chan bool, 1)
	if err := l.start(notify); err != nil {
		l.gate.Close()
		return nil, err
	}
	l.running.Go(l.keep)
	l.running.Go(func() { l.leadership.run(l.ended) })
	l.running.Go(func() { l.established.run(l.ended) })
	l.running.Go(func() { defer close(l.ended); l.follow(notify) })
	return l, nil
}

// start opens the store and starts Raft upon it.
func (l *Ledger) start(notify chan bool) (err error) {
	log := bridge(l.log, l.opts.Now)
	if l.store, err = l.opts.Stores.Open(log); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.store.Close())
		}
	}()
	l.stable = guardedStable{l.store.Stable, l.guard}
	var blank bool
	if l.disk, blank, err = l.nameDisk(); err != nil {
		return err
	}
	logs := guardedLog{l.store.Log, l.guard, l.opts.OnStore}
	remembers, err := raft.HasExistingState(logs, l.stable, l.store.Snapshots)
	if err != nil {
		return fmt.Errorf("look for the ledger's state: %w", err)
	}
	if blank && remembers {
		return errors.New("the ledger's log and votes are lost while its states remain: remove the whole directory, " +
			"and this controller as a voter, then add it again")
	}
	l.gate.open.Store(remembers)
	// One message at a time, no pipelines: they gain nothing at a few entries
	// a minute, and in raft 1.8.0 a leader deposed in the middle of one leaves
	// its sender waiting for ever, and Shutdown with it.
	l.trans = raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: l.gate, MaxPool: 3, MaxRPCsInFlight: 1, Timeout: l.opts.Timing.Network, Logger: log})
	conf := l.config(notify)
	conf.Logger = log
	if l.raft, err = raft.NewRaft(conf, l.replica, logs, l.stable, l.store.Snapshots, l.trans); err != nil {
		return errors.Join(fmt.Errorf("start the ledger: %w", err), l.trans.Close())
	}
	l.started.Store(l.raft)
	return nil
}

func (l *Ledger) config(notify chan<- bool) *raft.Config {
	conf := raft.DefaultConfig()
	conf.LocalID = raft.ServerID(l.opts.ID)
	conf.HeartbeatTimeout = l.opts.Timing.Heartbeat
	conf.ElectionTimeout = l.opts.Timing.Election
	conf.LeaderLeaseTimeout = l.opts.Timing.Lease
	conf.CommitTimeout = min(conf.CommitTimeout, l.opts.Timing.Heartbeat/10)
	conf.SnapshotInterval = l.opts.SnapshotEvery
	conf.SnapshotThreshold = 1 // whatever has come since; see keep for the rush
	conf.NotifyCh = notify
	// A removed voter lives on as a stranger that must not disturb; it is its
	// operator's to stop.
	conf.ShutdownOnRemove = false
	conf.NoLegacyTelemetry = true
	return conf
}

// lookup finds the peer that Raft's configuration, or else this replica's own,
// names at an address.
func (l *Ledger) lookup(address string) (Peer, bool) {
	if r := l.started.Load(); r != nil {
		for _, s := range r.GetConfiguration().Configuration().Servers {
			if string(s.Address) == address {
				return Peer{ID: string(s.ID), Address: address}, true
			}
		}
	}
	i := slices.IndexFunc(l.opts.Peers, func(p Peer) bool { return p.Address == address })
	if i < 0 {
		return Peer{}, false
	}
	return l.opts.Peers[i], true
}

// Close hands leadership over if this replica leads, stops it and frees its
// files. It may be called again.
func (l *Ledger) Close() error { return l.close(true) }

// Abandon stops this replica as a crash would, except that files are freed: it
// hands nothing over. For simulations.
func (l *Ledger) Abandon() error { return l.close(false) }

const (
	handOver = 2 * time.Second
	drain    = 5 * time.Second
	ending   = 10 * time.Second
)

func (l *Ledger) close(graceful bool) error {
	l.closer.Do(func() {
		if graceful && l.raft.State() == raft.Leader && len(l.Voters()) > 1 {
			ctx, cancel := context.WithTimeout(context.Background(), handOver)
			if err := l.Transfer(ctx); err != nil {
				l.log.Warn("ledger: leadership was not handed over; the others elect a leader by themselves", "reason", err)
			}
			cancel()
		}
		l.mu.Lock()
		l.closed = true
		l.mu.Unlock()
		close(l.closing)
		// Raft forgets to answer entries that lie before the machine when it
		// shuts down, so those that wait are answered first: a leader that has
		// lost its quorum answers them when its lease ends.
		l.settle()
		ended, err := l.end()
		close(l.raftDone)
		l.running.Wait()
		err = errors.Join(err, l.trans.Close())
		l.trans.CloseStreams() // those that it dialled
		if ended {
			err = errors.Join(err, l.store.Close())
		}
		if err != nil {
			l.result = fmt.Errorf("close the ledger: %w", err)
		}
	})
	return l.result
}

func (l *Ledger) settle() {
	settled := make(chan struct{})
	go func() { l.pending.Wait(); close(settled) }()
	timer := time.NewTimer(drain)
	defer timer.Stop()
	select {
	case <-settled:
	case <-l.guard.failed: // Raft is ending and answers no more
	case <-timer.C:
		l.log.Warn("ledger: calls are still waiting for an answer that Raft does not give")
	}
}

// end ends Raft. Where that hangs, the files stay open: Raft may still write.
func (l *Ledger) end() (ended bool, err error) {
	done := make(chan error, 1)
	go func() { done <- l.raft.Shutdown().Error() }() // outlives end only if Raft hangs
	timer := time.NewTimer(ending)
	defer timer.Stop()
	select {
	case err := <-done:
		return true, err
	case <-timer.C:
		return false, fmt.Errorf("raft did not end within %s: its files stay locked until this process ends", ending)
	}
}
