package bench

import (
	"testing"
	"time"
)

// BenchmarkMassDeath kills three hosts of ten at once and counts how many are
// judged dead within a minute, and for how many that still holds then.
func BenchmarkMassDeath(b *testing.B) {
	clouds(b, 200, func(b *testing.B, hosts int) {
		var dead, now, wrong, killed int
		for b.Loop() {
			inBubble(b, func(t *testing.T) {
				c := settled(t, hosts)
				defer c.close()
				victims := c.nodes[voters : voters+3*hosts/10]
				for _, n := range victims {
					c.setSick(n, true)
					c.net.Kill(n.addr)
				}
				for _, n := range victims {
					n.sender.Close()
					n.member.Close()
				}
				time.Sleep(time.Minute)
				w, _, _ := c.mistakes()
				wrong, killed = wrong+w, killed+len(victims)
				for _, n := range victims {
					ever, still := c.isDead(n)
					dead, now = dead+ever, now+still
				}
			})
		}
		b.ReportMetric(100*float64(dead)/float64(killed), "%-ever-dead")
		b.ReportMetric(100*float64(now)/float64(killed), "%-dead-after-1min")
		b.ReportMetric(float64(wrong), "false-verdicts")
		b.ReportMetric(0, "ns/op")
	})
}

// BenchmarkFlaps counts the living that are taken for dead after hosts were cut off
// for a while: by the judge, and by the ring alone.
func BenchmarkFlaps(b *testing.B) {
	clouds(b, 200, func(b *testing.B, hosts int) {
		var verdicts, victims, events, doubts int
		for b.Loop() {
			inBubble(b, func(t *testing.T) {
				c := settled(t, hosts)
				defer c.close()
				c.flaps()
				v, r, e := c.mistakes()
				verdicts, victims, events, doubts = verdicts+v, victims+r, events+e, doubts+c.doubts
			})
		}
		n := float64(b.N)
		b.ReportMetric(float64(verdicts)/n, "false-verdicts")
		b.ReportMetric(float64(victims)/n, "ring-victims")
		b.ReportMetric(float64(events)/n, "ring-events")
		b.ReportMetric(float64(doubts)/n, "suspect-rounds")
		b.ReportMetric(0, "ns/op")
	})
}

// settled is a judged cloud that has been well for half a minute.
func settled(t *testing.T, hosts int) *cloud {
	c := newCloud(t, hosts, parts{gossip: true, heartbeat: true})
	c.judge()
	time.Sleep(30 * time.Second)
	return c
}

// flaps cuts one host off after the other, for different times.
func (c *cloud) flaps() {
	for i, cut := range []time.Duration{2 * time.Second, 10 * time.Second, 30 * time.Second, 90 * time.Second} {
		n := c.nodes[voters+i]
		c.setSick(n, true)
		c.net.Isolate(n.addr)
		time.Sleep(cut)
		c.net.Heal()
		time.Sleep(30 * time.Second)
		c.setSick(n, false)
		time.Sleep(30 * time.Second)
	}
}
