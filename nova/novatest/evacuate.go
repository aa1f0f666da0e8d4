package novatest

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// evacuate is compute/api.py, API.evacuate: the checks in their order, and the
// effects, of which none looks at what another request has just begun.
func (c *Cloud) evacuate(s *server, requestID string, to nova.Target) reply {
	if to.Host != "" && c.host(string(to.Host)) == nil {
		return fault(404, fmt.Sprintf("Compute host %s not found.", to.Host))
	}
	if string(to.Host) == s.host {
		return fault(400, "The target host can't be the same one.")
	}
	if s.extra["hw:tpm_version"] != "" {
		return fault(400, fmt.Sprintf("Operation 'evacuate' not supported for vTPM-enabled instance (%s).", s.id))
	}
	switch s.vmState {
	case nova.VMActive, nova.VMStopped, nova.VMError:
	default:
		return fault(409, fmt.Sprintf("Cannot 'evacuate' instance %s while it is in vm_state %s", s.id, s.vmState))
	}
	if s.launched.IsZero() {
		return fault(409, fmt.Sprintf("Instance %s is in an invalid state for 'evacuate'", s.id))
	}
	if h := c.host(s.host); h != nil && c.up(h) {
		return fault(400, fmt.Sprintf("Compute service of %s is still in use.", s.host))
	}
	s.task = nova.TaskRebuilding // saved without an expected_task_state
	s.act("evacuate", requestID, c.now())
	n := c.nextID("migration")
	c.migrations = append(c.migrations, &migration{
		id: n, uuid: uuid("3a", n), server: s.id, source: s.host, kind: evacuation,
		status: nova.MigrationAccepted, created: c.now(), dest: string(to.Host),
	})
	if c.brokerDown {
		// The row is written, the cast is not: accepted for ever.
		return fault(500, "Unexpected API Error. MessageDeliveryFailure")
	}
	c.cast(func() { c.conduct(s, to) })
	return reply{status: 200}
}

// cast hands work to a conductor, now or when one comes back.
func (c *Cloud) cast(work func()) {
	switch {
	case c.loseCasts > 0:
		c.loseCasts--
	case !c.control[nova.Conductor].up:
		c.pending = append(c.pending, work)
	default:
		c.after(c.opts.Schedule/2, work)
	}
}

// conduct is conductor/manager.py, rebuild_instance: it takes the *first*
// accepted row of the server, which need not be the one of its own request.
func (c *Cloud) conduct(s *server, to nova.Target) {
	if c.server(s.id) == nil || c.brokerDown || !c.control[nova.Scheduler].up {
		return // the call to the scheduler times out; nothing tidies up
	}
	r := &rebuild{cloud: c, server: s, before: s.vmState}
	for _, m := range c.migrations {
		if m.server == s.id && m.status == nova.MigrationAccepted && m.kind == evacuation {
			r.row = m
			break
		}
	}
	if to.Force { // the scheduler is not asked, Placement is
		r.dest = c.host(string(to.Host))
		if left := c.usage()[r.dest.name].left(r.dest); left.ram < s.ramMiB || left.cpu < s.vcpus {
			r.dest = nil
		}
	} else {
		r.dest = c.schedule(s, to.Host)
	}
	if r.dest == nil {
		if r.row != nil {
			c.setStatus(r.row, nova.MigrationError)
		}
		s.vmState, s.task = nova.VMError, ""
		s.fault, s.faultTrace, s.faultAt = "No valid host was found. There are not enough hosts available.", noHostTrace, c.now()
		return
	}
	r.dest.claims[s.id] = true
	// The row stays accepted until the destination has it: of two requests that
	// come close together both find the same one.
	c.after(c.opts.Schedule/2, func() { c.rpc(r.dest, r.claim) })
}

// rebuild is one evacuation at its destination: compute/manager.py,
// rebuild_instance. Two of the same server know nothing of each other; each
// step only compares the task that the server should have by now.
type rebuild struct {
	cloud  *Cloud
	server *server
	dest   *host
	row    *migration // nil if another evacuation of this server took it
	before string     // vm_state
}

// claim takes the resources and checks what changed since scheduling.
func (r *rebuild) claim() {
	c, s, h := r.cloud, r.server, r.dest
	_, exists := h.guests[s.id]
	switch {
	case c.server(s.id) == nil:
	case c.failClaims > 0 || c.full(h):
		c.failClaims = max(0, c.failClaims-1)
		r.fail(r.before, "Build of instance "+s.id+" aborted: Insufficient compute resources.")
	case c.groupForbids(h, s):
		r.preMigrating()
		r.fail(r.before, "Build of instance "+s.id+" aborted: late check of its server group.")
	case exists:
		r.preMigrating()
		r.fail(nova.VMError, "Instance "+s.id+" already exists.")
	default:
		r.preMigrating()
		r.step(c.opts.Spawn/4, nova.TaskRebuilding, taskMapping, r.volumes)
	}
}

func (r *rebuild) preMigrating() {
	if r.row != nil {
		r.row.dest = r.dest.name
		r.cloud.setStatus(r.row, nova.MigrationPreMigrating)
	}
}

func (r *rebuild) volumes() {
	r.step(r.cloud.opts.Spawn/4, taskMapping, taskSpawning, func() {
		r.later(r.cloud.opts.Spawn/2, r.spawned)
	})
}

// step waits and then moves the task on, if nobody else has touched it.
func (r *rebuild) step(wait time.Duration, from, to string, then func()) {
	r.later(wait, func() {
		if r.moved(from) {
			r.server.task = to
			then()
		}
	})
}

// moved is Instance.save(expected_task_state=…).
func (r *rebuild) moved(expected string) bool {
	if r.server.task == expected {
		return true
	}
	if r.server.task == "deleting" {
		r.fail(r.before, "")
		return false
	}
	r.fail(nova.VMError, fmt.Sprintf("Unexpected task state: expecting %s but the actual state is %q", expected, r.server.task))
	return false
}

func (r *rebuild) later(d time.Duration, work func()) {
	r.cloud.after(d, func() {
		r.cloud.on(r.dest, func() {
			if r.cloud.server(r.server.id) != nil {
				work()
			}
		})
	})
}

const noHostTrace = `Traceback (most recent call last):
  File "nova/conductor/manager.py", line 1266, in rebuild_instance
  File "nova/conductor/manager.py", line 976, in _schedule_instances
`

// launchTrace is that of a guest that QEMU did not start, after which the libvirt driver
// cleans up.
const launchTrace = `Traceback (most recent call last):
  File "nova/compute/manager.py", line 3735, in rebuild_instance
  File "nova/compute/manager.py", line 3825, in _do_rebuild_instance_with_claim
  File "nova/compute/manager.py", line 3998, in _do_rebuild_instance
  File "nova/compute/manager.py", line 3611, in _rebuild_default_impl
  File "nova/virt/libvirt/driver.py", line 4360, in spawn
  File "nova/virt/libvirt/driver.py", line 7695, in _create_guest_with_network
  File "nova/virt/libvirt/driver.py", line 7634, in _create_guest
  File "nova/virt/libvirt/guest.py", line 165, in launch
libvirt.libvirtError: internal error: process exited while connecting to monitor
`

// spawned starts the guest, then looks whether it may: the guest of a rebuild
// that lost the race stays behind, running.
func (r *rebuild) spawned() {
	c, s := r.cloud, r.server
	if c.failSpawns > 0 {
		c.failSpawns--
		r.fail(nova.VMError, "libvirtError")
		s.faultTrace = launchTrace
		return
	}
	r.dest.guests[s.id] = true
	s.reimaged = s.reimaged || (s.image != "" && !c.opts.SharedStorage)
	c.inspect("evacuation to " + r.dest.name)
	if !r.moved(taskSpawning) {
		return
	}
	s.vmState, s.task, s.power, s.launched, s.fault = nova.VMActive, "", nova.PowerRunning, c.now(), ""
	if r.before != nova.VMStopped {
		r.later(c.opts.Flip, r.finish)
		return
	}
	s.task = taskPowerOff
	r.later(c.opts.Flip/2, func() {
		r.dest.guests[s.id] = false
		s.vmState, s.task, s.power = nova.VMStopped, "", nova.PowerShutdown
		r.later(c.opts.Flip/2, r.finish)
	})
}

// finish is resource_tracker.py, finish_evacuation: host first, row after.
func (r *rebuild) finish() {
	s, h := r.server, r.dest
	if source := r.cloud.host(s.host); source != nil {
		source.stale[s.id] = true
	}
	s.host, s.node, s.zone = h.name, h.node, h.zone
	delete(h.claims, s.id)
	if r.row != nil {
		r.cloud.setStatus(r.row, nova.MigrationDone)
	}
}

// fail leaves vm_state as given: as it was when a claim failed, else ERROR.
func (r *rebuild) fail(vmState, why string) {
	if r.row != nil {
		r.cloud.setStatus(r.row, nova.MigrationFailed)
	}
	delete(r.dest.claims, r.server.id)
	if why == "" {
		return // the server is being deleted
	}
	r.server.vmState, r.server.task = vmState, ""
	r.server.fault, r.server.faultTrace, r.server.faultAt = why, "", r.cloud.now()
}

func (s *server) act(name, requestID string, at time.Time) {
	s.actions = append(s.actions, action{name: name, requestID: requestID, started: at})
}

// power is os-start and os-stop.
func (c *Cloud) power(s *server, start bool, requestID string) reply {
	from, to, power, name := nova.VMActive, nova.VMStopped, nova.PowerShutdown, "stop"
	if start {
		from, to, power, name = nova.VMStopped, nova.VMActive, nova.PowerRunning, "start"
	}
	if s.vmState != from || s.task != "" {
		return fault(409, fmt.Sprintf("Cannot '%s' instance %s while it is in vm_state %s", name, s.id, s.vmState))
	}
	s.act(name, requestID, c.now())
	s.task = map[bool]string{true: "powering-on", false: taskPowerOff}[start]
	if h := c.host(s.host); h != nil {
		c.rpc(h, func() {
			h.guests[s.id] = start
			s.vmState, s.task, s.power = to, "", power
			c.inspect(name + " of a server on " + h.name)
		})
	}
	return reply{status: 202}
}

// resetState is compute/api.py, reset_state: written at once, whatever Nova is doing
// with the server; what it does notices when it saves its next task.
func (c *Cloud) resetState(s *server, raw json.RawMessage, requestID string) reply {
	var want struct{ State string }
	if json.Unmarshal(raw, &want) != nil || want.State != nova.VMActive && want.State != nova.VMError {
		return fault(400, "Invalid input for field/attribute state.")
	}
	s.act("reset_state", requestID, c.now())
	s.vmState, s.task = want.State, ""
	return reply{status: 202}
}

// LoseCasts makes the next n evacuations stay `accepted` for ever, as when a
// conductor dies with the message in hand.
func (c *Cloud) LoseCasts(n int) { c.set(func() { c.loseCasts = n }) }

// FailSpawns makes the next n evacuations fail at their destination.
func (c *Cloud) FailSpawns(n int) { c.set(func() { c.failSpawns = n }) }

// FailClaims makes the next n evacuations find their destination full: the row
// fails and the server looks untouched.
func (c *Cloud) FailClaims(n int) { c.set(func() { c.failClaims = n }) }

func (c *Cloud) set(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}
