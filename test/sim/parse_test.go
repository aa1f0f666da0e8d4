package sim

import (
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestParse(t *testing.T) {
	for _, c := range []struct{ name, file, want string }{
		{"unknown key", "story: x\nclouds: {}\n", `x.yaml:2:1: clouds: unknown key: did you mean "cloud"?`},
		{"no story", "run: 60s\n", "story: missing"},
		{"unknown verb", "story: x\nfaults:\n  - {at: 1s, do: powercut host01}\n", "x.yaml:3:18: faults[0].do: unknown verb \"powercut\": use one of behind, bmc, clock"},
		{"no such host", "story: x\nfaults:\n  - {at: 1s, do: hang host07}\n", `nothing here is called "host07"`},
		{"a controller is no host", "story: x\nfaults:\n  - {at: 1s, do: hang ctl1}\n", "ctl1 is no host (usage: hang HOSTS [for D])"},
		{"no duration", "story: x\nfaults:\n  - {at: 1s, do: hang host01 for ever}\n", `"ever" is no duration`},
		{"no such network", "story: x\nfaults:\n  - {at: 1s, do: isolate host01 on lan}\n", `"lan" is no network`},
		{"after the end", "story: x\nrun: 10s\nfaults:\n  - {at: 11s, do: heal}\n", "after the end at 10s"},
		{"no such point", "story: x\nfaults:\n  - {when: \"before:fence\", do: heal}\n", "no point of the leader's work"},
		{"both", "story: x\nfaults:\n  - {when: \"done:fence\", at: 2s, do: heal}\n", "at and when exclude each other"},
		{"four controllers", "story: x\ncloud: {controllers: 4}\n", "4: use 3 or 5"},
		{"policy", "story: x\npolicy: {missed: 1}\n", "policy.missed: 1: use 2 to 60"},
		{"no verdict", "story: x\nexpect:\n  verdicts:\n    - {hosts: hosts, never: dead}\n", `"dead" is no verdict`},
		{"expectation without time", "story: x\nexpect:\n  verdicts:\n    - {hosts: hosts, is: Dead}\n", "say either `at`"},
		{"held where", "story: x\nexpect:\n  held:\n    - {hosts: host01}\n", "at which `gate` or `step`"},
		{"good", "story: x\nfaults:\n  - {at: 1s, do: \"lose 5% between rack1 and controllers on management for 3s\"}\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse("x.yaml", []byte(c.file))
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v\nwant %s", err, c.want)
			}
		})
	}
}

// TestVerbsAreDocumented: docs/sim.md tells every verb.
func TestVerbsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/sim.md")
	if err != nil {
		t.Fatal(err)
	}
	for v, def := range verbs {
		if !strings.HasPrefix(def.usage, v) || def.what == "" {
			t.Errorf("%s: usage %q, %q", v, def.usage, def.what)
		}
		if !strings.Contains(string(page), "`"+v) {
			t.Errorf("docs/sim.md does not tell of %s", v)
		}
	}
}

// TestWithMono fails if Go changes what a time is made of.
func TestWithMono(t *testing.T) {
	wall := time.Date(2031, 5, 6, 7, 8, 9, 123456789, time.UTC)
	a, b := withMono(wall, time.Hour), withMono(wall.Add(-24*time.Hour), time.Hour+time.Second)
	switch {
	case !a.Round(0).Equal(wall) || a.Location() != time.UTC:
		t.Errorf("wall clock is %s", a)
	case b.Sub(a) != time.Second:
		t.Errorf("a stepped clock moves an age: %s", b.Sub(a))
	case b.Round(0).Sub(a.Round(0)) != time.Second-24*time.Hour-time.Second:
		t.Errorf("wall clocks differ by %s", b.Round(0).Sub(a.Round(0)))
	}
}

func TestNodeClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newNodeClock(time.Now())
		began := c.Now()
		time.Sleep(3 * time.Second)
		c.freeze(true)
		time.Sleep(5 * time.Second)
		if d := c.Now().Sub(began); d != 3*time.Second {
			t.Errorf("a frozen clock went on to %s", d)
		}
		c.freeze(false)
		c.stepWall(time.Hour)
		if d := c.Now().Sub(began); d != 8*time.Second {
			t.Errorf("after thaw and step it reads %s", d)
		}
		if d := c.until(time.Now().Add(time.Second)); d != time.Second {
			t.Errorf("a deadline of the bubble's time is %s away", d)
		}
		if d := c.until(c.Now().Add(time.Second)); d != time.Second {
			t.Errorf("a deadline of its own is %s away", d)
		}
	})
}
