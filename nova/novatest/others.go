package novatest

import (
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// What operators, tenants and other programs do to Nova beside Lifeboat.

// SetState puts a server into a vm_state as if its owner had, its guest with it
// where its host lives.
func (c *Cloud) SetState(id nova.ServerID, vmState string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.server(string(id))
	if s == nil {
		return
	}
	s.vmState, s.task, s.power = vmState, "", powerOf(vmState)
	if h := c.host(s.host); h != nil && h.alive() {
		h.guests[s.id] = s.power == nova.PowerRunning || s.power == nova.PowerPaused
	}
}

// Lock locks a server as its owner would.
func (c *Cloud) Lock(id nova.ServerID) {
	c.set(func() {
		if s := c.server(string(id)); s != nil {
			s.locked = true
		}
	})
}

// Unlaunch takes launched_at away: the server never booted.
func (c *Cloud) Unlaunch(id nova.ServerID) {
	c.set(func() {
		if s := c.server(string(id)); s != nil {
			s.vmState, s.power, s.launched = nova.VMError, nova.PowerNoState, time.Time{}
			if h := c.host(s.host); h != nil {
				delete(h.guests, s.id)
			}
		}
	})
}

// SetService writes a host's row in the services table, as somebody's
// `openstack compute service set` does.
func (c *Cloud) SetService(name nova.HostName, disabled bool, reason string, forcedDown bool) {
	c.change(name, "service set of", func(h *host) {
		h.disabled, h.reason, h.forcedDown, h.updatedAt = disabled, reason, forcedDown, c.now()
		if h.alive() && !forcedDown {
			h.disabledTrait = disabled
		}
	})
}

// Service is what Nova believes of a host.
type Service struct {
	Disabled, ForcedDown, Trait bool
	Reason                      string
}

// Service looks at a row past every API.
func (c *Cloud) Service(name nova.HostName) Service {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.mustHost(name)
	return Service{Disabled: h.disabled, ForcedDown: h.forcedDown, Trait: h.disabledTrait, Reason: h.reason}
}

// EvacuateByOther is an evacuation that somebody else asks for. It gives the
// HTTP status that he got; EvacuatePosts does not count it.
func (c *Cloud) EvacuateByOther(id nova.ServerID) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.server(string(id))
	if s == nil {
		return 404
	}
	return c.evacuate(s, c.newRequestID(), nova.Target{}).status
}

// EvacuateByOtherTo is one that names its destination.
func (c *Cloud) EvacuateByOtherTo(id nova.ServerID, host nova.HostName) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.server(string(id))
	if s == nil {
		return 404
	}
	return c.evacuate(s, c.newRequestID(), nova.Target{Host: host}).status
}

// SetRoom changes how much memory a host has.
func (c *Cloud) SetRoom(name nova.HostName, ramMiB int) {
	c.set(func() { c.mustHost(name).ramMiB = ramMiB })
}
