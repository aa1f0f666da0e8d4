package evacuate

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// verbOfStates plays what becomes of instances that are neither active nor stopped.
func (c *cloud) verbOfStates(f []string, arg func(int) string) error {
	id := nova.ServerID(arg(1))
	switch f[0] {
	case "moving": // server, other host, status of its row
		s := c.server(id)
		s.TaskState = nova.TaskMigrating
		for i := range c.moves {
			if c.moves[i].Server == id {
				c.moves[i].Status = nova.MigrationStatus(arg(3))
				return nil
			}
		}
		c.moves = append(c.moves, nova.Migration{ID: 100 + len(c.moves), Server: id, Type: nova.TypeLiveMigration,
			Status: nova.MigrationStatus(arg(3)), Source: s.Host, Dest: nova.HostName(arg(2)), CreatedAt: c.now})
	case "arrives": // its live migration ends by itself
		s := c.server(id)
		s.Host, s.TaskState = nova.HostName(arg(2)), ""
		c.host(s.Host).guests[id] = true
	case "row-closed": // by hand, in the database
		for _, r := range c.rows {
			if r.Server == id && r.Status == nova.MigrationAccepted {
				r.Status = nova.MigrationError
			}
		}
	case "error": // what was moving it has given up and left it so
		s := c.server(id)
		s.VMState, s.TaskState = nova.VMError, ""
	case "task": // its owner asks for something that its dead host is to do
		c.server(id).TaskState = arg(2)
	case "state": // a person sets it
		s := c.server(id)
		s.VMState, s.TaskState = arg(2), ""
	case "libvirt": // its hosts tell, but for those named
		c.libvirt, c.mute = true, map[nova.HostName]bool{}
		for _, h := range f[1:] {
			c.mute[nova.HostName(h)] = true
		}
	case "copy": // server, host: it runs there
		c.host(nova.HostName(arg(2))).guests[id] = arg(3) != "ends"
	case "restart":
		c.policy.Restart = f[1:]
		c.core = NewCore(c.policy)
	case "reset":
		c.resetFate[id] = f[2:]
	case "ram": // host, MiB
		if c.ram == nil {
			c.ram = map[nova.HostName]int{}
		}
		n, err := strconv.Atoi(arg(2))
		c.ram[nova.HostName(id)] = n
		return err
	case "size": // server, MiB
		n, err := strconv.Atoi(arg(2))
		c.server(id).RAMMiB = n
		return err
	case "apart", "together": // group, servers
		for _, s := range f[2:] {
			if f[0] == "apart" {
				c.server(nova.ServerID(s)).Apart = []string{arg(1)}
			} else {
				c.server(nova.ServerID(s)).Together = []string{arg(1)}
			}
		}
	case "home":
		c.homeFate[nova.ServerID(id)] = f[2:]
	case "lives":
		c.server(nova.ServerID(id)).Host = nova.HostName(arg(2))
	case "image": // its disk is a copy of an image
		c.server(id).VolumeBooted = false
	case "lock":
		c.server(nova.ServerID(id)).Locked = true
	case "deaf":
		c.deaf[nova.ServerID(id)] = arg(2) != "no-more"
	case "refuses":
		c.refused[nova.HostName(id)] = true
	case "reserved":
		c.reserved = append(c.reserved, nova.HostName(id))
	case "affinity":
		c.policy.Affinity = Affinity(arg(1))
		c.core = NewCore(c.policy)
	default:
		return c.verbOfAsks(f, arg)
	}
	return nil
}

// reset is the call that must meet no rebuild.
func (c *cloud) reset(f *flight, o *Outcome) time.Duration {
	c.needProof(f)
	a := f.a
	s, e := c.server(a.Server), c.state.Recoveries[a.Recovery].Evacuation(a.Server)
	if e.State != EvacReset || e.Resets != a.Attempt {
		c.breaks("reset of %s without its committed intent", a.Server)
	}
	for _, m := range c.rows {
		if m.Server == a.Server && !m.Status.Terminal() {
			c.breaks("reset of %s beside row %d, which is %s", a.Server, m.ID, m.Status)
		}
	}
	fate := next(c.resetFate, a.Server)
	switch {
	case s == nil:
		o.OK, o.Definite, o.Cause, o.Detail = false, true, string(nova.FaultNotFound), "no such server"
		return pulse
	case fate == "refused":
		o.OK, o.Definite, o.Cause, o.Detail = false, true, string(nova.FaultRefused), "forbidden (HTTP 403)"
		return pulse
	case fate != "lost":
		s.VMState, s.TaskState = nova.VMError, ""
	}
	if fate == "lost" || fate == "timeout" {
		o.OK, o.Detail = false, "no answer in time"
		return 10 * time.Second
	}
	return pulse
}

// TestResetRefused: the ledger takes a reset with a proof only, before the first POST,
// and one at a time.
func TestResetRefused(t *testing.T) {
	c := newCloud(t, 3)
	s := c.addServer("vm", "cmp1", nova.VMPaused, c.start)
	c.policy.Restart = []string{nova.VMPaused}
	c.core = NewCore(c.policy)
	c.host("cmp1").off()
	for r := c.recovery("cmp1"); r == nil || r.Evacuation("vm") == nil; r = c.recovery("cmp1") {
		if c.step(); c.now.Sub(c.start) > time.Minute {
			t.Fatal("it was never planned")
		}
	}
	r, e := c.recovery("cmp1"), *c.recovery("cmp1").Evacuation("vm")
	if e.State != EvacPlanned || e.Reset != ResetNeeded || s.VMState != nova.VMPaused {
		t.Fatalf("planned as %+v", e)
	}
	for name, row := range map[string]struct {
		change func(old, n *Evacuation)
		void   string
		want   string
	}{
		"good":             {func(_, _ *Evacuation) {}, "", ""},
		"no proof":         {func(_, _ *Evacuation) {}, "a heartbeat", "without a proof"},
		"evacuated before": {func(old, _ *Evacuation) { old.Attempt = 1 }, "", "evacuated already"},
		"on its way":       {func(old, _ *Evacuation) { old.State = EvacFollowing }, "", "not planned"},
		"promised":         {func(old, _ *Evacuation) { old.State = EvacIntent }, "", "not planned"},
		"a reset skipped":  {func(_, n *Evacuation) { n.Resets = 2 }, "", "not planned"},
		"twice at once":    {func(old, n *Evacuation) { old.State, old.Resets, n.Resets = EvacReset, 1, 2 }, "", "not planned"},
	} {
		was, n := e, e
		n.State, n.Resets = EvacReset, 1
		row.change(&was, &n)
		*r.Evacuation("vm"), r.Void = was, row.void
		err := r.resettable(&n)
		if row.want == "" && err != nil || row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)) {
			t.Errorf("%s: %v, want %q", name, err, row.want)
		}
	}
}

// A reset that was decided is not sent once the ledger says otherwise.
func TestResetPermitted(t *testing.T) {
	c := newCloud(t, 3)
	c.addServer("vm", "cmp1", nova.VMPaused, c.start)
	c.policy.Restart = []string{nova.VMPaused}
	c.core = NewCore(c.policy)
	c.host("cmp1").off()
	for c.recovery("cmp1") == nil || c.recovery("cmp1").Evacuation("vm") == nil || c.recovery("cmp1").Evacuation("vm").State != EvacReset {
		if c.step(); c.now.Sub(c.start) > time.Minute {
			t.Fatal("it was never reset")
		}
	}
	r := c.recovery("cmp1")
	a := Action{Recovery: r.ID, Host: "cmp1", Boot: r.Boot, Step: StepReset, Server: "vm", Attempt: 1}
	if err := c.state.Permits(a); err != nil {
		t.Errorf("as promised: %v", err)
	}
	late := a
	late.Attempt = 2
	if c.state.Permits(late) == nil {
		t.Error("another reset than the one that was promised is permitted")
	}
	r.Void = "a heartbeat"
	if c.state.Permits(a) == nil {
		t.Error("permitted on a void proof")
	}
}

// What was read before the other end was proven off does not speak of it: its rebuild may
// have ended since.
func TestBothEndsAfterTheProof(t *testing.T) {
	for name, tt := range map[string]struct {
		began time.Duration // of the look, from when the proof was first seen
		moves bool
	}{
		"before it": {-time.Second, false},
		"after it":  {time.Second, true},
	} {
		c := aiming()
		at := t0.Add(-time.Minute)
		c.state.Recoveries["r2"] = &Recovery{ID: "r2", Host: "cmp2", Boot: "b1", Status: StatusOpen, Proof: &fence.Record{Host: "cmp2", Boot: "b1", Method: "redfish", Commanded: at,
			Readings: []fence.Reading{{Method: "redfish", Power: fence.Off, Began: at.Add(time.Second), Ended: at.Add(time.Second)}, {Method: "redfish", Power: fence.Off, Began: at.Add(3 * time.Second), Ended: at.Add(3 * time.Second)}}}}
		c.sawFirst("off r2")
		e := &Evacuation{Server: "vm1", State: EvacHeld}
		s := nova.Server{ID: "vm1", Host: "cmp1", VMState: nova.VMActive, TaskState: nova.TaskMigrating, VolumeBooted: true, LaunchedAt: t0}
		n := c.bothEnds(&Recovery{ID: "r1", Host: "cmp1", Boot: "b1", Proof: proofOf("cmp1", "b1")}, e, &Observation{Began: t0.Add(tt.began), Ends: true, Source: map[nova.ServerID]nova.Server{"vm1": s},
			Moves: []nova.Migration{{ID: 1, Server: "vm1", Type: nova.TypeLiveMigration, Status: "running", Source: "cmp1", Dest: "cmp2", CreatedAt: t0}}})
		if moves := n != nil && n.State == EvacPlanned; moves != tt.moves {
			t.Errorf("%s: moves %t (%+v)", name, moves, n)
		}
	}
}
