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
