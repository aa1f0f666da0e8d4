package detector

import (
	"time"

	"github.com/lifeboat-ha/lifeboat/nova"
)

// GuestEnd is an end of an instance, or what may become one, that nobody has asked for.
type GuestEnd string

// Ends, as libvirt tells them.
const (
	// GuestFailed: its process (QEMU) died.
	GuestFailed GuestEnd = "failed"
	// GuestCrashed and GuestPanicked: its kernel told of its own crash (pvpanic), and its
	// process was ended, or stands still.
	GuestCrashed  GuestEnd = "crashed"
	GuestPanicked GuestEnd = "panicked"
	// GuestWatchdog: its own watchdog has run out. GuestIOError: its storage failed it.
	GuestWatchdog GuestEnd = "watchdog"
	GuestIOError  GuestEnd = "io-error"
	// GuestRebooted: its host was booted anew, and no recovery was opened for that.
	GuestRebooted GuestEnd = "host-rebooted"
)

// GuestEnds lists those that libvirt tells of.
var GuestEnds = []GuestEnd{GuestFailed, GuestCrashed, GuestPanicked, GuestWatchdog, GuestIOError}

// Lasts says that an instance may go on with it, and may be told to have it many times: its
// process is still there.
func (k GuestEnd) Lasts() bool { return k == GuestIOError || k == GuestWatchdog }

// GuestEvent is the end of one instance, as its host's agent has told it.
type GuestEvent struct {
	// ID is the same wherever it was told.
	ID     string
	Host   nova.HostName
	Server nova.ServerID
	Kind   GuestEnd
	Detail string
	At     time.Time
}
