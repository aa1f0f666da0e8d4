package bench

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
	"github.com/lifeboat-ha/lifeboat/test/sim"
)

// Deaths come deathEvery apart, so that several are under investigation at once;
// no more than two hosts of five die in one cloud. What is not decided within
// patience after the last death was missed.
const (
	deathEvery = 2 * time.Second
	patience   = 30 * time.Second
	// retires is when an operator takes a dead host out of service: until then it is
	// investigated, which costs more than all the rest.
	retires = 25 * time.Second
)

// troubles are what ails the cloud meanwhile: faults of a scenario.
var troubles = []struct{ name, fault string }{
	{"loss=0", ""},
	{"loss=5", "lose 5%"},
	{"loss=10", "lose 10%"},
	{"frozen=10", "starve 10% 4s/1s"},
}

// BenchmarkDetection measures whole clouds of the simulator: the time from a death
// to its recovery in the ledger, all gates passed, after a power cut that the BMC
// tells and after a hang where only absence speaks, and who was wronged. Beside
// each agent runs a member of plain memberlist, in the same process.
func BenchmarkDetection(b *testing.B) {
	for _, hosts := range scope().hosts {
		for _, profile := range scope().profiles {
			for i, t := range troubles {
				if i >= scope().troubles {
					break
				}
				r := &row{hosts: hosts, profile: profile, trouble: t.name}
				b.Run(r.name(), func(b *testing.B) {
					for b.Loop() {
						for seed := uint64(1); min(len(r.power), len(r.hang)) < scope().deaths; seed++ {
							inBubble(b, func(t *testing.T) { r.measure(t, troubles[i].fault, seed) })
						}
					}
					r.report(b)
				})
			}
		}
	}
}

// policyOf lets many hosts die: what is measured is detection, not the limits.
func policyOf() (p simPolicy) {
	p = sim.DefaultPolicy()
	p.Storm.Percent, p.Storm.PerHour, p.Storm.Cliff.Percent = 50, 10_000, 0
	p.Concurrency, p.InFlight = 10_000, 100
	return p
}

// measure adds one cloud's deaths to the row.
func (r *row) measure(t *testing.T, fault string, seed uint64) {
	setup := sim.DefaultSetup()
	setup.Hosts, setup.Domains, setup.Servers, setup.Profile = r.hosts, 5, 1, r.profile
	c, err := sim.Open(t.Context(), setup, policyOf(), seed, t.TempDir(), slog.DiscardHandler)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	hosts, _ := c.Pick("hosts")
	p, err := openPlain(c, hosts)
	defer p.close()
	if err != nil {
		t.Error(err)
		return
	}
	var frozen []string
	if fault != "" {
		if r.trouble == "frozen=10" {
			frozen, _ = c.Pick("10%")
		}
		p.mu.Lock()
		for _, h := range frozen {
			p.slow[h] = true
		}
		p.mu.Unlock()
		r.do(t, c, fault)
	}
	began := c.Now()
	time.Sleep(20 * time.Second)
	died := map[string]death{}
	var waits []death // to be taken out of service
	for _, d := range r.deaths(hosts, frozen, seed) {
		time.Sleep(d.after)
		for len(waits) > 0 && c.Now()-waits[0].at > retires {
			r.do(t, c, "operator maintenance "+waits[0].host+" on")
			waits = waits[1:]
		}
		d.at = c.Now()
		died[d.host] = d
		waits = append(waits, d)
		p.kill(d.host)
		r.do(t, c, d.how+" "+d.host)
	}
	time.Sleep(patience)
	r.take(c, p, died, c.Now()-began)
}

func (r *row) do(t *testing.T, c *sim.Cloud, order string) {
	if err := c.Do(order); err != nil {
		t.Errorf("%s: %v", order, err)
	}
}

type death struct {
	host, how string
	after, at time.Duration
}

const (
	powerCut = "power-cut"
	hang     = "hang"
)

// deaths draws who dies: no domain loses more than the others, and nobody who is
// frozen now and then.
func (r *row) deaths(hosts, frozen []string, seed uint64) []death {
	draw := rand.New(rand.NewPCG(seed, uint64(r.hosts)))
	n := min(2*len(hosts)/5, 2*(scope().deaths-min(len(r.power), len(r.hang))))
	per := (len(hosts) + 4) / 5
	var all []death
	for i := 0; len(all) < n; i++ {
		k := i%5*per + i/5
		if k >= len(hosts) || slices.Contains(frozen, hosts[k]) {
			continue
		}
		d := death{host: hosts[k], how: powerCut, after: deathEvery/2 + time.Duration(draw.Int64N(int64(deathEvery)))}
		if len(all)%2 == 1 {
			d.how = hang
		}
		all = append(all, d)
	}
	return all
}

// take reads what came of the deaths.
func (r *row) take(c *sim.Cloud, p *plain, died map[string]death, lasted time.Duration) {
	decided := c.Decided()
	for host, d := range died {
		if dec, ok := decided[nova.HostName(host)]; !ok || dec.At < d.at {
			r.missed++
		} else if d.how == powerCut {
			r.power = append(r.power, dec.At-d.at)
		} else {
			r.hang = append(r.hang, dec.At-d.at)
		}
		if at, ok := p.detected(host); ok {
			r.plain = append(r.plain, at-d.at)
		} else {
			r.plainMissed++
		}
	}
	for _, host := range c.Fenced() {
		if _, ok := died[host]; !ok {
			r.falseFences++
		}
	}
	for _, v := range c.Opinions() {
		d, dies := died[string(v.Host)]
		if dies && v.At >= d.at {
			continue
		}
		switch v.State {
		case "Dead":
			r.falseDead++
		case "Suspect":
			r.falseSuspect++
		default:
		}
	}
	p.mu.Lock()
	r.plainAnyone, r.plainMost = r.plainAnyone+p.anyone, r.plainMost+p.most
	p.mu.Unlock()
	r.broken = append(r.broken, c.Broken()...)
	r.watched += time.Duration(r.hosts-len(died)/2) * lasted
	r.clouds++
	r.lasted += lasted
}

func (r *row) name() string {
	return fmt.Sprintf("hosts=%d/profile=%s/%s", r.hosts, r.profile, r.trouble)
}
