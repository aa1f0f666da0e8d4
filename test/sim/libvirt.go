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
)

// libvirt is a machine's, as its agent sees it: the truth, looked at each second.
type libvirt struct {
	m       *machine
	changed func()

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
		s.Guests = func(changed func(), _ func(guest.Event)) app.Guests { return &libvirt{m: m, changed: changed} }
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

func isVirsh(n names, o order) error {
	if len(o.args) != 3 || o.args[1] != "start" && o.args[1] != "destroy" {
		return errors.New("where, start or destroy, and which instance?")
	}
	return errors.Join(isHost(n, o.args[0]), isGuests(n, order{args: o.args[2:]}))
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
