package sim

import (
	"errors"
	"sync"
	"time"

	"github.com/lifeboat-ha/lifeboat/cmd/app"
	"github.com/lifeboat-ha/lifeboat/config"
	"github.com/lifeboat-ha/lifeboat/fence/watchdog"
)

// dog is a machine's watchdog device: a timer of its own, which no process stops
// but by the magic close.
type dog struct {
	m *machine

	mu      sync.Mutex
	owner   *process // nil: nobody has it open
	timer   *time.Timer
	timeout time.Duration
}

var errOpen = errors.New("device or resource busy")

// kennel is what a host's agent gets of its file.
func (m *machine) kennel() config.Watchdog {
	w := config.Watchdog{Lease: config.DefaultWatchdogLease, Timeout: config.DefaultWatchdogTimeout}
	if m.cloud.setup.Watchdog {
		w.Device, w.GuestsStayDown = "/dev/watchdog", true
	}
	return w
}

// device opens a machine's watchdog for a process.
func (m *machine) device(p *process) func(string, time.Duration) (watchdog.Device, error) {
	return func(_ string, timeout time.Duration) (watchdog.Device, error) {
		d := &m.dog
		d.mu.Lock()
		if d.m = m; d.owner != nil && d.owner != p && !d.owner.gone() {
			d.mu.Unlock()
			return nil, errOpen
		}
		d.owner = p
		d.mu.Unlock()
		lead := &leash{d, p}
		_, err := lead.SetTimeout(timeout)
		return lead, err
	}
}

func (p *process) gone() (gone bool) {
	p.net.locked(func() { gone = p.dead })
	return gone
}

func (p *process) stands() (stands bool) {
	p.net.locked(func() { stands = !p.runs() })
	return stands
}

// bite resets the machine.
func (d *dog) bite() {
	d.stop()
	if d.m.power.On() && !d.m.cloud.closing.Load() {
		d.m.cloud.note("watchdog", "the watchdog of %s resets it", d.m.name)
		d.m.reboot(bootTakes)
	}
}

// stop ends it: the machine has lost power, or starts anew.
func (d *dog) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.owner = nil; d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}

// leash is one process's hold on the device.
type leash struct {
	d *dog
	p *process
}

func (l *leash) Timeout() time.Duration {
	l.d.mu.Lock()
	defer l.d.mu.Unlock()
	return l.d.timeout
}

func (l *leash) SetTimeout(d time.Duration) (time.Duration, error) {
	l.d.mu.Lock()
	l.d.timeout = d
	l.d.mu.Unlock()
	return d, l.Feed()
}

// Feed does nothing for a process that stands still or is dead.
func (l *leash) Feed() error {
	if l.p.stands() {
		return nil
	}
	l.d.mu.Lock()
	defer l.d.mu.Unlock()
	if l.d.owner != l.p {
		return nil
	}
	if l.d.timer == nil {
		l.d.timer = time.AfterFunc(l.d.timeout, l.d.bite)
	} else {
		l.d.timer.Reset(l.d.timeout)
	}
	return nil
}

func (l *leash) Stop() error {
	if !l.p.stands() {
		l.d.stop()
	}
	return nil
}

func (l *leash) Abandon() error { return nil }

func (l *leash) Info() watchdog.Info { return watchdog.Info{Identity: "simulated"} }

// watch completes an agent's seams.
func (m *machine) watch(s app.Seams, p *process) app.Seams {
	s.Watchdog = m.device(p)
	return s
}
