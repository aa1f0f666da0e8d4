package evacuate

import (
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
)

func word(typed string) fence.Word {
	return fence.Word{By: "ann", Reason: "its plugs are pulled", Typed: typed}
}

// unheard is question6 where nobody has ever heard cmp1 and nothing is open: what
// only a person can decide.
func unheard(t *testing.T) question {
	q := question6(t)
	q.state = play(t, eInit, eHost)
	for i := range q.world.Nova.Services {
		q.state.host(i)
	}
	q.recovery = nil
	q.world.Verdicts["cmp1"] = detector.Verdict{Host: "cmp1", State: detector.Unknown, Reason: detector.ReasonNeverHeard, At: q.world.Now,
		View: detector.View{Host: "cmp1", At: q.world.Now}}
	q.world.Nova.Services["cmp1"] = nova.Service{Host: "cmp1", State: nova.StateDown}
	q.world.Fencing = nil // not even a method
	return q
}

// view changes what is seen of cmp1.
func (q *question) view(f func(v *detector.View)) {
	v := q.world.Verdicts["cmp1"]
	f(&v.View)
	q.world.Verdicts["cmp1"] = v
}

// TestConfirm spoils one thing at a time. Silence of exactly a minute is enough.
func TestConfirm(t *testing.T) {
	second := time.Second
	for _, tt := range []struct {
		name, refused string
		spoil         func(q *question)
	}{
		{"a host that nobody ever heard", "", func(*question) {}},
		{"silent for a minute", "", func(q *question) {
			q.world.Heard = map[nova.HostName]Heard{"cmp1": {At: q.world.Now.Add(-60 * second)}}
		}},
		{"a rack that fell as one", "", func(q *question) {
			q.world.Cloud = detector.Cloud{Condition: detector.SegmentFault, Domains: []detector.Domain{""}}
		}},
		{"a storm", "", func(q *question) {
			for _, h := range []nova.HostName{"cmp2", "cmp3"} {
				q.verdict(h, detector.Dead)
			}
		}},
		{"mode approve", "", func(q *question) { q.state.Mode = ModeApprove }},
		{"as many recoveries as allowed", "", func(q *question) { q.policy.Concurrency = 0 }},
		{"heard 59 s ago", "a sign of life is only 59s old", func(q *question) {
			q.world.Heard = map[nova.HostName]Heard{"cmp1": {At: q.world.Now.Add(-59 * second)}}
		}},
		{"one controller heard it 59 s ago", "ctl2 heard its heartbeat", func(q *question) {
			q.view(func(v *detector.View) {
				v.Controllers = []detector.Hearing{{Controller: "ctl1", HeardAge: -1}, {Controller: "ctl2", HeardAge: 59 * second}}
			})
		}},
		{"a network answers", "its storage network answered cmp4", func(q *question) {
			q.view(func(v *detector.View) {
				v.Probes = []detector.ProbeSight{{Observer: "cmp4", Network: "storage", Answer: detector.Answered, Age: second}}
			})
		}},
		{"a network answered until 40 s ago", "its storage network answered", func(q *question) {
			q.view(func(v *detector.View) {
				v.Probes = []detector.ProbeSight{{Observer: "cmp4", Network: "storage", Answer: detector.Silent, Age: second, Answered: 40 * second}}
			})
		}},
		{"its nova-compute is up", "its nova-compute reports", func(q *question) {
			q.view(func(v *detector.View) { v.Nova = &detector.ServiceSight{State: nova.StateUp, Age: second} })
		}},
		{"its nova-compute reported", "its nova-compute reports", func(q *question) {
			q.view(func(v *detector.View) {
				v.Nova = &detector.ServiceSight{State: nova.StateDown, Reported: true, Age: second}
			})
		}},
		{"its BMC reads on", "its BMC read on 3s ago", func(q *question) {
			q.view(func(v *detector.View) { v.Power = []detector.PowerSight{{Power: "on", Age: 3 * second}} })
		}},
		{"its BMC read on 59 s ago and reads off", "its BMC read on 59s ago", func(q *question) {
			q.view(func(v *detector.View) {
				v.LastOn, v.Power = 59*second, []detector.PowerSight{{Power: "off", Age: second}}
			})
		}},
		{"a new leader", "leads for 59s only", func(q *question) { q.world.Leader.Since = q.world.Now.Add(-59 * second) }},
		{"not the leader", "gate leader", func(q *question) { q.world.Leader.Is = false }},
		{"no quorum", "gate ledger", func(q *question) { q.world.Leader.Writable = false }},
		{"frozen", "gate freeze", func(q *question) { q.state.Frozen = true }},
		{"drained", "gate drain", func(q *question) { q.state.Drain = &Mark{By: "bob"} }},
		{"observe", "gate armed", func(q *question) { q.state.Mode = ModeObserve }},
		{"shadow for the host", "gate armed", func(q *question) { q.state.Hosts["cmp1"].Mode = &Setting{Mode: ModeShadow} }},
		{"maintenance", "in maintenance", func(q *question) { q.state.Hosts["cmp1"].Maintenance = true }},
		{"another evacuator", "gate maintenance", func(q *question) { q.service("cmp1", "Masakari detected host failed.") }},
		{"Nova silent", "gate control-plane", func(q *question) { q.world.Nova.At = q.world.Now.Add(-time.Minute) }},
		{"few controllers report", "gate control-plane", func(q *question) { q.world.Network.Fresh = 1 }},
		{"the fault is ours", "gate control-plane", func(q *question) { q.world.Cloud = detector.Cloud{Condition: detector.ControlPlaneFault} }},
		{"nothing to save", "gate protected", func(q *question) { q.world.Servers = nil }},
		{"unknown to the ledger", "does not know", func(q *question) { delete(q.state.Hosts, "cmp1") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q := unheard(t)
			tt.spoil(&q)
			c, err := Confirm("cmp1", word("cmp1"), q.state, *q.world, q.policy)
			if tt.refused == "" {
				if err != nil || c.Boot != "b1" || !c.Expires.After(q.world.Now) {
					t.Fatalf("%+v, %v", c, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.refused) {
				t.Errorf("%v, want %q", err, tt.refused)
			}
			if text := Consider("cmp1", "ann", q.state, *q.world, q.policy).Text(); !strings.Contains(text, "It would be refused now") {
				t.Errorf("the case does not say so:\n%s", text)
			}
		})
	}
	q := unheard(t)
	for typed, reason := range map[string]string{"": "r", "cmp2": "r", "CMP1": "r", "cmp1": ""} {
		if _, err := Confirm("cmp1", fence.Word{By: "ann", Typed: typed, Reason: reason}, q.state, *q.world, q.policy); err == nil {
			t.Errorf("typed %q, reason %q: taken", typed, reason)
		}
	}
}

// confirmed is a word for cmp1 as the ledger takes it.
func confirmed(boot string, change ...func(c *Confirmation)) Entry {
	w := word("cmp1")
	w.At, w.LastSign = t0, t0.Add(-time.Minute)
	c := &Confirmation{Word: w, Boot: boot, Expires: t0.Add(wordHolds)}
	for _, f := range change {
		f(c)
	}
	return Entry{Kind: KindConfirmDead, Host: "cmp1", By: "ann", At: t0, Confirm: c}
}

func byWordOf(e Entry, change ...func(r *fence.Record)) Entry {
	w := e.Confirm.Word
	rec := &fence.Record{Host: "cmp1", Boot: e.Confirm.Boot, Method: fence.MethodOperator, Word: &w}
	for _, f := range change {
		f(rec)
	}
	return Entry{Kind: KindStep, Recovery: "r1", Step: StepFence, Record: done(), Proof: rec, At: t0}
}

// TestApplyWord: only a word that waits in the ledger, for this host and boot, in
// its time and once, becomes a proof.
func TestApplyWord(t *testing.T) {
	opened := []Entry{eInit, eHost, eOpen}
	said := append(opened[:3:3], confirmed("b1"))
	spent := append(said[:4:4], byWordOf(confirmed("b1")))
	at := func(e Entry, d time.Duration) Entry { e.At = t0.Add(d); return e }
	approve := Entry{Kind: KindMode, Word: "approve"}
	for _, tt := range []struct {
		name    string
		history []Entry
		last    Entry
		refused string
	}{
		{"a word", opened, confirmed("b1"), ""},
		{"a word before any recovery", opened[:2], confirmed("b1"), ""},
		{"for another boot", opened, confirmed("b0"), "is for boot \"b1\""},
		{"for a boot that nobody knows", opened, confirmed(""), "is for boot \"b1\""},
		{"of another person than the entry's", opened, confirmed("b1", func(c *Confirmation) { c.Word.By = "bob" }), "in an entry of ann"},
		{"of another time than the entry's", opened, at(confirmed("b1"), time.Second), "in an entry of ann"},
		{"a sign of life", opened, confirmed("b1", func(c *Confirmation) { c.Word.LastSign = t0.Add(-59 * time.Second) }), "sign of life"},
		{"mistyped", opened, confirmed("b1", func(c *Confirmation) { c.Word.Typed = "cmp2" }), "typed again"},
		{"in maintenance", append(opened[:3:3], Entry{Kind: KindHostMaintenance, Host: "cmp1", Flag: true}), confirmed("b1"), "maintenance"},
		{"proven already", append(opened[:3:3], eFence, eProof), confirmed("b1"), "proven off already"},
		{"recovered", append(opened[:3:3], eFence, eProof, eReport), confirmed("b1"), "nothing waits"},
		{"being cancelled", append(opened[:3:3], Entry{Kind: KindCancel, Recovery: "r1"}), confirmed("b1"), "in maintenance"},

		{"used", said, byWordOf(confirmed("b1")), ""},
		{"nobody's", opened, byWordOf(confirmed("b1")), "nobody's word"},
		{"used twice", append(spent[:5:5], eVoid), byWordOf(confirmed("b1")), "nobody's word"},
		{"expired", said, at(byWordOf(confirmed("b1")), wordHolds+time.Second), "nobody's word"},
		{"void", append(said[:4:4], Entry{Kind: KindConfirmVoid, Host: "cmp1", Word: "heard"}), byWordOf(confirmed("b1")), "nobody's word"},
		{"void by a cancel", append(said[:4:4], Entry{Kind: KindCancel, Recovery: "r1"}), byWordOf(confirmed("b1")), "nobody's word"},
		{"void by a restore", append(said[:4:4], eRestored), byWordOf(confirmed("b1")), "nobody's word"},
		{"with another reason", said, byWordOf(confirmed("b1", func(c *Confirmation) { c.Word.Reason = "forged" })), "nobody's word"},
		{"for the boot after it", append(said[:4:4], eRefence), byWordOf(confirmed("b1")), "nobody's word"},
		{"for another host", said, byWordOf(confirmed("b1"), func(r *fence.Record) { r.Host = "cmp2" }), "typed again"},

		{"force-down on it", spent, eDown, ""},
		{"force-down on a void one", append(spent[:5:5], eVoid), eDown, "without a proof"},
		{"opens in mode approve", append(opened[:2:2], approve, confirmed("b1")), eOpen, ""},
		{"opens in mode approve, for another boot", append(opened[:2:2], approve, confirmed("b0")), eOpen, "no plan is approved"},
		{"opens in mode observe", append(opened[:2:2], Entry{Kind: KindMode, Word: "observe"}, confirmed("b1")), eOpen, "the mode is observe"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			takes(t, play(t, tt.history...), 1, tt.last, tt.refused)
		})
	}
	s := play(t, append(spent[:5:5], eVoid)...)
	if c := s.Hosts["cmp1"].Confirmed; c.Void != "heard" || c.Recovery != "r1" {
		t.Errorf("%+v", c)
	}
}

// TestDisproved: whatever lives after a person's word voids the proof that it
// became. Only where evacuations were sent is the host fenced again at once.
func TestDisproved(t *testing.T) {
	heard := func(boot string) func(q *question) {
		return func(q *question) {
			q.world.Heard = map[nova.HostName]Heard{"cmp1": {At: q.world.Now.Add(-time.Second), Boot: boot}}
		}
	}
	for _, tt := range []struct {
		name    string
		spoil   func(q *question)
		void    bool
		boot    string
		refence bool // where evacuations were sent
	}{
		{"silence", func(*question) {}, false, "", false},
		{"a heartbeat of before it", func(q *question) {
			q.world.Heard = map[nova.HostName]Heard{"cmp1": {At: t0.Add(-time.Minute), Boot: "b1"}}
		}, false, "", false},
		{"a heartbeat of its boot", heard("b1"), true, "", false},
		{"a heartbeat of a new boot", heard("b2"), true, "b2", true},
		{"a network answers", func(q *question) {
			q.view(func(v *detector.View) {
				v.Probes = []detector.ProbeSight{{Observer: "cmp4", Network: "tenant", Answer: detector.Answered, Age: time.Second}}
			})
		}, true, "", false},
		{"its nova-compute is up", func(q *question) {
			q.view(func(v *detector.View) { v.Nova = &detector.ServiceSight{State: nova.StateUp, Age: time.Second} })
		}, true, "", false},
		{"its BMC reads on", func(q *question) {
			q.view(func(v *detector.View) { v.Power = []detector.PowerSight{{Power: "on", Age: time.Second}} })
		}, true, "", true},
	} {
		for _, sent := range []bool{false, true} {
			t.Run(tt.name, func(t *testing.T) {
				q := unheard(t)
				q.state = play(t, eInit, eHost, eOpen, confirmed("b1"), byWordOf(confirmed("b1")), ePlan)
				if sent {
					q.state = play(t, eInit, eHost, eOpen, confirmed("b1"), byWordOf(confirmed("b1")), ePlan, eIntent)
				}
				tt.spoil(&q)
				c := NewCore(q.policy)
				c.state, c.world = q.state, *q.world
				void := c.contradicted(q.state.Recoveries["r1"])
				if void != tt.void || void != (len(c.ready.Commit) == 1) {
					t.Fatalf("void %t, %+v", void, c.ready.Commit)
				}
				if !void {
					return
				}
				if e := c.ready.Commit[0]; e.Kind != KindVoid || e.Boot != tt.boot || e.Flag != (tt.refence && sent) {
					t.Errorf("sent %t: %+v", sent, e)
				}
			})
		}
	}
}
