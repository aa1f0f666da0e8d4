package ledger

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// Tenure is one stretch of this replica's leadership, from the moment its
// Machine reflects all that former leaders committed.
type Tenure struct {
	Term uint64
	// Lost is closed when this replica learns that it no longer leads. It may
	// learn it late: Verify before each act.
	Lost <-chan struct{}
}

// Leadership tells every change, in order: true when this replica was elected,
// false when it was deposed. None is dropped, however slow the reader. It is
// closed by Close, which means false. One reader only.
func (l *Ledger) Leadership() <-chan bool { return l.leadership.out }

// Established tells each tenure once. It is closed by Close. One reader only.
func (l *Ledger) Established() <-chan Tenure { return l.established.out }

// queue is a channel that never blocks its writer.
type queue[T any] struct {
	in, out chan T
}

func newQueue[T any]() queue[T] { return queue[T]{in: make(chan T), out: make(chan T)} }

// run moves values until end is closed.
func (q queue[T]) run(end <-chan struct{}) {
	defer close(q.out)
	var held []T
	for {
		var out chan T
		var next T
		if len(held) > 0 {
			out, next = q.out, held[0]
		}
		select {
		case v := <-q.in:
			held = append(held, v)
		case out <- next:
			held = held[1:]
		case <-end:
			return
		}
	}
}

// follow reads what Raft tells of leadership, until Raft has ended. It must
// never wait for anybody: Raft's main loop waits for it.
func (l *Ledger) follow(notify <-chan bool) {
	depose := func() {}
	elect := func() {
		l.leadership.in <- true
		lost := make(chan struct{})
		ctx, cancel := context.WithCancel(context.Background())
		var establishing sync.WaitGroup
		establishing.Go(func() { l.establish(ctx, lost) })
		depose = func() {
			cancel()
			close(lost)
			establishing.Wait() // it gives up at once
			l.leadership.in <- false
			depose = func() {}
		}
	}
	for {
		select {
		case leads := <-notify:
			depose()
			if leads {
				elect()
			}
		case <-l.raftDone:
			depose()
			return
		}
	}
}

// establish waits until the Machine has all entries of former leaders, and
// names the cluster if nobody has: the founder may have died before it did.
func (l *Ledger) establish(ctx context.Context, lost <-chan struct{}) {
	for ctx.Err() == nil {
		// Read before and after a barrier that only a leader can pass: equal
		// terms mean that it was passed in this one.
		term := l.raft.CurrentTerm()
		err := l.Barrier(ctx)
		if err == nil && l.ClusterID() == "" {
			err = l.found(ctx)
		}
		if err == nil && term == l.raft.CurrentTerm() && l.raft.State() == raft.Leader {
			select {
			case l.established.in <- Tenure{Term: term, Lost: lost}:
				l.log.Info("ledger: leads", "epoch", term)
			case <-ctx.Done():
			}
			return
		}
		if err != nil {
			l.log.Debug("ledger: leadership is not established yet", "epoch", term, "reason", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (l *Ledger) found(ctx context.Context) error {
	data, err := json.Marshal(foundation{ClusterID: newID(), Admitted: l.admitted()})
	if err != nil {
		return fmt.Errorf("encode the cluster's id: %w", err)
	}
	_, err = l.apply(ctx, entryFound, data)
	if err != nil {
		return fmt.Errorf("name the cluster: %w", err)
	}
	return nil
}

// newID gives 128 random bits in the form of a UUID.
func newID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
