package evacuate

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// readBack is what Nova tells of moved instances: one port each, a volume where it had one.
func (c *cloud) readBack(a Action) map[nova.ServerID]InstanceRead {
	out := map[nova.ServerID]InstanceRead{}
	for _, id := range a.Servers {
		s := c.server(id)
		if s == nil {
			continue
		}
		in := InstanceRead{Server: *s, Ports: []nova.Port{{ID: "p-" + string(id), State: nova.PortActive}}}
		in.Server.PowerState = nova.PowerRunning
		if s.VMState == nova.VMStopped {
			in.Server.PowerState = nova.PowerShutdown
		}
		for _, v := range s.VolumeIDs {
			in.Volumes = append(in.Volumes, nova.Volume{ID: v, Attachment: "a-" + v, Told: true})
		}
		if f := c.misread[id]; f != nil {
			f(&in, c.now)
		}
		out[id] = in
	}
	return out
}

// TestCheck: what an instance is to be like after it was moved.
func TestCheck(t *testing.T) {
	at := time.Date(2026, 11, 22, 6, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		was     string
		change  func(in *InstanceRead, b *Instance)
		wrong   string // in all of Wrong, "" for none
		unknown string
	}{
		"well": {nova.VMActive, func(*InstanceRead, *Instance) {}, "", ""},
		"stopped, as it was": {nova.VMStopped, func(in *InstanceRead, _ *Instance) {
			in.Server.VMState, in.Server.PowerState, in.Ports[0].State = nova.VMStopped, nova.PowerShutdown, "DOWN"
		}, "", ""},
		"was in error, runs":       {nova.VMError, func(*InstanceRead, *Instance) {}, "", ""},
		"was paused, runs":         {nova.VMPaused, func(*InstanceRead, *Instance) {}, "", ""},
		"stopped before, runs":     {nova.VMStopped, func(*InstanceRead, *Instance) {}, "Nova calls it active; it is to be stopped", ""},
		"ran before, stopped":      {nova.VMActive, func(in *InstanceRead, _ *Instance) { in.Server.VMState = nova.VMStopped }, "Nova calls it stopped; it is to be active", ""},
		"in error":                 {nova.VMActive, func(in *InstanceRead, _ *Instance) { in.Server.VMState, in.Server.Fault = nova.VMError, "no disk" }, "Nova calls it error: no disk", ""},
		"its guest is off":         {nova.VMActive, func(in *InstanceRead, _ *Instance) { in.Server.PowerState = nova.PowerShutdown }, "its power state is 4", ""},
		"its guest runs":           {nova.VMStopped, func(in *InstanceRead, _ *Instance) { in.Server.VMState = nova.VMStopped }, "its power state is 1", ""},
		"its power is not told":    {nova.VMActive, func(in *InstanceRead, _ *Instance) { in.Server.PowerState = nova.PowerNoState }, "", "its power state"},
		"not locked any more":      {nova.VMActive, func(_ *InstanceRead, b *Instance) { b.Locked = true }, "it was locked, and is not", ""},
		"a volume is gone":         {nova.VMActive, func(in *InstanceRead, _ *Instance) { in.Volumes = in.Volumes[:1] }, "volume v2 is not attached any more", ""},
		"a volume hangs":           {nova.VMActive, func(in *InstanceRead, _ *Instance) { in.Volumes[0].Attachment = "" }, "volume v1 has no attachment", ""},
		"an old Nova":              {nova.VMActive, func(in *InstanceRead, _ *Instance) { in.Volumes[0] = nova.Volume{ID: "v1"} }, "", ""},
		"volumes not read":         {nova.VMActive, func(in *InstanceRead, _ *Instance) { in.Volumes, in.VolumesErr = nil, "HTTP 500" }, "", "its volumes: HTTP 500"},
		"a port is down":           {nova.VMActive, func(in *InstanceRead, _ *Instance) { in.Ports[0].State = "DOWN" }, "port p1 is DOWN", ""},
		"a port of no known state": {nova.VMActive, func(in *InstanceRead, _ *Instance) { in.Ports[0].State = "N/A" }, "", "the state of port p1"},
		"a port is gone":           {nova.VMActive, func(in *InstanceRead, _ *Instance) { in.Ports = nil }, "its port with fa:16:3e:00:00:01 is gone", ""},
		"ports not read":           {nova.VMActive, func(in *InstanceRead, _ *Instance) { in.Ports, in.PortsErr = nil, "HTTP 500" }, "", "its ports: HTTP 500"},
	} {
		was := &Instance{ID: "vm1", Volumes: []string{"v1", "v2"}, MACs: []string{"fa:16:3e:00:00:01"}}
		in := InstanceRead{Server: nova.Server{ID: "vm1", Host: "cmp2", VMState: nova.VMActive, PowerState: nova.PowerRunning},
			Volumes: []nova.Volume{{ID: "v1", Attachment: "a1", Told: true}, {ID: "v2", Attachment: "a2", Told: true}},
			Ports:   []nova.Port{{ID: "p1", MAC: "FA:16:3E:00:00:01", State: nova.PortActive}}}
		c.change(&in, was)
		k := (&Evacuation{Server: "vm1", VMState: c.was, Dest: "cmp2"}).check(was, in, at)
		one := func(what string, got []string, want string) {
			if want == "" && len(got) > 0 || want != "" && (len(got) != 1 || !strings.Contains(got[0], want)) {
				t.Errorf("%s: %s %q, want %q", name, what, got, want)
			}
		}
		one("wrong", k.Wrong, c.wrong)
		one("unknown", k.Unknown, c.unknown)
		if k.Verified() != (c.wrong+c.unknown == "") || !strings.Contains(k.Text(), c.wrong) || !strings.Contains(k.Text(), c.unknown) {
			t.Errorf("%s: verified %t: %s", name, k.Verified(), k.Text())
		}
		if unseen := (&Evacuation{VMState: c.was}).check(nil, in, at); c.wrong == "" && len(unseen.Wrong) > 0 {
			t.Errorf("%s: not known before, and yet wrong: %q", name, unseen.Wrong)
		}
	}
}

// TestVerifyWaits: what is wrong may become right for a while, then it stands in the
// record, and holds nobody; what can't be read is asked for a few times, and is not known.
func TestVerifyWaits(t *testing.T) {
	down := func(in *InstanceRead, _ time.Time) { in.Ports[0].State = "DOWN" }
	dumb := func(in *InstanceRead, _ time.Time) { in.Ports, in.PortsErr = nil, "HTTP 500" }
	for name, c := range map[string]struct {
		misread func(*InstanceRead, time.Time)
		least   time.Duration // from the first look to the end
		most    time.Duration
		text    string
		words   string
	}{
		"all well":           {nil, 0, time.Second, "verified (volumes 0, ports 1)", "2 of 2 instances verified"},
		"wired 20 s later":   {down, 15 * time.Second, 30 * time.Second, "verified (volumes 0, ports 1)", "2 of 2 instances verified"},
		"never wired":        {down, time.Minute, 70 * time.Second, "NOT VERIFIED: port p-vm1 is DOWN", "1 of 2 instances verified"},
		"ports are not told": {dumb, 10 * time.Second, 20 * time.Second, "not known: its ports: HTTP 500", "1 of 2 instances verified"},
	} {
		x := newCloud(t, 4)
		var first time.Time
		x.misread = map[nova.ServerID]func(*InstanceRead, time.Time){"vm1": func(in *InstanceRead, now time.Time) {
			if first.IsZero() {
				first = now
			}
			if c.misread != nil && (name != "wired 20 s later" || now.Sub(first) < 20*time.Second) {
				c.misread(in, now)
			}
		}}
		for _, id := range []nova.ServerID{"vm1", "vm2"} {
			x.addServer(id, "cmp1", nova.VMActive, x.start.Add(-time.Hour))
		}
		x.run(20 * time.Second)
		x.host("cmp1").off()
		x.run(3 * time.Minute)
		r := x.recovery("cmp1")
		e := r.Evacuation("vm1")
		if took := r.Recovered.Sub(first); r.Status != StatusRecovered || took < c.least || took > c.most {
			t.Errorf("%s: %s %s after the first look, held %+v", name, r.Status, took, r.Hold)
		}
		if e.Check == nil || !strings.Contains(e.Check.Text(), c.text) || !timelineHas(r, c.words) || !strings.Contains(r.Text(), c.text) {
			t.Errorf("%s: %+v in %s", name, e.Check, r.Text())
		}
		wrong, unknown := r.Unverified()
		if bad := wrong+unknown > 0; bad == e.Check.Verified() || !r.Evacuation("vm2").Check.Verified() {
			t.Errorf("%s: %d wrong, %d not known", name, wrong, unknown)
		}
		if k := r.Report().Instances[slices.IndexFunc(r.Report().Instances, func(i InstanceReport) bool { return i.ID == "vm1" })].Check; k != e.Check {
			t.Errorf("%s: the report has %+v", name, k)
		}
		if steps := r.Steps[StepVerify]; steps.Attempt != 1 {
			t.Errorf("%s: %d attempts are journalled for one", name, steps.Attempt)
		}
	}
}
