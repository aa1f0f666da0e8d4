package ledger_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/evacuate/ledger"
)

// BenchmarkApply: one entry of 1 KiB after the other, by three replicas in one
// process, over TLS on loopback and to this machine's disk.
func BenchmarkApply(b *testing.B) {
	dir := b.TempDir()
	l := realLeader(b, startAll(b, dir, realPeers(b, dir, 3), ledger.Timing{}))
	entry := make([]byte, 1024)
	took := make([]time.Duration, 0, 4096)
	for b.Loop() {
		start := time.Now()
		if _, err := l.Apply(b.Context(), entry); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms/p50")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "ms/p99")
}

// BenchmarkVerify: what each irreversible act waits for first.
func BenchmarkVerify(b *testing.B) {
	dir := b.TempDir()
	l := realLeader(b, startAll(b, dir, realPeers(b, dir, 3), ledger.Timing{}))
	for b.Loop() {
		if err := l.Verify(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFailover: the leader's process is gone without a word; from then
// until another has committed an entry. Timing as in production.
func BenchmarkFailover(b *testing.B) {
	dir := b.TempDir()
	ps := realPeers(b, dir, 3)
	nodes := startAll(b, dir, ps, ledger.Timing{})
	var took []time.Duration
	for b.Loop() {
		l := realLeader(b, nodes)
		id := l.ID()
		time.Sleep(2 * time.Second) // heartbeats flow
		start := time.Now()
		delete(nodes, id)
		if err := errors.Join(l.Abandon(), l.channel.Close()); err != nil {
			b.Fatal(err)
		}
		n := realLeader(b, nodes)
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		_, err := n.Apply(ctx, []byte("x"))
		cancel()
		if err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
		b.StopTimer()
		back, err := startReal(dir, id, ps, ledger.Timing{})
		if err != nil {
			b.Fatal(err)
		}
		nodes[id] = back
		b.StartTimer()
	}
	slices.Sort(took)
	b.ReportMetric(took[len(took)/2].Seconds(), "s/p50")
	b.ReportMetric(took[len(took)-1].Seconds(), "s/max")
	b.ReportMetric(took[0].Seconds(), "s/min")
}
