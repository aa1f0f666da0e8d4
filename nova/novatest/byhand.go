package novatest

import (
	"slices"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// ByHand begins the reason of a double run that nobody but a person has made.
const ByHand = "by hand on"

// StartGuest starts or ends a guest on a machine past Nova, as `virsh` does.
func (c *Cloud) StartGuest(name nova.HostName, id nova.ServerID, runs bool) {
	c.change(name, ByHand, func(h *host) { h.guests[string(id)] = runs })
}

// LandOn writes late that a server is on a host, with which its guest has died: its
// migration had ended there, and the conductor was stuck.
func (c *Cloud) LandOn(id nova.ServerID, name nova.HostName) {
	c.set(func() {
		s, h := c.server(string(id)), c.mustHost(name)
		if s == nil {
			return
		}
		if from := c.host(s.host); from != nil {
			delete(from.guests, s.id)
		}
		s.host, s.node, s.zone, s.task = h.name, h.node, h.zone, ""
	})
}

// Guests lists what truly runs on a machine, as its libvirt would. A machine that is off
// or hangs tells nothing.
func (c *Cloud) Guests(name nova.HostName) []nova.ServerID {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.mustHost(name)
	var out []nova.ServerID
	for id, runs := range h.guests {
		if runs && h.powered && !h.hung {
			out = append(out, nova.ServerID(id))
		}
	}
	slices.Sort(out)
	return out
}
