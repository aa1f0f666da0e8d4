package evacuate

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// leased is question6 where cmp1's fence failed with an unreachable BMC, and its
// watchdog has surely reset it.
func leased(t *testing.T) question {
	q := question6(t)
	q.state = play(t, eInit, eHost, eOpen, eFence)
	q.state.Recoveries["r1"].Steps[StepFence] = &StepRecord{Phase: PhaseFailed, Attempt: 1, Cause: string(fence.CauseUnreachable)}
	for h := range q.world.Nova.Services {
		q.state.host(h).Machine = machineOf(h)
	}
	now := q.world.Now
	c := fence.Covered{Boot: "b1", Start: "s1", Serial: 1, Armed: true,
		Terms: fence.Terms{Lease: 10 * time.Second, Timeout: 30 * time.Second, Voters: []string{"ctl1", "ctl2", "ctl3"}, Ring: []string{"cmp1", "cmp2", "cmp3"}}}
	old := now.Add(-2 * time.Minute)
	var heard []fence.Hearing
	for _, id := range c.Voters {
		heard = append(heard, fence.Hearing{Controller: id, Boot: "b1", Start: "s1", Heard: old, Until: now})
	}
	claims := []fence.Claim{{Host: "cmp2", From: old.Add(-time.Minute), To: now}, {Host: "cmp3", From: old.Add(-time.Minute), To: now}}
	e, err := c.Expiry("cmp1", "b1", heard, claims, now)
	if err != nil {
		t.Fatal(err)
	}
	q.world.Watchdogs = map[nova.HostName]WatchdogSight{"cmp1": {Expiry: &e}}
	return q
}

// TestProofsPolicy: what a person's word and the watchdog's expiry are worth, in each
// policy, alone and together.
func TestProofsPolicy(t *testing.T) {
	for _, tt := range []struct {
		policy        Proofs
		word, expired bool
		method        string // of the proof, "" for none
	}{
		{Proofs{}, true, false, fence.MethodOperator},
		{Proofs{}, false, true, fence.MethodWatchdog},
		{Proofs{}, false, false, ""},
		{Proofs{Word: Alone, Watchdog: Never}, false, true, ""},
		{Proofs{Word: Alone, Watchdog: Never}, true, true, fence.MethodOperator},
		{Proofs{Word: Never, Watchdog: Alone}, true, false, ""},
		{Proofs{Word: Never, Watchdog: Alone}, true, true, fence.MethodWatchdog},
		{Proofs{Word: Together, Watchdog: Together}, true, false, ""},
		{Proofs{Word: Together, Watchdog: Together}, false, true, ""},
		{Proofs{Word: Together, Watchdog: Together}, true, true, fence.MethodOperator},
		{Proofs{Word: Together, Watchdog: Alone}, true, false, ""},
		{Proofs{Word: Together, Watchdog: Alone}, false, true, fence.MethodWatchdog},
		{Proofs{Word: Alone, Watchdog: Together}, false, true, ""},
		{Proofs{Word: Never, Watchdog: Never}, true, true, ""},
	} {
		t.Run(fmt.Sprintf("word %s, watchdog %s: word %t, expired %t", tt.policy.Word, tt.policy.Watchdog, tt.word, tt.expired), func(t *testing.T) {
			if got := provenBy(t, leased(t), tt.policy, tt.word, tt.expired); got != tt.method {
				t.Errorf("%q, want %q", got, tt.method)
			}
		})
	}
	q := unheard(t)
	q.policy.Proofs.Word = Never
	if _, err := Confirm("cmp1", word("cmp1"), q.state, *q.world, q.policy); err == nil || !strings.Contains(err.Error(), "policy.proofs.word is never") {
		t.Error(err)
	}
}

// provenBy is the method of the proof that a person's word and the watchdog's expiry give
// where the policy is this, "" for none.
func provenBy(t *testing.T, q question, policy Proofs, word, expired bool) (method string) {
	t.Helper()
	q.policy.Proofs = policy
	if word {
		if err := q.state.Apply(50, 1, confirmed("b1").Clone()); err != nil {
			t.Fatal(err)
		}
	}
	if !expired {
		q.world.Watchdogs = nil
	}
	c := NewCore(q.policy)
	c.state, c.world, c.term, c.began = q.state, *q.world, 5, t0
	if r := q.state.Recoveries["r1"]; c.byWord(r) || c.byWatchdog(r) {
		for _, e := range c.ready.Commit {
			if e.Proof != nil {
				method = e.Proof.Method
			}
		}
	}
	return method
}

// TestReleases: the hold says what it looks like, and what would release it by the
// policy.
func TestReleases(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(q *question)
		says  []string
		never string
	}{
		{"alone in its rack", func(*question) {}, []string{"host and BMC are both silent", "its own watchdog has surely reset it by"}, "neighbours"},
		{"its rack too", func(q *question) { q.dark("cmp2", 10*time.Second); q.dark("cmp3", 11*time.Second) }, []string{"so are 2 of its 2 neighbours in rack1, since the same seconds"}, ""},
		{"a neighbour since long", func(q *question) { q.dark("cmp2", time.Hour) }, []string{"so are 1 of its 2 neighbours in rack1;"}, "the same seconds"},
		{"its feed too", func(q *question) {
			q.dark("cmp5", 9*time.Second)
			q.world.Domains = map[nova.HostName][]Domain{"cmp1": {{"psu", "a"}, {DomainZone, "az1"}}, "cmp5": {{"psu", "a"}, {DomainZone, "az1"}}}
		}, []string{"so are 1 of its 1 neighbours in psu a, since the same seconds"}, "zone"},
		{"no watchdog", func(q *question) { q.world.Watchdogs = nil }, []string{"it has no watchdog lease: what releases it is an answer of its BMC, a PDU as second method, or a person who has looked"}, ""},
		{"no watchdog, no word", func(q *question) { q.world.Watchdogs, q.policy.Proofs.Word = nil, Never }, []string{"what releases it is an answer of its BMC, or a PDU as second method"}, "confirm-dead"},
		{"both or none", func(q *question) { q.policy.Proofs = Proofs{Word: Together, Watchdog: Together} }, []string{"only together with the word of a person"}, ""},
		{"the word with a watchdog that it has not", func(q *question) { q.world.Watchdogs, q.policy.Proofs = nil, Proofs{Word: Together} }, []string{"a person's word alone is no proof here"}, "confirm-dead"},
		{"the watchdog is no proof", func(q *question) { q.policy.Proofs.Watchdog = Never }, []string{"or a person who has looked"}, "surely reset"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q := leased(t)
			for h, v := range q.world.Verdicts {
				if h <= "cmp3" {
					v.View.Domain = "rack1"
				}
				q.world.Verdicts[h] = v
			}
			q.dark("cmp1", 10*time.Second)
			tt.spoil(&q)
			c := NewCore(q.policy)
			c.state, c.world = q.state, *q.world
			text := c.releases(q.state.Recoveries["r1"])
			for _, want := range tt.says {
				if !strings.Contains(text, want) {
					t.Errorf("%q is not in %q", want, text)
				}
			}
			if tt.never != "" && strings.Contains(text, tt.never) {
				t.Errorf("%q is in %q", tt.never, text)
			}
		})
	}
}

// dark makes a host and its BMC silent for so long.
func (q *question) dark(h nova.HostName, silent time.Duration) {
	v := q.world.Verdicts[h]
	v.State, v.Silent = detector.Dead, silent
	v.View.Power = []detector.PowerSight{{Power: string(fence.Unknown), Cause: string(fence.CauseUnreachable), Age: time.Second}}
	q.world.Verdicts[h] = v
}
