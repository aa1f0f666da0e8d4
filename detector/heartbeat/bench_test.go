package heartbeat

import (
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// One operation is what a controller does in one second of a cloud of 1000
// hosts: hear, verify and acknowledge a heartbeat of each.
func BenchmarkSecondOf1000Hosts(b *testing.B) {
	const hosts = 1000
	w := newWire()
	c := clusterOf("cloud-a")
	keys := map[nova.HostName]ed25519.PrivateKey{}
	for i := range hosts {
		keys[nova.HostName(fmt.Sprintf("compute-%04d", i))] = testKey(byte(i))
	}
	heard := 0
	r, err := Listen(b.Context(), ReceiverOptions{
		ID: "c1", Key: testKey(1), ClusterID: "cloud-a", Conn: w.end(controllerAt(1)),
		Hosts: func(h nova.HostName) ([]ed25519.PublicKey, bool) {
			k, ok := keys[h]
			return oneKey(public(k)), ok
		},
		OnHeartbeat: func(detector.Heartbeat, netip.AddrPort, time.Time) { heard++ },
		OnProbes:    func([]detector.Probe) {},
		Now:         time.Now, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	hb := testHeartbeat
	hb.Leaving = false
	from := netip.MustParseAddrPort(agentAt)
	sealed := make([][]byte, 0, hosts)
	size := 0
	for seq := uint64(1); b.Loop(); seq++ {
		b.StopTimer()
		sealed = sealed[:0]
		for h, k := range keys {
			head := header{kind: kindHeartbeat, from: string(h), to: "c1", key: KeyID(public(k)), start: "0123456789abcdef0123456789abcdef", seq: seq, echo: r.start, echoed: max(1, seq-1)}
			payload, _ := putHeartbeat(hb, c.room(head))
			sealed = append(sealed, c.seal(head, payload, k, edwards{}))
		}
		if seq == 1 {
			// The first introduces each host; what counts begins with its echo.
			for _, d := range sealed {
				r.hear(d, from, time.Time{})
			}
			heard = 0
		}
		size = len(sealed[0])
		w.mu.Lock()
		w.taken = nil
		w.mu.Unlock()
		b.StartTimer()
		if seq == 1 {
			continue
		}
		for _, d := range sealed {
			r.hear(d, from, time.Time{})
		}
	}
	b.ReportMetric(float64(size), "B/heartbeat")
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(max(heard, 1)), "µs/heartbeat")
}

// One operation is one heartbeat made and signed by an agent.
func BenchmarkSeal(b *testing.B) {
	c := clusterOf("cloud-a")
	h, key := testHeader(kindHeartbeat), testKey(1)
	for b.Loop() {
		payload, _ := putHeartbeat(testHeartbeat, c.room(h))
		c.seal(h, payload, key, edwards{})
	}
}

func BenchmarkVerify(b *testing.B) {
	c := clusterOf("cloud-a")
	h, key := testHeader(kindHeartbeat), testKey(1)
	payload, _ := putHeartbeat(testHeartbeat, c.room(h))
	sealed, keys := c.seal(h, payload, key, edwards{}), oneKey(public(key))
	for b.Loop() {
		if d, err := c.take(sealed); err != nil || !c.verify(d, keys, edwards{}) {
			b.Fatal(err)
		}
	}
}
