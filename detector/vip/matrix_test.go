package vip

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

var someTargets = []Target{
	{Service: "nova", Address: netip.MustParseAddrPort("10.9.0.100:8774"), Touch: TouchHTTP, VIP: "internal"},
	{Service: "placement", Address: netip.MustParseAddrPort("10.9.0.100:8778"), Touch: TouchHTTP, VIP: "internal"},
	{Service: "rabbitmq", Address: netip.MustParseAddrPort("10.9.0.11:5672"), Touch: TouchAMQP},
	{Service: "rabbitmq", Address: netip.MustParseAddrPort("10.9.0.12:5672"), Touch: TouchAMQP},
	{Service: "ctl1", Address: netip.MustParseAddrPort("10.9.0.11:22"), Touch: TouchTCP, Informs: true},
}

// words are nova, placement, rabbitmq twice and what only informs: o ok, r refused,
// s silent, b bad.
func words(text string) (ws []detector.PathWord) {
	for _, c := range text {
		ws = append(ws, map[rune]detector.PathWord{'o': detector.PathOK, 'r': detector.PathRefused, 's': detector.PathSilent, 'b': detector.PathBad}[c])
	}
	return ws
}

// rows gives hosts of three racks, in turn, their words.
func rows(texts ...string) (out []HostRow) {
	for i, text := range texts {
		out = append(out, HostRow{Host: nova.HostName(fmt.Sprintf("cmp%02d", i)), Domain: detector.Domain(fmt.Sprintf("rack%d", i%3)),
			Row: detector.PathRow{List: List(someTargets), Words: words(text), Age: time.Second}})
	}
	return out
}

func repeat(n int, text string) (all []string) {
	for range n {
		all = append(all, text)
	}
	return all
}

const allWell = "ooooo"

// TestTable is the table of docs/vip.md.
func TestTable(t *testing.T) {
	one := func(n int, text string) []string { return append([]string{text}, repeat(n-1, allWell)...) }
	alone := func(host string) string { return host }
	for name, test := range map[string]struct {
		rows []HostRow
		want detector.Condition
		// cut is the host whose own way is broken, "" for none.
		cut string
	}{
		"no votes":                       {nil, "", ""},
		"all well":                       {rows(repeat(9, allWell)...), "", ""},
		"one host":                       {rows(one(9, "ssooo")...), "", alone("cmp00")},
		"one host, and one service":      {rows(one(9, "osooo")...), "", alone("cmp00")},
		"one host, refused":              {rows(one(9, "rrooo")...), "", alone("cmp00")},
		"one host of two":                {rows("ssooo", allWell), detector.ControlPlaneFault, ""},
		"the only host":                  {rows("ssooo"), detector.ControlPlaneFault, ""},
		"one of the brokers":             {rows(repeat(9, "oosoo")...), "", ""},
		"all brokers, for one":           {rows(one(9, "oosso")...), "", alone("cmp00")},
		"what only informs":              {rows(repeat(9, "oooos")...), "", ""},
		"half of the hosts":              {rows("ssooo", "ssooo", "ssooo", "ssooo", allWell, allWell, allWell, allWell), detector.ControlPlaneFault, ""},
		"all, by a proxy without server": {rows(repeat(9, "bbooo")...), detector.ControlPlaneFault, ""},
		"one rack":                       {rows("ssooo", allWell, allWell, "ssooo", allWell, allWell, "ssooo", allWell, allWell), detector.SegmentFault, ""},
		"one in every rack":              {rows("ssooo", "ssooo", "ssooo", allWell, allWell, allWell, allWell, allWell, allWell, allWell, allWell, allWell, allWell, allWell, allWell, allWell), detector.ControlPlaneFault, ""},
		"three of nine in two racks":     {rows("ssooo", "ssooo", allWell, "ssooo", allWell, allWell, allWell, allWell, allWell), detector.ControlPlaneFault, ""},
	} {
		a := Assess(someTargets, test.rows, 8*time.Second)
		if a.Control.Condition != test.want {
			t.Errorf("%s: %s (%s), want %s", name, a.Control.Condition, a.Control.Detail, test.want)
		}
		for host, p := range a.Paths {
			cut := len(p.Fails) > 0 && p.Others > 0 && 5*p.OthersUp >= 4*p.Others
			if cut != (string(host) == test.cut) && test.want == "" {
				t.Errorf("%s: %s: %+v", name, host, p)
			}
		}
		if len(a.Paths) != len(test.rows) {
			t.Errorf("%s: %d hosts are told of, want %d", name, len(a.Paths), len(test.rows))
		}
	}
}

// TestNoEvidence: what is old or of another list is no vote, neither for nor against.
func TestNoEvidence(t *testing.T) {
	rs := rows(append(repeat(6, "ssooo"), repeat(3, allWell)...)...)
	for i := range 6 {
		rs[i].Row.Age = 9 * time.Second
	}
	if a := Assess(someTargets, rs, 8*time.Second); a.Control.Condition != "" || len(a.Paths) != 3 || a.Matrix.Targets[0].OK != 3 || a.Matrix.Targets[0].Silent != 0 {
		t.Errorf("old rows count: %+v", a)
	}
	for i := range 6 {
		rs[i].Row.Age, rs[i].Row.List = 0, 1
	}
	if a := Assess(someTargets, rs, 8*time.Second); a.Control.Condition != "" || len(a.Matrix.Hosts) != 3 {
		t.Errorf("rows of another list count: %+v", a)
	}
}

// TestWorse: one more host that fails never makes less of the control plane's fault,
// and the order of the rows is nothing.
func TestWorse(t *testing.T) {
	for seed := range uint64(1000) {
		r := rand.New(rand.NewPCG(seed, 3))
		n := 2 + r.IntN(20)
		texts := repeat(n, allWell)
		for i := range texts {
			if r.IntN(3) == 0 {
				texts[i] = "ssooo"
			}
		}
		rs := rows(texts...)
		before := Assess(someTargets, rs, time.Minute)
		mixed := append([]HostRow{}, rs...)
		r.Shuffle(n, func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
		if after := Assess(someTargets, mixed, time.Minute); !reflect.DeepEqual(after.Control, before.Control) {
			t.Fatalf("seed %d: the order of rows made %+v of %+v", seed, after.Control, before.Control)
		}
		for i := range texts {
			if texts[i] == allWell {
				texts[i] = "ssooo"
				break
			}
		}
		after := Assess(someTargets, rows(texts...), time.Minute)
		if before.Control.Condition == detector.ControlPlaneFault && after.Control.Condition != detector.ControlPlaneFault {
			t.Fatalf("seed %d: one more failure made %s (%s) of %s", seed, after.Control.Condition, after.Control.Detail, before.Control.Detail)
		}
	}
}

// TestSettle: what is found adds a hold, and lifts none.
func TestSettle(t *testing.T) {
	cpf := detector.Control{Condition: detector.ControlPlaneFault, Reason: detector.ReasonVIPUnreached}
	segment := detector.Control{Condition: detector.SegmentFault, Domains: []detector.Domain{"rack1"}}
	for _, test := range []struct {
		before detector.Control
		kind   Kind
		want   detector.Condition
	}{
		{detector.Control{}, NoOwner, detector.ControlPlaneFault},
		{detector.Control{}, Duplicate, detector.VIPSplit},
		{detector.Control{}, RogueMAC, detector.VIPSplit},
		{detector.Control{}, Orphan, ""},
		{detector.Control{}, Hollow, ""},
		{detector.Control{}, Flapping, ""},
		{detector.Control{}, StaleNeighbour, ""},
		{detector.Control{}, HalfOpen, ""},
		{detector.Control{}, OwnerMismatch, ""},
		{cpf, Duplicate, detector.ControlPlaneFault},
		{segment, Duplicate, detector.VIPSplit},
		{segment, Hollow, detector.SegmentFault},
	} {
		if got := Settle(test.before, []Finding{{Kind: test.kind, VIP: "internal"}}); got.Condition != test.want {
			t.Errorf("%s beside %q: %q, want %q", test.kind, test.before.Condition, got.Condition, test.want)
		}
	}
}
