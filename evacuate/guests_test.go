package evacuate

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// libvirtCloud is a cloud whose hosts tell what they run, with three instances on cmp1.
func libvirtCloud(t *testing.T) *cloud {
	c := newCloud(t, 4)
	c.libvirt, c.mute = true, map[nova.HostName]bool{}
	for _, id := range []nova.ServerID{"vm1", "vm2", "vm3"} {
		c.addServer(id, "cmp1", nova.VMActive, c.start.Add(-time.Hour))
	}
	c.run(20 * time.Second)
	return c
}

func (c *cloud) journalHas(text string) bool {
	return slices.ContainsFunc(c.state.Journal, func(e Event) bool { return strings.Contains(e.Text, text) })
}

func timelineHas(r *Recovery, text string) bool {
	return slices.ContainsFunc(r.Timeline, func(e Event) bool { return strings.Contains(e.Text, text) })
}

// TestGuestsVerify: where the hypervisors tell, the record says that they were asked.
func TestGuestsVerify(t *testing.T) {
	for name, c := range map[string]struct {
		change func(c *cloud)
		want   string
	}{
		"all tell":     {func(*cloud) {}, "3 run at their destination as libvirt there says"},
		"nobody tells": {func(c *cloud) { c.libvirt = false }, "verify: done"},
	} {
		x := libvirtCloud(t)
		c.change(x)
		x.host("cmp1").off()
		x.run(3 * time.Minute)
		r := x.recovery("cmp1")
		if r == nil || r.Status != StatusRecovered || !timelineHas(r, c.want) {
			t.Errorf("%s: %+v has no %q", name, r.Timeline, c.want)
		}
		if name == "nobody tells" && timelineHas(r, "libvirt") {
			t.Errorf("%s: libvirt is named: %+v", name, r.Timeline)
		}
		if len(x.broken) > 0 {
			t.Errorf("%s: %v", name, x.broken)
		}
	}
}

// TestGuestsElsewhere: an instance that runs on another host is not sent there a second
// time, whatever Nova says; the others are, and it is as soon as the copy has ended.
func TestGuestsElsewhere(t *testing.T) {
	c := libvirtCloud(t)
	c.host("cmp1").off()
	c.run(2 * time.Second)
	c.host("cmp3").guests["vm2"] = true
	c.run(2 * time.Minute)
	r := c.recovery("cmp1")
	e := r.Evacuation("vm2")
	if c.posts["vm2"] != 0 || e.State != EvacPlanned || !strings.Contains(e.Waits, "it runs on cmp3") {
		t.Errorf("vm2 was sent %d times: %+v", c.posts["vm2"], e)
	}
	if c.posts["vm1"] != 1 || c.posts["vm3"] != 1 || r.Hold == nil || !strings.Contains(r.Hold.Reason, "it runs on cmp3") {
		t.Errorf("the others: %v, held %+v", c.posts, r.Hold)
	}
	delete(c.host("cmp3").guests, "vm2")
	c.run(time.Minute)
	if r = c.recovery("cmp1"); c.posts["vm2"] != 1 || r.Status != StatusRecovered {
		t.Errorf("the copy has ended: sent %d times, %s", c.posts["vm2"], r.Status)
	}
	if len(c.broken) > 0 {
		t.Error(c.broken)
	}
}

// TestGuestsPermits: what was promised before the copy was seen is not sent either.
func TestGuestsPermits(t *testing.T) {
	s := NewState()
	s.Mode = ModeAuto
	s.Hosts["cmp1"], s.Hosts["cmp3"] = &Host{Name: "cmp1"}, &Host{Name: "cmp3"}
	rec := proofOf("cmp1", "b1")
	s.Recoveries["r1"] = &Recovery{ID: "r1", Host: "cmp1", Boot: "b1", Status: StatusOpen, Proof: rec,
		Evacuations: []*Evacuation{{Server: "vm1", State: EvacIntent, Attempt: 1}}}
	a := Action{Recovery: "r1", Host: "cmp1", Boot: "b1", Step: StepEvacuate, Server: "vm1", Attempt: 1}
	sight := func(running ...nova.HostName) *detector.GuestSight {
		g := &detector.GuestSight{Told: map[nova.HostName]bool{"cmp1": true, "cmp3": true}, Running: map[nova.ServerID][]nova.HostName{}}
		if len(running) > 0 {
			g.Running["vm1"] = running
		}
		return g
	}
	twin := []Twin{{Server: "vm1", Hosts: []nova.HostName{"cmp1", "cmp3"}}}
	for name, c := range map[string]struct {
		guests *detector.GuestSight
		twins  []Twin
		ok     bool
	}{
		"nobody tells":                    {nil, nil, true},
		"it runs nowhere":                 {sight(), nil, true},
		"it runs where it died":           {sight("cmp1"), nil, true},
		"it runs elsewhere":               {sight("cmp3"), nil, false},
		"it ran elsewhere when last seen": {&detector.GuestSight{}, twin, false},
		"it ran elsewhere, and does not":  {sight(), twin, true},
	} {
		s.Guests = &GuestRecord{Twins: c.twins}
		w := World{Guests: c.guests}
		if err := PermitsNow(s, &w, DefaultPolicy(), a); (err == nil) != c.ok {
			t.Errorf("%s: %v, want permitted %t", name, err, c.ok)
		}
	}
}

// TestTwinFound: an instance that runs twice is told everywhere, nothing is done about it,
// and an evacuation that was verified is not any more.
func TestTwinFound(t *testing.T) {
	c := libvirtCloud(t)
	c.host("cmp1").off()
	c.run(2 * time.Minute)
	r := c.recovery("cmp1")
	if r.Status != StatusRecovered {
		t.Fatalf("not recovered: %s", r.Status)
	}
	dest := r.Evacuation("vm1").Dest
	other := nova.HostName("cmp2")
	if dest == other {
		other = "cmp3"
	}
	c.lied = true // the truth is broken by the test itself
	entries := len(c.entries)
	c.host(other).guests["vm1"] = true
	c.run(30 * time.Second)
	r = c.recovery("cmp1")
	twin := c.state.twin("vm1")
	if twin == nil || len(twin.Hosts) != 2 || twin.Name != "vm1" || !c.journalHas("INSTANCE RUNS TWICE: vm1") {
		t.Fatalf("not found: %+v, %+v", twin, c.state.Journal)
	}
	if !timelineHas(r, "NOT VERIFIED") || r.Evacuation("vm1").Twin == "" || r.Evacuation("vm2").Twin != "" {
		t.Errorf("still verified: %+v", r.Evacuation("vm1"))
	}
	if n := len(c.entries) - entries; n != 1 || len(c.flights) != 0 {
		t.Errorf("%d entries and %d calls for one finding", n, len(c.flights))
	}
	found := func(event string) bool {
		return slices.ContainsFunc(Notices(c.state), func(n Notice) bool { return n.Kind == NoticeGuest && n.Event == event })
	}
	if !found("found") || found("over") {
		t.Error("people are not told of it, or of its end")
	}
	c.mute[other] = true
	c.run(10 * time.Second)
	if c.state.twin("vm1") == nil {
		t.Error("forgotten, as one of its hosts tells nothing any more")
	}
	c.mute[other] = false
	delete(c.host(other).guests, "vm1")
	c.run(10 * time.Second)
	if c.state.twin("vm1") != nil || len(c.state.Guests.Past) != 1 || c.recovery("cmp1").Evacuation("vm1").Twin != "" || !found("over") {
		t.Errorf("it has ended: %+v", c.state.Guests)
	}
}

// TestTwinHoldsVerify: while one of its instances runs twice, an open recovery is not
// verified.
func TestTwinHoldsVerify(t *testing.T) {
	c := libvirtCloud(t)
	c.host("cmp1").off()
	c.lied = true
	for range 400 {
		if r := c.recovery("cmp1"); r != nil && r.Evacuation("vm1") != nil && r.Evacuation("vm1").State == EvacDone {
			break
		}
		c.step()
	}
	dest := c.recovery("cmp1").Evacuation("vm1").Dest
	for _, h := range c.hosts {
		if h.name != dest && h.name != "cmp1" {
			h.guests["vm1"] = true
		}
	}
	c.run(2 * time.Minute)
	r := c.recovery("cmp1")
	if r.Status != StatusOpen || r.Done(StepVerify) || r.Hold == nil || r.Hold.Step != StepVerify || !strings.Contains(r.Hold.Reason, "vm1 is to run on "+string(dest)) {
		t.Fatalf("%s, verified %t, held %+v", r.Status, r.Done(StepVerify), r.Hold)
	}
	for _, h := range c.hosts {
		if h.name != dest {
			delete(h.guests, "vm1")
		}
	}
	c.run(time.Minute)
	if r := c.recovery("cmp1"); r.Status != StatusRecovered || r.Hold != nil {
		t.Errorf("it has ended: %s, held %+v", r.Status, r.Hold)
	}
}

// TestGuestNotThere: an instance that Nova calls active and its host does not run is
// named, after a while.
func TestGuestNotThere(t *testing.T) {
	c := libvirtCloud(t)
	c.host("cmp1").off()
	for range 400 {
		for _, h := range c.hosts {
			delete(h.guests, "vm1")
		}
		c.step()
	}
	if r := c.recovery("cmp1"); r.Status != StatusRecovered || !timelineHas(r, "NOT RUNNING there: vm1") {
		t.Errorf("%s: %+v", r.Status, r.Timeline)
	}
}
