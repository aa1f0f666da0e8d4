package evacuate

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// Check is what was read of one instance after it was moved. What could not be read is not
// known, and never wrong.
type Check struct {
	At      time.Time `json:"at"`
	Wrong   []string  `json:"wrong,omitempty"`
	Unknown []string  `json:"unknown,omitempty"`
	// Volumes and Ports are how many are attached, and how many are there.
	Volumes int `json:"volumes,omitempty"`
	Ports   int `json:"ports,omitempty"`
}

// Verified says that all was read, and all is as it is to be.
func (k *Check) Verified() bool { return k != nil && len(k.Wrong)+len(k.Unknown) == 0 }

// Text is the check on one line.
func (k *Check) Text() string {
	var parts []string
	if len(k.Wrong) > 0 {
		parts = append(parts, "NOT VERIFIED: "+strings.Join(k.Wrong, ", "))
	}
	if len(k.Unknown) > 0 {
		parts = append(parts, "not known: "+strings.Join(k.Unknown, ", "))
	}
	if len(parts) == 0 {
		return fmt.Sprintf("verified (volumes %d, ports %d)", k.Volumes, k.Ports)
	}
	return strings.Join(parts, "; ")
}

// InstanceRead is what was read of one instance; an error says why something was not.
type InstanceRead struct {
	Server     nova.Server
	Volumes    []nova.Volume
	VolumesErr string
	Ports      []nova.Port
	PortsErr   string
}

// check compares an instance with what it was before anything; was is nil where it is
// not known.
func (e *Evacuation) check(was *Instance, in InstanceRead, at time.Time) *Check {
	k := &Check{At: at}
	wrong := func(format string, args ...any) { k.Wrong = append(k.Wrong, fmt.Sprintf(format, args...)) }
	s, want := in.Server, nova.VMActive
	if e.VMState == nova.VMStopped {
		want = nova.VMStopped
	}
	switch {
	case s.Host == "":
		wrong("it is on no host")
	case s.VMState == nova.VMError:
		wrong("Nova calls it error%s", because(s.Fault))
	case s.VMState != want:
		wrong("Nova calls it %s; it is to be %s", s.VMState, want)
	case s.PowerState == nova.PowerNoState:
		k.Unknown = append(k.Unknown, "its power state")
	case want == nova.VMActive && s.PowerState != nova.PowerRunning, want == nova.VMStopped && s.PowerState == nova.PowerRunning:
		wrong("it is %s, and its power state is %d", s.VMState, s.PowerState)
	}
	if was != nil && was.Locked && !s.Locked {
		wrong("it was locked, and is not")
	}
	k.ofVolumes(was, in)
	k.ofPorts(was, in, want)
	return k
}

func (k *Check) ofVolumes(was *Instance, in InstanceRead) {
	if in.VolumesErr != "" {
		k.Unknown = append(k.Unknown, "its volumes"+because(in.VolumesErr))
		return
	}
	for _, v := range in.Volumes {
		if v.Told && v.Attachment == "" {
			k.Wrong = append(k.Wrong, fmt.Sprintf("volume %s has no attachment", v.ID))
			continue
		}
		k.Volumes++
	}
	if was == nil {
		return
	}
	for _, id := range was.Volumes {
		if !slices.ContainsFunc(in.Volumes, func(v nova.Volume) bool { return v.ID == id }) {
			k.Wrong = append(k.Wrong, fmt.Sprintf("volume %s is not attached any more", id))
		}
	}
}

func (k *Check) ofPorts(was *Instance, in InstanceRead, want string) {
	if in.PortsErr != "" {
		k.Unknown = append(k.Unknown, "its ports"+because(in.PortsErr))
		return
	}
	k.Ports = len(in.Ports)
	for _, p := range in.Ports {
		switch {
		case want != nova.VMActive || p.State == nova.PortActive:
		case p.State == "" || p.State == "N/A":
			k.Unknown = append(k.Unknown, fmt.Sprintf("the state of port %s", p.ID))
		default:
			k.Wrong = append(k.Wrong, fmt.Sprintf("port %s is %s", p.ID, p.State))
		}
	}
	if was == nil {
		return
	}
	for _, mac := range was.MACs {
		if !slices.ContainsFunc(in.Ports, func(p nova.Port) bool { return strings.EqualFold(p.MAC, mac) }) {
			k.Wrong = append(k.Wrong, fmt.Sprintf("its port with %s is gone", mac))
		}
	}
}

const (
	// checkPatience is how long what is wrong may take to become right: a port is wired
	// seconds after its guest runs. checkAgain is the pause between two looks.
	checkPatience = time.Minute
	checkAgain    = 5 * time.Second
	// unknownPatience is that for what could not be read: Nova is not asked for long.
	unknownPatience = 12 * time.Second
)

func (r *Recovery) before(id nova.ServerID) *Instance {
	if i := slices.IndexFunc(r.Before, func(b Instance) bool { return b.ID == id }); i >= 0 {
		return &r.Before[i]
	}
	return nil
}

func checkKey(r *Recovery) string { return string(r.ID) + " verify" }

// verify reads the moved servers back from Nova, once no hypervisor contradicts; those
// again that are not as they are to be yet. One recovery at a time: Nova may be busy.
func (c *Core) verify(r *Recovery) {
	against, wait, _ := c.placed(r)
	switch {
	case against != "":
		c.hold(r, Hold{Step: StepVerify, Reason: against})
		return
	case wait || c.verifying(r):
		return
	}
	a := act(r, StepVerify)
	a.Since = r.Opened
	for _, e := range r.Evacuations {
		if e.checkable() && !c.checks[r.ID][e.Server].Verified() {
			a.Servers = append(a.Servers, e.Server)
		}
	}
	if rec := r.Steps[StepVerify]; rec != nil && rec.Phase == PhaseIntent && rec.Term == c.term {
		a.Attempt = rec.Attempt
		c.start(r, a) // the same attempt looks once more: it writes nothing
		return
	}
	c.begin(r, a, "")
}

// checkable says that it is to be read once more: one that was passed on is another recovery's.
func (e *Evacuation) checkable() bool { return e.State == EvacDone && e.Stop != StopPassed }

// verifying says that another recovery's instances are being read.
func (c *Core) verifying(r *Recovery) bool {
	for k := range c.flight {
		if k.step == StepVerify && k.recovery != r.ID {
			return true
		}
	}
	return false
}

// verified takes the outcome of verify: what the hypervisors say by then stands with it,
// and what was read of each instance in its journal.
func (c *Core) verified(r *Recovery, o Outcome) {
	if r.Steps[StepVerify] == nil {
		return // there is more to move by now
	}
	if !o.OK {
		c.stepDone(r, o, "")
		return
	}
	against, _, words := c.placed(r)
	if against != "" {
		o.OK, o.Detail = false, against
		c.stepDone(r, o, "")
		return
	}
	if c.checks[r.ID] == nil {
		c.checks[r.ID] = map[nova.ServerID]*Check{}
	}
	wrong, unknown := 0, 0
	var changed []*Evacuation
	for _, e := range r.Evacuations {
		if !e.checkable() {
			continue
		}
		if in, read := o.Reads[e.Server]; read {
			c.checks[r.ID][e.Server] = e.check(r.before(e.Server), in, c.world.Now)
		}
		k := c.checks[r.ID][e.Server]
		switch {
		case k == nil: // deleted meanwhile
			continue
		case len(k.Wrong) > 0:
			wrong++
		case len(k.Unknown) > 0:
			unknown++
		}
		n := *e
		n.Check = k
		changed = append(changed, &n)
	}
	if since := c.since(checkKey(r)); wrong > 0 && since < checkPatience || unknown > 0 && since < unknownPatience {
		c.again[o.Action.key()] = c.world.Now.Add(checkAgain)
		c.note("%s: %d instances are not as they are to be yet, of %d it is not known", r.Host, wrong, unknown)
		return
	}
	delete(c.checks, r.ID)
	delete(c.first, checkKey(r)) // what is moved later has its own time
	if len(changed) > 0 {
		c.commit(Entry{Kind: KindEvacuations, Recovery: r.ID, Evacuations: changed, Text: describeChecks(changed)})
	}
	o.Detail = fmt.Sprintf("%d servers read back elsewhere", len(changed))
	o.Detail += words
	c.stepDone(r, o, "")
}

func describeChecks(all []*Evacuation) string {
	well, volumes, ports := 0, 0, 0
	var names []string
	for _, e := range all {
		if e.Check.Verified() {
			well++
		} else {
			names = append(names, e.Name+": "+e.Check.Text())
		}
		volumes, ports = volumes+e.Check.Volumes, ports+e.Check.Ports
	}
	s := fmt.Sprintf("%d of %d instances verified (volumes %d, ports %d)", well, len(all), volumes, ports)
	if len(names) > 0 {
		s += "; " + few(names)
	}
	return s
}

// Unverified counts the instances that were moved and are not as they are to be, and those
// of which that is not known.
func (r *Recovery) Unverified() (wrong, unknown int) {
	for _, e := range r.Evacuations {
		switch {
		case e.State != EvacDone || e.Check == nil:
		case len(e.Check.Wrong) > 0 || e.Stop == StopFailed:
			wrong++
		case len(e.Check.Unknown) > 0:
			unknown++
		}
	}
	return wrong, unknown
}

// checkedText is the end of the report's line.
func (r *Recovery) checkedText() string {
	s := ""
	wrong, unknown := r.Unverified()
	if wrong > 0 {
		s += fmt.Sprintf(", %d NOT VERIFIED", wrong)
	}
	if unknown > 0 {
		s += fmt.Sprintf(", of %d not all is known", unknown)
	}
	return s
}
