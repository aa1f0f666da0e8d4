package bench

import (
	"syscall"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector/gossip/gossiptest"
)

// ipUDP is what IPv4 and UDP add to each datagram.
const ipUDP = 28

// BenchmarkCost measures what one host spends on being watched while nothing
// happens: CPU (of its own part and of the three controllers' parts, shared
// among all hosts), packets and bytes sent.
func BenchmarkCost(b *testing.B) {
	for name, p := range map[string]parts{"ring": {gossip: true}, "heartbeats": {heartbeat: true}} {
		b.Run(name, func(b *testing.B) {
			clouds(b, 1000, func(b *testing.B, hosts int) {
				const idle = 2 * time.Minute
				var spent time.Duration
				var sent, controllers gossiptest.Traffic
				for b.Loop() {
					inBubble(b, func(t *testing.T) {
						c := newCloud(t, hosts, p)
						defer c.close()
						time.Sleep(30 * time.Second)
						hostsBefore, ctlBefore := c.traffic()
						cpu := cpuTime()
						time.Sleep(idle)
						spent += cpuTime() - cpu
						h, ctl := c.traffic()
						sent, controllers = sent.Add(minus(h, hostsBefore)), controllers.Add(minus(ctl, ctlBefore))
					})
				}
				per := 1 / (float64(b.N) * idle.Seconds())
				each := per / float64(hosts)
				b.ReportMetric(1000*spent.Seconds()*each, "ms-cpu/host·s")
				b.ReportMetric(float64(sent.Packets)*each, "packets/host·s")
				b.ReportMetric(bytesOf(sent)*each, "B/host·s")
				b.ReportMetric(bytesOf(controllers)*per/voters, "B/controller·s")
				b.ReportMetric(0, "ns/op")
			})
		})
	}
}

// bytesOf counts streams without the headers of TCP.
func bytesOf(t gossiptest.Traffic) float64 {
	return float64(t.PacketBytes + ipUDP*t.Packets + t.StreamBytes)
}

func (c *cloud) traffic() (hosts, controllers gossiptest.Traffic) {
	for i, n := range c.nodes {
		if t := c.net.Traffic(n.addr); i < voters {
			controllers = controllers.Add(t)
		} else {
			hosts = hosts.Add(t)
		}
	}
	return hosts, controllers
}

func minus(a, b gossiptest.Traffic) gossiptest.Traffic {
	return gossiptest.Traffic{Packets: a.Packets - b.Packets, PacketBytes: a.PacketBytes - b.PacketBytes,
		Streams: a.Streams - b.Streams, StreamBytes: a.StreamBytes - b.StreamBytes}
}

func cpuTime() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
