package config

import "time"

// Watchdog is a host's own: fed for as long as the host is known to live, and
// otherwise it resets the host (docs/fencing.md). Without a device there is none.
type Watchdog struct {
	Device string `yaml:"device,omitempty"`
	// Timeout is what the device is asked for; what it makes of it counts.
	Timeout time.Duration `yaml:"timeout"`
	// Lease is how long a heartbeat that a majority of the controllers has
	// acknowledged lets it be fed.
	Lease time.Duration `yaml:"lease"`
	// Software accepts softdog, which a hanging kernel does not obey.
	Software bool `yaml:"software,omitempty"`
	// GuestsStayDown is an operator's word: nothing on this host starts guests at
	// boot. A reset host boots again.
	GuestsStayDown bool `yaml:"guests_stay_down,omitempty"`
}

// Bounds of a watchdog, as fence knows them too.
const (
	DefaultWatchdogLease   = 10 * time.Second
	DefaultWatchdogTimeout = 30 * time.Second
)

func (d *decoder) watchdog(w Watchdog) {
	d.between("watchdog.lease", w.Lease, 5*time.Second, 2*time.Minute)
	d.between("watchdog.timeout", w.Timeout, 10*time.Second, 5*time.Minute)
	if w.Timeout%time.Second != 0 {
		d.fault("watchdog.timeout", "%s: devices count whole seconds", w.Timeout)
	}
	if w.Device == "" {
		return
	}
	d.absolute("watchdog.device", w.Device)
	if w.Timeout < w.Lease {
		d.fault("watchdog.timeout", "%s is less than watchdog.lease (%s): a host must find its neighbours before its device resets it", w.Timeout, w.Lease)
	}
	if !w.GuestsStayDown {
		d.fault("watchdog.guests_stay_down", "missing: a host that is reset boots again. Say true once nothing starts guests at boot: resume_guests_state_on_host_boot of Nova, libvirt's autostart, libvirt-guests")
	}
}
