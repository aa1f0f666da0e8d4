package evacuate

import (
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// TestHaltAtEveryStep freezes, or sets the host to observe, right after each
// entry that promises or ends a step and before its call is made. From then on
// no call that writes starts; when it is lifted, the recovery goes on to its end.
func TestHaltAtEveryStep(t *testing.T) {
	halts := map[string][2]Entry{
		"freeze":        {{Kind: KindFreeze, Flag: true}, {Kind: KindFreeze}},
		"host observe":  {{Kind: KindMode, Host: "cmp1", Word: "observe"}, {Kind: KindMode, Host: "cmp1", Word: Inherit}},
		"cloud shadow":  {{Kind: KindMode, Word: "shadow"}, {Kind: KindMode, Word: "auto"}},
		"aggregate off": {{Kind: KindMode, Aggregate: "gpu", Word: "off"}, {Kind: KindMode, Aggregate: "gpu", Word: Inherit}},
	}
	points := []string{"done:open", "intent:disable", "intent:fence", "done:fence", "intent:force-down", "done:force-down", "intent:list", "done:list",
		"intent:evacuate", "done:evacuate", "intent:verify", "done:return", "intent:power-on", "done:power-on", "intent:un-force-down", "intent:enable"}
	for name, halt := range halts {
		for _, at := range points {
			t.Run(name+"/"+at, func(t *testing.T) { haltAt(t, at, halt) })
		}
	}
}

func haltAt(t *testing.T, at string, halt [2]Entry) {
	c := newCloud(t, 3)
	c.policy.PowerOn, c.policy.HealthyDelay, c.policy.QuietPeriod = true, 5*time.Second, 20*time.Second
	c.core = NewCore(c.policy)
	c.aggregates = map[nova.HostName][]string{"cmp1": {"gpu"}}
	c.addServer("vm1", "cmp1", nova.VMActive, c.start)
	c.addServer("vm2", "cmp1", nova.VMStopped, c.start)
	from := 0
	c.cutAt, c.cut = at, func() {
		if err := c.operator(halt[0]); err != nil {
			t.Fatalf("halting is refused: %v", err)
		}
		c.cutLast, from = c.now, len(c.log)
	}
	c.run(time.Second)
	c.host("cmp1").off()
	c.run(3 * time.Minute)
	if c.cutLast.IsZero() {
		t.Fatalf("%s never came:\n%s", at, strings.Join(c.log, "\n"))
	}
	for _, line := range c.log[from:] {
		if f := strings.Fields(line); len(f) > 2 && f[1] == "call" && !reads[Step(f[2])] {
			t.Errorf("after the halt: %s", line)
		}
	}
	if r := c.recovery("cmp1"); r.Status != StatusRecovered && (r.Hold == nil || r.Hold.Gate == "") {
		t.Errorf("it is not said why %s waits: %+v", r.ID, r.Hold)
	}
	c.cutLast = time.Time{}
	if err := c.operator(halt[1]); err != nil {
		t.Fatal(err)
	}
	c.run(4 * time.Minute)
	if r := c.recovery("cmp1"); r.Outcome != OutcomeReturned {
		t.Errorf("afterwards: %s %s\n%s", r.Status, r.Outcome, r.Text())
	}
	for _, b := range c.broken {
		t.Errorf("broken: %s", b)
	}
}
