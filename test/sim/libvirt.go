package sim

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/lifeboat-ha/lifeboat/cmd/app"
	"github.com/lifeboat-ha/lifeboat/config"
	"github.com/lifeboat-ha/lifeboat/detector"
	"github.com/lifeboat-ha/lifeboat/detector/guest"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// libvirt is a machine's, as its agent sees it: the truth, looked at each second.
type libvirt struct {
	m       *machine
	changed func()
	heard   func(guest.Event)

	mu   sync.Mutex
	list detector.Guests
	told bool
}

// libvirt is the word of an agent's configuration.
func (s Setup) libvirt() string {
	if s.Libvirt {
		return config.LibvirtAuto
	}
	return config.LibvirtOff
}

func (m *machine) libvirt(s app.Seams) app.Seams {
	if m.cloud.setup.Libvirt {
		s.Guests = func(changed func(), heard func(guest.Event)) app.Guests {
			l := &libvirt{m: m, changed: changed, heard: heard}
			m.mu.Lock()
			defer m.mu.Unlock()
			m.virt = l
			return l
		}
	}
	return s
}

// Run looks at the guests.
func (l *libvirt) Run(ctx context.Context) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		g := detector.Guests{Running: l.m.cloud.nova.Guests(l.m.name)}
		l.mu.Lock()
		fresh := !l.told || !slices.Equal(g.Running, l.list.Running)
		l.list, l.told = g, true
		l.mu.Unlock()
		if fresh {
			l.changed()
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// Word is the list's.
func (l *libvirt) Word() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.told {
		return detector.GuestsUnknown
	}
	return l.list.Word()
}

// List is what runs there.
func (l *libvirt) List() (detector.Guests, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.list, l.told
}

// guestEnds are the ends of an instance, in the words of scenarios.
var guestEnds = map[string]detector.GuestEnd{"fails": detector.GuestFailed, "panics": detector.GuestPanicked}

func isEnd(n names, o order) error {
	if len(o.args) != 2 || guestEnds[o.args[1]] == "" {
		return errors.New("which instance, and does it fail or panic: fails, panics?")
	}
	return isGuests(n, order{args: o.args[:1]})
}

// end has instances end by themselves, and their host's libvirt tell.
func end(c *Cloud, o order) (func(), error) {
	ids, err := c.guests(o.args[0])
	if err != nil {
		return nil, err
	}
	for id, hosts := range c.nova.Copies() {
		if !slices.Contains(ids, id) {
			continue
		}
		for _, host := range hosts {
			c.nova.StartGuest(host, id, false)
			m := c.byName[string(host)]
			m.mu.Lock()
			l := m.virt
			m.mu.Unlock()
			if l != nil {
				l.heard(guest.Event{Server: id, Kind: guestEnds[o.args[1]], At: m.node.clock.Now()})
			}
		}
	}
	return nil, nil
}

func isVirsh(n names, o order) error {
	if len(o.args) != 3 || o.args[1] != "start" && o.args[1] != "destroy" {
		return errors.New("where, start or destroy, and which instance?")
	}
	return errors.Join(isHost(n, o.args[0]), isGuests(n, order{args: o.args[2:]}))
}

func isLanding(n names, o order) error {
	if len(o.args) != 3 || o.args[1] != "at" {
		return errors.New("which instance, at which host?")
	}
	return errors.Join(isHost(n, o.args[2]), isGuests(n, order{args: o.args[:1]}))
}

// lands has instances written late on a host that died with them.
func lands(c *Cloud, o order) (func(), error) {
	ids, err := c.guests(o.args[0])
	for _, id := range ids {
		c.nova.LandOn(id, nova.HostName(o.args[2]))
	}
	return nil, err
}

// virsh starts or ends a guest past Nova.
func virsh(c *Cloud, o order) (func(), error) {
	ids, err := c.guests(o.args[2])
	if err != nil {
		return nil, err
	}
	return eachHost(func(m *machine) func() {
		for _, id := range ids {
			c.nova.StartGuest(m.name, id, o.args[1] == "start")
		}
		return nil
	})(c, o)
}
