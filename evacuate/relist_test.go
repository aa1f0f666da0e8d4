package evacuate

import (
	"reflect"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// listedRecovery is one of a host that is off and was listed, with an instance that was
// left and one that was moved.
func listedRecovery(t *testing.T) (*cloud, *Recovery) {
	c := newCloud(t, 3)
	c.addServer("vm1", "cmp1", nova.VMActive, c.start)
	left := c.addServer("vm2", "cmp1", nova.VMActive, c.start)
	left.VolumeBooted = false
	c.host("cmp1").off()
	c.run(40 * time.Second)
	r := c.recovery("cmp1")
	if r == nil || r.Status != StatusRecovered {
		t.Fatalf("not recovered:\n%s", logOf(c))
	}
	return c, r
}

// TestApplyTakesUp: what a later list brings is taken only of a host that is off by a proof
// that holds and was not asked back.
func TestApplyTakesUp(t *testing.T) {
	for _, tt := range []struct {
		name    string
		before  func(c *cloud, r *Recovery)
		bring   Evacuation
		refused bool
		status  Status
	}{
		{"a new one", nil, Evacuation{Server: "new", State: EvacPlanned}, false, StatusOpen},
		{"a new one, both its ends to be read", nil, Evacuation{Server: "new", State: EvacHeld}, false, StatusOpen},
		{"a new one that is left", nil, Evacuation{Server: "new", State: EvacSkipped}, false, StatusRecovered},
		{"one that had been left", nil, Evacuation{Server: "vm2", State: EvacPlanned}, false, StatusOpen},
		{"amid its verification", func(_ *cloud, r *Recovery) { r.Status = StatusOpen; delete(r.Steps, StepReport) }, Evacuation{Server: "new", State: EvacPlanned}, false, StatusOpen},
		{"its proof is void", func(_ *cloud, r *Recovery) { r.Void = "it was heard" }, Evacuation{Server: "new", State: EvacPlanned}, true, StatusRecovered},
		{"one that was left, its proof is void", func(_ *cloud, r *Recovery) { r.Void = "it was heard" }, Evacuation{Server: "vm2", State: EvacPlanned}, true, StatusRecovered},
		{"it is asked back", func(_ *cloud, r *Recovery) { r.Status = StatusReturning }, Evacuation{Server: "new", State: EvacPlanned}, true, StatusReturning},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, r := listedRecovery(t)
			if tt.before != nil {
				tt.before(c, r)
			}
			was := r.Status
			err := c.apply(Entry{Kind: KindEvacuations, Recovery: r.ID, At: c.now, Evacuations: []*Evacuation{&tt.bring}, Before: []Instance{{ID: tt.bring.Server, Locked: true}}})
			if (err != nil) != tt.refused || r.Status != tt.status {
				t.Fatalf("got %v and status %s", err, r.Status)
			}
			if tt.refused {
				return
			}
			if again := r.Steps[StepForceDown].Phase == PhaseFailed; again != (was == StatusRecovered && tt.status == StatusOpen) {
				t.Errorf("its power is read anew: %t", again)
			}
			if r.Done(StepVerify) == (tt.status == StatusOpen) {
				t.Errorf("verified: %t", r.Done(StepVerify))
			}
			if b := r.before("new"); tt.bring.Server == "new" && (b == nil || !b.Locked) {
				t.Errorf("as it was found: %+v", b)
			}
		})
	}
}

// TestAskRelist: who may be asked for another list, and which list answers.
func TestAskRelist(t *testing.T) {
	for _, tt := range []struct {
		name   string
		before func(r *Recovery)
		ok     bool
	}{
		{"recovered", func(*Recovery) {}, true},
		{"open", func(r *Recovery) { r.Status = StatusOpen }, true},
		{"not listed yet", func(r *Recovery) { delete(r.Steps, StepList) }, false},
		{"its proof is void", func(r *Recovery) { r.Void = "it was heard" }, false},
		{"it is asked back", func(r *Recovery) { r.Status = StatusReturning }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, r := listedRecovery(t)
			tt.before(r)
			err := c.operator(Entry{Kind: KindRelist, Recovery: r.ID})
			if (err == nil) != tt.ok || (r.Relist != nil) != tt.ok {
				t.Errorf("got %v, %v", err, r.Relist)
			}
		})
	}
	t.Run("a list from before it answers nobody", func(t *testing.T) {
		c, r := listedRecovery(t)
		c.server("vm2").VolumeBooted = true
		if err := c.operator(Entry{Kind: KindRelist, Recovery: r.ID}); err != nil {
			t.Fatal(err)
		}
		a := Action{Recovery: r.ID, Host: r.Host, Step: StepRelist, Term: c.term, Asked: true, Since: c.now.Add(-time.Second)}
		got := c.core.Done(c.state, c.world(), Outcome{Action: a, OK: true, Servers: c.on("cmp1")})
		if len(got.Commit) > 0 {
			t.Errorf("got %+v", got.Commit)
		}
		a.Since = r.Relist.At
		got = c.core.Done(c.state, c.world(), Outcome{Action: a, OK: true, Servers: c.on("cmp1")})
		if len(got.Commit) != 2 || got.Commit[0].Evacuations[0].State != EvacPlanned || !got.Commit[1].Flag {
			t.Errorf("got %+v", got.Commit)
		}
	})
	t.Run("a list of a host that was heard is nothing", func(t *testing.T) {
		c, r := listedRecovery(t)
		r.Void = "it was heard"
		c.addServer("vm3", "cmp1", nova.VMStopped, c.start)
		a := Action{Recovery: r.ID, Host: r.Host, Step: StepRelist, Term: c.term}
		if got := c.core.Done(c.state, c.world(), Outcome{Action: a, OK: true, Servers: c.on("cmp1")}); len(got.Commit) > 0 {
			t.Errorf("got %+v", got.Commit)
		}
	})
}

// TestUnlisted: which servers of a list are chosen about.
func TestUnlisted(t *testing.T) {
	r := &Recovery{Evacuations: []*Evacuation{
		{Server: "done", State: EvacDone}, {Server: "sent", State: EvacFollowing}, {Server: "failed", State: EvacFailed},
		{Server: "left", State: EvacSkipped}, {Server: "watched", State: EvacSkipped, Revisit: true}}}
	servers := []nova.Server{{ID: "done"}, {ID: "sent"}, {ID: "failed"}, {ID: "left"}, {ID: "watched"}, {ID: "new"}}
	for _, tt := range []struct {
		asked bool
		want  []nova.ServerID
	}{{false, []nova.ServerID{"new"}}, {true, []nova.ServerID{"left", "new"}}} {
		var got []nova.ServerID
		for _, s := range r.unlisted(servers, tt.asked) {
			got = append(got, s.ID)
		}
		if !reflect.DeepEqual(got, tt.want) {
			t.Errorf("asked %t: got %v, want %v", tt.asked, got, tt.want)
		}
	}
}

// TestAnew: a new choice keeps what was done with an instance.
func TestAnew(t *testing.T) {
	old := Evacuation{Server: "vm1", VMState: nova.VMStopped, State: EvacSkipped, Reason: "not protected any more", Attempt: 2, AfterRow: 7, Judged: 7,
		Losses: []Loss{{Host: "cmp2", Row: 5}}, Doubts: []Doubt{{Host: "cmp3", Row: 7}}, Avoid: []nova.HostName{"cmp3"}, Refusals: 3, Waits: "x"}
	want := old
	want.State, want.Reason, want.Refusals, want.Waits = EvacPlanned, "", 0, ""
	if got := old.anew(&Evacuation{Server: "vm1", VMState: nova.VMActive, State: EvacPlanned}); !reflect.DeepEqual(got, &want) {
		t.Errorf("got %+v", got)
	}
	for name, fresh := range map[string]*Evacuation{
		"as it was": {State: EvacSkipped, Reason: old.Reason},
		"a reset after the first attempt is none": {State: EvacPlanned, Reset: ResetNeeded},
	} {
		if got := old.anew(fresh); got != nil {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}
