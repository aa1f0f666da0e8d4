package bench

import (
	"slices"
	"testing"
	"time"
)

const kills = 5

// BenchmarkDetection measures the time from a host's death to the verdict Dead,
// without the fast path by its BMC, and how much of it the ring takes.
func BenchmarkDetection(b *testing.B) {
	clouds(b, func(b *testing.B, hosts int) {
		var ring, verdict []time.Duration
		wrong := 0
		for b.Loop() {
			inBubble(b, func(t *testing.T) {
				c := newCloud(t, hosts, parts{gossip: true, heartbeat: true})
				defer c.close()
				c.judge()
				time.Sleep(30 * time.Second)
				for i := range kills {
					r, v := c.kill(c.nodes[voters+i*hosts/kills])
					ring, verdict = append(ring, r), append(verdict, v)
					time.Sleep(20 * time.Second)
				}
				w, _, _ := c.mistakes()
				wrong += w
			})
		}
		report(b, "ring", ring)
		report(b, "verdict", verdict)
		b.ReportMetric(float64(wrong), "false-verdicts")
		b.ReportMetric(0, "ns/op")
	})
}

// BenchmarkMassDeath kills three hosts of ten at once and counts how many are
// judged dead within a minute, and for how many that still holds then.
func BenchmarkMassDeath(b *testing.B) {
	clouds(b, func(b *testing.B, hosts int) {
		var dead, now, wrong, killed int
		for b.Loop() {
			inBubble(b, func(t *testing.T) {
				c := newCloud(t, hosts, parts{gossip: true, heartbeat: true})
				defer c.close()
				c.judge()
				time.Sleep(30 * time.Second)
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

func report(b *testing.B, what string, all []time.Duration) {
	slices.Sort(all)
	b.ReportMetric(all[len(all)/2].Seconds(), "s-"+what+"-p50")
	b.ReportMetric(all[len(all)-1].Seconds(), "s-"+what+"-max")
}

// BenchmarkMistakes counts the living that are taken for dead: by the judge,
// and by the ring alone.
func BenchmarkMistakes(b *testing.B) {
	for _, trouble := range []struct {
		name string
		make func(*cloud)
	}{
		{"flaps", (*cloud).flaps},
		{"loss5", func(c *cloud) { c.lose(0.05) }},
		{"loss10", func(c *cloud) { c.lose(0.10) }},
		{"freeze10pct", (*cloud).freezes},
	} {
		b.Run(trouble.name, func(b *testing.B) {
			clouds(b, func(b *testing.B, hosts int) {
				var verdicts, victims, events, doubts int
				for b.Loop() {
					inBubble(b, func(t *testing.T) {
						c := newCloud(t, hosts, parts{gossip: true, heartbeat: true})
						defer c.close()
						c.judge()
						time.Sleep(30 * time.Second)
						trouble.make(c)
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
		})
	}
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

func (c *cloud) lose(p float64) {
	c.mu.Lock()
	c.loss = p
	c.mu.Unlock()
	c.net.SetLoss(p)
	time.Sleep(2 * time.Minute)
}

// freezes stops a tenth of the hosts for 4 s, then lets them run for 1 s, for a
// minute. The network holds what they send; their timers run on, so that the
// stall watchdogs do not notice: this is the worse case.
func (c *cloud) freezes() {
	frozen := c.nodes[voters : voters+max(1, (len(c.nodes)-voters)/10)]
	for _, n := range frozen {
		c.setSick(n, true)
	}
	for range 12 {
		for _, n := range frozen {
			c.net.Freeze(n.addr)
		}
		time.Sleep(4 * time.Second)
		for _, n := range frozen {
			c.net.Thaw(n.addr)
		}
		time.Sleep(time.Second)
	}
	time.Sleep(time.Minute)
}
