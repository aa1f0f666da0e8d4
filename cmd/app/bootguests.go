package app

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/lifeboat-ha/lifeboat/config"
	"github.com/lifeboat-ha/lifeboat/detector"
)

const (
	// bootGuestsEvery is how often an agent looks for what starts guests as its host boots,
	// bootGuestsTime bounds one look.
	bootGuestsEvery = time.Minute
	bootGuestsTime  = 5 * time.Second
)

// computeUnits are those that start nova-compute: of Debian, of RPM systems, and of
// kolla-ansible (kolla-NAME-container.service); guestsUnit starts what ran at shutdown.
var computeUnits = []string{"nova-compute.service", "openstack-nova-compute.service", "kolla-nova_compute-container.service"}

const guestsUnit = "libvirt-guests.service"

// onBootFiles set libvirt-guests's ON_BOOT, the last that does wins: the program's own
// default, which differs between releases, and what the host's file says.
var onBootFiles = []string{"/usr/libexec/libvirt-guests.sh", "/usr/lib/libvirt/libvirt-guests.sh", "/etc/sysconfig/libvirt-guests", "/etc/default/libvirt-guests"}

// bootUnit is what systemd says of a unit.
type bootUnit struct {
	name           string
	enabled, gated bool
}

// bootFacts are what starts guests, or nova-compute, as a host boots. What could not be
// read is said in unread.
type bootFacts struct {
	compute   bootUnit // no name: none of computeUnits is there
	guests    bootUnit
	onBoot    string
	resumes   bool // resume_guests_state_on_host_boot
	autostart []string
	// asked says that the gate's socket was asked in this boot: a container waits at it.
	asked    bool
	watchdog bool // its expiry is taken for the guests' end
	unread   []string
}

// mostBootWord keeps a heartbeat small.
const mostBootWord = 160

// word is what a heartbeat says of it.
func (f bootFacts) word() string {
	var bad []string
	gated := f.compute.gated || f.asked
	switch {
	case gated:
	case f.compute.name != "":
		bad = append(bad, "no start gate before "+f.compute.name)
	default:
		f.unread = append(f.unread, "no unit of nova-compute is known, and nothing asks the gate's socket")
	}
	if n := len(f.autostart); n > 0 {
		bad = append(bad, fmt.Sprintf("%d instances autostart in libvirt (%s)", n, f.autostart[0]))
	}
	if f.guests.enabled && !f.guests.gated && f.onBoot == "start" {
		bad = append(bad, "libvirt-guests starts guests without a gate")
	}
	// Behind the gate it resumes what Nova places here. A watchdog's word is that nothing
	// starts at all.
	if f.resumes && (!gated || f.watchdog) {
		bad = append(bad, "resume_guests_state_on_host_boot is on")
	}
	word := detector.BootSafe
	switch {
	case len(bad) > 0:
		word = detector.BootUnsafe + ": " + strings.Join(bad, "; ")
	case len(f.unread) > 0:
		word = detector.BootUnknown + ": " + strings.Join(f.unread, "; ")
	}
	return strings.ToValidUTF8(word[:min(len(word), mostBootWord)], "")
}

// bootReader reads them.
type bootReader struct {
	novaConf []string
	onBoot   []string
	// show asks systemd for properties of units.
	show func(ctx context.Context, units ...string) (string, error)
	// autostart lists Nova's domains that libvirt starts by itself; false: not known.
	autostart func() ([]string, bool)
}

func (b bootReader) read(ctx context.Context) bootFacts {
	var f bootFacts
	if out, err := b.show(ctx, append(computeUnits, guestsUnit)...); err != nil {
		f.unread = append(f.unread, "systemd: "+short(err.Error()))
	} else {
		for _, u := range bootUnits(out) {
			switch {
			case u.name == guestsUnit:
				f.guests = u
			case f.compute.name == "" || u.enabled && !f.compute.enabled:
				f.compute = u
			}
		}
	}
	f.onBoot = "start" // of old releases, where nothing says otherwise
	for _, path := range b.onBoot {
		if v, err := lastSetting(path, "", "ON_BOOT"); err == nil && v != "" {
			f.onBoot = strings.Trim(v, `"'`)
		}
	}
	for _, path := range b.novaConf {
		v, err := lastSetting(path, "DEFAULT", "resume_guests_state_on_host_boot")
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			f.unread = append(f.unread, short(err.Error()))
		case v != "":
			f.resumes = oslo(v)
		}
	}
	var known bool
	if f.autostart, known = b.autostart(); !known {
		f.unread = append(f.unread, "libvirt does not answer")
	}
	return f
}

// oslo reads a boolean as oslo.config does.
func oslo(v string) bool {
	switch strings.ToLower(strings.TrimSpace(v)) {
	case "true", "1", "on", "yes":
		return true
	}
	return false
}

// bootUnits reads what `systemctl show` says of several units, those alone that are there.
func bootUnits(out string) (units []bootUnit) {
	for block := range strings.SplitSeq(strings.TrimSpace(out), "\n\n") {
		var u bootUnit
		loaded := false
		for line := range strings.Lines(block) {
			k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
			switch k {
			case "Id":
				u.name = v
			case "LoadState":
				loaded = v == "loaded"
			case "UnitFileState":
				u.enabled = strings.HasPrefix(v, "enabled")
			case "ExecStartPre":
				u.gated = u.gated || strings.Contains(v, "lifeboat-agent gate")
			}
		}
		if loaded {
			units = append(units, u)
		}
	}
	return units
}

// lastSetting is the last value of a key in an INI file's section, or in a shell's file
// where the section is "".
func lastSetting(path, section, key string) (value string, err error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }()
	in := section == ""
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if name, is := strings.CutPrefix(line, "["); is && section != "" {
			in = strings.TrimSuffix(name, "]") == section
			continue
		}
		k, v, set := strings.Cut(line, "=")
		if in && set && strings.TrimSpace(k) == key {
			value = strings.TrimSpace(v)
		}
	}
	return value, lines.Err()
}

// systemctlShow asks systemd.
func systemctlShow(ctx context.Context, units ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "systemctl", append([]string{"show", "--property=Id,LoadState,UnitFileState,ExecStartPre", "--"}, units...)...)
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("ask for units: %w", err)
	}
	return string(out), nil
}

// lookBootGuests tells what starts guests as this host boots, where it asks a libvirt of its
// own at all.
func (a *Agent) lookBootGuests(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, bootGuestsTime)
	defer cancel()
	b := bootReader{novaConf: a.cfg.Sensors.NovaConf, onBoot: onBootFiles, show: systemctlShow, autostart: func() ([]string, bool) { return nil, false }}
	if w, is := a.guests.watch.(interface{ Autostart() ([]string, bool) }); is {
		b.autostart = w.Autostart
	}
	f := b.read(ctx)
	f.watchdog, f.asked = a.cfg.Watchdog.Device != "", a.gateAsked()
	word := f.word()
	if former, _ := a.bootGuests.Swap(word).(string); former != word && strings.HasPrefix(word, detector.BootUnsafe) {
		a.log.Warn("guests may start on this host as it boots though they run elsewhere by then", "reason", word)
	}
}

// looksAtBoot says that an agent looks for what starts guests.
func (a *Agent) looksAtBoot() bool {
	return a.guests != nil && a.seams.Guests == nil && a.cfg.Sensors.BootGuests != config.LibvirtOff
}
