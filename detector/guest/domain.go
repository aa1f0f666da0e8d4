package guest

import (
	"context"
	"encoding/xml"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/digitalocean/go-libvirt"

	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/nova"
)

const (
	// agentChannel is that of QEMU's guest agent, novaSpace what Nova's domains carry
	// (nova/virt/libvirt/config.py).
	agentChannel = "org.qemu.guest_agent.0"
	novaSpace    = "http://openstack.org/xmlns/libvirt/nova/"
	// mostDescribed bounds the domains that are asked about in one look.
	mostDescribed = 50
	// autostartEvery is how often it is asked which domains libvirt starts by itself.
	autostartEvery = time.Minute
)

// agentSeen is whether a domain's guest agent has opened its channel, in one run of it.
type agentSeen struct {
	run       int32 // libvirt's number of a domain that runs
	connected bool
}

// described is what is read of a domain's description.
type described struct {
	Channels []struct {
		Target struct {
			Name  string `xml:"name,attr"`
			State string `xml:"state,attr"`
		} `xml:"target"`
	} `xml:"devices>channel"`
}

// agentOpen reads from a live domain's XML whether the guest agent's channel is open in the
// guest (libvirt's formatdomain, "Channel").
func agentOpen(desc string) bool {
	var d described
	if xml.Unmarshal([]byte(desc), &d) != nil {
		return false
	}
	for _, c := range d.Channels {
		if c.Target.Name == agentChannel && c.Target.State == "connected" {
			return true
		}
	}
	return false
}

// agentsOf says of which domains the guest agent is there. Each is asked about once in its
// run; libvirt's events tell of what changes.
func (w *Watch) agentsOf(l *libvirt.Libvirt, running []libvirt.Domain) (agents []nova.ServerID) {
	seen, asked := map[libvirt.UUID]agentSeen{}, 0
	for _, d := range running {
		a, known := w.agents[d.UUID]
		if known = known && a.run == d.ID; !known && asked < mostDescribed {
			asked++
			desc, err := l.DomainGetXMLDesc(d, 0)
			if known = err == nil; known { // else it has just ended, or is asked about again
				a = agentSeen{run: d.ID, connected: agentOpen(desc)}
			}
		}
		if known {
			seen[d.UUID] = a
			if a.connected {
				agents = append(agents, serverID(d.UUID))
			}
		}
	}
	w.agents = seen
	return agents
}

// agentChanged takes libvirt's word on a guest agent's channel.
func (w *Watch) agentChanged(m *libvirt.DomainEventCallbackAgentLifecycleMsg) {
	w.agents[m.Dom.UUID] = agentSeen{run: m.Dom.ID, connected: libvirt.ConnectDomainEventAgentLifecycleState(m.State) == libvirt.ConnectDomainEventAgentLifecycleStateConnected}
}

// Autostart lists Nova's domains that libvirt starts by itself, by name; false while that is
// not known. Domains that are not Nova's are nobody's business here.
func (w *Watch) Autostart() ([]string, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.autostart, w.told && !w.autostartAt.IsZero()
}

// lookAutostart asks for them from time to time.
func (w *Watch) lookAutostart(ctx context.Context, conn net.Conn, l *libvirt.Libvirt) error {
	now := w.o.Now()
	if at := w.autostartAt; !at.IsZero() && now.Sub(at) < autostartEvery {
		return nil
	}
	var names []string
	err := within(ctx, conn, "list the domains that start by themselves", func() error {
		domains, _, err := l.ConnectListAllDomains(1, libvirt.ConnectListDomainsAutostart)
		if err != nil {
			return err
		}
		for _, d := range domains[:min(len(domains), mostDescribed)] {
			if desc, err := l.DomainGetXMLDesc(d, 0); err == nil && strings.Contains(desc, novaSpace) {
				names = append(names, d.Name)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.Sort(names)
	w.mu.Lock()
	w.autostart, w.autostartAt = names, now
	w.mu.Unlock()
	return nil
}

// listed reads what runs and what stands still.
func (w *Watch) listed(l *libvirt.Libvirt) (g detector.Guests, err error) {
	// The paused first: one that goes on in between is then in both, and counts as
	// running.
	paused, _, err := l.ConnectListAllDomains(1, stands)
	if err != nil {
		return g, err
	}
	running, _, err := l.ConnectListAllDomains(1, runs)
	if err != nil {
		return g, err
	}
	for _, d := range running {
		g.Running = append(g.Running, serverID(d.UUID))
	}
	for _, d := range paused {
		g.Paused = append(g.Paused, serverID(d.UUID))
	}
	g.Agents = w.agentsOf(l, running)
	return g, nil
}
