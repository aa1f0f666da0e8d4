package evacuate

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

var (
	schedules = flag.Int("schedules", fewest, "how many random schedules to play")
	seed      = flag.Uint64("seed", 0, "play this one schedule, with its log")
)

// TestRandomSchedules plays seeded schedules of faults and asserts, at every
// step: no POST without a proof of this boot, never a second live POST of an
// instance, nothing runs twice, no entry of the core is refused, nothing
// committed is lost with a leader. When the faults are over, every recovery has
// ended or says why it waits.
//
//	go test ./evacuate -run Random -seed 17     one schedule with its log
//	go test ./evacuate -run Random -schedules 20000
func TestRandomSchedules(t *testing.T) {
	if *seed != 0 {
		playSeed(t, *seed, true)
		return
	}
	for i := range *schedules {
		playSeed(t, uint64(i+1), false)
	}
}

func playSeed(t *testing.T, n uint64, loud bool) {
	rng := rand.New(rand.NewPCG(n, 17))
	c := newCloud(t, 3+rng.IntN(4))
	c.policy.QuietPeriod, c.policy.Stuck, c.policy.StormWindow = 20*time.Second, time.Minute, 30*time.Second
	c.policy.HealthyDelay, c.policy.LeaderGrace = 5*time.Second, 3*time.Second
	c.policy.PowerOn, c.policy.StormCount = rng.IntN(2) == 0, 1+rng.IntN(3)
	c.policy.StormPercent = 0
	if c.hook = n%3 == 0; n%6 == 0 {
		c.policy.Proofs.Storage = StorageOptional
	}
	if c.policy.PowerOn && n%8 == 3 { // where a host is asked back
		c.policy.Failback = 5 * time.Second
	}
	c.core = NewCore(c.policy)
	c.aggregates = map[nova.HostName][]string{c.hosts[0].name: {"gpu"}}
	for i := range 2 + rng.IntN(4) {
		state := []string{nova.VMActive, nova.VMActive, nova.VMStopped}[rng.IntN(3)]
		c.addServer(nova.ServerID(fmt.Sprintf("vm%d", i+1)), c.hosts[rng.IntN(2)].name, state, c.start)
	}
	for i := range 6 + rng.IntN(14) {
		c.fault(rng)
		c.turnsUp(rng, i)
		c.run(time.Duration(rng.IntN(6000)) * time.Millisecond)
	}
	c.mend()
	c.run(150 * time.Second)
	for _, b := range c.broken {
		t.Errorf("seed %d: broken: %s", n, b)
	}
	for _, r := range c.state.Sorted() {
		if missed := c.missed(r); missed != "" {
			t.Errorf("seed %d: %s stands on %s, which was recovered, and has no journal:\n%s", n, missed, r.Host, r.Text())
		}
		returning := r.Status == StatusReturning && c.host(r.Host).up // else it waits for ten minutes
		if (r.Status == StatusOpen || returning) && r.Hold == nil {
			t.Errorf("seed %d: recovery %s of %s is %s, and does not say why:\n%s", n, r.ID, r.Host, r.Status, r.Text())
		}
	}
	if loud || t.Failed() {
		t.Logf("seed %d\n%s", n, logOf(c))
	}
	if t.Failed() {
		t.FailNow()
	}
}

// turnsUp writes an instance late on a host that is off, now and then.
func (c *cloud) turnsUp(rng *rand.Rand, i int) {
	h := c.hosts[rng.IntN(2)]
	if rng.IntN(4) > 0 || h.power {
		return
	}
	if err := c.verb([]string{"turns-up", fmt.Sprintf("late%d", i), string(h.name), []string{nova.VMActive, nova.VMStopped, nova.VMPaused, nova.VMError}[rng.IntN(4)]}); err != nil {
		c.breaks("turns-up: %v", err)
	}
	if r := c.state.Open(h.name); r != nil && rng.IntN(2) == 0 {
		_ = c.operator(Entry{Kind: KindRelist, Recovery: r.ID, Text: "to be listed again"})
	}
}

// missed is an instance on a host that was recovered which nobody has chosen about.
func (c *cloud) missed(r *Recovery) nova.ServerID {
	if _, proved := r.Proved(); r.Status != StatusRecovered || !proved {
		return ""
	}
	for _, s := range c.on(r.Host) {
		if r.Evacuation(s.ID) == nil {
			return s.ID
		}
	}
	return ""
}

// fault lets one thing go wrong, or well.
func (c *cloud) fault(rng *rand.Rand) {
	h := c.hosts[rng.IntN(2)]
	if rng.IntN(6) == 0 {
		h = c.hosts[rng.IntN(len(c.hosts))]
	}
	id := nova.ServerID(fmt.Sprintf("vm%d", 1+rng.IntN(5)))
	pick := func(s ...string) string { return s[rng.IntN(len(s))] }
	script := []string{
		"dead " + string(h.name), "dead " + string(h.name), "hang " + string(h.name), "hang " + string(h.name), "heal " + string(h.name),
		"boot " + string(h.name),
		"bmc " + string(h.name) + " " + pick(bmcOK, bmcOK, bmcUnreachable, bmcAuth, bmcLies, bmcFar, bmcFar),
		"post " + string(id) + " " + pick("lost", "timeout", "late", "refused", "late lost"),
		"row " + string(id) + " " + pick("failed", "novalidhost", "stuck", "failed novalidhost"),
		"leader crash", "leader depose", "leader crash-after " + pick(crashPoints()...), "leader crash-after " + pick(crashPoints()...),
		"nova down", "nova up", "freeze", "unfreeze", "freeze file",
		"verdict " + string(h.name) + " " + pick("Suspect", "-", "-"),
		"restore", "mode auto", "mode auto", "mode " + pick("off", "observe", "shadow", "approve"),
		"mode " + pick("off", "observe", "shadow", "approve", "inherit") + " host " + string(h.name),
		"mode " + pick("observe", "approve", "inherit") + " aggregate gpu",
		"approve-any", "approve-any", "drain", "undrain", "cancel " + string(h.name), "end " + string(h.name),
		"maintenance " + string(h.name) + " off", "confirm " + string(h.name),
	}[rng.IntN(33)]
	if c.hook && strings.HasPrefix(script, "nova") { // half of Nova's troubles are the program's
		if rng.IntN(2) == 0 {
			script = "storage " + pick("fails", "lost", "fails fails lost")
		}
	}
	f := strings.Fields(script)
	if f[0] == "boot" && c.host(h.name).power {
		return
	}
	if f[0] == "confirm" {
		// A person looks first, and takes the time that is asked for.
		if c.run(65 * time.Second); h.power {
			return
		}
	}
	if (f[0] == "cancel" || f[0] == "end") && c.recovery(h.name) == nil {
		return
	}
	if f[0] == "leader" && f[1] == "depose" {
		c.say("> leader depose")
		c.depose()
		return
	}
	if err := c.verb(f); err != nil {
		c.breaks("%s: %v", script, err)
	}
}

// mend ends all faults.
func (c *cloud) mend() {
	c.say("> all faults end")
	c.frozen, c.novaDown = "", false
	_ = c.operator(Entry{Kind: KindFreeze})
	_ = c.operator(Entry{Kind: KindMode, Word: string(ModeAuto)})
	_ = c.operator(Entry{Kind: KindMode, Word: Inherit, Aggregate: "gpu"})
	_ = c.operator(Entry{Kind: KindDrain})
	for _, h := range c.hosts {
		_ = c.operator(Entry{Kind: KindMode, Word: Inherit, Host: h.name})
		h.bmc, h.hung, h.verdict = bmcOK, false, detector.State("")
	}
}
