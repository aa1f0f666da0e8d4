// Package watchdog feeds a host's watchdog device for as long as fence.Keeper
// permits. It never decides whether a host lives, and never feeds on its own account.
package watchdog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Device is a running watchdog: opened, it counts.
type Device interface {
	// Timeout is what the device says itself.
	Timeout() time.Duration
	// SetTimeout asks for a timeout, feeds, and gives what the device made of it.
	SetTimeout(d time.Duration) (time.Duration, error)
	Feed() error
	// Stop ends it by the magic close. ErrNoWayOut: it counts on and must be fed.
	Stop() error
	// Abandon lets go of it without stopping it: it resets the host in time.
	Abandon() error
	Info() Info
}

// Info is what a device says of itself.
type Info struct {
	Identity string `json:"identity"`
	// Software says that the kernel's own timer resets: a kernel that hangs with
	// its interrupts off, or a machine that is paused from outside, is not reset.
	Software bool `json:"software,omitempty"`
	// NoWayOut says that nothing but a reset ends it.
	NoWayOut bool `json:"no_way_out,omitempty"`
}

// Errors of a device.
var (
	ErrBusy     = errors.New("another process owns it (systemd's RuntimeWatchdogSec, watchdogd, sbd, watchdog-mux): a watchdog has one owner")
	ErrNoWayOut = errors.New("it was loaded with nowayout: only a reset ends it")
)

// softdog is how the kernel's drivers/watchdog/softdog.c names itself.
const softdog = "Software Watchdog"

// linux is a device of the kernel (Documentation/watchdog/watchdog-api.rst).
type linux struct {
	file    *os.File
	info    Info
	timeout time.Duration
}

// Open starts a watchdog device. Whatever fails after that stops it again.
func Open(path string, timeout time.Duration) (Device, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, unix.EBUSY):
		return nil, fmt.Errorf("open the watchdog %s: %w", path, ErrBusy)
	case err != nil:
		return nil, fmt.Errorf("open the watchdog %s: %w", path, err)
	}
	d := &linux{file: f}
	if err := d.begin(path, timeout); err != nil {
		return nil, errors.Join(fmt.Errorf("start the watchdog %s: %w", path, err), d.Stop())
	}
	return d, nil
}

func (d *linux) begin(path string, timeout time.Duration) error {
	support, err := unix.IoctlGetWatchdogInfo(int(d.file.Fd()))
	if err != nil {
		return fmt.Errorf("ask what it is: %w", err)
	}
	d.info.Identity, _, _ = strings.Cut(string(support.Identity[:]), "\x00")
	d.info.Software = d.info.Identity == softdog
	d.info.NoWayOut = nowayout(path) || support.Options&unix.WDIOF_MAGICCLOSE == 0
	_, err = d.SetTimeout(timeout)
	return err
}

// nowayout reads the driver's setting; unknown is none.
func nowayout(path string) bool {
	name := filepath.Base(path)
	if name == "watchdog" {
		name = "watchdog0" // the old name is the first device's
	}
	b, err := os.ReadFile(filepath.Join("/sys/class/watchdog", name, "nowayout"))
	return err == nil && strings.TrimSpace(string(b)) == "1"
}

// Timeout is what WDIOC_GETTIMEOUT last said.
func (d *linux) Timeout() time.Duration { return d.timeout }

// SetTimeout sets it and reads it back: drivers round, and clamp.
func (d *linux) SetTimeout(want time.Duration) (time.Duration, error) {
	fd := int(d.file.Fd())
	seconds := int((want + time.Second - 1) / time.Second)
	if err := unix.IoctlSetPointerInt(fd, unix.WDIOC_SETTIMEOUT, seconds); err != nil {
		return 0, fmt.Errorf("set a timeout of %d s: %w", seconds, err)
	}
	got, err := unix.IoctlGetInt(fd, unix.WDIOC_GETTIMEOUT)
	if err != nil {
		return 0, fmt.Errorf("read the timeout back: %w", err)
	}
	d.timeout = time.Duration(got) * time.Second
	if err := d.Feed(); err != nil {
		return 0, err
	}
	return d.timeout, nil
}

// Feed starts the time anew.
func (d *linux) Feed() error {
	if err := unix.IoctlWatchdogKeepalive(int(d.file.Fd())); err != nil {
		return fmt.Errorf("feed the watchdog: %w", err)
	}
	return nil
}

// Stop writes the magic character and closes.
func (d *linux) Stop() error {
	if d.info.NoWayOut {
		return ErrNoWayOut
	}
	if _, err := d.file.Write([]byte("V")); err != nil {
		return errors.Join(fmt.Errorf("stop the watchdog: %w", err), d.file.Close())
	}
	return d.file.Close()
}

// Abandon closes it and leaves it counting.
func (d *linux) Abandon() error { return d.file.Close() }

// Info tells what it is.
func (d *linux) Info() Info { return d.info }
