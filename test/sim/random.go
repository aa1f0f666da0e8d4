package sim

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// calm is how long a random schedule is left alone at its end, so that whatever is
// open may end: longer than the quiet period that it has.
const calm = 40 * time.Second

// Random draws a schedule of faults on a small cloud. It is a scenario file, which
// expects nothing but that the invariants hold.
func Random(seed uint64) string {
	d := &dice{rand.New(rand.NewPCG(seed, 0x6c696665626f6174))}
	hosts := d.size()
	var b strings.Builder
	fmt.Fprintf(&b, "story: random schedule %d\n", seed)
	fmt.Fprintf(&b, "cloud: {controllers: %d, hosts: %d, domains: %d, servers: %d, profile: %s}\n",
		d.one(3, 3, 3, 3, 3, 3, 3, 5), hosts, 2+d.IntN(3), 1+d.IntN(2), pickOne(d, "default", "default", "fast"))
	fmt.Fprintf(&b, "policy: {leader_grace: %ds, quiet_period: 20s, healthy_delay: 5s, power_on: %s, storm: {count: %d, window: 3m}}\n",
		3+d.IntN(5), pickOne(d, "operator", "automatic"), 1+d.IntN(2))
	b.WriteString("faults:\n")
	n := 3 + d.IntN(6)
	length := time.Duration(20+d.IntN(40)) * time.Second
	if d.IntN(10) < 7 { // a death that Lifeboat has to act upon, before much else is ill
		fmt.Fprintf(&b, "  - {at: %dms, do: %s %s}\n", 1000+d.IntN(6000), pickOne(d, "power-cut", "hang"), d.host(hosts))
		n--
	}
	for range n {
		do := d.fault(hosts)
		if d.IntN(4) == 0 {
			fmt.Fprintf(&b, "  - {when: %q, do: %q}\n", d.point(), d.atPoint(hosts))
		}
		fmt.Fprintf(&b, "  - {at: %s, do: %q}\n", time.Duration(d.IntN(int(length/time.Second)*10))*time.Second/10, do)
	}
	for _, do := range []string{"heal", "nova well", "thaw controllers", "start controllers", "thaw hosts", "bmc hosts well"} {
		fmt.Fprintf(&b, "  - {at: %s, do: %s}\n", length+10*time.Second, do)
	}
	fmt.Fprintf(&b, "run: %s\nexpect: {only_invariants: true}\n", length+10*time.Second+calm)
	return b.String()
}

type dice struct{ *rand.Rand }

// size is mostly that of a small cloud, where a schedule is cheap; one in eight is
// up to 12 hosts, one in 64 up to 24.
func (d *dice) size() int {
	switch k := d.IntN(64); {
	case k == 0:
		return 13 + d.IntN(12)
	case k < 8:
		return 8 + d.IntN(5)
	default:
		return 4 + d.IntN(3)
	}
}

func (d *dice) one(of ...int) int { return of[d.IntN(len(of))] }

func pickOne(d *dice, of ...string) string { return of[d.IntN(len(of))] }

// point is mostly one that every recovery comes to.
func (d *dice) point() string {
	if d.IntN(3) > 0 {
		return pickOne(d, "done:open", "intent:fence", "call:fence", "done:fence", "intent:force-down", "call:force-down", "call:list", "intent:evacuate", "call:evacuate", "call:observe", "done:evacuate")
	}
	all := points()
	return all[d.IntN(len(all))]
}

// atPoint is what befalls the leader, or what it is about to use, just then.
func (d *dice) atPoint(n int) string {
	return pickOne(d, "kill leader for 10s", "restart leader", "freeze leader for 8s", "stop leader for 10s", "isolate leader for 15s",
		"cut leader from followers for 12s", "clock leader +3m", "clock leader -3m", "nova loses-answers for 5s", "nova api-down for 8s", "nova broker-down for 20s",
		"unhang hosts", "power-on hosts", "bmc hosts unreachable for 9s", "hang "+d.host(n)+" for 20s", "operator freeze on", "power-cut "+d.host(n))
}

// span is how long a fault lasts: often around what Lifeboat waits for.
func (d *dice) span() string {
	return fmt.Sprintf("%dms", d.one(800, 2000, 3500, 5000, 8000, 12000, 20000, 35000)+d.IntN(1500))
}

func (d *dice) host(n int) string { return hostName(d.IntN(n)) }

// some are one host, a few, a rack or a share of them.
func (d *dice) some(n int) string {
	switch d.IntN(5) {
	case 0:
		return d.host(n) + "," + d.host(n)
	case 1:
		return "rack1"
	default:
		return d.host(n)
	}
}

func (d *dice) voters() string {
	return pickOne(d, "leader", "leader", "followers", "ctl1", "ctl2", "ctl1,ctl2")
}

func (d *dice) network() string {
	return pickOne(d, "", "", " on management", " on storage", " on tenant")
}

// fault draws one. A BMC that says off while its machine lives is left out: that
// lie nobody can see, and docs/safety.md says so.
func (d *dice) fault(n int) string {
	span := " for " + d.span()
	switch k := d.IntN(100); {
	case k < 14:
		return "power-cut " + d.some(n)
	case k < 18:
		return "supply-cut " + d.host(n) + span
	case k < 26:
		return "hang " + d.some(n) + span
	case k < 30:
		return fmt.Sprintf("crash %s %dms", d.host(n), 1000+d.IntN(30000))
	case k < 35:
		return "freeze " + d.some(n) + span
	case k < 38:
		return pickOne(d, "kill-agent ", "stop-agent ") + d.some(n) + span
	case k < 40:
		return "kill-compute " + d.host(n)
	case k < 42:
		return "starve " + pickOne(d, "20%", "leader", "followers") + " " + pickOne(d, "4s/1s", "2s/2s", "700ms/300ms") + span
	default:
		return d.elsewhere(n, k, span)
	}
}

func (d *dice) elsewhere(n, k int, span string) string {
	switch {
	case k < 48:
		return "isolate " + d.some(n) + d.network() + span
	case k < 53:
		return "isolate " + d.voters() + span
	case k < 57:
		return pickOne(d, "cut leader from followers", "cut leader from hosts", "cut controllers from hosts", "cut ctl1 from ctl2", "cut leader from nova", "cut leader from bmcs") + span
	case k < 61:
		return pickOne(d, "mute hosts to leader", "mute leader to followers", "mute followers to leader", "mute "+d.host(n)+" to controllers", "mute controllers to "+d.host(n)) + span
	case k < 65:
		return fmt.Sprintf("lose %d%%%s", 5+d.IntN(30), span)
	case k < 67:
		return fmt.Sprintf("delay %dms between %s and all%s", 20+d.IntN(400), d.voters(), span)
	case k < 75:
		return "bmc " + d.some(n) + " " + pickOne(d, "unreachable", "wrong-password", "ignores", "busy", "null", "slow=2s", "slow=12s", "turns-on=5s") + span
	case k < 82:
		return "nova " + pickOne(d, "api-down", "db-down", "keystone-down", "broker-down", "no-conductor", "no-scheduler", "loses-answers", "slow=1s", "slow=8s") + span
	case k < 87:
		return pickOne(d, "kill ", "stop ") + d.voters() + span
	case k < 89:
		return "freeze " + d.voters() + span
	case k < 92:
		return "clock " + d.voters() + " " + pickOne(d, "+10m", "-10m", "+2s", "-2s", "+1h")
	case k < 94:
		return "power-on hosts"
	default:
		return "operator " + pickOne(d, "freeze on", "freeze off", "arm observe", "arm auto", "maintenance "+d.host(n)+" on", "maintenance "+d.host(n)+" off", "return "+d.host(n), "return "+d.host(n))
	}
}
